//! What a guest's console says went wrong with its kernel.

/// The first line of `console` that tells of a broken kernel.
pub(crate) fn kernel_failure(console: &str) -> Option<&str> {
    console.lines().find(|line| is_failure(line)).map(str::trim)
}

fn is_failure(line: &str) -> bool {
    // A loaded host makes an emulated CPU look stuck; the guest's time limit judges that.
    let slow_host = line.contains("soft lockup") || line.contains("workqueue lockup");
    !slow_host
        && [
            "Kernel panic",
            "BUG:",
            "Oops:",
            "unable to handle",
            "general protection fault",
        ]
        .iter()
        .any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_seen_among_other_lines() {
        let console = "[    1.0] Linux version 6.1\n\
            [    2.0] Kernel panic - not syncing: Attempted to kill init!\r\n[ 2.1] CPU: 0\n";
        assert_eq!(
            kernel_failure(console),
            Some("[    2.0] Kernel panic - not syncing: Attempted to kill init!")
        );
    }

    #[test]
    fn every_kind_is_seen() {
        for line in [
            "BUG: kernel NULL pointer dereference, address: 0000000000000010",
            "BUG: unable to handle page fault for address: ffff",
            "Oops: 0002 [#1] PREEMPT SMP NOPTI",
            "general protection fault, probably for non-canonical address",
        ] {
            assert_eq!(kernel_failure(line), Some(line));
        }
    }

    #[test]
    fn ordinary_lines_and_a_slow_host_are_no_failure() {
        for line in [
            "scsi 0:0:0:0: alua: supports implicit and explicit TPGS",
            "Debugging: DEBUG build",
            "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [fio:99]",
        ] {
            assert_eq!(kernel_failure(line), None, "{line}");
        }
    }
}

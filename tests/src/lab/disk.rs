//! Block devices in sysfs: which disk a SCSI address is, and the kernel's own I/O counts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::sys;

/// A load that does no I/O for so long does none any more.
const STALLED: Duration = Duration::from_secs(20);

/// Kernel name and "major:minor" of the disk at `hctl`, when it is there.
pub(crate) fn at(hctl: &str) -> Option<(String, String)> {
    let block = format!("/sys/class/scsi_device/{hctl}/device/block");
    let device = sys::names(&block).into_iter().next()?;
    let devno = sys::read(format!("{block}/{device}/dev")).ok()?;
    Some((device, devno))
}

/// Kernel names of all SCSI disks.
pub(crate) fn scsi_disks() -> Vec<String> {
    sys::names("/sys/block")
        .into_iter()
        .filter(|name| name.starts_with("sd"))
        .collect()
}

/// `/sys/block/<device>/stat`, as far as it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskStats {
    /// Reads completed.
    pub(crate) reads: u64,
    /// Writes completed.
    pub(crate) writes: u64,
    /// Reads and writes merged into another one.
    pub(crate) merges: u64,
    /// In flight now.
    pub(crate) in_flight: u64,
}

/// The kernel's counts of `device`.
pub(crate) fn stats(device: &str) -> Result<DiskStats> {
    parse_stats(&sys::read(format!("/sys/block/{device}/stat"))?)
}

/// Waits until `device` has done `more` reads and writes from now on.
pub(crate) fn wait_for_io(device: &str, more: u64) -> Result<()> {
    wait_for_io_while(device, more, || Ok(true))
}

/// Like [`wait_for_io`], but only while `alive` says yes. However many there are to come and however
/// slow the guest is: it fails when there was none for [`STALLED`].
pub(crate) fn wait_for_io_while(
    device: &str,
    more: u64,
    mut alive: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let count = || stats(device).map(|now| now.reads + now.writes);
    let before = count()?;
    let (mut done, mut last) = (0, Instant::now());
    while done < more {
        sys::sleep_ms(10);
        ensure!(alive()?, "the load is over");
        let now = count()?.saturating_sub(before);
        if now > done {
            (done, last) = (now, Instant::now());
        }
        ensure!(
            last.elapsed() < STALLED,
            "{device} has done {done} I/Os of {more}, and then none for {} s",
            STALLED.as_secs()
        );
    }
    Ok(())
}

fn parse_stats(text: &str) -> Result<DiskStats> {
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("bad counts {text:?}"))?;
    let [
        reads,
        read_merges,
        _,
        _,
        writes,
        write_merges,
        _,
        _,
        in_flight,
        ..,
    ] = numbers[..]
    else {
        bail!("too few counts: {text:?}");
    };
    Ok(DiskStats {
        reads,
        writes,
        merges: read_merges + write_merges,
        in_flight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_position() {
        let text = "    1107       2    48024      317       50       3     400       20 \
                    4      336      337        0        0        0        0        0        0";
        let expected = DiskStats {
            reads: 1107,
            writes: 50,
            merges: 5,
            in_flight: 4,
        };
        assert_eq!(parse_stats(text).unwrap(), expected);
        assert!(parse_stats("1 2 3").is_err());
    }
}

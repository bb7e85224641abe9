//! Recordings that earlier versions made are read as they were, and what is no recording is refused: by the
//! tool as a user runs it.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures/recordings")
            .join(name)
    }

    fn replay(file: &Path, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_alua-trace"))
            .arg("replay")
            .arg(file)
            .args(more)
            .output()
            .unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// The same trace as each version of the format has it: LIO in the lab, Linux 6.1; a load whose optimized
    /// controller became the other one, and moved there later.
    const VERSIONS: [&str; 3] = ["version-1.atr", "version-2.atr", "version-3.atr"];

    #[test]
    fn every_version_says_what_its_trace_said() {
        let said = std::fs::read_to_string(fixture("said.txt")).unwrap();
        for version in VERSIONS {
            let output = replay(&fixture(version), &[]);
            assert_eq!(text(&output.stdout), said, "{version}");
            assert_eq!(
                (output.status.code(), text(&output.stderr)),
                (Some(0), String::new())
            );
        }
    }

    /// An array behind iSCSI in the lab, Linux 6.1: a switch's port got a smaller MTU, and later its own again.
    #[test]
    fn what_was_told_of_a_network_is_told_again() {
        let said = std::fs::read_to_string(fixture("said-of-network.txt")).unwrap();
        let output = replay(&fixture("version-4.atr"), &[]);
        assert_eq!(text(&output.stdout), said);
        assert_eq!(output.status.code(), Some(0));
        for part in [
            "flag raised #1 warning: stuck-path on mpatha",
            "mtu-mismatch on mpatha; 3:0:0:0 over eth0 (MTU 9000)",
            "segments retransmitted",
        ] {
            assert!(said.contains(part), "{part}");
        }
    }

    #[test]
    fn its_commands_are_those_of_its_summary() {
        let lines = VERSIONS.map(|version| {
            let output = replay(&fixture(version), &["--json", "-", "--commands"]);
            text(&output.stdout)
        });
        assert_eq!(lines[0], lines[1]);
        let lines: Vec<serde_json::Value> = lines[0]
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let commands = lines
            .iter()
            .filter(|line| line["type"] == "command")
            .count();
        let paths = lines.last().unwrap()["paths"].as_array().unwrap().clone();
        let recorded = paths
            .iter()
            .map(|path| path["counts"]["recorded"].as_u64().unwrap());
        assert_eq!((commands as u64, commands), (recorded.sum(), 1039));
    }

    #[test]
    fn only_the_map_that_is_asked_for_is_shown() {
        let output = replay(&fixture("version-3.atr"), &["--map", "dm-0"]);
        assert!(text(&output.stdout).contains("1,039 commands in"));
        let output = replay(&fixture("version-3.atr"), &["--map", "another"]);
        let why = text(&output.stderr);
        assert!(why.contains("another") && why.contains("mpatha"), "{why}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        let whole = std::fs::read(fixture("version-3.atr")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("it.atr");
        let said = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            let output = replay(&file, &[]);
            assert_eq!(output.status.code(), Some(2));
            (text(&output.stdout), text(&output.stderr))
        };
        assert!(said(b"").1.contains("the file is empty"));
        assert!(
            said(b"{\"type\":\"start\"}\n")
                .1
                .contains("not a recording of alua-trace")
        );
        let (shown, why) = said(&whole[..whole.len() - 100]);
        assert!(
            shown.contains("state changed: AN") && why.contains("it ends early, at byte "),
            "{why}"
        );
        let mut damaged = whole.clone();
        damaged[10_000] ^= 0x10;
        let (shown, why) = said(&damaged);
        assert!(
            shown.contains("elapsed s") && why.contains("is damaged"),
            "{why}"
        );
        let output = replay(&dir.path().join("\u{1b}[31mno"), &[]);
        let why = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            why.contains("cannot replay") && !why.contains('\u{1b}'),
            "{why}"
        );
    }
}

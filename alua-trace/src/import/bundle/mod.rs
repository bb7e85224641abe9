//! `alua-trace import DIR|FILE.tar.xz`: a support bundle (sosreport, supportconfig, or any tree of
//! files), unpacked or as it is sent, as one view.
//!
//! What each file tells is read by itself, and joined; where two contradict each other, both are shown.

mod archive;
mod files;

use std::io::Cursor;
use std::path::Path;

use anyhow::{Result, ensure};

use super::join::Joined;
use super::{Imported, parse};
pub(super) use archive::is_archive;
use files::{File, Files};

/// What a bundle tells.
///
/// # Errors
/// It cannot be read, is too large, or nothing in it is of a form that is known.
pub(super) fn read(path: &Path) -> Result<Imported> {
    let files = if path.is_dir() {
        files::of_directory(path)?
    } else {
        archive::of_archive(path)?
    };
    joined(path, files)
}

/// What the bytes of an archive tell.
///
/// # Errors
/// As [`read`].
pub(super) fn of_bytes(bytes: Vec<u8>) -> Result<Imported> {
    let path = Path::new("archive");
    let files = archive::within(path, Cursor::new(bytes), archive::MAX_UNPACKED)?;
    joined(path, files)
}

fn joined(path: &Path, files: Files) -> Result<Imported> {
    let mut joined = Joined::default();
    let mut n_read = 0_usize;
    for file in &files.read {
        for (name, text) in parts(file) {
            if let Ok(imported) = parse(None, text) {
                n_read += 1;
                joined.add(&name, imported);
            }
        }
    }
    ensure!(
        n_read > 0,
        "{}: none of its {} files is of a form that is known",
        path.display(),
        files.n_seen
    );
    let mut imported = joined.finish();
    let notes = &mut imported.inventory.notes;
    notes.insert(
        0,
        format!("read of {n_read} parts of {} files", files.n_seen),
    );
    notes.extend(files.notes);
    Ok(imported)
}

/// The parts of a file: supportconfig puts many commands into one, each below `#==[ Command ]===#` and
/// its name.
fn parts(file: &File) -> Vec<(String, &str)> {
    const HEADING: &str = "#==[";
    let mut parts = file.text.split(HEADING);
    let first = parts.next().unwrap_or_default();
    let mut all = vec![(file.name.clone(), first)];
    for part in parts {
        let (_, rest) = part.split_once('\n').unwrap_or((part, ""));
        let (command, text) = rest.split_once('\n').unwrap_or((rest, ""));
        let command = command.trim_start_matches('#').trim();
        all.push((format!("{} ({command})", file.name), text));
    }
    all.retain(|(_, text)| !text.trim().is_empty());
    all
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LL: &str = "mpatha (36001) dm-0 ACME,Array\nsize=1.0G features='0' hwhandler='1 alua' wp=rw\n\
        `-+- policy='service-time 0' prio=50 status=active\n  `- 1:0:0:1 sdb 8:16 active ready running\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn files_of_a_bundle_are_joined_and_contradictions_shown() {
        let dir = tree(&[
            ("sos_commands/multipath/multipath_-ll", LL),
            (
                "sos_commands/devicemapper/dmsetup_status",
                "mpatha: 0 2097152 multipath 2 0 1 0 1 1 A 0 1 2 8:16 F 3 0 1\n",
            ),
            (
                "sos_commands/scsi/lsscsi",
                "[1:0:0:1]    disk    ACME     Array            0001  /dev/sdb\n",
            ),
            (
                "var/log/messages",
                "Nov 28 10:00:00 h kernel: sd 1:0:0:1: alua: port group 01 state A non-preferred supports tolusna\n",
            ),
            ("etc/hosts", "127.0.0.1 localhost\n"),
        ]);
        let imported = read(dir.path()).unwrap();
        let [map] = &imported.inventory.maps[..] else {
            panic!("{imported:?}")
        };
        assert_eq!(imported.inventory.unmapped, []);
        let path = map.paths().next().unwrap();
        assert_eq!(path.revision.as_deref(), Some("0001"));
        assert_eq!(path.dm_failures, Some(3));
        assert_eq!(path.port_group, Some(1));
        let about: Vec<_> = map
            .disagreements
            .iter()
            .map(|it| it.about.as_str())
            .collect();
        assert_eq!(about, ["state in the map of 1:0:0:1"]);
        let claims = map.disagreements[0].claims.iter();
        let claims: Vec<_> = claims.map(|(who, what)| format!("{who}: {what}")).collect();
        assert_eq!(
            claims,
            [
                "sos_commands/devicemapper/dmsetup_status: failed",
                "sos_commands/multipath/multipath_-ll: active"
            ]
        );
        assert_eq!(imported.timeline.unwrap().len(), 1);
    }

    #[test]
    fn supportconfig_has_many_commands_in_a_file() {
        let text = format!(
            "#==[ Command ]===#\n# /sbin/lsmod\nModule Size\n\n#==[ Command ]===#\n# /sbin/multipath -ll\n{LL}"
        );
        let dir = tree(&[("mpio.txt", &text)]);
        assert_eq!(read(dir.path()).unwrap().inventory.maps.len(), 1);
    }

    #[test]
    fn links_are_not_followed_and_nothing_known_is_an_error() {
        let outside = tree(&[("multipath_-ll", LL)]);
        let dir = tree(&[("multipath.txt", "nothing\n")]);
        std::os::unix::fs::symlink(outside.path(), dir.path().join("multipath_link")).unwrap();
        std::os::unix::fs::symlink(
            outside.path().join("multipath_-ll"),
            dir.path().join("multipath_-ll"),
        )
        .unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("none of its 1 files"), "{error}");
        assert!(read(&dir.path().join("none")).is_err());
    }
}

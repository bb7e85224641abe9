//! Owns the paths of multipath-tools' files and program, and the bounded reads of them.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Sysroot, entries};

/// Longest configuration file that is read: thousands of maps.
pub const MAX_CONFIG: u64 = 1024 * 1024;

impl Sysroot {
    /// The configuration of multipath-tools.
    pub fn multipath_conf(&self) -> PathBuf {
        self.path("etc/multipath.conf")
    }

    /// The directory with more of it (`DEFAULT_CONFIG_DIR`).
    pub fn multipath_conf_dir(&self) -> PathBuf {
        self.path("etc/multipath/conf.d")
    }

    /// The daemon's program, which also asks the daemon; `None` when it is not installed.
    pub fn multipathd(&self) -> Option<PathBuf> {
        ["usr/sbin/multipathd", "sbin/multipathd"]
            .map(|place| self.path(place))
            .into_iter()
            .find(|program| program.is_file())
    }
}

/// The text of a configuration file, lossy UTF-8. One that is too long is an error, because half
/// of it would say something else.
pub fn read_config(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_CONFIG + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_CONFIG {
        let error = format!("longer than {MAX_CONFIG} bytes: no multipath configuration");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The configuration files of a directory, by name (libmultipath/config.c `process_config_dir`).
pub fn config_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = entries(dir)?;
    names.retain(|name| name.ends_with(".conf"));
    names.sort();
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_of_a_directory_come_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.conf.old", "README"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let names = config_files(dir.path()).unwrap();
        let expected = ["a.conf", "b.conf"].map(|name| dir.path().join(name));
        assert_eq!(names, expected);
        assert!(config_files(&dir.path().join("none")).is_err());
    }

    #[test]
    fn a_configuration_is_read_whole_or_not_at_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"prio \xff").unwrap();
        assert_eq!(read_config(file.path()).unwrap(), "prio \u{fffd}");
        fs::write(file.path(), "").unwrap();
        file.as_file().set_len(MAX_CONFIG).unwrap();
        assert_eq!(read_config(file.path()).unwrap().len() as u64, MAX_CONFIG);
        file.as_file().set_len(MAX_CONFIG + 1).unwrap();
        assert!(read_config(file.path()).is_err());
    }

    #[test]
    fn the_program_is_found_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = Sysroot::at(dir.path());
        assert_eq!(root.multipathd(), None);
        let program = dir.path().join("sbin/multipathd");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "").unwrap();
        assert_eq!(root.multipathd(), Some(program));
    }
}

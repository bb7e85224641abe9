//! The cpio archive ("newc") that a kernel unpacks as its first file system.

use std::io::{Result, Write};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// Writes one archive. Several may follow one another in a file.
#[derive(Debug)]
pub(crate) struct Archive<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// An empty archive.
    pub(crate) fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// A directory. Its parent must come first.
    pub(crate) fn directory(&mut self, name: &str, mode: u32) -> Result<()> {
        self.entry(name, DIRECTORY | mode, (0, 0), &[])
    }

    /// A regular file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.entry(name, REGULAR | mode, (0, 0), contents)
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) -> Result<()> {
        self.entry(name, LINK | 0o777, (0, 0), target.as_bytes())
    }

    /// A character device.
    pub(crate) fn device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(name, CHARACTER | 0o600, (major, minor), &[])
    }

    /// Ends the archive and gives the writer back.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) -> Result<()> {
        let name = name.trim_start_matches('/');
        let too_big = |_| std::io::Error::other(format!("{name} is too big for a cpio archive"));
        let size = u32::try_from(data.len()).map_err(too_big)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_big)?;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        self.inode += 1;
        let fields = [
            self.inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ];
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out.write_all(&[0])?;
        self.pad(110 + name.len() + 1)?;
        self.out.write_all(data)?;
        self.pad(data.len())
    }

    fn pad(&mut self, written: usize) -> Result<()> {
        self.out
            .write_all(&[0; 3][..written.next_multiple_of(4) - written])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.directory("etc", 0o755).unwrap();
        archive.file("/etc/abc", 0o640, b"hello").unwrap();
        archive.link("lib", "usr/lib").unwrap();
        archive.device("console", 5, 1).unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn layout_of_one_file() {
        let bytes = archive();
        let at = bytes
            .windows(6)
            .skip(1)
            .position(|w| w == b"070701")
            .unwrap()
            + 1;
        assert_eq!(at % 4, 0);
        let header = std::str::from_utf8(&bytes[at..at + 110]).unwrap();
        assert_eq!(&header[14..22], "000081A0", "mode of a file 0640");
        assert_eq!(&header[54..62], "00000005", "size");
        assert_eq!(
            &header[94..102],
            "00000008",
            "length of etc/abc and its end"
        );
        assert_eq!(&bytes[at + 110..at + 119], b"etc/abc\0\0");
        let data = at + (110_usize + 8).next_multiple_of(4);
        assert_eq!(&bytes[data..data + 8], b"hello\0\0\0");
    }

    #[test]
    fn ends_with_a_trailer_on_a_boundary() {
        let bytes = archive();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(11).any(|w| w == b"TRAILER!!!\0"));
    }

    #[test]
    fn the_cpio_program_agrees_where_there_is_one() {
        use std::process::{Command, Stdio};
        let Ok(mut child) = Command::new("cpio")
            .args(["-tv", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            return;
        };
        child.stdin.take().unwrap().write_all(&archive()).unwrap();
        let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert!(out.contains("lib -> usr/lib"), "{out}");
        assert!(out.contains("crw-------"), "{out}");
        assert!(out.contains("-rw-r-----"), "{out}");
    }
}

//! Owns the reading of a support bundle as it is sent: a tar file, packed by xz, gzip or bzip2. Nothing
//! is written: files are read in memory, within limits that a hostile archive meets first.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Component, Path};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::files::{Files, MAX_FILE};
use crate::safe;

/// Most bytes of an archive, unpacked: sosreports of large hosts have one or two GiB.
pub(super) const MAX_UNPACKED: u64 = 4 << 30;
/// Most bytes between two files: names that are too long for the header stand there.
const MAX_HEADER: u64 = 1 << 20;
/// Most memory that unpacking xz may take, in KiB: `xz -9` demands 65 MiB.
const MAX_XZ_KIB: u32 = 128 << 10;
/// Where a tar header says that it is one.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Xz,
    Gzip,
    Bzip2,
    Zstd,
}

/// Whether a file is an archive, by its first bytes.
pub(in crate::import) fn is_archive(path: &Path) -> bool {
    let mut head = [0; 512];
    let read = File::open(path).and_then(|mut file| {
        let mut length = 0;
        while length < head.len() {
            match file.read(&mut head[length..])? {
                0 => break,
                more => length += more,
            }
        }
        Ok(length)
    });
    read.is_ok_and(|length| packing(&head[..length]).is_some())
}

fn packing(head: &[u8]) -> Option<Packing> {
    let (at, magic) = TAR_MAGIC;
    let known: [(&[u8], Packing); 4] = [
        (b"\xfd7zXZ\0", Packing::Xz),
        (b"\x1f\x8b", Packing::Gzip),
        (b"BZh", Packing::Bzip2),
        (b"\x28\xb5\x2f\xfd", Packing::Zstd),
    ];
    let packed = known.iter().find(|(magic, _)| head.starts_with(magic));
    let plain = head.get(at..at + magic.len()) == Some(magic);
    packed
        .map(|(_, packing)| *packing)
        .or(plain.then_some(Packing::None))
}

/// The files in an archive, by name.
///
/// # Errors
/// It cannot be read or is damaged; it names a file outside of itself; it is larger than anything that
/// is read.
pub(super) fn of_archive(path: &Path) -> Result<Files> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    within(path, io::BufReader::new(file), MAX_UNPACKED)
}

/// The files in an archive's bytes; `path` is what it is called.
pub(super) fn within(
    path: &Path,
    bytes: impl BufRead + 'static,
    max_unpacked: u64,
) -> Result<Files> {
    let what = || format!("cannot read {}", path.display());
    let budget = Rc::new(Budget {
        all: Cell::new(max_unpacked),
        header: Cell::new(MAX_HEADER),
    });
    let reader = Limited {
        inner: unpacked(path, bytes)?,
        budget: Rc::clone(&budget),
    };
    let mut archive = tar::Archive::new(reader);
    let (mut files, mut others) = (Files::default(), 0_usize);
    let mut progress = Progress::new(path, max_unpacked);
    for entry in archive.entries().with_context(what)? {
        progress.say(budget.all.get());
        let mut entry = entry.with_context(what)?;
        budget.header.set(u64::MAX);
        files.ensure_room(path)?;
        let name = inner_name(&entry.path_bytes())
            .with_context(|| format!("{} is refused, nothing of it is read", path.display()))?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_sparse() {
            bail!(
                "{}: {name} is stored as a sparse file, which can unpack to any size: unpack it \
                 yourself, and name the directory",
                path.display()
            );
        }
        if kind.is_file() {
            let length = entry.size();
            if length > budget.all.get() {
                return Err(too_large()).with_context(what);
            }
            files.take(&name, length, |skipped| {
                io::copy(&mut (&mut entry).take(skipped), &mut io::sink())?;
                let mut bytes = Vec::new();
                (&mut entry).take(MAX_FILE).read_to_end(&mut bytes)?;
                Ok(bytes)
            });
        } else if !kind.is_dir() {
            others += 1;
        }
        // To its end, so that what is read next is a header.
        io::copy(&mut entry, &mut io::sink()).with_context(what)?;
        budget.header.set(MAX_HEADER);
    }
    if others > 0 {
        let note = format!("{others} links and special files in it are passed over");
        files.notes.push(note);
    }
    Ok(files.sorted())
}

/// A file's name within the archive.
fn inner_name(bytes: &[u8]) -> Result<String> {
    let name = String::from_utf8_lossy(bytes);
    let inside = |it: Component<'_>| matches!(it, Component::Normal(_) | Component::CurDir);
    if !Path::new(&*name).components().all(inside) {
        bail!("it names a file outside of itself, {name:?}");
    }
    Ok(name.trim_start_matches("./").to_owned())
}

fn unpacked(path: &Path, mut bytes: impl BufRead + 'static) -> Result<Box<dyn Read>> {
    let what = || format!("cannot read {}", path.display());
    Ok(match packing(bytes.fill_buf().with_context(what)?) {
        Some(Packing::Xz) => Box::new(lzma_rust2::XzReader::new_mem_limit(bytes, true, MAX_XZ_KIB)),
        Some(Packing::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
        Some(Packing::Bzip2) => Box::new(bzip2::bufread::MultiBzDecoder::new(bytes)),
        Some(Packing::None) => Box::new(bytes),
        Some(Packing::Zstd) => bail!(
            "{} is packed by zstd, which is not read: unpack it (tar --zstd -xf), and name the \
             directory",
            path.display()
        ),
        None => bail!("{} is no tar file", path.display()),
    })
}

/// What may still be read.
struct Budget {
    all: Cell<u64>,
    /// Before the next file.
    header: Cell<u64>,
}

struct Limited {
    inner: Box<dyn Read>,
    budget: Rc<Budget>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Budget { all, header } = &*self.budget;
        if header.get() == 0 {
            return Err(io::Error::other(
                "more than 1 MiB between two files: this is no archive that tar made",
            ));
        }
        if all.get() == 0 {
            return Err(too_large());
        }
        let most = all.get().min(header.get()).min(buffer.len() as u64);
        // It is no more than the buffer's length.
        let read = self.inner.read(&mut buffer[..most as usize])?;
        all.set(all.get() - read as u64);
        if header.get() != u64::MAX {
            header.set(header.get() - read as u64);
        }
        Ok(read)
    }
}

/// A line on a terminal, for archives that take long.
struct Progress<'a> {
    path: &'a Path,
    most: u64,
    said: Instant,
    has_said: bool,
}

impl<'a> Progress<'a> {
    fn new(path: &'a Path, most: u64) -> Self {
        Self {
            path,
            most,
            said: Instant::now(),
            has_said: false,
        }
    }

    fn say(&mut self, left: u64) {
        const PAUSE: Duration = Duration::from_secs(1);
        if self.said.elapsed() > PAUSE && io::stderr().is_terminal() {
            let mib = self.most.saturating_sub(left) >> 20;
            let name = safe::name(&self.path.display().to_string());
            eprint!("\r\x1b[K{name}: {mib} MiB unpacked");
            (self.said, self.has_said) = (Instant::now(), true);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.has_said {
            eprint!("\r\x1b[K");
        }
    }
}

fn too_large() -> io::Error {
    io::Error::other(format!(
        "it unpacks to more than {} GiB, which no support bundle does: unpack what you need of it, and \
         name the directory",
        MAX_UNPACKED >> 30
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use tar::{Builder, EntryType, Header};

    use super::*;

    const LL: &str = "mpatha (36001) dm-0 ACME,Array\nsize=1.0G features='0' hwhandler='1 alua' wp=rw\n\
        `-+- policy='service-time 0' prio=50 status=active\n  `- 1:0:0:1 sdb 8:16 active ready running\n";
    const NAME: &str = "sosreport-host/sos_commands/multipath/multipath_-ll";

    /// A file of an archive: its name as the header has it, whatever it is.
    fn header(name: &[u8], kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn tar(entries: &[(&[u8], EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let header = header(name, *kind, content.len() as u64);
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn good() -> Vec<u8> {
        tar(&[(NAME.as_bytes(), EntryType::Regular, LL.as_bytes())])
    }

    /// What is read of an archive with these bytes, and what stands beside it afterwards.
    fn read(bytes: &[u8]) -> Result<Files> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle");
        fs::write(&path, bytes).unwrap();
        let files = of_archive(&path);
        let beside = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(beside, 1, "something was written");
        files
    }

    fn refusal(bytes: &[u8]) -> String {
        format!("{:#}", read(bytes).unwrap_err())
    }

    #[test]
    fn whatever_it_is_packed_by_its_files_are_read() {
        let plain = good();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&plain).unwrap();
        let xz = include_bytes!("../../../fixtures/bundle.tar.xz").to_vec();
        for bytes in [plain, gzip.finish().unwrap(), bzip2.finish().unwrap(), xz] {
            let files = read(&bytes).unwrap();
            let [file] = &files.read[..] else {
                panic!("{files:?}")
            };
            assert_eq!((file.name.as_str(), file.text.as_str()), (NAME, LL));
        }
    }

    #[test]
    fn a_file_outside_refuses_all_of_it() {
        for name in ["../etc/multipath", "a/../../multipath", "/etc/multipath"] {
            let bytes = tar(&[
                (NAME.as_bytes(), EntryType::Regular, LL.as_bytes()),
                (name.as_bytes(), EntryType::Regular, b"x"),
            ]);
            let refusal = refusal(&bytes);
            assert!(refusal.contains("outside of itself"), "{refusal}");
        }
    }

    #[test]
    fn links_and_devices_are_passed_over() {
        let bytes = tar(&[
            (b"multipath_link", EntryType::Symlink, b""),
            (b"multipath_hard", EntryType::Link, b""),
            (b"multipath_device", EntryType::Char, b""),
            (NAME.as_bytes(), EntryType::Regular, LL.as_bytes()),
        ]);
        let files = read(&bytes).unwrap();
        assert_eq!((files.read.len(), files.n_seen), (1, 1));
        assert_eq!(
            files.notes,
            ["3 links and special files in it are passed over"]
        );
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let mut bytes = header(NAME.as_bytes(), EntryType::Regular, 10 << 30)
            .as_bytes()
            .to_vec();
        bytes.extend([0; 4096]);
        assert!(refusal(&bytes).contains("more than 4 GiB"));
        let sparse = tar(&[(NAME.as_bytes(), EntryType::GNUSparse, b"")]);
        assert!(read(&sparse).is_err());
        // A name of any length stands before the file that it is of.
        let long = vec![b'a'; 2 << 20];
        let bytes = tar(&[
            (b"././@LongLink", EntryType::GNULongName, &long),
            (NAME.as_bytes(), EntryType::Regular, LL.as_bytes()),
        ]);
        assert!(refusal(&bytes).contains("between two files"));
    }

    #[test]
    fn what_is_unpacked_is_counted_whatever_headers_say() {
        let path = Path::new("bundle.tar");
        let many: Vec<(&[u8], EntryType, &[u8])> =
            vec![(b"some/file", EntryType::Regular, &[0; 4096]); 32];
        let bytes = tar(&many);
        let read = |max| within(path, io::Cursor::new(bytes.clone()), max);
        assert!(read(256 << 10).is_ok());
        let error = format!("{:#}", read(64 << 10).unwrap_err());
        assert!(error.contains("unpacks to more"), "{error}");
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        let xz = include_bytes!("../../../fixtures/bundle.tar.xz");
        for bytes in [&good()[..], xz] {
            for end in 0..bytes.len() {
                let _ = read(&bytes[..end]);
            }
        }
    }

    #[test]
    fn only_archives_are_taken_for_some() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (bytes, is) in [
            (good(), true),
            (b"BZh91AY".to_vec(), true),
            (LL.into(), false),
            (Vec::new(), false),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(is_archive(&path), is);
        }
    }
}

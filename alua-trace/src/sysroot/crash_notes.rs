//! Owns the numbers that the kernel leaves for those who read its crash dumps: the note `VMCOREINFO` of `/proc/kcore`
//! (kernel/crash_core.c `crash_save_vmcoreinfo_init`, fs/proc/kcore.c `read_kcore`), lines such as `NUMBER(VA_BITS)=48`.

use std::io::{self, Read, Seek, SeekFrom};

use super::{MAX_READ, Sysroot};

/// Where they begin in the header of an ELF file of 64 bits, and of a program header.
const PROGRAM_HEADERS_AT: usize = 32;
const PROGRAM_HEADER_BYTES_AT: usize = 54;
const PROGRAM_HEADERS: usize = 56;
const HEADER_BYTES: usize = 64;
const FILE_OFFSET_AT: usize = 8;
const FILE_BYTES_AT: usize = 32;
const PT_NOTE: u32 = 4;
/// Name, contents and type of a note have these 32-bit numbers before them; name and contents are padded to words.
const NOTE_HEADER_BYTES: usize = 12;

/// The numbers of these names, in the order in which they are given; `None` for one that is not there.
///
/// # Errors
/// `/proc/kcore` cannot be read (CAP_SYS_RAWIO, or locked down), or is none.
pub fn crash_numbers(sysroot: &Sysroot, names: &[&str]) -> io::Result<Vec<Option<u64>>> {
    let notes = notes(sysroot.kcore()?)?;
    let text = note(&notes, b"VMCOREINFO").unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let number = |name: &&str| {
        let begin = format!("NUMBER({name})=");
        let value = text.lines().find_map(|line| line.strip_prefix(&begin))?;
        match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => value.parse().ok(),
        }
    };
    Ok(names.iter().map(number).collect())
}

/// The segment of notes of an ELF core file.
fn notes(mut file: impl Read + Seek) -> io::Result<Vec<u8>> {
    let head = read(&mut file, 0, MAX_READ)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is no core file");
    let first = number::<8>(&head, PROGRAM_HEADERS_AT).ok_or_else(damaged)?;
    let bytes = number::<2>(&head, PROGRAM_HEADER_BYTES_AT).ok_or_else(damaged)?;
    let count = number::<2>(&head, PROGRAM_HEADERS).ok_or_else(damaged)?;
    if !head.starts_with(b"\x7fELF\x02") || head.len() < HEADER_BYTES {
        return Err(damaged());
    }
    for nth in 0..count {
        let at = usize::try_from(first.saturating_add(nth * bytes)).map_err(|_| damaged())?;
        if number::<4>(&head, at) == Some(u64::from(PT_NOTE)) {
            let from = number::<8>(&head, at + FILE_OFFSET_AT).ok_or_else(damaged)?;
            let length = number::<8>(&head, at + FILE_BYTES_AT).ok_or_else(damaged)?;
            return read(&mut file, from, length.min(MAX_READ));
        }
    }
    Ok(Vec::new())
}

fn read(file: &mut (impl Read + Seek), from: u64, most: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The contents of the note of this name.
fn note<'a>(mut notes: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let padded = |bytes: u64| usize::try_from(bytes.checked_next_multiple_of(4)?).ok();
    loop {
        let (name, contents) = (number::<4>(notes, 0)?, number::<4>(notes, 4)?);
        let rest = notes.get(NOTE_HEADER_BYTES..)?;
        let (own, rest) = rest.split_at_checked(padded(name)?)?;
        let is_it = own.split(|byte| *byte == 0).next() == Some(wanted);
        let (held, rest) = rest.split_at_checked(padded(contents)?.min(rest.len()))?;
        if is_it {
            return held.get(..usize::try_from(contents).ok()?.min(held.len()));
        }
        notes = rest;
    }
}

/// A number of `BYTES` bytes at an offset.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let own = bytes.get(at..at.checked_add(BYTES)?)?;
    let mut number = [0; 8];
    number[..BYTES].copy_from_slice(own);
    Some(u64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str =
        "OSRELEASE=6.1.0\nNUMBER(VA_BITS)=48\nNUMBER(VMEMMAP_START)=0xfffffc0000000000\n";

    fn core() -> Vec<u8> {
        let mut notes = Vec::new();
        for (name, contents) in [
            (&b"CORE\0"[..], &[7; 10][..]),
            (b"VMCOREINFO\0", TEXT.as_bytes()),
        ] {
            for number in [name.len() as u32, contents.len() as u32, 0] {
                notes.extend(number.to_le_bytes());
            }
            for part in [name, contents] {
                notes.extend(part);
                notes.resize(notes.len().next_multiple_of(4), 0);
            }
        }
        let mut core = vec![0; 64 + 2 * 56];
        core[..5].copy_from_slice(b"\x7fELF\x02");
        core[32] = 64;
        core[54] = 56;
        core[56] = 2;
        core[64] = 1;
        core[120] = 4;
        core[128..136].copy_from_slice(&176_u64.to_le_bytes());
        core[152..160].copy_from_slice(&(notes.len() as u64).to_le_bytes());
        core.extend(notes);
        core
    }

    fn numbers(core: &[u8]) -> io::Result<Vec<Option<u64>>> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/kcore"), core).unwrap();
        crash_numbers(
            &Sysroot::at(dir.path()),
            &["VMEMMAP_START", "VA_BITS", "BITS"],
        )
    }

    #[test]
    fn numbers_are_found_by_their_whole_names() {
        let found = numbers(&core()).unwrap();
        assert_eq!(found, [Some(0xffff_fc00_0000_0000), Some(48), None]);
    }

    #[test]
    fn what_is_cut_or_no_core_file_is_an_error_or_has_no_numbers() {
        let whole = core();
        for length in 0..whole.len() {
            if let Ok(found) = numbers(&whole[..length]) {
                assert!(found.iter().flatten().count() < 3);
            }
        }
        assert!(numbers(b"\x7fELF\x01").is_err() && numbers(b"").is_err());
        let mut endless = core();
        endless[128..136].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(numbers(&endless).is_err() || numbers(&endless).unwrap() == [None; 3]);
    }
}

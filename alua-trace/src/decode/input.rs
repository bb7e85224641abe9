//! Owns how the bytes to decode come in: from a file or standard input, as a hexadecimal dump, as
//! the words of sg_inq or sg_rtpg, or as they are.

use std::fs::File;
use std::io::Read;
use std::str;

use anyhow::{Context, Result, ensure};

use crate::cli::{DecodeInput, DecodePage};

use super::{hexdump, words};

/// What to decode.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dump {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// What the reader should know of where they come from.
    pub(crate) notes: Vec<String>,
}

/// Reads all of the input; `what` it is not if it is longer than `max_mib`.
pub(crate) fn read(input: &DecodeInput, max_mib: u64, what: &str) -> Result<Vec<u8>> {
    let max_bytes = max_mib << 20;
    let mut bytes = Vec::new();
    match input {
        DecodeInput::Stdin => std::io::stdin()
            .take(max_bytes + 1)
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?,
        DecodeInput::File(path) => File::open(path)
            .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {}", path.display()))?,
    };
    ensure!(
        bytes.len() as u64 <= max_bytes,
        "more than {max_mib} MiB: {what}"
    );
    Ok(bytes)
}

/// The bytes that the input stands for.
pub(crate) fn bytes(page: DecodePage, input: &[u8]) -> Result<Dump> {
    ensure!(!input.is_empty(), "the input is empty");
    let Some(text) = as_text(input) else {
        return Ok(Dump {
            bytes: input.to_vec(),
            notes: Vec::new(),
        });
    };
    let mut notes: Vec<_> = words::renamed(text).into_iter().collect();
    let bytes = if let Some(bytes) = words::bytes(page, text)? {
        notes.push("made of words: bits they do not tell are taken for 0".to_owned());
        notes.extend(words::untold(page, text));
        bytes
    } else {
        hexdump::parse(text)?
    };
    Ok(Dump { bytes, notes })
}

/// The input as text, unless it has control characters that no dump has.
fn as_text(input: &[u8]) -> Option<&str> {
    let binary = |byte: &u8| byte.is_ascii_control() && !b"\t\n\r".contains(byte);
    str::from_utf8(input)
        .ok()
        .filter(|_| !input.iter().any(binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_c9(input: &[u8]) -> Result<Vec<u8>> {
        bytes(DecodePage::VolumeAccess, input).map(|dump| dump.bytes)
    }

    #[test]
    fn bytes_that_are_no_text_are_taken_as_they_are() {
        for raw in [b"\0\xc9\0\x2cvac1".as_slice(), b"\xff", b"p\x1b"] {
            assert_eq!(page_c9(raw).unwrap(), raw);
        }
        assert_eq!(page_c9(b"00 c9\r\n\t2c\n").unwrap(), [0, 0xc9, 0x2c]);
        assert!(page_c9(b"").is_err());
    }

    #[test]
    fn files_are_read_to_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let input = DecodeInput::File(file.path().to_owned());
        file.as_file().set_len(2 << 20).unwrap();
        assert_eq!(read(&input, 2, "").unwrap().len(), 2 << 20);
        file.as_file().set_len((2 << 20) + 1).unwrap();
        let error = read(&input, 2, "no dump").unwrap_err().to_string();
        assert_eq!(error, "more than 2 MiB: no dump");
        let missing = DecodeInput::File("/nonexistent/dump".into());
        let error = format!("{:#}", read(&missing, 1, "").unwrap_err());
        assert!(error.contains("cannot read /nonexistent/dump"), "{error}");
    }
}

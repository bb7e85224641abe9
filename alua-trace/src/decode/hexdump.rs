//! Owns the reading of hexadecimal dumps: as sg3_utils prints them, as xxd and hexdump -C do, and
//! as plain bytes.
//!
//! Before the first bytes there may be any prose, such as a command and a title. After them there
//! may be none: it could be a byte with a typing error. What follows a `#` is a comment, and commas
//! part bytes as blanks do (sg3_utils `--inhex`).

use thiserror::Error;

/// Bytes in a line with an address, after which its text column begins.
const LINE_BYTES: usize = 16;
/// Spaces that separate the text column from the bytes of a short line; bytes are separated by one
/// space, or by two in the middle of a line.
const COLUMN_GAP: usize = 3;

/// Why something is no dump. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum HexError {
    #[error("there is no hexadecimal dump in it")]
    NoBytes,
    #[error("line {line}: not a line of a hexadecimal dump")]
    NoHex { line: usize },
    #[error("line {line}, column {column}: {token:?} is no hexadecimal byte")]
    NoByte {
        line: usize,
        column: usize,
        token: String,
    },
    #[error("line {line}: address 0x{address:x}, but 0x{before:x} bytes came before")]
    Address {
        line: usize,
        address: usize,
        before: usize,
    },
}

/// The bytes of the dump in `text`.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let number = nth + 1;
        let line = without_comment(line);
        let start = line.trim_start();
        if start.is_empty() {
            continue;
        }
        if looks_like_hex(start) {
            add_line(number, line, &mut bytes)?;
        } else if !bytes.is_empty() {
            return Err(HexError::NoHex { line: number });
        }
    }
    if bytes.is_empty() {
        return Err(HexError::NoBytes);
    }
    Ok(bytes)
}

/// A line up to its comment. In a text column a `#` is a character: those begin with a bar, or stand
/// behind an address.
fn without_comment(line: &str) -> &str {
    let end = line.find('#').filter(|end| {
        let before = line.get(..*end).unwrap_or_default();
        let own = before.is_empty() || before.ends_with([' ', '\t']);
        own && !before.contains('|') && split_address(line).0.is_none()
    });
    line.get(..end.unwrap_or(line.len())).unwrap_or(line)
}

/// Whether a line begins with an address or a byte; a wrong one, too, if it is as short as one. A
/// letter by itself is a word.
fn looks_like_hex(line: &str) -> bool {
    let first = line.split(|c: char| c.is_whitespace() || c == ',');
    let first = first.into_iter().next().unwrap_or_default();
    let digits = digits(first.trim_end_matches(':'));
    let is_hex = |c: char| c.is_ascii_hexdigit();
    match digits.len() {
        0 => false,
        1 => digits.starts_with(|c: char| c.is_ascii_digit()),
        2 => digits.starts_with(is_hex),
        _ => digits.chars().all(is_hex),
    }
}

/// A number without what may come before and after it in C.
fn digits(token: &str) -> &str {
    let token = token.trim_end_matches(',');
    token.strip_prefix("0x").unwrap_or(token)
}

fn add_line(number: usize, line: &str, bytes: &mut Vec<u8>) -> Result<(), HexError> {
    if is_final_address(line, bytes.len()) {
        return Ok(());
    }
    if let Some(rest) = od_address(line, bytes.len()) {
        return add_od_line(number, line, rest, bytes);
    }
    let (address, rest) = split_address(line);
    if let Some(address) = address
        && address != bytes.len()
    {
        return Err(HexError::Address {
            line: number,
            address,
            before: bytes.len(),
        });
    }
    let end = address.map(|address| address + LINE_BYTES);
    let mut at = line.len() - rest.len();
    while let Some((gap, token)) = next_token(line, at) {
        let first = bytes.len() == address.unwrap_or_default();
        let in_text_column = end.is_some_and(|end| bytes.len() >= end)
            || address.is_some() && !first && gap >= COLUMN_GAP
            || token.starts_with('|');
        if in_text_column {
            break;
        }
        let column = line.get(..at + gap).unwrap_or(line).chars().count() + 1;
        add_token(token, bytes).ok_or_else(|| HexError::NoByte {
            line: number,
            column,
            token: token.chars().take(16).collect(),
        })?;
        at += gap + token.len();
    }
    Ok(())
}

/// Whether this is the line with which hexdump and od end: the length as an address, and no bytes.
fn is_final_address(line: &str, length: usize) -> bool {
    let token = line.trim();
    token.len() >= ADDRESS_DIGITS && length > 0 && is_address(token, length)
}

/// What follows the address that od and hexdump begin a line with, one blank behind it: six or more
/// digits that say how many bytes came before, in any of the bases of `od -A`.
fn od_address(line: &str, before: usize) -> Option<&str> {
    let start = line.trim_start();
    let (address, rest) = start.split_once(' ')?;
    let is_od = address.len() >= ADDRESS_DIGITS
        && !rest.starts_with(' ')
        && !rest.trim().is_empty()
        && is_address(address, before);
    is_od.then_some(rest)
}

/// Bytes of od, or words of 16 bits as od -x and hexdump print them: of the host's order, which is
/// little-endian wherever such dumps come from.
fn add_od_line(number: usize, line: &str, rest: &str, bytes: &mut Vec<u8>) -> Result<(), HexError> {
    let mut at = line.len() - rest.len();
    while let Some((gap, token)) = next_token(line, at) {
        let no_byte = || HexError::NoByte {
            line: number,
            column: line.get(..at + gap).unwrap_or(line).chars().count() + 1,
            token: token.chars().take(16).collect(),
        };
        let value = u16::from_str_radix(token, 16).map_err(|_| no_byte())?;
        match token.len() {
            2 => bytes.extend(u8::try_from(value)),
            4 => bytes.extend(value.to_le_bytes()),
            _ => return Err(no_byte()),
        }
        at += gap + token.len();
    }
    Ok(())
}

/// Digits of an address of od, at least.
const ADDRESS_DIGITS: usize = 6;

fn is_address(token: &str, address: usize) -> bool {
    [16, 10, 8]
        .into_iter()
        .any(|radix| usize::from_str_radix(token, radix) == Ok(address))
}

/// The address at the beginning of a line, if there is one, and what follows it.
fn split_address(line: &str) -> (Option<usize>, &str) {
    let start = line.trim_start();
    let end = start
        .find(|c: char| c.is_whitespace())
        .unwrap_or(start.len());
    let (first, rest) = start.split_at(end);
    let address = |text: &str| usize::from_str_radix(digits(text), 16).ok();
    let far = rest.starts_with("  ") || rest.starts_with('\t');
    let found = match first.strip_suffix(':') {
        Some(first) => address(first),
        None if far && !rest.trim().is_empty() => address(first),
        None => None,
    };
    found.map_or((None, line), |address| (Some(address), rest))
}

/// The token after position `at`, and the length of the space before it.
fn next_token(line: &str, at: usize) -> Option<(usize, &str)> {
    let rest = line.get(at..)?;
    let token = rest.trim_start();
    let gap = rest.len() - token.len();
    let end = token.find(char::is_whitespace).unwrap_or(token.len());
    let whole = token.get(..end).unwrap_or(token);
    // A comma ends a token, and is part of it.
    let end = whole.find(',').map_or(whole.len(), |comma| comma + 1);
    (!token.is_empty()).then(|| (gap, whole.get(..end).unwrap_or(whole)))
}

/// Adds the bytes of a token of one or more pairs of digits, or of a single one; `None` if it is
/// something else.
fn add_token(token: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let digits = digits(token).as_bytes();
    if let [digit] = digits {
        bytes.push(u8::try_from(char::from(*digit).to_digit(16)?).ok()?);
        return Some(());
    }
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    for pair in digits.chunks_exact(2) {
        let digit = |nth: usize| char::from(*pair.get(nth)?).to_digit(16);
        bytes.push(u8::try_from(digit(0)? << 4 | digit(1)?).ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::bytes::Noise;

    const SAMPLE: &str = include_str!("../../fixtures/sg_vpd-c9.txt");

    fn sample() -> Vec<u8> {
        let mut page = b"\0\xc9\0\x2cvac1\xf1\x01\x00\x01\x01\x01".to_vec();
        page.resize(48, 0);
        page
    }

    #[test]
    fn dumps_of_sg3_utils_are_read_as_they_are() {
        assert_eq!(parse(SAMPLE).unwrap(), sample());
    }

    #[test]
    fn other_programs_dumps_are_read_too() {
        let expected = b"\0\xc9\0\x2cvac1\xf1\x01\0\x01ab\xcd\xefg";
        for dump in [
            // xxd, hexdump -C, sg_vpd -HHH, C, all in one; text columns full of digits.
            "00000000: 00c9 002c 7661 6331 f101 0001 6162 cdef  ...,vac1....ab..\n\
             00000010: 67                                       ab\n",
            "00000000  00 c9 00 2c 76 61 63 31  f1 01 00 01 61 62 cd ef  |ab cd ...|\n\
             00000010  67                                                |67|\n00000011\n",
            "00 c9 00 2c 76 61 63 31  f1 01 00 01 61 62 cd ef\n67\n",
            "0x00, 0xc9, 0x00, 0x2c, 0x76, 0x61, 0x63, 0x31,\n\
             0xf1, 0x01, 0x00, 0x01, 0x61, 0x62, 0xcd, 0xef,\n0x67\n",
            "# a comment\nA title:\n\n00c9002c76616331f10100016162cdef67",
            " 00     00 c9 00 2c 76 61 63 31  f1 01 00 01 61 62 cd ef   ab cd ef 01\n \
             10     67                                                 67\n",
        ] {
            assert_eq!(parse(dump).unwrap(), expected, "{dump}");
        }
    }

    #[test]
    fn dumps_of_od_have_addresses_of_any_base() {
        let bytes: Vec<u8> = (0..20).collect();
        for dump in [
            "000000 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n000010 10 11 12 13\n000014\n",
            "0000000 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n0000020 10 11 12 13\n0000024\n",
            "0000000 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n0000016 10 11 12 13\n0000020\n",
        ] {
            assert_eq!(parse(dump).unwrap(), bytes, "{dump}");
        }
    }

    #[test]
    fn words_of_hexdump_are_of_the_hosts_order() {
        for dump in [
            "0000000 8300 0c00 0301\n0000006\n",
            "000000 8300 0c00 0301\n000006\n",
        ] {
            assert_eq!(parse(dump).unwrap(), [0, 0x83, 0, 0x0c, 1, 3], "{dump}");
        }
        // od without -t prints octal words.
        let error = parse("0000000 101400 006000 001401\n0000006\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 1, column 9: \"101400\" is no hexadecimal byte"
        );
    }

    #[test]
    fn what_inhex_takes_is_read() {
        for text in [
            "72 6 2a 6 0 0 0 0   # key, code, qualifier",
            "72,6,2a,6,0,0,0,0\n# end",
            "0x72,0x6,0x2a, 06\n0 0 0 0 #",
        ] {
            assert_eq!(
                parse(text).unwrap(),
                [0x72, 6, 0x2a, 6, 0, 0, 0, 0],
                "{text}"
            );
        }
    }

    #[test]
    fn gaps_are_found_by_their_addresses() {
        let missing = "00     00 c9\n20     00\n";
        assert_eq!(
            parse(missing).unwrap_err().to_string(),
            "line 2: address 0x20, but 0x2 bytes came before"
        );
        let second = format!("{SAMPLE}{SAMPLE}");
        let error = parse(&second).unwrap_err().to_string();
        assert!(error.starts_with("line 7: "), "{error}");
        let error = parse("10     00 c9\n").unwrap_err();
        assert!(
            matches!(error, HexError::Address { line: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn typing_errors_are_named_by_line_and_column() {
        for (dump, message) in [
            (
                "00 c9\n00 2g\n",
                "line 2, column 4: \"2g\" is no hexadecimal byte",
            ),
            ("0g c9\n", "line 1, column 1: \"0g\" is no hexadecimal byte"),
            (
                "0g: c9\n",
                "line 1, column 1: \"0g:\" is no hexadecimal byte",
            ),
            (
                "00 c9\n123\n",
                "line 2, column 1: \"123\" is no hexadecimal byte",
            ),
            (
                "00     00 c9\n*\n",
                "line 2: not a line of a hexadecimal dump",
            ),
            (
                "00 c9\nthe end\n",
                "line 2: not a line of a hexadecimal dump",
            ),
            ("  nothing here\n", "there is no hexadecimal dump in it"),
            (
                "00 é\u{1b}[2J",
                "line 1, column 4: \"é\\u{1b}[2J\" is no hexadecimal byte",
            ),
        ] {
            assert_eq!(parse(dump).unwrap_err().to_string(), message, "{dump}");
        }
    }

    #[test]
    fn prefixes_and_arbitrary_text_never_panic() {
        for end in 0..SAMPLE.len() {
            if let Ok(bytes) = parse(&SAMPLE[..end]) {
                assert!(sample().starts_with(&bytes[..bytes.len() - 1]), "{end}");
            }
        }
        let mut noise = Noise::new();
        let alphabet: Vec<char> = "0123456789abcdefx,: \t\n\r|*#é–g".chars().collect();
        for round in 0..20_000 {
            let text: String = (0..round % 60)
                .map(|_| alphabet[usize::from(noise.byte()) % alphabet.len()])
                .collect();
            if let Ok(bytes) = parse(&text) {
                assert!(bytes.len() <= text.len() / 2 + 1);
            }
        }
    }
}

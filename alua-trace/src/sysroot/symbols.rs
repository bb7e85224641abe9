//! Owns the look-up of kernel addresses in `/proc/kallsyms`: one pass over the stream.
//!
//! A line is `<address> <type> <name>` and, for a symbol of a module, `\t[<module>]`
//! (kernel/kallsyms.c `s_show`). The kernel spends far more on making these lines than this pass
//! on reading them: no line becomes a `String`, and most are dismissed by one table look-up.

use std::io;
use std::io::BufRead;

use super::Sysroot;

/// Why no addresses could be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolsError {
    /// The symbol table cannot be read.
    #[error("cannot read the kernel's symbol table")]
    Io(#[from] io::Error),
    /// The symbol is there and its address is hidden (`kallsyms_show_value`).
    #[error(
        "the kernel hides its addresses: CAP_SYSLOG is needed, and kernel.kptr_restrict below 2"
    )]
    Restricted,
}

/// Addresses of `(module, function)` pairs, in the order they are given; `None` for one that the
/// kernel does not have.
///
/// A symbol of a module that `/proc/modules` lists must carry that module's name; of any other
/// module, and of `vmlinux`, it must carry none, as when it is built in. Names must be equal:
/// `name.part.0` is another symbol. Of several equal ones the first counts. An address of 0 is
/// [`SymbolsError::Restricted`].
pub fn addresses(
    sysroot: &Sysroot,
    wanted: &[(&str, &str)],
) -> Result<Vec<Option<u64>>, SymbolsError> {
    let modules = sysroot.modules().unwrap_or_default();
    let wanted: Vec<Wanted<'_>> = wanted
        .iter()
        .map(|&(module, name)| Wanted {
            name: name.as_bytes(),
            module: modules
                .iter()
                .any(|loaded| loaded == module)
                .then_some(module.as_bytes()),
        })
        .collect();
    search(sysroot.kallsyms()?, &wanted)
}

struct Wanted<'a> {
    name: &'a [u8],
    /// The module column; `None` is an absent one.
    module: Option<&'a [u8]>,
}

fn search(
    mut stream: impl BufRead,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Option<u64>>, SymbolsError> {
    let mut candidates = [false; 256];
    for symbol in wanted {
        candidates[usize::from(fingerprint(symbol.name))] = true;
    }
    let mut found = vec![None; wanted.len()];
    let mut n_missing = wanted.len();
    let mut line = Vec::with_capacity(512);
    while n_missing > 0 {
        line.clear();
        if stream.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let Some(symbol) = Line::parse(&line) else {
            continue;
        };
        if !candidates[usize::from(fingerprint(symbol.name))] {
            continue;
        }
        for (slot, want) in found.iter_mut().zip(wanted) {
            if slot.is_some() || want.name != symbol.name || want.module != symbol.module() {
                continue;
            }
            *slot = match symbol.address() {
                Some(0) => return Err(SymbolsError::Restricted),
                address => address,
            };
            n_missing -= usize::from(slot.is_some());
        }
    }
    Ok(found)
}

/// Tells most names apart from the wanted ones without comparing them.
fn fingerprint(name: &[u8]) -> u8 {
    let first = name.first().copied().unwrap_or(0);
    let middle = name.get(name.len() / 2).copied().unwrap_or(0);
    let last = name.last().copied().unwrap_or(0);
    // Only the low byte of the length counts.
    let length = name.len().to_le_bytes()[0];
    length
        .wrapping_mul(31)
        .wrapping_add(first)
        .wrapping_mul(31)
        .wrapping_add(middle)
        .wrapping_mul(31)
        .wrapping_add(last)
}

struct Line<'a> {
    address: &'a [u8],
    name: &'a [u8],
    /// What follows the name, with the tabulator.
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let address_end = line.iter().position(|&byte| byte == b' ')?;
        // A space, the type letter, a space.
        let name_and_rest = line.get(address_end + 3..)?;
        let name_end = name_and_rest
            .iter()
            .position(|byte| matches!(byte, b'\t' | b' ' | b'\n'))
            .unwrap_or(name_and_rest.len());
        let (name, rest) = name_and_rest.split_at_checked(name_end)?;
        Some(Self {
            address: line.get(..address_end)?,
            name,
            rest,
        })
    }

    fn module(&self) -> Option<&'a [u8]> {
        self.rest
            .trim_ascii()
            .strip_prefix(b"[")?
            .strip_suffix(b"]")
    }

    fn address(&self) -> Option<u64> {
        u64::from_str_radix(str::from_utf8(self.address).ok()?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KALLSYMS: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000010 T dm_path_uevent
ffffffff81000020 t fail_path
ffffffff81000030 T blk_mq_end_request
ffffffffc0a1b000 t fail_path.part.0\t[dm_multipath]
ffffffffc0a1b2c0 t fail_path\t[dm_multipath]
ffffffffc0b00000 t trigger_event\t[dm_raid]
ffffffffc0b00010 t trigger_event\t[dm_multipath]
broken
 t x
ffffffffc0b00020 t last\t[dm_mod]";

    fn tree(kallsyms: &str) -> (tempfile::TempDir, Sysroot) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/kallsyms"), kallsyms).unwrap();
        let modules = "dm_multipath 1 0 - Live 0x0\ndm_mod 1 0 - Live 0x0\ndm_raid 1 0 - Live 0\n";
        fs::write(dir.path().join("proc/modules"), modules).unwrap();
        let sysroot = Sysroot::at(dir.path());
        (dir, sysroot)
    }

    #[test]
    fn the_module_column_must_match_what_is_loaded() {
        let (_dir, sysroot) = tree(KALLSYMS);
        let found = addresses(
            &sysroot,
            &[
                ("dm_multipath", "fail_path"),
                ("dm_multipath", "trigger_event"),
                ("vmlinux", "blk_mq_end_request"),
                ("scsi_mod", "dm_path_uevent"),
                ("dm_mod", "dm_path_uevent"),
                ("dm_multipath", "fail_pat"),
                ("dm_mod", "last"),
            ],
        )
        .unwrap();
        let expected = [
            Some(0xffff_ffff_c0a1_b2c0),
            Some(0xffff_ffff_c0b0_0010),
            Some(0xffff_ffff_8100_0030),
            Some(0xffff_ffff_8100_0010),
            None,
            None,
            Some(0xffff_ffff_c0b0_0020),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn hidden_addresses_are_their_own_error() {
        let (_dir, sysroot) = tree("0000000000000000 t fail_path\t[dm_multipath]\n");
        let error = addresses(&sysroot, &[("dm_multipath", "fail_path")]).unwrap_err();
        assert!(matches!(error, SymbolsError::Restricted));
        assert_eq!(
            addresses(&sysroot, &[("dm_multipath", "other")]).unwrap(),
            [None]
        );
        assert_eq!(addresses(&sysroot, &[]).unwrap(), []);
    }

    #[test]
    fn reading_stops_when_all_are_found() {
        struct Poisoned;
        impl io::Read for Poisoned {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::Other.into())
            }
        }
        let stream = io::Read::chain(&b"ff T a\n"[..], io::BufReader::new(Poisoned));
        let wanted = [Wanted {
            name: b"a",
            module: None,
        }];
        assert_eq!(search(stream, &wanted).unwrap(), [Some(0xff)]);
    }
}

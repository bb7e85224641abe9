//! Tests of the reader of BTF.

use super::*;

/// Writes BTF as the kernel would, so that tests need no kernel.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    first_string: u32,
}

impl Writer {
    fn complete() -> Self {
        Self {
            strings: vec![0],
            ..Self::default()
        }
    }

    fn split(first_string: u32) -> Self {
        Self {
            first_string,
            ..Self::default()
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.first_string + self.strings.len() as u32;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types
            .extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn int(&mut self, name: &str, size: u32) {
        let name = self.name(name);
        self.words(&[name, 1 << 24, size, size * 8]);
    }

    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) {
        let id = if name.is_empty() { 0 } else { self.name(name) };
        let names: Vec<u32> = members
            .iter()
            .map(|(name, ..)| if name.is_empty() { 0 } else { self.name(name) })
            .collect();
        self.words(&[id, (STRUCT << 24) | members.len() as u32, size]);
        for ((_, ty, bits), name) in members.iter().zip(names) {
            self.words(&[name, *ty, *bits]);
        }
    }

    fn finish(self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let header = [0x0001_eb9f, 24, 0, types, types, strings];
        let mut data: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        data.extend(self.types);
        data.extend(self.strings);
        data
    }
}

fn vmlinux() -> Vec<u8> {
    let mut writer = Writer::complete();
    writer.int("unsigned int", 4); // 1
    writer.structure("", 8, &[("a", 1, 0), ("b", 1, 32)]); // 2
    writer.structure("request", 16, &[("q", 1, 0), ("", 2, 64)]); // 3
    writer.finish()
}

#[test]
fn members_of_anonymous_structures_are_found() {
    let btf = Btf::parse(vmlinux(), None).unwrap();
    assert_eq!(btf.size_of("request"), Ok(16));
    assert_eq!(btf.member("request", "b").unwrap().offset, 12);
    assert_eq!(btf.member("request", "b").unwrap().size, 4);
    assert!(matches!(
        btf.member("request", "c"),
        Err(BtfError::NoMember { .. })
    ));
    assert!(matches!(btf.member("bio", "b"), Err(BtfError::NoStruct(_))));
}

#[test]
fn split_btf_goes_on_from_its_base() {
    let base = Btf::parse(vmlinux(), None).unwrap();
    let mut writer = Writer::split(base.strings.len() as u32);
    writer.structure("scsi_cmnd", 24, &[("rq", 3, 0), ("result", 1, 128)]); // 4
    let module = Btf::parse(writer.finish(), Some(&base)).unwrap();
    assert_eq!(module.member("scsi_cmnd", "result").unwrap().offset, 16);
    assert_eq!(module.member("scsi_cmnd", "rq.b").unwrap().offset, 12);
    assert_eq!(module.size_of("request"), Ok(16), "found in the base");
}

#[test]
fn complete_btf_is_not_taken_for_split() {
    let base = Btf::parse(vmlinux(), None).unwrap();
    let mut writer = Writer::complete();
    writer.int("int", 8); // 1, not the base's 1
    writer.structure("own", 8, &[("member", 1, 0)]);
    let module = Btf::parse(writer.finish(), Some(&base)).unwrap();
    assert_eq!(module.member("own", "member").unwrap().size, 8);
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let good = vmlinux();
    for length in 0..good.len() {
        let _ = Btf::parse(good[..length].to_vec(), None);
    }
    for at in 0..good.len() {
        for value in [0x00, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Ok(btf) = Btf::parse(bad, None) {
                let _ = btf.member("request", "b");
                let _ = btf.layout("request");
            }
        }
    }
    assert!(matches!(
        Btf::parse(Vec::new(), None),
        Err(BtfError::Malformed(_))
    ));
    assert!(matches!(
        Btf::parse(vec![0; 64], None),
        Err(BtfError::Malformed(_))
    ));
}

#[test]
fn a_tracepoints_typedef_has_the_number_that_the_kernel_gives_it() {
    let mut vmlinux = Writer::complete();
    vmlinux.int("int", 4);
    let typedef = |writer: &mut Writer, name: &str| {
        let name = writer.name(name);
        writer.words(&[name, TYPEDEF << 24, 1]);
    };
    typedef(&mut vmlinux, "btf_trace_block_rq_issue");
    let first_string = vmlinux.strings.len() as u32;
    let vmlinux = Btf::parse(vmlinux.finish(), None).unwrap();
    let mut module = Writer::split(first_string);
    typedef(&mut module, "btf_trace_scsi_dispatch_cmd_start");
    // A structure of that name is none.
    module.structure("btf_trace_scsi_dispatch_cmd_done", 0, &[]);
    typedef(&mut module, "btf_trace_scsi_dispatch_cmd_done");
    let module = Btf::parse(module.finish(), Some(&vmlinux)).unwrap();
    let done = "btf_trace_scsi_dispatch_cmd_done";
    // vmlinux has numbers 1 and 2.
    assert_eq!(module.typedef("btf_trace_scsi_dispatch_cmd_start"), Some(3));
    assert_eq!(module.typedef(done), Some(5));
    assert_eq!(vmlinux.typedef(done), None);
    assert_eq!(vmlinux.typedef("btf_trace_block_rq_issue"), Some(2));
}

#[test]
fn the_structure_that_begins_with_enough_integers_is_found() {
    let mut writer = Writer::complete();
    writer.int("unsigned long", 8); // 1
    writer.words(&[0, POINTER << 24, 1]); // 2
    let array = |writer: &mut Writer, element: u32, count: u32| {
        writer.words(&[0, ARRAY << 24, 0, element, 1, count]);
    };
    array(&mut writer, 1, 23); // 3
    array(&mut writer, 2, 40); // 4
    array(&mut writer, 1, 24); // 5
    writer.structure("short", 184, &[("words", 3, 0)]); // 6
    writer.structure("pointers", 320, &[("words", 4, 0)]); // 7
    writer.structure("later", 200, &[("first", 1, 0), ("words", 5, 64)]); // 8
    writer.structure("empty", 0, &[]); // 9
    writer.structure("enough", 192, &[("words", 5, 0)]); // 10
    let name = writer.name("bpf_rdonly_cast");
    writer.words(&[name, FUNCTION << 24, 0]); // 11
    let btf = Btf::parse(writer.finish(), None).unwrap();
    assert_eq!(btf.integers(192), Some(10));
    assert_eq!(btf.integers(184), Some(6));
    assert_eq!(btf.integers(193), None);
    assert_eq!(btf.function("bpf_rdonly_cast"), Some(11));
    assert_eq!(btf.function("enough"), None);
}

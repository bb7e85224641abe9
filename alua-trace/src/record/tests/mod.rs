//! What is recorded comes back as it was, and nothing else ever does.

use std::io::Cursor;

use alua_trace_ebpf::{PathSlot, RtpgRecord, record_kind};

use super::{
    Ending, Malformed, Meta, RecordingError,
    chunk::Chunk,
    commands::{self, Block, Unpacked},
    frame::{FrameWriter, Kind},
    inputs::{Decoder, Encoder},
    kept::Kept,
    pack::{Packer, Unpacker, put},
    reader::{Reader, Taker},
};
use crate::{engine::Input, model::Start, report::samples};
use given::{Random, any, load, trace};

mod given;

#[test]
fn commands_come_back_as_they_were() {
    let mut random = Random(1);
    let (mut block, mut unpacked) = (Block::new(), Unpacked::default());
    let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
    for count in [0, 1, 2, 100, commands::FULL, 5] {
        let records: Vec<_> = (0..count).map(|_| any(&mut random)).collect();
        for record in &records {
            block.push(record);
        }
        let mut payload = Vec::new();
        block.settle();
        block.pack(&mut packer, &mut payload);
        block.clear();
        let mut left = payload.as_slice();
        unpacked.read(&mut unpacker, &mut left).unwrap();
        assert_eq!((left.len(), unpacked.left()), (0, count));
        for record in &records {
            assert_eq!(unpacked.next().as_ref(), Some(record));
        }
        assert_eq!(unpacked.next(), None);
    }
}

/// Version 2 of the format had the number of a shape in as many bits.
#[test]
fn a_shape_that_cannot_be_is_none_of_another_version() {
    let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
    let read = |shape: u64, packer: &mut Packer, unpacker: &mut Unpacker| {
        let mut block = vec![1, 1];
        packer.section(&mut block, &[0; commands::BYTES]);
        block.push(9);
        put(&mut block, shape);
        // The other fields, and that no number is longer.
        block.extend([0; 2 + 4 * 3 + 5]);
        Unpacked::default().read(unpacker, &mut &block[..])
    };
    assert!(read(0, &mut packer, &mut unpacker).is_ok());
    for shape in [1, 1 << 63, u64::MAX] {
        let why = read(shape, &mut packer, &mut unpacker).unwrap_err().0;
        assert_eq!(why, "a command has a shape that there is not");
    }
}

#[test]
fn a_command_takes_at_most_eight_bytes() {
    let mut random = Random(2);
    let (mut block, mut packer) = (Block::new(), Packer::new().unwrap());
    let mut payload = Vec::new();
    for record in load(&mut random, commands::FULL) {
        block.push(&record);
    }
    block.settle();
    block.pack(&mut packer, &mut payload);
    let each = payload.len() as f64 / commands::FULL as f64;
    // Times to the nanosecond and blocks that nobody could guess are 14.3 + 17 + 22 + 2 bits.
    assert!((6.9..8.0).contains(&each), "{each} bytes a command");
}

/// In one word each, then in two, as addresses of a large device are, and then in one again.
#[test]
fn blocks_go_on_as_those_before_were() {
    let mut random = Random(3);
    let (mut block, mut unpacked) = (Block::new(), Unpacked::default());
    let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
    for nth in 0..7 {
        let mut records = load(&mut random, commands::FULL);
        let is_large = (2..4).contains(&nth);
        for record in records.iter_mut().filter(|_| is_large) {
            // READ(16)
            record[32] = 0x88;
            record[36..42].copy_from_slice(&random.next().to_be_bytes()[2..]);
        }
        for record in &records {
            block.push(record);
        }
        let mut payload = Vec::new();
        block.settle();
        block.pack(&mut packer, &mut payload);
        let each = payload.len() as f64 / commands::FULL as f64;
        let most = if is_large { 12.0 } else { 8.0 };
        assert!(nth % 2 == 0 || each < most, "{nth}: {each} bytes a command");
        let mut next = Block::new();
        next.go_on_from(&mut block);
        block = next;
        unpacked
            .read(&mut unpacker, &mut payload.as_slice())
            .unwrap();
        for record in &records {
            assert_eq!(unpacked.next().as_ref(), Some(record));
        }
    }
}

/// An input as it was given: what an engine could tell apart.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Command([u8; commands::BYTES]),
    Other(String),
}

fn seen(input: &Input<'_>) -> Seen {
    match input {
        Input::Record(bytes) if bytes.len() == commands::BYTES => {
            Seen::Command((*bytes).try_into().unwrap())
        }
        // Its hash maps have an order of their own.
        Input::Topology(topology) => Seen::Other(serde_json::to_string(topology).unwrap()),
        other => Seen::Other(format!("{other:?}")),
    }
}

/// One section of JSON.
fn section(value: &impl serde::Serialize) -> Vec<u8> {
    let mut payload = Vec::new();
    let text = serde_json::to_vec(value).unwrap();
    Packer::new().unwrap().section(&mut payload, &text);
    payload
}

/// The payload of a frame with these inputs.
fn packed(inputs: &[(u64, Input<'_>)]) -> Vec<u8> {
    let (mut chunk, mut payload) = (Chunk::new(), Vec::new());
    for (at_ns, input) in inputs {
        give(&mut chunk, *at_ns, *input);
    }
    let mut encoder = Encoder::new().unwrap();
    chunk.settle();
    encoder.pack(&chunk, &mut payload).unwrap();
    payload
}

fn give(chunk: &mut Chunk, at_ns: u64, input: Input<'_>) {
    match input {
        Input::Record(bytes) if bytes.len() == commands::BYTES => {
            chunk.command(bytes.try_into().unwrap());
        }
        other => chunk.rare(at_ns, Kept::of(other)),
    }
}

/// A whole recording of what [`trace`] gives, and what was given.
fn recording() -> (Vec<u8>, Vec<Seen>) {
    let mut file = Vec::new();
    let mut frames = FrameWriter::begin(&mut file).unwrap();
    frames.write(Kind::Meta, &section(&Meta::new(&[]))).unwrap();
    let (mut chunk, mut encoder) = (Chunk::new(), Encoder::new().unwrap());
    let mut write = |chunk: &mut Chunk, frames: &mut FrameWriter<&mut Vec<u8>>| {
        let mut payload = Vec::new();
        chunk.settle();
        encoder.pack(chunk, &mut payload).unwrap();
        frames.write(Kind::Inputs, &payload).unwrap();
        chunk.clear();
    };
    let (mut given, mut taken) = (Vec::new(), 0);
    trace(&mut Random(3), &mut |at_ns, input| {
        given.push(seen(&input));
        give(&mut chunk, at_ns, input);
        taken += 1;
        if chunk.is_full() || taken % 500 == 0 {
            write(&mut chunk, &mut frames);
        }
    });
    write(&mut chunk, &mut frames);
    let ending = Ending {
        commands: 1,
        ..Ending::default()
    };
    frames.write(Kind::Ending, &section(&ending)).unwrap();
    (file, given)
}

/// What a recording gave before it ended.
#[derive(Default)]
struct Given(Vec<Seen>);

impl Taker for Given {
    fn start(&mut self, _: Start) {}

    fn input(&mut self, _: u64, input: Input<'_>) {
        self.0.push(seen(&input));
    }
}

fn read(file: &[u8]) -> (Vec<Seen>, Result<Ending, RecordingError>) {
    let mut given = Given::default();
    let ending = Reader::new(Cursor::new(file)).and_then(|mut reader| reader.read(&mut given));
    (given.0, ending)
}

#[test]
fn inputs_come_back_in_order() {
    let (file, given) = recording();
    let (read, ending) = read(&file);
    assert_eq!(ending.unwrap().commands, 1);
    assert_eq!(read.len(), given.len());
    for (at, (read, given)) in read.iter().zip(&given).enumerate() {
        assert_eq!(read, given, "input {at}");
    }
}

#[test]
fn times_come_back() {
    let ticks = [7, 3, u64::MAX].map(|at_ns| (at_ns, Input::Tick));
    let payload = packed(&ticks);
    let mut times = Vec::new();
    let mut decoder = Decoder::new().unwrap();
    decoder
        .inputs(&payload, &mut |at_ns, _| times.push(at_ns))
        .unwrap();
    assert_eq!(times, [7, 3, u64::MAX]);
}

#[test]
fn addresses_of_the_kernel_are_not_recorded() {
    const ADDRESS: u64 = 0xffff_8881_0a0b_0c0d;
    let rtpg = RtpgRecord {
        kind: record_kind::RTPG,
        state: 1,
        preferred: 0,
        state_before: 0,
        group: 1,
        port_group: ADDRESS,
        entry_ns: 5,
        return_ns: 6,
    };
    let mut record = vec![rtpg.kind, rtpg.state, rtpg.preferred, rtpg.state_before];
    record.extend(rtpg.group.to_ne_bytes());
    for word in [rtpg.port_group, rtpg.entry_ns, rtpg.return_ns] {
        record.extend(word.to_ne_bytes());
    }
    let slot = PathSlot {
        sdev: ADDRESS,
        handler_state: ADDRESS,
        ..PathSlot::FREE
    };
    let payload = packed(&[(1, Input::Path(1, &slot)), (1, Input::Record(&record))]);
    let mut same = Vec::new();
    let take = &mut |_, input: Input<'_>| match input {
        Input::Path(_, slot) => same.push((slot.sdev, slot.handler_state)),
        Input::Record(bytes) => {
            same.push((0, u64::from_ne_bytes(bytes[8..16].try_into().unwrap())));
        }
        _ => {}
    };
    Decoder::new().unwrap().inputs(&payload, take).unwrap();
    assert_eq!(same, [(0, 1), (0, 1)]);
}

#[test]
fn commands_that_find_no_room_are_told_first() {
    let command = any(&mut Random(7));
    let mut chunk = Chunk::new();
    for input in [
        Input::Record(&command),
        Input::Tick,
        Input::Record(&command),
    ] {
        give(&mut chunk, 5, input);
    }
    chunk.lose_commands();
    chunk.lose_commands();
    assert_eq!((chunk.commands(), chunk.lost()), (0, 2));
    give(&mut chunk, 5, Input::Record(&command));
    chunk.lose_commands();
    assert_eq!((chunk.commands(), chunk.lost()), (0, 3));
    let mut payload = Vec::new();
    chunk.settle();
    Encoder::new().unwrap().pack(&chunk, &mut payload).unwrap();
    let mut given = Vec::new();
    let take = &mut |at_ns, input: Input<'_>| given.push((at_ns, seen(&input)));
    Decoder::new().unwrap().inputs(&payload, take).unwrap();
    let told = [Input::NotRecorded(3), Input::Tick].map(|input| (5, seen(&input)));
    assert_eq!(given, told);
}

#[test]
fn a_flipped_bit_is_found_and_located() {
    let (file, given) = recording();
    let mut random = Random(4);
    for _ in 0..1000 {
        let mut damaged = file.clone();
        let bit = random.below(damaged.len() as u64 * 8) as usize;
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (read, ending) = read(&damaged);
        assert!(given.starts_with(&read), "bit {bit}: wrong inputs");
        match ending {
            Err(RecordingError::Foreign(_)) => assert!(bit < 64, "bit {bit}"),
            Err(RecordingError::Damaged { offset, .. }) => {
                assert!(offset as usize <= bit / 8, "bit {bit}: at {offset}");
            }
            other => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn a_file_that_is_cut_is_read_up_to_there() {
    let (file, given) = recording();
    let (mut lengths, mut whole) = (Vec::new(), 0);
    for cut in (0..file.len()).step_by(41).chain([file.len() - 1]) {
        let (read, ending) = read(&file[..cut]);
        assert!(given.starts_with(&read), "cut at {cut}");
        match ending {
            Err(RecordingError::Foreign(why)) => assert_eq!((cut, why), (0, "the file is empty")),
            Err(RecordingError::CutShort { offset, .. }) => assert!(offset as usize <= cut),
            other => panic!("cut at {cut}: {other:?}"),
        }
        assert!(read.len() >= whole, "a longer file gave less");
        whole = read.len();
        lengths.push(whole);
    }
    lengths.dedup();
    assert!(
        lengths.len() > 5,
        "frames came one after the other: {lengths:?}"
    );
    assert_eq!(whole, given.len());
}

#[test]
fn foreign_and_newer_files_are_refused_by_name() {
    let refused = |file: &[u8]| read(file).1.unwrap_err().to_string();
    assert!(refused(b"{\"type\":\"start\"}").contains("not a recording"));
    assert!(refused(&[0x89; 4000]).contains("not a recording"));
    let (file, _) = recording();
    let mut newer = file.clone();
    newer[8] = u8::try_from(super::VERSION + 1).unwrap();
    let sum = crc32fast::hash(&newer[..12]).to_le_bytes();
    newer[12..16].copy_from_slice(&sum);
    let expected = format!("version {}", super::VERSION + 1);
    assert!(refused(&newer).contains(&expected), "{}", refused(&newer));
    for (from, to) in [("\"wire\":5", "\"wire\":6"), ("little", "bigbig")] {
        let meta = serde_json::to_string(&Meta::new(&[])).unwrap();
        let mut changed = Vec::new();
        let mut frames = FrameWriter::begin(&mut changed).unwrap();
        let mut payload = Vec::new();
        let text = meta.replace(from, to);
        assert_ne!(text, meta);
        Packer::new()
            .unwrap()
            .section(&mut payload, text.as_bytes());
        frames.write(Kind::Meta, &payload).unwrap();
        assert!(
            refused(&changed).starts_with("made "),
            "{}",
            refused(&changed)
        );
    }
}

#[test]
fn a_payload_that_lies_is_refused() {
    let command = any(&mut Random(5));
    let mut payload = packed(&[(1, Input::Record(&command)), (1, Input::Tick)]);
    let decode = |payload: &[u8]| Decoder::new().unwrap().inputs(payload, &mut |_, _| {});
    assert_eq!(decode(&payload), Ok(()));
    for cut in 0..payload.len() {
        assert!(decode(&payload[..cut]).is_err(), "cut at {cut}");
    }
    payload.push(0);
    assert_eq!(
        decode(&payload),
        Err(Malformed("a payload has more bytes than it should"))
    );
    let mut random = Random(6);
    for _ in 0..20_000 {
        let mut lie = payload[..payload.len() - 1].to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(lie.len() as u64) as usize;
            lie[at] = random.next() as u8;
        }
        // Whatever it says, there is no panic and no room for what is not there.
        let _ = decode(&lie);
    }
}

#[test]
fn the_line_that_a_trace_begins_with_is_kept() {
    let start = samples::start(4);
    let text = serde_json::to_string(&start).unwrap();
    let again: Start = serde_json::from_str(&text).unwrap();
    assert_eq!(again, start);
}

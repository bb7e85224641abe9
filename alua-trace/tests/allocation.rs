//! No decoder and no importer allocates out of proportion to its input: at no time more than 1 MiB
//! in one piece for 64 KiB of input, whatever it says. Adversarial inputs are dense: as many
//! elements in as few bytes as the format has room for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;

use alua_trace::cli::{DecodePage, ImportKind};
use alua_trace::{decode, import};
use clap::ValueEnum;

const INPUT_BYTES: usize = 64 << 10;
/// The limit for one allocation.
const PIECE_BYTES: usize = 1 << 20;
/// What all of them may come to at one time. The model of a path is large; see `import::room`.
const TOTAL_BYTES: usize = 3 << 20;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with an account per thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn took(bytes: usize) {
    LARGEST.set(LARGEST.get().max(bytes));
    LIVE.set(LIVE.get().saturating_add(bytes));
    PEAK.set(PEAK.get().max(LIVE.get()));
}

fn gave(bytes: usize) {
    LIVE.set(LIVE.get().saturating_sub(bytes));
}

// SAFETY: everything is passed on to the system's allocator as it is; the account is in cells of the
// thread, which neither allocate nor have destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promises are those that System asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as above; the pointer came from System.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there at the same time.
        took(size);
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs `work` and fails if it allocates too much.
fn bounded(what: &str, work: impl FnOnce()) {
    LIVE.set(0);
    PEAK.set(0);
    LARGEST.set(0);
    work();
    let (largest, peak) = (LARGEST.get(), PEAK.get());
    assert!(
        largest <= PIECE_BYTES,
        "{what}: {largest} bytes in one piece"
    );
    assert!(peak <= TOTAL_BYTES, "{what}: {peak} bytes at one time");
}

/// `part` as often as it fits.
fn dense(head: &[u8], part: &[u8]) -> Vec<u8> {
    let mut input = head.to_vec();
    input.extend(part.iter().copied().cycle().take(INPUT_BYTES - head.len()));
    input
}

/// Pages with as many elements as there is room for.
fn dense_pages() -> Vec<Vec<u8>> {
    [
        (&b"\0\0\xff\xff"[..], &b"\xc9"[..]),
        (b"\0\x80\xff\xff", b"\x1b"),
        (b"\0\x83\xff\xff", b"\x51\x95\0\0"),
        (b"\0\x83\xff\xff", b"\x53\x08\0\x01\x1b"),
        (b"\0\x83\xff\xff", b"\x01\x03\0\xff"),
        (b"\0\0\xff\xfc", b"\x80\xff\0\x01\0\x02\0\0"),
        (b"\0\0\xff\xfc\x10\0\0\0", b"\x80\xff\0\x01\0\x02\0\xff"),
        (b"\0\0\0\0", b"\x0f\0\0\x01"),
        (b"\0\0\0\0\x6c\x01\x01\x48", b"\x81"),
        (b"\x72\x06\x2a\x06\0\0\0\xff", b"\0\0"),
        (b"\x70\0\x06\0\0\0\0\xff", b"\x2a"),
        (b"\0\xc8\xff\xffedid", b"\xd8\0"),
        (b"\0\0\x05\x02\xff", b"\x1b"),
    ]
    .map(|(head, part)| dense(head, part))
    .to_vec()
}

fn dense_texts() -> Vec<Vec<u8>> {
    let group = "target port group id:1,Pref=0 access state:0 status code:0 vendor unique status:0 \
                 target port count:00";
    let mut texts: Vec<Vec<u8>> = [
        ("", "a (b) dm-1 c,d\nsize=1 features=0\n"),
        ("a (b) dm-1 c,d\nsize=1 features=0\n", "_ x[a]\n"),
        ("a (b) dm-1 c,d\nsize=1 features=0\n_ x[a]\n", "_ 1:0:0:0\n"),
        ("a (b) dm-1 c,d\nsize=1 features=0\n", "_ x[a]\n_ 1:0:0:0\n"),
        ("", "_ 1:0:0:0 a 8:0 active ready running\n"),
        ("{\"maps\":[{}", ",{}"),
        ("{\"maps\":[{\"path_groups\":[{}", ",{}"),
        ("{\"maps\":[{\"path_groups\":[{\"paths\":[{}", ",{}"),
        ("{\"maps\":[[", "["),
        ("{\"map\":", "{\"path_groups\":"),
        ("", "naa.\nIs USB: \n"),
        ("naa.1\nWorking Paths: a", ",a"),
        ("naa.1\nStorage Array Type Device Config: ", "TPG_id=1}"),
        ("", "naa.1\nStorage Array Type Device Config: TPG_id=1}\n"),
        ("", "rdac: \n"),
        ("", "alua: x\n"),
        ("", "sd 1:0:0:0: alua: x\n"),
        ("Report list length = 4\n", group),
        ("designator type: NAA\n", "0x6\n"),
        ("00 80 ff ff ", "00"),
        ("", "\n"),
        ("", "\u{1b}"),
    ]
    .map(|(head, part)| dense(head.as_bytes(), part.as_bytes()))
    .to_vec();
    texts.push(closed_json());
    texts.push(different_paths());
    texts.extend(dense_pages().iter().map(|page| hexadecimal(page)));
    texts
}

/// As many empty maps, groups and paths as there is room for, in JSON that is whole.
fn closed_json() -> Vec<u8> {
    let mut text = "{\"maps\":[{\"path_groups\":[{\"paths\":[{}".to_owned();
    while text.len() < INPUT_BYTES - 64 {
        text.push_str(
            ["},{}]},{}]},{\"path_groups\":[{\"paths\":[{}", ",{}"]
                [usize::from(!text.len().is_multiple_of(3))]
            .trim_start_matches('}'),
        );
    }
    text.push_str("]}]}]}");
    text.into_bytes()
}

/// Every line another path.
fn different_paths() -> Vec<u8> {
    let mut text = String::new();
    for nth in 0.. {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "sd {nth}:0:0:0: alua: supports implicit TPGS");
        if text.len() >= INPUT_BYTES {
            break;
        }
    }
    text.truncate(INPUT_BYTES);
    text.into_bytes()
}

fn hexadecimal(page: &[u8]) -> Vec<u8> {
    let digits = page.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into_bytes()[..INPUT_BYTES].to_vec()
}

/// Bytes that are the same in every run (xorshift64).
fn noise(seed: u64, length: usize, from: &[u8]) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    let pick = |byte: u8| {
        if from.is_empty() {
            byte
        } else {
            from[usize::from(byte) % from.len()]
        }
    };
    (0..length).map(|_| pick(byte())).collect()
}

fn inputs() -> Vec<Vec<u8>> {
    let mut inputs = dense_pages();
    inputs.extend(dense_texts());
    for seed in 1..=2 {
        inputs.push(noise(seed, INPUT_BYTES, &[]));
        inputs.push(noise(seed, INPUT_BYTES, b"\0\x01\x03\x04"));
        inputs.push(noise(
            seed,
            INPUT_BYTES,
            b" :0123456789abcdef_-[]{},\"\n\nsd",
        ));
    }
    inputs
}

#[test]
fn no_page_is_decoded_into_large_allocations() {
    for (nth, input) in inputs().iter().enumerate() {
        for page in DecodePage::value_variants() {
            for json in [false, true] {
                bounded(&format!("page {page} of input {nth}, json: {json}"), || {
                    let _ = decode::show(*page, json, input);
                });
            }
        }
    }
}

#[test]
fn no_text_is_imported_into_large_allocations() {
    for (nth, input) in inputs().iter().enumerate() {
        let text = String::from_utf8_lossy(input);
        let text = text.get(..INPUT_BYTES).unwrap_or(&text);
        let kinds = ImportKind::value_variants().iter().copied().map(Some);
        for kind in kinds.chain([None]) {
            bounded(&format!("{kind:?} of input {nth}"), || {
                let _ = import::parse(kind, text);
            });
        }
    }
}

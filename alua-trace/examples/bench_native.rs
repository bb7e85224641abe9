//! Native cost of the probes and of the collector, on any kernel and without a SCSI device.
//!
//! The probes run by `BPF_PROG_TEST_RUN` over commands laid out in a map's memory as a real kernel
//! lays them out (request, scsi_cmnd, scsi_device, port group, dm's target I/O), each dispatched
//! and completed once per round. Their cost is what the kernel's own run-time statistics say, less
//! an empty program's in the same run. The collector drains the ring they fill, into histograms.
//!
//! `cargo xtask bench native` runs it; needs root. Prints `name value unit` lines.

use std::{
    collections::BTreeSet,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Instant,
};

use alua_trace::{
    engine::{End, Engine, Input, Wanted},
    ingest::{self, About, ring::Ring},
    kernel::{attach::OBJECT, facts::KernelFacts},
    model::Line,
    sysroot::{self, Sysroot},
};
use alua_trace_ebpf::{
    AluaLayout, Control, DmLayout, PathSlot, RouteSlot, SCSI_LAYOUT_GLOBAL, ScsiLayout, map_name,
};
use anyhow::{Context, Result, bail, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, MapData, RingBuf},
    programs::{Program, RawTracePoint},
};

/// Commands in flight at once.
const COMMANDS: usize = 64;
const ROUNDS: usize = 20_000;
/// Measured apart from each other.
const PARTS: usize = 20;
/// Bytes of one request with its command, device-mapper's data before it.
const STRIDE: usize = 1024;
const RING_BYTES: u32 = 4 << 20;

/// Linux 6.1's layout; any would do.
const LAYOUT: ScsiLayout = ScsiLayout {
    request_size: 272,
    request_cmd_flags: 24,
    request_end_io: 256,
    request_end_io_data: 264,
    request_bio: 56,
    cmnd_device: 0,
    cmnd_cdb_is_pointer: 0,
    window_start: 144,
    window_length: 148,
    window_cdb: 20,
    window_retries: 0,
    window_sdb_length: 72,
    window_result: 144,
    window_sense_buffer: 104,
    sdev_host: 0,
    sdev_id: 144,
    sdev_channel: 148,
    sdev_lun: 152,
    sdev_handler: 2008,
    sdev_handler_data: 2016,
    handler_name: 24,
    host_no: 404,
    request_start_time_ns: 104,
    cmnd_issued_cdb: 0,
};
const ALUA: AluaLayout = AluaLayout {
    dh_pg: 16,
    pg_group_id: 316,
    pg_state: 324,
    pg_pref: 328,
    pg_transition_tmo: 340,
    pg_rtpg_work: 360,
};
const DM: DmLayout = DmLayout {
    tio_size: 120,
    mpath_io_pgpath: 0,
    pgpath_pg: 16,
    pg_m: 16,
    pg_num: 40,
    m_ti: 184,
    ti_table: 0,
    table_md: 0,
    md_disk: 184,
    disk_major: 0,
    disk_first_minor: 4,
    bio_end_io: 56,
    bio_to_mpath_io: 144,
    tio_orig: 16,
    pgpath_dev: 32,
    dm_dev_bdev: 0,
    bdev_dev: 36,
    reserved: 0,
};
const END_CLONE_REQUEST: u64 = 0xffff_ffff_c000_0000;

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Wire<T>(T);
// SAFETY: wire structures are integers without padding.
unsafe impl<T: Copy + 'static> Pod for Wire<T> {}

/// `bpf(2)` commands and constants of `include/uapi/linux/bpf.h` that aya does not offer.
mod sys {
    pub const MAP_CREATE: u32 = 0;
    pub const MAP_LOOKUP: u32 = 1;
    pub const MAP_UPDATE: u32 = 2;
    pub const PROG_LOAD: u32 = 5;
    pub const PROG_TEST_RUN: u32 = 10;
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub const MAP_TYPE_ARRAY: u32 = 2;
    pub const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
}

fn bpf(command: u32, attributes: &mut [u64]) -> Result<i64> {
    // SAFETY: every attribute used here is laid out as the kernel expects it, its pointers
    // outlive the call, and the size is the array's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            std::mem::size_of_val(attributes),
        )
    };
    if result < 0 {
        bail!("bpf({command}): {}", std::io::Error::last_os_error());
    }
    Ok(result)
}

fn owned(descriptor: i64) -> OwnedFd {
    // SAFETY: bpf(2) has just given it to us.
    unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }
}

const fn words(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// One instruction: opcode, registers, offset, immediate.
const fn instruction(code: u8, registers: u8, immediate: i32) -> u64 {
    code as u64 | (registers as u64) << 8 | (immediate as u32 as u64) << 32
}

fn load(program: &[u64]) -> Result<OwnedFd> {
    let license = c"GPL";
    let mut log = vec![0_u8; 1 << 16];
    let mut attributes = [
        words(sys::PROG_TYPE_RAW_TRACEPOINT, program.len() as u32),
        program.as_ptr() as u64,
        license.as_ptr() as u64,
        words(1, log.len() as u32),
        log.as_mut_ptr() as u64,
        0,
    ];
    match bpf(sys::PROG_LOAD, &mut attributes) {
        Ok(descriptor) => Ok(owned(descriptor)),
        Err(error) => bail!(
            "{error}: {}",
            String::from_utf8_lossy(&log).trim_matches('\0')
        ),
    }
}

fn run(program: RawFd, argument: u64) -> Result<()> {
    let context = [argument];
    // prog_fd and retval, four words of data, repeat, ctx_size_in, ctx_in, ctx_out, flags, batch
    let mut attributes = [
        words(program as u32, 0),
        0,
        0,
        0,
        0,
        words(8, 0),
        context.as_ptr() as u64,
        0,
        0,
        0,
    ];
    bpf(sys::PROG_TEST_RUN, &mut attributes).map(drop)
}

/// Run time in ns and runs, by the kernel's statistics.
fn run_time(program: RawFd) -> Result<(u64, u64)> {
    // `struct bpf_prog_info`; `run_time_ns` and `run_cnt` are at 192 and 200.
    let mut info = [0_u64; 30];
    let size = std::mem::size_of_val(&info) as u32;
    let mut attributes = [words(program as u32, size), info.as_mut_ptr() as u64];
    bpf(sys::OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok((info[24], info[25]))
}

/// Kernel memory that looks like commands in flight.
struct Memory {
    map: OwnedFd,
    address: u64,
    bytes: Vec<u8>,
}

impl Memory {
    fn new() -> Result<Self> {
        let size = 16 * 1024 + COMMANDS * STRIDE;
        let mut attributes = [
            words(sys::MAP_TYPE_ARRAY, 4),
            words(size as u32, 1),
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let map = owned(bpf(sys::MAP_CREATE, &mut attributes)?);
        let mut memory = Self {
            map,
            address: 0,
            bytes: vec![0; size],
        };
        memory.address = memory.find_address()?;
        memory.fill();
        memory.update()?;
        Ok(memory)
    }

    /// A program stores the address of the map's value in the value.
    fn find_address(&mut self) -> Result<u64> {
        const PSEUDO_MAP_VALUE: u8 = 2;
        let program = [
            // r1 = &value; *(u64 *)(r1 + 0) = r1; r0 = 0; exit
            instruction(0x18, 1 | PSEUDO_MAP_VALUE << 4, self.map.as_raw_fd()),
            instruction(0, 0, 0),
            instruction(0x7b, 1 | 1 << 4, 0),
            instruction(0xb7, 0, 0),
            instruction(0x95, 0, 0),
        ];
        let program = load(&program).context("failed to load the address finder")?;
        run(program.as_raw_fd(), 0)?;
        let key = 0_u32;
        let mut attributes = [
            words(self.map.as_raw_fd() as u32, 0),
            &raw const key as u64,
            self.bytes.as_mut_ptr() as u64,
            0,
        ];
        bpf(sys::MAP_LOOKUP, &mut attributes)?;
        Ok(u64::from_le_bytes(self.bytes[..8].try_into()?))
    }

    fn update(&self) -> Result<()> {
        let key = 0_u32;
        let mut attributes = [
            words(self.map.as_raw_fd() as u32, 0),
            &raw const key as u64,
            self.bytes.as_ptr() as u64,
            0,
        ];
        bpf(sys::MAP_UPDATE, &mut attributes).map(drop)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn pointer(&mut self, at: usize, to: usize) {
        let address = self.address + to as u64;
        self.put(at, &address.to_le_bytes());
    }

    /// One device with an ALUA port group, one path of one map, and the commands.
    fn fill(&mut self) {
        const SDEV: usize = 0;
        const HOST: usize = 2560;
        const HANDLER: usize = 3072;
        const NAME: usize = 3200;
        const HANDLER_DATA: usize = 3264;
        const PORT_GROUP: usize = 3328;
        const PGPATH: usize = 4096;
        const PG: usize = 4352;
        const MULTIPATH: usize = 4608;
        const TI: usize = 5120;
        const TABLE: usize = 5376;
        const MD: usize = 5632;
        const DISK: usize = 6144;
        self.pointer(SDEV, HOST);
        self.put(HOST + 404, &1_u32.to_le_bytes());
        self.pointer(SDEV + 2008, HANDLER);
        self.pointer(HANDLER + 24, NAME);
        self.put(NAME, b"alua\0");
        self.pointer(SDEV + 2016, HANDLER_DATA);
        self.pointer(HANDLER_DATA + 16, PORT_GROUP);
        self.put(PORT_GROUP + 340, &[60]);
        self.pointer(PGPATH + 16, PG);
        self.pointer(PG + 16, MULTIPATH);
        self.put(PG + 40, &1_u32.to_le_bytes());
        self.pointer(MULTIPATH + 184, TI);
        self.pointer(TI, TABLE);
        self.pointer(TABLE, MD);
        self.pointer(MD + 184, DISK);
        self.put(DISK, &254_u32.to_le_bytes());
        for command in 0..COMMANDS {
            let tio = 16 * 1024 + command * STRIDE;
            let request = tio + 256;
            self.pointer(tio + 120, PGPATH);
            self.put(request + 256, &END_CLONE_REQUEST.to_le_bytes());
            self.pointer(request + 264, tio);
            let cmnd = request + 272;
            self.pointer(cmnd, SDEV);
            // READ(10) of eight blocks.
            self.put(cmnd + 164, &[0x28, 0, 0, 0, 1, command as u8, 0, 0, 8, 0]);
            self.put(cmnd + 216, &4096_u32.to_le_bytes());
        }
    }

    fn command(&self, index: usize) -> u64 {
        self.address + (16 * 1024 + index * STRIDE + 256 + 272) as u64
    }
}

struct Probes {
    _ebpf: Ebpf,
    start: RawFd,
    done: RawFd,
    ring: Ring,
    paths: Array<MapData, Wire<PathSlot>>,
    routes: Array<MapData, Wire<RouteSlot>>,
}

fn program(ebpf: &mut Ebpf, name: &str) -> Result<RawFd> {
    let Some(Program::RawTracePoint(program)) = ebpf.program_mut(name) else {
        bail!("no raw tracepoint program {name}");
    };
    let program: &mut RawTracePoint = program;
    program.load()?;
    Ok(program.fd()?.as_fd().as_raw_fd())
}

fn probes() -> Result<Probes> {
    let layout = Wire(LAYOUT);
    let mut ebpf = EbpfLoader::new()
        .btf(None)
        .override_global(SCSI_LAYOUT_GLOBAL, &layout, true)
        .map_max_entries(map_name::EVENTS, RING_BYTES)
        .load(OBJECT)?;
    let mut take = |name: &str| {
        ebpf.take_map(name)
            .with_context(|| format!("no map {name}"))
    };
    let mut control: Array<_, Wire<Control>> = Array::try_from(take(map_name::CONTROL)?)?;
    let told = Control {
        generation: 1,
        cache_states: 1,
        end_clone_request: END_CLONE_REQUEST,
        dm: DM,
        alua: ALUA,
        ..Control::default()
    };
    control.set(0, Wire(told), 0)?;
    let ring = Ring::new(RingBuf::try_from(take(map_name::EVENTS)?)?);
    let paths = Array::try_from(take(map_name::PATHS)?)?;
    let routes = Array::try_from(take(map_name::ROUTES)?)?;
    let start = program(&mut ebpf, "scsi_dispatch_cmd_start")?;
    let done = program(&mut ebpf, "scsi_dispatch_cmd_done")?;
    // The control map lives as long as the programs that use it.
    Ok(Probes {
        _ebpf: ebpf,
        start,
        done,
        ring,
        paths,
        routes,
    })
}

/// Tells the engine of what it has not been told of before the record that needs it.
fn introduce(
    bytes: &[u8],
    probes: &ProbeTables<'_>,
    told: &mut BTreeSet<u16>,
    engine: &mut Engine,
) {
    let Some(About::Command(followed)) = ingest::about(bytes) else {
        return;
    };
    if !told.insert(followed.path()) {
        return;
    }
    if let Ok(slot) = probes.paths.get(&u32::from(followed.path()), 0) {
        engine.take(0, Input::Path(followed.path(), &slot.0));
    }
    if let Ok(slot) = probes.routes.get(&u32::from(followed.route()), 0) {
        engine.take(0, Input::Route(followed.route(), &slot.0));
    }
}

struct ProbeTables<'a> {
    paths: &'a Array<MapData, Wire<PathSlot>>,
    routes: &'a Array<MapData, Wire<RouteSlot>>,
}

fn per_run(program: RawFd, before: (u64, u64)) -> Result<f64> {
    let after = run_time(program)?;
    ensure!(after.1 > before.1, "the kernel counted no runs");
    Ok((after.0 - before.0) as f64 / (after.1 - before.1) as f64)
}

/// Cost of a dispatch and of a completion, each less an empty program.
fn bench_probes(probes: &mut Probes, memory: &Memory) -> Result<()> {
    let empty = load(&[instruction(0xb7, 0, 0), instruction(0x95, 0, 0)])?;
    let round = |probes: &mut Probes| -> Result<()> {
        for index in 0..COMMANDS {
            run(probes.start, memory.command(index))?;
            run(empty.as_raw_fd(), 0)?;
        }
        for index in 0..COMMANDS {
            run(probes.done, memory.command(index))?;
            run(empty.as_raw_fd(), 0)?;
        }
        probes.ring.drain(usize::MAX, |_| {});
        Ok(())
    };
    for _ in 0..ROUNDS / 20 {
        round(probes)?;
    }
    let programs = [probes.start, probes.done, empty.as_raw_fd()];
    let mut parts = Vec::new();
    for _ in 0..PARTS {
        let [start, done, empty] = programs.map(run_time);
        let before = [start?, done?, empty?];
        for _ in 0..ROUNDS / PARTS {
            round(probes)?;
        }
        let [start, done, empty] = [0, 1, 2].map(|i| per_run(programs[i], before[i]));
        parts.push([start?, done?, empty?]);
    }
    say("empty program", &parts, |[_, _, empty]| empty);
    say("dispatch less empty", &parts, |[start, _, empty]| {
        start - empty
    });
    say("completion less empty", &parts, |[_, done, empty]| {
        done - empty
    });
    say("dispatch and completion", &parts, |[start, done, empty]| {
        start + done - 2.0 * empty
    });
    Ok(())
}

/// The median of the parts, and how far they were apart: another guest of the machine shows there.
fn say(what: &str, parts: &[[f64; 3]], of: impl Fn([f64; 3]) -> f64) {
    let mut values: Vec<f64> = parts.iter().map(|part| of(*part)).collect();
    values.sort_by(f64::total_cmp);
    if let [best, .., worst] = values[..] {
        let median = values[values.len() / 2];
        println!("{what} {median:.1} ns ({best:.1} to {worst:.1})");
    }
}

/// Records a second from the ring to the histograms, on one core.
fn bench_collector(probes: &mut Probes, memory: &Memory) -> Result<()> {
    let tables = ProbeTables {
        paths: &probes.paths,
        routes: &probes.routes,
    };
    let mut told = BTreeSet::new();
    let mut engine = Engine::new(Wanted::default());
    let (mut records, mut seconds) = (0, 0.0);
    while records < 3_000_000 {
        for _ in 0..RING_BYTES as usize / 64 / COMMANDS - 1 {
            for index in 0..COMMANDS {
                run(probes.start, memory.command(index))?;
                run(probes.done, memory.command(index))?;
            }
        }
        let began = Instant::now();
        records += probes.ring.drain(usize::MAX, |bytes| {
            introduce(bytes, &tables, &mut told, &mut engine);
            engine.take(0, Input::Record(bytes));
        });
        seconds += began.elapsed().as_secs_f64();
    }
    ensure!(
        engine.losses().undecodable == 0,
        "records could not be decoded"
    );
    engine.take(u64::MAX, Input::End(&End::default()));
    let Some(Line::Summary(summary)) = engine.take_lines().pop() else {
        bail!("no summary");
    };
    let recorded: u64 = summary
        .paths
        .iter()
        .flat_map(|path| path.latency.iter().map(|latency| latency.mapped))
        .sum();
    ensure!(
        recorded == records as u64,
        "{recorded} of {records} records in histograms"
    );
    println!(
        "collector {:.2} million records/s",
        records as f64 / seconds / 1e6
    );
    Ok(())
}

/// What a start takes before the hooks: type information, one pass over the kernel's symbols (here
/// for one that is not there: the longest), maps and programs.
fn bench_start() -> Result<()> {
    let root = Sysroot::default();
    let began = Instant::now();
    let _facts = KernelFacts::gather(&root, None)?;
    let gathered = began.elapsed();
    sysroot::addresses(&root, &[("vmlinux", "no such function")])?;
    let searched = began.elapsed();
    let _probes = probes()?;
    let ready = began.elapsed();
    println!("types {:.1} ms", gathered.as_secs_f64() * 1e3);
    println!(
        "symbols {:.1} ms",
        (searched - gathered).as_secs_f64() * 1e3
    );
    println!("programs {:.1} ms", (ready - searched).as_secs_f64() * 1e3);
    println!("start {:.1} ms", ready.as_secs_f64() * 1e3);
    Ok(())
}

fn main() -> Result<()> {
    bench_start()?;
    let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime)
        .context("failed to turn BPF statistics on (root?)")?;
    let memory = Memory::new()?;
    let mut probes = probes()?;
    bench_probes(&mut probes, &memory)?;
    bench_collector(&mut probes, &memory)
}

//! Kernel memory as the probes read it: devices, their handler and port group, dm's paths, and
//! commands, laid out in the one value of a BPF array.

use std::os::fd::{AsRawFd, OwnedFd};

use alua_trace_ebpf::{AluaLayout, DmLayout, ScsiLayout};
use anyhow::{Context, Result, ensure};

use crate::{
    bpf::{array, instruction, load, owned, run},
    shared::Shared,
};

/// Linux 6.1's layout; any would do.
pub const LAYOUT: ScsiLayout = ScsiLayout {
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
pub const ALUA: AluaLayout = AluaLayout {
    dh_pg: 16,
    pg_group_id: 316,
    pg_state: 324,
    pg_pref: 328,
    pg_transition_tmo: 340,
    pg_rtpg_work: 360,
};
pub const DM: DmLayout = DmLayout {
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
pub const END_CLONE_REQUEST: u64 = 0xffff_ffff_c000_0000;

/// Groups of objects begin at a multiple of this.
const PAGE: usize = 4096;
/// What all devices share: host, handler, port group, and dm's objects.
const SHARED_PAGES: usize = 2;
const HOST: usize = 0;
const HANDLER: usize = 512;
const NAME: usize = 640;
const HANDLER_DATA: usize = 704;
const PORT_GROUP: usize = 768;
const GROUP: usize = 1536;
const MULTIPATH: usize = 1792;
const TI: usize = 2304;
const TABLE: usize = 2560;
const MD: usize = 2816;
const DISK: usize = 3328;
/// A `scsi_device` with its `pgpath` behind it.
const DEVICE_BYTES: usize = 2048 + 64;
const PGPATH: usize = 2048;
/// dm's data, request and `scsi_cmnd` of one command. Whole cache lines, as blk-mq allocates requests
/// (`blk_mq_alloc_rqs`), and not a power of two, of which only some of a cache's sets would be used.
const COMMAND_BYTES: usize = 960;
const REQUEST: usize = 256;

/// Devices and commands in memory of the kernel's, which is written as the block layer writes them:
/// in place.
pub struct Memory {
    map: OwnedFd,
    address: u64,
    bytes: Shared,
    devices: usize,
}

impl Memory {
    /// `devices` devices, each with one path in a map, and room for `commands` commands.
    pub fn new(devices: usize, commands: usize) -> Result<Self> {
        let pages = SHARED_PAGES
            + (devices * DEVICE_BYTES).div_ceil(PAGE)
            + (commands * COMMAND_BYTES).div_ceil(PAGE);
        let map = owned(array(pages * PAGE)?);
        let bytes = Shared::new(&map, pages * PAGE)?;
        let mut memory = Self {
            map,
            address: 0,
            bytes,
            devices,
        };
        memory.address = memory.find_address()?;
        memory.fill_shared();
        for device in 0..devices {
            memory.fill_device(device);
        }
        Ok(memory)
    }

    /// A program stores the address of the value in the value.
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
        Ok(u64::from_le_bytes(self.bytes[..8].try_into()?))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn pointer(&mut self, at: usize, to: usize) {
        let address = self.address + to as u64;
        self.put(at, &address.to_le_bytes());
    }

    fn fill_shared(&mut self) {
        self.put(HOST + 404, &1_u32.to_le_bytes());
        self.pointer(HANDLER + 24, NAME);
        self.put(NAME, b"alua\0");
        self.pointer(HANDLER_DATA + 16, PORT_GROUP);
        self.put(PORT_GROUP + 340, &[60]);
        self.pointer(GROUP + 16, MULTIPATH);
        self.put(GROUP + 40, &1_u32.to_le_bytes());
        self.pointer(MULTIPATH + 184, TI);
        self.pointer(TI, TABLE);
        self.pointer(TABLE, MD);
        self.pointer(MD + 184, DISK);
        self.put(DISK, &254_u32.to_le_bytes());
    }

    fn device(&self, device: usize) -> usize {
        SHARED_PAGES * PAGE + device * DEVICE_BYTES
    }

    fn fill_device(&mut self, number: usize) {
        let sdev = self.device(number);
        self.pointer(sdev, HOST);
        self.put(sdev + 144, &(number as u32).to_le_bytes());
        self.pointer(sdev + 2008, HANDLER);
        self.pointer(sdev + 2016, HANDLER_DATA);
        self.pointer(sdev + PGPATH + 16, GROUP);
    }

    /// The target number of every device, raised: other devices at the same addresses.
    pub fn replace_devices(&mut self) -> Result<()> {
        for number in 0..self.devices {
            let at = self.device(number) + 144;
            let id = u32::from_le_bytes(self.bytes[at..at + 4].try_into()?);
            self.put(at, &(id + self.devices as u32).to_le_bytes());
        }
        Ok(())
    }

    /// The number of the path group of every route, raised: another table at the same addresses.
    pub fn replace_table(&mut self) -> Result<()> {
        let at = GROUP + 40;
        let group = u32::from_le_bytes(self.bytes[at..at + 4].try_into()?);
        self.put(at, &(group + 1).to_le_bytes());
        Ok(())
    }

    fn commands(&self) -> usize {
        self.bytes.len() - self.commands_at()
    }

    fn commands_at(&self) -> usize {
        SHARED_PAGES * PAGE + (self.devices * DEVICE_BYTES).div_ceil(PAGE) * PAGE
    }

    /// Puts a command in the `place`th place, READ(10) of block `number` on a device; gives its
    /// address.
    pub fn command(&mut self, place: usize, device: usize, number: u32) -> Result<u64> {
        ensure!(
            (place + 1) * COMMAND_BYTES <= self.commands(),
            "no room for the command"
        );
        let tio = self.commands_at() + place * COMMAND_BYTES;
        let request = tio + REQUEST;
        self.put(request + 256, &END_CLONE_REQUEST.to_le_bytes());
        self.pointer(request + 264, tio);
        self.route(place, device);
        let cmnd = request + 272;
        self.put(cmnd + 164, &[0x28, 0]);
        self.put(cmnd + 166, &number.to_be_bytes());
        self.put(cmnd + 170, &[0, 0, 8, 0]);
        self.put(cmnd + 216, &4096_u32.to_le_bytes());
        Ok(self.address_of(place))
    }

    /// Sends the command in the `place`th place over a device.
    pub fn route(&mut self, place: usize, device: usize) {
        let tio = self.commands_at() + place * COMMAND_BYTES;
        let sdev = self.device(device);
        self.pointer(tio + 120, sdev + PGPATH);
        self.pointer(tio + REQUEST + 272, sdev);
    }

    /// The address that a command in the `place`th place has.
    pub fn address_of(&self, place: usize) -> u64 {
        let at = self.commands_at() + place * COMMAND_BYTES + REQUEST + 272;
        self.address + at as u64
    }
}

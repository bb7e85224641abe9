//! Member offsets of the running kernel's structures, in bytes, as the collector resolved them.

use core::mem::size_of;

/// Member offsets of the SCSI and block structures on the hot path, in bytes, from the running
/// kernel's BTF. The collector puts them into the code ([`LAYOUT_MARK`]).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScsiLayout {
    /// `sizeof(struct request)`: a request's `scsi_cmnd` follows it (`blk_mq_rq_to_pdu`).
    pub request_size: u32,
    /// `request.cmd_flags`.
    pub request_cmd_flags: u32,
    /// `request.end_io`.
    pub request_end_io: u32,
    /// `request.end_io_data`.
    pub request_end_io_data: u32,
    /// `request.bio`.
    pub request_bio: u32,
    /// `scsi_cmnd.device`.
    pub cmnd_device: u32,
    /// 1 when `scsi_cmnd.cmnd` is a pointer (before 5.18), 0 when it is an array.
    pub cmnd_cdb_is_pointer: u32,
    /// First byte of the window with `cmnd`, `retries`, `sdb.length`, `result` and
    /// `sense_buffer`; a multiple of 8.
    pub window_start: u32,
    /// Bytes of that window, at most [`super::MAX_WINDOW`].
    pub window_length: u32,
    /// `scsi_cmnd.cmnd`, from the start of the window.
    pub window_cdb: u32,
    /// `scsi_cmnd.retries`, from the start of the window.
    pub window_retries: u32,
    /// `scsi_cmnd.sdb.length`, from the start of the window.
    pub window_sdb_length: u32,
    /// `scsi_cmnd.result`, from the start of the window.
    pub window_result: u32,
    /// `scsi_cmnd.sense_buffer`, from the start of the window.
    pub window_sense_buffer: u32,
    /// `scsi_device.host`.
    pub sdev_host: u32,
    /// `scsi_device.id`.
    pub sdev_id: u32,
    /// `scsi_device.channel`.
    pub sdev_channel: u32,
    /// `scsi_device.lun`.
    pub sdev_lun: u32,
    /// `scsi_device.handler`.
    pub sdev_handler: u32,
    /// `scsi_device.handler_data`.
    pub sdev_handler_data: u32,
    /// `scsi_device_handler.name`.
    pub handler_name: u32,
    /// `Scsi_Host.host_no`.
    pub host_no: u32,
    /// `request.start_time_ns`.
    pub request_start_time_ns: u32,
    /// `scsi_cmnd.req.cmd`, which points to the CDB of a command that was not prepared yet: where
    /// `cmnd` is a pointer, which is set then. Else 0.
    pub cmnd_issued_cdb: u32,
}

/// What the kernel and the processor offer the probes. The collector puts it into the code ([`MACHINE_MARK`]): what can
/// never be reached then is left out by the verifier, and what the kernel does not know by the collector.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Machine {
    /// Records in each CPU's log ([`super::log_records`]); a power of two.
    pub log_records: u32,
    /// 1 where BPF has atomic operations that give the value of before (Linux 5.12).
    pub has_fetch: u32,
    /// 1 where stores and loads of one CPU may be seen in another order by others: not on x86. Needs `has_fetch`.
    pub weakly_ordered: u32,
    /// Lanes of histograms: CPUs of equal number modulo this count in the same cells. A power of two; 0 where the probes
    /// cannot count, because that needs `has_fetch`.
    pub lanes: u32,
    /// 1 where more than one CPU counts in a lane.
    pub lanes_are_shared: u32,
    /// Number of the last CPU that there is room for: one less than a power of two.
    pub last_cpu: u32,
    /// Number of the last row of [`super::CellIds`] that there is room for: one less than a power of two.
    pub last_row: u32,
    /// Number of the last path that there is room for: one less than a power of two.
    pub last_path: u32,
    /// Number of the last [`super::Cell`] that there is room for: one less than a power of two.
    pub last_cell: u32,
    /// Number of the last [`super::Octave`] that there is room for: one less than a power of two.
    pub last_octave: u32,
    /// 1 where counts of paths are in the array: old kernels give an element 4 MiB at most, which many CPUs exceed.
    pub counts_in_array: u32,
    /// Number of the last lane: one less than `lanes`, or 0.
    pub last_lane: u32,
    /// Number of the last set of [`super::Shortcut`]s that there is room for: one less than a power of two.
    pub last_shortcut: u32,
    /// Number of the kernel's type that programs may take any address for (`bpf_rdonly_cast`, Linux 6.2), and that has
    /// [`CAST_BYTES`] of integers; 0 where they may not.
    pub cast_type: u32,
}

/// What stands in the code for the first field of [`ScsiLayout`]: `r = MARK + offset of the field`, an instruction with an
/// immediate operand.
pub const LAYOUT_MARK: i32 = 0x5c51_1000;
/// The same for [`Machine`].
pub const MACHINE_MARK: i32 = 0x5c51_2000;
/// What stands in the code for a call of `bpf_rdonly_cast`: as it would be encoded, but for the function's number.
pub const CAST_CALL: i64 = 0x5c51_3000_0000_2085;
/// Bytes that may be loaded from where the call points to.
pub const CAST_BYTES: u32 = super::MAX_WINDOW;

/// What the collector tells the probes while they run: everything that belongs to modules that
/// may load later. An absent offset is [`ABSENT`] and disables what needs it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Control {
    /// Raised whenever devices, handlers, tables or states may have changed: by the collector, and
    /// by the probes when an RTPG ends. What a slot caches is read again when it is older.
    pub generation: u64,
    /// 1 while a bio-based multipath map exists.
    pub bio_based: u32,
    /// 1 while the probes see everything that changes a port group's state (`alua_rtpg_work`,
    /// `alua_check_sense`), and raise `generation` then: slots may cache states.
    pub cache_states: u32,
    /// Since when, in monotonic ns, each device is a path of one group of one map alone, as a look has found that began
    /// then; 0 where that is not so. It holds while [`crate::Noticed::resumed_ns`] is older.
    pub routes_known_ns: u64,
    /// Address of `end_clone_request` (dm_mod), or 0: marks a request as dm's clone.
    pub end_clone_request: u64,
    /// Address of `clone_endio` (dm_mod), or 0: marks a bio as dm's clone.
    pub clone_endio: u64,
    /// dm layout.
    pub dm: DmLayout,
    /// `scsi_dh_alua` layout.
    pub alua: AluaLayout,
    /// `scsi_dh_rdac` layout.
    pub rdac: RdacLayout,
    /// How to find a command's data.
    pub buffer: BufferLayout,
    /// Index of the `struct request *` among the arguments of `blk_execute_rq` and
    /// `blk_execute_rq_nowait`.
    pub execute_rq_argument: u32,
    /// Zero.
    pub reserved2: u32,
}

/// An offset this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Member offsets in dm_mod and dm_multipath, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DmLayout {
    /// `sizeof(struct dm_rq_target_io)`: the `dm_mpath_io` follows it (`dm_mq_init_request`).
    pub tio_size: u32,
    /// `dm_mpath_io.pgpath`.
    pub mpath_io_pgpath: u32,
    /// `pgpath.pg`.
    pub pgpath_pg: u32,
    /// `priority_group.m`.
    pub pg_m: u32,
    /// `priority_group.pg_num`.
    pub pg_num: u32,
    /// `multipath.ti`.
    pub m_ti: u32,
    /// `dm_target.table`.
    pub ti_table: u32,
    /// `dm_table.md`.
    pub table_md: u32,
    /// `mapped_device.disk`.
    pub md_disk: u32,
    /// `gendisk.major`.
    pub disk_major: u32,
    /// `gendisk.first_minor`.
    pub disk_first_minor: u32,
    /// `bio.bi_end_io`.
    pub bio_end_io: u32,
    /// From a clone bio back to its `dm_mpath_io` (`dm_per_bio_data`): offsets of
    /// `dm_io.tio.clone` + `sizeof(dm_mpath_io)` + `sizeof(dm_bio_details)`.
    pub bio_to_mpath_io: u32,
    /// `dm_rq_target_io.orig`: the request as it was submitted to the map.
    pub tio_orig: u32,
    /// `pgpath.path.dev`.
    pub pgpath_dev: u32,
    /// `dm_dev.bdev`.
    pub dm_dev_bdev: u32,
    /// `block_device.bd_dev`.
    pub bdev_dev: u32,
    /// Zero.
    pub reserved: u32,
}

/// Member offsets in scsi_dh_alua, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AluaLayout {
    /// `alua_dh_data.pg`.
    pub dh_pg: u32,
    /// `alua_port_group.group_id`.
    pub pg_group_id: u32,
    /// `alua_port_group.state`.
    pub pg_state: u32,
    /// `alua_port_group.pref`.
    pub pg_pref: u32,
    /// `alua_port_group.transition_tmo`: 0 until `alua_rtpg` has had an answer.
    pub pg_transition_tmo: u32,
    /// `alua_port_group.rtpg_work`.
    pub pg_rtpg_work: u32,
}

/// Member offsets in scsi_dh_rdac, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RdacLayout {
    /// `rdac_dh_data.mode`; `state`, `lun_state` and `preferred` follow it.
    pub dh_mode: u32,
    /// `rdac_dh_data.ctlr`.
    pub dh_controller: u32,
    /// `rdac_controller.index`.
    pub controller_index: u32,
    /// Zero.
    pub reserved: u32,
}

/// Where a command's data is: its scatterlist names pages, and a page's number is its address.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BufferLayout {
    /// Address of the kernel's variable `page_offset_base`: where it has mapped all memory; 0 when
    /// this kernel has none.
    pub page_offset_base: u64,
    /// Address of `vmemmap_base`: where the `struct page`s are.
    pub vmemmap_base: u64,
    /// Where the kernel has mapped all memory, where that is a constant; else 0.
    pub page_offset: u64,
    /// Where the `struct page`s are, where that is a constant.
    pub vmemmap: u64,
    /// `scsi_cmnd.sdb.table.sgl`.
    pub cmnd_sgl: u32,
    /// `scatterlist.page_link`.
    pub sg_page_link: u32,
    /// `scatterlist.offset`; `length` follows it.
    pub sg_offset: u32,
    /// `sizeof(struct page)`.
    pub page_struct_size: u32,
    /// `PAGE_SHIFT`.
    pub page_shift: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<ScsiLayout>() == 96 && size_of::<Machine>() == 56);
    assert!(size_of::<DmLayout>() == 72 && size_of::<AluaLayout>() == 24);
    assert!(size_of::<RdacLayout>() == 16 && size_of::<BufferLayout>() == 56);
    assert!(size_of::<Control>() == 40 + 72 + 24 + 16 + 56 + 8);
};

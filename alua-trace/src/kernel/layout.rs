//! The member offsets the probes use, resolved from types. Owns the list of structure members
//! the probes rely on, and the checks that keep a reading from going wrong silently.

use alua_trace_ebpf::{
    ABSENT, AluaLayout, BufferLayout, DmLayout, MAX_WINDOW, RdacLayout, ScsiLayout,
};
use thiserror::Error;

use super::{
    btf::{Btf, BtfError},
    types::Types,
};

/// Why a layout could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// A structure or member is missing.
    #[error(transparent)]
    Missing(#[from] BtfError),
    /// It is there, but not as the probes need it.
    #[error("{0}")]
    Unusable(String),
}

type Result<T> = std::result::Result<T, LayoutError>;

/// Offsets for the SCSI dispatch probes.
///
/// # Errors
/// Names the member that is missing or not as expected.
pub fn scsi(types: &Types<'_>) -> Result<ScsiLayout> {
    let btf = types.of("scsi_mod");
    let cdb = btf.member("scsi_cmnd", "cmnd")?;
    let mut layout = ScsiLayout {
        request_size: btf.size_of("request")?,
        request_cmd_flags: sized(btf, "request", "cmd_flags", 4)?,
        request_end_io: sized(btf, "request", "end_io", 8)?,
        request_end_io_data: sized(btf, "request", "end_io_data", 8)?,
        request_bio: sized(btf, "request", "bio", 8)?,
        cmnd_device: sized(btf, "scsi_cmnd", "device", 8)?,
        cmnd_cdb_is_pointer: u32::from(cdb.is_pointer),
        sdev_host: sized(btf, "scsi_device", "host", 8)?,
        sdev_id: sized(btf, "scsi_device", "id", 4)?,
        sdev_channel: sized(btf, "scsi_device", "channel", 4)?,
        sdev_lun: sized(btf, "scsi_device", "lun", 8)?,
        sdev_handler: sized(btf, "scsi_device", "handler", 8)?,
        sdev_handler_data: sized(btf, "scsi_device", "handler_data", 8)?,
        handler_name: sized(btf, "scsi_device_handler", "name", 8)?,
        host_no: sized(btf, "Scsi_Host", "host_no", 4)?,
        request_start_time_ns: sized(btf, "request", "start_time_ns", 8)?,
        cmnd_issued_cdb: if cdb.is_pointer {
            sized(btf, "scsi_cmnd", "req.cmd", 8)?
        } else {
            0
        },
        window_cdb: cdb.offset,
        window_retries: sized(btf, "scsi_cmnd", "retries", 4)?,
        window_sdb_length: sized(btf, "scsi_cmnd", "sdb.length", 4)?,
        window_result: sized(btf, "scsi_cmnd", "result", 4)?,
        window_sense_buffer: sized(btf, "scsi_cmnd", "sense_buffer", 8)?,
        window_start: 0,
        window_length: 0,
    };
    set_window(&mut layout)?;
    Ok(layout)
}

/// The probes read the end of a request with the beginning of its `scsi_cmnd` in one go, and so
/// the members of a `scsi_cmnd` that matter at completion. Turns their offsets, which are those in
/// `scsi_cmnd`, into those in the window.
fn set_window(layout: &mut ScsiLayout) -> Result<()> {
    let at_the_end = layout.request_end_io_data == layout.request_end_io + 8
        && layout.request_size == layout.request_end_io + 16;
    let aligned = layout.window_cdb.is_multiple_of(4);
    let cdb = if layout.cmnd_cdb_is_pointer == 0 {
        12
    } else {
        8
    };
    let mut members = [
        (&mut layout.window_cdb, cdb),
        (&mut layout.window_retries, 4),
        (&mut layout.window_sdb_length, 4),
        (&mut layout.window_result, 4),
        (&mut layout.window_sense_buffer, 8),
    ];
    let starts = members.iter().map(|(offset, _)| **offset / 8 * 8);
    layout.window_start = starts.min().unwrap_or(0);
    let ends = members.iter().map(|(offset, size)| **offset + size);
    layout.window_length = ends.max().unwrap_or(0) - layout.window_start;
    for (offset, _) in &mut members {
        **offset -= layout.window_start;
    }
    if at_the_end && aligned && layout.window_length <= MAX_WINDOW {
        return Ok(());
    }
    Err(LayoutError::Unusable(format!(
        "struct request and struct scsi_cmnd are laid out in a way the probes cannot read \
         ({layout:?}); please report it"
    )))
}

/// Offsets for finding the map and path a request came through.
///
/// # Errors
/// Names the member that is missing or not as expected.
pub fn dm(types: &Types<'_>) -> Result<DmLayout> {
    let (core, mpath) = (types.of("dm_mod"), types.of("dm_multipath"));
    Ok(DmLayout {
        tio_size: core.size_of("dm_rq_target_io")?,
        mpath_io_pgpath: sized(mpath, "dm_mpath_io", "pgpath", 8)?,
        pgpath_pg: sized(mpath, "pgpath", "pg", 8)?,
        pg_m: sized(mpath, "priority_group", "m", 8)?,
        pg_num: sized(mpath, "priority_group", "pg_num", 4)?,
        m_ti: sized(mpath, "multipath", "ti", 8)?,
        ti_table: sized(mpath, "dm_target", "table", 8)?,
        table_md: sized(core, "dm_table", "md", 8)?,
        md_disk: sized(core, "mapped_device", "disk", 8)?,
        disk_major: sized(core, "gendisk", "major", 4)?,
        disk_first_minor: sized(core, "gendisk", "first_minor", 4)?,
        bio_end_io: sized(core, "bio", "bi_end_io", 8)?,
        bio_to_mpath_io: bio_to_mpath_io(core, mpath).unwrap_or(ABSENT),
        tio_orig: sized(core, "dm_rq_target_io", "orig", 8)?,
        pgpath_dev: sized(mpath, "pgpath", "path.dev", 8)?,
        dm_dev_bdev: sized(mpath, "dm_dev", "bdev", 8)?,
        bdev_dev: sized(mpath, "block_device", "bd_dev", 4)?,
        reserved: 0,
    })
}

/// Bytes from a bio-based map's clone bio back to its `dm_mpath_io`: `dm_per_bio_data` lies before
/// the `dm_io` whose `tio.clone` the bio is; `multipath` keeps its two structures there.
fn bio_to_mpath_io(core: &Btf<'_>, mpath: &Btf<'_>) -> Result<u32> {
    Ok(core.member("dm_io", "tio")?.offset
        + core.member("dm_target_io", "clone")?.offset
        + mpath.size_of("dm_mpath_io")?
        + mpath.size_of("dm_bio_details")?)
}

/// Offsets for the ALUA handler's port groups.
///
/// # Errors
/// Names the member that is missing or not as expected.
pub fn alua(types: &Types<'_>) -> Result<AluaLayout> {
    let btf = types.of("scsi_dh_alua");
    let group = |member, size| sized(btf, "alua_port_group", member, size);
    let layout = AluaLayout {
        dh_pg: sized(btf, "alua_dh_data", "pg", 8)?,
        pg_group_id: group("group_id", 4)?,
        pg_state: group("state", 4)?,
        pg_pref: group("pref", 4)?,
        pg_transition_tmo: group("transition_tmo", 1)?,
        pg_rtpg_work: btf.member("alua_port_group", "rtpg_work")?.offset,
    };
    if layout.pg_pref != layout.pg_state + 4 {
        // The probes read both in one go on the hot path.
        return Err(LayoutError::Unusable(
            "alua_port_group.pref does not follow .state in this kernel; please report it".into(),
        ));
    }
    Ok(layout)
}

/// Offsets for the RDAC handler's data.
///
/// # Errors
/// Names the member that is missing or not as expected.
pub fn rdac(types: &Types<'_>) -> Result<RdacLayout> {
    let btf = types.of("scsi_dh_rdac");
    let data = |member| sized(btf, "rdac_dh_data", member, 1);
    let mode = data("mode")?;
    let follow = ["state", "lun_state", "preferred"];
    for (member, offset) in follow.into_iter().zip(mode + 1..) {
        if data(member)? != offset {
            return Err(LayoutError::Unusable(format!(
                "rdac_dh_data.{member} is not at byte {offset} in this kernel; please report it"
            )));
        }
    }
    Ok(RdacLayout {
        dh_mode: mode,
        dh_controller: sized(btf, "rdac_dh_data", "ctlr", 8)?,
        controller_index: sized(btf, "rdac_controller", "index", 1)?,
        reserved: 0,
    })
}

/// Where a command's data is, but for the two variables' addresses.
///
/// # Errors
/// Names the member that is missing or not as expected.
pub fn buffer(types: &Types<'_>) -> Result<BufferLayout> {
    let btf = types.of("scsi_mod");
    let offset = sized(btf, "scatterlist", "offset", 4)?;
    if sized(btf, "scatterlist", "length", 4)? != offset + 4 {
        return Err(LayoutError::Unusable(
            "scatterlist.length does not follow .offset in this kernel; please report it".into(),
        ));
    }
    Ok(BufferLayout {
        page_offset_base: 0,
        vmemmap_base: 0,
        page_offset: 0,
        vmemmap: 0,
        page_shift: rustix::param::page_size().ilog2(),
        reserved: 0,
        cmnd_sgl: sized(btf, "scsi_cmnd", "sdb.table.sgl", 8)?,
        sg_page_link: sized(btf, "scatterlist", "page_link", 8)?,
        sg_offset: offset,
        page_struct_size: btf.size_of("page")?,
    })
}

/// Offset of a member that must have that many bytes.
fn sized(btf: &Btf<'_>, structure: &str, member: &str, size: u32) -> Result<u32> {
    let found = btf.member(structure, member)?;
    if found.size != size {
        return Err(LayoutError::Unusable(format!(
            "{structure}.{member} has {} bytes in this kernel, not {size}; please report it",
            found.size
        )));
    }
    Ok(found.offset)
}

/// A layout whose module is not loaded: every offset absent.
#[must_use]
pub const fn no_alua() -> AluaLayout {
    AluaLayout {
        dh_pg: ABSENT,
        pg_group_id: ABSENT,
        pg_state: ABSENT,
        pg_pref: ABSENT,
        pg_transition_tmo: ABSENT,
        pg_rtpg_work: ABSENT,
    }
}

/// The same for `scsi_dh_rdac`.
#[must_use]
pub const fn no_rdac() -> RdacLayout {
    RdacLayout {
        dh_mode: ABSENT,
        dh_controller: ABSENT,
        controller_index: ABSENT,
        reserved: 0,
    }
}

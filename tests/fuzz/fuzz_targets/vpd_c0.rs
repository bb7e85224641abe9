//! Any bytes as VPD page C0h of either vendor.

#![no_main]

use alua_trace::scsi::emc::UnitPathReport;
use alua_trace::scsi::rdac::HardwareVersion;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = HardwareVersion::parse(data);
    if let Ok(report) = UnitPathReport::parse(data) {
        let _ = report.failover_text();
    }
});

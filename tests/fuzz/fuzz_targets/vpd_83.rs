//! Any bytes as VPD page 83h.

#![no_main]

use alua_trace::scsi::vpd83;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for designator in vpd83::designators(data).flatten() {
        let _ = (designator.value_text(), designator.kind_name());
    }
    let _ = (
        vpd83::lun_wwid(data),
        vpd83::multipath_wwid(data),
        vpd83::has_malformed_naa(data),
        vpd83::port_of(data),
    );
});

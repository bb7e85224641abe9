//! Pages C0h and C2h of RDAC arrays, whose words nobody imports: field by field.

use std::collections::BTreeMap;

use alua_trace::scsi::rdac::{HardwareVersion, SoftwareVersion};
use anyhow::Result;

use crate::pages::{self, Noise};
use crate::{MAX_SHOWN, dump, run};

/// Compares `number` pages of each; gives how many differ.
pub fn compare(number: u64, root: &str) -> Result<usize> {
    let hardware = of_kind(
        "C0h",
        "--page=hwr4",
        number,
        root,
        pages::hardware,
        |page| {
            let hardware = HardwareVersion::parse(page)?;
            Ok(vec![
                ("Number of channels", format!("{:x}", hardware.channels)),
                ("Processor Memory Size", hardware.memory_mib.to_string()),
                ("Board Name", hardware.board_name),
                ("Board Part Number", hardware.part_number),
                ("Board Serial Number", hardware.serial_number),
                ("Date of Manufacture", hardware.manufactured),
            ])
        },
    )?;
    let software = of_kind(
        "C2h",
        "--page=swr4",
        number,
        root,
        pages::software,
        |page| {
            let software = SoftwareVersion::parse(page)?;
            let [major, minor, patch] = software.version;
            let [month, day, year] = software.date;
            Ok(vec![
                (
                    "Software Version",
                    format!("{major:02x}.{minor:02x}.{patch:02x}"),
                ),
                ("Software Date", format!("{month:02}/{day:02}/{year:02}")),
                (
                    "Features",
                    if software.alua() { ALUA } else { "" }.to_owned(),
                ),
                (
                    "Maximum number of LUNS",
                    format!("{:#x}", software.max_luns),
                ),
            ])
        },
    )?;
    Ok(hardware + software)
}

/// The feature that is ours to tell, among others.
const ALUA: &str = "Asymmetric Logical Unit Access";

type Fields = Vec<(&'static str, String)>;

fn of_kind(
    name: &str,
    argument: &str,
    number: u64,
    root: &str,
    page: fn(&mut Noise) -> Vec<u8>,
    ours: impl Fn(&[u8]) -> Result<Fields>,
) -> Result<usize> {
    let mut noise = Noise::new();
    let mut differing = Vec::new();
    for _ in 0..number {
        let page = page(&mut noise);
        let words = run(root, &["sg_vpd", argument], &dump(&page))?;
        let theirs: BTreeMap<&str, &str> = words
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(field, value)| (field.trim(), value.trim()))
            .collect();
        for (field, value) in ours(&page)? {
            let told = theirs.get(field).copied();
            let same = match field {
                // They tell of more than one.
                "Features" => told.is_some_and(|it| it.contains(ALUA) != value.is_empty()),
                _ => told == Some(&*value),
            };
            if !same {
                differing.push(format!("{field}: {value}, sg3_utils {told:?}\n{words}"));
                break;
            }
        }
    }
    println!(
        "VPD page {name} (RDAC): {number} pages, {} differ",
        differing.len()
    );
    for difference in differing.iter().take(MAX_SHOWN) {
        println!("{difference}\n----");
    }
    Ok(differing.len())
}

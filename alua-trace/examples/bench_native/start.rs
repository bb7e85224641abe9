//! What a start takes before the hooks: type information, the kernel's symbols, maps and programs.

use std::time::Instant;

use alua_trace::{
    kernel::{
        attach::Probes,
        facts::{KernelFacts, Target},
        machine::Cast,
        probes::{self, Facts, ModuleFacts},
        types::RawTypes,
    },
    sysroot::{self, Sysroot},
};
use anyhow::{Result, bail};

use crate::memory::LAYOUT;

/// As on most hosts, and as on a big one.
const DEVICES: [usize; 2] = [4, 1024];

/// A kernel that has everything: so that every program is verified, though none can be attached here.
struct Everything;

impl Facts for Everything {
    fn module(&self, _name: &str) -> ModuleFacts {
        ModuleFacts {
            loaded: true,
            layout_error: None,
        }
    }

    fn has_function(&self, _module: &str, _name: &str) -> Option<bool> {
        Some(true)
    }

    fn has_tracepoint(&self, _group: &str, _name: &str) -> Option<bool> {
        Some(true)
    }
}

/// The most memory that this process has had resident so far.
fn peak() -> String {
    let bytes = sysroot::own_peak_memory().unwrap_or_default();
    format!("{:.1} MiB at most", bytes as f64 / f64::from(1 << 20))
}

/// Prints what each part takes.
pub fn start() -> Result<()> {
    println!("before the start {}", peak());
    let root = Sysroot::default();
    let began = Instant::now();
    let _facts = KernelFacts::gather(&root, None)?;
    let gathered = began.elapsed();
    println!("with types {}", peak());
    // One pass over the kernel's symbols, for one that is not there: the longest.
    sysroot::addresses(&root, &[("vmlinux", "no such function")])?;
    let searched = began.elapsed();
    println!("with symbols {}", peak());
    println!("types {:.1} ms", gathered.as_secs_f64() * 1e3);
    println!(
        "symbols {:.1} ms",
        (searched - gathered).as_secs_f64() * 1e3
    );
    let cast = Cast::find(&RawTypes::read(&root, None)?.parse_vmlinux()?);
    for devices in DEVICES {
        let target = Target {
            layout: LAYOUT,
            cast,
            done: None,
        };
        let began = Instant::now();
        let (mut loaded, _inbox) = Probes::load(target, None, devices)?;
        let maps = began.elapsed();
        println!("with {devices} devices, maps {}", peak());
        let mut plan = probes::plan(&Everything);
        loaded.attach(&mut plan);
        let is_refused = |it: &&probes::Planned| it.reason.contains("refuses the program");
        if let Some(refused) = plan.iter().find(is_refused) {
            bail!("{}: {}", refused.spec.name, refused.reason);
        }
        let programs = began.elapsed();
        println!("with {devices} devices {}", peak());
        println!(
            "with {devices} devices: maps {:.1} ms, programs {:.1} ms, start {:.1} ms",
            maps.as_secs_f64() * 1e3,
            (programs - maps).as_secs_f64() * 1e3,
            (searched + programs).as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

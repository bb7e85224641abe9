//! Sample traces for the tests of every output.

use std::sync::Arc;

use crate::model::*;

/// When the sample traces started.
pub(crate) const STARTED_AT_NS: u64 = 5_000_000_000;

const SECOND: u64 = 1_000_000_000;
const HOSTILE: &str = "a\x1b[2J\u{9b}1m\u{202e}\r\n\x07";

/// A path of `mpatha`.
pub(crate) fn path(id: u16, state: AccessState) -> Path {
    Path {
        id,
        hctl: format!("{}:0:0:1", 2 + id),
        device: Some(format!("sd{}", char::from(b'a' + (id % 26) as u8))),
        devno: Some(format!("8:{}", 16 * id)),
        wwid: Some("naa.600a098038303053".to_owned()),
        map: Some("mpatha".to_owned()),
        dm: Some("dm-0".to_owned()),
        path_group: Some(u32::from(id)),
        port_group: Some(id),
        relative_port: Some(id),
        vendor: Some("NETAPP".to_owned()),
        product: Some("LUN C-Mode".to_owned()),
        handler: Some("alua".to_owned()),
        state,
        state_source: StateSource::RtpgSeen,
        preferred: Some(state == AccessState::Optimized),
    }
}

/// One class × state with these buckets.
pub(crate) fn latency(class: Class, state: AccessState, buckets: &[(u64, u64)]) -> Latency {
    let commands: u64 = buckets.iter().map(|(_, count)| count).sum();
    let bound = |i: usize| buckets.get(i).map_or(0, |(bound, _)| *bound);
    Latency {
        class,
        state,
        commands,
        passthrough: 0,
        mapped: commands,
        errors: 0,
        bytes: commands * 8192,
        min_ns: bound(0),
        mean_ns: bound(0) as f64,
        p50_ns: Some(bound(buckets.len() / 2)),
        p90_ns: Some(bound(buckets.len().saturating_sub(1))),
        p99_ns: Some(bound(buckets.len().saturating_sub(1))),
        p999_ns: Some(bound(buckets.len().saturating_sub(1))),
        max_ns: bound(buckets.len().saturating_sub(1)),
        quantiles: Vec::new(),
        buckets: buckets.to_vec(),
        slowest: Vec::new(),
    }
}

/// A path that carried reads with these latencies.
pub(crate) fn path_with(id: u16, state: AccessState, buckets: &[(u64, u64)]) -> PathSummary {
    let latency = latency(Class::Read, state, buckets);
    PathSummary {
        path: path(id, state),
        present: true,
        counts: Counts {
            dispatched: latency.commands,
            completed: latency.commands,
            recorded: latency.commands,
            ..Counts::default()
        },
        share: 1.0,
        latency: vec![latency],
        network: None,
    }
}

/// Avoidable non-optimized I/O on `mpatha`, still going on.
pub(crate) fn flag(id: u32) -> Flag {
    Flag {
        id,
        kind: FlagKind::NonOptimizedIo,
        severity: Severity::Warning,
        subject: "mpatha".to_owned(),
        wwid: Some("naa.600a098038303053".to_owned()),
        avoidable: Some(true),
        first_at_ns: STARTED_AT_NS + 12 * SECOND + 45_000_000,
        last_at_ns: STARTED_AT_NS + 15 * SECOND,
        raised_at_ns: STARTED_AT_NS + 12 * SECOND + 50_000_000,
        ended_at_ns: None,
        commands: 1_234,
        share: 0.121,
        p50_ns: Some(1_940_000),
        optimized_p50_ns: Some(87_200),
        baseline: Some(Baseline::SamePeriod),
        paths: vec!["4:0:0:1".to_owned()],
        judgements: vec![Judgement {
            at_ns: STARTED_AT_NS + 12 * SECOND + 48_000_000,
            verdict: Verdict::Avoidable,
            paths: vec![PathState {
                hctl: "4:0:0:1".to_owned(),
                state: AccessState::NonOptimized,
            }],
            alternatives: vec!["3:0:0:1".to_owned()],
            outside_map: Vec::new(),
        }],
        judgements_left_out: 0,
        text: "3:0:0:1 is active/optimized and was usable.".to_owned(),
    }
}

/// A transfer of `mpatha` by a process, with its cost.
pub(crate) fn transfer() -> Transfer {
    let at = STARTED_AT_NS + 12 * SECOND;
    let load = |iops: f64, p50_ns| {
        Some(Load {
            commands: (iops * 5.0) as u64,
            iops,
            p50_ns,
            p99_ns: p50_ns.map(|ns| ns * 2),
        })
    };
    Transfer {
        id: 1,
        subject: "mpatha".to_owned(),
        wwid: Some("naa.600a098038303053".to_owned()),
        from: vec!["TPG 1".to_owned()],
        to: vec!["TPG 2".to_owned()],
        started_at_ns: at,
        start_uncertain_ns: Some(0),
        ended_at_ns: at + 3 * SECOND,
        known_at_ns: at + 3 * SECOND + 12_000_000,
        cause: Cause::LocalExplicit,
        actor: "sg_stpg[123]".to_owned(),
        evidence: vec![
            "+0 ns: sg_stpg[123] sent SET TARGET PORT GROUPS (TPG 2 to own) on 0:0:1:0".to_owned(),
        ],
        impact: Some(Impact {
            delayed: 16,
            retried: 16,
            failed: 0,
            held_in_dm: 4,
            added_ns: 48 * SECOND,
            longest_ns: 3 * SECOND,
            usual_ns: Some(87_200),
            delayed_above_ns: 5_140_000,
        }),
        before: load(10_000.0, Some(87_200)),
        during: load(0.0, None),
        after: load(4_000.0, Some(1_940_000)),
    }
}

/// Who owned `mpatha` when.
pub(crate) fn ownership() -> Ownership {
    let tenure = |owner: &str, began_s, ended_s, iops: f64| Tenure {
        owner: vec![owner.to_owned()],
        began_at_ns: STARTED_AT_NS + began_s * SECOND,
        ended_at_ns: STARTED_AT_NS + ended_s * SECOND,
        load: Load {
            commands: 120_000,
            iops,
            p50_ns: Some(87_200),
            p99_ns: Some(140_000),
        },
    };
    Ownership {
        subject: "mpatha".to_owned(),
        wwid: Some("naa.600a098038303053".to_owned()),
        tenures: vec![
            tenure("TPG 1", 0, 12, 10_000.0),
            tenure("TPG 2", 15, 60, 4_000.0),
        ],
        transfers: vec![transfer()],
        transfers_left_out: 3,
    }
}

/// A transfer whose names try to take over the terminal.
pub(crate) fn hostile_transfer() -> Transfer {
    let names = || vec![HOSTILE.to_owned()];
    Transfer {
        subject: HOSTILE.to_owned(),
        from: names(),
        to: names(),
        actor: HOSTILE.to_owned(),
        evidence: names(),
        ..transfer()
    }
}

/// A minute on a map with two paths that carried I/O and one that vanished.
pub(crate) fn summary() -> Summary {
    let ao = AccessState::Optimized;
    let mut first = path_with(
        1,
        ao,
        &[
            (62_000, 120_400),
            (87_200, 2_410_000),
            (140_000, 88_123),
            (990_000, 60),
        ],
    );
    first.latency.push(latency(
        Class::Write,
        ao,
        &[(140_000, 5_000), (330_000, 900)],
    ));
    first.counts.dispatched += 5_904;
    first.counts.completed += 5_900;
    first.counts.recorded += 5_900;
    first.counts.in_flight = 4;
    first.share = 0.9995;
    let mut second = path_with(
        2,
        AccessState::NonOptimized,
        &[(1_940_000, 1_200), (5_100_000, 34)],
    );
    second.share = 0.0005;
    let mut third = path_with(3, AccessState::Unknown, &[]);
    third.latency.clear();
    third.present = false;
    third.share = 0.0;
    Summary {
        duration_ns: 60 * SECOND,
        complete: true,
        incomplete_because: Vec::new(),
        paths: vec![first, second, third],
        flags: vec![flag(1)],
        ownership: Vec::new(),
        holds: vec![crate::model::Hold {
            map: "mpatha".into(),
            wwid: None,
            commands: 8,
            min_ns: 4_990_000_000,
            mean_ns: 5_000_000_000.0,
            p50_ns: Some(5_000_000_000),
            p99_ns: None,
            max_ns: 5_010_000_000,
            buckets: vec![(5_033_164_799, 8)],
        }],
        losses: Losses {
            unmatched_ends: 3,
            ..Losses::default()
        },
        counting: None,
        probes: probes()
            .into_iter()
            .filter(|probe| probe.status == ProbeStatus::Ok)
            .collect(),
        command_status: None,
        cost: Some(Cost {
            cpu_ns: 270_000_000,
            memory_bytes: 9_961_472,
            probes: Vec::new(),
        }),
    }
}

/// One probe that is attached and one that cannot be.
pub(crate) fn probes() -> Vec<Probe> {
    vec![
        Probe {
            name: "scsi-dispatch".to_owned(),
            hook: "raw_tracepoint scsi_dispatch_cmd_start".to_owned(),
            status: ProbeStatus::Ok,
            reason: String::new(),
            remedy: String::new(),
            lost_without: "everything".to_owned(),
        },
        Probe {
            name: "alua-rtpg".to_owned(),
            hook: "kprobe alua_rtpg_work".to_owned(),
            status: ProbeStatus::Broken,
            reason: "no symbol alua_rtpg_work".to_owned(),
            remedy: "load scsi_dh_alua with symbols, or give its BTF with --btf".to_owned(),
            lost_without: "access states learned during the trace".to_owned(),
        },
    ]
}

/// One interval with `count` paths of `mpatha`, all with I/O.
pub(crate) fn interval(count: u16) -> Interval {
    let state = |id| {
        if id == 1 {
            AccessState::Optimized
        } else {
            AccessState::NonOptimized
        }
    };
    let rows = (1..=count).map(|id| Row {
        path: Arc::new(path(id, state(id))),
        commands: 12_345 / u64::from(id),
        iops: 12_345.0 / f64::from(id),
        bytes_per_s: 101_130_240.0 / f64::from(id),
        in_flight: 12,
        p50_ns: Some(87_200),
        p99_ns: Some(140_000),
        p999_ns: Some(330_000),
        max_ns: Some(1_940_000),
        share: 1.0 / f64::from(count),
        cells: Vec::new(),
        network: None,
        so_far: SoFar::default(),
    });
    Interval {
        ended_at_ns: STARTED_AT_NS + 12 * SECOND,
        elapsed_ns: 12 * SECOND,
        interval_ns: SECOND,
        rows: rows.collect(),
        losses: Losses::default(),
        holds: Vec::new(),
    }
}

/// The first line of a trace with `count` paths.
pub(crate) fn start(count: u16) -> Start {
    Start {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        kernel: "6.12.48".to_owned(),
        wall_unix_ns: 1_763_650_000_000_000_000,
        started_at_ns: STARTED_AT_NS,
        probes: probes(),
        paths: (1..=count)
            .map(|id| path(id, AccessState::Optimized))
            .collect(),
    }
}

/// A path whose names try to take over the terminal.
pub(crate) fn hostile_path(id: u16) -> Path {
    let name = || Some(HOSTILE.to_owned());
    Path {
        hctl: HOSTILE.to_owned(),
        device: name(),
        devno: name(),
        wwid: name(),
        map: name(),
        dm: name(),
        vendor: name(),
        product: name(),
        handler: name(),
        ..path(id, AccessState::Transitioning)
    }
}

/// A flag whose names try to take over the terminal.
pub(crate) fn hostile_flag(id: u32) -> Flag {
    let paths = vec![HOSTILE.to_owned()];
    Flag {
        subject: HOSTILE.to_owned(),
        text: HOSTILE.to_owned(),
        paths,
        ..flag(id)
    }
}

/// A summary whose names try to take over the terminal.
pub(crate) fn hostile_summary() -> Summary {
    let mut summary = summary();
    summary.complete = false;
    summary.incomplete_because = vec![HOSTILE.to_owned()];
    for path in &mut summary.paths {
        path.path = hostile_path(path.path.id);
    }
    summary.flags = vec![hostile_flag(1)];
    let mut unit = ownership();
    unit.subject = HOSTILE.to_owned();
    unit.wwid = Some(HOSTILE.to_owned());
    unit.tenures[0].owner = vec![HOSTILE.to_owned()];
    unit.transfers = vec![hostile_transfer()];
    summary.ownership = vec![unit];
    summary.probes = probes();
    for probe in &mut summary.probes {
        probe.name = HOSTILE.to_owned();
        probe.reason = HOSTILE.to_owned();
        probe.remedy = HOSTILE.to_owned();
        probe.hook = HOSTILE.to_owned();
        probe.lost_without = HOSTILE.to_owned();
        probe.status = ProbeStatus::Broken;
    }
    summary
}

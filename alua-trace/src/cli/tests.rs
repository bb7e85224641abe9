//! What can be typed, what it means, and what the help says.

use std::time::Duration;

use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Action, clap::Error> {
    Cli::try_parse_from(line.split(' ')).map(Cli::into_action)
}

fn run(line: &str) -> RunConfig {
    match parse(
        &format!("alua-trace run {line}")
            .trim_end()
            .replace("  ", " "),
    )
    .unwrap()
    {
        Action::Run(config) => config,
        other => panic!("not run: {other:?}"),
    }
}

fn refused(line: &str) -> ErrorKind {
    let error = parse(&format!("alua-trace run {line}")).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{line}");
    error.kind()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn defaults() {
    let expected = RunConfig {
        duration: None,
        interval: Duration::from_secs(1),
        maps: Vec::new(),
        json: None,
        metrics: None,
        commands: false,
        ring_bytes: None,
        telling: Telling::Each,
        cost: false,
        placement: Placement::default(),
        btf: None,
        show: Show::Live,
        record: None,
        gates: Gates::default(),
        command: Vec::new(),
    };
    assert_eq!(run(""), expected);
}

#[test]
fn everything_at_once() {
    let config = run(
        "--duration 2m --interval 500ms --map mpatha --map mpathb --json t.json \
                      --commands --ring-bytes 512K --btf /btf --no-live -- fio --name x",
    );
    assert_eq!(config.duration, Some(Duration::from_secs(120)));
    assert_eq!(config.interval, Duration::from_millis(500));
    assert_eq!(config.maps, ["mpatha", "mpathb"]);
    assert_eq!(config.json, Some(JsonTarget::File("t.json".into())));
    assert!(config.commands && config.show == Show::Plain);
    assert_eq!(config.ring_bytes, Some(512 << 10));
    assert_eq!(config.btf, Some("/btf".into()));
    assert_eq!(config.command, ["fio", "--name", "x"]);
}

#[test]
fn threads_are_put_where_the_user_says() {
    let placement = run("--cpu 0,2-3 --nice -5 --cost").placement;
    assert_eq!(placement.cpus, [0, 2, 3]);
    assert_eq!(placement.nice, Some(-5));
    for bad in ["", "a", "3-1", "1,", "9999", "-1"] {
        refused(&format!("--cpu={bad}"));
    }
    refused("--nice=20");
}

#[test]
fn json_on_standard_output_leaves_no_place_for_the_live_view() {
    let config = run("--json -");
    assert_eq!(config.json, Some(JsonTarget::Stdout));
    assert_eq!(config.show, Show::Plain);
}

#[test]
fn times_need_a_unit_and_have_limits() {
    assert_eq!(
        run("--duration 1.5s").duration,
        Some(Duration::from_millis(1500))
    );
    assert_eq!(run("--interval 1h").interval, Duration::from_secs(3600));
    assert_eq!(run("--interval 100ms").interval, Duration::from_millis(100));
    for bad in [
        "10",
        "0s",
        "-1s",
        "1d",
        "s",
        ".",
        "1.2.3s",
        "999999999h",
        "1e9s",
        "ns",
        "µs",
        "",
    ] {
        assert_eq!(
            refused(&format!("--duration={bad}")),
            ErrorKind::ValueValidation,
            "{bad}"
        );
    }
    for bad in ["99ms", "61m", "2h", "0s"] {
        assert_eq!(
            refused(&format!("--interval {bad}")),
            ErrorKind::ValueValidation,
            "{bad}"
        );
    }
}

#[test]
fn ring_sizes_are_powers_of_two() {
    assert_eq!(run("--ring-bytes 4096").ring_bytes, Some(4096));
    assert_eq!(run("--ring-bytes 16M").ring_bytes, Some(16 << 20));
    for bad in [
        "0",
        "2048",
        "5000",
        "3M",
        "4096M",
        "K",
        "-4K",
        "4G",
        "99999999999",
    ] {
        assert_eq!(
            refused(&format!("--ring-bytes={bad}")),
            ErrorKind::ValueValidation,
            "{bad}"
        );
    }
}

#[test]
fn bad_combinations_are_refused() {
    assert_eq!(refused("--commands"), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused("fio"), ErrorKind::UnknownArgument);
    assert_eq!(refused("--map="), ErrorKind::ValueValidation);
    assert_eq!(refused("--json="), ErrorKind::ValueValidation);
    assert_eq!(parse("alua-trace").unwrap_err().exit_code(), 2);
}

#[test]
fn doctor() {
    let config = DoctorConfig {
        verbose: false,
        json: true,
        btf: Some("/btf".into()),
        multipath_conf: None,
    };
    assert_eq!(
        parse("alua-trace doctor --json --btf /btf").unwrap(),
        Action::Doctor(config)
    );
    let alone = parse("alua-trace doctor --multipath-conf a.conf").unwrap();
    assert!(matches!(
        alone,
        Action::Doctor(DoctorConfig { multipath_conf: Some(file), .. }) if file == *"a.conf"
    ));
}

fn decode(line: &str) -> DecodeConfig {
    match parse(&format!("alua-trace decode {line}")).unwrap() {
        Action::Decode(config) => config,
        other => panic!("not decode: {other:?}"),
    }
}

#[test]
fn decode_reads_standard_input_unless_told_otherwise() {
    let config = decode("--page c9");
    assert_eq!(config.page, DecodePage::VolumeAccess);
    assert_eq!((config.json, config.input), (false, DecodeInput::Stdin));
    let config = decode("--page 2c --json -");
    assert_eq!((config.json, config.input), (true, DecodeInput::Stdin));
    let config = decode("dump.txt --page rtpg");
    assert_eq!(config.input, DecodeInput::File("dump.txt".into()));
}

#[test]
fn every_page_has_the_name_it_is_shown_with() {
    let names = "inquiry 00 80 83 c0 c2 c4 c8 c9 rtpg stpg 2c 22 sense cdb";
    for name in names.split(' ') {
        assert_eq!(decode(&format!("--page {name}")).page.to_string(), name);
    }
    for bad in ["decode", "decode --page c1", "decode --page c9 a b"] {
        let error = parse(&format!("alua-trace {bad}")).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{bad}");
    }
}

#[test]
fn paths_shows_a_tree_of_all_maps_unless_told_otherwise() {
    let paths = |line: &str| match parse(line).unwrap() {
        Action::Paths(config) => config,
        other => panic!("not paths: {other:?}"),
    };
    let config = paths("alua-trace paths");
    assert!(config.maps.is_empty() && !config.refresh);
    assert_eq!(config.view, View::Tree);
    let config = paths("alua-trace paths mpatha dm-3 --refresh --view nmp");
    assert_eq!(config.maps, ["mpatha", "dm-3"]);
    assert!(config.refresh);
    assert_eq!(config.view, View::Nmp);
    assert_eq!(paths("alua-trace paths --svg").view, View::Svg);
    assert_eq!(paths("alua-trace paths --json").view, View::Json);
    assert!(parse("alua-trace paths --json --dot").is_err());
    assert!(parse("alua-trace paths --view mpath --dot").is_err());
}

#[test]
fn import_finds_out_what_it_reads_unless_told() {
    let import = |line: &str| match parse(line).unwrap() {
        Action::Import(config) => config,
        other => panic!("not import: {other:?}"),
    };
    let config = import("alua-trace import");
    assert_eq!((config.input, config.kind), (DecodeInput::Stdin, None));
    let config = import("alua-trace import --kind kernel-log log.txt --dot");
    assert_eq!(config.kind, Some(ImportKind::KernelLog));
    assert_eq!(config.view, View::Dot);
}

#[test]
fn help_documents_examples_and_exit_statuses() {
    let mut command = Cli::command();
    let run = command
        .find_subcommand_mut("run")
        .unwrap()
        .render_long_help()
        .to_string();
    for line in [
        "Usage: run [OPTIONS] [-- <COMMAND>...]",
        "--interval <TIME>",
        "[default: 1s]",
        "--ring-bytes <N>",
        "alua-trace run -- fio job.fio",
        "Exit status:",
    ] {
        assert!(run.contains(line), "{line} in\n{run}");
    }
    let doctor = command
        .find_subcommand_mut("doctor")
        .unwrap()
        .render_long_help()
        .to_string();
    assert!(doctor.contains("Exit status:"), "{doctor}");
    let decode = command
        .find_subcommand_mut("decode")
        .unwrap()
        .render_long_help()
        .to_string();
    for line in ["alua-trace decode --page c9", "Exit status:", "c0:"] {
        assert!(decode.contains(line), "{line} in\n{decode}");
    }
    let top = command.render_long_help().to_string();
    assert!(top.contains("128+N"), "{top}");
    for line in [&top, &run, &doctor, &decode]
        .into_iter()
        .flat_map(|help| help.lines())
    {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn runs_of_two_sides_are_compared() {
    let Action::Compare(config) =
        parse("alua-trace compare a1 a2 --vs b1 b2 --metric p99.9 --within 2 --meant mtu").unwrap()
    else {
        panic!("not compare");
    };
    let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(
        (config.one, config.other),
        (files(&["a1", "a2"]), files(&["b1", "b2"]))
    );
    assert_eq!(
        (config.metrics, config.within),
        (vec![Metric::P999Ns], 0.02)
    );
    for wrong in [
        "a1",
        "--vs b1",
        "a1 --vs b1 --within 0",
        "a1 --vs b1 --metric p98",
    ] {
        assert!(
            parse(&format!("alua-trace compare {wrong}")).is_err(),
            "{wrong}"
        );
    }
}

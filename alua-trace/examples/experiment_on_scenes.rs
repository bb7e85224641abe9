//! Experiments on traces that never were, for the tests: this program makes an experiment (`make PLAN DIR [JSON]`),
//! and is its tracer, too. What it records is as slow as the plan's factors are set: by files of a directory that
//! the environment names.

#[path = "../tests/scenes/mod.rs"]
mod scenes;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use alua_trace::{
    cli::{ExperimentConfig, ExperimentWish, Gates, JsonTarget, ReplayConfig, Span},
    experiment, replay,
};
use anyhow::{Context, Result, bail};
use scenes::{QUIET, Scene, record};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let status = match words.as_slice() {
        ["experiment-guard", dir] => experiment::guard(Path::new(dir)),
        ["make", plan, dir, json @ ..] => make(plan, dir, json.first().copied()),
        ["run", "--no-live", "--duration", ..] => try_trace(),
        ["run", rest @ ..] => run(rest),
        ["record", rest @ ..] => record_load(rest),
        _ => Err(anyhow::anyhow!("make PLAN DIR [JSON]")),
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn make(plan: &str, dir: &str, json: Option<&str>) -> Result<u8> {
    experiment::run(&ExperimentConfig {
        plan: plan.into(),
        dir: dir.into(),
        wish: match std::env::var("WISH").as_deref() {
            Ok("power") => ExperimentWish::Power(0.02),
            Ok("dry-run") => ExperimentWish::DryRun,
            _ => ExperimentWish::Make,
        },
        json: json.map(|file| JsonTarget::File(file.into())),
        gates: Gates::default(),
        btf: None,
        tracer: std::env::current_exe()?,
    })
}

/// What is set: `off` and `1500`, or what the files say.
fn scene(seed: u64) -> Result<Scene> {
    let state = PathBuf::from(std::env::var_os("STATE").context("STATE names a directory")?);
    let is = |name: &str, value: &str| {
        fs::read_to_string(state.join(name)).is_ok_and(|it| it.trim() == value)
    };
    let slower = match (is("alua", "on"), is("mtu", "9000")) {
        (false, false) => 50,
        (false, true) => 40,
        (true, false) => 10,
        (true, true) => 9,
    };
    Ok(Scene {
        seconds: 7,
        rate: if is("load", "none") { 0 } else { 900 },
        slower,
        frames: if is("mtu", "9000") && !is("offload", "on") {
            8
        } else {
            45
        },
        transfer: is("load", "unsteady"),
        seed,
        ..QUIET
    })
}

/// The words after an option, and after `--`.
fn option<'a>(words: &[&'a str], name: &str) -> Result<&'a str> {
    let at = words.iter().position(|it| *it == name);
    let value = at.and_then(|at| words.get(at + 1));
    value.copied().with_context(|| format!("{name} is missing"))
}

fn load(words: &[&str]) -> Result<u8> {
    let at = words.iter().position(|it| *it == "--").context("no load")?;
    let Some((program, arguments)) = words[at + 1..].split_first() else {
        bail!("no load");
    };
    let status = Command::new(program).args(arguments).status()?;
    Ok(status
        .code()
        .and_then(|it| it.try_into().ok())
        .unwrap_or(128))
}

/// The first trace, before anything is switched.
fn try_trace() -> Result<u8> {
    let state = PathBuf::from(std::env::var_os("STATE").context("STATE names a directory")?);
    anyhow::ensure!(!state.join("untraceable").exists(), "tracing needs root");
    Ok(0)
}

/// Rounds at once, then the load.
fn run(words: &[&str]) -> Result<u8> {
    let json = option(words, "--json")?;
    let recording = format!("{json}.atr");
    let _ = fs::remove_file(&recording);
    record(&scene(1)?, Path::new(&recording));
    replay::run(&ReplayConfig {
        json: Some(JsonTarget::File(json.into())),
        commands: false,
        setup: false,
        maps: Vec::new(),
        span: Span::default(),
        thresholds: Vec::new(),
        gates: Gates::default(),
        files: vec![recording.clone().into()],
    })?;
    fs::remove_file(&recording)?;
    load(words)
}

fn record_load(words: &[&str]) -> Result<u8> {
    let file = option(words, "-o")?;
    let status = load(words)?;
    // Another one each time, but the same in each experiment, wherever that is kept.
    let name = Path::new(file).file_name().unwrap_or_default();
    let seed = name
        .as_encoded_bytes()
        .iter()
        .fold(7_u64, |seed, byte| (seed * 31 + u64::from(*byte)) % 99_991);
    record(&scene(seed + 2)?, Path::new(file));
    Ok(status)
}

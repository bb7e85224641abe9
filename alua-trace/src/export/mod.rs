//! `alua-trace export`: a recording in the form that other tools read. `docs/export.md` describes each.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    cli::{ExportConfig, ExportTo},
    evidence::Evidence,
    replay::{self, Audience, Missing, Played, Playing, play},
    safe,
};

mod csv;
mod fio;
mod hlog;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;
pub mod rows;
pub mod table;

/// Exports a recording; gives the exit status.
///
/// # Errors
/// The recording cannot be read, or what is made of it not written; what was to be made is there already.
pub fn run(config: &ExportConfig) -> Result<u8> {
    let first = config
        .files
        .first()
        .map_or(Path::new("-"), PathBuf::as_path);
    let name = safe::name(&first.to_string_lossy());
    let target = config
        .output
        .clone()
        .unwrap_or_else(|| default_target(config.to, first));
    let missing = write(config, &target).with_context(|| format!("cannot export {name}"))?;
    eprintln!(
        "alua-trace: {name} is exported to {}",
        safe::name(&target.to_string_lossy())
    );
    Ok(replay::status(missing.as_ref()))
}

/// `fio.atr` becomes `fio.hlog`, or the directory `fio.parquet`.
fn default_target(to: ExportTo, recording: &Path) -> PathBuf {
    recording.with_extension(match to {
        ExportTo::Hlog => "hlog",
        ExportTo::Csv => "csv",
        ExportTo::Parquet => "parquet",
        ExportTo::Fio => "fio.json",
        ExportTo::Perfetto => "perfetto-trace",
    })
}

fn write(config: &ExportConfig, target: &Path) -> Result<Option<Missing>> {
    let played = match config.to {
        ExportTo::Hlog => {
            let mut hlog = hlog::Hlog::new(BufWriter::new(new_file(target)?));
            let played = told(config, false, &mut hlog)?;
            hlog.end()?;
            played
        }
        ExportTo::Csv => {
            let directory = new_directory(target)?;
            let mut told_to = rows::Tabulating::new(csv::Csv::create(&directory)?);
            let played = told(config, config.commands, &mut told_to)?;
            told_to.into_rows().end()?;
            played
        }
        ExportTo::Parquet => parquet_tables(config, target)?,
        ExportTo::Perfetto => {
            let mut transfers = perfetto::Transfers::default();
            told(config, false, &mut transfers)?;
            let out = BufWriter::new(new_file(target)?);
            let mut perfetto = perfetto::Perfetto::new(out, transfers);
            let played = told(config, true, &mut perfetto)?;
            perfetto.end()?;
            played
        }
        ExportTo::Fio => return fio_json(config, target),
    };
    Ok(played.missing)
}

#[cfg(feature = "parquet")]
fn parquet_tables(config: &ExportConfig, target: &Path) -> Result<Played> {
    let directory = new_directory(target)?;
    let mut told_to = rows::Tabulating::new(parquet::Parquet::create(&directory)?);
    let played = told(config, config.commands, &mut told_to)?;
    told_to.into_rows().end()?;
    Ok(played)
}

#[cfg(not(feature = "parquet"))]
fn parquet_tables(_: &ExportConfig, _: &Path) -> Result<Played> {
    bail!("this alua-trace was built without Parquet; build it with cargo's default features")
}

fn fio_json(config: &ExportConfig, target: &Path) -> Result<Option<Missing>> {
    let evidence = Evidence::read(&config.files, &config.maps)?;
    let mut out = BufWriter::new(new_file(target)?);
    serde_json::to_writer_pretty(&mut out, &fio::object(&evidence))?;
    out.flush()?;
    Ok(evidence.missing)
}

/// Plays the recording.
fn told(config: &ExportConfig, commands: bool, audience: &mut dyn Audience) -> Result<Played> {
    let wanted = Playing {
        maps: config.maps.clone(),
        commands,
        ..Playing::default()
    };
    play(&config.files, &wanted, audience)
}

fn new_file(path: &Path) -> Result<File> {
    create(path).with_context(|| {
        let path = path.display();
        format!("cannot make {path}; name something that is not there yet with -o")
    })
}

/// A directory for files that are not there yet.
fn new_directory(path: &Path) -> Result<PathBuf> {
    if path.exists() && !path.is_dir() {
        bail!("{} is no directory; name another with -o", path.display());
    }
    fs::create_dir_all(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))?;
    Ok(path.to_owned())
}

/// Makes a file that is not there yet: what somebody has exported before stays as it is.
fn create(path: &Path) -> io::Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    made.map_err(|error| {
        let path = path.display();
        io::Error::new(
            error.kind(),
            format!("{path}: {error}; name another place with -o"),
        )
    })
}

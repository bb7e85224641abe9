//! `alua-trace report`: what a recording says, the verdict first: as text, as one JSON object, or as one HTML
//! page.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    cli::ReportConfig,
    evidence::{
        Evidence,
        verdict::{self, Tone},
    },
    gates, live, out, replay,
    report::summary::summary,
    safe,
};

pub(crate) mod draw;
mod html;
mod object;

pub use html::page;
pub(crate) use html::{document, esc};
pub use object::object;

const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// Makes the report; gives the exit status.
///
/// # Errors
/// The recording cannot be read, or the report not written.
pub fn run(config: &ReportConfig) -> Result<u8> {
    let first = config
        .files
        .first()
        .map_or(Path::new("-"), PathBuf::as_path);
    let evidence = Evidence::read(&config.files, &config.maps)
        .with_context(|| format!("cannot report on {}", safe::name(&first.to_string_lossy())))?;
    let mut text = verdict_text(&evidence);
    if let Some(file) = &config.output {
        let stem = first.file_name().unwrap_or(first.as_os_str());
        let page = html::page(&evidence, &stem.to_string_lossy());
        fs::write(file, &page).with_context(|| {
            format!(
                "cannot write -o {}; name a file that can be made",
                file.display()
            )
        })?;
        let kib = page.len().div_ceil(1024);
        let file = safe::name(&file.to_string_lossy());
        text.push_str(&format!(
            "\nThe page is {file} ({kib} KiB): open it in a browser.\n"
        ));
    } else {
        let width = live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL);
        text.push('\n');
        text.push_str(&summary(
            &evidence.summary,
            evidence.start.started_at_ns,
            width,
        ));
    }
    out::tell(config.json.as_ref(), &object(&evidence), &text)?;
    let outcomes = gates::outcomes(&config.gates, &evidence.summary);
    let of = format!("report {}", first.display());
    Ok(match gates::told(&config.gates, &of, &outcomes)? {
        0 => replay::status(evidence.missing.as_ref()),
        failed => failed,
    })
}

/// The verdict as people read it.
fn verdict_text(evidence: &Evidence) -> String {
    let sentences = verdict::sentences(evidence).into_iter().map(|sentence| {
        let mark = match sentence.tone {
            Tone::Fine => ' ',
            Tone::Warning => '!',
        };
        format!("{mark} {}\n", safe::sentence(&sentence.text))
    });
    sentences.collect()
}

//! What is in a package, and where it goes on a host.

use std::fs;
use std::io::Write;
use std::path::Path;

use alua_trace::cli::Cli;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use flate2::{Compression, GzBuilder};

/// A file of a package.
pub(crate) struct File {
    /// From the root, without the first `/`.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    /// The user may change it: it stays as it is when another version comes.
    pub(crate) is_configuration: bool,
}

/// Files of the repository that are installed as they are.
const AS_THEY_ARE: [(&str, &str); 9] = [
    (
        "dist/systemd/alua-trace.service",
        "usr/lib/systemd/system/alua-trace.service",
    ),
    (
        "dist/prometheus/alua-trace.rules.yml",
        "usr/share/alua-trace/prometheus/alua-trace.rules.yml",
    ),
    (
        "dist/grafana/alua-trace.json",
        "usr/share/alua-trace/grafana/alua-trace.json",
    ),
    ("README.md", "usr/share/doc/alua-trace/README.md"),
    ("docs/watch.md", "usr/share/doc/alua-trace/watch.md"),
    ("docs/metrics.md", "usr/share/doc/alua-trace/metrics.md"),
    ("docs/gates.md", "usr/share/doc/alua-trace/gates.md"),
    ("LICENSE-MIT", "usr/share/doc/alua-trace/LICENSE-MIT"),
    ("LICENSE-APACHE", "usr/share/doc/alua-trace/LICENSE-APACHE"),
];
const CONFIGURATION: (&str, &str) = ("dist/watch.toml", "etc/alua-trace/watch.toml");
const CHANGELOG: (&str, &str) = ("CHANGELOG.md", "usr/share/doc/alua-trace/changelog.gz");

/// All of them, by their path.
pub(crate) fn all(root: &Path, binary: &Path) -> Result<Vec<File>> {
    let plain = |path: &str, bytes| File {
        path: path.to_owned(),
        bytes,
        mode: 0o644,
        is_configuration: false,
    };
    let mut files = vec![File {
        mode: 0o755,
        ..plain("usr/bin/alua-trace", read(binary)?)
    }];
    for (from, to) in AS_THEY_ARE {
        files.push(plain(to, read(&root.join(from))?));
    }
    files.push(File {
        is_configuration: true,
        ..plain(CONFIGURATION.1, read(&root.join(CONFIGURATION.0))?)
    });
    files.push(plain(CHANGELOG.1, packed(&read(&root.join(CHANGELOG.0))?)?));
    for (name, bytes) in man_pages()? {
        files.push(plain(
            &format!("usr/share/man/man1/{name}.gz"),
            packed(&bytes)?,
        ));
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        files.push(plain(place_of(shell), completions(shell)));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// With nothing in it that depends on when it was packed.
pub(crate) fn packed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packer = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    packer.write_all(bytes)?;
    Ok(packer.finish()?)
}

/// `alua-trace.1` and one for each verb that is not hidden, from the same words as `--help`.
fn man_pages() -> Result<Vec<(String, Vec<u8>)>> {
    let command = Cli::command().disable_help_subcommand(true);
    let mut pages = vec![page(command.clone(), "alua-trace")?];
    for verb in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        let name = format!("alua-trace-{}", verb.get_name());
        // The usage line has the name as it is typed.
        let typed = format!("alua-trace {}", verb.get_name());
        pages.push(page(verb.clone().bin_name(typed), &name)?);
    }
    Ok(pages)
}

fn page(command: clap::Command, name: &str) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let named = command
        .name(name.to_owned())
        .version(env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(named)
        .date("")
        .source(format!("alua-trace {}", env!("CARGO_PKG_VERSION")))
        .render(&mut bytes)?;
    Ok((format!("{name}.1"), bytes))
}

fn place_of(shell: Shell) -> &'static str {
    match shell {
        Shell::Zsh => "usr/share/zsh/vendor-completions/_alua-trace",
        Shell::Fish => "usr/share/fish/vendor_completions.d/alua-trace.fish",
        _ => "usr/share/bash-completion/completions/alua-trace",
    }
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "alua-trace", &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_verb_has_a_page_and_the_shells_know_it() {
        let names: Vec<String> = man_pages()
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert!(
            names.contains(&"alua-trace-watch.1".to_owned()),
            "{names:?}"
        );
        assert!(
            !names.iter().any(|name| name.contains("guard")),
            "{names:?}"
        );
        for shell in Shell::value_variants() {
            let text = String::from_utf8(completions(*shell)).unwrap();
            assert!(text.contains("watch"), "{shell}");
        }
    }

    #[test]
    fn what_is_packed_twice_is_the_same() {
        assert_eq!(packed(b"text").unwrap(), packed(b"text").unwrap());
    }
}

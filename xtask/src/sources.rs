//! Which mirror serves Debian to this machine: read from its apt sources, never changed, and
//! never a host name of our own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The key ring that Debian's archive is signed with.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const RELEASES: [&str; 13] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "buster",
    "experimental",
];

/// Where to fetch from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The archive.
    pub(crate) main: String,
    /// The security archive, when the machine uses it.
    pub(crate) security: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uri: String,
    suite: String,
    components: Vec<String>,
    signed_by: Option<String>,
}

impl Mirror {
    /// The mirror in `etc_apt` (`/etc/apt`), once the key ring is known to be there.
    pub(crate) fn find(etc_apt: &Path) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!(
                "{KEYRING} is missing, so what is fetched could not be verified; \
                 run as root: apt-get install debian-archive-keyring"
            );
        }
        let mut entries = Vec::new();
        for file in source_files(etc_apt)? {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let deb822 = file
                .extension()
                .is_some_and(|extension| extension == "sources");
            entries.extend(if deb822 {
                parse_deb822(&text)
            } else {
                parse_one_line(&text)
            });
        }
        choose(&entries).with_context(|| {
            format!(
                "no Debian mirror among the apt sources in {}: the lab needs an entry such as \
                 `deb <mirror> bookworm main`",
                etc_apt.display()
            )
        })
    }
}

fn source_files(etc_apt: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let list = etc_apt.join("sources.list");
    if list.exists() {
        files.push(list);
    }
    let parts = etc_apt.join("sources.list.d");
    if parts.is_dir() {
        let mut found = fs::read_dir(&parts)
            .with_context(|| format!("cannot list {}", parts.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|e| e == "list" || e == "sources")
            })
            .collect::<Vec<_>>();
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn choose(entries: &[Entry]) -> Option<Mirror> {
    let main = entries
        .iter()
        .find(|entry| entry.is_debian() && entry.is_release())?;
    let security = entries
        .iter()
        .find(|entry| entry.is_debian() && entry.is_security());
    Some(Mirror {
        main: main.uri.clone(),
        security: security.map(|entry| entry.uri.clone()),
    })
}

impl Entry {
    /// Other archives also use Debian's suite names, but sign with keys of their own.
    fn is_debian(&self) -> bool {
        let own_key = self
            .signed_by
            .as_ref()
            .is_some_and(|key| !key.contains("debian-archive"));
        !own_key && !self.uri.starts_with("cdrom:") && self.components.iter().any(|c| c == "main")
    }

    fn is_release(&self) -> bool {
        RELEASES.contains(&self.suite.as_str())
    }

    fn is_security(&self) -> bool {
        self.suite
            .strip_suffix("-security")
            .is_some_and(|release| RELEASES.contains(&release))
    }
}

fn parse_one_line(text: &str) -> Vec<Entry> {
    text.lines().filter_map(one_line).collect()
}

fn one_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let signed_by = options.split_whitespace().find_map(|option| {
        option
            .to_ascii_lowercase()
            .strip_prefix("signed-by=")
            .map(str::to_owned)
    });
    Some(Entry {
        uri: words.next()?,
        suite: words.next()?,
        components: words.collect(),
        signed_by,
    })
}

fn parse_deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            entries.extend(stanza_entries(&stanza));
            stanza.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            stanza.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn stanza_entries(stanza: &[(String, String)]) -> Vec<Entry> {
    let field = |name: &str| {
        stanza
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let words = |name: &str| {
        field(name)
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    if field("enabled").eq_ignore_ascii_case("no") || !words("types").iter().any(|t| t == "deb") {
        return Vec::new();
    }
    let signed_by = field("signed-by");
    let mut entries = Vec::new();
    for uri in words("uris") {
        for suite in words("suites") {
            entries.push(Entry {
                uri: uri.clone(),
                suite,
                components: words("components"),
                signed_by: (!signed_by.is_empty()).then(|| signed_by.to_owned()),
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb
# a comment inside
URIs: http://mirror.test/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main contrib

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: sid
Components: main
";

    #[test]
    fn deb822_gives_both_archives() {
        let entries = parse_deb822(DEB822);
        assert_eq!(entries.len(), 3, "{entries:?}");
        let mirror = choose(&entries).unwrap();
        assert_eq!(mirror.main, "http://mirror.test/debian");
        assert_eq!(
            mirror.security.as_deref(),
            Some("http://mirror.test/debian-security")
        );
    }

    #[test]
    fn one_line_form_with_options_and_comments() {
        let text = "# deb http://no.test/debian bookworm main\n\
            deb-src http://src.test/debian bookworm main\n\
            deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
            https://m.test/debian/ trixie main contrib # ours\n\
            deb https://m.test/security trixie-security main\n";
        let mirror = choose(&parse_one_line(text)).unwrap();
        assert_eq!(mirror.main, "https://m.test/debian/");
        assert_eq!(mirror.security.as_deref(), Some("https://m.test/security"));
    }

    #[test]
    fn foreign_archives_are_not_the_mirror() {
        let text = "deb cdrom:[Debian 12]/ bookworm main\n\
            deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.test/debian bookworm main\n\
            deb https://node.test/node nodistro main\n\
            deb https://docker.test/linux/debian bookworm stable\n\
            deb https://m.test/debian bookworm-updates main\n";
        assert_eq!(choose(&parse_one_line(text)), None);
    }

    #[test]
    fn a_directory_without_sources_names_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let error = Mirror::find(dir.path()).unwrap_err();
        assert!(error.to_string().contains("no Debian mirror"), "{error}");
    }
}

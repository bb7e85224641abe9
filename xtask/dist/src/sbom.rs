//! What the binary is made of: SPDX 2.3 as JSON, from cargo's own account of the dependencies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{LICENCE, NAME, Package};

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Crate {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// `null` for what is linked.
    kind: Option<String>,
}

pub(crate) fn make(package: &Package, metadata: &Path) -> Result<Vec<u8>> {
    let text = fs::read_to_string(metadata)
        .with_context(|| format!("cannot read {}", metadata.display()))?;
    let metadata: Metadata = serde_json::from_str(&text)?;
    let own = metadata.packages.iter().find(|it| it.name == NAME);
    let own = own.context("cargo metadata knows no alua-trace")?;
    let linked = linked(&metadata.resolve, &own.id);
    let crates = metadata
        .packages
        .iter()
        .filter(|it| linked.contains(it.id.as_str()));
    let packages: Vec<Value> = crates.clone().map(described).collect();
    let relations: Vec<Value> = crates
        .filter(|it| it.id != own.id)
        .map(|it| {
            json!({
                "spdxElementId": identifier(own),
                "relatedSpdxElement": identifier(it),
                "relationshipType": "DEPENDS_ON",
            })
        })
        .collect();
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{NAME}-{}-{}", package.version, package.arch),
        "documentNamespace": format!("urn:alua-trace:{}:{}:{}", package.version, package.arch, package.time),
        "creationInfo": {
            "created": jiff::Timestamp::from_second(i64::from(package.time))?.to_string(),
            "creators": ["Tool: cargo xtask dist"],
        },
        "documentDescribes": [identifier(own)],
        "packages": packages,
        "relationships": relations,
    });
    let mut out = serde_json::to_vec_pretty(&document)?;
    out.push(b'\n');
    Ok(out)
}

/// What is linked into a package, itself among it.
fn linked<'a>(resolve: &'a Resolve, from: &'a str) -> BTreeSet<&'a str> {
    let (mut found, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(id) = next.pop() {
        let nodes = resolve.nodes.iter().filter(|node| node.id == id);
        for dependency in nodes.flat_map(|node| &node.deps) {
            let is_linked = dependency.dep_kinds.iter().any(|it| it.kind.is_none());
            if is_linked && found.insert(&dependency.pkg) {
                next.push(&dependency.pkg);
            }
        }
    }
    found
}

fn described(it: &Crate) -> Value {
    let licence = it
        .license
        .as_deref()
        .unwrap_or(LICENCE)
        .replace('/', " OR ");
    let mut value = json!({
        "SPDXID": identifier(it),
        "name": it.name,
        "versionInfo": it.version,
        "licenseDeclared": licence,
        "licenseConcluded": licence,
        "copyrightText": "NOASSERTION",
        "downloadLocation": "NOASSERTION",
    });
    if it.source.is_some() {
        let url = format!("pkg:cargo/{}@{}", it.name, it.version);
        value["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": url,
        }]);
    }
    value
}

fn identifier(it: &Crate) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let name: String = format!("{}-{}", it.name, it.version)
        .chars()
        .map(allowed)
        .collect();
    format!("SPDXRef-{name}")
}

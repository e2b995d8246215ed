//! docs/metrics.md, held against what processes expose.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use nacre_tests::platform::repository;

use super::exposition::{Exposition, Family};

/// A row of the document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// The rows of the document, by name.
pub(crate) fn rows() -> anyhow::Result<BTreeMap<String, Row>> {
    let text = std::fs::read_to_string(repository().join("docs/metrics.md"))?;
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, labels, help] = cells[..] else {
            anyhow::bail!("not a row of name, type, labels and meaning: {line}");
        };
        let quoted = |text: &str| text.trim_matches('`').to_owned();
        let row = Row {
            kind: kind.to_owned(),
            labels: labels
                .split(", ")
                .map(quoted)
                .filter(|label| !label.is_empty())
                .collect(),
            help: help.to_owned(),
        };
        let name = quoted(name);
        ensure!(
            rows.insert(name.clone(), row).is_none(),
            "{name} has two rows"
        );
    }
    Ok(rows)
}

/// What is exposed is what is documented, all of it that these processes have and nothing else.
pub(crate) fn is_exactly(
    all: &BTreeMap<&str, Exposition>,
    is_theirs: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let rows = rows()?;
    let mut exposed = BTreeMap::new();
    for (process, family) in all
        .iter()
        .flat_map(|(p, all)| all.values().map(move |f| (p, f)))
    {
        let name = documented_name(family);
        let row = rows.get(&name);
        let row =
            row.with_context(|| format!("{process} exposes {name}, which no row documents"))?;
        ensure!(
            row.kind == family.kind,
            "{name} is a {}, not a {}",
            family.kind,
            row.kind
        );
        let help = family.help.trim_end_matches('.');
        ensure!(
            row.help == help || family.kind == "info",
            "{name}: {:?}, not {help:?}",
            row.help
        );
        for sample in &family.samples {
            let mut labels: BTreeSet<_> = sample.labels.keys().cloned().collect();
            labels.remove("le");
            let known = match family.kind.as_str() {
                // A process may say more of how it was built.
                "info" => labels.is_superset(&row.labels),
                _ => labels == row.labels,
            };
            ensure!(
                known,
                "{name} has the labels {labels:?}, not {:?}",
                row.labels
            );
        }
        exposed.insert(name, ());
    }
    for name in rows.keys().filter(|name| is_theirs(name)) {
        ensure!(exposed.contains_key(name), "nobody exposes {name}");
    }
    Ok(())
}

/// As it is asked for.
fn documented_name(family: &Family) -> String {
    let suffix = match family.kind.as_str() {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    format!("{}{suffix}", family.name)
}

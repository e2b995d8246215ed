//! What must not be said.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::exposition::Exposition;

/// None of these is in there.
pub(crate) fn none_in(text: &[u8], secrets: &[String], place: &str) -> anyhow::Result<()> {
    for secret in secrets {
        let at = text
            .windows(secret.len())
            .position(|part| part == secret.as_bytes());
        if let Some(at) = at {
            let line = text[..at]
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            let shown =
                String::from_utf8_lossy(&text[line..(at + 200).min(text.len())]).into_owned();
            anyhow::bail!("{place} says {secret}: {shown}");
        }
    }
    Ok(())
}

/// Every line is an object that says when, how grave, from where and what.
pub(crate) fn is_json(log: &str, name: &str) -> anyhow::Result<()> {
    ensure!(!log.is_empty(), "{name} logs nothing at all");
    for line in log.lines() {
        let read: Value = serde_json::from_str(line).with_context(|| format!("{name}: {line}"))?;
        for field in ["timestamp", "level", "target"] {
            ensure!(read[field].is_string(), "{name}: no {field}: {line}");
        }
        ensure!(read["fields"].is_object(), "{name}: no fields: {line}");
    }
    Ok(())
}

/// The values of labels are those of the program, or names of what was deployed.
pub(crate) fn labels_are_ours(all: &BTreeMap<&str, Exposition>) -> anyhow::Result<()> {
    let families = all.values().flat_map(BTreeMap::values);
    for sample in families.flat_map(|family| &family.samples) {
        for (label, value) in &sample.labels {
            let fits = match label.as_str() {
                "function" => matches!(value.as_str(), "iris-network" | "none"),
                "boot" => value.strip_prefix("boot_").is_some_and(|id| id.len() == 32),
                "route" => value == "none" || value.starts_with('/'),
                "path" => value.starts_with('/') || value == "other",
                "le" => true,
                _ => value.len() <= 64,
            };
            ensure!(fits, "{} has {label}={value:?}", sample.name);
        }
    }
    Ok(())
}

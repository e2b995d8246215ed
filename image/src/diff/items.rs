//! Two ramdisks, entry by entry.

use std::collections::{BTreeMap, BTreeSet};

use crate::contents::{Item, ItemKind};
use crate::diff::Kind;

/// What differs, by path.
pub(super) fn compare_items(first: &[Item], second: &[Item]) -> Vec<(String, Kind, Vec<String>)> {
    let by_path = |items: &'_ [Item]| -> BTreeMap<String, Item> {
        let pairs = items.iter().map(|item| (item.path.clone(), item.clone()));
        pairs.collect()
    };
    let (first, second) = (by_path(first), by_path(second));
    let paths: BTreeSet<_> = first.keys().chain(second.keys()).collect();
    let changes = paths.into_iter().filter_map(|path| {
        let (kind, details) = match (first.get(path), second.get(path)) {
            (Some(a), Some(b)) if a == b => return None,
            (Some(a), Some(b)) => (Kind::Changed, compare(a, b)),
            (None, Some(b)) => (Kind::Added, vec![describe(&b.kind)]),
            (a, _) => (
                Kind::Removed,
                a.map(|a| describe(&a.kind)).into_iter().collect(),
            ),
        };
        Some((path.clone(), kind, details))
    });
    changes.collect()
}

fn compare(a: &Item, b: &Item) -> Vec<String> {
    let mut details = Vec::new();
    if a.mode != b.mode {
        details.push(format!("mode {:04o} → {:04o}", a.mode, b.mode));
    }
    if a.owner != b.owner {
        let owners = [a.owner, b.owner].map(|(user, group)| format!("{user}:{group}"));
        details.push(format!("owner {} → {}", owners[0], owners[1]));
    }
    if a.mtime != b.mtime {
        details.push(format!("time {} → {}", a.mtime, b.mtime));
    }
    match (&a.kind, &b.kind) {
        (a, b) if a == b => {}
        (
            ItemKind::File {
                length: a,
                sha256: old,
            },
            ItemKind::File {
                length: b,
                sha256: new,
            },
        ) => {
            if a != b {
                details.push(format!("length {a} → {b}"));
            }
            details.push(format!(
                "sha256 {} → {}",
                hex::encode(old),
                hex::encode(new)
            ));
        }
        (a, b) => details.push(format!("{} → {}", describe(a), describe(b))),
    }
    details
}

fn describe(kind: &ItemKind) -> String {
    match kind {
        ItemKind::File { length, .. } => format!("file, {length} bytes"),
        ItemKind::Folder => "folder".to_owned(),
        ItemKind::Link { target } => format!("link to {target:?}"),
        ItemKind::CharacterDevice { major, minor } => format!("character device {major}:{minor}"),
    }
}

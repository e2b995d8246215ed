//! The manual itself: every entry has a source and a test that exists.

use std::collections::BTreeSet;
use std::path::Path;

use nacre_attestation_verifier::RULES;

/// An entry of the manual.
#[derive(Default)]
struct Entry {
    heading: String,
    has_source: bool,
    has_defence: bool,
    /// Function and file.
    tests: Vec<(String, String)>,
}

#[test]
fn the_manual_has_at_least_25_entries_with_headings_of_their_own() {
    let entries = entries();
    let headings: BTreeSet<_> = entries.iter().map(|entry| &entry.heading).collect();
    assert!(entries.len() >= 25, "{} entries", entries.len());
    assert_eq!(headings.len(), entries.len());
}

#[test]
fn every_entry_says_where_the_bug_was_and_why_it_is_not_here() {
    for entry in entries() {
        assert!(entry.has_source, "{}: no source", entry.heading);
        assert!(entry.has_defence, "{}: no defence", entry.heading);
    }
}

#[test]
fn every_entry_names_tests_that_exist() {
    for entry in entries() {
        assert!(!entry.tests.is_empty(), "{}: no test", entry.heading);
        for (function, file) in entry.tests {
            let source = read(&package().join(&file));
            let declared = source.contains(&format!("#[test]\nfn {function}()"))
                || source.contains(&format!("    #[test]\n    fn {function}()"));
            assert!(declared, "{}: {file} has no test {function}", entry.heading);
        }
    }
}

#[test]
fn every_rule_that_the_manual_names_exists() {
    let rules: BTreeSet<_> = RULES.iter().map(|(rule, _)| *rule).collect();
    let mut named = 0;
    for path in files(&package().join("src/manual")) {
        let text = read(&path);
        // Odd pieces stand between backticks.
        for word in text.split('`').skip(1).step_by(2) {
            let is_rule = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            if word.contains('-') && word.bytes().all(is_rule) {
                assert!(rules.contains(word), "{}: no rule {word}", path.display());
                named += 1;
            }
        }
    }
    assert!(named >= 25, "{named} rules named");
}

/// Every test that was written for the manual belongs to an entry of it.
#[test]
fn no_test_of_the_manual_is_without_its_entry() {
    let named: BTreeSet<_> = entries()
        .into_iter()
        .flat_map(|entry| entry.tests)
        .collect();
    for path in files(&package().join("tests/it/manual")) {
        let file = format!("tests/it/manual/{}", path.file_name().unwrap().display());
        if file.ends_with("/index.rs") {
            continue;
        }
        for function in read(&path).split("#[test]\nfn ").skip(1) {
            let function = function.split('(').next().unwrap();
            let name = (function.to_owned(), file.clone());
            assert!(named.contains(&name), "{file}: {function}");
        }
    }
}

fn entries() -> Vec<Entry> {
    let mut entries = Vec::<Entry>::new();
    for path in files(&package().join("src/manual")) {
        for line in read(&path).lines() {
            let Some(line) = line.strip_prefix("//! ") else {
                continue;
            };
            if let Some(heading) = line.strip_prefix("## ") {
                entries.push(Entry {
                    heading: heading.to_owned(),
                    ..Entry::default()
                });
                continue;
            }
            let Some(entry) = entries.last_mut() else {
                continue;
            };
            entry.has_source |= line.starts_with("Seen in ");
            entry.has_defence |= line.starts_with("Here, ");
            if let Some(tests) = line.strip_prefix("Test: ") {
                entry.tests.push(test_of(tests));
            }
        }
    }
    entries
}

/// `` `function` in `file`. ``
fn test_of(line: &str) -> (String, String) {
    match line.split('`').collect::<Vec<_>>()[..] {
        ["", function, " in ", file, "."] => (function.to_owned(), file.to_owned()),
        _ => panic!("not a reference to a test: {line}"),
    }
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

//! The lists of cases.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Column;
use crate::corpus::Case;
use crate::findings::{Finding, Topic};
use crate::protocol::{PANICKED, Verdict};
use crate::run::Outcome;

/// The cases that say most about who could be believed by mistake.
pub(super) fn in_short(cases: &[Case], peers: &[Column]) -> String {
    let named: Vec<_> = (0..cases.len())
        .filter(|&index| GRAVEST.contains(&cases[index].name.as_str()))
        .collect();
    format!(
        "## In short\n\nThe gravest of what follows. None can be made without a key that a certificate under the root \
         holds or held; they differ in how far such a key reaches.\n\n{}\n",
        table(cases, peers, &named)
    )
}

const GRAVEST: [&str; 12] = [
    "leaf-issued-by-a-leaf",
    "intermediate-as-leaf",
    "ca-with-ca-false",
    "ca-without-key-cert-sign",
    "intermediate-path-length-0",
    "intermediate-issuer-other",
    "leaf-algorithm-inside-sha256",
    "ca-key-rsa",
    "leaf-critical-name-constraints",
    "protected-es256",
    "digest-sha256",
    "pcr-index-256-for-0",
];

pub(super) fn valid_refused(cases: &[Case], peers: &[Column]) -> String {
    let refused = grouped(cases, peers, |case, found| {
        case.is_valid() && matches!(found, Finding::Refuses | Finding::Panics | Finding::Dies)
    });
    format!("## Valid, refused\n\n{refused}")
}

pub(super) fn panics(cases: &[Case], peers: &[Column]) -> String {
    let panics = grouped(cases, peers, |_, found| {
        matches!(found, Finding::Panics | Finding::Dies)
    });
    format!(
        "## Panics\n\nInput from a stranger that makes the library panic instead of returning an error: whoever may send \
         a document can end the thread that checks it.\n\n{panics}"
    )
}

/// The cases of which the predicate holds, by verifier and by what it says.
fn grouped(cases: &[Case], columns: &[Column], wanted: impl Fn(&Case, Finding) -> bool) -> String {
    let mut text = String::from("| verifier | it says | cases |\n|---|---|---|\n");
    let header = text.len();
    for column in columns {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((case, outcome), found) in cases.iter().zip(&column.outcomes).zip(&column.findings) {
            if wanted(case, *found) {
                let names = groups.entry(cell(&said(outcome))).or_default();
                names.push(format!("`{}`", case.name));
            }
        }
        for (said, names) in groups {
            let title = &column.title;
            let _ = writeln!(
                text,
                "| {title} | {said} | {}: {} |",
                names.len(),
                names.join(", ")
            );
        }
    }
    match text.len() == header {
        true => "None.\n\n".to_owned(),
        false => text + "\n",
    }
}

pub(super) fn let_through(cases: &[Case], peers: &[Column]) -> String {
    let mut text = String::from(
        "## Accepted, must be refused, case by case\n\nAn empty cell: refused. *caller*: the library has no function for \
         it.\n",
    );
    for topic in Topic::ALL {
        let rows = rows(cases, peers, |case, found| {
            !case.is_valid()
                && Topic::of(case) == topic
                && matches!(found, Finding::Accepts | Finding::Caller)
        });
        if rows.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "\n### {}\n\n{}",
            heading(topic),
            table(cases, peers, &rows)
        );
    }
    text
}

fn table(cases: &[Case], columns: &[Column], rows: &[usize]) -> String {
    let mut text = format!(
        "| case | what is wrong |{}\n|---|---|{}\n",
        titles(columns),
        "---|".repeat(columns.len())
    );
    for &index in rows {
        let case = &cases[index];
        let _ = write!(text, "| `{}` | {} |", case.name, cell(&case.about));
        for column in columns {
            let _ = write!(text, " {} |", column.findings[index].word());
        }
        text.push('\n');
    }
    text
}

/// The cases of which the predicate holds for at least one verifier.
fn rows(cases: &[Case], columns: &[Column], wanted: impl Fn(&Case, Finding) -> bool) -> Vec<usize> {
    (0..cases.len())
        .filter(|&index| {
            let mut findings = columns.iter().map(|column| column.findings[index]);
            findings.any(|found| wanted(&cases[index], found))
        })
        .collect()
}

pub(super) fn titles(columns: &[Column]) -> String {
    columns
        .iter()
        .map(|column| format!(" {} |", column.title))
        .collect()
}

fn heading(topic: Topic) -> String {
    let title = topic.title();
    let mut letters = title.chars();
    let first: String = letters
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    first + letters.as_str()
}

pub(super) fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Died => "the process ended or did not answer".to_owned(),
        Outcome::Answered(Verdict::Code { code, rule, .. }) => {
            format!("{code} {}", rule.as_deref().unwrap_or("without a rule"))
        }
        Outcome::Answered(Verdict::Verdict { accepted, detail }) => match detail {
            Some(detail) => shortened(detail),
            None if *accepted => "accepted".to_owned(),
            None => "refused".to_owned(),
        },
        Outcome::Answered(Verdict::Unsupported { unsupported }) => {
            format!("no function for: {unsupported}")
        }
    }
}

/// Text for one cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A panic's words often hold what it found, which differs from case to case: it is cut off, its numbers struck out.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 160;
    if text.starts_with(PANICKED) {
        let end = text.find(['(', '{']).unwrap_or(text.len());
        let words = text[..end].split(' ');
        let words = words.map(|word| word.parse::<u64>().map_or(word, |_| "n"));
        return words.collect::<Vec<_>>().join(" ").trim_end().to_owned();
    }
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

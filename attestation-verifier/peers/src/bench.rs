//! The figures of one Criterion run, and whether they keep what is promised.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Criterion's group for a document of the corpus.
pub const CORPUS_DOCUMENT: &str = "corpus document";
/// Criterion's group for a document of AWS's hardware.
pub const AWS_DOCUMENT: &str = "AWS document";

/// Nacre with a fast backend and no memory of chains.
pub const COLD: &str = "Nacre, aws-lc, cold";
/// Nacre with a fast backend, the chain known.
pub const CACHED: &str = "Nacre, aws-lc, chain cached";
/// Nacre in pure Rust, no memory of chains.
pub const PORTABLE_COLD: &str = "Nacre, portable, cold";
/// Nacre in pure Rust, the chain known.
pub const PORTABLE_CACHED: &str = "Nacre, portable, chain cached";
/// Evervault's.
pub const ATTESTATION_DOC_VALIDATION: &str = "attestation-doc-validation 0.10.1";
/// The other crate that has a target.
pub const NITRO_ATTEST: &str = "nitro_attest 0.2.0";
/// Turnkey's.
pub const QOS_NSM: &str = "qos_nsm 0.15.1";

/// All that is measured, in the order of the table.
pub const VERIFIERS: [&str; 7] = [
    COLD,
    CACHED,
    PORTABLE_COLD,
    PORTABLE_CACHED,
    ATTESTATION_DOC_VALIDATION,
    NITRO_ATTEST,
    QOS_NSM,
];

/// One measured time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// The kind of document.
    pub document: &'static str,
    /// What verified it.
    pub verifier: &'static str,
    /// The median of one verification, in milliseconds.
    pub median_ms: f64,
}

/// A promise, with what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// The kind of document.
    pub document: &'static str,
    /// In words.
    pub promise: &'static str,
    /// As measured.
    pub measured: f64,
    /// The bound, in the same unit.
    pub bound: f64,
    /// Whether it is kept.
    pub met: bool,
}

/// Reads what Criterion left in its folder; what it did not measure is left out.
///
/// # Errors
///
/// [`io::Error`] where a file of Criterion's is not what it writes.
pub fn read(criterion: &Path) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for document in [CORPUS_DOCUMENT, AWS_DOCUMENT] {
        for verifier in VERIFIERS {
            let path = criterion
                .join(document)
                .join(verifier)
                .join("new/estimates.json");
            let Ok(text) = fs::read(&path) else { continue };
            let estimates: Estimates = serde_json::from_slice(&text)?;
            figures.push(Figure {
                document,
                verifier,
                median_ms: estimates.median.point_estimate / 1e6,
            });
        }
    }
    Ok(figures)
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// Nanoseconds.
    point_estimate: f64,
}

/// The promises that these figures bear on.
pub fn targets(figures: &[Figure]) -> Vec<Target> {
    [CORPUS_DOCUMENT, AWS_DOCUMENT]
        .into_iter()
        .flat_map(|document| of_document(document, figures))
        .collect()
}

fn of_document(document: &'static str, figures: &[Figure]) -> Vec<Target> {
    let median = |verifier| {
        let figure = figures
            .iter()
            .find(|figure| figure.document == document && figure.verifier == verifier);
        figure.map(|figure| figure.median_ms)
    };
    let cold = median(COLD);
    let times = |verifier| Some(median(verifier)? / cold?);
    let at_most = |promise, measured: Option<f64>, bound| {
        measured.map(|measured| Target {
            document,
            promise,
            measured,
            bound,
            met: measured <= bound,
        })
    };
    let at_least = |promise, measured: Option<f64>, bound| {
        measured.map(|measured| Target {
            document,
            promise,
            measured,
            bound,
            met: measured >= bound,
        })
    };
    [
        at_most("cold, at most (ms)", cold, 1.0),
        at_most("chain cached, at most (ms)", median(CACHED), 0.25),
        at_least(
            "cold, faster than attestation-doc-validation, at least (times)",
            times(ATTESTATION_DOC_VALIDATION),
            3.0,
        ),
        at_least(
            "cold, faster than nitro_attest, at least (times)",
            times(NITRO_ATTEST),
            2.5,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Both as tables.
pub fn markdown(figures: &[Figure], targets: &[Target]) -> String {
    let mut text = String::from(
        "| one verification, median time on one core | corpus document | AWS document |\n|---|---|---|\n",
    );
    for verifier in VERIFIERS {
        let cell = |document| {
            let figure = figures
                .iter()
                .find(|figure| figure.document == document && figure.verifier == verifier);
            figure.map_or("not measured".to_owned(), |figure| {
                format!("{:.3} ms", figure.median_ms)
            })
        };
        let _ = writeln!(
            text,
            "| {verifier} | {} | {} |",
            cell(CORPUS_DOCUMENT),
            cell(AWS_DOCUMENT)
        );
    }
    text.push_str("\n| promise | document | bound | measured | |\n|---|---|---|---|---|\n");
    for target in targets {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {} |",
            target.promise,
            target.document,
            target.bound,
            target.measured,
            if target.met { "met" } else { "MISSED" }
        );
    }
    text
}

/// The page with these tables between its markers, in the place of what stood there; nothing where it has no markers.
pub fn between_markers(page: &str, tables: &str) -> Option<String> {
    const BEGIN: &str = "<!-- verify:begin (written by `make bench`) -->";
    const END: &str = "<!-- verify:end -->";
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", tables.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_replace_the_tables_before_and_nothing_else() {
        let page = "a\n<!-- verify:begin (written by `make bench`) -->\n\nold\n\n<!-- verify:end -->\nb";
        let new = between_markers(page, "new\n").expect("it has markers");
        assert_eq!(new, page.replace("old", "new"));
        assert_eq!(between_markers("a", "new"), None);
    }

    #[test]
    fn a_promise_is_kept_at_its_bound_and_missed_beyond() {
        let figure = |verifier, median_ms| Figure {
            document: AWS_DOCUMENT,
            verifier,
            median_ms,
        };
        let met = |figures: &[Figure]| -> Vec<bool> {
            targets(figures).iter().map(|target| target.met).collect()
        };
        let kept = [
            figure(COLD, 1.0),
            figure(CACHED, 0.25),
            figure(ATTESTATION_DOC_VALIDATION, 3.0),
            figure(NITRO_ATTEST, 2.5),
        ];
        assert_eq!(met(&kept), [true; 4]);
        let missed = [
            figure(COLD, 1.01),
            figure(CACHED, 0.26),
            figure(ATTESTATION_DOC_VALIDATION, 3.0),
            figure(NITRO_ATTEST, 2.5),
        ];
        assert_eq!(met(&missed), [false; 4]);
    }

    #[test]
    fn what_was_not_measured_promises_nothing() {
        assert_eq!(targets(&[]), []);
        assert!(markdown(&[], &[]).contains("not measured"));
    }
}

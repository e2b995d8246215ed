//! Where a verifier differs from the rules.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::commands::conformance::candidate::Run;
use crate::commands::conformance::compare::{Difference, Got, Outcome};
use crate::commands::conformance::corpus::{Case, Scope};
use crate::output::table;

/// The result of a run over a corpus.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Every case was answered, at least one in substance, and nothing differs.
    pub(super) conforms: bool,
    total: Counts,
    scopes: BTreeMap<Scope, Counts>,
    /// Accepted, though it must be refused.
    let_through: Vec<Difference>,
    /// Refused, though it must be accepted.
    refused: Vec<Difference>,
    wrong_code: Vec<Difference>,
    wrong_rule: Vec<Difference>,
    no_verdict: Vec<Difference>,
    unsupported: Vec<Difference>,
    ended: Option<Ended>,
    stderr: String,
}

/// How many cases there are of each kind.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Counts {
    cases: usize,
    agree: usize,
    differ: usize,
    unsupported: usize,
    unanswered: usize,
}

/// Why not every case was answered, or what followed the last answer.
#[derive(Debug, Serialize)]
struct Ended {
    code: &'static str,
    message: String,
    /// The first case without an answer. The program may have failed at it or, as requests are sent ahead, after it.
    first_unanswered: Option<String>,
}

impl Report {
    pub(super) fn new(cases: &[Case], run: Run) -> Self {
        let mut found: BTreeMap<Outcome, Vec<Difference>> = BTreeMap::new();
        let (mut total, mut scopes) = (Counts::default(), BTreeMap::<_, Counts>::new());
        for (index, case) in cases.iter().enumerate() {
            let answer = run.answers.get(index);
            let outcome = answer.map(|answer| Outcome::of(case, answer));
            total.add(outcome);
            scopes.entry(case.scope).or_default().add(outcome);
            if let (Some(answer), Some(outcome)) = (answer, outcome)
                && outcome != Outcome::Agrees
            {
                let difference = Difference::new(case, answer);
                found.entry(outcome).or_default().push(difference);
            }
        }
        let mut take = |outcome| found.remove(&outcome).unwrap_or_default();
        Self {
            conforms: run.ending.is_none() && total.differ == 0 && total.agree > 0,
            total,
            scopes,
            let_through: take(Outcome::LetThrough),
            refused: take(Outcome::Refused),
            wrong_code: take(Outcome::WrongCode),
            wrong_rule: take(Outcome::WrongRule),
            no_verdict: take(Outcome::NoVerdict),
            unsupported: take(Outcome::Unsupported),
            ended: run.ending.map(|ending| Ended {
                code: ending.code(),
                message: ending.to_string(),
                first_unanswered: cases.get(run.answers.len()).map(|case| case.name.clone()),
            }),
            stderr: run.stderr,
        }
    }

    /// The report as lines: the worst first, the summary last.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (title, differences) in [
            (
                "LET THROUGH: accepted, though it must be refused",
                &self.let_through,
            ),
            ("refused, though it must be accepted", &self.refused),
            ("refused with another result code", &self.wrong_code),
            ("refused by another rule", &self.wrong_rule),
            ("no verdict", &self.no_verdict),
        ] {
            push_section(&mut text, title, differences);
        }
        self.push_unsupported(&mut text);
        self.push_ending(&mut text);
        text.push_str(&self.counts());
        text.push_str("\n\n");
        text.push_str(&self.summary());
        text
    }

    /// Those are many, and all for a few reasons.
    fn push_unsupported(&self, text: &mut String) {
        let mut parts = BTreeMap::<_, usize>::new();
        for case in &self.unsupported {
            *parts.entry(case.got.unsupported.as_deref()).or_default() += 1;
        }
        for (part, count) in parts {
            let part = part.unwrap_or_default();
            let _ = writeln!(text, "unsupported ({part}): {count} cases");
        }
        if !self.unsupported.is_empty() {
            text.push('\n');
        }
    }

    fn push_ending(&self, text: &mut String) {
        let Some(ended) = &self.ended else { return };
        let _ = writeln!(text, "ended early ({}): {}", ended.code, ended.message);
        if let Some(name) = &ended.first_unanswered {
            let _ = writeln!(text, "  first case without an answer: {name}");
        }
        for line in self.stderr.lines() {
            let plain = line.replace(char::is_control, " ");
            let _ = writeln!(text, "  its standard error: {plain}");
        }
        text.push('\n');
    }

    fn counts(&self) -> String {
        let head = [
            "scope",
            "cases",
            "agree",
            "differ",
            "unsupported",
            "unanswered",
        ];
        let scopes = self.scopes.iter();
        let rows = scopes.map(|(scope, counts)| counts.row(scope.name()));
        let rows: Vec<_> = rows.chain([self.total.row("all")]).collect();
        table(&head, &rows)
    }

    fn summary(&self) -> String {
        let Counts {
            cases,
            agree,
            unsupported,
            unanswered,
            ..
        } = self.total;
        let verdict = match self.conforms {
            true => "no differences",
            false if self.total.differ == 0 && agree == 0 => "nothing compared",
            false if self.total.differ == 0 => "not finished",
            false => "differs",
        };
        let mut parts = vec![format!("{verdict}: {agree} of {cases} cases as demanded")];
        for (count, what) in [
            (self.let_through.len(), "let through"),
            (self.refused.len(), "wrongly refused"),
            (self.wrong_code.len(), "with another code"),
            (self.wrong_rule.len(), "by another rule"),
            (self.no_verdict.len(), "without a verdict"),
            (unsupported, "unsupported"),
            (unanswered, "unanswered"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        parts.join(", ")
    }
}

impl Counts {
    fn add(&mut self, outcome: Option<Outcome>) {
        self.cases += 1;
        match outcome {
            None => self.unanswered += 1,
            Some(Outcome::Agrees) => self.agree += 1,
            Some(Outcome::Unsupported) => self.unsupported += 1,
            Some(_) => self.differ += 1,
        }
    }

    fn row(&self, name: &str) -> Vec<String> {
        let counts = [
            self.cases,
            self.agree,
            self.differ,
            self.unsupported,
            self.unanswered,
        ];
        let counts = counts.iter().map(usize::to_string);
        std::iter::once(name.to_owned()).chain(counts).collect()
    }
}

fn push_section(text: &mut String, title: &str, differences: &[Difference]) {
    if differences.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title} ({})", differences.len());
    for difference in differences {
        let (name, expected) = (&difference.name, &difference.expected);
        let _ = writeln!(text, "  {name}: {}", difference.about);
        let (code, rule) = (expected.code, &expected.rule);
        let got = difference.got.text();
        let _ = writeln!(text, "    demanded: {code} {rule}; answered: {got}");
    }
    text.push('\n');
}

impl Got {
    fn text(&self) -> String {
        let verdict = match (self.code, self.accepted) {
            (Some(code), _) => Some(code.to_string()),
            (None, Some(true)) => Some("accepted".to_owned()),
            (None, Some(false)) => Some("refused".to_owned()),
            (None, None) => None,
        };
        let detail = self.detail.as_ref().map(|detail| format!("({detail})"));
        let parts = [verdict, self.error.clone(), self.rule.clone(), detail];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.join(" ")
    }
}

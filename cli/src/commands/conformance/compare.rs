//! One answer against what the rules demand.

use serde::Serialize;

use crate::commands::conformance::corpus::{Case, Expected, Scope};
use crate::commands::conformance::protocol::{Answer, Verdict};

/// How an answer relates to the demanded one, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// Accepted, though it must be refused.
    LetThrough,
    /// Refused, though it must be accepted.
    Refused,
    /// Refused as it must be, for the wrong reason.
    WrongCode,
    /// The right result code, but another rule is named.
    WrongRule,
    /// No verdict: the verifier broke down.
    NoVerdict,
    /// The verifier has no means to take the question.
    Unsupported,
    /// As demanded.
    Agrees,
}

impl Outcome {
    /// Compares one answer with its case. A rule is compared only where the answer names one; one without codes only by
    /// whether it accepts.
    pub(super) fn of(case: &Case, answer: &Answer) -> Self {
        let accept = case.expect.code == 0;
        let accepted = match answer.verdict() {
            Some(Verdict::Code(code)) => code == 0,
            Some(Verdict::Accepted(accepted)) => accepted,
            Some(Verdict::Unsupported(_)) => return Self::Unsupported,
            Some(Verdict::Error(_)) | None => return Self::NoVerdict,
        };
        match (accept, accepted) {
            (false, true) => return Self::LetThrough,
            (true, false) => return Self::Refused,
            _ => {}
        }
        let other_code = answer
            .code
            .is_some_and(|code| code != i64::from(case.expect.code));
        let other_rule = answer
            .rule
            .as_ref()
            .is_some_and(|rule| *rule != case.expect.rule);
        match (other_code, other_rule) {
            (true, _) => Self::WrongCode,
            (false, true) => Self::WrongRule,
            (false, false) => Self::Agrees,
        }
    }
}

/// An answer that is not the demanded one.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) about: String,
    pub(super) expected: Expected,
    pub(super) got: Got,
}

/// What an answer said, each text no longer than a line.
#[derive(Debug, Serialize)]
pub(super) struct Got {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unsupported: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

impl Difference {
    pub(super) fn new(case: &Case, answer: &Answer) -> Self {
        let line = |text: &Option<String>| text.as_deref().map(one_line);
        Self {
            name: case.name.clone(),
            scope: case.scope,
            about: case.about.clone(),
            expected: case.expect.clone(),
            got: Got {
                code: answer.code,
                accepted: answer.accepted,
                unsupported: line(&answer.unsupported),
                error: line(&answer.error),
                rule: line(&answer.rule),
                detail: line(&answer.detail),
            },
        }
    }
}

/// A stranger's text, cut to a line and without anything that a terminal would obey.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::conformance::corpus;

    #[test]
    fn what_is_let_through_or_refused_comes_before_codes_and_codes_before_rules() {
        let refusal = (10, "cbor-truncated");
        for (expected, answer, outcome) in [
            (
                refusal,
                r#""code":10,"rule":"cbor-truncated""#,
                Outcome::Agrees,
            ),
            (refusal, r#""code":10"#, Outcome::Agrees),
            (refusal, r#""accepted":false"#, Outcome::Agrees),
            (
                refusal,
                r#""code":10,"rule":"cbor-type""#,
                Outcome::WrongRule,
            ),
            (
                refusal,
                r#""accepted":false,"rule":"cbor-type""#,
                Outcome::WrongRule,
            ),
            (
                refusal,
                r#""code":11,"rule":"cbor-truncated""#,
                Outcome::WrongCode,
            ),
            (refusal, r#""code":-1"#, Outcome::WrongCode),
            (
                refusal,
                r#""code":0,"rule":"cbor-truncated""#,
                Outcome::LetThrough,
            ),
            (refusal, r#""accepted":true"#, Outcome::LetThrough),
            (refusal, r#""unsupported":"policy""#, Outcome::Unsupported),
            (refusal, r#""error":"panicked""#, Outcome::NoVerdict),
            ((0, "trusted"), r#""code":0"#, Outcome::Agrees),
            ((0, "trusted"), r#""accepted":true"#, Outcome::Agrees),
            (
                (0, "trusted"),
                r#""code":10,"rule":"trusted""#,
                Outcome::Refused,
            ),
            ((0, "trusted"), r#""accepted":false"#, Outcome::Refused),
        ] {
            let (code, rule) = expected;
            let case = format!(
                r#"{{"name":"a","about":"b","scope":"document","document":"","root":"","time_ms":0,"policy":{{}},
                "nonce":null,"expect":{{"code":{code},"rule":"{rule}"}}}}"#
            );
            let case = corpus::read(case.replace('\n', "").as_bytes()).unwrap();
            let parsed = serde_json::from_str(&format!("{{\"id\":0,{answer}}}")).unwrap();
            assert_eq!(
                Outcome::of(&case[0], &parsed),
                outcome,
                "{expected:?} {answer}"
            );
        }
    }

    #[test]
    fn a_strangers_text_cannot_speak_to_the_terminal() {
        let hostile = format!("\u{1b}[2Jall good\r\n\u{9b}{}", "x".repeat(10_000));
        let shown = one_line(&hostile);
        assert!(shown.starts_with(" [2Jall good   xxx"), "{shown}");
        assert_eq!(shown.chars().count(), 200);
    }
}

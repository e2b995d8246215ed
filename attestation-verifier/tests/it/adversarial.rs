//! The adversarial corpus (`corpus/corpus.jsonl`), put to the library: every case, every backend, with and without a
//! memory of certificates. The corpus is made by a generator that shares no code with this crate.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nacre_attestation_verifier::{
    Backend, Policy, RULES, ResultCode, Roots, UnixMillis, VerificationTime, Verifier,
};
use serde::Deserialize;
use serde_json::value::RawValue;

const CORPUS: &str = include_str!("../../corpus/corpus.jsonl");

/// Rules that no case can be about, and why.
const BEYOND_THE_CORPUS: &[(&str, &str)] = &[
    ("root-pem", "a request carries the root as DER"),
    (
        "user-data-mismatch",
        "a request expects nothing of the user data",
    ),
    (
        "public-key-mismatch",
        "a request expects nothing of the public key",
    ),
];

#[test]
fn every_case_gets_the_code_and_the_rule_that_the_corpus_demands_from_every_backend_cached_or_not()
{
    let cases = cases();
    let mut wrong = BTreeMap::<_, Vec<String>>::new();
    for backend in Backend::ALL {
        // One verifier for all cases of a root: what one case made it remember must not help the next one.
        let mut kept: Option<Verifier> = None;
        for case in &cases {
            let mut expect = |how: &str, verdict: Verdict| {
                if verdict != case.expected() {
                    let asked = format!("{} {how}", backend.name());
                    let found = wrong.entry((&case.name, case.expected(), verdict));
                    found.or_default().push(asked);
                }
            };
            let (policy, roots) = match case.policy_and_roots() {
                Ok(both) => both,
                Err(refused) => {
                    expect("before the document", refused);
                    continue;
                }
            };
            let uncached = verifier(&roots, *backend).with_cache_capacity(0);
            expect("uncached", case.put_to(&uncached, &policy));
            let fresh = verifier(&roots, *backend);
            expect("cold", case.put_to(&fresh, &policy));
            expect("warm", case.put_to(&fresh, &policy));
            let kept = match &mut kept {
                Some(kept) if *kept.roots() == roots => kept,
                other => other.insert(verifier(&roots, *backend)),
            };
            expect("after the other cases", case.put_to(kept, &policy));
        }
    }
    if let [only] = Backend::ALL {
        println!(
            "only the {} backend is built in: the other was not asked",
            only.name()
        );
    }
    let wrong: Vec<_> = wrong
        .iter()
        .map(|((name, expected, found), asked)| {
            format!("{name}: {found:?}, not {expected:?} ({})", asked.join(", "))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_cached_chain_is_no_more_trusted_than_a_new_one_after_any_of_its_certificates_expired() {
    for case in cases().iter().filter(|case| case.expect.code == 0) {
        let (policy, roots) = case.policy_and_roots().unwrap();
        let verifier = verifier(&roots, Backend::default());
        assert_eq!(
            case.put_to(&verifier, &policy),
            case.expected(),
            "{}",
            case.name
        );
        let evidence = verifier.verify(&case.document(), case.time()).unwrap();
        let after = UnixMillis((evidence.chain_not_after() + 1) * 1000);
        let refused = verifier.verify(&case.document(), VerificationTime::Archive(after));
        let rule = refused.as_ref().err().map(|error| error.rule());
        assert_eq!(rule, Some("certificate-expired"), "{}", case.name);
    }
}

#[test]
fn the_corpus_has_at_least_300_cases_each_with_its_own_name() {
    let cases = cases();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len());
    for case in &cases {
        let parts = case.name.split('-').all(|part| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            !part.is_empty() && part.bytes().all(plain)
        });
        assert!(parts, "{} is not kebab-case", case.name);
        assert!(!case.about.is_empty(), "{} says nothing", case.name);
    }
}

#[test]
fn every_rule_is_what_some_case_is_about_and_every_case_is_about_a_rule() {
    let cases = cases();
    let found: BTreeSet<_> = cases.iter().map(Case::expected).collect();
    let known = RULES.iter().map(|(rule, code)| verdict(*code, rule));
    let mut known: BTreeSet<_> = known.collect();
    known.insert(verdict(ResultCode::Trusted, "trusted"));
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "no such rule, or another code: {unknown:?}"
    );

    let missing: BTreeSet<_> = known
        .difference(&found)
        .map(|(_, rule)| rule.as_str())
        .collect();
    let explained: BTreeSet<_> = BEYOND_THE_CORPUS.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(
        missing, explained,
        "rules without a case; those that are explained"
    );
}

/// Result code and rule.
type Verdict = (u8, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    about: String,
    #[serde(rename = "scope")]
    _scope: Scope,
    document: String,
    root: String,
    time_ms: u64,
    policy: Box<RawValue>,
    nonce: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scope {
    Document,
    Policy,
    Binding,
    Usage,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    code: u8,
    rule: String,
}

impl Case {
    fn expected(&self) -> Verdict {
        (self.expect.code, self.expect.rule.clone())
    }

    fn document(&self) -> Vec<u8> {
        STANDARD.decode(&self.document).unwrap()
    }

    fn time(&self) -> VerificationTime {
        VerificationTime::Archive(UnixMillis(self.time_ms))
    }

    /// What the question names to judge by, or the verdict on a question that is wrong itself.
    fn policy_and_roots(&self) -> Result<(Policy, Roots), Verdict> {
        let policy = Policy::from_json(self.policy.get().as_bytes())
            .map_err(|error| verdict(error.code(), error.rule()))?;
        let roots = Roots::development(STANDARD.decode(&self.root).unwrap())
            .map_err(|error| verdict(error.code(), error.rule()))?;
        Ok((policy, roots))
    }

    fn put_to(&self, verifier: &Verifier, policy: &Policy) -> Verdict {
        let trusted = verifier
            .verify(&self.document(), self.time())
            .and_then(|evidence| {
                if let Some(nonce) = &self.nonce {
                    evidence.require_nonce(&STANDARD.decode(nonce).unwrap())?;
                }
                evidence.appraise(policy)
            });
        match trusted {
            Ok(_) => verdict(ResultCode::Trusted, "trusted"),
            Err(error) => verdict(error.code(), error.rule()),
        }
    }
}

fn verifier(roots: &Roots, backend: Backend) -> Verifier {
    Verifier::new(roots.clone())
        .with_backend(backend)
        .with_document_memory(16)
}

fn verdict(code: ResultCode, rule: &str) -> Verdict {
    (code.exit_status(), rule.to_owned())
}

fn cases() -> Vec<Case> {
    let line = |(number, line)| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("line {}: {error}", number + 1))
    };
    CORPUS.lines().enumerate().map(line).collect()
}

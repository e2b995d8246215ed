//! The conformance protocol, spoken by the real `nacre`: with itself, and with programs that break it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use anyhow::{Context as _, ensure};
use nacre_attestation_verifier::Backend;
use nacre_tests::platform::{Refusal, describe, repository};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{
    Part, Report, answering, code, conformance, conformance_as, corpus, named, ourselves, program,
};

mod hostile;
mod run;

#[test]
fn the_corpus_is_what_its_generator_makes_and_the_generator_passes_its_own_tests() {
    let corpus = repository().join("attestation-verifier/corpus");
    let check: &[&str] = &["generate.py", "--check"];
    for arguments in [check, &["-m", "unittest", "--quiet"]] {
        let output = python(arguments).current_dir(&corpus).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            describe(&output)
        );
    }
}

#[test]
fn our_own_verifier_differs_nowhere_whatever_does_its_arithmetic() -> anyhow::Result<()> {
    let cases = corpus().len();
    for backend in Backend::ALL {
        let report = Report::of(&[], &ourselves(&["--backend", backend.name()]))?;
        ensure!(report.exit == 0, "{}: {}", backend.name(), report.json);
        assert_eq!(report.json["total"]["agree"], cases);
        assert_eq!(report.json["conforms"], true);
    }
    let text = conformance(&["--only", "valid-"], &ourselves(&[])).output()?;
    let text = String::from_utf8(text.stdout)?;
    let summary = text.lines().last().unwrap_or_default();
    assert!(summary.starts_with("no differences: "), "{text}");
    Ok(())
}

#[test]
fn exactly_the_refusals_are_let_through_by_a_verifier_that_accepts_everything() -> anyhow::Result<()>
{
    for verdict in [
        "'accepted': True",
        "'code': 0",
        "'code': 0, 'rule': 'trusted'",
    ] {
        let report = Report::of(&[], &answering(verdict))?;
        assert_eq!(report.exit, 1);
        assert_eq!(
            report.names("let_through"),
            named(|code| code != 0),
            "{verdict}"
        );
        assert!(
            report.has_only(&["let_through"]),
            "{verdict}: {}",
            report.json
        );
    }
    Ok(())
}

#[test]
fn exactly_the_valid_ones_are_refused_by_a_verifier_that_refuses_everything() -> anyhow::Result<()>
{
    let report = Report::of(&[], &answering("'accepted': False"))?;
    assert_eq!(report.exit, 1);
    assert_eq!(report.names("refused"), named(|code| code == 0));
    assert!(report.has_only(&["refused"]), "{}", report.json);

    let report = Report::of(&[], &answering("'code': 10"))?;
    assert_eq!(report.names("refused"), named(|code| code == 0));
    assert_eq!(
        report.names("wrong_code"),
        named(|code| code != 0 && code != 10)
    );
    assert!(
        report.has_only(&["refused", "wrong_code"]),
        "{}",
        report.json
    );
    Ok(())
}

#[test]
fn a_verifier_that_gives_no_verdict_does_not_conform() -> anyhow::Result<()> {
    let unsupported = Report::of(&[], &answering("'unsupported': 'P-384'"))?;
    assert_eq!(unsupported.exit, 1, "nothing was compared");
    assert_eq!(unsupported.json["total"]["unsupported"], corpus().len());
    assert_eq!(unsupported.json["total"]["differ"], 0);

    let broken = Report::of(&[], &answering("'error': 'panicked'"))?;
    assert_eq!(broken.exit, 1);
    assert_eq!(broken.names("no_verdict"), named(|_| true));
    Ok(())
}

#[test]
fn what_cannot_be_asked_is_counted_apart_and_does_no_harm() -> anyhow::Result<()> {
    let script = "
for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    verdict = {'unsupported': 'nonce'} if number % 2 else {'accepted': True}
    answer(id=request['id'], **verdict)
";
    let valid = Part::valid()?;
    let report = Report::of(&valid.chosen(), &program(script))?;
    assert_eq!(report.exit, 0, "{}", report.json);
    let total = &report.json["total"];
    let [cases, agree, unsupported] =
        ["cases", "agree", "unsupported"].map(|name| total[name].as_u64().unwrap());
    assert_eq!(agree + unsupported, cases);
    assert_eq!(unsupported, cases / 2);
    Ok(())
}

#[test]
fn the_worst_difference_is_printed_first_and_every_one_with_what_was_demanded() -> anyhow::Result<()>
{
    let desk = TempDir::new()?;
    let valid: Vec<_> = corpus()
        .into_iter()
        .filter(|case| code(case) == 0)
        .collect();
    let refused: Vec<_> = corpus()
        .into_iter()
        .filter(|case| code(case) == 10)
        .collect();
    let demanding = |case: &Value, name: &str, code: u8, rule: &str| {
        let mut case = case.clone();
        case["name"] = name.into();
        case["expect"] = json!({ "code": code, "rule": rule });
        format!("{case}\n")
    };
    let own_rule = refused[0]["expect"]["rule"].as_str().unwrap();
    let lines = [
        demanding(&refused[0], "another-rule", 10, "another-rule"),
        demanding(&refused[0], "another-code", 11, own_rule),
        demanding(&refused[0], "demanded-valid", 0, "trusted"),
        demanding(&valid[0], "demanded-refused", 12, "signature-invalid"),
        demanding(&valid[0], "as-demanded", 0, "trusted"),
    ];
    let file = desk.path().join("corpus.jsonl");
    std::fs::write(&file, lines.concat())?;
    let with = ["--corpus", file.to_str().unwrap()];

    let output = conformance(&with, &ourselves(&[])).output()?;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout)?;
    let mut rest = text.as_str();
    for expected in [
        "LET THROUGH",
        "demanded-refused: ",
        "demanded: 12 signature-invalid; answered: 0 trusted",
        "demanded-valid: ",
        "another-code: ",
        "another-rule: ",
        "\ndiffers: 1 of 5 cases as demanded, 1 let through, 1 wrongly refused, 1 with another code, 1 by another rule",
    ] {
        let found = rest.find(expected);
        let found = found
            .with_context(|| format!("{expected:?} is not there, or not in order:\n{text}"))?;
        rest = &rest[found + expected.len()..];
    }
    Ok(())
}

#[test]
fn what_cannot_be_run_is_wrong_usage() -> anyhow::Result<()> {
    let desk = TempDir::new()?;
    let write = |name: &str, text: &str| -> anyhow::Result<String> {
        let file = desk.path().join(name);
        std::fs::write(&file, text)?;
        Ok(file.to_str().context("path")?.to_owned())
    };
    let one = corpus()[0].to_string();
    let twice = write("twice", &format!("{one}\n{one}\n"))?;
    let garbage = write("garbage", "{}\n")?;
    let empty = write("empty", "")?;
    let own = ourselves(&[]);
    let nobody = ["/nonexistent/verifier".to_owned()];
    for (what, arguments, command) in [
        ("no program", &["--only", "valid-"][..], &[][..]),
        ("no such program", &[], &nobody),
        ("no such case", &["--only", "no such case"], &own),
        ("a name twice", &["--corpus", &twice], &own),
        ("no case", &["--corpus", &garbage], &own),
        ("an empty corpus", &["--corpus", &empty], &own),
        ("no time", &["--timeout", "0"], &own),
    ] {
        let refused = Refusal::of(conformance_as(&["--json"], arguments, command))?;
        assert_eq!(refused.is(), (2, "usage"), "{what}: {refused:?}");
    }
    Ok(())
}

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    // The repository stays as it is.
    command.arg("-B").args(arguments);
    command
}

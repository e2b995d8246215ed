//! Runs of `nacre attest conformance` and what they print.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::Context as _;
use nacre_tests::platform::{binary, describe, nacre, repository};
use serde_json::Value;
use tempfile::TempDir;

/// What a run printed with `--json`.
pub(crate) struct Report {
    pub(crate) exit: i32,
    pub(crate) json: Value,
}

impl Report {
    pub(crate) fn of(arguments: &[&str], command: &[String]) -> anyhow::Result<Self> {
        Self::read(&conformance_as(&["--json"], arguments, command).output()?)
    }

    pub(crate) fn read(output: &Output) -> anyhow::Result<Self> {
        let exit = output.status.code().context("it was killed")?;
        let json = serde_json::from_slice(&output.stdout);
        let json = json.with_context(|| describe(output))?;
        Ok(Self { exit, json })
    }

    pub(crate) fn names(&self, section: &str) -> BTreeSet<String> {
        let found = self.json[section].as_array().unwrap();
        let names: BTreeSet<_> = found.iter().map(name).collect();
        assert_eq!(names.len(), found.len(), "a name twice in {section}");
        names
    }

    /// Whether all cases were answered, and the differences are of these kinds only.
    pub(crate) fn has_only(&self, sections: &[&str]) -> bool {
        let all = [
            "let_through",
            "refused",
            "wrong_code",
            "wrong_rule",
            "no_verdict",
            "unsupported",
        ];
        let mut others = all.iter().filter(|section| !sections.contains(section));
        self.json["ended"].is_null()
            && self.json["total"]["unanswered"] == 0
            && others.all(|section| self.names(section).is_empty())
    }
}

/// A part of the corpus in a file of its own.
pub(crate) struct Part {
    _desk: TempDir,
    file: String,
}

impl Part {
    /// The cases that must be accepted.
    pub(crate) fn valid() -> anyhow::Result<Self> {
        Self::new(|code| code == 0)
    }

    /// The cases that must be refused: far more than may wait for their answers at once.
    pub(crate) fn refused() -> anyhow::Result<Self> {
        Self::new(|code| code != 0)
    }

    fn new(wanted: impl Fn(u64) -> bool) -> anyhow::Result<Self> {
        let desk = TempDir::new()?;
        let cases = corpus().into_iter().filter(|case| wanted(code(case)));
        let lines: String = cases.map(|case| format!("{case}\n")).collect();
        let file = desk.path().join("corpus.jsonl");
        std::fs::write(&file, lines)?;
        let file = file.to_str().context("path")?.to_owned();
        Ok(Self { _desk: desk, file })
    }

    /// The words that choose it.
    pub(crate) fn chosen(&self) -> [&str; 2] {
        ["--corpus", &self.file]
    }
}

pub(crate) fn conformance(arguments: &[&str], command: &[String]) -> Command {
    conformance_as(&[], arguments, command)
}

pub(crate) fn conformance_as(global: &[&str], arguments: &[&str], command: &[String]) -> Command {
    let mut nacre = nacre(Path::new("/nonexistent"));
    nacre
        .args(global)
        .args(["attest", "conformance"])
        .args(arguments)
        .arg("--")
        .args(command)
        .stdin(Stdio::null());
    nacre
}

/// `nacre attest respond`.
pub(crate) fn ourselves(arguments: &[&str]) -> Vec<String> {
    let program = binary("nacre").display().to_string();
    let words = ["attest", "respond"].iter().chain(arguments);
    let words = words.map(|word| (*word).to_owned());
    std::iter::once(program).chain(words).collect()
}

/// A program that answers every request with this.
pub(crate) fn answering(verdict: &str) -> Vec<String> {
    program(&answer_all(verdict))
}

pub(crate) fn answer_all(verdict: &str) -> String {
    format!("for line in sys.stdin: answer(id=json.loads(line)['id'], **{{{verdict}}})")
}

/// A Python program with the means to speak the protocol.
pub(crate) fn program(script: &str) -> Vec<String> {
    let prelude = "
import json, os, signal, socket, sys
def say(text): print(text, flush=True)
def answer(**members): say(json.dumps(members))
";
    ["python3", "-c", &format!("{prelude}{script}\n")]
        .map(str::to_owned)
        .to_vec()
}

pub(crate) fn start(mut command: Command) -> anyhow::Result<std::process::Child> {
    Ok(command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?)
}

/// The committed corpus, read without the command line's own code.
pub(crate) fn corpus() -> Vec<Value> {
    let file = repository().join("attestation-verifier/corpus/corpus.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn named(wanted: impl Fn(u64) -> bool) -> BTreeSet<String> {
    let cases = corpus();
    cases
        .iter()
        .filter(|case| wanted(code(case)))
        .map(name)
        .collect()
}

pub(crate) fn code(case: &Value) -> u64 {
    case["expect"]["code"].as_u64().unwrap()
}

fn name(case: &Value) -> String {
    case["name"].as_str().unwrap().to_owned()
}

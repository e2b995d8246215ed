//! `nacre attest` on documents in files: the exit status is the result code.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nacre_emulator::nsm::Pcr;
use nacre_emulator::testing::{DevNsm, Wanted};
use nacre_tests::platform::{Refusal, describe, nacre};
use serde_json::{Value, json};
use tempfile::TempDir;

const NONCE: &[u8] = b"what the relying party drew";
const OLD: Duration = Duration::from_secs(301);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[test]
fn bytes_base64_and_hex_are_the_same_document() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let document = desk.document_made(Duration::ZERO);
    let forms: [(&str, Vec<u8>); 4] = [
        ("bytes", document.clone()),
        ("hex", format!("{}\n", hex::encode(&document)).into()),
        ("base64", base64(&document).into()),
        (
            "base64url",
            nacre_protocol::encoding::base64url(&document).into(),
        ),
    ];
    for (name, bytes) in forms {
        let file = desk.write(name, &bytes)?;
        let verdict = desk.json(&[
            "attest",
            "verify",
            file.to_str().unwrap(),
            "--root",
            desk.root(),
            "--policy",
            desk.policy(),
        ])?;
        assert_eq!(verdict["verdict"], "trusted", "{name}");
        assert_eq!(verdict["root"], "DEVELOPMENT ROOT", "{name}");
        assert_eq!(verdict["archive"], false, "{name}");

        let shown = desk.json(&["attest", "inspect", file.to_str().unwrap()])?;
        assert_eq!(shown["verified"], false, "{name}");
        assert_eq!(shown["nonce"], hex::encode(NONCE), "{name}");
        assert_eq!(shown["certificates"], 5, "{name}");
        assert_eq!(shown["pcrs"]["0"], "11".repeat(48), "{name}");
        let text = desk.text(&["attest", "inspect", file.to_str().unwrap()])?;
        assert!(text.starts_with("UNVERIFIED"), "{text}");
    }
    Ok(())
}

#[test]
fn each_reason_to_refuse_has_its_exit_status() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let document = desk.document_made(Duration::ZERO);
    let mut forged = document.clone();
    *forged.last_mut().unwrap() ^= 1;
    let fresh = desk.write("fresh", &document)?;
    let old = desk.write("old", &desk.document_made(OLD))?;
    let forged = desk.write("forged", &forged)?;
    let cut = desk.write("cut", &document[..document.len() - 1])?;
    let empty = desk.write("empty", b"")?;
    let trusting = ["--root", desk.root(), "--policy", desk.policy()];
    let with = |more: &[&'static str]| [&trusting[..], more].concat();
    let [other, same] = ["22".repeat(48), "11".repeat(48)];
    let other = [
        "--root",
        desk.root(),
        "--pcr0",
        &same,
        "--pcr1",
        &same,
        "--pcr2",
        &other,
    ];

    let cases: [(&str, &Path, Vec<&str>, i32); 9] = [
        ("a byte is missing", &cut, with(&[]), 10),
        ("nothing at all", &empty, with(&[]), 10),
        (
            "AWS did not sign it",
            &fresh,
            vec!["--root", "aws", "--policy", desk.policy()],
            11,
        ),
        ("the signature is another", &forged, with(&[]), 12),
        ("301 seconds old", &old, with(&[]), 13),
        ("older than is asked", &old, with(&["--max-age", "300"]), 13),
        ("another application", &fresh, other.to_vec(), 14),
        ("another nonce", &fresh, with(&["--nonce", "00"]), 15),
        ("no measurements", &fresh, vec!["--root", desk.root()], 2),
    ];
    for (what, file, arguments, exit) in cases {
        let refused = desk.refusal(
            &[
                &["attest", "verify", file.to_str().unwrap()],
                &arguments[..],
            ]
            .concat(),
        )?;
        assert_eq!(refused.exit, exit, "{what}: {refused:?}");
    }
    let nonce = hex::encode(NONCE);
    let accepted: [(&Path, &[&str]); 2] = [
        (&fresh, &["--nonce", &nonce]),
        (&old, &["--max-age", "3600"]),
    ];
    for (file, more) in accepted {
        desk.json(
            &[
                &["attest", "verify", file.to_str().unwrap()],
                &trusting[..],
                more,
            ]
            .concat(),
        )?;
    }
    Ok(())
}

#[test]
fn an_archive_check_takes_its_time_from_the_caller_and_says_so() -> anyhow::Result<()> {
    let desk = Desk::with(YEAR, [0x11; 48])?;
    let file = desk.write("old", &desk.document_made(YEAR))?;
    let verify = [
        "attest",
        "verify",
        file.to_str().unwrap(),
        "--root",
        desk.root(),
        "--policy",
        desk.policy(),
    ];
    assert_eq!(
        desk.refusal(&verify)?.exit,
        11,
        "its certificates have expired"
    );

    let shown = desk.json(&["attest", "inspect", file.to_str().unwrap()])?;
    let then = shown["timestamp"].as_str().unwrap();
    let verdict = desk.json(&[&verify[..], &["--at", then]].concat())?;
    assert_eq!(
        (&verdict["archive"], &verdict["age_ms"]),
        (&true.into(), &0.into())
    );
    let text = desk.text(&[&verify[..], &["--at", then]].concat())?;
    assert!(
        text.contains("archive check") && text.contains("DEVELOPMENT ROOT"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_policy_that_is_not_understood_is_no_policy() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let file = desk.write("document", &desk.document_made(Duration::ZERO))?;
    let set = json!({ "pcr0": "11".repeat(48), "pcr1": "11".repeat(48), "pcr2": "11".repeat(48) });
    let mut misspelt = set.clone();
    misspelt["pcr08"] = "11".repeat(48).into();
    let policies = [
        (
            "unknown field",
            json!({ "measurements": [set], "max_age_ms": 300 }),
        ),
        ("unknown register", json!({ "measurements": [misspelt] })),
        ("no measurements", json!({ "measurements": [] })),
        ("none at all", json!({})),
    ];
    for (what, policy) in policies {
        let policy = desk.write("policy", policy.to_string().as_bytes())?;
        let policy = policy.to_str().unwrap();
        let refused = desk.refusal(&[
            "attest",
            "verify",
            file.to_str().unwrap(),
            "--root",
            desk.root(),
            "--policy",
            policy,
        ])?;
        assert_eq!(refused.is(), (2, "policy-invalid"), "{what}");
    }
    Ok(())
}

#[test]
fn debug_mode_passes_only_who_asks_for_it_twice() -> anyhow::Result<()> {
    let desk = Desk::with(OLD, [0; 48])?;
    let file = desk.write("debug", &desk.document_made(Duration::ZERO))?;
    let zero = "00".repeat(48);
    let other = "11".repeat(48);
    let verify = |pcr: &str, more: &[&str]| {
        let file = file.to_str().unwrap();
        let verify = [
            "attest",
            "verify",
            file,
            "--root",
            desk.root(),
            "--pcr0",
            pcr,
            "--pcr1",
            pcr,
            "--pcr2",
            pcr,
        ];
        [&verify[..], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let refusal = |arguments: Vec<String>| {
        desk.refusal(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(refusal(verify(&zero, &[]))?.exit, 14);
    assert_eq!(refusal(verify(&other, &["--allow-debug"]))?.exit, 14);
    let both = verify(&zero, &["--allow-debug"]);
    let both: Vec<_> = both.iter().map(String::as_str).collect();
    assert_eq!(desk.json(&both)?["debug"], true);
    assert!(desk.text(&both)?.contains("DEBUG MODE"));
    Ok(())
}

/// A folder with a root, a policy and documents; nobody is logged in.
struct Desk {
    dir: TempDir,
    module: RefCell<DevNsm>,
    root: String,
    policy: String,
}

impl Desk {
    fn new() -> anyhow::Result<Self> {
        Self::with(OLD, [0x11; 48])
    }

    /// With a module that started so long ago, and runs an image all of whose PCRs are these.
    fn with(age: Duration, image: Pcr) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (root, policy) = (path("root.der"), path("policy.json"));
        let module = DevNsm::new([image; 3], ago(age));
        std::fs::write(&root, module.root_der())?;
        let pcr = hex::encode(image);
        let named = json!({ "measurements": [{ "pcr0": pcr, "pcr1": pcr, "pcr2": pcr }] });
        std::fs::write(&policy, named.to_string())?;
        let module = RefCell::new(module);
        Ok(Self {
            dir,
            module,
            root,
            policy,
        })
    }

    fn document_made(&self, age: Duration) -> Vec<u8> {
        let wanted = Wanted {
            nonce: Some(NONCE),
            ..Wanted::default()
        };
        self.module.borrow_mut().attest(wanted, ago(age))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let file = self.dir.path().join(name);
        std::fs::write(&file, bytes)?;
        Ok(file)
    }

    fn root(&self) -> &str {
        &self.root
    }

    fn policy(&self) -> &str {
        &self.policy
    }

    fn text(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.nacre(arguments).output()?;
        anyhow::ensure!(
            output.status.success(),
            "{arguments:?}: {}",
            describe(&output)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(
            &self.text(&[&["--json"], arguments].concat())?,
        )?)
    }

    fn refusal(&self, arguments: &[&str]) -> anyhow::Result<Refusal> {
        Refusal::of(self.nacre(&[&["--json"], arguments].concat()))
    }

    fn nacre(&self, arguments: &[&str]) -> Command {
        let mut command = nacre(self.dir.path());
        command.args(arguments);
        command
    }
}

/// Unix milliseconds of a moment in the past.
fn ago(age: Duration) -> u64 {
    let then = (SystemTime::now() - age)
        .duration_since(UNIX_EPOCH)
        .unwrap();
    u64::try_from(then.as_millis()).unwrap()
}

/// Standard base64 as other tools print it.
fn base64(bytes: &[u8]) -> String {
    let url = nacre_protocol::encoding::base64url(bytes);
    let padding = "=".repeat((4 - url.len() % 4) % 4);
    url.replace('-', "+").replace('_', "/") + &padding
}

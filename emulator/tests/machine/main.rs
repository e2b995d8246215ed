//! Real boots: what is promised of the emulator, seen from inside the guest and from outside the process.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod emulator;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use emulator::{Emulator, Guest, PATIENCE};
use nacre_attestation_verifier::{
    Policy, Roots, UnixMillis, VerificationTime, VerifiedEvidence, verify,
};

const DESCRIBE: &[u8] = b"\x6bDescribeNSM";
const RANDOM: &[u8] = b"\x69GetRandom";

/// A document with the nonce "abcd", which must verify under the emulator's own root.
fn evidence(emulator: &Emulator, guest: &mut Guest) -> VerifiedEvidence {
    let answer = guest
        .ask(b"\xa1\x6bAttestation\xa1\x65nonce\x44abcd")
        .unwrap();
    let head = b"\xa1\x6bAttestation\xa1\x68document\x59";
    assert!(answer.starts_with(head), "{}", answer.escape_ascii());
    let document = &answer[head.len() + 2..];
    let root = std::fs::read(emulator.path("pki/root.der")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = UnixMillis(now.as_millis().try_into().unwrap());
    let roots = Roots::development(root).unwrap();
    let evidence = verify(document, &roots, VerificationTime::Live(now)).unwrap();
    evidence.require_nonce(b"abcd").unwrap();
    evidence
}

#[test]
fn the_guest_attests_its_image_and_leaves_in_order() {
    let Some(mut emulator) = Emulator::boot(&["--instance-id", "i-0123456789abcdef0"]) else {
        return;
    };
    let mut guest = emulator.guest();
    assert_eq!(guest.ask(b"rng").unwrap(), b"nsm-hwrng\n");
    let evidence = evidence(&emulator, &mut guest);
    let measured = &emulator.measurements;
    assert_eq!(evidence.pcrs()[&0], measured.pcr0);
    assert_eq!(evidence.pcrs()[&1], measured.pcr1);
    assert_eq!(evidence.pcrs()[&2], measured.pcr2);
    let policy = format!(
        r#"{{"measurements":[{{"pcr0":"{}","pcr1":"{}","pcr2":"{}"}}],"max_age_s":300}}"#,
        hex::encode(measured.pcr0.0),
        hex::encode(measured.pcr1.0),
        hex::encode(measured.pcr2.0),
    );
    evidence
        .appraise(&Policy::from_json(policy.as_bytes()).unwrap())
        .unwrap();
    // The heartbeat's socket and the folder of QEMU's sockets are gone; what is in use is there.
    let mut left = emulator.left();
    left.sort();
    assert_eq!(left, ["control", "v"]);
    guest.say(b"");
    assert!(emulator.ended().success());
    assert!(emulator.left().is_empty(), "{:?}", emulator.left());
}

#[test]
fn faults_are_seen_from_inside() {
    let Some(mut emulator) = Emulator::boot(&["--debug-mode"]) else {
        return;
    };
    let mut guest = emulator.guest();
    assert_eq!(evidence(&emulator, &mut guest).pcrs()[&0].0, [0; 48]);

    emulator.fault(&["nsm-error", "code=InternalError"]);
    assert_eq!(
        guest.ask(DESCRIBE).unwrap(),
        b"\xa1\x65Error\x6dInternalError"
    );
    emulator.fault(&["clear"]);
    assert!(
        guest
            .ask(DESCRIBE)
            .unwrap()
            .starts_with(b"\xa1\x6bDescribeNSM")
    );

    emulator.fault(&["entropy-constant", "byte=9"]);
    assert!(
        guest.ask(RANDOM).unwrap()[22..]
            .iter()
            .all(|byte| *byte == 9)
    );
    emulator.fault(&["clear"]);

    emulator.fault(&["nsm-latency", "by=700ms"]);
    let begin = Instant::now();
    guest.ask(DESCRIBE).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(700));
    emulator.fault(&["clear"]);

    emulator.fault(&["clock-step", "by=-100s"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let stamp = evidence(&emulator, &mut guest).timestamp_ms();
    let behind = u64::try_from(now.as_millis()).unwrap() - stamp;
    assert!((90_000..=100_000).contains(&behind), "{behind}");
    emulator.fault(&["clear"]);

    // By the file, for as long as it says so.
    let file = emulator.path("faults.toml");
    std::fs::write(&file, "[[fault]]\nkind = \"entropy-failure\"\n").unwrap();
    until(|| guest.ask(RANDOM).unwrap().starts_with(b"\xa1\x65Error"));
    std::fs::write(&file, "").unwrap();
    until(|| guest.ask(RANDOM).unwrap().len() == 22 + 256);

    // The wire: the answer's first byte says error where there is none. The guest serves one connection at a time.
    drop(guest);
    emulator.fault(&["vsock-flip", "at=0", "towards=host"]);
    until(|| emulator.guest().ask(DESCRIBE).is_err());
    emulator.fault(&["clear"]);
    until(|| emulator.guest().ask(DESCRIBE).is_ok());

    let mut guest = emulator.guest();
    emulator.fault(&["enclave-pause"]);
    until(|| state(emulator.qemu()) == Some('T'));
    guest.say(DESCRIBE);
    assert!(guest.is_silent(Duration::from_millis(500)));
    emulator.fault(&["clear"]);
    assert!(guest.answer().is_ok());

    // The driver would wait for two minutes, and so does this guest.
    emulator.fault(&["nsm-silence"]);
    guest.say(DESCRIBE);
    assert!(guest.is_silent(Duration::from_secs(1)));

    emulator.fault(&["enclave-kill"]);
    assert_eq!(emulator.ended().code(), Some(1));
    assert!(emulator.left().is_empty(), "{:?}", emulator.left());
}

#[test]
fn nothing_outlives_the_emulator_or_its_machine() {
    // QEMU crashes: the emulator says so and cleans up.
    let Some(mut emulator) = Emulator::boot(&[]) else {
        return;
    };
    signal(emulator.qemu(), "KILL");
    assert_eq!(emulator.ended().code(), Some(1));
    assert!(emulator.left().is_empty(), "{:?}", emulator.left());

    // SIGTERM is an orderly end.
    let mut emulator = Emulator::boot(&[]).unwrap();
    let qemu = emulator.qemu();
    signal(emulator.child.id(), "TERM");
    assert!(emulator.ended().success());
    assert!(!Path::new(&format!("/proc/{qemu}")).exists());
    assert!(emulator.left().is_empty(), "{:?}", emulator.left());

    // Nobody can clean up after SIGKILL, but QEMU goes.
    let mut emulator = Emulator::boot(&[]).unwrap();
    let qemu = emulator.qemu();
    signal(emulator.child.id(), "KILL");
    assert!(!emulator.ended().success());
    until(|| !runs(qemu));
}

fn signal(pid: u32, name: &str) {
    let done = std::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(done.success());
}

/// There is such a process, and it is no zombie that its new parent has not waited for.
fn runs(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// A process's state as `ps` shows it: `T` is stopped.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it does not come true");
        std::thread::yield_now();
    }
}

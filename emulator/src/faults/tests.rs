//! How faults are written, and what each makes of the module.

use std::fs;
use std::time::Duration;

use super::module::FaultyNsm;
use super::*;
use crate::nsm::ErrorCode;
use crate::testing::DevNsm;

const NOW: u64 = 1_790_000_000_000;
const DESCRIBE: &[u8] = b"\x6bDescribeNSM";
const RANDOM: &[u8] = b"\x69GetRandom";
const ATTEST: &[u8] = b"\xa1\x6bAttestation\xa0";

fn module(faults: &Faults) -> FaultyNsm {
    let nsm = DevNsm::new([[1; 48]; 3], NOW).into_module();
    FaultyNsm::new(nsm, faults.clone(), || NOW, Duration::ZERO)
}

fn with(words: &str) -> (Faults, FaultyNsm) {
    let faults = Faults::none();
    assert!(faults.add(Timed::from_words(words.split(' ')).unwrap()));
    let module = module(&faults);
    (faults, module)
}

fn refused(answer: &Answer) -> bool {
    answer
        .response
        .as_ref()
        .is_some_and(|response| response.starts_with(b"\xa1\x65Error"))
}

#[test]
fn every_error_code_can_be_had() {
    for code in [
        "InvalidArgument",
        "InvalidIndex",
        "ReadOnlyIndex",
        "InvalidOperation",
        "BufferTooSmall",
        "InputTooLarge",
        "InternalError",
    ] {
        let (_, mut module) = with(&format!("nsm-error code={code}"));
        let response = module.ask(DESCRIBE).response.unwrap();
        assert!(response.ends_with(code.as_bytes()), "{code}");
        assert!(response.starts_with(b"\xa1\x65Error"));
    }
}

#[test]
fn an_error_may_hit_each_third_request_of_one_kind() {
    let (_, mut module) = with("nsm-error code=InternalError every=3 operation=Attestation");
    let hits: Vec<bool> = (0..6).map(|_| refused(&module.ask(ATTEST))).collect();
    assert_eq!(hits, [false, false, true, false, false, true]);
    assert!((0..6).all(|_| !refused(&module.ask(DESCRIBE))));
}

#[test]
fn silence_is_no_answer() {
    let (faults, mut module) = with("nsm-silence operation=GetRandom");
    assert_eq!(module.ask(RANDOM).response, None);
    assert!(module.ask(DESCRIBE).response.is_some());
    faults.clear();
    assert!(module.ask(RANDOM).response.is_some());
}

#[test]
fn latencies_add_up() {
    let (faults, mut module) = with("nsm-latency by=80ms");
    assert!(faults.add(Timed::from_words(["nsm-latency", "by=1s"]).unwrap()));
    assert_eq!(module.ask(DESCRIBE).busy, Duration::from_millis(1080));
}

#[test]
fn entropy_fails_or_is_constant() {
    let (_, mut module) = with("entropy-failure");
    assert!(refused(&module.ask(RANDOM)));
    assert!(!refused(&module.ask(DESCRIBE)));
    let (_, mut module) = with("entropy-constant byte=7");
    let response = module.ask(RANDOM).response.unwrap();
    assert_eq!(response.len(), 22 + 256);
    assert!(response[22..].iter().all(|byte| *byte == 7));
    assert_eq!(module.ask(RANDOM).response.unwrap(), response);
}

/// The document's timestamp: an unsigned number of eight bytes behind its key.
fn timestamp(module: &mut FaultyNsm) -> u64 {
    let response = module.ask(ATTEST).response.unwrap();
    let key = b"\x69timestamp\x1b";
    let at = response
        .windows(key.len())
        .position(|window| window == key)
        .unwrap();
    let bytes = &response[at + key.len()..][..8];
    u64::from_be_bytes(bytes.try_into().unwrap())
}

#[test]
fn the_documents_clock_steps_and_drifts() {
    let (faults, mut module) = with("clock-step by=-30s");
    assert_eq!(timestamp(&mut module), NOW - 30_000);
    assert!(faults.add(Timed::from_words(["clock-step", "by=+10s"]).unwrap()));
    assert_eq!(timestamp(&mut module), NOW - 20_000);
    faults.clear();
    assert_eq!(timestamp(&mut module), NOW);
    // A tenth fast: the true clock of this test stands still, so what is seen is the drift alone.
    assert!(faults.add(Timed::from_words(["clock-drift", "ppm=100000"]).unwrap()));
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while timestamp(&mut module) < NOW + 5 {
        assert!(std::time::Instant::now() < deadline, "it does not drift");
    }
}

#[test]
fn a_fault_ends_by_itself() {
    let (faults, mut module) = with("nsm-error code=InternalError for=50ms");
    assert!(refused(&module.ask(DESCRIBE)));
    assert!(faults.next_end().is_some());
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while refused(&module.ask(DESCRIBE)) {
        assert!(std::time::Instant::now() < deadline, "it does not end");
    }
    assert_eq!(faults.next_end(), None);
}

#[test]
fn the_machine_is_held_up_and_killed() {
    let (faults, _) = with("enclave-pause");
    assert_eq!(
        faults.enclave(),
        Enclave {
            paused: true,
            killed: false
        }
    );
    faults.clear();
    assert_eq!(faults.enclave(), Enclave::default());
    let (faults, _) = with("enclave-kill");
    assert!(faults.enclave().killed);
}

#[test]
fn connections_are_lost_once() {
    let (faults, _) = with("vsock-reset port=443");
    assert_eq!(faults.take_resets().len(), 1);
    assert!(faults.take_resets().is_empty());
}

#[test]
fn vsock_faults_reach_the_wire() {
    for words in [
        "vsock-half-open",
        "vsock-delay by=50ms jitter=20ms seed=1 port=443 towards=guest",
        "vsock-rate bytes-per-second=1000",
        "vsock-flip at=0 mask=255 towards=host",
        "vsock-noise every=1000",
        "vsock-drop at=3 length=2",
        "vsock-repeat at=3 length=2",
        "vsock-cut at=10",
    ] {
        let (faults, mut module) = with(words);
        assert_eq!(faults.wire().len(), 1, "{words}");
        assert!(!refused(&module.ask(DESCRIBE)));
    }
}

#[test]
fn what_is_no_fault_is_refused() {
    for words in [
        "",
        "nsm-latencies by=1s",
        "nsm-latency",
        "nsm-latency by=1",
        "nsm-latency by=-1s",
        "nsm-latency by=1s by=2s",
        "nsm-latency by=1s extra=1",
        "nsm-latency by",
        "nsm-error code=Nonsense",
        "nsm-error code=InternalError every=0",
        "nsm-error code=InternalError operation=Reboot",
        "entropy-constant byte=256",
        "clock-drift ppm=200000",
        "enclave-kill now=1",
        "vsock-rate bytes-per-second=0",
        "vsock-flip at=0 mask=0",
        "vsock-flip at=0 towards=nobody",
        "nsm-latency by=1s for=ever",
    ] {
        assert!(Timed::from_words(words.split(' ')).is_err(), "{words:?}");
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_and_commands_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faults.toml");
    let entropy = "[[fault]]\nkind = \"entropy-failure\"\n";
    fs::write(&path, entropy).unwrap();
    let faults = Faults::none();
    let mut watched = Watched::open(&path, faults.clone()).unwrap();
    assert!(faults.add(Timed::from_words(["nsm-silence"]).unwrap()));
    assert_eq!(faults.current().len(), 2);
    assert!(!watched.look().unwrap());

    fs::write(
        &path,
        "[[fault]]\nkind = \"nsm-error\"\ncode = \"InternalError\"\nevery = 2\nfor = \"10s\"\n",
    )
    .unwrap();
    assert!(watched.look().unwrap());
    let current = faults.current();
    assert!(matches!(
        current[..],
        [
            Fault::NsmSilence { .. },
            Fault::NsmError {
                code: ErrorCode::InternalError,
                ..
            }
        ]
    ));

    // A bad file changes nothing, and is complained of once.
    fs::write(&path, "[[fault]]\nkind = \"nonsense\"\n").unwrap();
    let error = watched.look().unwrap_err();
    assert_eq!(error.code(), "faults-unknown");
    assert!(error.to_string().contains("fault 1"), "{error}");
    assert!(!watched.look().unwrap());
    assert_eq!(faults.current(), current);

    for (text, code) in [
        ("fault = 1", "faults-syntax"),
        ("[other]", "faults-syntax"),
        ("[[fault]]\nby = \"1s\"", "faults-unknown"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Watched::open(&path, Faults::none()).unwrap_err();
        assert_eq!(error.code(), code, "{text}");
    }
    fs::remove_file(&path).unwrap();
    let error = Watched::open(&path, Faults::none()).unwrap_err();
    assert_eq!(error.code(), "faults-io");
}

#[tokio::test]
async fn commands_add_and_clear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let fault = Timed::from_words(["nsm-latency", "by=80ms", "for=1h"]).unwrap();
    let error = send(&path, &Order::Clear).await.unwrap_err();
    assert_eq!(error.code(), "control-unreachable");

    let faults = Faults::none();
    let control = Control::bind(&path, faults.clone()).unwrap();
    let serving = tokio::spawn(control.serve());
    send(&path, &Order::Add(fault.clone())).await.unwrap();
    assert_eq!(faults.current(), std::slice::from_ref(&fault.fault));
    assert!(faults.next_end().is_some());
    for _ in 1..256 {
        send(&path, &Order::Add(fault.clone())).await.unwrap();
    }
    let error = send(&path, &Order::Add(fault)).await.unwrap_err();
    assert_eq!(error.code(), "control-refused");
    send(&path, &Order::Clear).await.unwrap();
    assert!(faults.current().is_empty());
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    assert!(!path.exists());
}

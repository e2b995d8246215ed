//! Wrong signatures, times and measurements.

use std::time::Duration;

use nacre_attestation_verifier::{Measurements, Pcr, Policy, ResultCode};
use nacre_emulator::pki::Key;
use nacre_emulator::testing::key;

use crate::case::{Case, IMAGE, NOW, Setting, measurements, policy};
use crate::cbor::{NULL, bytes, text, uint};
use crate::forge::{ES384, Envelope, registers};

pub(crate) fn bad_signatures() -> Vec<Case> {
    use ResultCode::Signature;
    let setting = Setting::new();
    let payload = setting.payload();
    let scalars = |name, change: fn(&mut [u8])| {
        setting.case(
            name,
            Signature,
            setting.envelope(&payload.encode()).scalars(change),
        )
    };
    // The payload of one document under the signature of another.
    let mixed = |name, field, value| {
        let mut envelope = setting.envelope(&payload.encode());
        envelope.payload = bytes(&payload.clone().set(field, value).encode());
        setting.case(name, Signature, envelope.encode())
    };
    let by = |name, key: &Key| {
        setting.case(
            name,
            Signature,
            Envelope::signed(ES384, &payload.encode(), key).encode(),
        )
    };
    let mut definite = setting.envelope(&payload.encode());
    definite.payload = bytes(&payload.encode_definite());
    vec![
        scalars("wrong bit in r", |signature| signature[40] ^= 1),
        scalars("wrong bit in s", |signature| signature[90] ^= 1),
        scalars("r is zero", |signature| signature[..48].fill(0)),
        scalars("s is zero", |signature| signature[48..].fill(0)),
        scalars("r beyond the group", |signature| signature[..48].fill(0xff)),
        scalars("s beyond the group", |signature| signature[48..].fill(0xff)),
        scalars("r and s swapped", |signature| signature.rotate_left(48)),
        by("a stranger's key", &key(99)),
        by("the instance's key", &setting.plan.levels[3].key),
        mixed("nonce exchanged", "nonce", bytes(b"another nonce")),
        mixed("nonce removed", "nonce", NULL.to_vec()),
        mixed("timestamp exchanged", "timestamp", uint(NOW + 1)),
        mixed(
            "module exchanged",
            "module_id",
            text("i-0123456789abcdef0-enc0123456789abcdee"),
        ),
        mixed("user data added", "user_data", bytes(b"data")),
        mixed("register added", "pcrs", registers(17, &IMAGE)),
        setting.case("payload encoded anew", Signature, definite.encode()),
    ]
}

pub(crate) fn bad_times() -> Vec<Case> {
    use ResultCode::Time;
    let setting = Setting::new();
    let plain = setting.sign(&setting.payload());
    vec![
        setting
            .case("a second too old", Time, plain.clone())
            .at(NOW + 301_000),
        setting
            .case("too old for a strict policy", Time, plain)
            .at(NOW + 2000)
            .under(policy().with_max_age(Duration::from_secs(1))),
        setting.with("from the future", Time, "timestamp", uint(NOW + 30_001)),
        setting.with("from a far future", Time, "timestamp", uint(u64::MAX)),
        setting.with("older than its leaf", Time, "timestamp", uint(1)),
    ]
}

pub(crate) fn bad_measurements() -> Vec<Case> {
    use ResultCode::Measurements as Refused;
    let setting = Setting::new();
    let plain = setting.sign(&setting.payload());
    let [zero, own] = [[0; 48], [1; 48]];
    let zeros = Measurements::new(Pcr::ZERO, Pcr::ZERO, Pcr::ZERO);
    let demanding = |change: fn(&mut Measurements)| {
        let mut set = measurements();
        change(&mut set);
        Policy::new(vec![set]).unwrap()
    };
    let image =
        |name, first: &[[u8; 48]]| setting.with(name, Refused, "pcrs", registers(16, first));
    let any_debug = || Policy::new(vec![measurements(), zeros.clone()]).unwrap();
    vec![
        image("another PCR0", &[own, IMAGE[1], IMAGE[2]]),
        image("another PCR1", &[IMAGE[0], own, IMAGE[2]]),
        image("another PCR2", &[IMAGE[0], IMAGE[1], own]),
        image("debug", &[]),
        image("debug allowed but not listed", &[]).under(policy().with_allow_debug(true)),
        image("debug listed but not allowed", &[]).under(any_debug()),
        image("PCR0 alone zero", &[zero, IMAGE[1], IMAGE[2]]),
        image("PCR2 alone set", &[zero, zero, IMAGE[2]]).under(any_debug().with_allow_debug(true)),
        setting.with("PCR2 missing", Refused, "pcrs", registers(2, &IMAGE)),
        setting
            .case("another parent", Refused, plain.clone())
            .under(demanding(|set| set.pcr4 = Some(Pcr([9; 48])))),
        setting
            .case("another signer", Refused, plain.clone())
            .under(demanding(|set| set.pcr8 = Some(Pcr([9; 48])))),
        setting
            .case("another role", Refused, plain.clone())
            .under(demanding(|set| set.pcr3 = Some(Pcr([9; 48])))),
        setting
            .case("PCR16 demanded but not shown", Refused, plain)
            .under(demanding(|set| {
                set.extra.insert(16, Pcr([9; 48]));
            })),
        setting
            .with("another PCR16", Refused, "pcrs", registers(17, &IMAGE))
            .under(demanding(|set| {
                set.extra.insert(16, Pcr([9; 48]));
            })),
    ]
}

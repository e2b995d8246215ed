//! Documents that must be trusted, and their binding to what was asked for.

use std::time::Duration;

use nacre_attestation_verifier::{Measurements, Pcr, Policy, ResultCode};

use crate::case::{Case, HOUR, IMAGE, NONCE, NOW, Setting, policy};
use crate::cbor::{NULL, array, bytes, map, text, uint};
use crate::forge::{registers, unknown_extension};

pub(crate) fn good() -> Vec<Case> {
    use ResultCode::Trusted;
    let setting = Setting::new();
    let plain = setting.sign(&setting.payload());
    let high_s = |wanted: bool| {
        (0u64..)
            .map(|nonce| setting.sign(&setting.payload().set("nonce", bytes(&nonce.to_be_bytes()))))
            .find(|document| (document[document.len() - 48] >= 0x80) == wanted)
            .unwrap()
    };
    let extended_chain = Setting::changed(|plan| {
        plan.levels[4]
            .template
            .extensions
            .push(unknown_extension(false));
    });
    let debug = Policy::new(vec![Measurements::new(Pcr::ZERO, Pcr::ZERO, Pcr::ZERO)]).unwrap();
    vec![
        setting.case("as AWS sends it", Trusted, plain.clone()),
        setting.case("tag 18", Trusted, [&[0xd2][..], &plain].concat()),
        setting.case(
            "definite outer map",
            Trusted,
            setting
                .envelope(&setting.payload().encode_definite())
                .encode(),
        ),
        setting.case("low s", Trusted, high_s(false)),
        setting.case("high s", Trusted, high_s(true)),
        setting.with(
            "largest public key",
            Trusted,
            "public_key",
            bytes(&[4; 1024]),
        ),
        setting.with("largest user data", Trusted, "user_data", bytes(&[4; 1024])),
        setting.with("empty user data", Trusted, "user_data", bytes(b"")),
        setting.with("all 32 registers", Trusted, "pcrs", registers(32, &IMAGE)),
        setting.with("three registers", Trusted, "pcrs", registers(3, &IMAGE)),
        setting.case(
            "unknown text key",
            Trusted,
            setting.sign(
                &setting
                    .payload()
                    .and(text("later"), array(&[uint(1), map(&[])])),
            ),
        ),
        extended_chain.case(
            "unknown extension that is not critical",
            Trusted,
            extended_chain.sign(&extended_chain.payload()),
        ),
        setting.with("a little ahead", Trusted, "timestamp", uint(NOW + 30_000)),
        setting
            .case("as old as allowed", Trusted, plain.clone())
            .at(NOW + 300_000),
        setting
            .case("last second of the leaf", Trusted, plain)
            .at(NOW + 3 * HOUR)
            .under(policy().with_max_age(Duration::from_secs(10_800))),
        setting
            .with("debug where allowed", Trusted, "pcrs", registers(16, &[]))
            .under(debug.with_allow_debug(true)),
    ]
}

pub(crate) fn unbound() -> Vec<Case> {
    use ResultCode::{Binding, Trusted};
    let setting = Setting::new();
    let plain = setting.sign(&setting.payload());
    let silent = setting.sign(&setting.payload().set("nonce", NULL.to_vec()));
    let nonce = |case: Case, nonce| Case {
        nonce: Some(nonce),
        ..case
    };
    vec![
        nonce(
            setting.case("the nonce that was asked for", Trusted, plain.clone()),
            NONCE,
        ),
        nonce(
            setting.case("another nonce", Binding, plain.clone()),
            b"another nonce",
        ),
        nonce(setting.case("no nonce", Binding, silent.clone()), NONCE),
        nonce(
            setting.case("no nonce is not an empty one", Binding, silent),
            b"",
        ),
        Case {
            public_key: Some(b"key"),
            ..setting.case("no public key", Binding, plain)
        },
    ]
}

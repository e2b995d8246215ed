//! Bytes that are no attestation document, though all that could be signed was signed correctly.

use nacre_attestation_verifier::ResultCode;

use crate::case::{Case, IMAGE, NONCE, Setting};
use crate::cbor::{NULL, array, bytes, head, map, text, uint};
use crate::forge::{Envelope, registers};

pub(crate) fn malformed() -> Vec<Case> {
    use ResultCode::Malformed;
    let setting = Setting::new();
    let payload = setting.payload();
    let plain = setting.sign(&payload);
    let raw = |name, document| setting.case(name, Malformed, document);
    let with = |name, field, value| setting.with(name, Malformed, field, value);
    let signed =
        |name, payload: &[u8]| setting.case(name, Malformed, setting.envelope(payload).encode());
    let protected = |name, header| {
        let envelope = Envelope::signed(header, &payload.encode(), setting.plan.leaf_key());
        setting.case(name, Malformed, envelope.encode())
    };
    let rebuilt = |name, change: fn(&mut Envelope)| {
        let mut envelope = setting.envelope(&payload.encode());
        change(&mut envelope);
        setting.case(name, Malformed, envelope.encode())
    };
    let deep = [vec![0x81; 200], uint(0)].concat();
    let pcr = bytes(&[1; 48]);
    vec![
        raw("nothing", Vec::new()),
        raw("one byte", plain[..1].to_vec()),
        raw("half", plain[..plain.len() / 2].to_vec()),
        raw("all but one byte", plain[..plain.len() - 1].to_vec()),
        raw("one byte more", [&plain[..], &[0]].concat()),
        raw("two documents", [&plain[..], &plain].concat()),
        raw(
            "longer than 16 KiB",
            [&plain[..], &vec![0; 16 * 1024]].concat(),
        ),
        raw("tag 17", [&[0xd1][..], &plain].concat()),
        raw("tag 98", [&[0xd8, 98][..], &plain].concat()),
        raw("tag 18 twice", [&[0xd2, 0xd2][..], &plain].concat()),
        raw(
            "three elements",
            [&[0x83][..], &plain[1..plain.len() - 98]].concat(),
        ),
        raw("five elements", [&[0x85][..], &plain[1..], NULL].concat()),
        protected("algorithm ES256", b"\xa1\x01\x26"),
        protected("no algorithm", b"\xa0"),
        protected("empty header", b""),
        protected("header with a key id", b"\xa2\x01\x38\x22\x04\x41\x01"),
        protected("header not in its shortest form", b"\xa1\x01\x39\x00\x22"),
        rebuilt("unprotected header", |envelope| {
            envelope.unprotected = b"\xa1\x04\x41\x01".to_vec()
        }),
        rebuilt("no payload", |envelope| envelope.payload = NULL.to_vec()),
        rebuilt("signature too short", |envelope| {
            envelope.signature = bytes(&[1; 95])
        }),
        rebuilt("signature too long", |envelope| {
            envelope.signature = bytes(&[1; 97])
        }),
        signed("payload is an array", &array(&[])),
        signed("payload is empty", b""),
        signed(
            "payload never ends",
            &payload.encode()[..payload.encode().len() - 1],
        ),
        signed("payload goes on", &[&payload.encode()[..], NULL].concat()),
        signed(
            "key twice",
            &payload.clone().and(text("nonce"), bytes(NONCE)).encode(),
        ),
        signed(
            "unknown key twice",
            &payload
                .clone()
                .and(text("x"), uint(1))
                .and(text("x"), uint(1))
                .encode(),
        ),
        signed(
            "key that is no text",
            &payload.clone().and(uint(1), uint(1)).encode(),
        ),
        signed(
            "nested too deep",
            &payload.clone().and(text("x"), deep).encode(),
        ),
        signed(
            "no certificate",
            &payload.clone().without("certificate").encode(),
        ),
        signed("no registers", &payload.clone().without("pcrs").encode()),
        signed(
            "a NitroTPM's document",
            &payload
                .clone()
                .without("pcrs")
                .and(text("nitrotpm_pcrs"), registers(24, &IMAGE))
                .encode(),
        ),
        with("empty module id", "module_id", text("")),
        with("module id of bytes", "module_id", bytes(b"i-0")),
        with("digest SHA256", "digest", text("SHA256")),
        with("timestamp of text", "timestamp", text("now")),
        with("negative timestamp", "timestamp", head(1, 5)),
        with("timestamp zero", "timestamp", uint(0)),
        with("zero registers", "pcrs", map(&[])),
        with(
            "register 32",
            "pcrs",
            map(&[(uint(0), pcr.clone()), (uint(32), pcr.clone())]),
        ),
        with(
            "register twice",
            "pcrs",
            map(&[(uint(0), pcr.clone()), (uint(0), pcr.clone())]),
        ),
        with(
            "register of 47 bytes",
            "pcrs",
            map(&[(uint(0), bytes(&[1; 47]))]),
        ),
        with("register named by text", "pcrs", map(&[(text("0"), pcr)])),
        with("empty certificate", "certificate", bytes(b"")),
        with(
            "certificate of 1025 bytes",
            "certificate",
            bytes(&[0x30; 1025]),
        ),
        with("empty bundle", "cabundle", array(&[])),
        with("bundle of text", "cabundle", array(&[text("root")])),
        with("public key of 1025 bytes", "public_key", bytes(&[1; 1025])),
        with(
            "nonce in chunks",
            "nonce",
            [&[0x5f][..], &bytes(b"a"), &bytes(b"b"), &[0xff]].concat(),
        ),
        with("nonce of text", "nonce", text("nonce")),
    ]
}

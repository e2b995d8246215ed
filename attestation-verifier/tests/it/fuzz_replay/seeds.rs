//! The committed seeds, from which a fuzzer starts: for each target a few inputs and the verdict that each must get.

use super::entry::broken_rules;
use super::entry::forge::Forgery;
use super::entry::forge::mutate::{CHANGE_BYTES, CHANGES, MOST_CHANGES};
use crate::builder::certificate::CertificateOrder;
use crate::builder::{DocumentOrder, Envelope, NOW_MS, cbor, signing_key};

/// Paths below `fuzz/`, and contents.
pub(super) fn all() -> Vec<(String, Vec<u8>)> {
    let root = CertificateOrder::root().make(&signing_key(0));
    let mut seeds = vec![("roots/attestation.der".to_owned(), root)];
    let mut add = |target: &str, name: &str, bytes: Vec<u8>| {
        let path = format!("corpus/{target}/{name}");
        assert!(
            seeds.iter().all(|(other, _)| *other != path),
            "{path} is there twice"
        );
        seeds.push((path, bytes));
    };
    for (name, order) in orders() {
        add("document", name, order.make());
    }
    for (name, order) in orders() {
        if matches!(
            name,
            "refused-digest-algorithm" | "refused-duplicate-pcr" | "refused-cbor-depth"
        ) || name.starts_with("ok-")
        {
            add("payload", name, order.payload());
        }
    }
    let valid = DocumentOrder::valid();
    let mut forged = Envelope::new(valid.payload(), vec![1; 96]);
    add("document", "refused-signature-invalid", forged.make());
    forged.signature = cbor::bytes(&[0; 96]);
    add("document", "refused-signature-range", forged.make());
    let [root, intermediate, leaf] = valid.certificates().try_into().unwrap();
    add("certificate", "ok-root", root);
    add("certificate", "ok-intermediate", intermediate);
    add("certificate", "refused-certificate-not-ca", leaf);
    let compressed = CertificateOrder {
        point: Some(vec![0x02; 49]),
        ..CertificateOrder::root()
    };
    add(
        "certificate",
        "refused-certificate-public-key-point",
        compressed.make(&signing_key(0)),
    );
    for (name, bytes) in envelopes() {
        add("envelope", name, bytes);
    }
    for (name, changes) in forgeries() {
        add("signed_document", &name, changes);
    }
    for (name, bytes) in differentials() {
        add("differential", name, bytes);
    }
    for (name, text) in policies() {
        add("policy", name, text.into_bytes());
    }
    seeds
}

/// Documents, signed after they were changed, under the verdict that each must get.
fn orders() -> Vec<(&'static str, DocumentOrder)> {
    let changed = |change: fn(&mut DocumentOrder)| {
        let mut order = DocumentOrder::valid();
        change(&mut order);
        order
    };
    vec![
        ("ok-indefinite", DocumentOrder::valid()),
        ("ok-definite", changed(|order| order.indefinite = false)),
        (
            "ok-unknown-key",
            changed(|order| order.add("new", vec![0xbf, 0x01, 0x9f, 0xf9, 0, 0, 0xff, 0xff])),
        ),
        (
            "refused-digest-algorithm",
            changed(|order| order.set("digest", cbor::text("SHA512"))),
        ),
        (
            "refused-duplicate-pcr",
            changed(|order| order.set("pcrs", cbor::pcrs([(0, [1; 48]); 2]))),
        ),
        (
            "refused-cbor-depth",
            changed(|order| order.add("deep", [vec![0x81; 20], vec![0]].concat())),
        ),
        (
            "refused-certificate-issuer",
            changed(|order| order.leaf.issuer = order.bundle[0].issuer.clone()),
        ),
        (
            "refused-leaf-digital-signature",
            changed(|order| order.leaf.key_usage = None),
        ),
        (
            "refused-document-too-old",
            changed(|order| order.set("timestamp", cbor::uint(NOW_MS - 300_001))),
        ),
        (
            "refused-debug-enclave",
            changed(|order| order.set_pcrs(&[0, 1, 2].map(|index| (index, [0; 48])))),
        ),
    ]
}

/// Envelopes around payloads that say nothing.
fn envelopes() -> Vec<(&'static str, Vec<u8>)> {
    let changed = |change: fn(&mut Envelope)| {
        let mut envelope = Envelope::new(vec![0; 300], vec![1; 96]);
        change(&mut envelope);
        envelope.make()
    };
    vec![
        ("ok-untagged", changed(|_| {})),
        (
            "ok-tagged",
            changed(|envelope| envelope.head = vec![0xd2, 0x84]),
        ),
        (
            "ok-empty-payload",
            changed(|envelope| envelope.payload = vec![0x40]),
        ),
        (
            "refused-envelope-elements",
            changed(|envelope| envelope.head = vec![0x85]),
        ),
        (
            "refused-protected-header",
            changed(|envelope| envelope.protected = cbor::bytes(&[0xa1, 1, 0x26])),
        ),
        (
            "refused-unprotected-header",
            changed(|envelope| envelope.unprotected = vec![0xa1, 4, 0x40]),
        ),
        (
            "refused-signature-length",
            changed(|envelope| envelope.signature = cbor::bytes(&[1; 95])),
        ),
        (
            "refused-cbor-trailing-bytes",
            changed(|envelope| envelope.after = vec![0]),
        ),
        (
            "refused-cbor-chunked-string",
            changed(|envelope| envelope.payload = vec![0x5f, 0x41, 0, 0xff]),
        ),
        (
            "refused-cbor-not-shortest",
            changed(|envelope| envelope.payload = vec![0x58, 1, 0]),
        ),
        (
            "refused-document-too-long",
            changed(|envelope| envelope.payload = cbor::bytes(&[0; 16_384])),
        ),
    ]
}

/// For each kind of change one that is accepted, if there is one, and for each rule that a single change can break one
/// that breaks nothing else, as the model has it.
fn forgeries() -> Vec<(String, Vec<u8>)> {
    let mut seeds = vec![("ok-unchanged".to_owned(), Vec::new())];
    for kind in 0..CHANGES.len() as u8 {
        for place in 0..8 {
            for number in 0..32_u8 {
                let input = vec![kind, place, number, 0, 0, 0];
                if !Forgery::from_bytes(&input).edits.is_empty() {
                    continue;
                }
                let broken = broken_rules(&input);
                let name = match broken.len() {
                    0 => format!("ok-change-{kind}"),
                    1 => format!("refused-{}", broken.first().unwrap()),
                    _ => continue,
                };
                if seeds.iter().all(|(other, _)| *other != name) {
                    seeds.push((name, input));
                }
            }
        }
    }
    seeds.push(("ok-eight-changes".to_owned(), harmless(&seeds)));
    seeds
}

/// Eight changes at once that break nothing: a fuzzer starts with inputs as long as the longest seed.
fn harmless(seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
    let accepted = seeds.iter().filter(|(name, _)| name.starts_with("ok-"));
    let mut all = Vec::new();
    for (_, change) in accepted {
        let longer = [all.as_slice(), change].concat();
        if longer.len() <= MOST_CHANGES * CHANGE_BYTES && broken_rules(&longer).is_empty() {
            all = longer;
        }
    }
    assert_eq!(all.len(), MOST_CHANGES * CHANGE_BYTES);
    all
}

fn differentials() -> Vec<(&'static str, Vec<u8>)> {
    let raw = |document: Vec<u8>| [vec![0], document].concat();
    let made = |changes: &[u8]| [&[1], changes].concat();
    let usual = Forgery::valid().encode().document;
    let mut flipped = usual.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let key = |place, number| made(&[46, place, number, 0, 0, 0]);
    vec![
        ("ok-raw", raw(usual)),
        ("ok-raw-other-root", raw(DocumentOrder::valid().make())),
        ("ok-made", made(&[])),
        ("ok-high-s", made(&[5, 0, 0, 0, 0, 0])),
        ("ok-doubling", key(1, 1)),
        ("refused-certificate-signature.cancelling", key(1, 0)),
        ("refused-signature-invalid.raw", raw(flipped)),
        ("refused-signature-range", made(&[5, 9, 0, 0, 0, 0])),
        ("refused-too-short", Vec::new()),
    ]
}

/// Policies for an unchanged document, which is looked at on 2025-06-15 at 15:06:41.
fn policies() -> Vec<(&'static str, String)> {
    let pcr = |byte: u8| format!("{byte:02x}").repeat(48);
    let set = |third: u8, more: &str| {
        format!(
            r#"{{"pcr0":"{}","pcr1":"{}","pcr2":"{}"{more}}}"#,
            pcr(1),
            pcr(2),
            pcr(third)
        )
    };
    let policy =
        |sets: &[String], more: &str| format!(r#"{{"measurements":[{}]{more}}}"#, sets.join(","));
    let one = |more: &str| policy(&[set(3, more)], "");
    let window = |first: &str, last: &str| {
        one(&format!(
            r#","not_before":"2025-06-15T15:06:{first}Z","not_after":"2025-06-15T15:06:{last}Z""#
        ))
    };
    vec![
        ("ok-one", one("")),
        ("ok-window", window("41", "41")),
        (
            "ok-second-set",
            policy(
                &[set(4, ""), set(3, "")],
                r#","max_age_s":1,"allow_debug":true"#,
            ),
        ),
        (
            "ok-window-wins",
            policy(
                &[
                    set(3, r#","not_after":"2025-06-15T15:06:40Z""#),
                    set(3, r#","not_before":"2025-06-15T15:06:41Z""#),
                ],
                "",
            ),
        ),
        (
            "ok-more-registers",
            one(&format!(
                r#","pcr3":"{}","pcr4":"{}","pcr8":"{}""#,
                pcr(4),
                pcr(5),
                pcr(9)
            )),
        ),
        ("refused-measurement-mismatch", policy(&[set(4, "")], "")),
        (
            "refused-measurement-mismatch.absent",
            one(&format!(r#","pcr16":"{}""#, pcr(17))),
        ),
        ("refused-measurement-not-yet-valid", window("42", "59")),
        ("refused-measurement-expired", window("00", "40")),
        (
            "refused-document-too-old",
            policy(&[set(3, "")], r#","max_age_s":0"#),
        ),
        ("refused-policy-window", window("42", "41")),
        ("refused-policy-no-measurements", policy(&[], "")),
        (
            "refused-policy-too-many-measurements",
            policy(&vec![set(3, ""); 257], ""),
        ),
        (
            "refused-policy-json.key",
            one(&format!(r#","pcr08":"{}""#, pcr(9))),
        ),
        (
            "refused-policy-pcr-index",
            one(&format!(r#","pcr5":"{}""#, pcr(6))),
        ),
        (
            "refused-policy-json.twice",
            one(&format!(r#","pcr0":"{}""#, pcr(1))),
        ),
        (
            "refused-policy-json.time",
            one(r#","not_after":"2025-06-15T15:06:41+00:00""#),
        ),
        ("refused-policy-json.array", "[]".to_owned()),
    ]
}

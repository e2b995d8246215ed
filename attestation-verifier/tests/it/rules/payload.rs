//! DESIGN §4 *Payload*; AWS NSM spec §3.2.2.

use nacre_attestation_verifier::ResultCode;

use super::{assert_accepted, assert_refused};
use crate::builder::{DocumentOrder, NOW_MS, cbor, pcr_value};

fn refused(rule: &str, change: impl FnOnce(&mut DocumentOrder)) {
    assert_refused(ResultCode::Malformed, rule, change);
}

#[test]
fn the_map_may_have_either_form_and_any_order() {
    assert_accepted(|order| order.indefinite = false);
    assert_accepted(|order| order.entries.reverse());
}

#[test]
fn the_payload_is_one_map() {
    refused("cbor-trailing-bytes", |order| {
        order.after_payload = vec![0x00]
    });
    refused("cbor-trailing-bytes", |order| {
        order.after_payload = vec![0xff]
    });
    refused("cbor-type", |order| order.entries[0].0 = cbor::uint(1));
    refused("cbor-type", |order| {
        order.entries[0].0 = cbor::bytes(b"module_id")
    });
    refused("cbor-chunked-string", |order| {
        order.entries[0].0 = [&[0x7f], cbor::text("module_id").as_slice(), &[0xff]].concat();
    });
}

#[test]
fn a_key_may_stand_only_once() {
    for key in ["module_id", "pcrs", "nonce", "certificate"] {
        refused("duplicate-key", |order| {
            let entry = order
                .entries
                .iter()
                .find(|entry| entry.0 == cbor::text(key))
                .unwrap();
            order.entries.push(entry.clone());
        });
    }
    refused("duplicate-key", |order| {
        order.add("other", cbor::uint(1));
        order.add("other", cbor::uint(1));
    });
}

#[test]
fn mandatory_keys_are_there() {
    for key in [
        "module_id",
        "digest",
        "timestamp",
        "pcrs",
        "certificate",
        "cabundle",
    ] {
        refused("missing-key", |order| order.remove(key));
    }
}

#[test]
fn optional_keys_may_be_absent_null_or_empty() {
    for key in ["public_key", "user_data", "nonce"] {
        assert_accepted(|order| order.remove(key));
        assert_accepted(|order| order.set(key, cbor::NULL.to_vec()));
        assert_accepted(|order| order.set(key, cbor::bytes(b"")));
        assert_accepted(|order| order.set(key, cbor::bytes(&[7; 1024])));
    }
}

#[test]
fn an_empty_string_is_not_the_same_as_none() {
    let evidence = DocumentOrder::valid().verify().unwrap();
    assert_eq!(evidence.user_data(), Some(&[][..]));
    assert_eq!(evidence.nonce(), None);
}

#[test]
fn user_fields_are_byte_strings_of_at_most_1024_bytes() {
    for key in ["public_key", "user_data", "nonce"] {
        refused("user-field-length", |order| {
            order.set(key, cbor::bytes(&[7; 1025]))
        });
        refused("cbor-type", |order| order.set(key, cbor::text("text")));
        refused("cbor-type", |order| order.set(key, vec![0xf7]));
        refused("cbor-chunked-string", |order| {
            order.set(key, vec![0x5f, 0x41, 0x00, 0xff])
        });
    }
}

#[test]
fn unknown_keys_are_reported_and_their_values_forgotten() {
    let mut order = DocumentOrder::valid();
    order.add("zebra", vec![0x9f, 0xa1, 0x20, 0xf5, 0xff]);
    order.add("aardvark", cbor::text("x"));
    let evidence = order.verify().unwrap();
    assert_eq!(evidence.unknown_keys(), ["zebra", "aardvark"]);
}

#[test]
fn unknown_keys_and_values_are_bounded() {
    refused("cbor-depth", |order| {
        order.add("deep", [vec![0x81; 1000], vec![0x00]].concat())
    });
    refused("cbor-depth", |order| {
        order.add("deep", [vec![0x9f; 9], vec![0xff; 9]].concat())
    });
    refused("cbor-count", |order| {
        order.add("long", cbor::array(vec![cbor::uint(0); 300]))
    });
    refused("cbor-truncated", |order| {
        order.indefinite = false;
        order.add("long", vec![0x9a, 0x00, 0xff, 0xff, 0xff]);
    });
    refused("cbor-chunked-string", |order| {
        order.add("chunks", vec![0x7f, 0x61, 0x61, 0xff])
    });
    refused("cbor-utf8", |order| order.add("text", vec![0x61, 0xff]));
    refused("cbor-reserved", |order| order.add("reserved", vec![0x1c]));
    refused("unknown-key-shape", |order| order.add("", cbor::uint(1)));
    refused("unknown-key-shape", |order| {
        order.add(&"k".repeat(65), cbor::uint(1))
    });
    refused("unknown-key-shape", |order| {
        order.add("\u{1b}[2J", cbor::uint(1))
    });
    assert_accepted(|order| order.add(&"k".repeat(64), cbor::uint(1)));
}

#[test]
fn the_payload_has_at_most_32_keys() {
    let with_unknown = |count: usize| {
        move |order: &mut DocumentOrder| {
            for index in 0..count {
                order.add(&format!("key {index}"), cbor::uint(0));
            }
        }
    };
    assert_accepted(with_unknown(23));
    refused("too-many-keys", with_unknown(24));
    refused("too-many-keys", |order| {
        order.indefinite = false;
        with_unknown(24)(order);
    });
}

#[test]
fn the_module_id_is_plain_text() {
    refused("module-id", |order| order.set("module_id", cbor::text("")));
    refused("module-id", |order| {
        order.set("module_id", cbor::text(&"i".repeat(257)))
    });
    refused("module-id", |order| {
        order.set("module_id", cbor::text("i-0\n"))
    });
    refused("cbor-type", |order| {
        order.set("module_id", cbor::bytes(b"i-0"))
    });
    refused("cbor-utf8", |order| {
        order.set("module_id", vec![0x62, 0xc3, 0x28])
    });
}

#[test]
fn the_digest_is_sha384() {
    for digest in ["SHA256", "SHA512", "sha384", "SHA384 ", ""] {
        refused("digest-algorithm", |order| {
            order.set("digest", cbor::text(digest))
        });
    }
}

#[test]
fn the_timestamp_is_a_positive_integer_in_its_shortest_form() {
    refused("timestamp-zero", |order| {
        order.set("timestamp", cbor::uint(0))
    });
    refused("cbor-type", |order| order.set("timestamp", vec![0x20]));
    refused("cbor-type", |order| {
        order.set("timestamp", vec![0xfb, 0x42, 0x79, 0, 0, 0, 0, 0, 0])
    });
    refused("cbor-not-shortest", |order| {
        order.set("timestamp", vec![0x19, 0x00, 0x01])
    });
    assert_accepted(|order| order.set("timestamp", cbor::uint(NOW_MS - 1)));
}

#[test]
fn there_are_1_to_32_pcrs_of_48_bytes_below_index_32() {
    let pcrs =
        |indexes: std::ops::Range<u8>| cbor::pcrs(indexes.map(|index| (index, pcr_value(index))));
    assert_accepted(|order| order.set("pcrs", pcrs(0..32)));
    refused("pcr-count", |order| order.set("pcrs", pcrs(0..0)));
    refused("pcr-count", |order| order.set("pcrs", pcrs(0..33)));
    refused("pcr-count", |order| {
        order.set(
            "pcrs",
            vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        )
    });
    refused("pcr-index", |order| order.set("pcrs", pcrs(32..33)));
    refused("pcr-index", |order| {
        order.set(
            "pcrs",
            cbor::map([(cbor::uint(256), cbor::bytes(&[1; 48]))]),
        );
    });
    refused("cbor-type", |order| {
        order.set(
            "pcrs",
            cbor::map([(cbor::text("0"), cbor::bytes(&[1; 48]))]),
        );
    });
    for length in [0, 32, 47, 49, 64] {
        refused("pcr-length", |order| {
            order.set(
                "pcrs",
                cbor::map([(cbor::uint(0), cbor::bytes(&vec![1; length]))]),
            );
        });
    }
    refused("duplicate-pcr", |order| {
        order.set(
            "pcrs",
            cbor::pcrs([0, 1, 2, 1].map(|index| (index, pcr_value(index)))),
        );
    });
    refused("cbor-not-shortest", |order| {
        order.set(
            "pcrs",
            cbor::map([(vec![0x18, 0x00], cbor::bytes(&[1; 48]))]),
        );
    });
    refused("cbor-indefinite-length", |order| {
        order.set("pcrs", vec![0xbf, 0xff])
    });
}

#[test]
fn certificates_have_1_to_1024_bytes() {
    refused("certificate-length", |order| {
        order.set("certificate", cbor::bytes(b""))
    });
    refused("certificate-length", |order| {
        order.set("certificate", cbor::bytes(&[0x30; 1025]))
    });
    refused("certificate-length", |order| {
        order.set("cabundle", cbor::array([cbor::bytes(b"")]))
    });
    refused("certificate-length", |order| {
        order.set("cabundle", cbor::array([cbor::bytes(&[0x30; 1025])]))
    });
    refused("cbor-type", |order| {
        order.set("certificate", cbor::NULL.to_vec())
    });
}

#[test]
fn the_bundle_has_1_to_8_certificates() {
    refused("cabundle-count", |order| {
        order.set("cabundle", cbor::array([]))
    });
    refused("cabundle-count", |order| {
        order.set("cabundle", cbor::array(vec![cbor::bytes(&[0x30]); 9]))
    });
    refused("cbor-indefinite-length", |order| {
        order.set("cabundle", vec![0x9f, 0xff])
    });
    refused("cbor-type", |order| {
        order.set("cabundle", cbor::array([cbor::uint(1)]))
    });
}

#[test]
fn nitrotpm_documents_are_refused_even_where_they_also_have_pcrs() {
    let pcrs = || cbor::pcrs((0..24).map(|index| (index, pcr_value(index))));
    refused("nitrotpm-document", |order| {
        order.add("nitrotpm_pcrs", pcrs())
    });
    refused("nitrotpm-document", |order| {
        order.remove("pcrs");
        order.add("nitrotpm_pcrs", pcrs());
    });
}

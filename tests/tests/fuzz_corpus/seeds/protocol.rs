//! Seeds of what the programs exchange.

use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::dice::CertificateEvidence;
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::Evidence;
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::BootId;
use nacre_protocol::merkle::{Tree, leaf_hash};
use nacre_protocol::receipt::SignedReceipt;
use nacre_protocol::receipt_file::{ReceiptFile, RequestHead, ResponseHead};

use super::Seeds;
use crate::targets::protocol::{BATCH, FRESHNESS, FRESHNESS_INDEX};

pub(super) fn add(seeds: &mut Seeds) {
    identity_statement(seeds);
    receipt(seeds);
    receipt_file(seeds);
    evidence_json(seeds);
    certificate_evidence(seeds);
    bundle_manifest(seeds);
    function_manifest(seeds);
    inclusion_path(seeds);
}

fn identity_statement(seeds: &mut Seeds) {
    let good = statement();
    let spliced = |at: usize, count: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes.splice(at..at + count, with.iter().copied());
        bytes
    };
    seeds.add_all(
        "identity_statement",
        [
            ("ok-statement", good.clone()),
            ("refused-version", spliced(2, 1, &[2])),
            (
                "refused-not-deterministic.long-integer",
                spliced(2, 1, &[0x18, 1]),
            ),
            (
                "refused-not-deterministic.trailing",
                spliced(good.len(), 0, &[0]),
            ),
            ("refused-malformed.keys", spliced(3, 1, &[3])),
            ("refused-malformed.length", spliced(4, 2, &[0x58, 0x1f])),
            ("refused-malformed.short", good[..good.len() - 1].to_vec()),
        ],
    );
}

fn statement() -> Vec<u8> {
    let statement = IdentityStatement {
        tls_spki_sha256: [1; 32],
        receipt_key: [2; 64],
        hpke_key: [3; 32],
        boot_id: BootId::from_random([4; 16]),
    };
    statement.encode()
}

fn receipt(seeds: &mut Seeds) {
    let changed = |change: fn(&mut SignedReceipt)| {
        let mut receipt = BATCH[2].clone();
        change(&mut receipt);
        receipt.encode()
    };
    let other_s = |receipt: &mut SignedReceipt| receipt.signature[63] ^= 1;
    let mut trailing = BATCH[0].encode();
    trailing.push(0);
    seeds.add_all(
        "receipt",
        [
            ("ok-first-of-five", BATCH[0].encode()),
            ("ok-last-of-five", BATCH[4].encode()),
            ("ok-alone", BATCH[5].encode()),
            ("ok-header", BATCH[3].to_header().into()),
            ("refused-syntax.trailing", trailing),
            (
                "refused-syntax.padding",
                format!("{}=", BATCH[5].to_header()).into(),
            ),
            ("refused-inclusion.index", changed(|r| r.index = 5)),
            ("refused-inclusion.size", changed(|r| r.size = 65_537)),
            ("refused-inclusion.path", changed(|r| r.path.truncate(1))),
            (
                "refused-signature.status",
                changed(|r| r.receipt.status = 500),
            ),
            ("refused-signature.s", changed(other_s)),
            ("refused-signature.v", changed(|r| r.signature[64] = 29)),
            ("refused-signature.zero", changed(|r| r.signature = [0; 65])),
        ],
    );
}

fn receipt_file(seeds: &mut Seeds) {
    let file = ReceiptFile {
        version: 1,
        receipt: BATCH[1].to_header(),
        function: BATCH[1].receipt.function_digest,
        request: RequestHead {
            method: "POST".into(),
            path: "/v2/models/iris/infer".into(),
            content_type: "application/json".into(),
            inference_header_length: String::new(),
        },
        response: ResponseHead {
            status: 200,
            content_type: "application/octet-stream".into(),
            inference_header_length: "117".into(),
        },
        evidence: evidence(),
    };
    let json = serde_json::to_string(&file).unwrap();
    seeds.add_all(
        "receipt_file",
        [
            ("ok-file", json.clone().into()),
            (
                "refused-json.unknown-field",
                json.replacen('{', "{\"a\":1,", 1).into(),
            ),
            (
                "refused-json.status",
                json.replacen(":200,", ":70000,", 1).into(),
            ),
            (
                "refused-receipt",
                json.replacen("\"receipt\":\"", "\"receipt\":\"A", 1).into(),
            ),
        ],
    );
}

fn evidence() -> Evidence {
    Evidence {
        document: vec![0x84; 64],
        statement: statement(),
        leaf_index: FRESHNESS_INDEX,
        tree_size: FRESHNESS.size(),
        path: FRESHNESS.path(FRESHNESS_INDEX).unwrap(),
    }
}

fn evidence_json(seeds: &mut Seeds) {
    let changed = |change: fn(&mut Evidence)| {
        let mut evidence = evidence();
        change(&mut evidence);
        serde_json::to_vec(&evidence).unwrap()
    };
    let json = String::from_utf8(changed(|_| ())).unwrap();
    seeds.add_all(
        "evidence_json",
        [
            ("ok-evidence", json.clone().into()),
            ("ok-pretty", json.replace(',', " ,\n ").into()),
            (
                "ok-escaped-key",
                json.replacen("\"path\"", "\"\\u0070ath\"", 1).into(),
            ),
            (
                "refused-json.duplicate",
                json.replacen('{', "{\"tree_size\":7,", 1).into(),
            ),
            (
                "refused-json.padding",
                json.replacen("\",\"statement", "=\",\"statement", 1).into(),
            ),
            ("refused-json.index", json.replacen(":3,", ":-3,", 1).into()),
            ("refused-tree-size", changed(|e| e.tree_size = 65_537)),
            ("refused-leaf-index", changed(|e| e.leaf_index = 7)),
            ("refused-path-length", changed(|e| e.path.push([0; 32]))),
            ("refused-root", changed(|e| e.path.swap(0, 1))),
        ],
    );
}

fn certificate_evidence(seeds: &mut Seeds) {
    let evidence = CertificateEvidence {
        document: vec![0x84; 64],
        statement: statement(),
    };
    let good = evidence.encode();
    let empty = CertificateEvidence {
        document: Vec::new(),
        statement: Vec::new(),
    };
    let long = CertificateEvidence {
        statement: vec![0; 257],
        ..empty.clone()
    };
    let mut other_tag = good.clone();
    other_tag[4] ^= 1;
    seeds.add_all(
        "certificate_evidence",
        [
            ("ok-evidence", good.clone()),
            ("ok-empty", empty.encode()),
            ("refused-syntax.tag", other_tag),
            ("refused-syntax.trailing", [good.as_slice(), &[0]].concat()),
            ("refused-syntax.short", good[..40].to_vec()),
            ("refused-syntax.statement", long.encode()),
        ],
    );
}

fn bundle_manifest(seeds: &mut Seeds) {
    let file = |name: &str| BundleFile {
        name: name.to_owned(),
        digest: Digest::of(name.as_bytes()),
        size: 1000,
        urls: Vec::new(),
    };
    let fetched = BundleFile {
        urls: vec!["https://a.example/m".parse().unwrap()],
        ..file("m.onnx")
    };
    let fetched = Bundle::new(vec![file("nacre.toml"), fetched])
        .unwrap()
        .to_oci_manifest();
    let twice = String::from_utf8(fetched.clone()).unwrap().replace(
        "[\"https://a.example/m\"]",
        "[\"https://a.example/m\",\"https://a.example/m\"]",
    );
    let files = vec![file("model.onnx"), file("nacre.toml"), file("labels.txt")];
    let bundle = Bundle::new(files).unwrap().to_oci_manifest();
    let alone = Bundle::new(vec![file("nacre.toml")]).unwrap();
    let json = String::from_utf8(bundle.clone()).unwrap();
    let replaced = |from: &str, to: &str| json.replacen(from, to, 1).into_bytes();
    seeds.add_all(
        "bundle_manifest",
        [
            ("ok-three-files", bundle),
            ("ok-urls", fetched),
            ("refused-urls", twice.into_bytes()),
            (
                "refused-malformed.url",
                replaced(
                    ",\"annotations\"",
                    ",\"urls\":[\"http://a/m\"],\"annotations\"",
                ),
            ),
            (
                "refused-not-canonical.urls",
                replaced(",\"annotations\"", ",\"urls\":[],\"annotations\""),
            ),
            ("ok-manifest-only", alone.to_oci_manifest()),
            ("refused-not-canonical.space", replaced(",", ", ")),
            (
                "refused-not-canonical.type",
                replaced("vnd.nacre.function.v1+toml", "x"),
            ),
            (
                "refused-no-manifest",
                replaced("\"nacre.toml\"", "\"other.toml\""),
            ),
            (
                "refused-file-name",
                replaced("\"labels.txt\"", "\"../labels\""),
            ),
            (
                "refused-duplicate",
                replaced("\"labels.txt\"", "\"model.onnx\""),
            ),
            ("refused-too-large", replaced(":1000", ":68719476737")),
            ("refused-malformed.digest", replaced("sha256:", "sha512:")),
            ("refused-malformed.size", replaced(":1000", ":-1")),
        ],
    );
}

fn function_manifest(seeds: &mut Seeds) {
    const GOOD: &str = "[function]\nname = \"iris\"\nkind = \"onnx\"\n[model]\nfile = \"model.onnx\"\n[limits]\nmemory = \"64MiB\"\ntimeout = \"2s\"\n";
    let replaced = |from: &str, to: &str| GOOD.replacen(from, to, 1).into_bytes();
    seeds.add_all(
        "function_manifest",
        [
            ("ok-manifest", GOOD.into()),
            ("ok-odd-amounts", GOOD.replace("64MiB", "1048577B").replace("2s", "1500us").into()),
            (
                "ok-inline-and-escaped",
                b"function = {name = 'a', kind = \"\\u006fnnx\"} # words\nmodel.file = '''m'''\nlimits = {memory='1TiB',timeout=\"600s\"}".to_vec(),
            ),
            ("refused-not-text", replaced("iris", "\u{0}").into_iter().map(|b| if b == 0 { 0xff } else { b }).collect()),
            ("refused-toml.unknown", replaced("[model]", "[colour]\n[model]")),
            ("refused-toml.name", replaced("iris", "Iris")),
            ("refused-toml.amount", replaced("64MiB", "99999999999999999999TiB")),
            ("refused-toml.depth", format!("a = {}", "[".repeat(200)).into()),
            ("refused-model-file", replaced("model.onnx", "../model.onnx")),
            ("ok-urls", replaced("[limits]", "urls = [\"https://a.example/m\", 'https://b.example:8443/m?v=1']\n[limits]")),
            ("refused-urls", replaced("[limits]", "urls = ['https://a/m', 'https://a/m']\n[limits]")),
            ("refused-toml.url", replaced("[limits]", "urls = ['https://127.0.0.1/m']\n[limits]")),
            ("refused-memory", replaced("64MiB", "1023KiB")),
            ("refused-timeout", replaced("2s", "999us")),
        ],
    );
}

fn inclusion_path(seeds: &mut Seeds) {
    let claim = |leaves: u8, leaf: u8, index: u32, size: u32, edits: &[u8]| {
        [
            &[leaves - 1, leaf],
            index.to_le_bytes().as_slice(),
            &size.to_le_bytes(),
            edits,
        ]
        .concat()
    };
    // A root does not tell a tree's size: the third of three is also the second of two, with the same path.
    let lone = Tree::new(vec![leaf_hash(&[b"a"]); 3]).unwrap();
    assert_eq!(lone.path(2).unwrap().len(), 1);
    seeds.add_all(
        "inclusion_path",
        [
            ("ok-seven", claim(7, 4, 4, 7, &[])),
            ("ok-one", claim(1, 0, 0, 1, &[])),
            (
                "ok-put-in-and-taken-out",
                claim(200, 77, 77, 200, &[0, 3, 9, 1, 3, 0]),
            ),
            ("ok-another-size", claim(3, 2, 1, 2, &[])),
            ("refused-tree-size.none", claim(7, 4, 0, 0, &[])),
            ("refused-tree-size.many", claim(7, 4, 4, u32::MAX, &[])),
            ("refused-leaf-index", claim(7, 4, 7, 7, &[])),
            ("refused-path-length", claim(7, 4, 4, 7, &[1, 0, 0])),
            ("refused-root.bit", claim(7, 4, 4, 7, &[2, 35, 1])),
            ("refused-root.order", claim(7, 4, 4, 7, &[3, 0, 1])),
            ("refused-root.index", claim(8, 4, 5, 8, &[])),
            ("refused-too-short", vec![7, 4, 4]),
        ],
    );
}

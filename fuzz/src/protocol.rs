//! The words that programs exchange: identity statements, evidence, receipts, bundles, manifests, Merkle paths.
//!
//! Each function returns a refusal's rule in kebab-case.

use std::sync::LazyLock;

use k256::ecdsa::SigningKey;
use nacre_protocol::bundle::{Bundle, BundleError, MAX_BUNDLE_MANIFEST};
use nacre_protocol::dice::CertificateEvidence;
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::{Evidence, MAX_EVIDENCE_JSON, channel_leaf};
use nacre_protocol::identity::{IdentityStatement, StatementError};
use nacre_protocol::ids::BootId;
use nacre_protocol::manifest::{FunctionManifest, ManifestError, is_plain_file_name};
use nacre_protocol::merkle::{Hash, InclusionError, MAX_LEAVES, Tree, leaf_hash, verify_inclusion};
use nacre_protocol::receipt::{InferenceReceipt, ReceiptError, SignedReceipt, sign_batch};
use nacre_protocol::receipt_file::{MAX_RECEIPT_FILE, ReceiptFile};
use sha2::{Digest as _, Sha256};

/// Reads an identity statement: what is taken has no second encoding, and everything that has the form is taken.
pub fn identity_statement(data: &[u8]) -> Result<(), &'static str> {
    let verdict = IdentityStatement::decode(data);
    assert_eq!(verdict.as_ref().ok(), statement_by_position(data).as_ref());
    match verdict {
        Ok(statement) => {
            assert_eq!(statement.encode(), data);
            assert_eq!(statement.user_data(), IdentityStatement::user_data_of(data));
            Ok(())
        }
        Err(StatementError::Malformed(_)) => Err("malformed"),
        Err(StatementError::Version(version)) => {
            assert_ne!(version, 1);
            Err("version")
        }
        Err(_) => Err("not-deterministic"),
    }
}

/// DESIGN §3.1 read without CBOR: every statement has the same length, and only the fields' bytes differ.
fn statement_by_position(data: &[u8]) -> Option<IdentityStatement> {
    const HEADS: [&[u8]; 4] = [
        b"\xa5\x01\x01\x02\x58\x20",
        b"\x03\x58\x40",
        b"\x04\x58\x20",
        b"\x05\x50",
    ];
    let (tls_spki_sha256, rest) = data.strip_prefix(HEADS[0])?.split_first_chunk()?;
    let (receipt_key, rest) = rest.strip_prefix(HEADS[1])?.split_first_chunk()?;
    let (hpke_key, rest) = rest.strip_prefix(HEADS[2])?.split_first_chunk()?;
    let boot_id: &[u8; 16] = rest.strip_prefix(HEADS[3])?.try_into().ok()?;
    Some(IdentityStatement {
        tls_spki_sha256: *tls_spki_sha256,
        receipt_key: *receipt_key,
        hpke_key: *hpke_key,
        boot_id: BootId::from_random(*boot_id),
    })
}

/// Reads a receipt, as CBOR or as the header's text, and checks its signature against the key of [`BATCH`].
pub fn receipt(data: &[u8]) -> Result<(), &'static str> {
    let receipt = match SignedReceipt::decode(data) {
        Ok(receipt) => {
            assert_eq!(receipt.encode(), data);
            assert_eq!(
                SignedReceipt::from_header(&receipt.to_header()).as_ref(),
                Ok(&receipt)
            );
            receipt
        }
        Err(_) => {
            let text = core::str::from_utf8(data).map_err(|_| "syntax")?;
            let receipt = SignedReceipt::from_header(text).map_err(|_| "syntax")?;
            assert_eq!(receipt.to_header(), text);
            receipt
        }
    };
    match receipt.verify_signature(&RECEIPT_KEY) {
        Ok(()) => {
            // The salt and the place in the tree are not signed; what is claimed is.
            let signed = BATCH.iter().any(|ours| ours.receipt == receipt.receipt);
            assert!(signed, "nobody but the key's holder can make a receipt");
            Ok(())
        }
        Err(ReceiptError::Inclusion(_)) => Err("inclusion"),
        Err(ReceiptError::Signature) => Err("signature"),
        Err(other) => panic!("the key is a point and nothing else was checked: {other}"),
    }
}

/// Reads a receipt file, and the receipt inside it.
pub fn receipt_file(data: &[u8]) -> Result<(), &'static str> {
    if data.len() > MAX_RECEIPT_FILE {
        return Err("too-long");
    }
    let file: ReceiptFile = serde_json::from_slice(data).map_err(|_| "json")?;
    assert_eq!(through_json(&file), file);
    SignedReceipt::from_header(&file.receipt)
        .map(|_| ())
        .map_err(|_| "receipt")
}

/// Reads evidence and checks its path from [`channel_leaf`] of constants to the root of [`FRESHNESS`].
pub fn evidence_json(data: &[u8]) -> Result<(), &'static str> {
    if data.len() > MAX_EVIDENCE_JSON {
        return Err("too-long");
    }
    let evidence: Evidence = serde_json::from_slice(data).map_err(|_| "json")?;
    assert_eq!(through_json(&evidence), evidence);

    let (leaf, root) = (FRESHNESS_LEAF.to_owned(), FRESHNESS.root());
    let verdict = evidence.verify_leaf(&leaf, &root);
    let reference = reference_root(
        leaf,
        evidence.leaf_index,
        evidence.tree_size,
        &evidence.path,
    );
    assert_eq!(verdict.is_ok(), reference == Some(root));
    assert!(
        evidence.verify_leaf(&leaf, &root[1..]).is_err(),
        "a nonce of another length is no root"
    );
    verdict.map_err(inclusion_rule)
}

/// Reads the payload of a certificate's evidence extension: what is taken has no second encoding.
pub fn certificate_evidence(data: &[u8]) -> Result<(), &'static str> {
    let evidence = CertificateEvidence::decode(data).map_err(|_| "syntax")?;
    assert_eq!(evidence.encode(), data);
    Ok(())
}

/// Reads a bundle's OCI manifest: what is taken has no second form, and names nothing outside its directory.
pub fn bundle_manifest(data: &[u8]) -> Result<(), &'static str> {
    match Bundle::from_oci_manifest(data) {
        Ok(bundle) => {
            assert!(data.len() <= MAX_BUNDLE_MANIFEST);
            assert_eq!(bundle.to_oci_manifest(), data);
            assert_eq!(bundle.digest(), Digest::of(data));
            let files = bundle.files();
            assert!(files.iter().all(|file| is_plain_file_name(&file.name)));
            assert!(files[1..].is_sorted_by(|a, b| a.name < b.name));
            assert!(bundle.total_size() >= files[0].size);
            Ok(())
        }
        Err(BundleError::NoManifest) => Err("no-manifest"),
        Err(BundleError::FileName(_)) => Err("file-name"),
        Err(BundleError::Duplicate(_)) => Err("duplicate"),
        Err(BundleError::TooLarge) => Err("too-large"),
        Err(BundleError::Urls(_)) => Err("urls"),
        Err(BundleError::NotCanonical) => Err("not-canonical"),
        Err(_) => Err("malformed"),
    }
}

/// Reads a `nacre.toml`: what is taken can be written and read again.
pub fn function_manifest(data: &[u8]) -> Result<(), &'static str> {
    match FunctionManifest::from_toml(data) {
        Ok(manifest) => {
            assert!(is_plain_file_name(&manifest.model.file));
            let written = match toml::to_string(&manifest) {
                Ok(written) => written,
                Err(error) => panic!("{manifest:?} cannot be written: {error}"),
            };
            assert_eq!(
                FunctionManifest::from_toml(written.as_bytes()),
                Ok(manifest)
            );
            Ok(())
        }
        Err(ManifestError::NotText) => Err("not-text"),
        Err(ManifestError::ModelFile(_)) => Err("model-file"),
        Err(ManifestError::Urls) => Err("urls"),
        Err(ManifestError::Memory(_)) => Err("memory"),
        Err(ManifestError::Timeout(_)) => Err("timeout"),
        Err(_) => Err("toml"),
    }
}

/// Checks a claimed place in a tree whose leaves are known.
///
/// | bytes | meaning |
/// |---|---|
/// | 0 | leaves of the tree, less one |
/// | 1 | which leaf |
/// | 2–5, 6–9 | index and size that are claimed, little-endian |
/// | rest | edits of the leaf's true path: what to do, where, with which byte |
pub fn inclusion_path(data: &[u8]) -> Result<(), &'static str> {
    let Some((&[leaves, leaf, i0, i1, i2, i3, s0, s1, s2, s3], edits)) = data.split_first_chunk()
    else {
        return Err("too-short");
    };
    let leaves = u32::from(leaves) + 1;
    let true_index = u32::from(leaf) % leaves;
    let hashes: Vec<Hash> = (0..leaves)
        .map(|number| leaf_hash(&[&number.to_be_bytes()]))
        .collect();
    let leaf = hashes[true_index as usize];
    let Some(tree) = Tree::new(hashes) else {
        panic!("{leaves} leaves are a tree");
    };
    let Some(true_path) = tree.path(true_index) else {
        panic!("leaf {true_index} is in a tree of {leaves}");
    };
    assert_eq!(
        reference_root(leaf, true_index, leaves, &true_path),
        Some(tree.root())
    );

    let index = u32::from_le_bytes([i0, i1, i2, i3]);
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    let path = edited(true_path.clone(), edits);
    let verdict = verify_inclusion(&leaf, index, size, &path, &tree.root());
    let reference = reference_root(leaf, index, size, &path) == Some(tree.root());
    assert_eq!(verdict.is_ok(), reference);
    if size == leaves {
        let is_true = index == true_index && path == true_path;
        assert_eq!(
            verdict.is_ok(),
            is_true,
            "a leaf has one place and one path"
        );
    }
    verdict.map_err(inclusion_rule)
}

/// At most 32 edits, so that the path stays short.
fn edited(mut path: Vec<Hash>, edits: &[u8]) -> Vec<Hash> {
    for edit in edits.chunks_exact(3).take(32) {
        let (what, at, byte) = (edit[0] % 4, usize::from(edit[1]), edit[2]);
        let count = path.len();
        match what {
            0 => path.insert(at % (count + 1), [byte; 32]),
            _ if count == 0 => {}
            1 => drop(path.remove(at % count)),
            2 => path[at % count][at % 32] ^= byte,
            _ => path.swap(at % count, usize::from(byte) % count),
        }
    }
    path
}

/// RFC 6962 §2.1.1 read from the root down, where the code under test goes from the leaf up.
fn reference_root(leaf: Hash, index: u32, size: u32, path: &[Hash]) -> Option<Hash> {
    if index >= size || size > MAX_LEAVES {
        return None;
    }
    if size == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (sibling, inner) = path.split_last()?;
    let split = size.next_power_of_two() / 2;
    let node = |left: &Hash, right: &Hash| {
        Sha256::new_with_prefix([1])
            .chain_update(left)
            .chain_update(right)
            .finalize()
            .into()
    };
    if index < split {
        reference_root(leaf, index, split, inner).map(|left| node(&left, sibling))
    } else {
        reference_root(leaf, index - split, size - split, inner).map(|right| node(sibling, &right))
    }
}

fn inclusion_rule(error: InclusionError) -> &'static str {
    match error {
        InclusionError::TreeSize(_) => "tree-size",
        InclusionError::LeafIndex { .. } => "leaf-index",
        InclusionError::PathLength { .. } => "path-length",
        _ => "root",
    }
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    let read = serde_json::to_vec(value).and_then(|json| serde_json::from_slice(&json));
    match read {
        Ok(read) => read,
        Err(error) => panic!("what was read cannot be written and read again: {error}"),
    }
}

/// The leaf that evidence is asked to hold, at [`FRESHNESS_INDEX`] of [`FRESHNESS`].
pub static FRESHNESS_LEAF: LazyLock<Hash> = LazyLock::new(|| channel_leaf(&[1; 32], &[2; 32]));

/// Where [`FRESHNESS_LEAF`] stands.
pub const FRESHNESS_INDEX: u32 = 3;

/// The tree of seven whose root is evidence's nonce.
pub static FRESHNESS: LazyLock<Tree> = LazyLock::new(|| {
    let leaf = |index| match index {
        FRESHNESS_INDEX => *FRESHNESS_LEAF,
        other => leaf_hash(&[&other.to_be_bytes()]),
    };
    match Tree::new((0..7).map(leaf).collect()) {
        Some(tree) => tree,
        None => panic!("seven leaves are a tree"),
    }
});

/// The receipts that the key of this file has signed: a batch of five, and one alone.
pub static BATCH: LazyLock<Vec<SignedReceipt>> = LazyLock::new(|| {
    let receipt = |number: u8| InferenceReceipt {
        function_digest: Digest::of(b"function"),
        request_hash: [number; 32],
        response_hash: [number ^ 0xff; 32],
        started_ms: 1_750_000_000_000 + u64::from(number),
        compute_micros: 250,
        status: 200,
    };
    let sign = |numbers: core::ops::Range<u8>| {
        let receipts: Vec<_> = numbers
            .map(|number| (receipt(number), [number; 32]))
            .collect();
        sign_batch(&SIGNER, &receipts).unwrap_or_default()
    };
    [sign(0..5), sign(5..6)].concat()
});

static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| match SigningKey::from_slice(&[7; 32]) {
    Ok(key) => key,
    Err(error) => panic!("a small number is a key: {error}"),
});

static RECEIPT_KEY: LazyLock<[u8; 64]> = LazyLock::new(|| {
    let point = SIGNER.verifying_key().to_sec1_point(false);
    let mut key = [0; 64];
    key.copy_from_slice(&point.as_bytes()[1..]);
    key
});

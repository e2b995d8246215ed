//! Documents that real Nitro hardware made, as published by other projects. They are not part of this repository; where
//! the folder is absent, these tests say so and check nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nacre_attestation_verifier::{
    Measurements, Policy, ResultCode, RootKind, Roots, UnixMillis, UnverifiedDocument,
    VerificationTime, VerifiedEvidence, VerifyError, verify,
};
use serde_json::Value;

#[test]
fn every_valid_document_verifies_at_its_own_time_and_only_debug_ones_are_refused() {
    for document in documents("valid") {
        let evidence = document
            .verify()
            .unwrap_or_else(|error| panic!("{document:?}: {error}"));
        assert_eq!(
            evidence.module_id(),
            document.index["module_id"].as_str().unwrap()
        );
        assert_eq!(evidence.timestamp_ms(), document.timestamp_ms());
        assert_eq!(
            Some(evidence.pcrs().len() as u64),
            document.index["pcr_count"].as_u64()
        );
        assert_eq!(evidence.root_kind(), RootKind::Aws);
        assert!(evidence.is_archive());
        assert!(evidence.unknown_keys().is_empty());
        document.assert_user_field("user_data", evidence.user_data());
        document.assert_user_field("nonce", evidence.nonce());
        document.assert_user_field("public_key", evidence.public_key());

        let own = Policy::new(vec![own_measurements(&evidence)]).unwrap();
        let is_debug = document.index["debug_mode"].as_bool().unwrap();
        match evidence.clone().appraise(&own) {
            Ok(enclave) => assert!(!is_debug && !enclave.is_debug(), "{document:?}"),
            Err(error) => {
                assert!(is_debug, "{document:?}: {error}");
                assert_eq!(error.rule(), "debug-enclave");
                assert_eq!(error.code(), ResultCode::Measurements);
                let enclave = evidence.appraise(&own.with_allow_debug(true)).unwrap();
                assert!(enclave.is_debug());
            }
        }
    }
}

#[test]
fn no_valid_document_verifies_after_its_leaf_has_expired_or_before_it_was_issued() {
    for document in documents("valid") {
        let not_after = document.verify().unwrap().leaf_not_after();
        for at in [
            (not_after + 1) * 1000,
            document.timestamp_ms() - 4 * 3600 * 1000,
        ] {
            let error = document.verify_at(at).unwrap_err();
            assert_eq!(error.code(), ResultCode::Chain, "{document:?}: {error}");
        }
        assert!(document.verify_at(not_after * 1000).is_ok());
    }
}

#[test]
fn every_negative_document_is_refused_for_the_reason_its_index_names() {
    for document in documents("negative") {
        let reason = document.index["errors"][0].as_str().unwrap();
        let rule = match reason {
            "COSE signature invalid: InvalidSignature" => "signature-invalid",
            "cabundle[0] is not AWS G1 root" => "untrusted-root",
            other => panic!("{document:?} has a reason that this test does not know: {other}"),
        };
        assert_eq!(document.verify().unwrap_err().rule(), rule, "{document:?}");
    }
}

#[test]
fn nitrotpm_documents_are_malformed() {
    for document in documents("nitrotpm") {
        let error = UnverifiedDocument::parse(&document.bytes).unwrap_err();
        assert_eq!(
            (error.code(), error.rule()),
            (ResultCode::Malformed, "nitrotpm-document")
        );
    }
}

struct Document {
    bytes: Vec<u8>,
    index: Value,
}

impl Document {
    fn timestamp_ms(&self) -> u64 {
        self.index["timestamp_ms"].as_u64().unwrap()
    }

    fn verify(&self) -> Result<VerifiedEvidence, VerifyError> {
        self.verify_at(self.timestamp_ms())
    }

    fn verify_at(&self, at_ms: u64) -> Result<VerifiedEvidence, VerifyError> {
        verify(
            &self.bytes,
            &Roots::aws(),
            VerificationTime::Archive(UnixMillis(at_ms)),
        )
    }

    fn assert_user_field(&self, name: &str, found: Option<&[u8]>) {
        let length = self.index[name]["len"].as_u64();
        assert_eq!(
            found.map(|bytes| bytes.len() as u64),
            length,
            "{self:?} {name}"
        );
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.index["file"].as_str().unwrap_or_default())
    }
}

/// The documents of one kind; none where the corpus is absent.
fn documents(kind: &str) -> Vec<Document> {
    let Some(folder) = corpus() else {
        println!("left out: no corpus of real documents at ../shared/data/attestation");
        return Vec::new();
    };
    let index = std::fs::read(folder.join("INDEX.json")).unwrap();
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let documents: Vec<_> = index
        .into_iter()
        .filter(|entry| entry["kind"] == kind)
        .map(|entry| Document {
            bytes: std::fs::read(folder.join(entry["file"].as_str().unwrap())).unwrap(),
            index: entry,
        })
        .collect();
    assert!(!documents.is_empty(), "the corpus has no {kind} documents");
    documents
}

fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/attestation");
    folder.join("INDEX.json").is_file().then_some(folder)
}

fn own_measurements(evidence: &VerifiedEvidence) -> Measurements {
    let pcr = |index: u8| evidence.pcrs()[&index];
    Measurements {
        pcr3: Some(pcr(3)),
        pcr4: Some(pcr(4)),
        pcr8: Some(pcr(8)),
        extra: evidence
            .pcrs()
            .range(16..)
            .map(|(index, pcr)| (*index, *pcr))
            .collect::<BTreeMap<_, _>>(),
        ..Measurements::new(pcr(0), pcr(1), pcr(2))
    }
}

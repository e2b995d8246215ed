//! What an enclave holds: its keys, its module, and so the power to make evidence and receipts.

use std::sync::Mutex;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_TYPE;
use k256::ecdsa::SigningKey;
use nacre_attestation_verifier::{Measurements, Pcr, Policy, Roots};
use nacre_client::Trust;
use nacre_emulator::testing::{DevNsm, Wanted};
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::{Evidence, channel_leaf};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::BootId;
use nacre_protocol::merkle::Hash;
use nacre_protocol::receipt::{
    InferenceReceipt, RequestParts, ResponseParts, SignedReceipt, sign_batch,
};
use nacre_protocol::{INFERENCE_HEADER_LENGTH, RECEIPT_HEADER};
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use super::behaviour::{Asked, Call};
use super::now_ms;

/// The measurements that clients of these tests trust.
pub const HONEST: [[u8; 48]; 3] = [[1; 48], [2; 48], [3; 48]];

/// The function that these enclaves serve, under the name `echo`.
pub fn function() -> Digest {
    Digest::of(b"the function of these tests")
}

/// Trust in a root and the [`HONEST`] measurements.
pub fn trust_in(root_der: &[u8]) -> Trust {
    let [pcr0, pcr1, pcr2] = HONEST.map(Pcr);
    Trust::new(
        Roots::development(root_der.to_vec()).unwrap(),
        Policy::new(vec![Measurements::new(pcr0, pcr1, pcr2)]).unwrap(),
    )
}

/// A TLS key with its self-signed certificate.
#[derive(Debug)]
pub struct TlsIdentity {
    pub(super) key: KeyPair,
    pub(super) certificate: CertificateDer<'static>,
}

impl TlsIdentity {
    /// New ones.
    pub fn generate() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { key, certificate }
    }

    /// What the identity statement says of the key.
    pub fn spki_sha256(&self) -> [u8; 32] {
        Sha256::digest(self.key.subject_public_key_info()).into()
    }
}

/// An enclave's secrets and its module.
#[derive(Debug)]
pub struct Enclave {
    /// Shown in the handshake.
    pub tls: TlsIdentity,
    /// Signs receipts.
    pub receipt_key: SigningKey,
    /// Commits to both.
    pub statement: IdentityStatement,
    nsm: Mutex<DevNsm>,
}

impl Enclave {
    /// Boots an enclave of these measurements under the root that `seed` and `since_ms` make.
    pub fn boot(seed: u64, since_ms: u64, measurements: [[u8; 48]; 3]) -> Self {
        let tls = TlsIdentity::generate();
        let receipt_key = SigningKey::from_slice(&Sha256::digest(tls.spki_sha256())).unwrap();
        let statement = statement_with(tls.spki_sha256(), &receipt_key);
        let nsm = Mutex::new(DevNsm::seeded(seed, measurements, since_ms));
        Self {
            tls,
            receipt_key,
            statement,
            nsm,
        }
    }

    /// One of the [`HONEST`] measurements, with certificates from ten minutes ago.
    pub fn honest() -> Self {
        Self::boot(0, now_ms() - 600_000, HONEST)
    }

    /// Its root.
    pub fn root(&self) -> Vec<u8> {
        self.nsm.lock().unwrap().root_der().to_vec()
    }

    /// Trust in its root and the [`HONEST`] measurements.
    pub fn trust(&self) -> Trust {
        trust_in(&self.root())
    }

    /// A document of this moment with any content.
    pub fn document(
        &self,
        statement: &[u8],
        public_key: &[u8],
        nonce: &[u8],
        at_ms: u64,
    ) -> Vec<u8> {
        let wanted = Wanted {
            user_data: Some(&IdentityStatement::user_data_of(statement)),
            nonce: Some(nonce),
            public_key: Some(public_key),
        };
        self.nsm.lock().unwrap().attest(wanted, at_ms)
    }

    /// Evidence about this enclave for one leaf.
    pub fn evidence_for(&self, leaf: Hash, at_ms: u64) -> Evidence {
        let statement = self.statement.encode();
        let document = self.document(&statement, &self.statement.receipt_key, &leaf, at_ms);
        Evidence {
            document,
            statement,
            leaf_index: 0,
            tree_size: 1,
            path: vec![],
        }
    }

    /// The evidence that was asked for.
    pub fn evidence(&self, asked: &Asked) -> Evidence {
        self.evidence_for(channel_leaf(&asked.nonce, &asked.exporter), now_ms())
    }

    /// The receipt of a call and its answer.
    pub fn receipt(&self, call: &Call, answer: &Response<Bytes>) -> SignedReceipt {
        self.signed(self.claims(call, answer, &call.salt), call.salt)
    }

    /// What a true receipt says, under some salt.
    pub fn claims(
        &self,
        call: &Call,
        answer: &Response<Bytes>,
        salt: &[u8; 32],
    ) -> InferenceReceipt {
        let request = RequestParts {
            method: &call.method,
            path: &call.path,
            content_type: call.header(CONTENT_TYPE.as_str()),
            inference_header_length: call.header(INFERENCE_HEADER_LENGTH),
            body: &call.decoded,
        };
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map_or("", |value| value.to_str().unwrap())
        };
        let status = answer.status().as_u16();
        let response = ResponseParts {
            status,
            content_type: header(CONTENT_TYPE.as_str()),
            inference_header_length: header(INFERENCE_HEADER_LENGTH),
            body: answer.body(),
        };
        InferenceReceipt {
            function_digest: function(),
            request_hash: request.hash(salt),
            response_hash: response.hash(salt),
            started_ms: now_ms(),
            compute_micros: 17,
            status,
        }
    }

    /// Signs any claims.
    pub fn signed(&self, claims: InferenceReceipt, salt: [u8; 32]) -> SignedReceipt {
        sign_batch(&self.receipt_key, &[(claims, salt)])
            .unwrap()
            .remove(0)
    }

    /// The answer with its receipt.
    pub fn prove(&self, call: &Call, mut answer: Response<Bytes>) -> Response<Bytes> {
        let receipt = self.receipt(call, &answer).to_header();
        answer
            .headers_mut()
            .insert(RECEIPT_HEADER, receipt.parse().unwrap());
        answer
    }
}

/// A statement over these keys, of a new boot.
pub fn statement_with(tls_spki_sha256: [u8; 32], receipt_key: &SigningKey) -> IdentityStatement {
    let point = receipt_key.verifying_key().to_sec1_point(false);
    IdentityStatement {
        tls_spki_sha256,
        receipt_key: point.as_bytes()[1..].try_into().unwrap(),
        hpke_key: [3; 32],
        boot_id: BootId::from_random([4; 16]),
    }
}

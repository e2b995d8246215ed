//! From what the platform gives to an answer that a contract will take: nothing is paid for before all of this holds.
//!
//! 1. What was signed is in its one encoding, and names the request's input and this very output: the answer's body, or where
//!    the input was sealed, the sealed result, which only the requester can open.
//! 2. An enclave's own evidence, over a connection to it, verifies under the pinned root and the policy, and vouches for
//!    the key that signed.
//! 3. The enclave's image is the one that the registry has for this key, and the one that the requester wants.
//! 4. The key is registered, and valid now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use nacre_attestation_verifier::UnixMillis;
use nacre_chain::error::ChainError;
use nacre_client::{AttestedClient, AttestedEnclave, ClientOptions, Endpoint, Trust};
use nacre_protocol::api::Function;
use nacre_protocol::chain_job::{CarriedHashes, ChainTerms, SignedChainResult};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::{EthAddress, point};
use nacre_protocol::ids::FunctionName;
use nacre_protocol::job::{JobResult, JobSyntaxError};
use nacre_protocol::sealed::SealedResult;

use crate::node::Node;
use crate::platform::{Carried, Platform, PlatformError};
use crate::reason::Reason;
use crate::request::ChainJob;
use crate::store::Answer;

/// Why an answer is not one, or not yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It never will be; another attempt may have another.
    #[error("{reason}: {why}")]
    Refused {
        /// Kept where no other attempt is left.
        reason: Reason,
        /// For the log.
        why: String,
    },
    /// It may be later.
    #[error("{reason}: {why}")]
    NotYet {
        /// What is missing.
        reason: Reason,
        /// For the log.
        why: String,
    },
    /// The platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The node.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Checks answers, and remembers enclaves whose evidence was checked while it is fresh.
#[derive(Debug)]
pub struct Prover {
    trust: Trust,
    enclaves: Mutex<HashMap<EthAddress, Arc<AttestedEnclave>>>,
}

/// Enclaves that are remembered at most.
const REMEMBERED: usize = 1_024;

impl Prover {
    /// Under this root and policy.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            enclaves: Mutex::default(),
        }
    }

    /// The root's SHA-256, as the registry has it.
    pub fn root_id(&self) -> [u8; 32] {
        *Digest::of(self.trust.roots().der()).as_bytes()
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`ProofError`].
    pub async fn prove(
        &self,
        job: &ChainJob,
        terms: ChainTerms,
        name: &FunctionName,
        carried: &Carried,
        platform: &Platform,
        node: &Node,
    ) -> Result<Answer, ProofError> {
        let request = &job.request;
        let header = carried.chain_result.as_deref();
        let header = header.ok_or_else(|| wrong("nothing was signed for the contract"))?;
        let signed =
            SignedChainResult::from_header(header).map_err(|error| wrong(&error.to_string()))?;
        let (status, output) = output(carried)?;
        let hashes = CarriedHashes {
            input: request.input_hash,
            output: Digest::of(output),
            status,
        };
        let signer = signed.signer(terms, request.function);
        let signer = signer.ok_or_else(|| wrong("nobody signed it"))?;
        let enclave = self
            .enclave(signer, &request.function, name, platform)
            .await?;
        signed
            .verify(
                &enclave.statement().receipt_key,
                terms,
                request.function,
                &hashes,
            )
            .map_err(|error| wrong(&format!("{}: {error}", error.code())))?;
        check_image(&enclave, signer, &request.image, node).await?;
        Ok(Answer {
            status: signed.status.number(),
            executed_ms: signed.executed_ms,
            payee: terms.payee,
            signer,
            output: output.to_vec(),
            signature: signed.signature.to_vec(),
        })
    }

    /// The enclave whose receipt key this is, by evidence that is fresh.
    async fn enclave(
        &self,
        key: EthAddress,
        function: &Digest,
        name: &FunctionName,
        platform: &Platform,
    ) -> Result<Arc<AttestedEnclave>, ProofError> {
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let endpoints = endpoints(&platform.function(name).await?);
        let mut why = "no node of the function has this key".to_owned();
        let mut refused = false;
        for endpoint in endpoints {
            let options = ClientOptions::default();
            let client =
                AttestedClient::new(self.trust.clone(), Some(*function), vec![endpoint], options);
            match client.attest().await {
                Ok(enclave) => {
                    if let Some(address) = address_of(&enclave) {
                        self.remember(address, &enclave);
                    }
                    if let Some(known) = self.known(&key) {
                        return Ok(known);
                    }
                }
                Err(error) => {
                    refused |= error.result_code().is_some();
                    why = format!("{}: {error}", error.code());
                }
            }
        }
        let reason = Reason::EvidenceRefused;
        Err(match refused {
            true => ProofError::Refused { reason, why },
            false => ProofError::NotYet { reason, why },
        })
    }

    fn known(&self, key: &EthAddress) -> Option<Arc<AttestedEnclave>> {
        let enclaves = self.enclaves.lock().unwrap_or_else(PoisonError::into_inner);
        let enclave = enclaves
            .get(key)
            .filter(|enclave| enclave.is_fresh(&self.trust, now()));
        enclave.cloned()
    }

    fn remember(&self, key: EthAddress, enclave: &Arc<AttestedEnclave>) {
        let mut enclaves = self.enclaves.lock().unwrap_or_else(PoisonError::into_inner);
        if enclaves.len() >= REMEMBERED {
            enclaves.retain(|_, enclave| enclave.is_fresh(&self.trust, now()));
        }
        if enclaves.len() < REMEMBERED {
            enclaves.insert(key, enclave.clone());
        }
    }
}

/// The registry's word for the key must be the document's for the image.
async fn check_image(
    enclave: &AttestedEnclave,
    key: EthAddress,
    wanted: &[u8; 32],
    node: &Node,
) -> Result<(), ProofError> {
    let registered = match node.worker(&key, wanted).await {
        Ok(registered) => registered,
        Err(ChainError::Refused(refusal)) => return Err(unregistered(refusal.code(), &refusal)),
        Err(error) => return Err(error.into()),
    };
    let image = enclave.trusted().evidence().image();
    let image = image.map_err(|error| ProofError::Refused {
        reason: Reason::ImageNotApproved,
        why: error.to_string(),
    })?;
    match image.id() == registered.image {
        true => Ok(()),
        false => Err(ProofError::Refused {
            reason: Reason::ImageNotApproved,
            why: "the key is registered for another image than its enclave runs".to_owned(),
        }),
    }
}

/// A key that is no worker's may become one; one of another image, or of a revoked one, will not.
pub(crate) fn unregistered(code: &str, why: &impl ToString) -> ProofError {
    let why = why.to_string();
    match code {
        "other-image" | "image-is-revoked" => ProofError::Refused {
            reason: Reason::ImageNotApproved,
            why,
        },
        "key-is-revoked" => ProofError::Refused {
            reason: Reason::KeyNotRegistered,
            why,
        },
        _ => ProofError::NotYet {
            reason: Reason::KeyNotRegistered,
            why,
        },
    }
}

/// HTTP status and output of a result as it is carried.
fn output(carried: &Carried) -> Result<(u16, &[u8]), ProofError> {
    let malformed = |error: JobSyntaxError| wrong(&error.to_string());
    let bytes = &carried.bytes;
    Ok(match carried.is_sealed {
        true => {
            let sealed = SealedResult::decode(bytes).map_err(malformed)?;
            (sealed.status, bytes)
        }
        false => {
            let result = JobResult::decode(bytes).map_err(malformed)?;
            (result.status, result.body)
        }
    })
}

fn endpoints(function: &Function) -> Vec<Endpoint> {
    let nodes = function.routes.iter().flat_map(|route| &route.nodes);
    nodes
        .filter_map(|node| node.endpoint.parse().ok())
        .collect()
}

fn address_of(enclave: &AttestedEnclave) -> Option<EthAddress> {
    let key = point(&enclave.statement().receipt_key)?;
    Some(EthAddress::of_key(&key))
}

fn wrong(why: &str) -> ProofError {
    ProofError::Refused {
        reason: Reason::AnswerRefused,
        why: why.to_owned(),
    }
}

fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMillis(now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX)))
}

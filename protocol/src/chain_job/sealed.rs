//! What a contract's job is sealed for.

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::eip712::EthAddress;
use crate::ids::JobId;
use crate::job::JobTerms;
use crate::verified_enclave::ContractDomain;

const LABEL: &[u8] = b"nacre/chain-sealed-job/v1";

/// The terms that a contract's sealed input is bound to (see [`crate::sealed`]): function, deadline, and the platform's id for
/// the job.
///
/// The contract has an id for a job once its input is known; a sealed input is made for a job that has one. So the platform's
/// id follows from what is known before, and from whom it cannot be taken: it is the first 16 bytes of SHA-256(label ‖ chain
/// id ‖ contract ‖ requester ‖ result public key), the chain's id as a word of 32 bytes. Nobody else's request has the same
/// requester, and a requester draws a result key for each job. `deadline` is the request's, Unix seconds.
pub fn sealed_terms(
    contract: &ContractDomain,
    requester: &EthAddress,
    function: Digest,
    deadline: u64,
    result_key: &[u8; 32],
) -> JobTerms {
    let hash = Sha256::new()
        .chain_update(LABEL)
        .chain_update(contract.chain_id.word())
        .chain_update(contract.verifying_contract.as_bytes())
        .chain_update(requester.as_bytes())
        .chain_update(result_key)
        .finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    JobTerms {
        job: JobId::from_random(id),
        function,
        deadline_ms: deadline.saturating_mul(1000),
    }
}

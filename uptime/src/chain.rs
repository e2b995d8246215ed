//! What a watcher says to the contract `UptimeOracle`, so that its scores count on a chain too.
//!
//! Rows, roots, commitments, salts and nonces are those of this crate, byte for byte. A chain adds one thing: whoever saw a
//! commitment posted elsewhere could post it there as its own. So a contract takes a *seal*, which names the watcher's
//! account, chain and contract, and which nobody makes who does not know the salt.

use nacre_protocol::eip712::{EthAddress, Word, keccak, typed_digest, word};
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::Epoch;
use nacre_protocol::verified_enclave::ContractDomain;

const SEAL_TAG: &[u8] = b"nacre/uptime-seal/v1";
const COMMIT_TYPE: &[u8] = b"UptimeCommit(address watcher,uint64 epoch,bytes32 seal)";

/// What `UptimeOracle.commit` takes: keccak256 of keccak256("nacre/uptime-seal/v1"), chain id, contract, the watcher's
/// account, the epoch's salt and [`nacre_protocol::uptime::commitment`], each one word. Secret salt, public seal.
pub fn seal(
    domain: &ContractDomain,
    watcher: &EthAddress,
    salt: &[u8; 32],
    commitment: &Hash,
) -> Word {
    keccak(&[
        &keccak(&[SEAL_TAG]),
        &domain.chain_id.word(),
        &domain.verifying_contract.word(),
        &watcher.word(),
        salt,
        commitment,
    ])
}

/// The EIP-712 digest that a watcher's account signs, so that somebody else may carry its seal to `UptimeOracle.commitFor`.
pub fn commit_digest(
    domain: &ContractDomain,
    watcher: &EthAddress,
    epoch: Epoch,
    seal: &Word,
) -> Word {
    let message = keccak(&[
        &keccak(&[COMMIT_TYPE]),
        &watcher.word(),
        &word(epoch.0),
        seal,
    ]);
    typed_digest(&domain.separator(), &message)
}

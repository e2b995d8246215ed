//! What the accounts do on chain before anybody can ask. Each step looks first whether it was done by an earlier start.

use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider as _;
use alloy::sol_types::SolConstructor as _;
use nacre_attestation_verifier::{Measurements, Policy};
use nacre_chain::account::{Account, TransactionRequest, call_to};
use nacre_chain::contracts::enclave_registry::ImageList;
use nacre_chain::contracts::{DevToken, DigitGate, EnclaveRegistry, JobRelay, OperatorStaking};
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::error::ChainError;
use nacre_protocol::digest::Digest;

use super::verifier::DevVerifier;

/// The digit that opens the example's door.
pub(super) const WANTED: u8 = 7;

/// What whoever draws it first can collect: 1 ETH.
const PRIZE: u128 = 1_000_000_000_000_000_000;

/// The operator's stake: 10,000 tokens, ten times what is asked of one.
const STAKE: u128 = 10_000 * 1_000_000_000_000_000_000;

/// How long a verifier counts that the owner named, seconds: longer than it lives.
const VERIFIER_LIFE: u64 = 30 * 86_400;

/// `ImageKind` of the registry.
const WORKER: u8 = 1;
const VERIFIER: u8 = 2;

/// Approves the images of workers and of the verifier, and this boot of the verifier.
pub(super) async fn approve(
    owner: &Account,
    deployment: &Deployment,
    policy: &Policy,
    verifier: &DevVerifier,
) -> Result<(), ChainError> {
    for measurements in policy.measurements() {
        approve_image(owner, deployment, measurements, WORKER).await?;
    }
    let image = approve_image(owner, deployment, verifier.measurements(), VERIFIER).await?;
    let registry = deployment.address(Name::EnclaveRegistry);
    let key = Address::from(*verifier.signer().as_bytes());
    let contract = EnclaveRegistry::new(registry, owner.provider());
    if contract.isVerifier(key).call().await? {
        return Ok(());
    }
    let latest = owner.provider().get_block(alloy::eips::BlockId::latest());
    let now = latest.await?.map_or(0, |block| block.header.timestamp);
    let expires = (now + VERIFIER_LIFE)
        .try_into()
        .map_err(|_| ChainError::BadAnswer(format!("a block of the time {now}")))?;
    let propose = EnclaveRegistry::proposeVerifierCall {
        key,
        imageId: image,
        expiresAt: expires,
    };
    owner.send(call_to(registry, &propose)).await?;
    let enrol = EnclaveRegistry::enrolVerifierCall { key };
    owner.send(call_to(registry, &enrol)).await?;
    Ok(())
}

/// Approves an image; gives its id.
async fn approve_image(
    owner: &Account,
    deployment: &Deployment,
    measurements: &Measurements,
    kind: u8,
) -> Result<B256, ChainError> {
    let pcrs = [measurements.pcr0, measurements.pcr1, measurements.pcr2].map(|pcr| pcr.0);
    let id = B256::from(*Digest::of(&pcrs.concat()).as_bytes());
    let registry = deployment.address(Name::EnclaveRegistry);
    let contract = EnclaveRegistry::new(registry, owner.provider());
    if contract.imageOf(id).call().await?.kind == 0 {
        let [pcr0, pcr1, pcr2] = pcrs.map(|pcr| pcr.to_vec().into());
        let propose = EnclaveRegistry::proposeImageCall {
            measurements: ImageList::Measurements { pcr0, pcr1, pcr2 },
            kind,
        };
        owner.send(call_to(registry, &propose)).await?;
    }
    Ok(id)
}

/// Sees to it that the operator has its stake.
pub(super) async fn stake(operator: &Account, deployment: &Deployment) -> Result<(), ChainError> {
    let staking = deployment.address(Name::OperatorStaking);
    let (token, account) = (deployment.stake_token(), operator.address());
    let contract = OperatorStaking::new(staking, operator.provider());
    let amount = U256::from(STAKE);
    if contract.activeStake(account).call().await? >= amount {
        return Ok(());
    }
    let mint = DevToken::mintCall { account, amount };
    operator.send(call_to(token, &mint)).await?;
    let approve = DevToken::approveCall {
        spender: staking,
        value: amount,
    };
    operator.send(call_to(token, &approve)).await?;
    let stake = OperatorStaking::stakeCall { account, amount };
    operator.send(call_to(staking, &stake)).await?;
    Ok(())
}

/// Says that operators serve the function: two terms later its jobs can be assured.
pub(super) async fn serve(
    owner: &Account,
    deployment: &Deployment,
    function: Digest,
) -> Result<(), ChainError> {
    let relay = deployment.address(Name::JobRelay);
    let digest = B256::from(*function.as_bytes());
    let contract = JobRelay::new(relay, owner.provider());
    if contract.servedFrom(digest).call().await?.is_zero() {
        let serve = JobRelay::serveCall {
            digest,
            served: true,
        };
        owner.send(call_to(relay, &serve)).await?;
    }
    Ok(())
}

/// The contract that opens for a digit: the kept one where it asks this very function, or a new one.
pub(super) async fn gate(
    user: &Account,
    deployment: &Deployment,
    function: Digest,
    kept: Option<Address>,
) -> Result<Address, ChainError> {
    let digest = B256::from(*function.as_bytes());
    if let Some(kept) = kept
        && !user.provider().get_code_at(kept).await?.is_empty()
        && DigitGate::new(kept, user.provider())
            .FUNCTION_DIGEST()
            .call()
            .await?
            == digest
    {
        return Ok(kept);
    }
    let arguments = DigitGate::constructorCall {
        relay: deployment.address(Name::JobRelay),
        functionDigest: digest,
        wanted: WANTED,
    };
    let code = [DigitGate::BYTECODE.as_ref(), &arguments.abi_encode()].concat();
    let deploy = TransactionRequest::default()
        .with_deploy_code(code)
        .with_value(U256::from(PRIZE));
    let done = user.send(deploy).await?;
    let address = done.receipt.contract_address;
    address.ok_or_else(|| ChainError::BadAnswer("a deployment without an address".to_owned()))
}

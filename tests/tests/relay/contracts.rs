//! The contracts on a chain, a platform's enclave whose key is registered there, and operators' stake.

use std::path::Path;

use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider as _;
use alloy::signers::SignerSync as _;
use alloy::sol_types::SolCall;
use anyhow::{Context as _, ensure};
use nacre_attestation_verifier::{Policy, Roots};
use nacre_chain::account::{Account, Patience, call_to};
use nacre_chain::contracts::enclave_registry::{self, ImageList};
use nacre_chain::contracts::{DevToken, EnclaveRegistry, JobRelay, OperatorStaking};
use nacre_chain::deploy::deploy;
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::rpc::connect;
use nacre_chain::settings::Settings;
use nacre_chain::wallet::Wallet;
use nacre_protocol::control::{AskConsent, Consent};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::verified_enclave::{ContractDomain, VerifiedEnclave};
use nacre_tests::http::ask_socket;
use nacre_tests::platform::Platform;

use crate::net::{Net, OWNER, account, now_s};

/// What an operator stakes.
pub(crate) const STAKE: u128 = 1_000;
/// What it loses where it is late.
pub(crate) const LATE: u128 = 50;

/// How long things take, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// A term of the draw.
    pub(crate) term: u64,
    /// How long a block's jobs wait for links.
    pub(crate) reveal: u64,
    /// How long a job is the drawn operator's alone.
    pub(crate) exclusive: u64,
    /// How long a key of an enclave is valid.
    pub(crate) key_lifetime: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            term: 3_600,
            reveal: 5,
            exclusive: 10,
            key_lifetime: 86_400,
        }
    }
}

/// Contracts and the account that deployed them.
pub(crate) struct Contracts {
    pub(crate) deployment: Deployment,
    owner: Account,
}

impl Contracts {
    /// Deploys them as `nacre chain deploy` does.
    pub(crate) async fn deploy(
        net: &Net,
        root_id: [u8; 32],
        times: Times,
        path: &Path,
    ) -> anyhow::Result<Self> {
        let wallet = account(OWNER)?;
        let second = Address::repeat_byte(2);
        let mut settings = Settings::development(wallet.address(), second, B256::from(root_id));
        settings.staking.bounty_ppm = 200_000;
        settings.registry.key_lifetime_seconds = times.key_lifetime;
        settings.relay.exclusive_seconds = times.exclusive;
        settings.relay.term_seconds = times.term;
        settings.relay.reveal_seconds = times.reveal;
        settings.relay.min_stake = STAKE;
        settings.relay.late_penalty = LATE;
        settings.relay.withhold_penalty = 2 * LATE;
        settings.relay.eth_floor = 0;
        let provider = connect(&net.rpc(), None)?;
        let owner = Account::new(provider, wallet, Patience::new(true)).await?;
        let deployment = deploy(&owner, settings, path, &mut drop).await?;
        Ok(Self { deployment, owner })
    }

    pub(crate) fn at(&self, name: Name) -> Address {
        self.deployment.address(name)
    }

    /// Approves the platform's image, and has the enclave's key registered by its operator, who is this account.
    pub(crate) async fn register(
        &self,
        net: &Net,
        platform: &Platform,
        operator: usize,
    ) -> anyhow::Result<()> {
        let registry = self.at(Name::EnclaveRegistry);
        let (worker, other) = (image(platform)?, [vec![1; 48], vec![2; 48], vec![3; 48]]);
        for (pcrs, kind) in [(&worker, 1), (&other, 2)] {
            let [pcr0, pcr1, pcr2] = pcrs.clone().map(Into::into);
            let measurements = ImageList::Measurements { pcr0, pcr1, pcr2 };
            self.send(
                registry,
                &EnclaveRegistry::proposeImageCall { measurements, kind },
            )
            .await?;
        }
        let key = verifier().address();
        let propose = EnclaveRegistry::proposeVerifierCall {
            key,
            imageId: B256::from(image_id(&other)),
            expiresAt: U40::saturating_from(now_s()? + 7 * 86_400),
        };
        self.send(registry, &propose).await?;
        self.send(registry, &EnclaveRegistry::enrolVerifierCall { key })
            .await?;
        self.bring(net, platform, operator).await
    }

    /// Has the enclave's key registered, or prolonged.
    pub(crate) async fn bring(
        &self,
        net: &Net,
        platform: &Platform,
        operator: usize,
    ) -> anyhow::Result<()> {
        let registry = self.at(Name::EnclaveRegistry);
        let wallet = account(operator)?;
        let operator = EthAddress::from_bytes(wallet.address().into_array());
        let domain = ContractDomain {
            chain_id: net.provider.get_chain_id().await?.try_into()?,
            verifying_contract: EthAddress::from_bytes(registry.into_array()),
        };
        let ask = AskConsent {
            operator,
            chain_id: domain.chain_id,
            registry: domain.verifying_contract,
        };
        let body = serde_json::to_vec(&ask)?;
        let answer = ask_socket(&platform.control_socket()?, "POST", "/v1/consent", &body)?;
        let consent: Consent = serde_json::from_slice(&answer.body)?;
        let head = net.provider.get_block_by_number(Default::default());
        let now = head.await?.context("no block")?.header.timestamp;
        let enclave = VerifiedEnclave {
            root_id: root_id(platform)?,
            image_id: image_id(&image(platform)?),
            receipt_key: consent.receipt_key,
            operator,
            user_data: [5; 32],
            timestamp_ms: now * 1000,
            expires_ms: (now_s()? + 86_400) * 1000,
        };
        let digest = B256::from(enclave.digest(&domain));
        let signature = verifier().signer().sign_hash_sync(&digest)?;
        let told = enclave_registry::EnclaveRegistry::VerifiedEnclave {
            rootId: B256::from(enclave.root_id),
            imageId: B256::from(enclave.image_id),
            receiptKey: Address::from(*enclave.receipt_key.as_bytes()),
            operator: wallet.address(),
            userData: B256::from(enclave.user_data),
            timestampMs: enclave.timestamp_ms,
            expiresMs: enclave.expires_ms,
        };
        let call = EnclaveRegistry::registerCall {
            enclave: told,
            verifierSignature: signature.as_bytes().to_vec().into(),
            consent: consent.consent.as_bytes().to_vec().into(),
        };
        let provider = connect(&net.rpc(), None)?;
        let account = Account::new(provider, wallet, Patience::new(true)).await?;
        let done = account.send(call_to(registry, &call)).await?;
        ensure!(done.receipt.status(), "the registry refused");
        Ok(())
    }

    /// Stakes for an account.
    pub(crate) async fn stake(&self, of: usize) -> anyhow::Result<()> {
        let (token, staking) = (
            self.deployment.stake_token(),
            self.at(Name::OperatorStaking),
        );
        let amount = U256::from(STAKE);
        let (minted, spender) = (self.owner.address(), staking);
        let mint = DevToken::mintCall {
            account: minted,
            amount,
        };
        self.send(token, &mint).await?;
        let approve = DevToken::approveCall {
            spender,
            value: amount,
        };
        self.send(token, &approve).await?;
        let stake = OperatorStaking::stakeCall {
            account: account(of)?.address(),
            amount,
        };
        self.send(staking, &stake).await
    }

    /// What an account has at stake.
    pub(crate) async fn stake_of(&self, of: usize) -> anyhow::Result<U256> {
        let staking = OperatorStaking::new(self.at(Name::OperatorStaking), self.owner.provider());
        Ok(staking.activeStake(account(of)?.address()).call().await?)
    }

    /// Says that operators vouch for a function. It counts after two terms.
    pub(crate) async fn vouch(&self, function: &Digest) -> anyhow::Result<()> {
        let serve = JobRelay::serveCall {
            digest: B256::from(*function.as_bytes()),
            served: true,
        };
        self.send(self.at(Name::JobRelay), &serve).await
    }

    async fn send(&self, to: Address, call: &impl SolCall) -> anyhow::Result<()> {
        let done = self.owner.send(call_to(to, call)).await?;
        ensure!(done.receipt.status(), "it was refused");
        Ok(())
    }
}

/// The verifier whose word the registry takes here.
fn verifier() -> Wallet {
    Wallet::development([9; 32]).unwrap()
}

fn image(platform: &Platform) -> anyhow::Result<[Vec<u8>; 3]> {
    let policy = Policy::from_json(&std::fs::read(platform.ready("policy"))?)?;
    let measured = policy.measurements().first().context("no measurements")?;
    Ok([measured.pcr0, measured.pcr1, measured.pcr2].map(|pcr| pcr.0.to_vec()))
}

/// SHA-256 of the platform's root.
pub(crate) fn root_id(platform: &Platform) -> anyhow::Result<[u8; 32]> {
    let roots = Roots::from_pem_or_der(&std::fs::read(platform.ready("root"))?)?;
    Ok(*Digest::of(roots.der()).as_bytes())
}

fn image_id(pcrs: &[Vec<u8>; 3]) -> [u8; 32] {
    *Digest::of(&pcrs.concat()).as_bytes()
}

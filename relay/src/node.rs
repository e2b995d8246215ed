//! The Ethereum node, or several, as the relay uses them: the chain's events ([`Source`](crate::follow::Source)), the draw,
//! and everything that sending needs.

use alloy::consensus::BlockHeader as _;
use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::{DynProvider, Provider as _};
use alloy_rpc_types_eth::{Block, TransactionRequest};
use nacre_chain::contracts::job_relay::IJobRelay;
use nacre_chain::contracts::{EnclaveRegistry, JobRelay};
use nacre_chain::error::ChainError;
use nacre_protocol::chain_job::ChainJobId;
use nacre_protocol::eip712::{EthAddress, Word};

use crate::request::{ChainJob, Contract};
use crate::store::Answer;
use crate::worth::Market;

mod draw;
mod events;

pub use draw::Moment;

/// The contracts, through nodes.
#[derive(Debug, Clone)]
pub struct Node {
    provider: DynProvider,
    relay: JobRelay::JobRelayInstance<DynProvider>,
    registry: EnclaveRegistry::EnclaveRegistryInstance<DynProvider>,
}

/// Whose turn a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The drawn operator; none where nobody was drawn, or not yet.
    pub operator: Option<EthAddress>,
    /// The last second in which it is the operator's alone, or waits for the draw; 0: it is anybody's.
    pub until: u64,
}

/// What the registry says of a key that it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Whom it works for.
    pub operator: EthAddress,
    /// What it runs.
    pub image: Word,
}

/// A transaction in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mined {
    /// Which block.
    pub block: u64,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// What it cost, wei.
    pub cost: u128,
    /// Where it went.
    pub to: Option<EthAddress>,
}

impl Node {
    /// The `JobRelay` at this address and its registry, checked to be there.
    ///
    /// # Errors
    ///
    /// The node cannot be asked, or there is no such contract.
    pub async fn new(provider: DynProvider, relay: EthAddress) -> Result<Self, ChainError> {
        let relay = JobRelay::new(address(&relay), provider.clone());
        let registry = relay.REGISTRY().call().await?;
        Ok(Self {
            registry: EnclaveRegistry::new(registry, provider.clone()),
            relay,
            provider,
        })
    }

    /// The chain's id.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn chain_id(&self) -> Result<u64, ChainError> {
        Ok(self.provider.get_chain_id().await?)
    }

    /// SHA-256 of the root that the registry trusts.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn root_id(&self) -> Result<Word, ChainError> {
        Ok(self.registry.ROOT_ID().call().await?.0)
    }

    /// Whose turn a job is.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn turn(&self, job: &ChainJobId) -> Result<Turn, ChainError> {
        let turn = self.relay.assignedTo(number(job)).call().await?;
        let operator =
            Some(eth(turn.operator)).filter(|operator| *operator != crate::request::ZERO);
        Ok(Turn {
            operator,
            until: u64::try_from(turn.until).unwrap_or(u64::MAX),
        })
    }

    /// What is registered of a key that may answer for this image (zero: any) right now.
    ///
    /// # Errors
    ///
    /// The node cannot be asked; `Refused` where the key may not.
    pub async fn worker(&self, key: &EthAddress, image: &Word) -> Result<Registered, ChainError> {
        let key = address(key);
        let operator = self
            .registry
            .workerOperator(key, B256::from(*image))
            .call()
            .await?;
        let known = self.registry.workerOf(key).call().await?;
        Ok(Registered {
            operator: eth(operator),
            image: known.imageId.0,
        })
    }

    /// What gas costs now.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn market(&self) -> Result<Market, ChainError> {
        let head = self.block(BlockNumberOrTag::Latest).await?;
        let base = head.and_then(|head| head.header.base_fee_per_gas());
        let tip = self.provider.get_max_priority_fee_per_gas().await?;
        Ok(Market {
            base: base.unwrap_or_default().into(),
            tip,
        })
    }

    /// How much gas a call takes in the pending block.
    ///
    /// # Errors
    ///
    /// The node cannot be asked; `Refused` where the contract refuses.
    pub async fn estimate(
        &self,
        from: EthAddress,
        to: EthAddress,
        data: Vec<u8>,
    ) -> Result<u64, ChainError> {
        let call = TransactionRequest::default()
            .with_from(address(&from))
            .with_to(address(&to))
            .with_input(data);
        // Where somebody's answer is in the pending block already, this says so at no cost.
        let estimate = self.provider.estimate_gas(call).block(BlockId::pending());
        Ok(estimate.await?)
    }

    /// Nonces that an account has used, up to a block or the latest.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn nonces(&self, of: EthAddress, at: Option<u64>) -> Result<u64, ChainError> {
        let at = at.map_or(BlockId::latest(), BlockId::number);
        let count = self
            .provider
            .get_transaction_count(address(&of))
            .block_id(at);
        Ok(count.await?)
    }

    /// A transaction, where it is in a block.
    ///
    /// # Errors
    ///
    /// The node cannot be asked.
    pub async fn mined(&self, hash: &Word) -> Result<Option<Mined>, ChainError> {
        let receipt = self
            .provider
            .get_transaction_receipt(B256::from(*hash))
            .await?;
        Ok(receipt.and_then(|receipt| {
            Some(Mined {
                block: receipt.block_number?,
                succeeded: receipt.status(),
                cost: receipt
                    .effective_gas_price
                    .saturating_mul(receipt.gas_used.into()),
                to: receipt.to.map(eth),
            })
        }))
    }

    /// Sends a signed transaction. Nodes that know it already say so; that is no error here.
    ///
    /// # Errors
    ///
    /// The node cannot be asked, or refuses it.
    pub async fn send(&self, raw: &[u8]) -> Result<(), ChainError> {
        match self
            .provider
            .send_raw_transaction(raw)
            .await
            .map_err(ChainError::from)
        {
            Ok(_) => Ok(()),
            Err(ChainError::Node { message, .. }) if is_known(&message) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The call that brings an answer.
    pub fn submission(&self, job: &ChainJob, answer: &Answer) -> Vec<u8> {
        let result = IJobRelay::Result {
            status: answer.status,
            executedMs: answer.executed_ms,
            payee: address(&answer.payee),
        };
        let (output, signature) = (
            answer.output.clone().into(),
            answer.signature.clone().into(),
        );
        let call = self.relay.submit(abi(job), result, output, signature);
        call.calldata().to_vec()
    }

    async fn block(&self, at: BlockNumberOrTag) -> Result<Option<Block>, ChainError> {
        Ok(self.provider.get_block_by_number(at).await?)
    }
}

fn abi(job: &ChainJob) -> IJobRelay::Job {
    let request = &job.request;
    IJobRelay::Job {
        requester: address(&job.requester),
        nonce: job.nonce,
        request: IJobRelay::Request {
            functionDigest: B256::from(*request.function.as_bytes()),
            imageId: B256::from(request.image),
            inputHash: B256::from(*request.input_hash.as_bytes()),
            callback: address(&request.callback),
            callbackGas: request.callback_gas,
            deadline: request.deadline.try_into().unwrap_or_default(),
            token: address(&request.token),
            fee: request.fee.try_into().unwrap_or_default(),
        },
    }
}

/// What several makes of node say of a transaction that they have.
fn is_known(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "already known",
        "already imported",
        "known transaction",
        "already in mempool",
    ]
    .iter()
    .any(|words| message.contains(words))
}

fn number(id: &ChainJobId) -> U256 {
    U256::from_be_bytes(id.word())
}

/// As `alloy` has it.
pub(crate) fn address(address: &EthAddress) -> Address {
    Address::from(*address.as_bytes())
}

/// As we have it.
pub(crate) fn eth(address: Address) -> EthAddress {
    EthAddress::from_bytes(address.into_array())
}

/// The contract, as its jobs' ids name it.
///
/// # Errors
///
/// The chain has no id.
pub fn contract(chain_id: u64, address: EthAddress) -> Result<Contract, ChainError> {
    let chain_id = chain_id.try_into();
    let chain_id = chain_id.map_err(|_| ChainError::BadAnswer("the chain has no id".to_owned()))?;
    Ok(Contract { chain_id, address })
}

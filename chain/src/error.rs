//! Why something on chain was not done.

use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::transports::{RpcError as AlloyError, TransportError, TransportErrorKind};

use crate::refusal::Refusal;
use crate::rpc::RpcError;

/// Why something on chain was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The addresses of the nodes make no sense.
    #[error("{reason}")]
    BadRpc {
        /// What is wrong.
        reason: String,
    },
    /// The nodes gave no answer that counts.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// A node answered with an error of its own.
    #[error("the Ethereum node refused: {message} ({code})")]
    Node {
        /// JSON-RPC's code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// An answer is not what was asked for.
    #[error("the Ethereum node's answer makes no sense: {0}")]
    BadAnswer(String),
    /// A contract refused.
    #[error("the contract refused: {0}")]
    Refused(Refusal),
    /// Another chain than the one that was meant.
    #[error("the node is on chain {found}, the deployment on chain {wanted}")]
    WrongChain {
        /// The deployment's.
        wanted: u64,
        /// The node's.
        found: u64,
    },
    /// No contract, or another one, where one should be.
    #[error("{name} at {address}: {reason}")]
    WrongCode {
        /// Which contract.
        name: String,
        /// Where.
        address: Address,
        /// What is there instead.
        reason: &'static str,
    },
    /// The account cannot pay.
    #[error("{account} has {has} wei, and this may take up to {needs} wei")]
    InsufficientFunds {
        /// Whose.
        account: Address,
        /// What it has, wei.
        has: U256,
        /// Value and gas at the highest price, wei.
        needs: U256,
    },
    /// A transaction did not make it in time. It still can.
    #[error("transaction {hash} was not confirmed within {} s; it may be yet", .within.as_secs())]
    NotConfirmed {
        /// Which.
        hash: B256,
        /// How long was waited.
        within: Duration,
    },
    /// Another transaction of the account took its place.
    #[error(
        "transaction {hash} cannot be mined any more: another one of {account} took nonce {nonce}"
    )]
    Replaced {
        /// Which.
        hash: B256,
        /// Whose.
        account: Address,
        /// The nonce both have.
        nonce: u64,
    },
    /// The key's file.
    #[error("{}: {reason}", .path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The deployment's file.
    #[error("{}: {reason}", .path.display())]
    DeploymentFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Settings that a deployment cannot have.
    #[error("settings: {0}")]
    Settings(String),
    /// The development chain's program.
    #[error(
        "anvil is not installed: run `make contracts` (or `npm ci --ignore-scripts` in relay-contracts), put it on the path, or name it in NACRE_ANVIL"
    )]
    AnvilMissing,
    /// The development chain.
    #[error("anvil: {0}")]
    Anvil(String),
    /// What a job was to be asked with.
    #[error("{0}")]
    Input(String),
    /// The relay never took such a job.
    #[error("there is no job {job} at this relay")]
    NoSuchJob {
        /// Which.
        job: U256,
    },
    /// Nobody began such a subscription.
    #[error("there is no subscription {subscription}")]
    NoSuchSubscription {
        /// Which.
        subscription: u64,
    },
    /// The deadline passed, or the fee was taken back.
    #[error("nobody answered job {job} in time; `nacre chain cancel` takes its fee back")]
    NotAnswered {
        /// Which.
        job: U256,
    },
    /// What was done cannot be printed.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

impl ChainError {
    /// Stable kebab-case code; of a refusal the contract's own error, such as `deadline-passed`.
    pub fn code(&self) -> &str {
        match self {
            Self::BadRpc { .. } => "rpc-invalid",
            Self::Rpc(error) => error.code(),
            Self::Node { .. } => "rpc-refused",
            Self::BadAnswer(_) => "rpc-bad-answer",
            Self::Refused(refusal) => refusal.code(),
            Self::WrongChain { .. } => "wrong-chain",
            Self::WrongCode { .. } => "wrong-code",
            Self::InsufficientFunds { .. } => "insufficient-funds",
            Self::NotConfirmed { .. } => "not-confirmed",
            Self::Replaced { .. } => "transaction-replaced",
            Self::KeyFile { .. } => "key-file",
            Self::DeploymentFile { .. } => "deployment-file",
            Self::Settings(_) => "settings-invalid",
            Self::AnvilMissing => "anvil-missing",
            Self::Anvil(_) => "anvil",
            Self::Input(_) => "input",
            Self::NoSuchJob { .. } => "no-such-job",
            Self::NoSuchSubscription { .. } => "no-such-subscription",
            Self::NotAnswered { .. } => "not-answered",
            Self::Output(_) => "file",
        }
    }

    /// Whether asking again may help: the nodes failed, not the request.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Rpc(_) | Self::BadAnswer(_) | Self::NotConfirmed { .. }
        )
    }
}

impl From<TransportError> for ChainError {
    fn from(error: TransportError) -> Self {
        match error {
            AlloyError::ErrorResp(payload) => {
                let data = payload
                    .data
                    .as_ref()
                    .and_then(|data| revert_data(data.get()));
                let reverted = payload.message.to_lowercase().contains("revert");
                if reverted || data.is_some() {
                    return Self::Refused(Refusal::of(&data.unwrap_or_default()));
                }
                Self::Node {
                    code: payload.code,
                    message: payload.message.into_owned(),
                }
            }
            AlloyError::Transport(TransportErrorKind::Custom(cause)) => {
                match cause.downcast::<RpcError>() {
                    Ok(error) => Self::Rpc(*error),
                    Err(other) => Self::BadAnswer(other.to_string()),
                }
            }
            other => Self::BadAnswer(other.to_string()),
        }
    }
}

impl From<alloy::contract::Error> for ChainError {
    fn from(error: alloy::contract::Error) -> Self {
        match error {
            alloy::contract::Error::TransportError(error) => error.into(),
            other => Self::BadAnswer(other.to_string()),
        }
    }
}

/// What a contract reverted with: a string of hex in the error's data, or in an object there.
fn revert_data(data: &str) -> Option<Bytes> {
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    let text = data.as_str().or_else(|| data.get("data")?.as_str())?;
    text.strip_prefix("0x")
        .and_then(|hex| hex::decode(hex).ok())
        .map(Bytes::from)
}

//! Ethereum nodes, none of which is trusted to answer at all: several addresses, a time limit and a size limit on each
//! answer, the next one where one fails; and, where it is asked for, reads that count only when several agree.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use nacre_chain::contracts::JobRelay;
//! use nacre_chain::rpc::{Rpc, connect};
//!
//! let provider = connect(&Rpc::new(["https://one.example".parse()?, "https://two.example".parse()?]), None)?;
//! let relay = JobRelay::new("0x5FbDB2315678afecb367f032d93F642f64180aa3".parse()?, provider);
//! println!("{}", relay.MIN_STAKE().call().await?);
//! # Ok(())
//! # }
//! ```

use std::num::NonZeroUsize;
use std::time::Duration;

use alloy::network::EthereumWallet;
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::rpc::client::RpcClient;
use url::Url;

use crate::error::ChainError;
use crate::wallet::Wallet;

mod endpoint;
mod gather;
mod quorum;
mod transport;

pub use endpoint::EndpointError;
use transport::Endpoints;
pub use transport::RpcError;

/// The longest answer that is read where nothing else is said: 16 MiB.
pub const MAX_ANSWER: usize = 16 << 20;

/// How long a node may take to answer where nothing else is said.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Which nodes, and how far they are believed.
#[derive(Debug, Clone)]
pub struct Rpc {
    /// Their addresses, http or https; the first that works is asked first.
    pub urls: Vec<Url>,
    /// How long each may take to answer one request.
    pub time_limit: Duration,
    /// The longest answer that is read, in bytes.
    pub max_answer: usize,
    /// How many nodes must agree on what is read; `None`: one is believed.
    ///
    /// What can be compared is: state at a block, logs, blocks, receipts. The latest block is the latest that this many
    /// nodes have; `latest` in a read means that one. Estimates and prices are any one node's word. Transactions go to all.
    pub quorum: Option<NonZeroUsize>,
}

impl Rpc {
    /// Believes any one of these nodes, with the usual limits.
    pub fn new(urls: impl IntoIterator<Item = Url>) -> Self {
        Self {
            urls: urls.into_iter().collect(),
            time_limit: TIME_LIMIT,
            max_answer: MAX_ANSWER,
            quorum: None,
        }
    }

    /// Believes what `quorum` nodes agree on.
    #[must_use]
    pub fn with_quorum(mut self, quorum: NonZeroUsize) -> Self {
        self.quorum = Some(quorum);
        self
    }

    /// Whether every node is on this machine: then it can be asked often.
    pub fn is_local(&self) -> bool {
        self.urls.iter().all(|url| match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        })
    }

    fn check(&self) -> Result<(), ChainError> {
        let wrong = |reason: String| Err(ChainError::BadRpc { reason });
        if self.urls.is_empty() {
            return wrong("no address of an Ethereum node was given".to_owned());
        }
        if let Some(url) = self
            .urls
            .iter()
            .find(|url| !matches!(url.scheme(), "http" | "https"))
        {
            return wrong(format!(
                "{}: is no http or https address",
                endpoint::name_of(url)
            ));
        }
        match self.quorum {
            Some(quorum) if quorum.get() > self.urls.len() => wrong(format!(
                "{quorum} nodes cannot agree where {} were given",
                self.urls.len()
            )),
            _ => Ok(()),
        }
    }
}

/// A provider over these nodes; with a wallet, it signs what is sent.
///
/// Nothing is asked yet. Whoever needs a certain chain checks its id.
///
/// # Errors
///
/// `rpc-invalid` where there is no address, one is not http or https, or fewer than must agree.
pub fn connect(rpc: &Rpc, wallet: Option<&Wallet>) -> Result<DynProvider, ChainError> {
    rpc.check()?;
    let client = RpcClient::new(Endpoints::new(rpc)?, rpc.is_local());
    Ok(match wallet {
        Some(wallet) => ProviderBuilder::new()
            .wallet(EthereumWallet::from(wallet.signer().clone()))
            .connect_client(client)
            .erased(),
        None => ProviderBuilder::new().connect_client(client).erased(),
    })
}

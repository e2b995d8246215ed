//! The whole system, contract by contract, in the order that their constructors need.
//!
//! Each contract's address is fixed before its transaction is sent: it follows from account and nonce, and is written to
//! the deployment's file first. Going on after a crash, or after a node that failed, looks at that address: a contract
//! there was deployed; none, and the nonce still free, means the same transaction can be sent; none, and the nonce taken
//! by something else, means a new nonce. A second copy of a contract would need a second nonce for it, and there is none
//! before the first one is used up.

use std::path::Path;

use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, keccak256};
use alloy::providers::Provider as _;
use tokio::time::{MissedTickBehavior, interval};

use crate::account::{Account, Patience, TransactionRequest, call_to};
use crate::contracts::OperatorStaking;
use crate::deployment::{Deployed, Deployment, Name, wrong};
use crate::error::ChainError;
use crate::settings::Settings;

mod arguments;

/// What happens, for people who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A contract is there; `new` where this run sent it.
    Contract {
        /// Which.
        name: Name,
        /// Where.
        address: Address,
        /// Whether this run sent it.
        new: bool,
    },
    /// It is fixed who may slash.
    Wired,
}

/// Deploys everything, or what is missing of it, and keeps the file up to date all along.
///
/// # Errors
///
/// `deployment-file` where the file is another account's, chain's or of other settings; `settings-invalid`;
/// `insufficient-funds`; the constructors' own; the nodes' own. Whatever it was, the next run goes on from there.
pub async fn deploy(
    account: &Account,
    settings: Settings,
    path: &Path,
    progress: &mut dyn FnMut(Step),
) -> Result<Deployment, ChainError> {
    settings.check()?;
    let _lock = Deployment::lock(path)?;
    let deployment = begin(account, settings, path).await?;
    let mut run = Run {
        account,
        path,
        deployment,
    };
    for name in Name::ALL {
        if name == Name::DevToken && run.deployment.settings.stake_token.is_some() {
            continue;
        }
        let new = run.contract(name).await?;
        let address = run.deployment.address(name);
        progress(Step::Contract { name, address, new });
    }
    run.wire().await?;
    progress(Step::Wired);
    Ok(run.deployment)
}

/// The file's deployment, if it is this one; or a new one.
async fn begin(
    account: &Account,
    settings: Settings,
    path: &Path,
) -> Result<Deployment, ChainError> {
    let Some(kept) = Deployment::read(path)? else {
        if let Some(token) = settings.stake_token
            && account.provider().get_code_at(token).await?.is_empty()
        {
            return Err(ChainError::Settings(format!(
                "stake_token: there is no contract at {token}"
            )));
        }
        let from_block = account.provider().get_block_number().await?;
        let deployment =
            Deployment::new(account.chain_id(), account.address(), from_block, settings);
        deployment.write(path)?;
        return Ok(deployment);
    };
    if kept.deployer != account.address() {
        let deployer = kept.deployer;
        return Err(wrong(
            path,
            &format_args!("was begun by {deployer}: use its key, or another file"),
        ));
    }
    if kept.settings != settings {
        return Err(wrong(
            path,
            &"was begun with other settings: use those, or another file",
        ));
    }
    kept.check(account.provider()).await?;
    Ok(kept)
}

struct Run<'a> {
    account: &'a Account,
    path: &'a Path,
    deployment: Deployment,
}

/// What is at a planned address, as of one block.
enum Site {
    Built,
    Free,
    /// Another transaction took the nonce.
    Lost,
}

impl Run<'_> {
    /// Sees to it that the contract is there; true where this run sent it.
    async fn contract(&mut self, name: Name) -> Result<bool, ChainError> {
        if self
            .deployed(name)
            .is_some_and(|deployed| deployed.code_hash.is_some())
        {
            return Ok(false);
        }
        let mut sent = false;
        loop {
            let nonce = match self.deployed(name) {
                Some(planned) => planned.nonce,
                None => self.plan(name).await?,
            };
            let address = self.account.address().create(nonce);
            match self.look(address, nonce).await? {
                Site::Built => {
                    self.built(name, address).await?;
                    return Ok(sent);
                }
                Site::Lost => {
                    self.deployment.contracts.remove(&name);
                }
                Site::Free => {
                    sent = true;
                    self.send(name, nonce).await?;
                }
            }
        }
    }

    fn deployed(&self, name: Name) -> Option<&Deployed> {
        self.deployment.contracts.get(&name)
    }

    /// Takes the next nonce, and writes that down.
    async fn plan(&mut self, name: Name) -> Result<u64, ChainError> {
        // Of what is mined: whatever waits in a pool may never be, and the wait shows which of two made it.
        let nonce = self.account.mined_nonce().await?;
        let planned = Deployed {
            address: self.account.address().create(nonce),
            nonce,
            code_hash: None,
        };
        self.deployment.contracts.insert(name, planned);
        self.deployment.write(self.path)?;
        Ok(nonce)
    }

    /// Code and nonce of one and the same block, as deep as is asked for.
    async fn look(&self, address: Address, nonce: u64) -> Result<Site, ChainError> {
        let provider = self.account.provider();
        let Patience { confirmations, .. } = self.account.patience();
        let head = provider.get_block_number().await?;
        let block = head.saturating_sub(confirmations.saturating_sub(1));
        let used = provider
            .get_transaction_count(self.account.address())
            .number(block)
            .await?
            > nonce;
        let code = provider.get_code_at(address).number(block).await?;
        Ok(match (code.is_empty(), used) {
            (false, _) => Site::Built,
            (true, true) => Site::Lost,
            (true, false) => Site::Free,
        })
    }

    async fn send(&self, name: Name, nonce: u64) -> Result<(), ChainError> {
        let transaction = TransactionRequest::default().with_deploy_code(self.init_code(name)?);
        let estimate = self.account.estimate(&transaction).await?;
        let signed = self.account.sign(transaction, &estimate, nonce).await?;
        self.account.hand_in(&signed).await?;
        match self.account.confirm(&signed).await {
            // What took its place shows at the address.
            Ok(_) | Err(ChainError::Replaced { .. }) => self.settled(nonce).await,
            Err(error) => Err(error),
        }
    }

    /// Waits until the nonce is as deep as is asked for.
    async fn settled(&self, nonce: u64) -> Result<(), ChainError> {
        let Patience { within, every, .. } = self.account.patience();
        let address = self.account.address().create(nonce);
        let mut looks = interval(every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let waited = tokio::time::timeout(within, async {
            loop {
                looks.tick().await;
                match self.look(address, nonce).await {
                    Ok(Site::Free) => {}
                    Ok(_) => return Ok(()),
                    Err(error) if error.is_transient() => {}
                    Err(error) => return Err(error),
                }
            }
        });
        match waited.await {
            Ok(settled) => settled,
            Err(_) => Err(ChainError::BadAnswer(
                "a mined transaction does not settle".to_owned(),
            )),
        }
    }

    async fn built(&mut self, name: Name, address: Address) -> Result<(), ChainError> {
        let code = self.account.provider().get_code_at(address).await?;
        if let Some(deployed) = self.deployment.contracts.get_mut(&name) {
            deployed.code_hash = Some(keccak256(&code));
        }
        self.deployment.write(self.path)
    }

    /// Fixes who may slash: relay and oracle. Once, and only by this account.
    async fn wire(&mut self) -> Result<(), ChainError> {
        if self.deployment.wired {
            return Ok(());
        }
        let staking = OperatorStaking::new(self.at(Name::OperatorStaking), self.account.provider());
        let slashers = vec![self.at(Name::JobRelay), self.at(Name::UptimeOracle)];
        if !staking.wired().call().await? {
            let call = OperatorStaking::wireCall {
                slashers: slashers.clone(),
            };
            self.account
                .send(call_to(*staking.address(), &call))
                .await?;
        }
        // By an earlier run, whose answer was lost: nobody else can have done it.
        for slasher in slashers {
            if !staking.isSlasher(slasher).call().await? {
                return Err(ChainError::WrongCode {
                    name: Name::OperatorStaking.to_string(),
                    address: *staking.address(),
                    reason: "it is wired to others",
                });
            }
        }
        self.deployment.wired = true;
        self.deployment.write(self.path)
    }

    fn at(&self, name: Name) -> Address {
        self.deployment.address(name)
    }
}

//! Who speaks for the liar: on the chain it says what its watcher sealed, but that a node that had answered was down in one
//! slot.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use anyhow::Context as _;
use nacre_chain::account::{Account, Patience, call_to};
use nacre_chain::contracts::UptimeOracle;
use nacre_chain::deployment::Name;
use nacre_chain::rpc::{Rpc, connect};
use nacre_chain::wallet::Wallet;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::encoding::array_from_hex;
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{
    DownReason, Epoch, Outcome, PostReveal, Row, Slot, commitment, scores_root,
};
use nacre_protocol::verified_enclave::ContractDomain;
use nacre_uptime::WatcherKey;
use nacre_uptime::chain::seal;
use serde_json::json;

use crate::site::Site;
use crate::uptime::{schedule, unix_ms};

/// How far behind the wall clock the last block's may be.
const BLOCK_MS: u64 = 1_500;

/// It speaks until it is stopped.
pub(crate) struct Lying {
    stop: Arc<AtomicBool>,
    folder: PathBuf,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Lying {
    /// Speaks with the account of this key for the watcher that works in this folder.
    pub(crate) fn start(
        site: &Site,
        folder: PathBuf,
        key_file: &Path,
        victim: NodeId,
    ) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let oracle = site.deployment.address(Name::UptimeOracle);
        let rpc = Rpc::new([site.anvil.url().clone()]);
        let wallet = Wallet::open(key_file)?;
        let handle = site.runtime.handle().clone();
        let seed = std::fs::read_to_string(folder.join("key"))?;
        let key = WatcherKey::from_seed(&array_from_hex(seed.trim())?);
        let (stopped, home) = (Arc::clone(&stop), folder.clone());
        let speak = async move {
            let provider = connect(&rpc, None)?;
            let account = Account::new(provider, wallet, Patience::new(true)).await?;
            let liar = Liar {
                key,
                account,
                oracle,
                folder: home,
                victim,
                lie: None,
                said: BTreeMap::new(),
            };
            liar.run(&stopped).await
        };
        Ok(Self {
            stop,
            folder,
            thread: std::thread::spawn(move || handle.block_on(speak)),
        })
    }

    /// The slot that it lies about, once it has committed to that.
    pub(crate) fn lie(&self) -> Option<Slot> {
        let slot = std::fs::read_to_string(self.folder.join("lie")).ok()?;
        slot.parse().ok().map(Slot)
    }

    /// Ends it; the file of what it revealed.
    pub(crate) fn stop(self) -> anyhow::Result<PathBuf> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().ok().context("the liar fell")??;
        Ok(self.folder.join("told.jsonl"))
    }
}

struct Liar {
    key: WatcherKey,
    account: Account,
    oracle: Address,
    folder: PathBuf,
    victim: NodeId,
    lie: Option<Slot>,
    /// What it committed to, until it is revealed; none where that was too late.
    said: BTreeMap<u64, Option<Vec<Row>>>,
}

impl Liar {
    async fn run(mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let watcher_id = B256::from(*self.key.id().as_bytes());
        let enroll = UptimeOracle::enrollCall {
            watcherId: watcher_id,
        };
        self.account.send(call_to(self.oracle, &enroll)).await?;
        let mut looks = tokio::time::interval(Duration::from_millis(200));
        while !stop.load(Ordering::SeqCst) {
            looks.tick().await;
            for epoch in self.sealed() {
                let now = unix_ms();
                if now < schedule().commits_from(epoch) + BLOCK_MS {
                    continue;
                }
                if !self.said.contains_key(&epoch.0) {
                    self.commit(epoch).await?;
                }
                if now >= schedule().reveals_from(epoch) + BLOCK_MS
                    && let Some(rows) = self.said.get_mut(&epoch.0).and_then(Option::take)
                {
                    self.reveal(epoch, rows).await?;
                }
            }
        }
        Ok(())
    }

    /// What its watcher sealed.
    fn sealed(&self) -> Vec<Epoch> {
        let Ok(folder) = std::fs::read_dir(self.folder.join("sealed")) else {
            return Vec::new();
        };
        let names = folder.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let epochs = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        epochs.map(Epoch).collect()
    }

    async fn commit(&mut self, epoch: Epoch) -> anyhow::Result<()> {
        let (rows, lie) = self.rows(epoch)?;
        let salt = *self.key.epoch_secret(epoch).salt();
        let root = scores_root(&rows).context("rows")?;
        let commitment = commitment(&schedule(), &self.key.id(), epoch, &salt, &root);
        let domain = ContractDomain {
            chain_id: self.account.chain_id().try_into()?,
            verifying_contract: EthAddress::from_bytes(self.oracle.into_array()),
        };
        let account = EthAddress::from_bytes(self.account.address().into_array());
        let call = UptimeOracle::commitCall {
            epoch: epoch.0,
            seal: B256::from(seal(&domain, &account, &salt, &commitment)),
        };
        let sent = self.account.send(call_to(self.oracle, &call)).await;
        if let (Ok(_), Some(lie)) = (&sent, lie) {
            self.lie = Some(lie);
            std::fs::write(self.folder.join("lie"), lie.0.to_string())?;
        }
        // Too late for this one: there will be others.
        self.said.insert(epoch.0, sent.is_ok().then_some(rows));
        Ok(())
    }

    /// The sealed rows. Of the victim it says that all was well, but for one slot in which the watcher has its answer.
    fn rows(&self, epoch: Epoch) -> anyhow::Result<(Vec<Row>, Option<Slot>)> {
        let path = self.folder.join(format!("sealed/{}.json", epoch.0));
        let mut rows: Vec<Row> = serde_json::from_slice(&std::fs::read(path)?)?;
        let Some(victim) = rows.iter_mut().find(|row| row.node == self.victim) else {
            return Ok((rows, None));
        };
        let up = Outcome::Up.to_byte();
        let answered = victim.outcomes.iter().position(|seen| *seen == up);
        victim.outcomes.fill(up);
        let answered = answered.filter(|_| self.lie.is_none());
        let lie = answered.map(|at| {
            victim.outcomes[at] = Outcome::Down(DownReason::Timeout).to_byte();
            Slot(schedule().first_slot(epoch).0 + at as u64)
        });
        Ok((rows, lie))
    }

    /// On the chain, and in a line as `nacre watch --report` writes it.
    async fn reveal(&self, epoch: Epoch, rows: Vec<Row>) -> anyhow::Result<()> {
        let salt = *self.key.epoch_secret(epoch).salt();
        let call = UptimeOracle::revealCall {
            watcher: self.account.address(),
            epoch: epoch.0,
            salt: B256::from(salt),
            root: B256::from(scores_root(&rows).context("rows")?),
        };
        self.account.send(call_to(self.oracle, &call)).await?;
        let reveal = PostReveal {
            watcher: self.key.id(),
            epoch,
            salt,
            rows,
            signature: [0; 64],
        };
        let mut file = std::fs::File::options();
        let told = self.folder.join("told.jsonl");
        let mut file = file.create(true).append(true).open(told)?;
        writeln!(file, "{}", json!({ "reveal": reveal }))?;
        Ok(())
    }
}

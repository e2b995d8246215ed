//! What the API does, without HTTP: each public function is one request's effect, in one transaction.

mod audit;
mod blobs;
mod chain_keys;
mod deployments;
mod follow;
mod functions;
mod incidents;
mod jobs;
mod keys;
mod ledger;
mod load;
mod logs;
mod market;
mod node_claims;
mod node_commands;
mod nodes;
mod once;
mod only_if;
mod registration;
mod rollouts;
mod routes;
mod sweep;
mod uptime;
mod weights;

use std::collections::BTreeSet;
use std::time::Duration;

use nacre_attestation_verifier::{Policy, Roots};
use nacre_protocol::api::keys::Scope;
use nacre_protocol::ids::{DeploymentId, FunctionName, JobId, NodeId, OrganisationName};

pub(crate) use audit::{Deed, entry_id};
pub(crate) use blobs::Put;
pub(crate) use jobs::{Attempt, Ending, Holder, Phase, Progress, ResultBody, WebhookSecret};
pub(crate) use ledger::customer_of;
pub(crate) use once::{Answer, Idempotency};
pub(crate) use only_if::{OnlyIf, etag};
pub(crate) use routes::Served;

use crate::challenges::Challenges;
use crate::clock::Clock;
use crate::config::{Config, JobsConfig, LedgerConfig};
use crate::cursors::Cursors;
use crate::error::Error;
use crate::meters::Meters;
use crate::objects::Objects;
use crate::owner::Owner;
use crate::store::{
    Store, Transaction, commit, keys as key_rows, nodes as node_rows, nonces, secrets,
};
use crate::token::{KeyId, Presented};
use crate::wakers::{Topic, Wakers};

/// Most items of one page of a list.
pub(crate) const MAX_PAGE: u32 = 1000;
/// Items of a page unless the caller says otherwise.
pub(crate) const DEFAULT_PAGE: u32 = 100;

/// The state of one control plane, shared by all requests.
#[derive(Debug)]
pub(crate) struct Platform {
    store: Store,
    objects: Objects,
    wakers: Wakers,
    challenges: Challenges,
    cursors: Cursors,
    audit_kept: Duration,
    roots: Roots,
    node_policy: Policy,
    report_every: Duration,
    offline_after: Duration,
    max_blob_bytes: u64,
    blob_grace: Duration,
    job_rules: JobsConfig,
    ledger_rules: LedgerConfig,
    webhooks: jobs::Webhooks,
    uptime: uptime::Uptime,
    meters: Meters,
    market: market::Held,
    clock: Clock,
    /// Silence before this moment is ours, not the nodes'.
    started_ms: u64,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The holder of an organisation's API key.
    Key(Key),
    /// A gateway of the platform, by its key.
    Gateway(KeyId),
    /// A registered node.
    Node(NodeId),
}

/// An API key that was presented and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its public id.
    pub id: KeyId,
    /// Whose things it opens. What belongs to another organisation is not there for its holder.
    pub organisation: OrganisationName,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// From when on it is refused.
    pub expires_ms: Option<u64>,
}

impl Platform {
    /// Opens the database and the object store.
    pub(crate) async fn open(config: &Config) -> Result<Self, Error> {
        let store = Store::open(&config.database).await?;
        let objects = Objects::open(&config.objects, store.is_shared())?;
        let mut tx = store.write().await?;
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh)?;
        let challenges = Challenges::new(&nonces::key(&mut tx, &fresh).await?);
        getrandom::fill(&mut fresh)?;
        let cursors = Cursors::new(&secrets::get_or_put(&mut tx, "cursors", &fresh).await?);
        let key = jobs::master_key(&mut tx).await?;
        let webhooks = jobs::Webhooks::new(config.jobs.private_webhooks, &key)?;
        let uptime = uptime::Uptime::open(&mut tx, config).await?;
        commit(tx).await?;
        let platform = Self {
            store,
            objects,
            wakers: Wakers::new(),
            challenges,
            cursors,
            audit_kept: config.audit_kept,
            roots: config.roots.clone(),
            node_policy: config.node_policy.clone(),
            report_every: config.report_every,
            offline_after: config.offline_after,
            max_blob_bytes: config.max_blob_bytes,
            blob_grace: config.blob_grace,
            job_rules: config.jobs,
            ledger_rules: config.ledger,
            webhooks,
            uptime,
            meters: Meters::new(),
            market: market::Held::default(),
            started_ms: config.clock.now_ms(),
            clock: config.clock.clone(),
        };
        platform.open_market().await?;
        platform.remove_orphans().await?;
        Ok(platform)
    }

    /// Who a bearer token stands for.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Principal, Error> {
        let presented = Presented::parse(token).ok_or(Error::Unauthenticated)?;
        let mut tx = self.store.read().await?;
        match presented {
            Presented::ApiKey(id, hash) => {
                let stored = key_rows::stored(&mut tx, &id, self.clock.now_ms()).await?;
                let stored = stored.filter(|stored| stored.is(&hash));
                let stored = stored.ok_or(Error::Unauthenticated)?;
                Ok(match stored.owner {
                    Owner::Platform => Principal::Gateway(id),
                    Owner::Organisation(organisation) => Principal::Key(Key {
                        id,
                        organisation,
                        scopes: stored.scopes,
                        expires_ms: stored.expires_ms,
                    }),
                })
            }
            Presented::Node(id, hash) => {
                let stored = node_rows::token(&mut tx, &id).await?;
                let stored = stored.filter(|stored| stored.matches(&hash));
                stored
                    .map(|_| Principal::Node(id))
                    .ok_or(Error::Unauthenticated)
            }
        }
    }

    /// Whether the database answers.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        node_rows::any_silent(&mut tx, 0).await?;
        Ok(())
    }

    /// Where long polls wait.
    pub(crate) fn wakers(&self) -> &Wakers {
        &self.wakers
    }

    /// What is counted.
    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    /// What is counted, as text.
    pub(crate) async fn read_metrics(&self) -> String {
        self.meters.read(&self.store, self.clock.now_ms()).await
    }

    /// Closes the database.
    pub(crate) async fn close(&self) {
        self.store.close().await;
    }

    /// Makes a transaction's changes last, and wakes whoever waits for them, here and at other control planes.
    async fn commit(&self, mut tx: Transaction, changed: Changed) -> Result<(), Error> {
        let changed = self.cover_leases(&mut tx, changed).await?;
        let names: Vec<String> = changed.topics.iter().map(ToString::to_string).collect();
        self.store.announce(&mut tx, &names).await?;
        commit(tx).await?;
        for topic in &changed.topics {
            self.wakers.wake(topic);
        }
        Ok(())
    }
}

/// What a transaction changed that somebody may wait for.
#[derive(Debug, Default)]
struct Changed {
    topics: BTreeSet<Topic>,
    /// Whether the term of any lease began anew.
    renewed: bool,
}

impl Changed {
    /// The nodes whose desired state changed.
    fn desired(&self) -> impl Iterator<Item = NodeId> {
        self.topics.iter().filter_map(|topic| match topic {
            Topic::Desired(node) => Some(*node),
            _ => None,
        })
    }

    fn nodes(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.topics.extend(nodes.into_iter().map(Topic::Desired));
        self
    }

    fn renewed(mut self, renewed: bool) -> Self {
        self.renewed |= renewed;
        self
    }

    /// Whether leases came, went or have another term.
    fn may_be_of_leases(&self) -> bool {
        self.renewed || self.desired().next().is_some()
    }

    fn deployments(mut self, deployments: impl IntoIterator<Item = DeploymentId>) -> Self {
        self.topics
            .extend(deployments.into_iter().map(Topic::Deployment));
        self
    }

    fn and(mut self, other: Self) -> Self {
        self.topics.extend(other.topics);
        self.renewed(other.renewed)
    }

    fn job(mut self, job: JobId) -> Self {
        self.topics.insert(Topic::Job(job));
        self
    }

    /// Nodes that may have a job.
    fn work(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.topics.extend(nodes.into_iter().map(Topic::Work));
        self
    }

    fn logs(mut self, functions: impl IntoIterator<Item = FunctionName>) -> Self {
        self.topics.extend(functions.into_iter().map(Topic::Logs));
        self
    }
}

fn random_id() -> Result<[u8; 16], getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

//! Nodes: what they shall run, and what they say they run.

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::api::{DesiredState, Node, ObservedFunction, ObservedState, Page};
use nacre_protocol::control::{Event, FunctionState};
use nacre_protocol::ids::{DeploymentId, FunctionName, NodeId, OrganisationName};

use super::{Changed, Platform, Principal};
use crate::error::{Error, ReportError};
use crate::store::deployments::Held;
use crate::store::market::Applied;
use crate::store::{Transaction, commit, deployments, logs, nodes};
use crate::wakers::Topic;

/// What cursors of the list are sealed for.
const LIST: &str = "nodes";
const MAX_EVENTS: usize = 256;
const MAX_FUNCTIONS: usize = 4096;
/// Longest line for people that is kept of an event or an error; the rest is cut off.
const MAX_MESSAGE: usize = 1024;
const MAX_CODE: usize = 64;

impl Platform {
    /// A page of nodes, by id: the market, which is the same for everybody; `own` are those that were registered for the
    /// organisation.
    pub(crate) async fn nodes(
        &self,
        organisation: &OrganisationName,
        own: bool,
        after: &str,
        limit: u32,
    ) -> Result<Page<Node>, Error> {
        let id = |text: &str| text.parse::<NodeId>().ok();
        let after = self.cursors.open(LIST, organisation, after, id)?;
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let mut tx = self.store.read().await?;
        let items = nodes::list(&mut tx, organisation, own, &after, limit + 1).await?;
        let id = |node: &Node| node.id.to_string();
        Ok(self.cursors.page(LIST, organisation, items, limit, id))
    }

    /// What a node shall run; waits up to `wait_ms` while the revision is `after`. The token is checked again after each
    /// wait, since a new registration ends it.
    pub(crate) async fn desired(
        &self,
        node: NodeId,
        token: &str,
        after: Option<u64>,
        wait_ms: u64,
    ) -> Result<DesiredState, Error> {
        let mut wait = self.wakers.wait(Topic::Desired(node), wait_ms);
        loop {
            if self.authenticate(token).await? != Principal::Node(node) {
                return Err(Error::Forbidden("a node's token opens its own paths only"));
            }
            let mut tx = self.store.read().await?;
            let desired = nodes::desired(&mut tx, &node).await?;
            drop(tx);
            let desired = desired.ok_or(Error::Unauthenticated)?;
            if Some(desired.revision) != after || !wait.again().await {
                return Ok(desired);
            }
        }
    }

    /// Takes a node's report.
    pub(crate) async fn observe(&self, node: NodeId, report: ObservedState) -> Result<(), Error> {
        check(&report)?;
        let now = self.clock.now_ms();
        if self.is_nothing_new(&node, &report, now).await? {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        if nodes::boot(&mut tx, &node).await? != Some(report.boot_id) {
            return Err(ReportError::Boot.into());
        }
        let back = nodes::saw(&mut tx, &node, now).await?;
        let mut changed = record_states(&mut tx, &node, &report.functions).await?;
        let lines = record_events(&mut tx, &node, report).await?;
        let mut applied = Applied::default();
        if back {
            changed.extend(market_of(&mut tx, node).await?);
        }
        if back || !changed.is_empty() {
            applied = self.replan(&mut tx, now).await?;
        }
        let changed = Changed::from(applied).deployments(changed);
        self.commit(tx, changed.logs(lines)).await
    }

    /// Most reports say what the one before said. They need no turn among those who write: one statement notes the time.
    /// A lease that comes or goes meanwhile is the next report's business.
    async fn is_nothing_new(
        &self,
        node: &NodeId,
        report: &ObservedState,
        now_ms: u64,
    ) -> Result<bool, Error> {
        if !report.events.is_empty() {
            return Ok(false);
        }
        let mut tx = self.store.read().await?;
        let held = deployments::held_by(&mut tx, node).await?;
        drop(tx);
        if !news(&held, &report.functions).is_empty() {
            return Ok(false);
        }
        let mut tx = self.store.write_alone().await?;
        let known = nodes::still_there(&mut tx, node, &report.boot_id, now_ms).await?;
        commit(tx).await?;
        Ok(known)
    }
}

async fn market_of(tx: &mut Transaction, node: NodeId) -> Result<BTreeSet<DeploymentId>, Error> {
    Ok(crate::store::market::deployments_on(tx, &[node]).await?)
}

fn check(report: &ObservedState) -> Result<(), ReportError> {
    if report.events.len() > MAX_EVENTS || report.functions.len() > MAX_FUNCTIONS {
        return Err(ReportError::TooLong);
    }
    for event in &report.events {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let code = &event.code;
        if code.is_empty() || code.len() > MAX_CODE || !code.bytes().all(inner) {
            return Err(ReportError::EventCode(cut(code, MAX_CODE).to_owned()));
        }
        if i64::try_from(event.seq).is_err() || i64::try_from(event.at_ms).is_err() {
            return Err(ReportError::EventNumber);
        }
    }
    Ok(())
}

/// Writes the states that differ.
async fn record_states(
    tx: &mut Transaction,
    node: &NodeId,
    reported: &[ObservedFunction],
) -> Result<BTreeSet<DeploymentId>, Error> {
    let held = deployments::held_by(tx, node).await?;
    let mut changed = BTreeSet::new();
    for (held, state, error) in news(&held, reported) {
        deployments::set_lease_state(tx, &held.id, state, error).await?;
        changed.insert(held.deployment);
    }
    Ok(changed)
}

/// The leases whose state is not what it was. A lease that the report does not name, or names with another digest, is
/// loading: the node has not come to it yet. Leases that ended since the node looked are passed over.
fn news<'a>(
    held: &'a [Held],
    reported: &'a [ObservedFunction],
) -> Vec<(&'a Held, FunctionState, Option<&'a str>)> {
    let reported: BTreeMap<_, _> = reported.iter().map(|f| ((f.lease, f.digest), f)).collect();
    let said = held.iter().map(|held| {
        let said = reported.get(&(held.id, held.digest));
        let state = said.map_or(FunctionState::Loading, |said| said.state);
        let error = said.and_then(|said| said.error.as_deref());
        let error = error
            .filter(|_| state == FunctionState::Failed)
            .map(|e| cut(e, MAX_MESSAGE));
        (held, state, error)
    });
    said.filter(|(held, state, error)| (*state, *error) != (held.state, held.error.as_deref()))
        .collect()
}

/// Writes events of functions that the node runs or ran; it has no say about others. A report that is sent again adds
/// nothing. Says whose logs grew.
async fn record_events(
    tx: &mut Transaction,
    node: &NodeId,
    report: ObservedState,
) -> Result<BTreeSet<FunctionName>, Error> {
    let mut grown = BTreeSet::new();
    for event in report.events {
        if !deployments::knows(tx, node, &event.function).await? {
            continue;
        }
        let event = Event {
            message: cut(&event.message, MAX_MESSAGE).to_owned(),
            ..event
        };
        if logs::append(tx, node, &report.boot_id, &event).await? {
            grown.insert(event.function);
        }
    }
    Ok(grown)
}

pub(super) fn cut(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}

//! Nodes: what they shall run, and what they say they run.

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::api::{DesiredState, Node, ObservedFunction, ObservedState, Page};
use nacre_protocol::control::{Event, FunctionState};
use nacre_protocol::ids::{FunctionName, NodeId, OrganisationName};
use nacre_scheduler::{Event as MarketEvent, Report};

use super::{Changed, Platform, Principal};
use crate::error::{Error, ReportError};
use crate::store::deployments::Held;
use crate::store::{Transaction, commit, deployments, load, logs, nodes};
use crate::wakers::Topic;

/// How long it takes until no gateway sends new requests to a lease that drains, milliseconds: they ask for their routes
/// every second.
const HEEDED_MS: u64 = 2500;

/// Longest wait that is believed, milliseconds.
const MAX_WAIT_MS: u64 = 3_600_000;

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

    /// What a node shall run, and the trace in which that came about; waits up to `wait_ms` while the revision is `after`. The token is checked again after each
    /// wait, since a new registration ends it.
    pub(crate) async fn desired(
        &self,
        node: NodeId,
        token: &str,
        after: Option<u64>,
        wait_ms: u64,
    ) -> Result<(DesiredState, Option<String>), Error> {
        let mut wait = self.wakers.wait(Topic::Desired(node), wait_ms);
        loop {
            if self.authenticate(token).await? != Principal::Node(node) {
                return Err(Error::Forbidden("a node's token opens its own paths only"));
            }
            let mut tx = self.store.read().await?;
            let desired = nodes::desired(&mut tx, &node).await?;
            drop(tx);
            let (desired, trace) = desired.ok_or(Error::Unauthenticated)?;
            if Some(desired.revision) != after || !wait.again().await {
                return Ok((desired, trace));
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
        let mut events = Vec::new();
        let mut changed = BTreeSet::new();
        if nodes::saw(&mut tx, &node, now).await? {
            events.push(MarketEvent::NodeOnline { node });
            changed = deployments::on_nodes(&mut tx, &[node]).await?;
        }
        let held = deployments::held_by(&mut tx, &node).await?;
        for news in news(&held, &report.functions, now) {
            if news.is_another_load() {
                let (in_flight, wait) = (news.in_flight, news.oldest_wait_ms);
                load::of_lease(&mut tx, &news.held.id, in_flight, wait).await?;
            }
            if !news.is_for_the_market() {
                continue;
            }
            if news.is_another_state() {
                deployments::set_lease_state(&mut tx, news.held, news.state, news.error).await?;
            }
            changed.insert(news.held.deployment);
            events.push(news.event(node));
        }
        let lines = record_events(&mut tx, &node, report).await?;
        let mut told = Changed::default();
        if !events.is_empty() {
            told = self.market(&mut tx, &events, now).await?;
        }
        self.commit(tx, told.deployments(changed).logs(lines)).await
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
        if !news(&held, &report.functions, now_ms).is_empty() {
            return Ok(false);
        }
        let mut tx = self.store.write_alone().await?;
        let known = nodes::still_there(&mut tx, node, &report.boot_id, now_ms).await?;
        commit(tx).await?;
        Ok(known)
    }
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

/// What is new of a lease.
struct News<'a> {
    held: &'a Held,
    state: FunctionState,
    error: Option<&'a str>,
    drained: bool,
    in_flight: Option<u32>,
    oldest_wait_ms: Option<u64>,
}

impl News<'_> {
    fn is_for_the_market(&self) -> bool {
        self.drained || self.is_another_state()
    }

    fn is_another_load(&self) -> bool {
        let held = (self.held.in_flight, self.held.oldest_wait_ms);
        (self.in_flight, self.oldest_wait_ms) != held
    }

    fn is_another_state(&self) -> bool {
        (self.state, self.error) != (self.held.state, self.held.error.as_deref())
    }

    fn event(&self, node: NodeId) -> MarketEvent {
        MarketEvent::LeaseReported {
            node,
            lease: self.held.id,
            report: match self.state {
                _ if self.drained => Report::Drained,
                FunctionState::Loading => Report::Loading,
                FunctionState::Ready => Report::Ready,
                FunctionState::Failed => Report::Failed,
            },
        }
    }
}

/// The leases whose state or load is not what it was, and those that have finished what they had begun. A lease that the report
/// does not name, or names with another digest, is loading: the node has not come to it yet. Leases that ended since the
/// node looked are passed over.
fn news<'a>(held: &'a [Held], reported: &'a [ObservedFunction], now_ms: u64) -> Vec<News<'a>> {
    let reported: BTreeMap<_, _> = reported.iter().map(|f| ((f.lease, f.digest), f)).collect();
    let said = held.iter().map(|held| {
        let said = reported.get(&(held.id, held.digest));
        let state = said.map_or(FunctionState::Loading, |said| said.state);
        let error = said.and_then(|said| said.error.as_deref());
        let error = error
            .filter(|_| state == FunctionState::Failed)
            .map(|e| cut(e, MAX_MESSAGE));
        let in_flight = said.and_then(|said| said.in_flight);
        let oldest_wait_ms = said.and_then(|said| said.oldest_wait_ms);
        let heeded = |since: u64| now_ms >= since.saturating_add(HEEDED_MS);
        News {
            held,
            state,
            error,
            in_flight,
            oldest_wait_ms: oldest_wait_ms.map(|ms| ms.min(MAX_WAIT_MS)),
            drained: in_flight == Some(0) && held.draining_ms.is_some_and(heeded),
        }
    });
    said.filter(|news| news.is_for_the_market() || news.is_another_load())
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

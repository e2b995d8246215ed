//! A control plane with short slots, watchers that sign, and a clock that is turned from phase to phase.

use std::time::Duration;

use nacre_control_plane::clock::Clock;
use nacre_control_plane::{Config, UptimeConfig, watchers};
use nacre_protocol::api::{Node, Page};
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{
    DownReason, Epoch, Outcome, PostCommit, PostReveal, REVEAL_HEADER, RevealTicket, Row, Schedule,
    SlashRecord, UptimeReport, WatcherRecord,
};
use nacre_uptime::WatcherKey;
use nacre_uptime::commit::sign_epoch;
use reqwest::{Method, RequestBuilder};

use crate::support::{Server, TestNode, expect};

/// Longer than any phase, shorter than an epoch.
pub(crate) const DISPUTE: Duration = Duration::from_secs(5);
pub(crate) const RETENTION: Duration = Duration::from_secs(60);
pub(crate) const STAKE: u64 = 1_000_019;

/// Eight slots of a second; two epochs a window; two seconds to commit, four to reveal.
pub(crate) fn schedule() -> Schedule {
    Schedule::new(1_000, 8, 16, 2, 4).unwrap()
}

pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) watchers: Vec<WatcherKey>,
    /// The first epoch of a window that lies ahead.
    pub(crate) epoch: Epoch,
}

fn tune(config: &mut Config) {
    config.uptime = UptimeConfig {
        schedule: schedule(),
        dispute: DISPUTE,
        drain_notice: Duration::from_secs(4),
        drain_budget: Duration::from_secs(6),
        retention: RETENTION,
    };
    // Silence is no matter here.
    config.offline_after = Duration::from_secs(3600);
}

impl Site {
    /// With watchers of these stakes.
    pub(crate) async fn start(stakes: &[u64]) -> Self {
        let server = Server::tuned(tune).await;
        let mut site = Self {
            watchers: Vec::new(),
            epoch: Epoch(schedule().epoch_of(schedule().slot_at(server.now_ms())).0 + 2),
            server,
        };
        for (seed, stake) in (1..).zip(stakes) {
            let key = WatcherKey::from_seed(&[seed; 32]);
            site.add(&key, *stake).await;
            site.watchers.push(key);
        }
        site
    }

    pub(crate) async fn add(&self, key: &WatcherKey, stake: u64) {
        let (id, clock) = (key.id(), self.clock());
        let added = watchers::set(&self.server.database, &id, "w", stake, &clock);
        added.await.unwrap();
    }

    /// The time of this moment.
    pub(crate) fn clock(&self) -> Clock {
        let now = self.server.now_ms();
        Clock::from_fn(move || now)
    }

    /// Registers node `n`, with a stake behind it.
    pub(crate) async fn node(&mut self, n: u8) -> TestNode {
        let mut node = TestNode::new(n, 1 << 30, u64::from(n));
        self.server.register(&mut node).await;
        let clock = self.clock();
        let staked = watchers::stake_node(&self.server.database, &node.id, STAKE, &clock);
        staked.await.unwrap();
        node
    }

    /// Turns the clock to a moment that lies ahead.
    pub(crate) fn at(&self, ms: u64) {
        self.server
            .pass(ms.checked_sub(self.server.now_ms()).unwrap());
    }

    pub(crate) fn signed(
        &self,
        watcher: usize,
        epoch: Epoch,
        rows: &[Row],
    ) -> (PostCommit, PostReveal) {
        sign_epoch(&self.watchers[watcher], &schedule(), epoch, rows.to_vec()).unwrap()
    }

    pub(crate) fn commit(&self, commit: &PostCommit) -> RequestBuilder {
        let request = self.server.anonymous(Method::POST, "/v1/uptime/commits");
        request.json(commit)
    }

    pub(crate) fn reveal(&self, reveal: &PostReveal) -> RequestBuilder {
        let ticket = RevealTicket::from(reveal).to_string();
        let request = self.server.anonymous(Method::POST, "/v1/uptime/reveals");
        request.header(REVEAL_HEADER, ticket).json(reveal)
    }

    /// Lets watchers say what they saw of an epoch, in its time, and lets its time be up. `None` says nothing.
    pub(crate) async fn say(&self, epoch: Epoch, said: &[Option<Vec<Row>>]) {
        let said: Vec<_> = said
            .iter()
            .enumerate()
            .filter_map(|(at, rows)| Some(self.signed(at, epoch, rows.as_ref()?)))
            .collect();
        self.at(schedule().commits_from(epoch));
        for (commit, _) in &said {
            taken(self.commit(commit)).await;
        }
        self.at(schedule().reveals_from(epoch));
        for (_, reveal) in &said {
            taken(self.reveal(reveal)).await;
        }
        self.at(schedule().closed_from(epoch));
    }

    /// The report on an epoch, when it is judged.
    pub(crate) async fn judged(&self, epoch: Epoch, node: NodeId) -> UptimeReport {
        let from = schedule().first_slot(epoch).0;
        let to = from + u64::from(schedule().epoch_slots());
        let path = format!("/v1/uptime/report?node={node}&from={from}&to={to}");
        until("it is judged", async || {
            let report: UptimeReport = self.server.get(&path).await;
            (!report.slots.is_empty()).then_some(report)
        })
        .await
    }

    /// All slashes, when this epoch's window is settled.
    pub(crate) async fn slashes(&self, epoch: Epoch) -> Vec<SlashRecord> {
        let window = schedule().window_of(epoch);
        let last = Epoch(epoch.0 + 1);
        assert_eq!(schedule().window_of(last), window, "the window's last");
        let dispute = u64::try_from(DISPUTE.as_millis()).unwrap();
        self.at(schedule().closed_from(last) + dispute);
        self.settled(window.0).await;
        self.slashes_now().await
    }

    pub(crate) async fn slashes_now(&self) -> Vec<SlashRecord> {
        let page: Page<SlashRecord> = self.server.get("/v1/uptime/slashes").await;
        page.items
    }

    async fn settled(&self, window: u64) {
        until("the window is settled", async || {
            let settled = self
                .server
                .number("SELECT COALESCE(MAX(number), 0) FROM uptime_windows");
            let settled = u64::try_from(settled.await);
            settled.is_ok_and(|settled| settled >= window).then_some(())
        })
        .await;
    }

    pub(crate) async fn shown(&self, node: NodeId) -> Node {
        let page: Page<Node> = self.server.get("/v1/nodes").await;
        let mut nodes = page.items.into_iter();
        nodes.find(|shown| shown.id == node).unwrap()
    }

    pub(crate) async fn watchers(&self) -> Vec<WatcherRecord> {
        self.server.get("/v1/uptime/watchers").await
    }
}

/// One character a slot: u up, d down, - unseen.
pub(crate) fn row(node: NodeId, outcomes: &str) -> Row {
    let outcome = |c| match c {
        'u' => Outcome::Up,
        'd' => Outcome::Down(DownReason::Timeout),
        _ => Outcome::Unseen,
    };
    Row {
        node,
        outcomes: outcomes.chars().map(|c| outcome(c).to_byte()).collect(),
        evidence_root: [0; 32],
    }
}

pub(crate) async fn taken(request: RequestBuilder) {
    let response = request.send().await.unwrap();
    let (status, body) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 204, "{body}");
}

pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), found).await;
    found.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// For requests with a JSON answer.
pub(crate) async fn made<T: serde::de::DeserializeOwned>(request: RequestBuilder) -> T {
    expect(request, 201).await
}

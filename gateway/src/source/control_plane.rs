//! The control plane as a source: asked again and again, and not missed while it is away.
//!
//! The last table that it gave is kept on disk, so that a gateway that starts while the control plane is away routes as
//! the last one did.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nacre_protocol::api::Page;
use nacre_protocol::api::market::{Demand, FunctionRoutes};
use nacre_protocol::ids::FunctionName;
use reqwest::{Client, StatusCode, Url};
use tempfile::NamedTempFile;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::file::read_table;
use crate::routes::Routes;
use crate::table::{MAX_TABLE, Table};
use crate::waiting::Waits;

/// Where the last table is, in the gateway's folder. It may be given to `--routes`.
const KEPT: &str = "routes.toml";
/// How often it is asked while callers wait for a function that has no node.
const WHILE_WAITED_FOR: Duration = Duration::from_millis(250);
/// Until one page is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// Functions that are asked for at once; the API gives no more.
const PAGE: usize = 100;

/// A control plane.
#[derive(Debug)]
pub struct ControlPlane {
    http: Client,
    api: Url,
    key_file: PathBuf,
    kept: PathBuf,
    /// What it calls itself where it says who waits.
    name: String,
    ticks: Interval,
    table: Option<Table>,
    /// The last try failed; it is said once, not at each try.
    away: bool,
}

/// Why there is no new table.
#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error("{0}: {1}")]
    Key(PathBuf, io::Error),
    #[error("{0:#}")]
    Unreachable(reqwest::Error),
    #[error("the control plane answers {0}")]
    Refused(StatusCode),
    #[error("the control plane's answer is larger than {MAX_TABLE} bytes")]
    TooLarge,
    #[error("the control plane's answer is none: {0}")]
    Answer(serde_json::Error),
}

impl ControlPlane {
    /// The control plane at `url`, asked so often with the API key in `key_file` (read each time, so that it may be
    /// replaced); what it last said is kept in `folder`, which is there.
    pub fn new(
        url: &Url,
        key_file: PathBuf,
        folder: &Path,
        every: Duration,
    ) -> Result<Self, reqwest::Error> {
        let mut api = url.clone();
        let path = format!("{}/v1", url.path().trim_end_matches('/'));
        api.set_path(&path);
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            http,
            api,
            key_file,
            kept: folder.join(KEPT),
            name: format!("gateway-{:016x}", rand::random::<u64>()),
            ticks,
            table: None,
            away: false,
        })
    }

    pub(super) async fn begin(&mut self, routes: &Routes) {
        match read_table(&self.kept).await {
            Ok(table) => {
                routes.replace(&table);
                self.table = Some(table);
            }
            Err(error) => tracing::debug!(%error, "no routes were kept"),
        }
        while self.table.is_none() {
            self.poll(routes).await;
        }
    }

    pub(super) async fn follow(mut self, routes: &Routes) {
        let mut soon = interval(WHILE_WAITED_FOR);
        soon.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waited_for = BTreeSet::new();
        loop {
            tokio::select! {
                _ = self.ticks.tick() => {}
                () = routes.waiting().first() => {}
                _ = soon.tick(), if !waited_for.is_empty() => {}
            }
            self.tell(routes, &mut waited_for).await;
            self.look(routes).await;
        }
    }

    /// Says who waits for functions that have no node, and once that nobody does any more.
    async fn tell(&mut self, routes: &Routes, waited_for: &mut BTreeSet<FunctionName>) {
        let waits = routes.waiting().all();
        let gone = waited_for.iter().filter(|function| {
            let waits = waits.iter().any(|waits| waits.function == **function);
            !waits
        });
        let gone = gone.cloned().map(|function| Waits {
            function,
            callers: 0,
            oldest: Duration::ZERO,
        });
        let all: Vec<_> = gone.chain(waits.iter().cloned()).collect();
        *waited_for = waits.into_iter().map(|waits| waits.function).collect();
        for waits in all {
            if let Err(error) = self.demand(&waits).await {
                tracing::debug!(%error, function = %waits.function, "nobody was told who waits");
            }
        }
    }

    async fn demand(&self, waits: &Waits) -> Result<(), PollError> {
        let mut url = self.api.clone();
        let path = format!("{}/functions/{}/demand", url.path(), waits.function);
        url.set_path(&path);
        let demand = Demand {
            source: self.name.clone(),
            waiting: waits.callers,
            oldest_wait_ms: u64::try_from(waits.oldest.as_millis()).unwrap_or(u64::MAX),
        };
        let request = self.http.post(url).bearer_auth(self.key().await?);
        let request = request.json(&demand).timeout(PATIENCE);
        let response = request.send().await.map_err(PollError::Unreachable)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(PollError::Refused(status)),
        }
    }

    /// Waits for its turn, and asks once.
    async fn poll(&mut self, routes: &Routes) {
        self.ticks.tick().await;
        self.look(routes).await;
    }

    async fn look(&mut self, routes: &Routes) {
        match self.ask().await {
            Ok(functions) => {
                if std::mem::take(&mut self.away) {
                    tracing::warn!("the control plane answers again");
                }
                self.take(Table::of(&functions), routes).await;
            }
            Err(error) if !self.away => {
                tracing::warn!(%error, "the routes stay as they were");
                self.away = true;
            }
            Err(error) => tracing::debug!(%error, "the control plane is still away"),
        }
    }

    async fn take(&mut self, table: Table, routes: &Routes) {
        if self.table.as_ref() == Some(&table) {
            return;
        }
        tracing::info!(functions = table.functions.len(), "new routes");
        routes.replace(&table);
        if let Err(error) = keep(&self.kept, &table).await {
            let path = self.kept.display();
            tracing::warn!(%path, %error, "a restart will not know these routes");
        }
        self.table = Some(table);
    }

    async fn key(&self) -> Result<String, PollError> {
        let key = tokio::fs::read_to_string(&self.key_file).await;
        let key = key.map_err(|error| PollError::Key(self.key_file.clone(), error))?;
        Ok(key.trim().to_owned())
    }

    /// Every page of the list.
    async fn ask(&self) -> Result<Vec<FunctionRoutes>, PollError> {
        let key = self.key().await?;
        let mut functions = Vec::new();
        let mut room = MAX_TABLE;
        let mut after: Option<String> = None;
        loop {
            let mut url = self.api.clone();
            url.set_path(&format!("{}/routes", url.path()));
            url.query_pairs_mut()
                .append_pair("limit", &PAGE.to_string())
                .extend_pairs(after.iter().map(|after| ("after", after)));
            let bytes = self.page(url, &key, room).await?;
            room -= bytes.len();
            let page: Page<FunctionRoutes> =
                serde_json::from_slice(&bytes).map_err(PollError::Answer)?;
            functions.extend(page.items);
            match page.next {
                None => return Ok(functions),
                next => after = next,
            }
        }
    }

    async fn page(&self, url: Url, key: &str, room: usize) -> Result<Vec<u8>, PollError> {
        let request = self.http.get(url).bearer_auth(key).timeout(PATIENCE);
        let mut response = request.send().await.map_err(PollError::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(PollError::Refused(response.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(PollError::Unreachable)? {
            if bytes.len() + chunk.len() > room {
                return Err(PollError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Writes it whole or not at all.
async fn keep(path: &Path, table: &Table) -> io::Result<()> {
    let text = table.to_toml().map_err(io::Error::other)?;
    let path = path.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        std::fs::File::open(folder)?.sync_all()
    });
    written.await.map_err(io::Error::other)?
}

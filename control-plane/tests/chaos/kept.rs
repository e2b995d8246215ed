//! What the database and the object store hold of jobs.

use std::collections::BTreeMap;
use std::path::Path;

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use sqlx::Row as _;
use sqlx::any::{AnyConnectOptions, AnyRow, install_default_drivers};
use sqlx::{AnyConnection, Connection as _, query};

/// All of it, at one moment at which nobody writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) jobs: Vec<KeptJob>,
    pub(crate) attempts: Vec<KeptAttempt>,
    pub(crate) settlements: Vec<KeptSettlement>,
    /// Names of objects, and from when on they are to be deleted.
    pub(crate) objects: BTreeMap<String, u64>,
    /// The objects themselves.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// What a killed process left of objects that it had not written to the end.
    pub(crate) staged: Vec<String>,
    /// Jobs whose end is still to be told.
    pub(crate) notices: Vec<String>,
    /// Job and node of each.
    pub(crate) incidents: Vec<(Option<String>, String)>,
    /// The receipt keys of boots.
    pub(crate) keys: BTreeMap<String, [u8; 64]>,
}

#[derive(Debug, Clone)]
pub(crate) struct KeptJob {
    pub(crate) id: JobId,
    pub(crate) state: String,
    pub(crate) attempt: u64,
    pub(crate) tries: u64,
    pub(crate) digest: Digest,
    pub(crate) deadline_ms: u64,
    pub(crate) input_digest: Digest,
    pub(crate) input_object: Option<String>,
    pub(crate) ended_ms: Option<u64>,
    pub(crate) kept_until_ms: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct KeptAttempt {
    pub(crate) job: JobId,
    pub(crate) attempt: u64,
    pub(crate) leased_ms: u64,
    pub(crate) ended_ms: Option<u64>,
    pub(crate) outcome: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct KeptSettlement {
    pub(crate) job: JobId,
    pub(crate) ending: String,
    pub(crate) attempt: u64,
    pub(crate) settled_ms: u64,
    pub(crate) result: Option<KeptResult>,
}

#[derive(Debug, Clone)]
pub(crate) struct KeptResult {
    pub(crate) node: String,
    pub(crate) boot: String,
    pub(crate) receipt: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    pub(crate) object: String,
}

impl Kept {
    /// Reads it: the database of this URL, and the object store in this folder.
    pub(crate) async fn read(url: &str, objects: &Path) -> Self {
        install_default_drivers();
        let options: AnyConnectOptions = url.parse().unwrap();
        let mut on = AnyConnection::connect_with(&options).await.unwrap();
        let mut kept = Self {
            jobs: rows(&mut on, "SELECT * FROM jobs ORDER BY id", job).await,
            attempts: rows(&mut on, ATTEMPTS, attempt).await,
            settlements: rows(&mut on, "SELECT * FROM job_settlements", settlement).await,
            objects: pairs(&mut on, "SELECT name, expires_ms FROM job_objects").await,
            notices: rows(&mut on, NOTICES, |row| row.get(0)).await,
            incidents: rows(&mut on, "SELECT job, node FROM incidents", |row| {
                (row.get(0), row.get(1))
            })
            .await,
            keys: rows(&mut on, KEYS, key).await.into_iter().collect(),
            ..Self::default()
        };
        on.close().await.unwrap();
        for entry in std::fs::read_dir(objects.join("jobs")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.contains('#') {
                kept.staged.push(name);
            } else {
                kept.files
                    .insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
        kept
    }
}

impl Kept {
    /// Objects that were noted and that nobody came to use: what was killed in between.
    pub(crate) fn unused(&self) -> usize {
        let results = self.settlements.iter().filter_map(|s| s.result.as_ref());
        let used: Vec<_> = results.map(|result| &result.object).collect();
        self.objects
            .keys()
            .filter(|name| !used.contains(name))
            .count()
    }
}

/// How many things are still to be done: jobs to end, ends to tell, bytes to delete, jobs to forget.
pub(crate) async fn pending(url: &str, now_ms: u64) -> i64 {
    install_default_drivers();
    let options: AnyConnectOptions = url.parse().unwrap();
    let mut on = AnyConnection::connect_with(&options).await.unwrap();
    let row = query(PENDING).bind(i64::try_from(now_ms).unwrap());
    let row = row.fetch_one(&mut on).await.unwrap();
    on.close().await.unwrap();
    row.get(0)
}

const PENDING: &str = "SELECT (SELECT COUNT(*) FROM jobs WHERE ended_ms IS NULL)
    + (SELECT COUNT(*) FROM queue WHERE kind = 'webhook')
    + (SELECT COUNT(*) FROM job_objects WHERE expires_ms <= $1)
    + (SELECT COUNT(*) FROM jobs WHERE kept_until_ms < $1)";
const ATTEMPTS: &str = "SELECT * FROM job_attempts ORDER BY job, attempt";
const NOTICES: &str = "SELECT id FROM queue WHERE kind = 'webhook'";
const KEYS: &str = "SELECT boot_id, receipt_key FROM boots WHERE receipt_key IS NOT NULL";

async fn rows<T>(on: &mut AnyConnection, sql: &'static str, read: fn(&AnyRow) -> T) -> Vec<T> {
    let rows = query(sql).fetch_all(on).await.unwrap();
    rows.iter().map(read).collect()
}

async fn pairs(on: &mut AnyConnection, sql: &'static str) -> BTreeMap<String, u64> {
    let read = |row: &AnyRow| (row.get::<String, _>(0), number(row, "expires_ms"));
    rows(on, sql, read).await.into_iter().collect()
}

fn job(row: &AnyRow) -> KeptJob {
    KeptJob {
        id: text(row, "id").parse().unwrap(),
        state: text(row, "state"),
        attempt: number(row, "attempt"),
        tries: number(row, "tries"),
        digest: text(row, "digest").parse().unwrap(),
        deadline_ms: number(row, "deadline_ms"),
        input_digest: text(row, "input_digest").parse().unwrap(),
        input_object: row.get("input_object"),
        ended_ms: number_opt(row, "ended_ms"),
        kept_until_ms: number_opt(row, "kept_until_ms"),
    }
}

fn attempt(row: &AnyRow) -> KeptAttempt {
    KeptAttempt {
        job: text(row, "job").parse().unwrap(),
        attempt: number(row, "attempt"),
        leased_ms: number(row, "leased_ms"),
        ended_ms: number_opt(row, "ended_ms"),
        outcome: row.get("outcome"),
    }
}

fn settlement(row: &AnyRow) -> KeptSettlement {
    let receipt: Option<String> = row.get("receipt");
    KeptSettlement {
        job: text(row, "job").parse().unwrap(),
        ending: text(row, "ending"),
        attempt: number(row, "attempt"),
        settled_ms: number(row, "settled_ms"),
        result: receipt.map(|receipt| KeptResult {
            node: text(row, "node"),
            boot: text(row, "boot_id"),
            receipt,
            size: number(row, "result_size"),
            digest: text(row, "result_digest").parse().unwrap(),
            object: text(row, "result_object"),
        }),
    }
}

fn key(row: &AnyRow) -> (String, [u8; 64]) {
    let mut key = [0; 64];
    hex::decode_to_slice(text(row, "receipt_key"), &mut key).unwrap();
    (text(row, "boot_id"), key)
}

fn text(row: &AnyRow, column: &str) -> String {
    row.get(column)
}

fn number(row: &AnyRow, column: &str) -> u64 {
    number_opt(row, column).unwrap()
}

fn number_opt(row: &AnyRow, column: &str) -> Option<u64> {
    let number: Option<i64> = row.get(column);
    number.map(|number| u64::try_from(number).unwrap())
}

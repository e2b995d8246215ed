//! What both engines must do alike. On PostgreSQL these run by `the_same_holds_on_postgresql`.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Row as _, query};
use tempfile::TempDir;

use super::*;
use crate::config::Database;

#[path = "../../tests/it/postgres.rs"]
mod postgres;

#[test]
fn the_same_holds_on_postgresql() {
    postgres::rerun("the_same_holds_on_postgresql");
}

/// A database of a test's own.
struct Place {
    _folder: TempDir,
    database: Database,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = match postgres::fresh_database() {
            Some(url) => Database::postgres(&url).unwrap(),
            None => Database::Folder(folder.path().to_owned()),
        };
        Self {
            _folder: folder,
            database,
        }
    }

    async fn open(&self) -> Store {
        Store::open(&self.database).await.unwrap()
    }
}

async fn run(store: &Store, sql: &'static str) {
    let mut tx = store.write().await.unwrap();
    query(sql).execute(&mut *tx).await.unwrap();
    commit(tx).await.unwrap();
}

/// Every table with its columns, as the engine itself lists them.
async fn schema(store: &Store) -> BTreeSet<String> {
    let sql = if store.is_shared() {
        "SELECT table_name || '.' || column_name || ' ' || is_nullable AS c
         FROM information_schema.columns WHERE table_schema = 'public'"
    } else {
        "SELECT m.name || '.' || p.name || ' ' || CASE WHEN p.\"notnull\" THEN 'NO' ELSE 'YES' END AS c
         FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type = 'table'"
    };
    let mut tx = store.read().await.unwrap();
    let rows = query(AssertSqlSafe(sql)).fetch_all(&mut *tx).await.unwrap();
    rows.iter()
        .map(|row| row.get::<String, _>("c"))
        .filter(|column| !column.starts_with("_sqlx"))
        .collect()
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let sqlite = tempfile::tempdir().unwrap();
    let sqlite = Store::open(&Database::Folder(sqlite.path().to_owned()))
        .await
        .unwrap();
    let place = Place::new();
    let here = place.open().await;
    let expected = schema(&sqlite).await;
    assert!(
        expected.contains("deployments.max_price YES"),
        "{expected:?}"
    );
    assert!(expected.contains("used_nonces.nonce NO"), "{expected:?}");
    assert_eq!(schema(&here).await, expected);
}

#[tokio::test]
async fn many_may_open_a_new_database_at_once() {
    let place = Place::new();
    let opened = futures_util::future::join_all((0..8).map(|_| Store::open(&place.database))).await;
    for store in opened {
        store.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    run(
        &store,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let refused = Store::open(&place.database).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooNew(9999)), "{refused}");
    assert!(refused.to_string().starts_with("database-too-new: "));
}

#[tokio::test]
async fn a_schema_made_from_another_text_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    run(
        &store,
        "UPDATE _sqlx_migrations SET checksum =
             (SELECT checksum FROM _sqlx_migrations WHERE version = 2) WHERE version = 1",
    )
    .await;
    let refused = Store::open(&place.database).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(1)), "{refused}");
    assert!(refused.to_string().starts_with("database-foreign: "));
}

#[tokio::test]
async fn transactions_that_write_run_one_after_the_other() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    run(&one, "INSERT INTO secrets (name, value) VALUES ('n', '0')").await;
    let add = |store: Store| async move {
        for _ in 0..20 {
            let mut tx = store.write().await.unwrap();
            let row = query("SELECT value FROM secrets WHERE name = 'n'")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            let n: u32 = row.parsed("value").unwrap();
            tokio::task::yield_now().await;
            query("UPDATE secrets SET value = $1 WHERE name = 'n'")
                .bind((n + 1).to_string())
                .execute(&mut *tx)
                .await
                .unwrap();
            commit(tx).await.unwrap();
        }
    };
    let all = [&one, &other, &one, &other].map(|store| tokio::spawn(add(store.clone())));
    for done in all {
        done.await.unwrap();
    }
    let mut tx = one.read().await.unwrap();
    let row = query("SELECT value FROM secrets WHERE name = 'n'")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(row.parsed::<u32>("value").unwrap(), 80);
}

#[tokio::test]
async fn a_reader_sees_one_snapshot_and_writes_nothing() {
    let place = Place::new();
    let store = place.open().await;
    let mut tx = store.read().await.unwrap();
    let first = nonces::is_used(&mut tx, &[1; 32]).await.unwrap();
    let mut writer = store.write().await.unwrap();
    assert!(nonces::take(&mut writer, &[1; 32], 0).await.unwrap());
    commit(writer).await.unwrap();
    assert_eq!(
        (first, nonces::is_used(&mut tx, &[1; 32]).await.unwrap()),
        (false, false)
    );
    assert!(nonces::take(&mut tx, &[2; 32], 0).await.is_err());
}

#[tokio::test]
async fn a_nonce_is_used_once_and_the_key_is_everybodys() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    let mut tx = one.write().await.unwrap();
    assert!(nonces::take(&mut tx, &[1; 32], 7).await.unwrap());
    let key = nonces::key(&mut tx, &[5; 32]).await.unwrap();
    assert_eq!(key, [5; 32]);
    commit(tx).await.unwrap();
    let mut tx = other.write().await.unwrap();
    assert!(!nonces::take(&mut tx, &[1; 32], 8).await.unwrap());
    assert_eq!(nonces::key(&mut tx, &[6; 32]).await.unwrap(), key);
    nonces::forget(&mut tx, 8).await.unwrap();
    assert!(!nonces::is_used(&mut tx, &[1; 32]).await.unwrap());
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_and_nobody_waiting() {
    let place = Place::new();
    let store = place.open().await;
    let mut tx = store.write().await.unwrap();
    assert!(nonces::take(&mut tx, &[1; 32], 0).await.unwrap());
    drop(tx);
    let mut tx = store.write().await.unwrap();
    assert!(!nonces::is_used(&mut tx, &[1; 32]).await.unwrap());
}

#[tokio::test]
async fn a_blob_has_one_guard_at_a_time() {
    let place = Place::new();
    let one = place.open().await;
    // Two control planes share PostgreSQL; SQLite is one's own.
    let other = if one.is_shared() {
        place.open().await
    } else {
        one.clone()
    };
    let digest = Digest::of(b"blob");
    let held = one.guard(&digest).await.unwrap();
    let second = tokio::spawn(async move { other.guard(&digest).await.map(drop) });
    // Meanwhile everybody may write.
    run(&one, "INSERT INTO secrets (name, value) VALUES ('n', '0')").await;
    assert!(!second.is_finished());
    drop(held);
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_transaction_announces_is_heard_when_it_is_committed() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    let Some(mut changes) = other.changes().await.unwrap() else {
        assert!(!one.is_shared());
        return;
    };
    let announce = async |names: &[String], last: bool| {
        let mut tx = one.write().await.unwrap();
        one.announce(&mut tx, names).await.unwrap();
        if last {
            commit(tx).await.unwrap();
        }
    };
    announce(&["never".to_owned()], false).await;
    let two = ["a b".to_owned(), "c".to_owned()];
    announce(&two, true).await;
    assert_eq!(changes.next().await.unwrap(), Heard::Names(two.to_vec()));
    announce(&vec!["too much".to_owned(); 2000], true).await;
    assert_eq!(changes.next().await.unwrap(), Heard::Anything);
}

/// In a transaction of its own.
async fn take(store: &Store, holder: &str, limit: u32, now_ms: u64) -> Vec<queue::Taken> {
    let mut tx = store.write_alone().await.unwrap();
    let taken = queue::take(&mut tx, "job", limit, holder, now_ms, now_ms + 100).await;
    commit(tx).await.unwrap();
    taken.unwrap()
}

async fn fill(store: &Store, pieces: u32) {
    let mut tx = store.write().await.unwrap();
    for n in 0..pieces {
        let id = format!("{n:03}");
        assert!(queue::put(&mut tx, "job", &id, u64::from(n)).await.unwrap());
        assert!(!queue::put(&mut tx, "job", &id, 0).await.unwrap());
    }
    assert!(queue::put(&mut tx, "other", "000", 0).await.unwrap());
    commit(tx).await.unwrap();
}

#[tokio::test]
async fn a_census_counts_by_names_that_are_known_beforehand() {
    let place = Place::new();
    let store = place.open().await;
    fill(&store, 3).await;
    run(
        &store,
        "INSERT INTO queue (kind, id, due_ms, tries) VALUES ('webhook', 'a', 1000, 0), ('webhook', 'b', 9000, 0)",
    )
    .await;
    run(
        &store,
        "INSERT INTO nodes (id, operator, endpoint, memory_bytes, price, boot_id, token_sha256, revision, online,
             seen_ms, registered_ms)
         VALUES ('n1', 'o', 'e', 1, 1, 'b1', 't', 1, TRUE, 0, 0), ('n2', 'o', 'e', 1, 1, 'b2', 't', 1, TRUE, 0, 0),
             ('n3', 'o', 'e', 1, 1, 'b3', 't', 1, FALSE, 0, 0)",
    )
    .await;
    let census = store.census(5000).await.unwrap();
    assert_eq!(census.nodes, [("online", 2), ("offline", 1)]);
    // Three of a kind, and one of another, that nobody has heard of.
    assert_eq!(census.queue, [("webhook", 2), ("other", 4)]);
    assert_eq!(census.overdue_ms, [("webhook", 4000)]);
    assert!(census.jobs.iter().all(|(_, count)| *count == 0));
    assert_eq!(census.jobs.len(), 7, "also states that no job is in");
    let early = store.census(500).await.unwrap();
    assert_eq!(early.overdue_ms, [("webhook", 0)], "not due yet");
}

#[tokio::test]
async fn a_piece_is_taken_by_one_of_many() {
    let place = Place::new();
    let stores = [place.open().await, place.open().await];
    fill(&stores[0], 200).await;
    let takers = (0..8).map(|n| {
        let store = stores[n % 2].clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for turn in 0.. {
                let taken = take(&store, &format!("{n}-{turn}"), 3, 1000).await;
                assert!(taken.len() <= 3);
                if taken.is_empty() {
                    return mine;
                }
                mine.extend(taken);
            }
            mine
        })
    });
    let mut all = Vec::new();
    for taker in takers {
        all.extend(taker.await.unwrap());
    }
    all.sort();
    let expected: Vec<_> = (0..200)
        .map(|n| queue::Taken {
            id: format!("{n:03}"),
            tries: 1,
        })
        .collect();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn what_one_is_just_taking_keeps_nobody_from_the_rest() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    if !one.is_shared() {
        return;
    }
    fill(&one, 4).await;
    let mut tx = one.write_alone().await.unwrap();
    let taken = queue::take(&mut tx, "job", 2, "a", 10, 110).await.unwrap();
    assert_eq!(taken.len(), 2);
    let ids = |taken: Vec<queue::Taken>| taken.into_iter().map(|t| t.id).collect::<Vec<_>>();
    assert_eq!(ids(take(&other, "b", 4, 10).await), ["002", "003"]);
    // Not committed: nobody took them.
    tx.rollback().await.unwrap();
    let mut rest = ids(take(&other, "c", 4, 10).await);
    rest.sort();
    assert_eq!(rest, ["000", "001"]);
}

#[tokio::test]
async fn a_piece_is_ended_once_by_who_holds_it_and_goes_elsewhere_when_the_time_is_up() {
    let place = Place::new();
    let store = place.open().await;
    fill(&store, 1).await;
    assert_eq!(take(&store, "a", 9, 50).await.len(), 1);
    assert_eq!(take(&store, "b", 9, 149).await, []);
    let mut tx = store.write().await.unwrap();
    assert!(
        queue::postpone(&mut tx, "job", "000", "a", 200)
            .await
            .unwrap()
    );
    assert!(
        !queue::postpone(&mut tx, "job", "000", "b", 300)
            .await
            .unwrap()
    );
    commit(tx).await.unwrap();
    assert_eq!(take(&store, "b", 9, 199).await, []);
    assert_eq!(take(&store, "b", 9, 200).await[0].tries, 2);
    let mut tx = store.write().await.unwrap();
    for (holder, ends) in [("a", false), ("b", true), ("b", false)] {
        let ended = queue::finish(&mut tx, "job", "000", holder).await.unwrap();
        assert_eq!(ended, ends, "{holder}");
    }
    commit(tx).await.unwrap();
    assert_eq!(take(&store, "c", 9, 9999).await, []);
}

#[tokio::test]
async fn odd_folders_can_hold_a_database() {
    let outer = tempfile::tempdir().unwrap();
    for name in ["with space", "100%?#", "Ünïcode", "a&b=c;d"] {
        let folder = outer.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        Store::open(&Database::Folder(folder.clone()))
            .await
            .unwrap()
            .close()
            .await;
        assert!(folder.join(engine::DATABASE_FILE).is_file());
    }
}

#[tokio::test]
async fn what_was_there_before_organisations_belongs_to_the_default_one() {
    let place = Place::new();
    // The schema as the program before had it, with one of everything.
    let (engine, pools) = engine::open(&place.database).await.unwrap();
    let mut tx = pools.writers.begin_with(engine.write()).await.unwrap();
    migrations::run_until(&mut tx, 8).await.unwrap();
    for sql in [
        "INSERT INTO api_keys (id, name, secret_sha256, created_ms) VALUES ('0011223344556677', 'k', '', 1)",
        "INSERT INTO blobs (digest, size, touched_ms) VALUES ('sha256:b', 1, 7)",
        "INSERT INTO functions (name, last_version, last_log) VALUES ('iris', 1, 0)",
        "INSERT INTO nodes (id, operator, endpoint, memory_bytes, price, boot_id, token_sha256, revision, online, seen_ms, registered_ms)
         VALUES ('n', 'o', 'e', 1, 1, 'b', 't', 1, TRUE, 1, 1)",
    ] {
        query(sql).execute(&mut *tx).await.unwrap();
    }
    commit(tx).await.unwrap();
    pools.close().await;

    let store = place.open().await;
    let mut tx = store.read().await.unwrap();
    for sql in [
        "SELECT organisation AS o FROM api_keys",
        "SELECT organisation AS o FROM functions",
        "SELECT organisation AS o FROM nodes",
        "SELECT organisation AS o FROM blob_holders WHERE blob = 'sha256:b' AND touched_ms = 7",
        "SELECT name AS o FROM organisations",
    ] {
        let rows = query(sql).fetch_all(&mut *tx).await.unwrap();
        let owners: Vec<String> = rows.iter().map(|row| row.get("o")).collect();
        assert_eq!(owners, ["default"], "{sql}");
    }
    let keys = keys::list(&mut tx).await.unwrap();
    assert_eq!(
        keys[0].scopes,
        nacre_protocol::api::keys::Scope::OF_ORGANISATIONS.into()
    );
}

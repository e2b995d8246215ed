//! The schema, step by step. Steps are never changed and never taken back.

use sqlx::migrate::{MigrateError, Migrator};

use super::{StoreError, Transaction};

/// Plain SQL that both engines read. The text of a step is compiled in, and its hash is in the database.
static STEPS: Migrator = sqlx::migrate!();

/// Takes the steps that are missing, all or none; refuses a database that another program's steps made.
pub(super) async fn run(tx: &mut Transaction) -> Result<(), StoreError> {
    let mut steps = Migrator {
        migrations: STEPS.migrations.clone(),
        ..Migrator::DEFAULT
    };
    // The transaction has its turn to write.
    steps.set_locking(false);
    steps.run(&mut **tx).await.map_err(|error| match error {
        MigrateError::VersionMissing(step) => StoreError::TooNew(step),
        MigrateError::VersionMismatch(step) => StoreError::Foreign(step),
        error => StoreError::Migration(error),
    })
}

//! The schema, step by step. Steps are never changed and never taken back.

use sqlx::migrate::{MigrateError, Migration, Migrator};

use super::{StoreError, Transaction};

/// Plain SQL that both engines read. The text of a step is compiled in, and its hash is in the database.
static STEPS: Migrator = sqlx::migrate!();

/// Takes the steps that are missing, all or none; refuses a database that another program's steps made.
pub(super) async fn run(tx: &mut Transaction) -> Result<(), StoreError> {
    take(tx, STEPS.migrations.to_vec()).await
}

/// Takes the steps up to this one, as a program of that time did.
#[cfg(test)]
pub(super) async fn run_until(tx: &mut Transaction, last: i64) -> Result<(), StoreError> {
    let steps = STEPS.migrations.iter();
    let until = steps.filter(|step| step.version <= last).cloned().collect();
    take(tx, until).await
}

async fn take(tx: &mut Transaction, steps: Vec<Migration>) -> Result<(), StoreError> {
    let mut steps = Migrator {
        migrations: steps.into(),
        ..Migrator::DEFAULT
    };
    // The transaction has its turn to write: whoever comes at the same moment waits, and finds it done.
    steps.set_locking(false);
    steps.run(&mut **tx).await.map_err(|error| match error {
        MigrateError::VersionMissing(step) => StoreError::TooNew(step),
        MigrateError::VersionMismatch(step) => StoreError::Foreign(step),
        error => StoreError::Migration(error),
    })
}

//! What other control planes changed. On PostgreSQL a transaction says what it changed, and the server tells everybody
//! who listens when, and only when, it is committed. On SQLite there is nobody else.

use sqlx::postgres::PgListener;
use sqlx::query;

use super::engine::Engine;
use super::{Store, StoreError, Transaction};

const CHANNEL: &str = "nacre_changes";
/// PostgreSQL takes less than 8,000 bytes.
const MAX_TEXT: usize = 7900;
/// Said when there is more to say than that.
const ALL: &str = "*";

/// News.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// These changed.
    Names(Vec<String>),
    /// Anything may have changed.
    Anything,
}

impl Store {
    /// Says, as part of the transaction, that these changed. A name has no line break in it.
    pub(crate) async fn announce(
        &self,
        tx: &mut Transaction,
        names: &[String],
    ) -> Result<(), StoreError> {
        if names.is_empty() || !self.is_shared() {
            return Ok(());
        }
        let mut text = names.join("\n");
        if text.len() > MAX_TEXT {
            ALL.clone_into(&mut text);
        }
        query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(text)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Begins to listen; `None` if there is nobody to listen to.
    pub(crate) async fn changes(&self) -> Result<Option<Changes>, StoreError> {
        let Engine::Postgres { url } = &self.engine else {
            return Ok(None);
        };
        let mut listener = PgListener::connect(url.as_str()).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Changes(listener)))
    }
}

/// A connection that listens.
#[derive(Debug)]
pub(crate) struct Changes(PgListener);

impl Changes {
    /// The next news. After an error, listen anew.
    pub(crate) async fn next(&mut self) -> Result<Heard, StoreError> {
        Ok(match self.0.try_recv().await? {
            Some(news) if news.payload() != ALL => {
                Heard::Names(news.payload().lines().map(str::to_owned).collect())
            }
            // The connection was lost and is there again; what was said meanwhile was missed.
            _ => Heard::Anything,
        })
    }
}

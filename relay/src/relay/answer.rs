//! What the platform gives becomes an answer, or does not.

use std::time::Duration;

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::api::jobs::JobState;

use super::{Relay, RelayError};
use crate::follow::now_ms;
use crate::job::{Event, Present};
use crate::platform::PlatformError;
use crate::prove::ProofError;
use crate::reason::Reason;
use crate::store::{JobRow, commit};

/// Before it is asked again whether a key is registered, or an enclave there.
const NOT_YET: Duration = Duration::from_secs(2);

impl Relay {
    /// Asks the platform for a job's answer, waits a while for it, and checks it.
    pub(super) async fn answer(&self, row: &JobRow, _: &Present) -> Result<(), RelayError> {
        let id = row.asked.id;
        let platform_id = self.platform_id(row, row.result_key.as_ref());
        let job = match self.platform.job(&platform_id).await {
            Ok(job) => job,
            Err(PlatformError::Refused {
                status: 404 | 410, ..
            }) => {
                return self.again(row, Reason::PlatformFailed).await;
            }
            Err(error) => return Err(error.into()),
        };
        match job.state {
            JobState::Done => {}
            state if state.is_final() => {
                let code = job.failure.map(|failure| failure.code);
                tracing::warn!(job = %id, ?state, code, "the platform has no answer");
                return self.again(row, Reason::PlatformFailed).await;
            }
            _ => return Ok(()),
        }
        let carried = self
            .platform
            .result(&platform_id, row.result_key.is_some())
            .await?;
        let terms = row.asked.job.terms(&self.contract, self.settings.payee);
        let (platform, node) = (&self.platform, &self.node);
        let proven = self.prover.prove(
            &row.asked.job,
            terms,
            &job.function,
            &carried,
            platform,
            node,
        );
        match proven.await {
            Ok(answer) => {
                failpoint::before(Step::KeepAnswer);
                let mut tx = self.store.write().await?;
                answer.keep(&mut tx, &id).await?;
                JobRow::on(&mut tx, &id, Event::Proven, now_ms()).await?;
                commit(tx).await?;
                failpoint::after(Step::KeepAnswer);
                Ok(())
            }
            Err(ProofError::NotYet { reason, why }) => {
                tracing::info!(job = %id, %reason, why, "the answer cannot be brought yet");
                self.later(&id, NOT_YET).await
            }
            Err(ProofError::Refused { reason, why }) => {
                tracing::warn!(job = %id, %reason, why, "the answer is refused");
                self.again(row, reason).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Another attempt, or an end.
    pub(super) async fn again(&self, row: &JobRow, reason: Reason) -> Result<(), RelayError> {
        self.tell(&row.asked.id, Event::TryAgain(reason))
            .await
            .map(drop)
    }
}

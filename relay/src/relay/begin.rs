//! A request becomes a job of the platform's.

use std::time::Duration;

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::api::jobs::CreateJob;
use nacre_protocol::chain_job::sealed_terms;
use nacre_protocol::eip712::keccak;
use nacre_protocol::ids::JobId;

use super::{Relay, RelayError};
use crate::job::{Event, Present};
use crate::platform::PlatformError;
use crate::reason::Reason;
use crate::store::{JobRow, commit};
use crate::worth::Judgement;

/// Before a job is looked at again that is not worth its gas now, or is somebody else's for a while.
const LATER: Duration = Duration::from_millis(1_000);

impl Relay {
    /// Lays a job in, if it can be run and is worth it.
    pub(super) async fn begin(&self, row: &JobRow, present: &Present) -> Result<(), RelayError> {
        let id = row.asked.id;
        let request = &row.asked.job.request;
        let market = self.node.market().await?;
        let turn = self.node.turn(&id).await?;
        let own = turn
            .operator
            .is_some_and(|operator| self.settings.operators.contains(&operator));
        let duty = own && row.asked.assured;
        match self
            .settings
            .terms
            .judge(request, &market, present.now, duty)
        {
            Judgement::Take { .. } => {}
            Judgement::Wait => return self.later(&id, LATER).await,
            Judgement::Leave(reason) => return self.leave(row, reason).await,
        }
        // While it is another operator's alone, an answer would be in vain.
        if !self.settings.operators.is_empty() && !own && present.now < turn.until {
            return self.later(&id, LATER).await;
        }
        // Before the input is fetched, which may be large.
        let Some(function) = self.platform.name_of(&request.function).await? else {
            return self.leave(row, Reason::FunctionUnknown).await;
        };
        let Some(input) = self.input(row, present).await? else {
            return Ok(());
        };
        let Some(payload) = input.payload(request.input_hash) else {
            return self.leave(row, Reason::InputMalformed).await;
        };
        let result_key = payload.result_key();
        if let Some(key) = &result_key {
            let mut tx = self.store.write().await?;
            JobRow::is_sealed_to(&mut tx, &id, key).await?;
            commit(tx).await?;
        }
        let job = CreateJob {
            id: self.platform_id(row, result_key.as_ref()),
            function,
            digest: request.function,
            deadline_ms: request.deadline.saturating_mul(1000),
            max_price: None,
            webhook: None,
            chain: Some(row.asked.job.terms(&self.contract, self.settings.payee)),
            input: payload,
        };
        let once = format!("nacre-relay-{}", job.id);
        match self.platform.lay_in(&job, input.bytes(), &once).await {
            Ok(_) => {}
            Err(PlatformError::Refused { code, message, .. }) => {
                tracing::warn!(job = %id, code, message, "the platform refuses");
                return self.leave(row, Reason::PlatformRefused).await;
            }
            Err(error) => return Err(error.into()),
        }
        failpoint::before(Step::LayIn);
        self.tell(&id, Event::Laid).await?;
        failpoint::after(Step::LayIn);
        Ok(())
    }

    /// The platform's id for a job: for an attempt at it, the same whoever starts again, and for another payee another; where its
    /// input is sealed, the one that it was sealed for.
    pub(super) fn platform_id(&self, row: &JobRow, result_key: Option<&[u8; 32]>) -> JobId {
        let job = &row.asked.job;
        let terms = job.terms(&self.contract, self.settings.payee);
        if let Some(key) = result_key {
            let request = &job.request;
            let (function, deadline) = (request.function, request.deadline);
            return sealed_terms(&terms.domain(), &job.requester, function, deadline, key).job;
        }
        let hash = keccak(&[
            b"nacre/relay/job/v1\0",
            terms.to_string().as_bytes(),
            &row.state.attempt.to_be_bytes(),
        ]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        JobId::from_random(id)
    }

    pub(super) async fn leave(&self, row: &JobRow, reason: Reason) -> Result<(), RelayError> {
        self.tell(&row.asked.id, Event::Dropped(reason))
            .await
            .map(drop)
    }
}

//! A request becomes a job of the platform's.

use std::time::Duration;

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::api::jobs::{Bytes32, CreateJob, JobPayload};
use nacre_protocol::eip712::keccak;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobInput;

use super::{Relay, RelayError};
use crate::job::{Event, Present};
use crate::platform::PlatformError;
use crate::reason::Reason;
use crate::request::ChainJob;
use crate::store::JobRow;
use crate::worth::Judgement;

/// Before a job is looked at again that is not worth its gas now, or is somebody else's for a while.
const LATER: Duration = Duration::from_millis(1_000);
/// Longest input that goes within the request; a longer one follows it.
const INLINE: usize = 256 << 10;

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
        let mut tx = self.store.read().await?;
        let input = JobRow::get(&mut tx, &id)
            .await?
            .and_then(|row| row.asked.input);
        drop(tx);
        let Some(input) = input else {
            return self.leave(row, Reason::InputUnavailable).await;
        };
        let Ok(decoded) = JobInput::decode(&input) else {
            return self.leave(row, Reason::InputMalformed).await;
        };
        let payload = match input.len() <= INLINE {
            true => JobPayload::Plain {
                content_type: decoded.content_type.to_owned(),
                inference_header_length: decoded.inference_header_length.to_owned(),
                salt: Some(Bytes32(decoded.salt)),
                body: decoded.body.to_vec(),
            },
            false => JobPayload::Upload {
                size: input.len() as u64,
                digest: request.input_hash,
                result_key: None,
            },
        };
        let Some(function) = self.platform.name_of(&request.function).await? else {
            return self.leave(row, Reason::FunctionUnknown).await;
        };
        let job = CreateJob {
            id: self.platform_id(&row.asked.job, row.state.attempt),
            function,
            digest: request.function,
            deadline_ms: request.deadline.saturating_mul(1000),
            max_price: None,
            webhook: None,
            chain: Some(row.asked.job.terms(&self.contract, self.settings.payee)),
            input: payload,
        };
        let once = format!("nacre-relay-{}", job.id);
        match self.platform.lay_in(&job, Some(input), &once).await {
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

    /// The platform's id for an attempt at a job: the same whoever starts again, and for another payee another.
    pub(super) fn platform_id(&self, job: &ChainJob, attempt: u32) -> JobId {
        let terms = job.terms(&self.contract, self.settings.payee).to_string();
        let hash = keccak(&[
            b"nacre/relay/job/v1\0",
            terms.as_bytes(),
            &attempt.to_be_bytes(),
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

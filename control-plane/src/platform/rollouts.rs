//! Versions beside and after each other: a canary, its promotion, and the way back.

use nacre_protocol::api::Deployment;
use nacre_protocol::api::market::{RollBack, SetCanary};
use nacre_protocol::ids::{DeploymentId, FunctionName, OrganisationName};
use nacre_scheduler::{Event, Refusal};

use super::deployments::check_version;
use super::{Answer, Changed, Idempotency, Platform, random_id};
use crate::error::Error;
use crate::store::deployments::{Place, Replaces};
use crate::store::{Transaction, deployments, functions, orders};

impl Platform {
    /// Puts a version on trial beside the live one, or changes its part of the requests. Answers with its deployment.
    pub(crate) async fn set_canary(
        &self,
        organisation: &OrganisationName,
        function: &FunctionName,
        request: SetCanary,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        check_version(&mut tx, organisation, function, &request.digest).await?;
        let live = live(&mut tx, organisation, function).await?;
        if live.digest == request.digest {
            return Err(Refusal::SameVersion.into());
        }
        let before = deployments::canary(&mut tx, function).await?;
        let mut changed = Changed::default();
        let id = match before.filter(|canary| canary.digest == request.digest) {
            Some(canary) => {
                deployments::set_weight(&mut tx, &canary.id, request.weight).await?;
                canary.id
            }
            None => {
                let id = DeploymentId::from_random(random_id()?);
                let asked = orders::asked(&mut tx, &live.id).await?;
                let asked = asked.ok_or(Error::Internal("a live deployment vanished"))?;
                let place = Place::OnTrial(request.weight);
                let what = (function, &request.digest);
                let replaced = deployments::insert(&mut tx, &id, what, &asked, place, now).await?;
                changed = changed.deployments(replaced);
                id
            }
        };
        let order = orders::of(&mut tx, &id).await?;
        let version = order
            .ok_or(Error::Internal("a deployment vanished"))?
            .version;
        let event = Event::CanarySet {
            function: function.clone(),
            version,
            weight: request.weight,
        };
        let changed = changed.and(self.market(&mut tx, &[event], now).await?);
        self.answer(tx, id, changed.deployments([id]), once, 201, now)
            .await
    }

    /// Makes the version on trial the live one, by a rolling update. Answers with its deployment.
    pub(crate) async fn promote(
        &self,
        organisation: &OrganisationName,
        function: &FunctionName,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        let live = live(&mut tx, organisation, function).await?;
        let canary = deployments::canary(&mut tx, function).await?;
        let canary = canary.ok_or(Refusal::NoOtherVersion)?.id;
        deployments::replace(&mut tx, function, Replaces::Live, &canary, now).await?;
        deployments::turn_to(&mut tx, &canary, &live.id).await?;
        let event = Event::CanaryPromoted {
            function: function.clone(),
        };
        let changed = self.market(&mut tx, &[event], now).await?;
        let changed = changed.deployments([live.id, canary]);
        self.answer(tx, canary, changed, once, 200, now).await
    }

    /// Ends the trial, or goes back to the version before the live one, under the terms in force. Answers with the
    /// deployment that is live then.
    pub(crate) async fn roll_back(
        &self,
        organisation: &OrganisationName,
        function: &FunctionName,
        request: RollBack,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        let live = live(&mut tx, organisation, function).await?.id;
        let canary = deployments::canary(&mut tx, function).await?;
        let ends = canary.as_ref().map_or(live, |canary| canary.id);
        if request.from.is_some_and(|from| from != ends) {
            return Err(Error::NotThatDeployment(ends));
        }
        let stays = if canary.is_some() {
            deployments::replace(&mut tx, function, Replaces::Canary, &live, now).await?;
            live
        } else {
            let previous = orders::said(&mut tx, function).await?.previous;
            let previous = previous.ok_or(Refusal::NoOtherVersion)?;
            deployments::replace(&mut tx, function, Replaces::Live, &previous, now).await?;
            deployments::turn_to(&mut tx, &previous, &live).await?;
            previous
        };
        let event = Event::RolledBack {
            function: function.clone(),
        };
        let changed = self.market(&mut tx, &[event], now).await?;
        let changed = changed.deployments([ends, stays]);
        self.answer(tx, stays, changed, once, 200, now).await
    }

    /// Commits, and answers with where the deployment stands.
    async fn answer(
        &self,
        mut tx: Transaction,
        id: DeploymentId,
        changed: Changed,
        once: Option<&Idempotency>,
        status: u16,
        now_ms: u64,
    ) -> Result<Answer, Error> {
        let deployment = deployments::get(&mut tx, &id).await?;
        let deployment = deployment.ok_or(Error::Internal("a deployment vanished"))?;
        let answer = Answer::new(status, &deployment)?;
        Idempotency::keep(once, &mut tx, &answer, now_ms).await?;
        self.commit(tx, changed).await?;
        Ok(answer)
    }
}

/// The function's live deployment.
async fn live(
    tx: &mut Transaction,
    organisation: &OrganisationName,
    function: &FunctionName,
) -> Result<Deployment, Error> {
    if !functions::exists(tx, function, organisation).await? {
        return Err(Error::FunctionNotFound(function.clone()));
    }
    let live = deployments::live(tx, function).await?;
    live.ok_or_else(|| Error::NotDeployed(function.clone()))
}

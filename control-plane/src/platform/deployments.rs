//! Deployments.

use nacre_protocol::api::{CreateDeployment, Deployment};
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::{DeploymentId, OrganisationName};

use super::functions::check_function;
use super::{Answer, Changed, Idempotency, OnlyIf, Platform, random_id};
use crate::error::Error;
use crate::store::{deployments, functions};
use crate::wakers::Topic;

/// Most replicas of a deployment.
pub(super) const MAX_REPLICAS: u32 = 100;

impl Platform {
    /// Makes the function's live deployment in place of the one before, and places it.
    pub(crate) async fn deploy(
        &self,
        organisation: &OrganisationName,
        order: &CreateDeployment,
        only_if: &OnlyIf,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        if !(1..=MAX_REPLICAS).contains(&order.replicas) {
            return Err(Error::Replicas(order.replicas));
        }
        if order
            .max_price
            .is_some_and(|price| i64::try_from(price).is_err())
        {
            return Err(Error::MaxPrice);
        }
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        if !functions::exists(&mut tx, &order.function, organisation).await? {
            return Err(Error::FunctionNotFound(order.function.clone()));
        }
        check_function(&mut tx, &order.function, only_if).await?;
        let version = functions::version(&mut tx, &order.digest).await?;
        if version.is_none_or(|version| version.function != order.function) {
            return Err(Error::VersionNotFound(order.function.clone(), order.digest));
        }
        let id = DeploymentId::from_random(random_id()?);
        let replaced = deployments::insert(&mut tx, &id, order, now).await?;
        let applied = self.replan(&mut tx, now).await?;
        let deployment = deployments::get(&mut tx, &id).await?;
        let deployment = deployment.ok_or(Error::Internal("a deployment vanished"))?;
        let answer = Answer::created(&deployment)?;
        Idempotency::keep(once, &mut tx, &answer, now).await?;
        let changed = Changed::from(applied).deployments(replaced);
        self.commit(tx, changed).await?;
        Ok(answer)
    }

    /// Where a deployment stands; waits up to `wait_ms` while that is `after`.
    pub(crate) async fn deployment(
        &self,
        organisation: &OrganisationName,
        id: DeploymentId,
        after: FunctionState,
        wait_ms: u64,
    ) -> Result<Deployment, Error> {
        let mut wait = self.wakers.wait(Topic::Deployment(id), wait_ms);
        loop {
            let mut tx = self.store.read().await?;
            let deployment = deployments::owned(&mut tx, &id, organisation).await?;
            drop(tx);
            let deployment = deployment.ok_or(Error::DeploymentNotFound(id))?;
            if deployment.state != after || !wait.again().await {
                return Ok(deployment);
            }
        }
    }
}

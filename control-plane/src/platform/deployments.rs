//! Deployments.

use nacre_protocol::api::{CreateDeployment, Deployment};
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName, OrganisationName};
use nacre_scheduler::Event;

use super::functions::check_function;
use super::{Answer, Idempotency, OnlyIf, Platform, random_id};
use crate::error::Error;
use crate::store::deployments::Place;
use crate::store::ledger::spending;
use crate::store::{Transaction, deployments, functions, orders};
use crate::terms::Asked;
use crate::wakers::Topic;

impl Platform {
    /// Makes the function's live deployment in place of the one before, and places it.
    pub(crate) async fn deploy(
        &self,
        organisation: &OrganisationName,
        order: &CreateDeployment,
        only_if: &OnlyIf,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        let asked = Asked::of(order)?;
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        check_version(&mut tx, organisation, &order.function, &order.digest).await?;
        check_function(&mut tx, &order.function, only_if).await?;
        let id = DeploymentId::from_random(random_id()?);
        let what = (&order.function, &order.digest);
        let replaced = deployments::insert(&mut tx, &id, what, &asked, Place::Live, now).await?;
        let order = orders::of(&mut tx, &id).await?;
        let order = order.ok_or(Error::Internal("a deployment vanished"))?;
        // One that waits for money is ordered when it is covered again.
        let events = match spending::stopped(&mut tx, &order.function).await? {
            Some(_) => Vec::new(),
            None => vec![Event::Ordered(order)],
        };
        let changed = self.market(&mut tx, &events, now).await?;
        let deployment = deployments::get(&mut tx, &id).await?;
        let deployment = deployment.ok_or(Error::Internal("a deployment vanished"))?;
        let answer = Answer::created(&deployment)?;
        Idempotency::keep(once, &mut tx, &answer, now).await?;
        self.commit(tx, changed.deployments(replaced)).await?;
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

/// Whether the organisation's function has the version.
pub(super) async fn check_version(
    tx: &mut Transaction,
    organisation: &OrganisationName,
    function: &FunctionName,
    digest: &Digest,
) -> Result<(), Error> {
    if !functions::exists(tx, function, organisation).await? {
        return Err(Error::FunctionNotFound(function.clone()));
    }
    let version = functions::version(tx, digest).await?;
    if version.is_none_or(|version| version.function != *function) {
        return Err(Error::VersionNotFound(function.clone(), *digest));
    }
    Ok(())
}

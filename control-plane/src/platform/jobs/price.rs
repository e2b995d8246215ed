//! What a job may cost.

use nacre_protocol::api::jobs::CreateJob;
use nacre_protocol::ids::OrganisationName;
use nacre_protocol::manifest::FunctionManifest;

use crate::error::Error;
use crate::platform::Platform;

impl Platform {
    /// The most that a second may cost of the lease that runs the job, 1024ths of a micro-unit.
    pub(super) async fn price_ceiling(
        &self,
        organisation: &OrganisationName,
        request: &CreateJob,
    ) -> Result<Option<u64>, Error> {
        let Some(max_price) = request.max_price else {
            return Ok(None);
        };
        if i64::try_from(max_price).is_err() {
            return Err(Error::MaxPrice);
        }
        let (_, manifest) = self.describe(organisation, &request.digest).await?;
        Ok(Some(ceiling(max_price, &manifest)))
    }
}

/// A job computes for at most its function's timeout: the most that a second of that may cost, memory and processor together, so
/// that it stays within `max_price`, micro-units.
fn ceiling(max_price: u64, manifest: &FunctionManifest) -> u64 {
    let millis = manifest.limits.timeout.duration().as_millis().max(1);
    let highest = u128::from(max_price) * 1024 * 1000 / millis;
    u64::try_from(highest)
        .unwrap_or(u64::MAX)
        .min(i64::MAX as u64)
}

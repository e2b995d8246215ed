//! What a job may cost.

use nacre_protocol::api::jobs::CreateJob;
use nacre_protocol::ids::OrganisationName;
use nacre_protocol::manifest::FunctionManifest;

use crate::error::Error;
use crate::platform::Platform;

impl Platform {
    /// The most that a lease may cost which runs the job.
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

/// A job holds the function's memory for at most its timeout, and a lease costs its price per GiB and second: the highest
/// price at which that stays within `max_price`, micro-units.
fn ceiling(max_price: u64, manifest: &FunctionManifest) -> u64 {
    let bytes = u128::from(manifest.limits.memory.bytes()).max(1);
    let millis = manifest.limits.timeout.duration().as_millis().max(1);
    let highest = u128::from(max_price) * (1 << 30) * 1000 / (bytes * millis);
    u64::try_from(highest)
        .unwrap_or(u64::MAX)
        .min(i64::MAX as u64)
}

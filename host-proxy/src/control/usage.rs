//! Usage receipts through the control channel.

use std::time::Duration;

use http::Method;
use nacre_protocol::control::{AcknowledgeUsage, UsagePage};

use super::{Control, ControlError, QUICK, json};

impl Control {
    /// Usage receipts after a number, of those that are not acknowledged; waits for one at most `wait`.
    pub async fn usage(&self, after: u64, wait: Duration) -> Result<UsagePage, ControlError> {
        let path = format!("/v1/usage?after={after}&wait_ms={}", wait.as_millis());
        self.call(Method::GET, &path, None, wait + QUICK)
            .await?
            .json()
    }

    /// Says that all receipts up to this number are stored elsewhere; the enclave forgets them.
    pub async fn acknowledge_usage(&self, through: u64) -> Result<(), ControlError> {
        let body = json(&AcknowledgeUsage { through });
        let path = "/v1/usage/acknowledged";
        self.call(Method::PUT, path, body, QUICK).await.map(drop)
    }
}

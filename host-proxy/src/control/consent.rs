//! The enclave's consent through the control channel.

use http::Method;
use nacre_protocol::control::{AskConsent, Consent};

use super::{Control, ControlError, QUICK, json};

impl Control {
    /// The enclave's consent to work for an operator at a registry.
    pub async fn consent(&self, ask: &AskConsent) -> Result<Consent, ControlError> {
        let answer = self.call(Method::POST, "/v1/consent", json(ask), QUICK);
        answer.await?.json()
    }
}

//! Keys and the audit log.

use nacre_protocol::api::Page;
use nacre_protocol::api::audit::AuditEntry;
use nacre_protocol::api::keys::{ApiKey, CreateKey, IssuedKey, RotateKey};
use reqwest::Method;
use serde::Serialize;

use super::{Api, POLL, expect_success, parse};
use crate::error::CliError;

impl Api {
    /// Makes a key. Not tried again: the answer that was lost holds a secret that nobody will know.
    pub(crate) async fn create_key(&self, order: &CreateKey) -> Result<IssuedKey, CliError> {
        self.issue("/v1/keys", order).await
    }

    pub(crate) async fn rotate_key(
        &self,
        id: &str,
        order: &RotateKey,
    ) -> Result<IssuedKey, CliError> {
        self.issue(&format!("/v1/keys/{id}/rotate"), order).await
    }

    pub(crate) async fn revoke_key(&self, id: &str) -> Result<(), CliError> {
        let request = self.request(Method::DELETE, &format!("/v1/keys/{id}"));
        let response = self.send(request.timeout(POLL)).await?;
        expect_success(response).await.map(drop)
    }

    pub(crate) async fn keys(&self) -> Result<Vec<ApiKey>, CliError> {
        self.all("/v1/keys").await
    }

    /// The latest entries of the audit log.
    pub(crate) async fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, CliError> {
        let page: Page<AuditEntry> = self.get(&format!("/v1/audit?limit={limit}")).await?;
        Ok(page.items)
    }

    async fn issue(&self, path: &str, order: &impl Serialize) -> Result<IssuedKey, CliError> {
        let request = self.request(Method::POST, path).timeout(POLL).json(order);
        parse(expect_success(self.send(request).await?).await?).await
    }
}

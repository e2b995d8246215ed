//! The control plane's ledger API.

use nacre_protocol::api::Page;
use nacre_protocol::api::ledger::{
    Balance, CapPeriod, Invoice, LedgerEntry, SetSpendingCap, SpendingCap,
};
use nacre_protocol::ids::FunctionName;
use reqwest::Method;

use super::{Api, POLL, expect_success, parse};
use crate::error::CliError;

impl Api {
    pub(crate) async fn balance(&self) -> Result<Balance, CliError> {
        self.get("/v1/ledger/balance").await
    }

    pub(crate) async fn entries(&self, after: u64) -> Result<Vec<LedgerEntry>, CliError> {
        let mut items = Vec::new();
        let mut cursor = Some(after.to_string());
        while let Some(after) = cursor {
            let path = format!("/v1/ledger/entries?after={after}&limit=1000");
            let page: Page<LedgerEntry> = self.get(&path).await?;
            items.extend(page.items);
            cursor = page.next;
        }
        Ok(items)
    }

    pub(crate) async fn caps(&self) -> Result<Vec<SpendingCap>, CliError> {
        self.all("/v1/ledger/caps").await
    }

    pub(crate) async fn set_cap(&self, cap: &SetSpendingCap) -> Result<SpendingCap, CliError> {
        let request = self.request(Method::PUT, "/v1/ledger/caps").json(cap);
        let response = self.send(request.timeout(POLL)).await?;
        parse(expect_success(response).await?).await
    }

    pub(crate) async fn remove_cap(
        &self,
        function: Option<&FunctionName>,
        period: CapPeriod,
    ) -> Result<(), CliError> {
        let period = serde_json::to_value(period).map_err(anyhow::Error::from)?;
        let mut path = format!(
            "/v1/ledger/caps?period={}",
            period.as_str().unwrap_or_default()
        );
        if let Some(function) = function {
            path.push_str(&format!("&function={function}"));
        }
        let request = self.request(Method::DELETE, &path).timeout(POLL);
        expect_success(self.send(request).await?).await.map(drop)
    }

    pub(crate) async fn invoices(&self) -> Result<Vec<Invoice>, CliError> {
        self.all("/v1/ledger/invoices").await
    }

    /// A month's, or with `now` that of the current month so far.
    pub(crate) async fn invoice(&self, month: &str) -> Result<Invoice, CliError> {
        self.get(&format!("/v1/ledger/invoices/{month}")).await
    }
}

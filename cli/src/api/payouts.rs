//! The control plane's payout API.

use nacre_protocol::api::Page;
use nacre_protocol::api::payouts::{AskPayout, OperatorBalance, Payout};
use nacre_protocol::ids::{OperatorId, PayoutId};
use reqwest::Method;

use super::{Api, POLL, expect_success, parse};
use crate::error::CliError;

impl Api {
    pub(crate) async fn operators(&self) -> Result<Vec<OperatorBalance>, CliError> {
        self.all("/v1/ledger/operators").await
    }

    pub(crate) async fn ask_payout(&self, wish: &AskPayout) -> Result<Payout, CliError> {
        self.create("/v1/ledger/payouts", wish).await
    }

    pub(crate) async fn payouts(
        &self,
        operator: Option<&OperatorId>,
    ) -> Result<Vec<Payout>, CliError> {
        let of = operator
            .map(|operator| format!("&operator={operator}"))
            .unwrap_or_default();
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/ledger/payouts?limit=1000&after={after}{of}");
            let page: Page<Payout> = self.get(&path).await?;
            items.extend(page.items);
            let Some(next) = page.next else {
                return Ok(items);
            };
            after = next;
        }
    }

    pub(crate) async fn withdraw_payout(&self, id: &PayoutId) -> Result<Payout, CliError> {
        let path = format!("/v1/ledger/payouts/{id}");
        let request = self.request(Method::DELETE, &path).timeout(POLL);
        parse(expect_success(self.send(request).await?).await?).await
    }
}

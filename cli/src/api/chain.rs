//! Receipt keys for smart contracts.

use nacre_protocol::api::Page;
use nacre_protocol::api::chain::ChainKey;
use nacre_protocol::verified_enclave::ContractDomain;

use super::Api;
use crate::error::CliError;

impl Api {
    /// All keys that nodes offer to a registry.
    pub(crate) async fn chain_keys(
        &self,
        registry: &ContractDomain,
    ) -> Result<Vec<ChainKey>, CliError> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/chain/keys?registry={registry}&after={after}");
            let page: Page<ChainKey> = self.get(&path).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => after = next,
                None => return Ok(items),
            }
        }
    }
}

//! The control plane's API for receipt keys of smart contracts, as a node uses it.

use nacre_protocol::api::chain::PublishChainKeys;
use nacre_protocol::ids::NodeId;

use super::{Platform, PlatformError, QUICK, Session, success};

impl Platform {
    /// Brings what the enclave agreed to, with evidence.
    pub(crate) async fn publish_chain_keys(
        &self,
        session: &Session,
        node: NodeId,
        keys: &PublishChainKeys,
    ) -> Result<(), PlatformError> {
        let url = self.url(&["v1", "nodes", &node.to_string(), "chain-keys"]);
        let request = self.client.put(url).json(keys).timeout(QUICK);
        success(request.bearer_auth(&session.token.0))
            .await
            .map(drop)
    }
}

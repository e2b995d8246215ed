//! The control plane's API for usage, as a node uses it.

use nacre_protocol::api::jobs::ReportUsage;
use nacre_protocol::ids::NodeId;
use nacre_protocol::usage::SignedUsage;

use super::{Platform, PlatformError, QUICK, Session, success};

impl Platform {
    /// Brings usage receipts; they are stored when this succeeds.
    pub(crate) async fn usage(
        &self,
        session: &Session,
        node: NodeId,
        receipts: &[SignedUsage],
    ) -> Result<(), PlatformError> {
        let url = self.url(&["v1", "nodes", &node.to_string(), "usage"]);
        let report = ReportUsage {
            receipts: receipts.to_vec(),
        };
        let request = self.client.post(url).json(&report).timeout(QUICK);
        success(request.bearer_auth(&session.token.0))
            .await
            .map(drop)
    }
}

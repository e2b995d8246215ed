//! Incidents.

use nacre_protocol::api::Page;
use nacre_protocol::api::incidents::{Conduct, Incident};
use nacre_protocol::ids::NodeId;

use super::Api;
use crate::error::CliError;

impl Api {
    /// All incidents, of all nodes or of one, the latest first.
    pub(crate) async fn incidents(&self, node: Option<&NodeId>) -> Result<Vec<Incident>, CliError> {
        let of = node.map(|node| format!("&node={node}")).unwrap_or_default();
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/incidents?after={after}{of}");
            let page: Page<Incident> = self.get(&path).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => after = next,
                None => return Ok(items),
            }
        }
    }

    /// Every node's score.
    pub(crate) async fn conduct(&self) -> Result<Vec<Conduct>, CliError> {
        self.all("/v1/conduct").await
    }
}

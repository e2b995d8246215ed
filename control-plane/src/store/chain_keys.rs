//! Receipt keys that nodes offer to smart contracts.

use nacre_protocol::api::chain::{ChainKey, RegistryConsent};
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::encoding::{base64url, from_base64url};
use nacre_protocol::ids::{BootId, NodeId};
use nacre_protocol::verified_enclave::ContractDomain;
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// What a node's enclave showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub node: NodeId,
    pub boot: BootId,
    pub receipt_key: EthAddress,
    pub operator: EthAddress,
    pub document: &'a [u8],
    pub document_ms: u64,
}

/// Writes what a node offers, instead of all that it offered before.
pub(crate) async fn replace(
    on: &mut Connection,
    shown: Shown<'_>,
    consents: &[RegistryConsent],
) -> Result<(), StoreError> {
    let node = shown.node.to_string();
    query("DELETE FROM chain_keys WHERE node = $1")
        .bind(&node)
        .execute(&mut *on)
        .await?;
    for consent in consents {
        query(
            "INSERT INTO chain_keys (node, registry, receipt_key, operator, consent)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&node)
        .bind(consent.domain().to_string())
        .bind(shown.receipt_key.to_string())
        .bind(shown.operator.to_string())
        .bind(consent.consent.to_string())
        .execute(&mut *on)
        .await?;
    }
    query(
        "INSERT INTO chain_documents (node, boot_id, document, document_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (node) DO UPDATE SET boot_id = excluded.boot_id,
             document = excluded.document, document_ms = excluded.document_ms",
    )
    .bind(&node)
    .bind(shown.boot.to_string())
    .bind(base64url(shown.document))
    .bind(big(shown.document_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Keys of enclaves that run, by node and registry, after the one that `after` names by both; of all registries or of one.
pub(crate) async fn page(
    on: &mut Connection,
    registry: Option<&ContractDomain>,
    after: Option<(NodeId, ContractDomain)>,
    limit: u32,
) -> Result<Vec<ChainKey>, StoreError> {
    let (node, after) = after.map_or_else(Default::default, |(node, registry)| {
        (node.to_string(), registry.to_string())
    });
    let rows = query(
        "SELECT k.node, k.registry, k.receipt_key, k.operator, k.consent, d.document, d.document_ms
         FROM chain_keys k
         JOIN chain_documents d ON d.node = k.node
         JOIN nodes n ON n.id = k.node AND n.boot_id = d.boot_id AND n.online = TRUE
         WHERE (k.node > $1 OR (k.node = $1 AND k.registry > $2)) AND ($3 = '' OR k.registry = $3)
         ORDER BY k.node, k.registry LIMIT $4",
    )
    .bind(node)
    .bind(after)
    .bind(registry.map(ToString::to_string).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<ChainKey, StoreError> {
    let registry: ContractDomain = row.parsed("registry")?;
    let document = from_base64url(&row.text("document")?);
    Ok(ChainKey {
        node: row.parsed("node")?,
        receipt_key: row.parsed("receipt_key")?,
        operator: row.parsed("operator")?,
        chain_id: registry.chain_id,
        registry: registry.verifying_contract,
        consent: row.parsed("consent")?,
        document: document.map_err(|_| StoreError::Corrupt("document"))?,
        document_ms: row.number("document_ms")?,
    })
}

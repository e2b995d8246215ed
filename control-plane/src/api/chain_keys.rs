//! `/v1/nodes/{id}/chain-keys`, `/v1/chain/keys`: receipt keys for registries of smart contracts.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::api::chain::{ChainKey, PublishChainKeys};
use nacre_protocol::ids::NodeId;
use nacre_protocol::verified_enclave::ContractDomain;
use serde::{Deserialize, Deserializer, de};
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::{KeyHolder, NodeCaller};
use super::extract::{InBody, InPath, InQuery};
use super::functions::to_its_end;
use crate::error::RequestError;

/// Most items of a page: each holds a document of several KiB.
const MAX_PAGE: u32 = 100;

/// Takes what a node's enclave agreed to: to work for this operator at these registries. It stands instead of what it agreed
/// to before. A node sends it again with a new document every two minutes.
#[utoipa::path(
    put,
    path = "/v1/nodes/{id}/chain-keys",
    operation_id = "publishChainKeys",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id")),
    request_body = PublishChainKeys,
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`"),
        (status = 403, description = "`forbidden`, `nonce-invalid`, `evidence-refused`, `evidence-not-bound`, `consent-refused`"),
        (status = 409, description = "`boot-changed`: register the new boot"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `consents-invalid`, `operator-zero`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn publish(
    State(platform): State<Shared>,
    caller: NodeCaller,
    InPath(id): InPath<NodeId>,
    body: InBody<PublishChainKeys>,
) -> Result<StatusCode, Refusal> {
    let id = caller.is(id)?;
    to_its_end(async move { platform.publish_chain_keys(id, body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChainKeysQuery {
    /// Of this registry only: `chain id:address`.
    #[serde(default, deserialize_with = "registry")]
    #[param(value_type = Option<String>)]
    registry: Option<ContractDomain>,
    /// `next` of the page before.
    #[serde(default)]
    after: String,
    /// Most items, 1 to 100; 100 if absent.
    #[serde(default = "most")]
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: u32,
}

fn most() -> u32 {
    MAX_PAGE
}

fn registry<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ContractDomain>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(de::Error::custom)
}

/// Lists receipt keys of nodes that are online, by node and registry: who the enclave works for there, by its own word, and
/// its newest document. A registry takes the key with that word and a verifier's over the document.
#[utoipa::path(
    get,
    path = "/v1/chain/keys",
    operation_id = "listChainKeys",
    tag = "nodes",
    params(ChainKeysQuery),
    responses(
        (status = 200, description = "A page of keys", body = Page<ChainKey>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(query): InQuery<ChainKeysQuery>,
) -> Result<Response, Refusal> {
    if !(1..=MAX_PAGE).contains(&query.limit) {
        let most = format!("limit must be between 1 and {MAX_PAGE}");
        return Err(RequestError::Query(most).into());
    }
    let registry = query.registry.as_ref();
    let page = platform.chain_keys(&key.organisation, registry, &query.after, query.limit);
    Ok(ok(&page.await?))
}

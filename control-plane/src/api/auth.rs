//! Who asks: bearer tokens in the `Authorization` header.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use nacre_protocol::ids::NodeId;

use super::Shared;
use super::answer::Refusal;
use crate::error::Error;
use crate::platform::{Key, Principal};

/// Anybody with a valid token.
pub(super) struct Caller(pub(super) Principal);

impl FromRequestParts<Shared> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        Ok(Self(platform.authenticate(bearer(parts)?).await?))
    }
}

/// The holder of an API key.
pub(super) struct KeyHolder(pub(super) Key);

impl FromRequestParts<Shared> for KeyHolder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        match platform.authenticate(bearer(parts)?).await? {
            Principal::Key(key) => Ok(Self(key)),
            Principal::Node(_) => Err(Error::Forbidden("this needs an API key").into()),
        }
    }
}

/// A node, with the token it showed.
pub(super) struct NodeCaller {
    id: NodeId,
    /// For checking again after a wait.
    pub(super) token: String,
}

impl NodeCaller {
    /// A node's paths are its own.
    pub(super) fn is(&self, node: NodeId) -> Result<NodeId, Error> {
        if self.id == node {
            Ok(node)
        } else {
            Err(Error::Forbidden("a node's token opens its own paths only"))
        }
    }
}

impl FromRequestParts<Shared> for NodeCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        let token = bearer(parts)?;
        match platform.authenticate(token).await? {
            Principal::Node(id) => Ok(Self {
                id,
                token: token.to_owned(),
            }),
            Principal::Key(_) => Err(Error::Forbidden("this needs the node's token").into()),
        }
    }
}

/// The token of exactly one `Authorization: Bearer` header (RFC 6750 §2.1).
fn bearer(parts: &Parts) -> Result<&str, Error> {
    let mut all = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(Error::Unauthenticated);
    };
    let text = value.to_str().map_err(|_| Error::Unauthenticated)?;
    let (scheme, token) = text.split_once(' ').ok_or(Error::Unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(Error::Unauthenticated)
    }
}

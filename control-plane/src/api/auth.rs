//! Who asks: what the guard found ([`super::guard`]).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use nacre_protocol::ids::NodeId;

use super::Shared;
use super::answer::Refusal;
use super::guard::bearer;
use crate::error::Error;
use crate::platform::{Key, Principal};

/// Anybody with a valid token.
pub(super) struct Caller(pub(super) Principal);

impl FromRequestParts<Shared> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        let principal = parts.extensions.get::<Principal>();
        Ok(Self(principal.ok_or(Error::Unauthenticated)?.clone()))
    }
}

/// The holder of an API key with the scopes that the operation names.
pub(super) struct KeyHolder(pub(super) Key);

impl FromRequestParts<Shared> for KeyHolder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        match Caller::from_request_parts(parts, platform).await?.0 {
            Principal::Key(key) => Ok(Self(key)),
            Principal::Gateway(_) => {
                Err(Error::Forbidden("this needs an organisation's key").into())
            }
            Principal::Node(_) => Err(Error::Forbidden("this needs an API key").into()),
        }
    }
}

/// The same, where somebody without a token is served too.
pub(super) struct PerhapsKeyHolder(pub(super) Option<Key>);

impl FromRequestParts<Shared> for PerhapsKeyHolder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        if parts.extensions.get::<Principal>().is_none() {
            return Ok(Self(None));
        }
        let KeyHolder(key) = KeyHolder::from_request_parts(parts, platform).await?;
        Ok(Self(Some(key)))
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
        match Caller::from_request_parts(parts, platform).await?.0 {
            Principal::Node(id) => Ok(Self {
                id,
                token: bearer(&parts.headers)?.to_owned(),
            }),
            Principal::Key(_) | Principal::Gateway(_) => {
                Err(Error::Forbidden("this needs the node's token").into())
            }
        }
    }
}

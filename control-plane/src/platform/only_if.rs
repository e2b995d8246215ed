//! `If-Match`: an update that would undo somebody else's is refused.

use nacre_protocol::encoding::base64url;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// What must hold for an update to be made (RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnlyIf {
    /// The caller said nothing.
    Always,
    /// Something is there.
    Something,
    /// What is there is one of these.
    Tags(Vec<String>),
}

impl OnlyIf {
    /// Holds what is there now against it; within the update's transaction, so that it still is when the update is made.
    pub(crate) fn check(&self, current: &impl Serialize) -> Result<(), Error> {
        let Self::Tags(tags) = self else {
            return Ok(());
        };
        let body = serde_json::to_vec(current);
        let body = body.map_err(|_| Error::Internal("an answer does not become JSON"))?;
        if tags.contains(&etag(&body)) {
            Ok(())
        } else {
            Err(Error::PreconditionFailed)
        }
    }
}

/// The strong entity tag of a body: its hash, so that the same answer has the same tag at every control plane.
pub(crate) fn etag(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    format!("\"{}\"", base64url(&hash[..16]))
}

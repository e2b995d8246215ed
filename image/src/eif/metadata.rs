//! The metadata section: JSON under the names that `nitro-cli describe-eif` reads.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::eif::error::EifError;

/// What an image says of itself. It is **not measured**: whoever passes the image on may have changed it.
///
/// Unknown fields are left out when it is read, as AWS's tool does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    /// The image's name.
    pub image_name: String,
    /// The image's version.
    pub image_version: String,
    /// What built it.
    pub build_metadata: BuildMetadata,
    /// What `docker inspect` says of the container that AWS's tool builds from; null where there was none.
    pub docker_info: Value,
    /// Anything; Nacre's images have their list of components here, under [`crate::sbom::COMPONENTS_KEY`].
    pub custom_metadata: Value,
}

/// How an image was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BuildMetadata {
    /// When, RFC 3339. The same for every build of the same inputs, or the bytes differ.
    pub build_time: String,
    /// The tool's name.
    pub build_tool: String,
    /// The tool's version.
    pub build_tool_version: String,
    /// The kernel's kind, such as `Linux`.
    pub operating_system: String,
    /// The kernel's version, such as `6.12.117`.
    pub kernel_version: String,
}

impl Metadata {
    /// Reads the section's bytes.
    ///
    /// # Errors
    ///
    /// [`EifError::Metadata`] where they are not such JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, EifError> {
        serde_json::from_slice(json).map_err(|error| EifError::Metadata(error.to_string()))
    }

    /// The section's bytes: the same for the same metadata, maps in the order of their keys.
    pub fn to_json(&self) -> Vec<u8> {
        #[expect(
            clippy::expect_used,
            reason = "strings and JSON values under string keys are always JSON"
        )]
        serde_json::to_vec(self).expect("metadata is JSON")
    }
}

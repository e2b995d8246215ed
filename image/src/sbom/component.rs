//! The builder's list of components.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::eif::Metadata;

/// Where [`Metadata::custom_metadata`] has the list.
pub const COMPONENTS_KEY: &str = "nacre.components";

/// Something that files of the image come from: a Debian package, a crate, the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name where it comes from, such as `libc6`.
    pub name: String,
    /// Its version there.
    pub version: String,
    /// Its licence, an SPDX expression where there is one.
    pub licence: String,
    /// Where its source is: a package URL (`pkg:deb/debian/glibc@2.36-9`, `pkg:cargo/sha2@0.11.1`) or an address.
    pub source: String,
    /// The files that have it inside, by their absolute paths in the ramdisks; `kernel` is the kernel.
    pub files: Vec<String>,
}

/// The custom metadata of an image that is made of these components. They stand in order, whatever theirs was.
pub fn custom_metadata(components: &[Component]) -> Value {
    let mut components = components.to_vec();
    for component in &mut components {
        component.files.sort();
        component.files.dedup();
    }
    components.sort();
    json!({ COMPONENTS_KEY: components })
}

/// The components that an image's metadata lists; none where it has no list.
///
/// # Errors
///
/// [`ComponentsError`] where the list is not one.
pub fn components(metadata: &Metadata) -> Result<Vec<Component>, ComponentsError> {
    match metadata.custom_metadata.get(COMPONENTS_KEY) {
        None => Ok(Vec::new()),
        Some(list) => Vec::deserialize(list).map_err(|error| ComponentsError(error.to_string())),
    }
}

/// A list of components that is not understood.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the metadata's list of components is not understood: {0}")]
pub struct ComponentsError(String);

impl ComponentsError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        "sbom-components"
    }
}

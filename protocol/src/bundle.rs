//! A function's bundle: an OCI artifact (image-spec 1.1) whose manifest's SHA-256 is the function digest (DESIGN §5).
//!
//! One layer a file, `nacre.toml` first, then by name; the JSON has one byte form, so that the same files give the same
//! digest everywhere.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::egress::FileUrl;
use crate::manifest::{MANIFEST_FILE, are_urls, is_plain_file_name};

/// `artifactType` of a function's manifest.
pub const ARTIFACT_TYPE: &str = "application/vnd.nacre.function.v1+toml";
/// Media type of the manifest itself.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The empty configuration that image-spec 1.1 gives artifacts.
pub const EMPTY_CONFIG: &[u8] = b"{}";
/// Most files one bundle has.
pub const MAX_FILES: usize = 64;
/// Longest manifest that is read.
pub const MAX_BUNDLE_MANIFEST: usize = 64 * 1024;
/// Longest that all addresses of one bundle's files are together, in bytes.
pub const MAX_URL_BYTES: usize = 16 * 1024;
/// Largest file of a bundle, in bytes.
pub const MAX_FILE: u64 = 64 << 30;

const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const TOML_TYPE: &str = "application/vnd.nacre.function.manifest.v1+toml";
const FILE_TYPE: &str = "application/vnd.nacre.function.file.v1";

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Plain file name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Where an enclave may fetch it by itself, tried in order (the `urls` of an OCI descriptor).
    pub urls: Vec<FileUrl>,
}

/// The files of a function, checked and in the manifest's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    files: Vec<BundleFile>,
}

/// Files or bytes that make no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No `nacre.toml` among the files.
    #[error("a bundle has a nacre.toml")]
    NoManifest,
    /// A name that is not a plain file name.
    #[error("{0:?} is not a plain file name (letters, digits, `.`, `_`, `-`; no leading dot)")]
    FileName(String),
    /// The same name twice.
    #[error("the file {0:?} stands twice in the bundle")]
    Duplicate(String),
    /// More than [`MAX_FILES`] files, or one above [`MAX_FILE`].
    #[error("a bundle has at most 64 files of at most 64 GiB each")]
    TooLarge,
    /// More addresses of a file than [`crate::manifest::MAX_URLS`], one twice, or more than [`MAX_URL_BYTES`] in all.
    #[error("the file {0:?} has too many addresses, or one of them twice")]
    Urls(String),
    /// Not the JSON of an OCI manifest of ours.
    #[error("not a function's OCI manifest: {0}")]
    Malformed(String),
    /// An OCI manifest, but not in the one byte form.
    #[error("the OCI manifest is not in canonical form")]
    NotCanonical,
}

impl Bundle {
    /// Checks the files and puts them in order.
    pub fn new(mut files: Vec<BundleFile>) -> Result<Self, BundleError> {
        if files.len() > MAX_FILES || files.iter().any(|file| file.size > MAX_FILE) {
            return Err(BundleError::TooLarge);
        }
        if let Some(file) = files.iter().find(|file| !is_plain_file_name(&file.name)) {
            return Err(BundleError::FileName(file.name.clone()));
        }
        let mut url_bytes = 0;
        for file in &files {
            url_bytes += file
                .urls
                .iter()
                .map(|url| url.as_str().len())
                .sum::<usize>();
            if !are_urls(&file.urls) || url_bytes > MAX_URL_BYTES {
                return Err(BundleError::Urls(file.name.clone()));
            }
        }
        files.sort_by(|a, b| {
            let key = |file: &BundleFile| (file.name != MANIFEST_FILE, file.name.clone());
            key(a).cmp(&key(b))
        });
        if let Some(pair) = files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(BundleError::Duplicate(pair[0].name.clone()));
        }
        if files.first().is_none_or(|file| file.name != MANIFEST_FILE) {
            return Err(BundleError::NoManifest);
        }
        Ok(Self { files })
    }

    /// The files, `nacre.toml` first.
    pub fn files(&self) -> &[BundleFile] {
        &self.files
    }

    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&BundleFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Total size of the files in bytes.
    pub fn total_size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The OCI manifest's bytes.
    pub fn to_oci_manifest(&self) -> Vec<u8> {
        let layers = self.files.iter().map(|file| Layer {
            media_type: layer_type(&file.name).to_owned(),
            digest: file.digest,
            size: file.size,
            urls: file.urls.clone(),
            annotations: Annotations {
                title: file.name.clone(),
            },
        });
        let manifest = OciManifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            artifact_type: ARTIFACT_TYPE.to_owned(),
            config: Descriptor {
                media_type: EMPTY_TYPE.to_owned(),
                digest: Digest::of(EMPTY_CONFIG),
                size: EMPTY_CONFIG.len() as u64,
            },
            layers: layers.collect(),
        };
        serde_json::to_vec(&manifest).unwrap_or_else(|_| unreachable!("plain structs become JSON"))
    }

    /// The function digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_oci_manifest())
    }

    /// Reads an OCI manifest; only the canonical bytes of a function's are taken.
    pub fn from_oci_manifest(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_BUNDLE_MANIFEST {
            return Err(BundleError::TooLarge);
        }
        let manifest: OciManifest =
            serde_json::from_slice(bytes).map_err(|e| BundleError::Malformed(e.to_string()))?;
        let files = manifest.layers.into_iter().map(|layer| BundleFile {
            name: layer.annotations.title,
            digest: layer.digest,
            size: layer.size,
            urls: layer.urls,
        });
        let bundle = Self::new(files.collect())?;
        if bundle.to_oci_manifest() == bytes {
            Ok(bundle)
        } else {
            Err(BundleError::NotCanonical)
        }
    }
}

fn layer_type(name: &str) -> &'static str {
    if name == MANIFEST_FILE {
        TOML_TYPE
    } else {
        FILE_TYPE
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OciManifest {
    schema_version: u8,
    media_type: String,
    artifact_type: String,
    config: Descriptor,
    layers: Vec<Layer>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Layer {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    urls: Vec<FileUrl>,
    annotations: Annotations,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    #[serde(rename = "org.opencontainers.image.title")]
    title: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &str) -> BundleFile {
        BundleFile {
            name: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
            size: name.len() as u64,
            urls: Vec::new(),
        }
    }

    fn at(name: &str, urls: &[&str]) -> BundleFile {
        let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
        BundleFile { urls, ..file(name) }
    }

    #[test]
    fn order_of_the_files_does_not_matter() {
        let a = Bundle::new(vec![file("nacre.toml"), file("a.onnx"), file("z")]).unwrap();
        let b = Bundle::new(vec![file("z"), file("a.onnx"), file("nacre.toml")]).unwrap();
        assert_eq!(a.digest(), b.digest());
        assert_eq!(a.files()[0].name, "nacre.toml");
        assert_eq!(Bundle::from_oci_manifest(&a.to_oci_manifest()), Ok(b));
    }

    #[test]
    fn the_manifest_is_oci_and_stays_as_it_is() {
        let manifest = Bundle::new(vec![file("nacre.toml")])
            .unwrap()
            .to_oci_manifest();
        let json: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(json["schemaVersion"], 2);
        assert_eq!(json["artifactType"], ARTIFACT_TYPE);
        assert_eq!(
            json["config"]["digest"],
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(
            json["layers"][0]["annotations"]["org.opencontainers.image.title"],
            "nacre.toml"
        );
    }

    #[test]
    fn where_a_file_can_be_fetched_is_in_the_digest() {
        let urls = ["https://a.example/m", "https://b.example/m"];
        let bundle = |urls: &[&str]| Bundle::new(vec![file("nacre.toml"), at("m", urls)]);
        let fetched = bundle(&urls).unwrap();
        let manifest = fetched.to_oci_manifest();
        let json: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(json["layers"][1]["urls"], serde_json::json!(urls));
        assert_eq!(json["layers"][0].get("urls"), None);
        assert_eq!(Bundle::from_oci_manifest(&manifest).as_ref(), Ok(&fetched));
        let digests = [&urls[..], &urls[..1], &[urls[1], urls[0]], &[]]
            .map(|urls| bundle(urls).unwrap().digest());
        let different: std::collections::BTreeSet<_> =
            digests.iter().map(Digest::to_string).collect();
        assert_eq!(different.len(), digests.len());
    }

    #[test]
    fn a_bundle_has_no_more_addresses_than_can_be_tried() {
        let refused =
            |files| matches!(Bundle::new(files), Err(BundleError::Urls(name)) if name == "m");
        let same = "https://a.example/m";
        assert!(refused(vec![file("nacre.toml"), at("m", &[same, same])]));
        let long: Vec<_> = (0..8)
            .map(|n| format!("https://a.example/{n}{}", "a".repeat(2020)))
            .collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        assert!(Bundle::new(vec![file("nacre.toml"), at("m", &long)]).is_ok());
        assert!(refused(vec![
            file("nacre.toml"),
            at("a", &long[..1]),
            at("m", &long)
        ]));
    }

    #[test]
    fn wrong_bundles_are_refused() {
        let bundle = |names: &[&str]| Bundle::new(names.iter().map(|name| file(name)).collect());
        assert_eq!(bundle(&["model.onnx"]), Err(BundleError::NoManifest));
        assert_eq!(
            bundle(&["nacre.toml", "a", "a"]),
            Err(BundleError::Duplicate("a".into()))
        );
        for name in ["../a", "a/b", ".hidden", "", "a b"] {
            assert_eq!(
                bundle(&["nacre.toml", name]),
                Err(BundleError::FileName(name.into()))
            );
        }
        let good = bundle(&["nacre.toml", "m"]).unwrap().to_oci_manifest();
        let spaced = [b" ".as_slice(), &good].concat();
        assert_eq!(
            Bundle::from_oci_manifest(&spaced),
            Err(BundleError::NotCanonical)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Bundle::from_oci_manifest(&bytes);
        }
    }
}

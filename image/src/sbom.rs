//! What is in an image, file by file, and where it is from: a software bill of materials in CycloneDX 1.6.
//!
//! Which files there are is read from the ramdisks themselves. Which component each belongs to, its licence and its
//! source are the builder's word: a list in the metadata section, which is not measured.
//!
//! The same image gives the same bytes: there is no time and no random serial number in it.

mod component;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::contents::{Item, ItemKind, hash, ramdisks};
use crate::eif::{Eif, ReadAt};
use crate::error::ImageError;

pub use component::{COMPONENTS_KEY, Component, ComponentsError, components, custom_metadata};

/// The name by which components have the kernel inside.
pub const KERNEL: &str = "kernel";

/// The parts of an image and their components.
#[derive(Debug, Clone)]
pub struct Sbom {
    document: Value,
    unlisted: Vec<String>,
}

impl Sbom {
    /// Reads the image's ramdisks and its list of components.
    ///
    /// # Errors
    ///
    /// [`ImageError`] where a ramdisk or the list cannot be read.
    pub fn of<S: ReadAt>(eif: &Eif<S>) -> Result<Self, ImageError> {
        let ramdisks =
            ramdisks(eif).map_err(|(ramdisk, error)| ImageError::Ramdisk { ramdisk, error })?;
        let listed = match eif.metadata() {
            Some(metadata) => components(metadata)?,
            None => Vec::new(),
        };
        let mut files = vec![kernel(hash(&mut eif.kernel()).map_err(ImageError::Read)?)];
        for (index, items) in ramdisks.iter().enumerate() {
            let items = items.iter().filter(|item| item.kind != ItemKind::Folder);
            files.extend(items.map(|item| file(index, item)));
        }
        let owners = owners(&listed);
        let unlisted = files
            .iter()
            .filter(|file| !owners.contains_key(file.name.as_str()));
        let unlisted = unlisted.map(|file| file.name.clone()).collect();
        let document = document(eif, &files, &listed, &owners);
        Ok(Self { document, unlisted })
    }

    /// The document in JSON.
    pub fn to_json(&self) -> String {
        format!("{:#}", self.document)
    }

    /// The paths that no component claims; Nacre's own images have none.
    pub fn unlisted(&self) -> &[String] {
        &self.unlisted
    }
}

/// A part of the image, as a component of type `file`.
struct Part {
    name: String,
    reference: String,
    json: Value,
}

fn kernel(sha256: [u8; 32]) -> Part {
    Part {
        name: KERNEL.to_owned(),
        reference: KERNEL.to_owned(),
        json: json!({
            "type": "operating-system",
            "bom-ref": KERNEL,
            "name": KERNEL,
            "hashes": hashes(&sha256),
        }),
    }
}

fn file(ramdisk: usize, item: &Item) -> Part {
    let reference = format!("ramdisk-{ramdisk}:{}", item.path);
    let mut json = json!({ "type": "file", "bom-ref": reference, "name": item.path });
    let mut properties = vec![
        property("ramdisk", ramdisk),
        property("mode", format_args!("{:04o}", item.mode)),
    ];
    match &item.kind {
        ItemKind::File { length, sha256 } => {
            properties.push(property("length", length));
            json["hashes"] = hashes(sha256);
        }
        ItemKind::Link { target } => properties.push(property("link", target)),
        ItemKind::CharacterDevice { major, minor } => {
            properties.push(property(
                "character-device",
                format_args!("{major}:{minor}"),
            ));
        }
        ItemKind::Folder => {}
    }
    json["properties"] = properties.into();
    Part {
        name: item.path.clone(),
        reference,
        json,
    }
}

/// By the name of a part, the components (by their place in the list) that it has inside.
fn owners(listed: &[Component]) -> BTreeMap<&str, Vec<usize>> {
    let mut owners: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, component) in listed.iter().enumerate() {
        for file in &component.files {
            let owners = owners.entry(file).or_default();
            if owners.last() != Some(&index) {
                owners.push(index);
            }
        }
    }
    owners
}

fn document<S: ReadAt>(
    eif: &Eif<S>,
    files: &[Part],
    listed: &[Component],
    owners: &BTreeMap<&str, Vec<usize>>,
) -> Value {
    let measured = eif.measurements();
    let registers = [
        ("pcr0", Some(measured.pcr0)),
        ("pcr1", Some(measured.pcr1)),
        ("pcr2", Some(measured.pcr2)),
        ("pcr8", measured.pcr8),
    ];
    let registers = registers
        .iter()
        .filter_map(|(name, pcr)| Some(property(name, (*pcr)?)));
    let mut properties: Vec<_> = registers.collect();
    properties.push(property("command-line", eif.command_line()));
    let mut image = json!({
        "type": "firmware",
        "bom-ref": IMAGE,
        "name": "enclave image",
        "properties": properties,
    });
    if let Some(metadata) = eif.metadata() {
        image["name"] = metadata.image_name.as_str().into();
        image["version"] = metadata.image_version.as_str().into();
    }
    let parts = files.iter().map(|file| file.json.clone());
    let components = listed
        .iter()
        .enumerate()
        .map(|(index, component)| library(index, component));
    let mut dependencies = vec![json!({
        "ref": IMAGE,
        "dependsOn": files.iter().map(|file| &file.reference).collect::<Vec<_>>(),
    })];
    dependencies.extend(files.iter().map(|file| {
        let inside = owners.get(file.name.as_str()).into_iter().flatten();
        json!({
            "ref": file.reference,
            "dependsOn": inside.map(|index| component_reference(*index)).collect::<Vec<_>>(),
        })
    }));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": image },
        "components": parts.chain(components).collect::<Vec<_>>(),
        "dependencies": dependencies,
    })
}

fn library(index: usize, component: &Component) -> Value {
    let mut json = json!({
        "type": "library",
        "bom-ref": component_reference(index),
        "name": component.name,
        "version": component.version,
        "licenses": [match is_expression(&component.licence) {
            true => json!({ "expression": component.licence }),
            false => json!({ "license": { "name": component.licence } }),
        }],
    });
    match component.source.starts_with("pkg:") {
        true => json["purl"] = component.source.as_str().into(),
        false => {
            json["externalReferences"] =
                json!([{ "type": "distribution", "url": component.source }]);
        }
    }
    json
}

/// Whether a licence has the form of an SPDX expression.
fn is_expression(licence: &str) -> bool {
    let is_word = |word: &str| {
        let inner = word.trim_start_matches('(').trim_end_matches(')');
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+' | ':');
        !inner.is_empty() && inner.chars().all(letters)
    };
    let words: Vec<_> = licence.split(' ').collect();
    let joined = words.chunks(2).all(|pair| match pair {
        [word, operator] => is_word(word) && matches!(*operator, "AND" | "OR" | "WITH"),
        [word] => is_word(word),
        _ => false,
    });
    joined && words.len() % 2 == 1
}

fn component_reference(index: usize) -> String {
    format!("component-{index}")
}

fn hashes(sha256: &[u8; 32]) -> Value {
    json!([{ "alg": "SHA-256", "content": hex::encode(sha256) }])
}

fn property(name: &str, value: impl std::fmt::Display) -> Value {
    json!({ "name": format!("nacre:{name}"), "value": value.to_string() })
}

const IMAGE: &str = "image";

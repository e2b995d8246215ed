//! The bill of materials names every file, and is CycloneDX.

use std::collections::BTreeSet;

use nacre_image::eif::{Eif, Metadata};
use nacre_image::sbom::{Component, Sbom, components, custom_metadata};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{Parts, metadata};

fn component(name: &str, licence: &str, source: &str, files: &[&str]) -> Component {
    Component {
        name: name.to_owned(),
        version: "1.0".to_owned(),
        licence: licence.to_owned(),
        source: source.to_owned(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
    }
}

fn listed() -> Vec<Component> {
    vec![
        component(
            "program",
            "Apache-2.0 OR MIT",
            "pkg:cargo/program@1.0",
            &["/usr/program", "/init"],
        ),
        component(
            "linux",
            "the GPL, version 2",
            "https://kernel.org",
            &["kernel"],
        ),
    ]
}

fn with(components: &[Component]) -> Eif<Vec<u8>> {
    let custom = custom_metadata(components);
    let metadata = Metadata {
        custom_metadata: custom,
        ..metadata()
    };
    let parts = Parts {
        metadata: Some(metadata.to_json()),
        ..Parts::small()
    };
    Eif::open(parts.write(None).0).unwrap()
}

fn document(eif: &Eif<Vec<u8>>) -> Value {
    serde_json::from_str(&Sbom::of(eif).unwrap().to_json()).unwrap()
}

fn named<'a>(document: &'a Value, name: &str) -> &'a Value {
    let parts = document["components"].as_array().unwrap();
    parts.iter().find(|part| part["name"] == name).unwrap()
}

#[test]
fn every_file_is_there_with_its_hash_mode_and_length() {
    let document = document(&with(&[]));
    let program = named(&document, "/usr/program");
    assert_eq!(
        program["hashes"][0]["content"],
        hex::encode(Sha256::digest([7; 1000]))
    );
    let properties: BTreeSet<_> = program["properties"]
        .as_array()
        .unwrap()
        .iter()
        .map(|property| {
            (
                property["name"].as_str().unwrap(),
                property["value"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        properties,
        [
            ("nacre:length", "1000"),
            ("nacre:mode", "0755"),
            ("nacre:ramdisk", "1")
        ]
        .into()
    );
    named(&document, "/init");
    named(&document, "/dev/console");
    named(&document, "/program");
    assert_eq!(named(&document, "kernel")["type"], "operating-system");
}

#[test]
fn components_come_with_licence_and_source_and_what_they_are_inside_of() {
    let eif = with(&listed());
    let document = document(&eif);
    let program = named(&document, "program");
    assert_eq!(program["licenses"][0]["expression"], "Apache-2.0 OR MIT");
    assert_eq!(program["purl"], "pkg:cargo/program@1.0");
    let linux = named(&document, "linux");
    assert_eq!(
        linux["licenses"][0]["license"]["name"],
        "the GPL, version 2"
    );
    assert_eq!(linux["externalReferences"][0]["url"], "https://kernel.org");
    let inside = |reference: &Value| {
        let all = document["dependencies"].as_array().unwrap();
        let found = all.iter().find(|entry| entry["ref"] == *reference).unwrap();
        found["dependsOn"].clone()
    };
    let init = named(&document, "/init");
    assert_eq!(
        inside(&init["bom-ref"]),
        serde_json::json!([program["bom-ref"]])
    );
    let sbom = Sbom::of(&eif).unwrap();
    assert_eq!(sbom.unlisted(), ["/dev/console", "/program"]);
}

#[test]
fn the_same_components_give_the_same_bytes_in_any_order() {
    let mut reversed = listed();
    reversed.reverse();
    reversed[1].files.reverse();
    assert_eq!(custom_metadata(&listed()), custom_metadata(&reversed));
    let [first, second] =
        [listed(), reversed].map(|list| Sbom::of(&with(&list)).unwrap().to_json());
    assert_eq!(first, second);
    let metadata = with(&listed()).metadata().unwrap().clone();
    let read: BTreeSet<_> = components(&metadata)
        .unwrap()
        .into_iter()
        .map(|found| found.name)
        .collect();
    assert_eq!(read, ["linux".to_owned(), "program".to_owned()].into());
}

/// The rules of `bom-1.6.schema.json` that bear on what is written: required members, forms, and references that lead
/// somewhere.
#[test]
fn the_document_keeps_to_the_schema() {
    let document = document(&with(&listed()));
    assert_eq!(document["bomFormat"], "CycloneDX");
    assert_eq!(document["specVersion"], "1.6");
    assert!(document["version"].as_u64().unwrap() >= 1);
    let parts = document["components"].as_array().unwrap();
    let image = &document["metadata"]["component"];
    let mut references = BTreeSet::new();
    for part in parts.iter().chain([image]) {
        let kind = part["type"].as_str().unwrap();
        assert!(["file", "library", "operating-system", "firmware"].contains(&kind));
        assert!(!part["name"].as_str().unwrap().is_empty());
        assert!(
            references.insert(part["bom-ref"].as_str().unwrap()),
            "{part} twice"
        );
        for hash in part["hashes"].as_array().into_iter().flatten() {
            assert_eq!(hash["alg"], "SHA-256");
            let digits = hash["content"].as_str().unwrap();
            assert!(digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()));
        }
        for property in part["properties"].as_array().into_iter().flatten() {
            assert!(property["name"].is_string() && property["value"].is_string());
        }
        // Either one expression or several licences.
        for licence in part["licenses"].as_array().into_iter().flatten() {
            assert!(licence["expression"].is_string() != licence["license"]["name"].is_string());
        }
    }
    let mut described = BTreeSet::new();
    for dependency in document["dependencies"].as_array().unwrap() {
        let reference = dependency["ref"].as_str().unwrap();
        assert!(references.contains(reference) && described.insert(reference));
        let on: Vec<_> = dependency["dependsOn"].as_array().unwrap().iter().collect();
        assert!(
            on.iter()
                .all(|one| references.contains(one.as_str().unwrap()))
        );
        assert_eq!(
            on.iter()
                .map(|one| one.as_str())
                .collect::<BTreeSet<_>>()
                .len(),
            on.len()
        );
    }
}

#[test]
fn a_list_that_is_not_understood_is_an_error_not_an_empty_list() {
    let mut metadata = metadata();
    metadata.custom_metadata = serde_json::json!({ "nacre.components": [{ "name": "x" }] });
    let parts = Parts {
        metadata: Some(metadata.to_json()),
        ..Parts::small()
    };
    let eif = Eif::open(parts.write(None).0).unwrap();
    assert_eq!(Sbom::of(&eif).unwrap_err().code(), "sbom-components");
}

//! The adversarial corpus (`corpus/corpus.jsonl`) through the targets that read whole documents.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::entry::{differential, document, envelope};

#[test]
fn the_adversarial_corpus_breaks_no_target() {
    let mut documents = 0;
    for case in cases() {
        let bytes = STANDARD.decode(case["document"].as_str().unwrap()).unwrap();
        let _ = document(&bytes);
        let _ = envelope(&bytes);
        let _ = differential(&[&[0], bytes.as_slice()].concat());
        documents += 1;
    }
    assert!(documents >= 300, "{documents} cases");
}

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/corpus.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

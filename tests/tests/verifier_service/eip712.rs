//! EIP-712 over the JSON alone, as any wallet hashes it: written from the standard, with none of the product's encoding.

use nacre_protocol::eip712::keccak;
use serde_json::Value;

/// The digest that `eth_signTypedData_v4` signs.
pub(crate) fn digest(typed: &Value) -> [u8; 32] {
    let primary = typed["primaryType"].as_str().unwrap();
    let domain = hash_struct(typed, "EIP712Domain", &typed["domain"]);
    let message = hash_struct(typed, primary, &typed["message"]);
    keccak(&[b"\x19\x01", &domain, &message])
}

fn hash_struct(typed: &Value, name: &str, value: &Value) -> [u8; 32] {
    let fields = typed["types"][name].as_array().unwrap();
    let text = |field: &Value, of: &str| field[of].as_str().unwrap().to_owned();
    let members: Vec<_> = fields
        .iter()
        .map(|field| format!("{} {}", text(field, "type"), text(field, "name")))
        .collect();
    let mut encoded = keccak(&[format!("{name}({})", members.join(",")).as_bytes()]).to_vec();
    for field in fields {
        encoded.extend(word(&text(field, "type"), &value[text(field, "name")]));
    }
    assert_eq!(value.as_object().unwrap().len(), fields.len());
    keccak(&[&encoded])
}

fn word(kind: &str, value: &Value) -> [u8; 32] {
    let bytes = match kind {
        "string" => keccak(&[value.as_str().unwrap().as_bytes()]).to_vec(),
        "address" | "bytes32" => {
            let digits = value.as_str().unwrap().strip_prefix("0x").unwrap();
            let length = if kind == "address" { 20 } else { 32 };
            let bytes = hex::decode(digits).unwrap();
            assert_eq!(bytes.len(), length);
            bytes
        }
        // No number in these tests is above 2^64.
        "uint64" | "uint256" => value.as_u64().unwrap().to_be_bytes().to_vec(),
        other => panic!("no {other} is expected"),
    };
    let mut word = [0; 32];
    word[32 - bytes.len()..].copy_from_slice(&bytes);
    word
}

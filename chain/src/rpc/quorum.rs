//! What several nodes agree on: pure, over their answers.

use alloy::rpc::json_rpc::{Response, ResponsePayload};
use serde_json::{Map, Value};

/// How answers to a method can be held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// How high the chain is: the nodes are never quite even.
    Height,
    /// The same at every honest node that has the block: state, logs, blocks.
    Fact,
    /// As a fact, once known; nodes learn of it one after the other.
    Found,
    /// A transaction to be spread: all get it.
    Broadcast,
    /// An opinion: any one's.
    Opinion,
}

/// Of which kind the answers to `method` are, asked with these parameters.
pub(super) fn kind(method: &str, params: &Value) -> Kind {
    match method {
        "eth_blockNumber" => Kind::Height,
        "eth_sendRawTransaction" => Kind::Broadcast,
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" => Kind::Found,
        // What waits in a node's own pool.
        _ if names(params, "pending") => Kind::Opinion,
        "eth_call"
        | "eth_chainId"
        | "eth_getBalance"
        | "eth_getBlockByHash"
        | "eth_getBlockByNumber"
        | "eth_getCode"
        | "eth_getLogs"
        | "eth_getStorageAt"
        | "eth_getTransactionCount" => Kind::Fact,
        _ => Kind::Opinion,
    }
}

/// The parameters with `latest` as this block.
pub(super) fn pinned(params: &mut Value, height: u64) {
    let block = Value::from(format!("{height:#x}"));
    for param in params.as_array_mut().into_iter().flatten() {
        if *param == "latest" {
            *param = block.clone();
        }
        for key in ["fromBlock", "toBlock"] {
            if let Some(tag) = param.get_mut(key).filter(|tag| **tag == "latest") {
                *tag = block.clone();
            }
        }
    }
}

/// Whether a parameter, or an end of a filter, is this block tag.
pub(super) fn names(params: &Value, tag: &str) -> bool {
    params.as_array().into_iter().flatten().any(|param| {
        *param == tag
            || ["fromBlock", "toBlock"]
                .iter()
                .any(|key| param.get(key).is_some_and(|end| end == tag))
    })
}

/// The highest block that `quorum` of these have.
pub(super) fn height(heights: &[u64], quorum: usize) -> Option<u64> {
    let mut sorted = heights.to_vec();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    sorted.get(quorum.checked_sub(1)?).copied()
}

/// The index of an answer that `quorum` of these give.
pub(super) fn agreed(essences: &[Value], quorum: usize) -> Option<usize> {
    (0..essences.len()).find(|&at| {
        essences
            .iter()
            .filter(|other| **other == essences[at])
            .count()
            >= quorum
    })
}

/// What of an answer must be the same everywhere: nodes of several makes add fields of their own to some.
pub(super) fn essence(method: &str, answer: &Response) -> Value {
    match &answer.payload {
        ResponsePayload::Success(result) => {
            let result: Value = serde_json::from_str(result.get()).unwrap_or(Value::Null);
            essence_of(method, &result)
        }
        // Words differ; what a contract said does not.
        ResponsePayload::Failure(error) => {
            let data = error.data.as_ref().map(|data| data.get().to_lowercase());
            serde_json::json!({ "error": data })
        }
    }
}

fn essence_of(method: &str, result: &Value) -> Value {
    const LOG: &[&str] = &[
        "address",
        "topics",
        "data",
        "blockHash",
        "blockNumber",
        "transactionHash",
        "logIndex",
        "removed",
    ];
    const RECEIPT: &[&str] = &[
        "transactionHash",
        "blockHash",
        "blockNumber",
        "status",
        "contractAddress",
        "gasUsed",
        "effectiveGasPrice",
    ];
    const TRANSACTION: &[&str] = &[
        "hash",
        "blockHash",
        "blockNumber",
        "from",
        "to",
        "nonce",
        "input",
        "value",
    ];
    const BLOCK: &[&str] = &[
        "hash",
        "number",
        "parentHash",
        "timestamp",
        "baseFeePerGas",
        "gasLimit",
    ];
    let logs = |logs: &Value| match logs.as_array() {
        Some(logs) => logs.iter().map(|log| only(log, LOG)).collect(),
        None => Value::Null,
    };
    match method {
        "eth_getLogs" => logs(result),
        "eth_getTransactionReceipt" => {
            let mut receipt = only(result, RECEIPT);
            if let (Some(receipt), Some(all)) = (receipt.as_object_mut(), result.get("logs")) {
                receipt.insert("logs".to_owned(), logs(all));
            }
            receipt
        }
        "eth_getTransactionByHash" => only(result, TRANSACTION),
        "eth_getBlockByHash" | "eth_getBlockByNumber" => only(result, BLOCK),
        _ => lower(result),
    }
}

/// These fields of an object, those that it has; `null` stays what it is.
fn only(value: &Value, fields: &[&str]) -> Value {
    let Some(object) = value.as_object() else {
        return lower(value);
    };
    let kept = fields
        .iter()
        .filter_map(|&field| Some((field.to_owned(), lower(object.get(field)?))));
    // A field that one node leaves out is null at another.
    Value::Object(
        kept.filter(|(_, value)| !value.is_null())
            .collect::<Map<_, _>>(),
    )
}

/// The same with hexadecimal digits in one case.
fn lower(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(text.to_lowercase()),
        Value::Array(items) => items.iter().map(lower).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_height_is_what_enough_nodes_have_whatever_a_liar_says() {
        assert_eq!(height(&[100, 101, 9_999_999], 2), Some(101));
        assert_eq!(height(&[100, 101, 0], 2), Some(100));
        assert_eq!(height(&[100], 2), None);
        assert_eq!(height(&[], 1), None);
    }

    #[test]
    fn an_answer_counts_where_enough_give_it() {
        let (truth, lie) = (json!("0x01"), json!("0x02"));
        assert_eq!(
            agreed(&[lie.clone(), truth.clone(), truth.clone()], 2),
            Some(1)
        );
        assert_eq!(agreed(&[lie.clone(), truth.clone()], 2), None);
        assert_eq!(agreed(&[lie, truth.clone(), json!(null)], 2), None);
        assert_eq!(agreed(&[truth], 1), Some(0));
    }

    #[test]
    fn nodes_agree_on_a_log_whatever_they_add_to_it() {
        let plain =
            json!([{ "address": "0xAB", "topics": ["0x1"], "data": "0x", "removed": false }]);
        let more = json!([{ "address": "0xab", "topics": ["0x1"], "data": "0x", "removed": false, "blockTimestamp": "0x5" }]);
        let other =
            json!([{ "address": "0xab", "topics": ["0x2"], "data": "0x", "removed": false }]);
        assert_eq!(
            essence_of("eth_getLogs", &plain),
            essence_of("eth_getLogs", &more)
        );
        assert_ne!(
            essence_of("eth_getLogs", &plain),
            essence_of("eth_getLogs", &other)
        );
        // A receipt is its logs, too.
        let receipt = |logs: &Value| {
            essence_of(
                "eth_getTransactionReceipt",
                &json!({ "status": "0x1", "logs": logs }),
            )
        };
        assert_eq!(receipt(&plain), receipt(&more));
        assert_ne!(receipt(&plain), receipt(&other));
    }

    #[test]
    fn latest_is_pinned_wherever_it_stands() {
        let mut call = json!([{ "to": "0x1" }, "latest"]);
        pinned(&mut call, 26);
        assert_eq!(call, json!([{ "to": "0x1" }, "0x1a"]));
        let mut logs = json!([{ "fromBlock": "0x1", "toBlock": "latest" }]);
        pinned(&mut logs, 26);
        assert_eq!(logs, json!([{ "fromBlock": "0x1", "toBlock": "0x1a" }]));
    }

    #[test]
    fn a_nodes_own_pool_is_its_opinion() {
        assert_eq!(
            kind("eth_getTransactionCount", &json!(["0x1", "pending"])),
            Kind::Opinion
        );
        assert_eq!(
            kind("eth_getTransactionCount", &json!(["0x1", "latest"])),
            Kind::Fact
        );
        assert_eq!(kind("eth_estimateGas", &json!([{}])), Kind::Opinion);
    }
}

//! Canaries: a small function with an input whose answer is known.

use bytes::Bytes;
use nacre_client::InferOutput;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use serde::Deserialize;
use serde_json::Value;

/// Largest canary request and answer, bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// A function that nodes run, what it is asked, and what it must answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "CanaryFile")]
pub struct Canary {
    /// The function's name.
    pub function: FunctionName,
    /// The digest that must answer.
    pub digest: Digest,
    /// The request's body, KServe v2 JSON.
    pub request: Bytes,
    outputs: Vec<InferOutput>,
    tolerance: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CanaryFile {
    function: FunctionName,
    digest: Digest,
    request: Value,
    outputs: Vec<InferOutput>,
    /// How far numbers may be off: processors differ in the last digits.
    #[serde(default)]
    tolerance: f64,
}

impl TryFrom<CanaryFile> for Canary {
    type Error = String;

    fn try_from(file: CanaryFile) -> Result<Self, String> {
        let request = file.request.to_string();
        if request.len() > MAX_BODY {
            return Err(format!("a canary's request is at most {MAX_BODY} bytes"));
        }
        if file.outputs.is_empty() {
            return Err("a canary without outputs would take any answer".to_owned());
        }
        Ok(Self {
            function: file.function,
            digest: file.digest,
            request: request.into(),
            outputs: file.outputs,
            tolerance: file.tolerance,
        })
    }
}

impl Canary {
    /// The path it is sent to.
    pub fn path(&self) -> String {
        format!("/v2/models/{}/infer", self.function.as_str())
    }

    /// Whether this is the known answer.
    pub fn is_answered_by(&self, body: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Answer {
            outputs: Vec<InferOutput>,
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
            return false;
        };
        let same = |(got, known): (&InferOutput, &InferOutput)| {
            got.name == known.name
                && got.datatype == known.datatype
                && got.shape == known.shape
                && got.data.len() == known.data.len()
                && got
                    .data
                    .iter()
                    .zip(&known.data)
                    .all(|(a, b)| self.near(a, b))
        };
        answer.outputs.len() == self.outputs.len()
            && answer.outputs.iter().zip(&self.outputs).all(same)
    }

    fn near(&self, got: &Value, known: &Value) -> bool {
        match (got.as_f64(), known.as_f64()) {
            (Some(got), Some(known)) => (got - known).abs() <= self.tolerance,
            _ => got == known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(tolerance: f64) -> Canary {
        serde_json::from_value(serde_json::json!({
            "function": "iris", "digest": format!("sha256:{}", "0".repeat(64)), "request": {"inputs": []},
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1.0, 2.5]}],
            "tolerance": tolerance,
        }))
        .unwrap()
    }

    #[test]
    fn only_the_known_answer_is_one() {
        let answer = |outputs: &str| format!(r#"{{"model_name":"iris","outputs":{outputs}}}"#);
        let known = r#"[{"name":"y","datatype":"FP32","shape":[2],"data":[1.0,2.4999]}]"#;
        assert!(canary(0.001).is_answered_by(answer(known).as_bytes()));
        assert!(!canary(0.0).is_answered_by(answer(known).as_bytes()));
        for wrong in [
            "[]",
            r#"[{"name":"z","datatype":"FP32","shape":[2],"data":[1.0,2.5]}]"#,
            r#"[{"name":"y","datatype":"FP32","shape":[2],"data":[1.0]}]"#,
            r#"[{"name":"y","datatype":"FP32","shape":[2],"data":[1.0,"2.5"]}]"#,
        ] {
            assert!(
                !canary(0.001).is_answered_by(answer(wrong).as_bytes()),
                "{wrong}"
            );
        }
        assert!(!canary(0.001).is_answered_by(b"not JSON"));
    }
}

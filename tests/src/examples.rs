//! The repository's example functions, with the answers that are known to be right.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::platform::repository;

/// Their names.
pub const EXAMPLES: [&str; 3] = ["iris-regression", "iris-network", "lenet-mnist"];

/// One example with its sample request.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its name: the function's, the model's and the folder's.
    pub name: String,
    /// File of the sample request.
    pub request_file: PathBuf,
    /// The sample request, KServe v2 JSON.
    pub request: Bytes,
    expected: Expected,
}

#[derive(Debug, Clone, Deserialize)]
struct Expected {
    request: String,
    outputs: Vec<Output>,
    tolerance: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Output {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    data: Vec<f64>,
}

impl Example {
    /// Reads an example.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        let dir = directory(name);
        let expected = std::fs::read(dir.join("expected.json")).context("expected.json")?;
        let expected: Expected = serde_json::from_slice(&expected)?;
        let request_file = dir.join(&expected.request);
        Ok(Self {
            name: name.to_owned(),
            request: std::fs::read(&request_file).context("the request")?.into(),
            request_file,
            expected,
        })
    }

    /// Its folder.
    pub fn dir(&self) -> PathBuf {
        directory(&self.name)
    }

    /// Path of its infer endpoint.
    pub fn path(&self) -> String {
        format!("/v2/models/{}/infer", self.name)
    }

    /// Whether this is the right answer to the sample request; the error says what is wrong.
    pub fn check(&self, answer: &Value) -> anyhow::Result<()> {
        let outputs = Vec::<Output>::deserialize(&answer["outputs"]);
        let outputs = outputs.with_context(|| format!("not an answer: {answer}"))?;
        ensure!(
            answer["model_name"] == self.name.as_str(),
            "of another model: {answer}"
        );
        ensure!(
            outputs.len() == self.expected.outputs.len(),
            "other outputs: {answer}"
        );
        for (got, wanted) in outputs.iter().zip(&self.expected.outputs) {
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= self.expected.tolerance;
            let same = (&got.name, &got.shape, &got.datatype, got.data.len())
                == (
                    &wanted.name,
                    &wanted.shape,
                    &wanted.datatype,
                    wanted.data.len(),
                );
            let right = same && got.data.iter().zip(&wanted.data).all(near);
            ensure!(right, "{got:?}, wanted {wanted:?}");
        }
        Ok(())
    }

    /// The same for a body as it came.
    pub fn check_body(&self, body: &[u8]) -> anyhow::Result<()> {
        self.check(&serde_json::from_slice(body)?)
    }
}

fn directory(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_right_only_within_the_tolerance() {
        let example = Example::load("iris-regression").unwrap();
        let answer = |value: f64| {
            serde_json::json!({ "model_name": "iris-regression", "outputs": [
                { "name": "petal_width", "shape": [1, 1], "datatype": "FP32", "data": [value] }
            ]})
        };
        example.check(&answer(1.03334)).unwrap();
        assert!(example.check(&answer(1.0345)).is_err());
        assert!(
            example
                .check(&serde_json::json!({ "error": "no" }))
                .is_err()
        );
        let mut other = answer(1.03334);
        other["model_name"] = "iris-network".into();
        assert!(example.check(&other).is_err());
    }
}

//! Whether a request fits the model.

use super::{error::KserveError, request::InferRequest};
use crate::tensor::{ModelSpec, Tensor, TensorSpec};

impl InferRequest {
    /// Checks that the request has exactly the model's inputs, each of the model's datatype and shape, and asks only
    /// for outputs that the model has.
    pub fn check(&self, model: &ModelSpec) -> Result<(), KserveError> {
        for input in &self.inputs {
            check_input(input, find("input", &model.inputs, &input.name)?)?;
        }
        // Names are unique on both sides, so what is left to find is an input that the request does not have.
        for spec in &model.inputs {
            if !self.inputs.iter().any(|input| input.name == spec.name) {
                return Err(KserveError::MissingInput {
                    name: spec.name.clone(),
                });
            }
        }
        for output in self.outputs.iter().flatten() {
            find("output", &model.outputs, &output.name)?;
        }
        Ok(())
    }
}

fn find<'a>(
    kind: &'static str,
    specs: &'a [TensorSpec],
    name: &str,
) -> Result<&'a TensorSpec, KserveError> {
    specs
        .iter()
        .find(|spec| spec.name == name)
        .ok_or_else(|| KserveError::UnknownTensor {
            kind,
            name: name.to_owned(),
        })
}

fn check_input(input: &Tensor, spec: &TensorSpec) -> Result<(), KserveError> {
    if input.datatype != spec.datatype {
        return Err(KserveError::WrongDatatype {
            tensor: input.name.clone(),
            expected: spec.datatype,
            actual: input.datatype,
        });
    }
    let fits =
        |(expected, actual): (&i64, &u64)| *expected < 0 || u64::try_from(*expected) == Ok(*actual);
    if input.shape.len() != spec.shape.len() || !spec.shape.iter().zip(&input.shape).all(fits) {
        return Err(KserveError::WrongShape {
            tensor: input.name.clone(),
            expected: spec.shape.clone(),
            actual: input.shape.clone(),
        });
    }
    Ok(())
}

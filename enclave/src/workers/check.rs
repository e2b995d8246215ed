//! What can be said about a call, and about an answer, without asking the worker. Pure.

use super::WorkerError;
use crate::tensor::{ModelSpec, Tensor, TensorSpec};
use crate::worker::wire::TensorHead;

/// Holds the inputs against the model: names, types, ranks, fixed dimensions, lengths.
pub(super) fn check_inputs(spec: &ModelSpec, inputs: &[Tensor]) -> Result<(), WorkerError> {
    for (index, input) in inputs.iter().enumerate() {
        let name = || input.name.clone();
        let expected = spec
            .inputs
            .iter()
            .find(|expected| expected.name == input.name)
            .ok_or_else(|| WorkerError::InputUnknown { name: name() })?;
        if inputs[..index].iter().any(|other| other.name == input.name) {
            return Err(WorkerError::InputTwice { name: name() });
        }
        if input.datatype != expected.datatype {
            return Err(WorkerError::WrongType {
                name: name(),
                expected: expected.datatype,
                actual: input.datatype,
            });
        }
        if !shape_fits(&expected.shape, &input.shape) {
            return Err(WorkerError::WrongShape {
                name: name(),
                expected: expected.shape.clone(),
                actual: input.shape.clone(),
            });
        }
        input.validate()?;
    }
    let missing = spec
        .inputs
        .iter()
        .find(|expected| !inputs.iter().any(|input| input.name == expected.name));
    match missing {
        Some(missing) => Err(WorkerError::InputMissing {
            name: missing.name.clone(),
        }),
        None => Ok(()),
    }
}

/// The outputs that an answer has to hold, in order: those named, or all.
pub(super) fn wanted_outputs<'a>(
    spec: &'a ModelSpec,
    names: Option<&[String]>,
) -> Result<Vec<&'a TensorSpec>, WorkerError> {
    let Some(names) = names else {
        return Ok(spec.outputs.iter().collect());
    };
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            if names[..index].contains(name) {
                return Err(WorkerError::OutputTwice { name: name.clone() });
            }
            spec.outputs
                .iter()
                .find(|output| output.name == *name)
                .ok_or_else(|| WorkerError::OutputUnknown { name: name.clone() })
        })
        .collect()
}

/// Holds an answer against what was asked for: as many outputs, the same names in the same order, the model's types.
pub(super) fn check_outputs(
    wanted: &[&TensorSpec],
    heads: &[TensorHead],
) -> Result<(), WorkerError> {
    let same = wanted.len() == heads.len()
        && wanted
            .iter()
            .zip(heads)
            .all(|(spec, head)| spec.name == head.name && spec.datatype == head.datatype);
    if same {
        Ok(())
    } else {
        Err(WorkerError::WorkerProtocol {
            reason: "its answer has other outputs than were asked for".to_owned(),
        })
    }
}

/// A model without a shape has an empty one, as a scalar has: then ONNX Runtime alone can tell.
fn shape_fits(expected: &[i64], actual: &[u64]) -> bool {
    expected.is_empty()
        || expected.len() == actual.len()
            && expected.iter().zip(actual).all(|(expected, actual)| {
                u64::try_from(*expected).map_or(true, |expected| expected == *actual)
            })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DataType;
    use bytes::Bytes;

    fn spec(name: &str, datatype: DataType, shape: &[i64]) -> TensorSpec {
        TensorSpec {
            name: name.into(),
            datatype,
            shape: shape.to_vec(),
        }
    }

    fn model() -> ModelSpec {
        ModelSpec {
            inputs: vec![
                spec("a", DataType::Fp32, &[-1, 2]),
                spec("b", DataType::Uint8, &[]),
            ],
            outputs: vec![
                spec("y", DataType::Fp32, &[-1]),
                spec("z", DataType::Int64, &[1]),
            ],
        }
    }

    fn tensor(name: &str, datatype: DataType, shape: &[u64], len: usize) -> Tensor {
        Tensor {
            name: name.into(),
            datatype,
            shape: shape.to_vec(),
            data: Bytes::from(vec![0; len]),
        }
    }

    fn code(inputs: &[Tensor]) -> &'static str {
        check_inputs(&model(), inputs).map_or_else(|error| error.code(), |()| "ok")
    }

    #[test]
    fn inputs_are_held_against_the_model() {
        let a = tensor("a", DataType::Fp32, &[3, 2], 24);
        let b = tensor("b", DataType::Uint8, &[4], 4);
        assert_eq!(code(&[b.clone(), a.clone()]), "ok");
        assert_eq!(code(std::slice::from_ref(&a)), "input-missing");
        assert_eq!(code(&[a.clone(), b.clone(), a.clone()]), "input-twice");
        let other = tensor("c", DataType::Uint8, &[4], 4);
        assert_eq!(code(&[a.clone(), b.clone(), other]), "input-unknown");
        let wide = tensor("a", DataType::Fp32, &[2, 3], 24);
        assert_eq!(code(&[wide, b.clone()]), "wrong-shape");
        let flat = tensor("a", DataType::Fp32, &[6], 24);
        assert_eq!(code(&[flat, b.clone()]), "wrong-shape");
        let double = tensor("a", DataType::Fp64, &[3, 2], 48);
        assert_eq!(code(&[double, b.clone()]), "wrong-type");
        let short = tensor("a", DataType::Fp32, &[3, 2], 23);
        assert_eq!(code(&[short, b]), "tensor-length");
    }

    #[test]
    fn outputs_are_found_by_name() {
        let model = model();
        let names =
            |names: &[&str]| -> Vec<String> { names.iter().map(|n| n.to_string()).collect() };
        let wanted = wanted_outputs(&model, Some(&names(&["z", "y"]))).unwrap();
        assert_eq!(wanted[0].name, "z");
        assert_eq!(wanted_outputs(&model, None).unwrap().len(), 2);
        let error = |list: &[&str]| {
            wanted_outputs(&model, Some(&names(list)))
                .unwrap_err()
                .code()
        };
        assert_eq!(error(&["x"]), "output-unknown");
        assert_eq!(error(&["y", "y"]), "output-twice");
    }

    #[test]
    fn answers_must_be_what_was_asked() {
        let model = model();
        let wanted = wanted_outputs(&model, None).unwrap();
        let head = |name: &str, datatype| TensorHead {
            name: name.into(),
            datatype,
            shape: vec![],
            len: 0,
        };
        let (y, z) = (head("y", DataType::Fp32), head("z", DataType::Int64));
        assert!(check_outputs(&wanted, &[y.clone(), z.clone()]).is_ok());
        for wrong in [
            vec![y.clone()],
            vec![z.clone(), y.clone()],
            vec![y.clone(), head("z", DataType::Fp32)],
            vec![y.clone(), z.clone(), z.clone()],
        ] {
            assert_eq!(
                check_outputs(&wanted, &wrong).unwrap_err().code(),
                "worker-protocol"
            );
        }
    }
}

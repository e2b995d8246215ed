//! ONNX Runtime as the worker uses it: one session, tensors read from a stream straight into typed memory, outputs
//! lent out as bytes.

use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use half::{bf16, f16};
use ort::environment::Environment;
use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue, SessionOutputs};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType,
};

use super::wire::{Fault, FaultCode, MAX_NAME, MAX_RANK, MAX_TENSORS, TensorHead};
use crate::tensor::{BytesElements, DataType, ModelSpec, TensorSpec, element_count};

/// ONNX Runtime, loaded and warm.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    threads: usize,
}

impl Runtime {
    /// Loads the library and runs a tiny model once, so that whatever ONNX Runtime reads from files (processor,
    /// locale) is read now.
    pub fn load(library: &Path, threads: u16) -> Result<Runtime, Fault> {
        let unavailable = |error: &dyn std::fmt::Display| {
            Fault::new(FaultCode::RuntimeUnavailable, error.to_string())
        };
        let environment = ort::init_from(library)
            .map_err(|error| unavailable(&error))?
            .with_name("nacre")
            .with_telemetry(false)
            .build()
            .map_err(|error| unavailable(&error))?;
        let runtime = Runtime {
            environment,
            threads: usize::from(threads.max(1)),
        };
        let mut model = runtime.model(WARM_UP_MODEL)?;
        let input = Tensor::from_array(([1i64], vec![1f32])).map_err(|e| unavailable(&e))?;
        model
            .session
            .run(vec![("x", SessionInputValue::from(input))])
            .map_err(|error| unavailable(&error))?;
        Ok(runtime)
    }

    /// Makes a session of an ONNX model's bytes.
    pub fn model(&self, bytes: &[u8]) -> Result<Model, Fault> {
        let refused = |error: ort::Error| fault(FaultCode::ModelInvalid, &error);
        // Spinning threads would fight with the other workers for the cores.
        let session = Session::builder(&self.environment)
            .map_err(refused)?
            .with_intra_threads(self.threads)
            .map_err(|error| refused(error.into()))?
            .with_inter_threads(1)
            .map_err(|error| refused(error.into()))?
            .with_intra_op_spinning(false)
            .map_err(|error| refused(error.into()))?
            .with_inter_op_spinning(false)
            .map_err(|error| refused(error.into()))?
            .commit_from_memory(bytes)
            .map_err(refused)?;
        let spec = ModelSpec {
            inputs: specs("input", session.inputs())?,
            outputs: specs("output", session.outputs())?,
        };
        Ok(Model { session, spec })
    }
}

/// A model that is ready to compute.
#[derive(Debug)]
pub struct Model {
    session: Session,
    spec: ModelSpec,
}

impl Model {
    /// Its inputs and outputs.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Computes the outputs named, or all, and hands them to `answer` with the microseconds it took, in the
    /// order asked for.
    pub fn infer<T>(
        &mut self,
        inputs: Vec<(String, SessionInputValue<'static>)>,
        outputs: Option<&[String]>,
        answer: impl FnOnce(Vec<Output<'_>>, u32) -> T,
    ) -> Result<T, Fault> {
        let failed = |error: ort::Error| fault(FaultCode::InferenceFailed, &error);
        let wanted: Vec<&str> = match outputs {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => self.spec.outputs.iter().map(|o| o.name.as_str()).collect(),
        };
        let selector = wanted
            .iter()
            .fold(OutputSelector::no_default(), |selector, name| {
                selector.with(*name)
            });
        let options = RunOptions::new().map_err(failed)?.with_outputs(selector);
        let started = Instant::now();
        let values = self
            .session
            .run_with_options(inputs, &options)
            .map_err(failed)?;
        let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
        let outputs = wanted
            .iter()
            .map(|name| output(name, &values))
            .collect::<Result<Vec<_>, Fault>>()?;
        Ok(answer(outputs, micros))
    }
}

/// One output, its data still in ONNX Runtime's memory where its type allows.
#[derive(Debug)]
pub struct Output<'a> {
    /// What it is.
    pub head: TensorHead,
    /// Its data, as in [`crate::tensor::Tensor`].
    pub data: std::borrow::Cow<'a, [u8]>,
}

/// Why an input could not be made.
#[derive(Debug)]
pub enum InputError {
    /// The stream failed or ended.
    Io(io::Error),
    /// The input cannot be used; the stream may still hold some of its bytes.
    Fault(Fault),
}

impl From<io::Error> for InputError {
    fn from(error: io::Error) -> Self {
        InputError::Io(error)
    }
}

/// Reads the data that `head` announces into a tensor.
pub fn read_input(
    head: &TensorHead,
    stream: &mut impl Read,
) -> Result<SessionInputValue<'static>, InputError> {
    match head.datatype {
        DataType::Bool => bools(head, stream),
        DataType::Uint8 => fixed::<u8>(head, stream),
        DataType::Uint16 => fixed::<u16>(head, stream),
        DataType::Uint32 => fixed::<u32>(head, stream),
        DataType::Uint64 => fixed::<u64>(head, stream),
        DataType::Int8 => fixed::<i8>(head, stream),
        DataType::Int16 => fixed::<i16>(head, stream),
        DataType::Int32 => fixed::<i32>(head, stream),
        DataType::Int64 => fixed::<i64>(head, stream),
        DataType::Fp16 => fixed::<f16>(head, stream),
        DataType::Bf16 => fixed::<bf16>(head, stream),
        DataType::Fp32 => fixed::<f32>(head, stream),
        DataType::Fp64 => fixed::<f64>(head, stream),
        DataType::Bytes => strings(head, stream),
    }
}

fn fixed<T>(
    head: &TensorHead,
    stream: &mut impl Read,
) -> Result<SessionInputValue<'static>, InputError>
where
    T: Pod + PrimitiveTensorElementType + std::fmt::Debug,
{
    let data = read_vec::<T>(count(head)?, stream)?;
    tensor(head, data)
}

fn bools(
    head: &TensorHead,
    stream: &mut impl Read,
) -> Result<SessionInputValue<'static>, InputError> {
    let data = read_vec::<u8>(count(head)?, stream)?;
    tensor(head, data.into_iter().map(|byte| byte != 0).collect())
}

fn strings(
    head: &TensorHead,
    stream: &mut impl Read,
) -> Result<SessionInputValue<'static>, InputError> {
    let wrong = |what: &str| {
        let message = format!("input `{}`: {what}", head.name);
        InputError::Fault(Fault::new(FaultCode::WrongData, message))
    };
    let length = usize::try_from(head.len).map_err(|_| wrong("too long"))?;
    let data = read_vec::<u8>(length, stream)?;
    let elements = BytesElements::new(&data)
        .map(|element| {
            let element = element.ok_or_else(|| wrong("a BYTES element is cut short"))?;
            let text = std::str::from_utf8(element)
                .map_err(|_| wrong("a BYTES element is not UTF-8, as an ONNX string has to be"))?;
            if text.contains('\0') {
                return Err(wrong(
                    "a BYTES element holds a zero byte, which ONNX strings cannot",
                ));
            }
            Ok(text.to_owned())
        })
        .collect::<Result<Vec<String>, InputError>>()?;
    let tensor = Tensor::from_string_array((shape(head)?, elements.as_slice()))
        .map_err(|error| InputError::Fault(fault(FaultCode::WrongData, &error)))?;
    Ok(tensor.into())
}

fn tensor<T>(head: &TensorHead, data: Vec<T>) -> Result<SessionInputValue<'static>, InputError>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    let tensor = Tensor::from_array((shape(head)?, data))
        .map_err(|error| InputError::Fault(fault(FaultCode::WrongData, &error)))?;
    Ok(tensor.into())
}

fn read_vec<T: Pod>(count: usize, stream: &mut impl Read) -> Result<Vec<T>, InputError> {
    let mut data = Vec::new();
    data.try_reserve_exact(count)
        .map_err(|_| out_of_memory("an input does not fit into the function's memory"))?;
    data.resize(count, T::zeroed());
    stream.read_exact(cast_slice_mut(&mut data))?;
    Ok(data)
}

fn out_of_memory(message: &str) -> InputError {
    InputError::Fault(Fault::new(FaultCode::MemoryLimit, message))
}

fn count(head: &TensorHead) -> Result<usize, InputError> {
    element_count(&head.name, &head.shape)
        .map_err(|error| InputError::Fault(Fault::new(FaultCode::WrongData, error.to_string())))
}

fn shape(head: &TensorHead) -> Result<Vec<i64>, InputError> {
    head.shape
        .iter()
        .map(|dimension| i64::try_from(*dimension).ok())
        .collect::<Option<_>>()
        .ok_or_else(|| {
            let message = format!("input `{}`: a dimension is too large", head.name);
            InputError::Fault(Fault::new(FaultCode::WrongData, message))
        })
}

fn output<'a>(name: &str, values: &'a SessionOutputs<'_>) -> Result<Output<'a>, Fault> {
    let failed = |what: &str| {
        Fault::new(
            FaultCode::InferenceFailed,
            format!("output `{name}`: {what}"),
        )
    };
    let value = values.get(name).ok_or_else(|| failed("is missing"))?;
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(failed("is not a tensor"));
    };
    let datatype = datatype(*ty).ok_or_else(|| failed("has a type without a name in v2"))?;
    let shape = shape
        .iter()
        .map(|dimension| u64::try_from(*dimension))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| failed("has a negative dimension"))?;
    let data = output_data(datatype, value).map_err(|error| failed(error.message()))?;
    Ok(Output {
        head: TensorHead {
            name: name.to_owned(),
            datatype,
            shape,
            len: data.len() as u64,
        },
        data,
    })
}

fn output_data(datatype: DataType, value: &DynValue) -> ort::Result<std::borrow::Cow<'_, [u8]>> {
    fn bytes<T>(value: &DynValue) -> ort::Result<std::borrow::Cow<'_, [u8]>>
    where
        T: PrimitiveTensorElementType + bytemuck::NoUninit,
    {
        let (_, data) = value.try_extract_tensor::<T>()?;
        Ok(cast_slice(data).into())
    }
    match datatype {
        DataType::Bool => bytes::<bool>(value),
        DataType::Uint8 => bytes::<u8>(value),
        DataType::Uint16 => bytes::<u16>(value),
        DataType::Uint32 => bytes::<u32>(value),
        DataType::Uint64 => bytes::<u64>(value),
        DataType::Int8 => bytes::<i8>(value),
        DataType::Int16 => bytes::<i16>(value),
        DataType::Int32 => bytes::<i32>(value),
        DataType::Int64 => bytes::<i64>(value),
        DataType::Fp16 => bytes::<f16>(value),
        DataType::Bf16 => bytes::<bf16>(value),
        DataType::Fp32 => bytes::<f32>(value),
        DataType::Fp64 => bytes::<f64>(value),
        DataType::Bytes => {
            let (_, strings) = value.try_extract_strings()?;
            let mut data = Vec::new();
            for string in strings {
                let length = u32::try_from(string.len())
                    .map_err(|_| ort::Error::new("a string exceeds 4 GiB"))?;
                data.extend_from_slice(&length.to_le_bytes());
                data.extend_from_slice(string.as_bytes());
            }
            Ok(data.into())
        }
    }
}

fn specs(direction: &str, outlets: &[Outlet]) -> Result<Vec<TensorSpec>, Fault> {
    if outlets.len() > MAX_TENSORS {
        let message = format!("the model has more than {MAX_TENSORS} {direction}s");
        return Err(Fault::new(FaultCode::ModelInvalid, message));
    }
    outlets.iter().map(|o| tensor_spec(direction, o)).collect()
}

fn tensor_spec(direction: &str, outlet: &Outlet) -> Result<TensorSpec, Fault> {
    let refused =
        |code, what: String| Fault::new(code, format!("{direction} `{}` {what}", outlet.name()));
    let unsupported = |what: String| refused(FaultCode::UnsupportedType, what);
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(unsupported(format!(
            "is {}; only tensors can be served",
            outlet.dtype()
        )));
    };
    let datatype = datatype(*ty)
        .ok_or_else(|| unsupported(format!("has elements of type {ty}, which v2 cannot name")))?;
    if outlet.name().len() > MAX_NAME || shape.len() > MAX_RANK {
        let what = "has too long a name or too many dimensions".to_owned();
        return Err(refused(FaultCode::ModelInvalid, what));
    }
    Ok(TensorSpec {
        name: outlet.name().to_owned(),
        datatype,
        shape: shape.iter().map(|d| (*d).max(-1)).collect(),
    })
}

fn datatype(ty: TensorElementType) -> Option<DataType> {
    Some(match ty {
        TensorElementType::Bool => DataType::Bool,
        TensorElementType::Uint8 => DataType::Uint8,
        TensorElementType::Uint16 => DataType::Uint16,
        TensorElementType::Uint32 => DataType::Uint32,
        TensorElementType::Uint64 => DataType::Uint64,
        TensorElementType::Int8 => DataType::Int8,
        TensorElementType::Int16 => DataType::Int16,
        TensorElementType::Int32 => DataType::Int32,
        TensorElementType::Int64 => DataType::Int64,
        TensorElementType::Float16 => DataType::Fp16,
        TensorElementType::Bfloat16 => DataType::Bf16,
        TensorElementType::Float32 => DataType::Fp32,
        TensorElementType::Float64 => DataType::Fp64,
        TensorElementType::String => DataType::Bytes,
        _ => return None,
    })
}

/// ONNX Runtime has no code of its own for memory that ran out; its words have to do.
fn fault(code: FaultCode, error: &ort::Error) -> Fault {
    const OUT_OF_MEMORY: [&str; 3] = ["bad_alloc", "bad allocation", "Failed to allocate memory"];
    let message = error.message();
    let code = if OUT_OF_MEMORY.iter().any(|words| message.contains(words)) {
        FaultCode::MemoryLimit
    } else {
        code
    };
    Fault::new(code, message)
}

/// `y = Identity(x)` for one FP32 tensor of one element: IR version 8, opset 17.
const WARM_UP_MODEL: &[u8] = &[
    0x08, 8, // ir_version
    0x3a, 43, // graph
    0x0a, 16, // node
    0x0a, 1, b'x', 0x12, 1, b'y', 0x22, 8, b'I', b'd', b'e', b'n', b't', b'i', b't', b'y', //
    0x12, 1, b'w', // name
    0x5a, 9, 0x0a, 1, b'x', 0x12, 4, 0x0a, 2, 0x08, 1, // input, FP32
    0x62, 9, 0x0a, 1, b'y', 0x12, 4, 0x0a, 2, 0x08, 1, // output, FP32
    0x42, 4, 0x0a, 0, 0x10, 17, // opset
];

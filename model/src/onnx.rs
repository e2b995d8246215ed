//! ONNX's own messages (`onnx.proto`, IR version 10), as far as graphs are written here, and a graph that grows.

use prost::Message;

/// Version of the intermediate representation.
const IR_VERSION: i64 = 10;
/// Version of ONNX's operators.
const OPSET: i64 = 21;
/// Domain of ONNX Runtime's own operators.
pub const MICROSOFT: &str = "com.microsoft";
/// A message of protobuf has at most this many bytes.
pub const MAX_MODEL: usize = (1 << 31) - 1;

/// Types of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Binary32.
    Float = 1,
    /// Eight bits without sign.
    Uint8 = 2,
    /// 32 bits.
    Int32 = 6,
    /// 64 bits.
    Int64 = 7,
}

/// Length of a dimension.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// Always this.
    Is(usize),
    /// Any, and the same wherever the name stands.
    Named(&'static str),
}

/// A graph under construction. Nodes come in the order in which they are computed.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
    inputs: Vec<ValueInfo>,
    outputs: Vec<ValueInfo>,
}

impl Graph {
    /// A tensor that callers give.
    pub fn input(&mut self, name: &str, kind: Type, shape: &[Length]) {
        self.inputs.push(value(name, kind, shape));
    }

    /// A tensor that callers get.
    pub fn output(&mut self, name: &str, kind: Type, shape: &[Length]) {
        self.outputs.push(value(name, kind, shape));
    }

    /// A tensor of the model's own: little-endian bytes, row major.
    pub fn constant(&mut self, name: &str, kind: Type, shape: &[usize], bytes: Vec<u8>) {
        self.initializers.push(Tensor {
            dims: shape.iter().map(|length| signed(*length)).collect(),
            data_type: kind as i32,
            name: name.to_owned(),
            raw_data: bytes,
        });
    }

    /// Numbers of the model's own.
    pub fn floats(&mut self, name: &str, shape: &[usize], numbers: &[f32]) {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        self.constant(name, Type::Float, shape, bytes.collect());
    }

    /// Whole numbers of the model's own.
    pub fn whole(&mut self, name: &str, shape: &[usize], numbers: &[i64]) {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        self.constant(name, Type::Int64, shape, bytes.collect());
    }

    /// A computation. An input or output without a name is left out.
    pub fn node(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<Attribute>,
    ) {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        self.nodes.push(Node {
            input: names(inputs),
            output: names(outputs),
            name: outputs.first().copied().unwrap_or_default().to_owned(),
            op_type: operator.to_owned(),
            domain: domain.to_owned(),
            attribute: attributes,
        });
    }

    /// The model's bytes; `None` where they are more than a protobuf message holds ([`MAX_MODEL`]).
    pub fn to_bytes(self, name: &str, notes: Vec<(&str, String)>) -> Option<Vec<u8>> {
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: "nacre".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(GraphProto {
                node: self.nodes,
                name: name.to_owned(),
                initializer: self.initializers,
                input: self.inputs,
                output: self.outputs,
            }),
            opset_import: vec![
                OperatorSet {
                    domain: String::new(),
                    version: OPSET,
                },
                OperatorSet {
                    domain: MICROSOFT.to_owned(),
                    version: 1,
                },
            ],
            metadata_props: notes
                .into_iter()
                .map(|(key, value)| Entry {
                    key: key.to_owned(),
                    value,
                })
                .collect(),
        };
        (model.encoded_len() <= MAX_MODEL).then(|| model.encode_to_vec())
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn value(name: &str, kind: Type, shape: &[Length]) -> ValueInfo {
    let dimension = |length: &Length| match length {
        Length::Is(length) => Dimension {
            dim_value: Some(signed(*length)),
            dim_param: None,
        },
        Length::Named(name) => Dimension {
            dim_value: None,
            dim_param: Some((*name).to_owned()),
        },
    };
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorType {
                elem_type: kind as i32,
                shape: Some(Shape {
                    dim: shape.iter().map(dimension).collect(),
                }),
            }),
        }),
    }
}

/// An attribute of a node.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

impl Attribute {
    /// A number.
    pub fn float(name: &str, f: f32) -> Self {
        Self {
            name: name.to_owned(),
            f,
            kind: 1,
            ..Self::default()
        }
    }

    /// A whole number.
    pub fn whole(name: &str, i: usize) -> Self {
        Self::signed(name, signed(i))
    }

    /// A whole number with a sign.
    pub fn signed(name: &str, i: i64) -> Self {
        Self {
            name: name.to_owned(),
            i,
            kind: 2,
            ..Self::default()
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    dim_param: Option<String>,
}

//! Tiny ONNX models, as protobuf written by hand (onnx.proto3, IR version 8, opset 17).

use bytes::Bytes;

pub(crate) const FLOAT: u64 = 1;
pub(crate) const INT64: u64 = 7;
pub(crate) const BOOL: u64 = 9;

/// ONNX's numbers of the types that v2 names, in v2's order.
pub(crate) const TYPES: [u64; 14] = [9, 2, 4, 12, 13, 3, 5, 6, 7, 10, 16, 1, 11, 8];

#[derive(Default, Clone)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }
}

/// A dimension of a value.
#[derive(Clone, Copy)]
pub(crate) enum Dim {
    Fixed(u64),
    Any(&'static str),
}

pub(crate) struct Graph(Message);

impl Graph {
    pub(crate) fn new() -> Self {
        Graph(Message::default().text(2, "graph"))
    }

    pub(crate) fn node(self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(op, inputs, outputs, &[])
    }

    pub(crate) fn node_with(
        self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[Message],
    ) -> Self {
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        for output in outputs {
            node = node.text(2, output);
        }
        node = node.text(4, op);
        for attribute in attributes {
            node = node.message(5, attribute);
        }
        Graph(self.0.message(1, &node))
    }

    pub(crate) fn input(self, name: &str, ty: u64, shape: &[Dim]) -> Self {
        Graph(self.0.message(11, &value(name, ty, shape)))
    }

    pub(crate) fn output(self, name: &str, ty: u64, shape: &[Dim]) -> Self {
        Graph(self.0.message(12, &value(name, ty, shape)))
    }

    pub(crate) fn initializer(self, name: &str, ty: u64, dims: &[u64], raw: &[u8]) -> Self {
        let mut tensor = Message::default();
        for dim in dims {
            tensor = tensor.int(1, *dim);
        }
        let tensor = tensor.int(2, ty).text(8, name).bytes(9, raw);
        Graph(self.0.message(5, &tensor))
    }

    pub(crate) fn model(self) -> Bytes {
        let opset = Message::default().text(1, "").int(2, 17);
        let model = Message::default()
            .int(1, 8)
            .message(7, &self.0)
            .message(8, &opset);
        model.0.into()
    }

    pub(crate) fn into_attribute(self, name: &str) -> Message {
        Message::default()
            .text(1, name)
            .message(6, &self.0)
            .int(20, 5)
    }
}

fn value(name: &str, ty: u64, shape: &[Dim]) -> Message {
    let mut dims = Message::default();
    for dim in shape {
        let dim = match dim {
            Dim::Fixed(value) => Message::default().int(1, *value),
            Dim::Any(name) => Message::default().text(2, name),
        };
        dims = dims.message(1, &dim);
    }
    let tensor = Message::default().int(1, ty).message(2, &dims);
    Message::default()
        .text(1, name)
        .message(2, &Message::default().message(1, &tensor))
}

/// `y = x` for a vector of `ty`.
pub(crate) fn identity(ty: u64) -> Bytes {
    Graph::new()
        .node("Identity", &["x"], &["y"])
        .input("x", ty, &[Dim::Any("n")])
        .output("y", ty, &[Dim::Any("n")])
        .model()
}

/// `sum = a + b`, `product = a · b` for vectors of two floats.
pub(crate) fn arithmetic() -> Bytes {
    let two = [Dim::Fixed(2)];
    Graph::new()
        .node("Add", &["a", "b"], &["sum"])
        .node("Mul", &["a", "b"], &["product"])
        .input("a", FLOAT, &two)
        .input("b", FLOAT, &two)
        .output("sum", FLOAT, &two)
        .output("product", FLOAT, &two)
        .model()
}

/// `y = x + n`, by adding 1 to the scalar n times: takes as long as one likes.
pub(crate) fn loops() -> Bytes {
    let body = Graph::new()
        .node("Identity", &["condition_in"], &["condition_out"])
        .node("Add", &["state_in", "one"], &["state_out"])
        .initializer("one", FLOAT, &[], &1f32.to_le_bytes())
        .input("iteration", INT64, &[])
        .input("condition_in", BOOL, &[])
        .input("state_in", FLOAT, &[])
        .output("condition_out", BOOL, &[])
        .output("state_out", FLOAT, &[])
        .into_attribute("body");
    Graph::new()
        .node_with("Loop", &["n", "", "x"], &["y"], &[body])
        .input("n", INT64, &[])
        .input("x", FLOAT, &[])
        .output("y", FLOAT, &[])
        .model()
}

/// `y` = zeros of the shape in `shape`: takes as much memory as one likes.
pub(crate) fn zeros() -> Bytes {
    Graph::new()
        .node("ConstantOfShape", &["shape"], &["y"])
        .input("shape", INT64, &[Dim::Fixed(1)])
        .output("y", FLOAT, &[Dim::Any("n")])
        .model()
}

/// `y` = a sequence of `x`, which v2 cannot name.
pub(crate) fn sequence() -> Bytes {
    let tensor = Message::default()
        .int(1, FLOAT)
        .message(2, &Message::default());
    let element = Message::default().message(1, &tensor);
    let sequence = Message::default().message(4, &Message::default().message(1, &element));
    let output = Message::default().text(1, "y").message(2, &sequence);
    let graph = Graph::new()
        .node("SequenceConstruct", &["x"], &["y"])
        .input("x", FLOAT, &[Dim::Fixed(1)]);
    Graph(graph.0.message(12, &output)).model()
}

/// `y = x` with its weights in a file outside the model, as a model could ask for any file.
pub(crate) fn external_data(path: &str) -> Bytes {
    let entry = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
    let tensor = Message::default()
        .int(1, 1)
        .int(2, FLOAT)
        .text(8, "w")
        .message(13, &entry("location", path))
        .int(14, 1);
    let graph = Graph::new()
        .node("Add", &["x", "w"], &["y"])
        .input("x", FLOAT, &[Dim::Fixed(1)])
        .output("y", FLOAT, &[Dim::Fixed(1)]);
    Graph(graph.0.message(5, &tensor)).model()
}

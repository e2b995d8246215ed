//! The graph, layer after layer.

use std::io::{Read, Seek};

use super::{ImportError, Shape};
use crate::gguf::{Gguf, GgufError};
use crate::onnx::{Attribute, Graph, Length, MICROSOFT, Type};
use crate::quantized::{BLOCK, EightBit};

/// What stands for zero in an eight-bit matrix.
const ZERO: f32 = 128.0;

/// The graph of a file's model, as an ONNX file.
///
/// # Errors
///
/// [`ImportError`].
pub fn to_onnx<R: Read + Seek>(file: &mut Gguf<R>) -> Result<Vec<u8>, ImportError> {
    let shape = Shape::of(file)?;
    let mut builder = Builder {
        graph: Graph::default(),
        shape,
        file,
    };
    builder.ends();
    builder.lengths();
    builder.rotations()?;
    builder.embedding()?;
    let mut sum = "embedded".to_owned();
    let mut step = String::new();
    for layer in 0..builder.shape.layers {
        (sum, step) = builder.layer(layer, &sum, &step)?;
    }
    builder.head(&sum, &step)?;
    let name = builder.file.text("general.name").unwrap_or("llama");
    let name: String = name.chars().take(100).collect();
    builder
        .graph
        .to_bytes(&name, Vec::new())
        .ok_or(ImportError::TooLarge)
}

struct Builder<'a, R> {
    graph: Graph,
    shape: Shape,
    file: &'a mut Gguf<R>,
}

impl<R: Read + Seek> Builder<'_, R> {
    /// What goes in and comes out.
    fn ends(&mut self) {
        let batch = Length::Named("batch");
        let (graph, shape) = (&mut self.graph, &self.shape);
        let row = [batch, Length::Named("sequence")];
        graph.input("input_ids", Type::Int64, &row);
        let all = [batch, Length::Named("total")];
        graph.input("attention_mask", Type::Int64, &all);
        let logits = [batch, Length::Is(1), Length::Is(shape.vocabulary)];
        graph.output("logits", Type::Float, &logits);
        for layer in 0..shape.layers {
            for part in ["key", "value"] {
                let kept = |past| {
                    let heads = Length::Is(shape.kv_heads);
                    [batch, heads, Length::Named(past), Length::Is(shape.head)]
                };
                let past = format!("past_key_values.{layer}.{part}");
                graph.input(&past, Type::Float, &kept("past"));
                let present = format!("present.{layer}.{part}");
                graph.output(&present, Type::Float, &kept("total"));
            }
        }
    }

    /// How long each row is, and the longest.
    fn lengths(&mut self) {
        let graph = &mut self.graph;
        graph.whole("one", &[1], &[1]);
        graph.whole("first", &[], &[1]);
        let keep = vec![Attribute::whole("keepdims", 0)];
        graph.node("", "ReduceSum", &["attention_mask", "one"], &["seen"], keep);
        graph.node("", "Sub", &["seen", "one"], &["before"], Vec::new());
        let narrow = || vec![Attribute::whole("to", Type::Int32 as usize)];
        graph.node("", "Cast", &["before"], &["seqlens"], narrow());
        graph.node(
            "",
            "Shape",
            &["attention_mask"],
            &["mask_shape"],
            Vec::new(),
        );
        graph.node(
            "",
            "Gather",
            &["mask_shape", "first"],
            &["longest"],
            Vec::new(),
        );
        graph.node("", "Cast", &["longest"], &["total"], narrow());
    }

    /// Cosines and sines of every position.
    fn rotations(&mut self) -> Result<(), ImportError> {
        let (shape, half) = (&self.shape, self.shape.head / 2);
        // Some files slow the rotations down, each frequency by a number of its own.
        let slower = match self.file.numbers_of("rope_freqs.weight") {
            Ok((_, numbers)) if numbers.len() == half => numbers,
            Ok(_) => {
                return Err(ImportError::Contradiction(
                    "rope_freqs.weight has another length than half a head".to_owned(),
                ));
            }
            Err(GgufError::Missing(_)) => vec![1.0; half],
            Err(error) => return Err(error.into()),
        };
        let frequency = |n: usize| {
            let exponent = 2.0 * n as f64 / shape.head as f64;
            shape.rope_base.powf(-exponent) / f64::from(slower[n])
        };
        let frequencies: Vec<f64> = (0..half).map(frequency).collect();
        let table = |of: fn(f64) -> f64| -> Vec<f32> {
            let angles = (0..shape.context).flat_map(|position| {
                let position = position as f64 / shape.rope_scale;
                frequencies
                    .iter()
                    .map(move |frequency| position * frequency)
            });
            angles.map(|angle| of(angle) as f32).collect()
        };
        let (cosines, sines) = (table(f64::cos), table(f64::sin));
        let size = [shape.context, half];
        self.graph.floats("cosines", &size, &cosines);
        self.graph.floats("sines", &size, &sines);
        Ok(())
    }

    /// The tokens' rows of the embedding, taken out of its eight-bit matrix.
    fn embedding(&mut self) -> Result<(), ImportError> {
        let (rows, width) = (self.shape.vocabulary, self.shape.width);
        self.matrix("embedding", &["token_embd.weight"], width, rows)?;
        let graph = &mut self.graph;
        let blocks = signed(width / BLOCK);
        graph.whole("by_row", &[2], &[signed(rows), blocks]);
        graph.whole("last", &[1], &[-1]);
        graph.whole("flat", &[3], &[0, 0, signed(width)]);
        graph.floats("zero_point", &[], &[ZERO]);
        let none = Vec::new;
        graph.node(
            "",
            "Gather",
            &["embedding.bytes", "input_ids"],
            &["taken"],
            none(),
        );
        let float = vec![Attribute::whole("to", Type::Float as usize)];
        graph.node("", "Cast", &["taken"], &["taken_as_float"], float);
        graph.node(
            "",
            "Sub",
            &["taken_as_float", "zero_point"],
            &["steps"],
            none(),
        );
        graph.node(
            "",
            "Reshape",
            &["embedding.scales", "by_row"],
            &["scales"],
            none(),
        );
        graph.node(
            "",
            "Gather",
            &["scales", "input_ids"],
            &["taken_scales"],
            none(),
        );
        graph.node(
            "",
            "Unsqueeze",
            &["taken_scales", "last"],
            &["step"],
            none(),
        );
        graph.node("", "Mul", &["steps", "step"], &["blocks"], none());
        graph.node("", "Reshape", &["blocks", "flat"], &["embedded"], none());
        Ok(())
    }

    /// One layer: what is added up so far, and what is to be added next.
    fn layer(
        &mut self,
        layer: usize,
        sum: &str,
        step: &str,
    ) -> Result<(String, String), ImportError> {
        let name = |part: &str| format!("layer.{layer}.{part}");
        let tensor = |part: &str| format!("blk.{layer}.{part}.weight");
        let shape = self.shape.clone();
        let (queries, kept) = (shape.heads * shape.head, shape.kv_heads * shape.head);

        let (normed, sum) = self.norm(&name("attention"), &tensor("attn_norm"), sum, step)?;
        let packed = ["attn_q", "attn_k", "attn_v"].map(tensor);
        let packed: Vec<&str> = packed.iter().map(String::as_str).collect();
        self.matrix(&name("qkv"), &packed, shape.width, queries + 2 * kept)?;
        self.times(&normed, &name("qkv"), shape.width, queries + 2 * kept);
        let attended = name("attended");
        let attributes = vec![
            Attribute::whole("num_heads", shape.heads),
            Attribute::whole("kv_num_heads", shape.kv_heads),
            Attribute::whole("do_rotary", 1),
            // GGUF keeps the pairs of this family side by side.
            Attribute::whole("rotary_interleaved", 1),
        ];
        let past = ["key", "value"].map(|part| format!("past_key_values.{layer}.{part}"));
        let present = ["key", "value"].map(|part| format!("present.{layer}.{part}"));
        let [key, value] = past.each_ref().map(String::as_str);
        let qkv = name("qkv");
        let inputs = [
            &qkv, "", "", key, value, "seqlens", "total", "cosines", "sines",
        ];
        let outputs = [attended.as_str(), &present[0], &present[1]];
        let operator = "GroupQueryAttention";
        self.graph
            .node(MICROSOFT, operator, &inputs, &outputs, attributes);
        let out = name("attention_out");
        self.matrix(&out, &[&tensor("attn_output")], queries, shape.width)?;
        self.times(&attended, &out, queries, shape.width);

        let (normed, sum) = self.norm(&name("forward"), &tensor("ffn_norm"), &sum, &out)?;
        let (gate, up, down) = (name("gate"), name("up"), name("down"));
        for (part, from) in [(&gate, "ffn_gate"), (&up, "ffn_up")] {
            self.matrix(part, &[&tensor(from)], shape.width, shape.inner)?;
            self.times(&normed, part, shape.width, shape.inner);
        }
        let (open, through) = (name("open"), name("through"));
        // x times its logistic function.
        let swish = vec![Attribute::float("alpha", 1.0)];
        self.graph
            .node(MICROSOFT, "QuickGelu", &[&gate], &[&open], swish);
        self.graph
            .node("", "Mul", &[&open, &up], &[&through], Vec::new());
        self.matrix(&down, &[&tensor("ffn_down")], shape.inner, shape.width)?;
        self.times(&through, &down, shape.inner, shape.width);
        Ok((sum, down))
    }

    /// Scores of the next token.
    fn head(&mut self, sum: &str, step: &str) -> Result<(), ImportError> {
        let (width, rows) = (self.shape.width, self.shape.vocabulary);
        let (normed, _) = self.norm("head", "output_norm.weight", sum, step)?;
        self.graph.whole("end", &[1], &[i64::MAX]);
        let inputs = [normed.as_str(), "last", "end", "one"];
        self.graph
            .node("", "Slice", &inputs, &["last_position"], Vec::new());
        // Where there is no matrix of its own, it is the embedding's.
        let matrix = if self.file.tensor("output.weight").is_ok() {
            self.matrix("output", &["output.weight"], width, rows)?;
            "output"
        } else {
            "embedding"
        };
        self.multiply("last_position", matrix, "logits", width, rows);
        Ok(())
    }

    /// Adds the last step up, and norms the sum: the norm's name and the sum's.
    fn norm(
        &mut self,
        name: &str,
        tensor: &str,
        sum: &str,
        step: &str,
    ) -> Result<(String, String), ImportError> {
        let (_, weights) = self.file.numbers_of(tensor)?;
        if weights.len() != self.shape.width {
            return Err(self.other_shape(tensor));
        }
        let (weight, normed) = (format!("{name}.norm"), format!("{name}.normed"));
        self.graph.floats(&weight, &[weights.len()], &weights);
        let mut attributes = vec![Attribute::float("epsilon", self.shape.epsilon)];
        if step.is_empty() {
            attributes.push(Attribute::signed("axis", -1));
            attributes.push(Attribute::whole("stash_type", 1));
            let operator = "SimplifiedLayerNormalization";
            self.graph
                .node("", operator, &[sum, &weight], &[&normed], attributes);
            return Ok((normed, sum.to_owned()));
        }
        let added = format!("{name}.sum");
        let operator = "SkipSimplifiedLayerNormalization";
        let outputs = [normed.as_str(), "", "", &added];
        self.graph.node(
            MICROSOFT,
            operator,
            &[sum, step, &weight],
            &outputs,
            attributes,
        );
        Ok((normed, added))
    }

    /// Constants of an eight-bit matrix of `rows` times `width`, of these tensors below each other.
    fn matrix(
        &mut self,
        name: &str,
        tensors: &[&str],
        width: usize,
        rows: usize,
    ) -> Result<(), ImportError> {
        let mut whole = EightBit {
            bytes: Vec::new(),
            scales: Vec::new(),
        };
        for tensor in tensors {
            let (found, bytes) = self.file.bytes_of(tensor)?;
            if found.shape.first() != Some(&(width as u64)) {
                return Err(self.other_shape(tensor));
            }
            let part = EightBit::of(found.quantization, &bytes);
            whole.bytes.extend(part.bytes);
            whole.scales.extend(part.scales);
        }
        if whole.bytes.len() != rows * width {
            return Err(self.other_shape(tensors.first().copied().unwrap_or_default()));
        }
        let blocks = width / BLOCK;
        let shape = [rows, blocks, BLOCK];
        let graph = &mut self.graph;
        graph.constant(&format!("{name}.bytes"), Type::Uint8, &shape, whole.bytes);
        graph.floats(&format!("{name}.scales"), &[rows * blocks], &whole.scales);
        Ok(())
    }

    /// Multiplies by the matrix of this name, and calls the product so.
    fn times(&mut self, input: &str, matrix: &str, width: usize, rows: usize) {
        self.multiply(input, matrix, matrix, width, rows);
    }

    fn multiply(&mut self, input: &str, matrix: &str, product: &str, width: usize, rows: usize) {
        let (bytes, scales) = (format!("{matrix}.bytes"), format!("{matrix}.scales"));
        let attributes = vec![
            Attribute::whole("K", width),
            Attribute::whole("N", rows),
            Attribute::whole("bits", 8),
            Attribute::whole("block_size", BLOCK),
            // Sums of products of eight-bit numbers.
            Attribute::whole("accuracy_level", 4),
        ];
        let inputs = [input, &bytes, &scales];
        self.graph
            .node(MICROSOFT, "MatMulNBits", &inputs, &[product], attributes);
    }

    fn other_shape(&self, tensor: &str) -> ImportError {
        ImportError::Contradiction(format!(
            "tensor {tensor:?} has another shape than the file says"
        ))
    }
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

//! The Llama family as an ONNX graph of ONNX Runtime's fused operators.
//!
//! The graph takes `input_ids` `[batch, sequence]`, `attention_mask` `[batch, total]` and for each layer
//! `past_key_values.N.key` and `.value` `[batch, key-value heads, past, head]`; it gives `present.N.key`, `.value` and `logits`
//! `[batch, 1, vocabulary]` of each row's last position: what a sampler asks for. Matrices are eight-bit
//! ([`crate::quantized::EightBit`]); sums, norms and attention are binary32.

mod graph;

pub use graph::to_onnx;

use crate::gguf::{Gguf, GgufError, Value};
use crate::onnx::MAX_MODEL;
use crate::quantized::BLOCK;

/// Longest context that is taken, in tokens; a file that claims more gets this.
pub const MAX_CONTEXT: u64 = 131_072;
/// Most numbers of a head.
const MAX_HEAD: usize = 512;
/// Most layers.
const MAX_LAYERS: u64 = 512;
/// Largest of the other lengths.
const MAX_WIDTH: u64 = 1 << 20;

/// Sizes of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Numbers that stand for a token.
    pub width: usize,
    /// Numbers inside of a layer.
    pub inner: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Numbers of a head.
    pub head: usize,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Tokens that it can look back on.
    pub context: usize,
    /// What keeps norms from dividing by zero.
    pub epsilon: f32,
    /// Base of the rotations' frequencies.
    pub rope_base: f64,
    /// Positions are divided by it.
    pub rope_scale: f64,
}

/// Why a file's model cannot become a graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Another family, or a part of this one that is not known here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// Sizes that do not fit each other.
    #[error("{0}")]
    Contradiction(String),
    /// More than a single ONNX file holds.
    #[error("the model is more than {MAX_MODEL} bytes as ONNX")]
    TooLarge,
}

impl ImportError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gguf(error) => error.code(),
            Self::Unsupported(_) => "model-unsupported",
            Self::Contradiction(_) => "model-contradictory",
            Self::TooLarge => "model-too-large",
        }
    }
}

impl Shape {
    /// What a file says of its model.
    ///
    /// # Errors
    ///
    /// [`ImportError`].
    pub fn of<R>(file: &Gguf<R>) -> Result<Self, ImportError> {
        let family = file.text("general.architecture")?;
        if family != "llama" {
            return Err(ImportError::Unsupported(format!(
                "the architecture {family:?}"
            )));
        }
        let length = |key: &str, limit: u64| -> Result<usize, ImportError> {
            let key = format!("llama.{key}");
            let value = file.whole(&key)?;
            usize::try_from(value)
                .ok()
                .filter(|_| (1..=limit).contains(&value))
                .ok_or_else(|| ImportError::Contradiction(format!("{key} is {value}")))
        };
        let or = |key: &str, otherwise: usize| match file.get(&format!("llama.{key}")) {
            None => Ok(otherwise),
            Some(_) => length(key, MAX_WIDTH),
        };
        let width = length("embedding_length", MAX_WIDTH)?;
        let heads = length("attention.head_count", MAX_WIDTH)?;
        let embedded = file.tensor("token_embd.weight")?;
        let shape = Self {
            layers: length("block_count", MAX_LAYERS)?,
            width,
            inner: length("feed_forward_length", MAX_WIDTH)?,
            heads,
            kv_heads: or("attention.head_count_kv", heads)?,
            head: or("attention.key_length", width / heads)?,
            vocabulary: match embedded.shape.as_slice() {
                [_, rows] => usize::try_from(*rows).unwrap_or(usize::MAX),
                _ => 0,
            },
            context: length("context_length", u64::MAX)?
                .min(usize::try_from(MAX_CONTEXT).unwrap_or(usize::MAX)),
            epsilon: file.float("llama.attention.layer_norm_rms_epsilon")? as f32,
            rope_base: match file.get("llama.rope.freq_base") {
                None => 10_000.0,
                Some(_) => file.float("llama.rope.freq_base")?,
            },
            rope_scale: rope_scale(file)?,
        };
        shape.check()?;
        let rotated = or("rope.dimension_count", shape.head)?;
        if rotated != shape.head {
            return Err(ImportError::Unsupported(
                "a rotation of a part of each head".to_owned(),
            ));
        }
        if file.get("llama.expert_count").and_then(Value::whole) > Some(0) {
            return Err(ImportError::Unsupported("a mixture of experts".to_owned()));
        }
        Ok(shape)
    }

    fn check(&self) -> Result<(), ImportError> {
        let blocks = [self.width, self.inner, self.heads * self.head];
        let fit = blocks.iter().all(|length| length.is_multiple_of(BLOCK))
            && self.heads.is_multiple_of(self.kv_heads)
            && self.head.is_multiple_of(8)
            && (1..=MAX_HEAD).contains(&self.head)
            && self.vocabulary > 0
            && self.rope_base > 1.0
            && self.epsilon > 0.0;
        if fit {
            return Ok(());
        }
        Err(ImportError::Contradiction(format!(
            "these sizes do not fit each other: {self:?}"
        )))
    }
}

fn rope_scale<R>(file: &Gguf<R>) -> Result<f64, ImportError> {
    match file.get("llama.rope.scaling.type") {
        None => Ok(1.0),
        Some(Value::Text(kind)) if kind == "none" => Ok(1.0),
        Some(Value::Text(kind)) if kind == "linear" => {
            let factor = file.float("llama.rope.scaling.factor")?;
            if factor >= 1.0 {
                return Ok(factor);
            }
            Err(ImportError::Contradiction(format!(
                "llama.rope.scaling.factor is {factor}"
            )))
        }
        Some(kind) => Err(ImportError::Unsupported(format!(
            "the rotations' scaling {kind:?}"
        ))),
    }
}

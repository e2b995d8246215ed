//! Models of other formats as functions of ours.

#![forbid(unsafe_code)]

pub mod gguf;
pub mod llama;
pub mod onnx;
pub mod quantized;
pub mod tokenizer;

//! Text out of a model's numbers: the prompt that a conversation becomes, the next token, and where the text ends.
//!
//! No I/O, no clock, and no randomness but a given seed: the same request, model and seed give the same text.

#![forbid(unsafe_code)]

pub mod sampling;
pub mod stop;
pub mod template;

//! Models that strangers wrote.

use std::io::Cursor;

use nacre_model::gguf::Gguf;
use nacre_model::llama::{self, Shape};
use nacre_model::tokenizer;

/// Longest context of which tables of rotations are made here.
const CONTEXT: usize = 1024;

/// Reads a GGUF file, its vocabulary, and its model as a graph; gives the code of the first that is refused.
pub fn gguf(data: &[u8]) -> Result<(), &'static str> {
    let mut file = Gguf::read(Cursor::new(data)).map_err(|error| error.code())?;
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    for name in names {
        match file.numbers_of(&name) {
            Ok((tensor, numbers)) => {
                let lengths = tensor.shape.iter().product::<u64>();
                assert_eq!(numbers.len() as u64, lengths);
                assert!(numbers.len() <= data.len() * 8);
            }
            Err(error) => panic!("what the header says is there cannot be read: {error}"),
        }
    }
    tokenizer::tokenizer(&file).map_err(|error| error.code())?;
    tokenizer::settings(&file).map_err(|error| error.code())?;
    let shape = Shape::of(&file).map_err(|error| error.code())?;
    if shape.context > CONTEXT {
        return Err("context");
    }
    llama::to_onnx(&mut file)
        .map(drop)
        .map_err(|error| error.code())
}

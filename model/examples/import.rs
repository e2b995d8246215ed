//! `import FILE.gguf FOLDER`: writes model.onnx, tokenizer.json and tokenizer_config.json.

use std::error::Error;
use std::path::Path;

use nacre_model::{gguf::Gguf, llama, tokenizer};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("import FILE.gguf FOLDER".into());
    };
    let mut file = Gguf::read(std::fs::File::open(file)?)?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("tokenizer.json"),
        tokenizer::tokenizer(&file)?.to_string(),
    )?;
    std::fs::write(
        folder.join("tokenizer_config.json"),
        tokenizer::settings(&file)?.to_string(),
    )?;
    std::fs::write(folder.join("model.onnx"), llama::to_onnx(&mut file)?)?;
    Ok(())
}

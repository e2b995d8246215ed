//! ONNX Runtime: the library of the pinned wheel, and no other.

use std::path::PathBuf;

use super::{BuildError, Options};
use crate::cache::{at, sha256};

/// The version, as in `setup/onnxruntime.txt`.
pub(crate) const VERSION: &str = "1.31.1";
/// The library's SHA-256, as in `setup/setup.py`.
const SHA256: &str = "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3";
const PLACE: &str = ".deps/onnxruntime/libonnxruntime.so";

/// The library, if it is the pinned one.
pub(super) fn find(options: &Options) -> Result<PathBuf, BuildError> {
    let file = options
        .onnxruntime
        .clone()
        .unwrap_or_else(|| options.workspace.join(PLACE));
    if !file.is_file() {
        return Err(BuildError::NoOnnxruntime(file));
    }
    let found = sha256(&file).map_err(at(&file))?;
    if found == SHA256 {
        return Ok(file);
    }
    Err(BuildError::OtherOnnxruntime {
        file,
        version: VERSION,
        found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_that_of_the_setup() {
        assert!(
            include_str!("../../../setup/setup.py")
                .contains(&format!("LIBRARY_SHA256 = \"{SHA256}\""))
        );
        assert!(
            include_str!("../../../setup/onnxruntime.txt")
                .contains(&format!("onnxruntime=={VERSION} "))
        );
    }
}

//! The enclave image, where one was built.

use std::path::{Path, PathBuf};

/// The image that tests boot: `NACRE_EIF`, or what `make image` put beside the other build results.
///
/// Without one the test that asked is left out, and says so in one line; with `NACRE_REQUIRE_EIF` set, it fails.
#[must_use]
pub fn built_image() -> Option<PathBuf> {
    let exe = std::env::current_exe().unwrap_or_default();
    let beside = exe.ancestors().map(|dir| dir.join("image/nacre.eif"));
    let named = std::env::var_os("NACRE_EIF").map(PathBuf::from);
    let found = named.into_iter().chain(beside).find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var_os("NACRE_REQUIRE_EIF").is_some();
        assert!(!required, "there is no enclave image: run `make image`");
        println!("left out: there is no enclave image to boot (`make image` builds one)");
    }
    found
}

/// Its path as a word of a command line.
#[must_use]
pub fn word(path: &Path) -> String {
    path.display().to_string()
}

//! Tells cargo that the compiled-in migrations are inputs of the build.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}

//! What is in an image, file by file, and where it is from.
//!
//! Which files there are is read from the ramdisks themselves. Which component each belongs to, its licence and its
//! source are the builder's word: a list in the metadata section, which is not measured.

mod component;

pub use component::{COMPONENTS_KEY, Component, ComponentsError, components, custom_metadata};

//! What users set about the shape of a model: cutting, custom operators, pinned extents; through the built program.

#[path = "../common/mod.rs"]
mod common;

mod custom;
mod cutting;
mod pinning;
mod weights;

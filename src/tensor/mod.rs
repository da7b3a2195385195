//! Element types, permutations and constant data.
//!
//! Owns: what an element type is, how the bytes of a tensor are held and viewed, and the few data movements
//! (permute, cast) that conversion does on weights. Knows nothing of graphs, of ONNX or of TFLite.

mod cast;
mod data;
mod dtype;
mod perm;

pub use data::{Element, Tensor, TensorError};
pub use dtype::DType;
pub use perm::Perm;

/// Turns an axis that may count from the end into one that counts from the start.
///
/// Returns `None` where `axis` is outside `-rank..rank`.
pub fn normalize_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let from_start = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&from_start).then_some(from_start as usize)
}

//! Rewrites of the float graph: fewer and better operators for the same numbers.
//!
//! Owns: the rewrites, one in a file whose name is the pass's id, and [`pipeline`], the order in which they run. Each file says
//! what its pass matches, what it makes of it, when not, and why the result is equal. A pass is one sweep of
//! [`crate::graph::rewrite`]; after each the graph is valid again. Knows nothing of ONNX, of files, of layouts, and leaves
//! everything alone that is quantized: a rewrite of real numbers is none of their stored integers.

mod affine;
mod clamp;
mod copy_factor;
mod copy_overwritten;
mod fold_input_scale_into_conv;
mod fold_scale_into_conv;
mod fuse_activation;
mod fuse_clip;
mod fuse_gelu;
mod fuse_hard_swish;
mod fuse_pad;
mod fuse_rsqrt;
mod fuse_squared_difference;
mod fuse_transpose;
mod merge_casts;
mod merge_constants;
mod merge_duplicates;
mod merge_factors;
mod merge_pads;
mod merge_reshapes;
mod merge_scales;
mod merge_transposes;
mod pattern;
mod pipeline;
mod polynomial;
#[cfg(test)]
mod random;
mod remove_broadcast;
mod remove_dead;
mod remove_flatten;
mod remove_identity;
mod replace_division;
mod replace_gather;
mod replace_matmul;
mod replace_pad_value;
mod replace_power;
mod replace_split_v;
mod replace_squeeze;
mod replace_strided_slice;
mod replace_transpose;
mod sink_reshape;
#[cfg(test)]
mod testing;
mod weights;

pub use pipeline::{AFTER_LAYOUT, ALWAYS, BEFORE_LAYOUT, Pass, run};

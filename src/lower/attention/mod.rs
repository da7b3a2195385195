//! Attention and its relatives: ONNX `Attention`, `RotaryEmbedding`, `LinearAttention`, `CausalConvWithState`.
//!
//! Owns: [`scaled_dot_product`], which every form of attention ends in, [`mask`], which says what a query may see, and the splitting of
//! heads. The operators of `com.microsoft` that attend use them from [`super::contrib`].

mod causal_conv;
mod flex;
mod heads;
mod linear;
pub(super) mod mask;
pub(super) mod rotary;
pub(super) mod scaled_dot_product;
mod standard;

pub(super) use causal_conv::causal_conv_with_state;
pub(super) use flex::flex_attention;
pub(super) use heads::{merge_heads, split_heads};
pub(super) use linear::linear_attention;
pub(super) use rotary::rotary_embedding;
pub(super) use standard::attention;

//! Operators of the domain `com.microsoft`, which ONNX Runtime's optimizers and exporters write, but for those on integers with scales
//! ([`super::quantized`]).
//!
//! Owns: what these have beyond the standard operators that they are made of. Most of them end in the lowering of one.

mod activation;
mod aliases;
mod attention;
mod blocks;
mod convolution;
mod embedding;
mod matmul;
mod normalization;
mod various;

pub(super) use activation::{bias_gelu, bias_split_gelu, fast_gelu, gelu, quick_gelu};
pub(super) use aliases::{
    causal_conv_with_state, expand_dims, gather_nd, linear_attention, pad, range, rfft, trilu, unique,
};
pub(super) use attention::{group_query_attention, multi_head_attention, packed_attention, rotary_embedding};
pub(super) use blocks::mat_mul_n_bits;
pub(super) use convolution::{fused_conv, nhwc_conv};
pub(super) use embedding::embed_layer_normalization;
pub(super) use matmul::{fused_gemm, fused_mat_mul};
pub(super) use normalization::{group_norm, skip_group_norm, skip_layer_normalization, skip_rms_normalization};
pub(super) use various::{bias_add, c_dist, is_all_finite};

use super::{Cx, NEWEST, Refusal, Results};
use crate::graph::ValueId;

impl Cx<'_> {
    /// Result of the standard operator `op` on `operands`, in its newest form, under the attributes of this node.
    fn standard(
        &mut self,
        op: &'static str,
        lower: fn(&mut Cx<'_>) -> Results,
        operands: &[ValueId],
    ) -> Result<ValueId, Refusal> {
        let operands = operands.iter().copied().map(Some).collect();
        let results = self.acting_as(op, NEWEST, operands, lower)?;
        results.first().copied().ok_or_else(|| Refusal::new("there is no result", ""))
    }
}

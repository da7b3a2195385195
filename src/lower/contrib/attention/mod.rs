//! The attention operators of ONNX Runtime. They end in [`scaled_dot_product`](crate::lower::attention::scaled_dot_product) as the
//! standard one does; what is their own is how operands are packed, what masks look like, and how caches are kept.

mod cache;
mod group_query;
mod masks;
mod multi_head;
mod packed;
mod rotary;

pub(in crate::lower) use group_query::group_query_attention;
pub(in crate::lower) use multi_head::multi_head_attention;
pub(in crate::lower) use packed::packed_attention;
pub(in crate::lower) use rotary::rotary_embedding;

use crate::graph::ValueId;
use crate::lower::{Cx, Refusal};

impl Cx<'_> {
    /// The attribute `num_heads`, or the one named, which must be there.
    fn required_heads(&self, name: &str) -> Result<usize, Refusal> {
        let missing = || Refusal::new("is missing", "check the model").about(format!("attribute {name}"));
        self.heads(name)?.ok_or_else(missing)
    }
}

/// Pieces of `x` along its last axis, of these sizes.
fn pieces<const N: usize>(cx: &mut Cx<'_>, x: ValueId, sizes: [usize; N]) -> Result<[ValueId; N], Refusal> {
    let last = cx.rank(x).saturating_sub(1);
    let mut begin = 0;
    let mut found = [x; N];
    for (piece, size) in found.iter_mut().zip(sizes) {
        *piece = cx.slice_axis(x, last, begin, size)?;
        begin += size;
    }
    Ok(found)
}

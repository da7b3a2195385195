//! Heads: packed in the last axis, `[batch, sequence, heads * size]`, or an axis of their own, `[batch, heads, sequence, size]`.

use crate::graph::ValueId;
use crate::lower::conv::perm;
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal};

impl Cx<'_> {
    /// A positive count in the attribute `name`, if it is given.
    pub(in crate::lower) fn heads(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let Some(count) = self.int(name)? else { return Ok(None) };
        let count = usize::try_from(count).ok().filter(|&n| n > 0);
        let bad = || Refusal::new("must be positive", "check the model with onnx.checker");
        count.map(Some).ok_or_else(|| bad().about(format!("attribute {name}")))
    }
}

/// `[batch, sequence, heads * size]` as `[batch, sequence, heads, size]`.
pub(in crate::lower) fn unpack_heads(cx: &mut Cx<'_>, x: ValueId, heads: usize) -> Result<ValueId, Refusal> {
    let (rank, packed) = (cx.rank(x), cx.dim(x, 2));
    let size = packed.filter(|hidden| rank == 3 && heads > 0 && hidden % heads == 0).map(|hidden| hidden / heads);
    let size = size.ok_or_else(|| {
        let what = format!("{} is to be split into {heads} heads", cx.shape(x));
        Refusal::new(what, "pin the last extent with --shape NAME=.., and make it a multiple of the number of heads")
    })?;
    cx.reshape_parts(x, &[Part::Axes(0..1), Part::Axes(1..2), Part::Fixed(heads), Part::Fixed(size)])
}

/// `[batch, sequence, heads * size]` as `[batch, heads, sequence, size]`.
pub(in crate::lower) fn split_heads(cx: &mut Cx<'_>, x: ValueId, heads: usize) -> Result<ValueId, Refusal> {
    let apart = unpack_heads(cx, x, heads)?;
    Ok(cx.b.transpose(apart, &perm(&[0, 2, 1, 3]))?)
}

/// `[batch, heads, sequence, size]` as `[batch, sequence, heads * size]`.
pub(in crate::lower) fn merge_heads(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let apart = cx.b.transpose(x, &perm(&[0, 2, 1, 3]))?;
    cx.reshape_parts(apart, &[Part::Axes(0..1), Part::Axes(1..2), Part::Axes(2..4)])
}

//! ONNX `TensorScatter`: a cache, and where new entries go.

use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, ValueId};

/// Lowers ONNX `TensorScatter` to `GATHER` from cache and update.
///
/// # Accepts
/// `linear` and `circular`; any axis but the batch; write indices that are constant, fed at run time, or absent.
/// # Produces
/// `CONCATENATION → GATHER` along the axis, with places for each batch that `RANGE → SUB → SELECT_V2` compute from the write indices. A
/// linear update of one batch is a `DYNAMIC_UPDATE_SLICE`.
/// # Refuses
/// Types that no kernel has.
pub(super) fn tensor_scatter(cx: &mut Cx<'_>) -> Results {
    let (cache, update) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(cx.int_or("axis", -2)?, cache)?;
    if axis == 0 || cx.rank(update) != cx.rank(cache) {
        return Err(Refusal::new(
            "is the batch's, or the update has another rank",
            "check the model with onnx.checker",
        )
        .about("attribute axis"));
    }
    let circular = match cx.string_or("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute mode")),
    };
    let begins = match cx.optional(2) {
        Some(begins) => cx.narrowed(begins)?,
        None => cx.b.scalar(0i32),
    };
    if !circular && cx.dim(cache, 0) == Some(1) {
        let begin = cx.b.reshape(begins, &[1])?;
        let start: Vec<Option<i64>> = (0..cx.rank(cache)).map(|a| (a != axis).then_some(0)).collect();
        let start = cx.vector_of(&start, |_, _| Ok(begin))?;
        return Ok(vec![cx.b.one(Op::DynamicUpdateSlice, &[cache, update, start])?]);
    }
    let places = places(cx, cache, update, axis, begins, circular)?;
    let both = cx.b.concat(&[cache, update], axis)?;
    let dtype = cx.dtype(cache);
    let both = cx.in_kernel_type(both, super::gather::KERNEL)?;
    let y = cx.b.one(Op::Gather { axis: axis as i32, batch_dims: 1 }, &[both, places])?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

/// `INT32 [batch, cache length]`: for each entry of the cache, itself or the number of the update, which are behind the cache.
fn places(
    cx: &mut Cx<'_>,
    cache: ValueId,
    update: ValueId,
    axis: usize,
    begins: ValueId,
    circular: bool,
) -> Result<ValueId, Refusal> {
    let (length, new) = (cx.extent_of(cache, axis)?, cx.extent_of(update, axis)?);
    let own = cx.numbered(cache, axis)?;
    let own = cx.b.reshape(own, &[1, -1])?;
    let batch = cx.extent_vector(cache, 0)?;
    let begins = cx.b.one(Op::BroadcastTo, &[begins, batch])?;
    let begins = cx.b.reshape(begins, &[-1, 1])?;
    let mut number = cx.b.sub(own, begins)?;
    if circular {
        number = cx.b.binary(Binary::FloorMod, number, length)?;
    }
    let zero = cx.b.scalar(0i32);
    let begun = cx.b.compare(Compare::GreaterEqual, number, zero)?;
    let not_ended = cx.b.compare(Compare::Less, number, new)?;
    let is_new = cx.b.binary(Binary::LogicalAnd, begun, not_ended)?;
    let behind = cx.b.add(number, length)?;
    Ok(cx.b.select(is_new, behind, own)?)
}

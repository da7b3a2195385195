//! ONNX `Softmax`, `LogSoftmax` and `Hardmax`.

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::{Op, ValueId};
use crate::tensor::{DType, Perm};

/// Lowers ONNX `Softmax` to `SOFTMAX`.
///
/// # Accepts
/// float32; any axis; the meaning before opset 13, which joins all axes from `axis` on.
/// # Produces
/// `SOFTMAX`, between transposes where the axis is not the last, between reshapes where axes are joined.
/// # Refuses
/// Scalars.
pub(super) fn softmax(cx: &mut Cx<'_>) -> Results {
    over_axis(cx, |cx, x| Ok(cx.b.one(Op::Softmax { beta: 1.0 }, &[x])?))
}

/// Lowers ONNX `LogSoftmax` to `LOG_SOFTMAX`.
///
/// # Accepts
/// float32; any axis; the meaning before opset 13, which joins all axes from `axis` on.
/// # Produces
/// `LOG_SOFTMAX`, between transposes where the axis is not the last, between reshapes where axes are joined.
/// # Refuses
/// Scalars.
pub(super) fn log_softmax(cx: &mut Cx<'_>) -> Results {
    over_axis(cx, |cx, x| Ok(cx.b.one(Op::LogSoftmax, &[x])?))
}

/// Lowers ONNX `Hardmax` to `ONE_HOT` of `ARG_MAX`.
///
/// # Accepts
/// float32; any axis of known extent; the meaning before opset 13, which joins all axes from `axis` on.
/// # Produces
/// `ARG_MAX → ONE_HOT`, between transposes where the axis is not the last, between reshapes where axes are joined.
/// # Refuses
/// Scalars.
pub(super) fn hardmax(cx: &mut Cx<'_>) -> Results {
    over_axis(cx, |cx, x| {
        let axis = cx.rank(x).saturating_sub(1);
        let extent = cx.dim(x, axis).and_then(|n| i32::try_from(n).ok());
        let depth = extent.ok_or_else(|| {
            Refusal::new("the extent of the axis must be known", "pin the model's inputs with --shape NAME=..")
        })?;
        let (axis, depth) = (cx.b.scalar(axis as i32), cx.b.scalar(depth));
        let (on, off) = (cx.b.scalar(1f32), cx.b.scalar(0f32));
        let index = cx.b.one(Op::ArgMax { to: DType::I32 }, &[x, axis])?;
        Ok(cx.b.one(Op::OneHot { axis: -1 }, &[index, depth, on, off])?)
    })
}

/// Calls `emit`, which works on the last axis, on the axis that is meant.
fn over_axis(cx: &mut Cx<'_>, emit: fn(&mut Cx<'_>, ValueId) -> Result<ValueId, Refusal>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let joins = cx.opset() < 13;
    let axis = cx.int_or("axis", if joins { 1 } else { -1 })?;
    let rank = cx.rank(x);
    if joins {
        // The axis may also be the rank: nothing is joined then, and every element is its own row.
        let axis = if axis == rank as i64 { rank } else { cx.axis(axis, x)? };
        if axis + 1 == rank {
            return Ok(vec![emit(cx, x)?]);
        }
        let inner = cx.shape(x).dims()[axis..].iter().try_fold(1usize, |n, d| n.checked_mul((*d)?));
        let inner = inner.ok_or_else(|| {
            Refusal::new("the extents from the axis on must be known", "pin the model's inputs with --shape NAME=..")
        })?;
        let outer = cx.shape(x).dims()[..axis].iter().try_fold(1usize, |n, d| n.checked_mul((*d)?));
        let dims = cx.reshape_dims(x)?;
        let rows = cx.b.reshape(x, &[outer.map_or(-1, |n| n as i64), inner as i64])?;
        let y = emit(cx, rows)?;
        return Ok(vec![cx.b.reshape(y, &dims)?]);
    }
    let axis = cx.axis(axis, x)?;
    Ok(vec![along_axis(cx, x, axis, emit)?])
}

/// Calls `emit`, which works on the last axis, on another one.
fn along_axis(
    cx: &mut Cx<'_>,
    x: ValueId,
    axis: usize,
    emit: fn(&mut Cx<'_>, ValueId) -> Result<ValueId, Refusal>,
) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(axis, rank - 1);
    let perm = Perm::new(axes).unwrap_or_else(|| Perm::identity(rank));
    let last = cx.b.transpose(x, &perm)?;
    let y = emit(cx, last)?;
    // A swap is its own inverse.
    Ok(cx.b.transpose(y, &perm)?)
}

/// `LOG_SOFTMAX` over one axis.
pub(super) fn log_softmax_over(cx: &mut Cx<'_>, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    along_axis(cx, x, axis, |cx, x| Ok(cx.b.one(Op::LogSoftmax, &[x])?))
}

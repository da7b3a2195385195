//! ONNX `Softmax` and `LogSoftmax`.

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::Op;
use crate::tensor::Perm;

/// Lowers ONNX `Softmax` to `SOFTMAX`.
///
/// # Accepts
/// float32; any axis; the meaning before opset 13, which joins all axes from `axis` on.
/// # Produces
/// `SOFTMAX`, between transposes where the axis is not the last, between reshapes where axes are joined.
/// # Refuses
/// Scalars.
pub(super) fn softmax(cx: &mut Cx<'_>) -> Results {
    over_axis(cx, &Op::Softmax { beta: 1.0 })
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
    over_axis(cx, &Op::LogSoftmax)
}

fn over_axis(cx: &mut Cx<'_>, op: &Op) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let joins = cx.opset() < 13;
    let axis = cx.int_or("axis", if joins { 1 } else { -1 })?;
    let rank = cx.rank(x);
    if joins {
        // The axis may also be the rank: nothing is joined then, and every element is its own row.
        let axis = if axis == rank as i64 { rank } else { cx.axis(axis, x)? };
        if axis + 1 == rank {
            return Ok(vec![cx.b.one(op.clone(), &[x])?]);
        }
        let inner = cx.shape(x).dims()[axis..].iter().try_fold(1usize, |n, d| n.checked_mul((*d)?));
        let inner = inner.ok_or_else(|| {
            Refusal::new("the extents from the axis on must be known", "pin the model's inputs with --shape NAME=..")
        })?;
        let outer = cx.shape(x).dims()[..axis].iter().try_fold(1usize, |n, d| n.checked_mul((*d)?));
        let dims = cx.reshape_dims(x)?;
        let rows = cx.b.reshape(x, &[outer.map_or(-1, |n| n as i64), inner as i64])?;
        let y = cx.b.one(op.clone(), &[rows])?;
        return Ok(vec![cx.b.reshape(y, &dims)?]);
    }
    let axis = cx.axis(axis, x)?;
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(axis, rank - 1);
    let perm = Perm::new(axes).unwrap_or_else(|| Perm::identity(rank));
    let last = cx.b.transpose(x, &perm)?;
    let y = cx.b.one(op.clone(), &[last])?;
    // A swap is its own inverse.
    Ok(vec![cx.b.transpose(y, &perm)?])
}

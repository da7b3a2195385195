//! ONNX operators that give extents as numbers: `Shape`, `Size`.

use super::{Cx, Results};
use crate::graph::{Op, Reduce};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `Shape` to `SHAPE`.
///
/// # Accepts
/// Any operand, `start` and `end`.
/// # Produces
/// A constant where the extents are known, else `SHAPE`, and `SLICE` for a part of it.
/// # Refuses
/// Nothing.
pub(super) fn shape(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let rank = cx.rank(x) as i64;
    let clamp = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
    let start = clamp(cx.int_or("start", 0)?);
    let end = clamp(cx.int_or("end", rank)?).max(start);
    let dims: Option<Vec<i64>> = cx.shape(x).dims()[start..end].iter().map(|d| d.map(|d| d as i64)).collect();
    if let Some(dims) = dims {
        return Ok(vec![cx.b.constant(Tensor::vector(dims))]);
    }
    let shape = cx.b.one(Op::Shape { to: DType::I64 }, &[x])?;
    if end - start == rank as usize {
        return Ok(vec![shape]);
    }
    Ok(vec![cx.slice_axis(shape, 0, start, end - start)?])
}

/// Lowers ONNX `Size` to `SHAPE → REDUCE_PROD`.
///
/// # Accepts
/// Any operand.
/// # Produces
/// A constant where the extents are known, else `SHAPE → REDUCE_PROD`.
/// # Refuses
/// Nothing.
pub(super) fn size(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if let Some(count) = cx.shape(x).elements() {
        return Ok(vec![cx.b.scalar(count as i64)]);
    }
    let shape = cx.b.one(Op::Shape { to: DType::I64 }, &[x])?;
    Ok(vec![cx.b.reduce(Reduce::Prod, shape, &[0], false)?])
}

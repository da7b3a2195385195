//! ONNX `TopK`.

use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results};
use crate::graph::{Op, Unary, ValueId};
use crate::tensor::{DType, Perm};

/// What the kernel of `TOPK_V2` takes.
const KERNEL: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I16, DType::I32, DType::I64];

/// Lowers ONNX `TopK` to `TOPK_V2`.
///
/// # Accepts
/// Floats and integers; any axis; `k` as attribute, constant or fed at run time; `largest`. What is not asked to be sorted is
/// sorted all the same.
/// # Produces
/// `TOPK_V2`, its places cast to int64; between transposes for other axes than the last, on `NEG` (or, of integers, -1 less the operand) where the
/// smallest are wanted. uint32 and uint64 are ordered as int64.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn top_k(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let axis = cx.axis(cx.int_or("axis", -1)?, x)?;
    let largest = cx.flag_or("largest", true)?;
    cx.ignore(&["sorted"]);
    let k = count(cx)?;
    let last = swap_with_last(cx, x, axis)?;
    let rows = cx.b.transpose(x, &last)?;
    let (values, places) = extremes(cx, rows, k, largest)?;
    let values = cx.b.transpose(values, &last)?;
    let places = cx.b.transpose(places, &last)?;
    Ok(vec![values, cx.b.cast(places, DType::I64)?])
}

fn count(cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
    if cx.opset() < 10 {
        let k = cx.int("k")?.ok_or_else(|| Refusal::new("is missing", "").about("attribute k"))?;
        return Ok(cx.b.scalar_of(DType::I32, k as f64)?);
    }
    let k = cx.input(1)?;
    if let Some([k]) = cx.known_ints(k).as_deref() {
        return Ok(cx.b.scalar_of(DType::I32, *k as f64)?);
    }
    let k = cx.as_i32(k)?;
    Ok(cx.b.reshape(k, &[])?)
}

/// The permutation, its own inverse, that makes an axis the last one.
fn swap_with_last(cx: &Cx<'_>, x: ValueId, axis: usize) -> Result<Perm, Refusal> {
    let mut axes: Vec<usize> = (0..cx.rank(x)).collect();
    let last = axes.len() - 1;
    axes.swap(axis, last);
    Perm::new(axes).ok_or_else(|| Refusal::new("the axis does not fit the operand", ""))
}

/// The `k` largest or smallest elements of each row, in order, and their places; the first of equals comes
/// first.
pub(super) fn extremes(cx: &mut Cx<'_>, x: ValueId, k: ValueId, largest: bool) -> Result<(ValueId, ValueId), Refusal> {
    let dtype = cx.dtype(x);
    let mut x = cx.ordered(x, KERNEL)?;
    if !largest && matches!(cx.dtype(x), DType::I8 | DType::U8 | DType::I16) {
        x = cx.as_i32(x)?;
    }
    let rows = if largest { x } else { mirrored(cx, x)? };
    let &[values, places] = cx.b.emit(Op::TopK, &[Some(rows), Some(k)])?.as_slice() else {
        return Err(no_kernel(cx.dtype(x)));
    };
    let values = if largest { values } else { mirrored(cx, values)? };
    Ok((cx.restore_order(values, dtype)?, places))
}

/// Numbers in the opposite order, without overflow; its own inverse.
fn mirrored(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(x);
    if dtype.is_float() {
        return Ok(cx.b.unary(Unary::Neg, x)?);
    }
    let minus_one = cx.b.scalar_of(dtype, -1.0)?;
    Ok(cx.b.sub(minus_one, x)?)
}

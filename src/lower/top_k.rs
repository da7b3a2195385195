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
/// Any type of number; any axis; `k` as attribute, constant or fed at run time; `largest`. What is not asked to be sorted is
/// sorted all the same.
/// # Produces
/// `TOPK_V2`, its places cast to int64; between transposes for other axes than the last, on `NEG` (or, of integers, -1 less the operand) where the
/// smallest are wanted.
pub(super) fn top_k(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let axis = cx.axis(cx.int_or("axis", -1)?, x)?;
    let largest = cx.flag_or("largest", true)?;
    cx.ignore(&["sorted"]);
    let k = count(cx)?;
    let dtype = cx.dtype(x);
    let last = swap_with_last(cx, x, axis)?;
    let mut rows = cx.b.transpose(x, &last)?;
    if dtype == DType::U64 {
        rows = cx.in_signed_64(rows)?;
    }
    let (values, places) = extremes(cx, rows, k, largest)?;
    let values = cx.b.transpose(values, &last)?;
    let places = cx.b.transpose(places, &last)?;
    let values = if dtype == DType::U64 { shifted_to_unsigned(cx, values)? } else { cx.b.cast(values, dtype)? };
    Ok(vec![values, cx.b.cast(places, DType::I64)?])
}

/// The place of the first of the largest or smallest elements along an axis, which is kept. `INT64`.
pub(super) fn first_extreme(cx: &mut Cx<'_>, x: ValueId, axis: usize, largest: bool) -> Result<ValueId, Refusal> {
    let last = swap_with_last(cx, x, axis)?;
    let rows = cx.b.transpose(x, &last)?;
    let one = cx.b.scalar(1i32);
    let (_, places) = extremes(cx, rows, one, largest)?;
    let places = cx.b.transpose(places, &last)?;
    Ok(cx.b.cast(places, DType::I64)?)
}

impl Cx<'_> {
    /// Unsigned integers as `INT64` in the same order: of 64 bits, they are moved so that zero becomes the lowest number.
    pub fn in_signed_64(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        match self.dtype(x) {
            DType::I64 => Ok(x),
            DType::U32 => Ok(self.b.cast(x, DType::I64)?),
            DType::U64 => {
                let bits = self.b.one(Op::Bitcast { to: DType::I64 }, &[x])?;
                let lowest = self.b.scalar(i64::MIN);
                Ok(self.b.add(bits, lowest)?)
            }
            other => Err(no_kernel(other)),
        }
    }
}

/// What [`Cx::in_signed_64`] made of 64 bits, as it was.
fn shifted_to_unsigned(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let lowest = cx.b.scalar(i64::MIN);
    let bits = cx.b.add(x, lowest)?;
    Ok(cx.b.one(Op::Bitcast { to: DType::U64 }, &[bits])?)
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

/// The `k` largest or smallest elements of each row in a type of the kernel, in order, and their places; the first of equals comes
/// first.
pub(super) fn extremes(cx: &mut Cx<'_>, x: ValueId, k: ValueId, largest: bool) -> Result<(ValueId, ValueId), Refusal> {
    let mut x = cx.in_kernel_type(x, KERNEL)?;
    if !largest && matches!(cx.dtype(x), DType::I8 | DType::U8 | DType::I16) {
        x = cx.as_i32(x)?;
    }
    let rows = if largest { x } else { mirrored(cx, x)? };
    let &[values, places] = cx.b.emit(Op::TopK, &[Some(rows), Some(k)])?.as_slice() else {
        return Err(no_kernel(cx.dtype(x)));
    };
    Ok((if largest { values } else { mirrored(cx, values)? }, places))
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

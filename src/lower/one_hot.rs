//! ONNX `OneHot`.

use super::gather::non_negative;
use super::{Cx, Results};
use crate::graph::Op;
use crate::tensor::{DType, Tensor};

/// What the kernel of `ONE_HOT` takes as values.
const KERNEL: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I32, DType::I64, DType::Bool];

/// Lowers ONNX `OneHot` to `ONE_HOT`.
///
/// # Accepts
/// Indices of any type of number, which may count from the end; values of any type; depth and values constant or fed at run time.
/// # Produces
/// `ONE_HOT`; `LESS → ADD → SELECT_V2` before it for indices that may be negative, `SELECT_V2` after it for values of a type that its
/// kernel lacks.
pub(super) fn one_hot(cx: &mut Cx<'_>) -> Results {
    let (indices, depth, values) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let axis = cx.axis_in(cx.int_or("axis", -1)?, cx.rank(indices) + 1)?;
    let depth = match cx.known_ints(depth).as_deref() {
        Some([depth]) => cx.b.scalar_of(DType::I32, *depth as f64)?,
        _ => {
            let depth = cx.as_i32(depth)?;
            cx.b.reshape(depth, &[])?
        }
    };
    let indices = match cx.dtype(indices) {
        DType::I32 | DType::I64 => indices,
        DType::I8 | DType::U8 | DType::I16 | DType::U16 => cx.as_i32(indices)?,
        _ => cx.b.cast(indices, DType::I64)?,
    };
    // What is still negative when it has been counted from the end is out of range, for the kernel too.
    let indices = non_negative(cx, indices, depth)?;
    let values = cx.b.reshape(values, &[2])?;
    let mut value = |i: i64| {
        let value = cx.b.slice(values, &[i], &[1])?;
        cx.b.reshape(value, &[])
    };
    let (off, on) = (value(0)?, value(1)?);
    let op = Op::OneHot { axis: axis as i32 };
    if KERNEL.contains(&cx.dtype(values)) {
        return Ok(vec![cx.b.one(op, &[indices, depth, on, off])?]);
    }
    let mut truth = |it: bool| cx.b.constant(Tensor::from_bools(&[], &[it]));
    let (yes, no) = (truth(true), truth(false));
    let hot = cx.b.one(op, &[indices, depth, yes, no])?;
    Ok(vec![cx.b.select(hot, on, off)?])
}

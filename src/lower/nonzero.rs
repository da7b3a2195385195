//! ONNX `NonZero` and `Compress`, whose results are as large as the data says.

use super::{Cx, Refusal, Results};
use crate::graph::{Op, ValueId};
use crate::tensor::{DType, Perm};

/// What the kernel of `WHERE` takes.
const KERNEL: &[DType] = &[DType::Bool, DType::F32, DType::I8, DType::U8, DType::I32, DType::U32, DType::I64];

/// Lowers ONNX `NonZero` to `WHERE`.
///
/// # Accepts
/// Operands of rank 1 and more.
/// # Produces
/// `WHERE → TRANSPOSE`; a `CAST` before it for types that the kernel lacks.
/// # Refuses
/// Scalars.
pub(super) fn non_zero(cx: &mut Cx<'_>) -> Results {
    let mut x = cx.input(0)?;
    if cx.rank(x) == 0 {
        return Err(Refusal::new("a scalar has no coordinates", "reshape it to one element"));
    }
    if !KERNEL.contains(&cx.dtype(x)) {
        x = cx.b.cast(x, DType::Bool)?;
    }
    let rows = cx.b.one(Op::Where, &[x])?;
    let swap = Perm::new(vec![1, 0]).unwrap_or_else(|| Perm::identity(2));
    Ok(vec![cx.b.transpose(rows, &swap)?])
}

/// Places of what is true in a vector, as a vector.
pub(super) fn places(cx: &mut Cx<'_>, condition: ValueId) -> Result<ValueId, Refusal> {
    let rows = cx.b.one(Op::Where, &[condition])?;
    Ok(cx.b.reshape(rows, &[-1])?)
}

/// Lowers ONNX `Compress` to `GATHER`.
///
/// # Accepts
/// Any axis, or none; a condition that is constant or not, and shorter than the axis.
/// # Produces
/// `GATHER` with constant places, or `WHERE → GATHER`.
pub(super) fn compress(cx: &mut Cx<'_>) -> Results {
    let (mut x, mut condition) = (cx.input(0)?, cx.input(1)?);
    let axis = match cx.int("axis")? {
        Some(axis) => cx.axis(axis, x)?,
        None => {
            x = cx.b.reshape(x, &[-1])?;
            0
        }
    };
    if let Some(chosen) = cx.known_ints(condition) {
        let places = (0..).zip(chosen).filter(|(_, chosen)| *chosen != 0).map(|(place, _)| place);
        let places: Vec<i64> = places.take_while(|&p| cx.dim(x, axis).is_none_or(|d| p < d as i64)).collect();
        return Ok(vec![cx.gather_axis(x, &places, axis)?]);
    }
    // ONNX Runtime looks no further than the axis goes.
    if let (Some(extent), Some(length)) = (cx.dim(x, axis), cx.dim(condition, 0)) {
        condition = cx.slice_axis(condition, 0, 0, length.min(extent))?;
    }
    let places = places(cx, condition)?;
    Ok(vec![cx.gather_at(x, places, axis)?])
}

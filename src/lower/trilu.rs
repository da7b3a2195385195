//! ONNX `Trilu`.

use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, ValueId};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `Trilu` to `SELECT_V2`.
///
/// # Accepts
/// Any type, `upper`, extents and `k` that are known or not.
/// # Produces
/// `SELECT_V2` with a constant mask; where that is large or not known, the mask is made by `RANGE` and a comparison.
pub(super) fn trilu(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let upper = cx.flag_or("upper", true)?;
    let rank = cx.rank(x);
    if rank < 2 {
        return Err(Refusal::new("the operand is no matrix", "check the model with onnx.checker"));
    }
    let offset = match cx.optional(1) {
        Some(k) => k,
        None => cx.b.scalar(0i64),
    };
    let (rows, columns) = (cx.extent_of(x, rank - 2)?, cx.extent_of(x, rank - 1)?);
    let kind = if upper { Compare::GreaterEqual } else { Compare::LessEqual };
    let kept = beside_diagonal(cx, [rows, columns], offset, kind)?;
    let dtype = cx.dtype(x);
    let zero = Tensor::zeros(dtype, &[]).ok_or_else(|| super::kernel_type::no_kernel(dtype))?;
    let zero = cx.b.constant(zero);
    Ok(vec![cx.b.select(kept, x, zero)?])
}

/// `BOOL [rows, columns]`: how the number of each column compares with that of the row and `offset` together.
pub(super) fn beside_diagonal(
    cx: &mut Cx<'_>,
    [rows, columns]: [ValueId; 2],
    offset: ValueId,
    kind: Compare,
) -> Result<ValueId, Refusal> {
    let (zero, one) = (cx.b.scalar(0i32), cx.b.scalar(1i32));
    let rows = cx.b.one(Op::Range, &[zero, rows, one])?;
    let rows = cx.b.reshape(rows, &[-1, 1])?;
    let columns = cx.b.one(Op::Range, &[zero, columns, one])?;
    // Far beyond every diagonal that there is, and small enough for sums of 32 bits.
    const FAR: i64 = 1 << 30;
    let mut offset = cx.b.cast(offset, DType::I64)?;
    for (join, limit) in [(Binary::Minimum, FAR), (Binary::Maximum, -FAR)] {
        let limit = cx.b.scalar(limit);
        offset = cx.b.binary(join, offset, limit)?;
    }
    let offset = cx.as_i32(offset)?;
    let offset = cx.b.reshape(offset, &[])?;
    let diagonal = cx.b.add(rows, offset)?;
    Ok(cx.b.compare(kind, columns, diagonal)?)
}

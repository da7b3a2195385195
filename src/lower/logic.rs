//! ONNX comparisons, boolean operators and `Where`.

use super::{Cx, Refusal, Results};
use crate::graph::{Activation, Binary, Compare, Op, Unary};
use crate::tensor::{DType, Tensor};

/// What comparisons are done in: integers of 8 bits without quantization abort the kernels, and those of 16 bits came late.
const COMPARED: &[DType] = &[DType::F32, DType::I32, DType::I64];
const COMPARED_OR_BOOL: &[DType] = &[DType::F32, DType::I32, DType::I64, DType::Bool];

fn compare(cx: &mut Cx<'_>, kind: Compare) -> Results {
    let kernel = if matches!(kind, Compare::Equal | Compare::NotEqual) { COMPARED_OR_BOOL } else { COMPARED };
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let (a, b) = (cx.ordered(a, kernel)?, cx.ordered(b, kernel)?);
    Ok(vec![cx.b.compare(kind, a, b)?])
}

/// Lowers ONNX `Equal` to `EQUAL`.
///
/// # Accepts
/// Numbers and booleans, with broadcasting.
/// # Produces
/// `EQUAL`; `CAST`s before it for types other than float32, int32, int64 and bool, and `ADD` of the sign bit for uint64. With a constant
/// infinity: `GREATER_EQUAL` or `LESS_EQUAL` with the largest number, which arithmetic kernels make of infinities.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn equal(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    for (x, bound) in [(a, b), (b, a)] {
        let fits = |t: &&Tensor| t.dtype() == DType::F32 && t.rank() <= cx.rank(x);
        let Some(shape) = cx.constant(bound).filter(fits).map(|t| t.shape().to_vec()) else { continue };
        let Some(infinity) = cx.b.graph.const_splat(bound).filter(|i| i.is_infinite()) else { continue };
        let kind = if infinity > 0.0 { Compare::GreaterEqual } else { Compare::LessEqual };
        let largest = f32::MAX.copysign(infinity as f32);
        let largest = cx.b.constant(Tensor::from_vec(&shape, vec![largest; shape.iter().product()]));
        return Ok(vec![cx.b.compare(kind, x, largest)?]);
    }
    compare(cx, Compare::Equal)
}

/// Lowers ONNX `Less` to `LESS`.
///
/// # Accepts
/// Numbers, with broadcasting.
/// # Produces
/// `LESS`; `CAST`s before it for types other than float32, int32 and int64, and `ADD` of the sign bit for uint64.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn less(cx: &mut Cx<'_>) -> Results {
    compare(cx, Compare::Less)
}

/// Lowers ONNX `LessOrEqual` to `LESS_EQUAL`.
///
/// # Accepts
/// Numbers, with broadcasting.
/// # Produces
/// `LESS_EQUAL`; `CAST`s before it for types other than float32, int32 and int64, and `ADD` of the sign bit for uint64.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn less_or_equal(cx: &mut Cx<'_>) -> Results {
    compare(cx, Compare::LessEqual)
}

/// Lowers ONNX `Greater` to `GREATER`.
///
/// # Accepts
/// Numbers, with broadcasting.
/// # Produces
/// `GREATER`; `CAST`s before it for types other than float32, int32 and int64, and `ADD` of the sign bit for uint64.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn greater(cx: &mut Cx<'_>) -> Results {
    compare(cx, Compare::Greater)
}

/// Lowers ONNX `GreaterOrEqual` to `GREATER_EQUAL`.
///
/// # Accepts
/// Numbers, with broadcasting.
/// # Produces
/// `GREATER_EQUAL`; `CAST`s before it for types other than float32, int32 and int64, and `ADD` of the sign bit for uint64.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn greater_or_equal(cx: &mut Cx<'_>) -> Results {
    compare(cx, Compare::GreaterEqual)
}

fn logical(cx: &mut Cx<'_>, kind: Binary) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    Ok(vec![cx.b.one(Op::Binary(kind, Activation::None), &[a, b])?])
}

/// Lowers ONNX `And` to `LOGICAL_AND`.
///
/// # Accepts
/// Booleans, with broadcasting.
/// # Produces
/// `LOGICAL_AND`.
/// # Refuses
/// Nothing.
pub(super) fn and(cx: &mut Cx<'_>) -> Results {
    logical(cx, Binary::LogicalAnd)
}

/// Lowers ONNX `Or` to `LOGICAL_OR`.
///
/// # Accepts
/// Booleans, with broadcasting.
/// # Produces
/// `LOGICAL_OR`.
/// # Refuses
/// Nothing.
pub(super) fn or(cx: &mut Cx<'_>) -> Results {
    logical(cx, Binary::LogicalOr)
}

/// Lowers ONNX `Xor` to `NOT_EQUAL`.
///
/// # Accepts
/// Booleans, with broadcasting.
/// # Produces
/// `NOT_EQUAL`.
/// # Refuses
/// Nothing.
pub(super) fn xor(cx: &mut Cx<'_>) -> Results {
    compare(cx, Compare::NotEqual)
}

/// Lowers ONNX `Not` to `LOGICAL_NOT`.
///
/// # Accepts
/// Booleans.
/// # Produces
/// `LOGICAL_NOT`.
/// # Refuses
/// Nothing.
pub(super) fn not(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    Ok(vec![cx.b.unary(Unary::LogicalNot, x)?])
}

/// Most axes that kernels broadcast over; one more aborts the process.
const MAX_BROADCAST_RANK: usize = 8;

/// Lowers ONNX `Where` to `SELECT_V2`.
///
/// # Accepts
/// Any type, with broadcasting of all three operands.
/// # Produces
/// `SELECT_V2`.
/// # Refuses
/// Broadcasting over more than 8 axes.
pub(super) fn where_(cx: &mut Cx<'_>) -> Results {
    let (condition, a, b) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let same = cx.shape(condition) == cx.shape(a) && cx.shape(a) == cx.shape(b);
    let rank = cx.rank(condition).max(cx.rank(a)).max(cx.rank(b));
    if rank > MAX_BROADCAST_RANK && !same {
        return Err(Refusal::new(format!("broadcasts over {rank} axes, and TFLite over no more than 8"), "merge axes"));
    }
    Ok(vec![cx.b.select(condition, a, b)?])
}

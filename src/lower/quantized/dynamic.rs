//! ONNX `DynamicQuantizeLinear`.

use super::arithmetic::{self, saturated};
use super::grid::{Along, Linear};
use crate::graph::{Binary, Compare, Precision, Reduce, Unary, ValueId};
use crate::lower::{Cx, Refusal, Results, conv};
use crate::tensor::DType;

/// Lowers ONNX `DynamicQuantizeLinear` to float32 arithmetic.
///
/// # Accepts
/// float32 of any shape.
/// # Produces
/// `REDUCE_MAX`, `REDUCE_MIN` and what the scale, the zero point and the integers are computed by. The scale of zeros alone is 1.
pub(in crate::lower) fn dynamic_quantize_linear(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let (y, scale, zero_point) = quantized(cx, x)?;
    Ok(vec![y, scale, zero_point])
}

/// uint8 numbers for `x` between its extremes, their scale and zero point.
pub(super) fn quantized(cx: &mut Cx<'_>, x: ValueId) -> Result<(ValueId, ValueId, ValueId), Refusal> {
    conv::require_float32(cx, x)?;
    let before = cx.b.set_precision(Precision::Float);
    let zero = cx.b.scalar(0f32);
    let axes: Vec<usize> = (0..cx.rank(x)).collect();
    let (mut max, mut min) = (x, x);
    if !axes.is_empty() {
        max = cx.b.reduce(Reduce::Max, x, &axes, false)?;
        min = cx.b.reduce(Reduce::Min, x, &axes, false)?;
    }
    let max = cx.b.binary(Binary::Maximum, zero, max)?;
    let min = cx.b.binary(Binary::Minimum, zero, min)?;
    let (range, steps, one) = (cx.b.sub(max, min)?, cx.b.scalar(255f32), cx.b.scalar(1f32));
    let scale = cx.b.div(range, steps)?;
    let is_zero = cx.b.compare(Compare::Equal, scale, zero)?;
    let scale = cx.b.select(is_zero, one, scale)?;
    let below = cx.b.div(min, scale)?;
    let offset = cx.b.sub(zero, below)?;
    let offset = saturated(cx, offset, 0.0, 255.0)?;
    let offset = cx.b.unary(Unary::Round, offset)?;
    let zero_point = cx.b.cast(offset, DType::U8)?;
    cx.b.set_precision(before);
    let linear = Linear { scale, zero_point: Some(zero_point), along: Along::Tensor };
    Ok((arithmetic::quantize(cx, x, linear, DType::U8)?, scale, zero_point))
}

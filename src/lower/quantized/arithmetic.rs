//! Quantization written out in float arithmetic: for scales that are computed, or that no kernel takes.

use super::grid::Linear;
use crate::graph::{Binary, Precision, Unary, ValueId};
use crate::lower::{Cx, Refusal};
use crate::tensor::DType;

/// Least and greatest number of an integer type that is quantized to.
pub(super) fn limits(dtype: DType) -> Option<(f32, f32)> {
    Some(match dtype {
        DType::I2 => (-2.0, 1.0),
        DType::I4 => (-8.0, 7.0),
        DType::U4 => (0.0, 15.0),
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        _ => return None,
    })
}

/// `scale * (x - zero_point)`.
pub(super) fn dequantize(cx: &mut Cx<'_>, x: ValueId, linear: Linear) -> Result<ValueId, Refusal> {
    let before = cx.b.set_precision(Precision::Float);
    let mut y = cx.b.cast(x, DType::F32)?;
    if let Some(zero_point) = nonzero(cx, linear.zero_point) {
        let zero_point = cx.spread_over(zero_point, x, linear.along)?;
        let zero_point = cx.b.cast(zero_point, DType::F32)?;
        y = cx.b.sub(y, zero_point)?;
    }
    let scale = cx.spread_over(linear.scale, x, linear.along)?;
    let scale = cx.b.cast(scale, DType::F32)?;
    if cx.b.graph.const_splat(scale) != Some(1.0) {
        y = cx.b.mul(y, scale)?;
    }
    cx.b.set_precision(before);
    Ok(y)
}

/// `saturate(round(x / scale) + zero_point)`, halves to even.
pub(super) fn quantize(cx: &mut Cx<'_>, x: ValueId, linear: Linear, to: DType) -> Result<ValueId, Refusal> {
    let (low, high) = limits(to).ok_or_else(|| unquantizable(to))?;
    let before = cx.b.set_precision(Precision::Float);
    let scale = cx.spread_over(linear.scale, x, linear.along)?;
    let scale = cx.b.cast(scale, DType::F32)?;
    let steps = cx.b.div(x, scale)?;
    let mut y = cx.b.unary(Unary::Round, steps)?;
    if let Some(zero_point) = nonzero(cx, linear.zero_point) {
        let zero_point = cx.spread_over(zero_point, x, linear.along)?;
        let zero_point = cx.b.cast(zero_point, DType::F32)?;
        y = cx.b.add(y, zero_point)?;
    }
    let y = saturated(cx, y, low, high)?;
    let y = cx.b.cast(y, to)?;
    cx.b.set_precision(before);
    Ok(y)
}

pub(super) fn saturated(cx: &mut Cx<'_>, x: ValueId, low: f32, high: f32) -> Result<ValueId, Refusal> {
    let (low, high) = (cx.b.scalar(low), cx.b.scalar(high));
    let y = cx.b.binary(Binary::Maximum, low, x)?;
    Ok(cx.b.binary(Binary::Minimum, high, y)?)
}

fn nonzero(cx: &Cx<'_>, zero_point: Option<ValueId>) -> Option<ValueId> {
    zero_point.filter(|&id| cx.b.graph.const_splat(id) != Some(0.0))
}

pub(super) fn unquantizable(dtype: DType) -> Refusal {
    let what = match dtype.is_float() {
        true => format!("TFLite has no arithmetic on {dtype}"),
        false => format!("numbers can't be quantized to {dtype}"),
    };
    Refusal::new(what, "quantize the model to int8")
}

//! ONNX `BatchNormalization`.

use super::{Cx, Refusal, Results};
use crate::graph::{Precision, Reduce, Unary, ValueId};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `BatchNormalization` to `MUL → ADD`.
///
/// # Accepts
/// Any rank from 2, in inference and training form; scale, bias, mean and variance, constant or not.
/// # Produces
/// `MUL → ADD` with one constant per channel, folded into a convolution or matrix product beside it where there is one. Parameters that
/// are computed take `ADD → RSQRT → MUL` and `MUL → SUB` more, in float. In training mode, mean and variance are `MEAN`s of the operand,
/// and the running ones are results.
/// # Refuses
/// `spatial = 0`; running statistics of training before opset 14.
pub(super) fn batch_normalization(cx: &mut Cx<'_>) -> Results {
    if cx.flag_or("training_mode", false)? {
        return training(cx);
    }
    if !cx.flag_or("spatial", true)? {
        return Err(Refusal::new("statistics for each element are not supported", "export with spatial = 1")
            .about("attribute spatial"));
    }
    cx.ignore(&["momentum", "is_test"]);
    let x = cx.input(0)?;
    let epsilon = f64::from(cx.float_or("epsilon", 1e-5)?);
    if (1..5).any(|i| cx.optional(i).is_some_and(|p| cx.constant(p).is_none())) {
        return with_computed_parameters(cx, x, epsilon as f32);
    }
    let parameter = |i, name| cx.constant_input(i, name).map(|t| t.to_f64s().unwrap_or_default());
    let (scale, bias) = (parameter(1, "scale")?, parameter(2, "B")?);
    let (mean, variance) = (parameter(3, "input_mean")?, parameter(4, "input_var")?);
    if [&bias, &mean, &variance].iter().any(|p| p.len() != scale.len()) {
        return Err(Refusal::new("scale, B, mean and variance differ in length", "check the model with onnx.checker"));
    }
    // In double precision, rounded once: folding into weights multiplies the error of the factor by every weight.
    let factor: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let offset: Vec<f64> = bias.iter().zip(&mean).zip(&factor).map(|((b, m), f)| b - m * f).collect();

    // [C, 1, ..]: broadcasts along axis 1 of `x`.
    let mut shape = vec![1; cx.rank(x).max(2) - 1];
    shape[0] = scale.len();
    let dtype = cx.dtype(x);
    let mut per_channel = |values: Vec<f64>| {
        let data = Tensor::from_vec(&shape, values).cast(dtype);
        data.map(|data| cx.b.constant(data)).map_err(|_| wrong_type(dtype))
    };
    let (factor, offset) = (per_channel(factor)?, per_channel(offset)?);
    let scaled = cx.b.mul(x, factor)?;
    Ok(vec![cx.b.add(scaled, offset)?])
}

/// Normalizes by the operand's own mean and variance; gives the running ones as well.
fn training(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    super::conv::require_float32(cx, x)?;
    let (momentum, epsilon) = (cx.float_or("momentum", 0.9)?, cx.float_or("epsilon", 1e-5)?);
    cx.b.set_precision(Precision::Float);
    let axes: Vec<usize> = (0..cx.rank(x)).filter(|&axis| axis != 1).collect();
    let mean = cx.b.reduce(Reduce::Mean, x, &axes, true)?;
    let centered = cx.b.sub(x, mean)?;
    let square = cx.b.unary(Unary::Square, centered)?;
    let variance = cx.b.reduce(Reduce::Mean, square, &axes, true)?;
    let epsilon = cx.b.scalar(epsilon);
    let shifted = cx.b.add(variance, epsilon)?;
    let inverse_deviation = cx.b.unary(Unary::Rsqrt, shifted)?;
    let (scale, bias) = (per_channel(cx, x, 1)?, per_channel(cx, x, 2)?);
    let factor = cx.b.mul(scale, inverse_deviation)?;
    let scaled = cx.b.mul(centered, factor)?;
    let y = cx.b.add(scaled, bias)?;
    let mut running = |i: usize, current: ValueId| -> Result<ValueId, Refusal> {
        let (kept, new) = (cx.b.scalar(momentum), cx.b.scalar(1.0 - momentum));
        let (old, current) = (cx.input(i)?, cx.b.reshape(current, &[-1])?);
        let (old, current) = (cx.b.mul(old, kept)?, cx.b.mul(current, new)?);
        Ok(cx.b.add(old, current)?)
    };
    Ok(vec![y, running(3, mean)?, running(4, variance)?])
}

/// Parameter `i` as `[C, 1, ..]`, which broadcasts along axis 1 of `x`.
fn per_channel(cx: &mut Cx<'_>, x: ValueId, i: usize) -> Result<ValueId, Refusal> {
    let mut dims = vec![-1i64];
    dims.extend(std::iter::repeat_n(1, cx.rank(x).max(2) - 2));
    let parameter = cx.input(i)?;
    Ok(cx.b.reshape(parameter, &dims)?)
}

fn with_computed_parameters(cx: &mut Cx<'_>, x: ValueId, epsilon: f32) -> Results {
    super::conv::require_float32(cx, x)?;
    cx.b.set_precision(Precision::Float);
    let (scale, bias) = (per_channel(cx, x, 1)?, per_channel(cx, x, 2)?);
    let (mean, variance) = (per_channel(cx, x, 3)?, per_channel(cx, x, 4)?);
    let epsilon = cx.b.scalar(epsilon);
    let variance = cx.b.add(variance, epsilon)?;
    let inverse_deviation = cx.b.unary(Unary::Rsqrt, variance)?;
    let factor = cx.b.mul(scale, inverse_deviation)?;
    let shift = cx.b.mul(mean, factor)?;
    let offset = cx.b.sub(bias, shift)?;
    let scaled = cx.b.mul(x, factor)?;
    Ok(vec![cx.b.add(scaled, offset)?])
}

fn wrong_type(dtype: DType) -> Refusal {
    Refusal::new(format!("{dtype} is not supported"), "use float32")
}

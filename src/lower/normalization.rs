//! ONNX normalizations over axes of one sample: `LayerNormalization`, `InstanceNormalization`, `GroupNormalization`.

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::{Precision, Reduce, Unary, ValueId};

/// What normalizing makes beside the result.
struct Normalized {
    y: ValueId,
    mean: ValueId,
    inverse_deviation: ValueId,
}

/// `x / sqrt(mean(x²) + epsilon)` over `axes`, and the divisor's inverse. Its steps stay float: 8 bits hold no mean of squares.
fn divide_by_rms(cx: &mut Cx<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Result<(ValueId, ValueId), Refusal> {
    cx.b.set_precision(Precision::Float);
    let epsilon = cx.b.scalar(epsilon);
    let squared = cx.b.unary(Unary::Square, x)?;
    let mean = cx.b.reduce(Reduce::Mean, squared, axes, true)?;
    let mean = cx.b.add(mean, epsilon)?;
    let inverse = cx.b.unary(Unary::Rsqrt, mean)?;
    Ok((cx.b.mul(x, inverse)?, inverse))
}

/// `(x - mean) / sqrt(variance + epsilon)` over `axes`, in two passes.
fn normalize(cx: &mut Cx<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Result<Normalized, Refusal> {
    cx.b.set_precision(Precision::Float);
    let mean = cx.b.reduce(Reduce::Mean, x, axes, true)?;
    let centred = cx.b.sub(x, mean)?;
    let (y, inverse_deviation) = divide_by_rms(cx, centred, axes, epsilon)?;
    Ok(Normalized { y, mean, inverse_deviation })
}

fn scale_and_shift(cx: &mut Cx<'_>, y: ValueId, scale: ValueId, bias: Option<ValueId>) -> Result<ValueId, Refusal> {
    let y = cx.b.mul(y, scale)?;
    match bias {
        Some(bias) => Ok(cx.b.add(y, bias)?),
        None => Ok(y),
    }
}

/// Lowers ONNX `LayerNormalization` to `MEAN`, `SQUARE`, `RSQRT` and arithmetic.
///
/// # Accepts
/// float32; any `axis`; bias absent or given; the results `Mean` and `InvStdDev`.
/// # Produces
/// `MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → MUL → ADD?`, kept in float when the model is quantized.
pub(super) fn layer_normalization(cx: &mut Cx<'_>) -> Results {
    // The statistics of float32 operands are float32 whatever is asked for.
    cx.ignore(&["stash_type"]);
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let axis = cx.axis(cx.int_or("axis", -1)?, x)?;
    let axes: Vec<usize> = (axis..cx.rank(x)).collect();
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let n = normalize(cx, x, &axes, epsilon)?;
    let y = scale_and_shift(cx, n.y, scale, cx.optional(2))?;
    Ok(vec![y, n.mean, n.inverse_deviation])
}

/// A parameter for each channel, `[C]`, as `[C, 1, ..]` for an operand of `rank`.
fn per_channel(cx: &mut Cx<'_>, parameter: ValueId, rank: usize) -> Result<ValueId, Refusal> {
    let mut dims = vec![-1i64];
    dims.extend(std::iter::repeat_n(1, rank.saturating_sub(2)));
    Ok(cx.b.reshape(parameter, &dims)?)
}

/// Lowers ONNX `InstanceNormalization` to `MEAN`, `SQUARE`, `RSQRT` and arithmetic over the spatial axes.
///
/// # Accepts
/// float32 of rank 3 and more.
/// # Produces
/// `MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → MUL → ADD`, kept in float when the model is quantized.
pub(super) fn instance_normalization(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["consumed_inputs"]);
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    require_float32(cx, x)?;
    let rank = cx.rank(x);
    let axes: Vec<usize> = (2..rank).collect();
    if axes.is_empty() {
        return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "there must be spatial axes"));
    }
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let n = normalize(cx, x, &axes, epsilon)?;
    let (scale, bias) = (per_channel(cx, scale, rank)?, per_channel(cx, bias, rank)?);
    Ok(vec![scale_and_shift(cx, n.y, scale, Some(bias))?])
}

/// Lowers ONNX `GroupNormalization` to `MEAN`, `SQUARE`, `RSQRT` and arithmetic over groups of channels.
///
/// # Accepts
/// float32 of rank 3 and more; parameters for each group (opset 18) or each channel (opset 21).
/// # Produces
/// `RESHAPE → MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → RESHAPE → MUL → ADD`, kept in float when the model is quantized.
/// # Refuses
/// Unknown extents, but for one.
pub(super) fn group_normalization(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["stash_type"]);
    let (x, scale, bias) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    require_float32(cx, x)?;
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let groups = cx.int("num_groups")?.and_then(|g| usize::try_from(g).ok());
    let rank = cx.rank(x);
    let channels = cx.dim(x, 1).ok_or_else(|| Refusal::new("the number of channels must be known", ""))?;
    let groups = groups.filter(|&g| g > 0 && channels % g == 0);
    let groups = groups.ok_or_else(|| {
        Refusal::new(format!("does not divide {channels} channels"), "").about("attribute num_groups")
    })?;
    // [N, C, spatial..] to [N, G, C / G, spatial..].
    let full = cx.reshape_dims(x)?;
    let mut split = full.clone();
    split.splice(1..2, [groups as i64, (channels / groups) as i64]);
    cx.b.set_precision(Precision::Float);
    let grouped = cx.b.reshape(x, &split)?;
    let axes: Vec<usize> = (2..=rank).collect();
    let n = normalize(cx, grouped, &axes, epsilon)?;
    let y = if cx.opset() < 21 {
        // One parameter for each group.
        let (scale, bias) = (per_channel(cx, scale, rank + 1)?, per_channel(cx, bias, rank + 1)?);
        let y = scale_and_shift(cx, n.y, scale, Some(bias))?;
        cx.b.reshape(y, &full)?
    } else {
        let y = cx.b.reshape(n.y, &full)?;
        let (scale, bias) = (per_channel(cx, scale, rank)?, per_channel(cx, bias, rank)?);
        scale_and_shift(cx, y, scale, Some(bias))?
    };
    Ok(vec![y])
}

/// Lowers a normalization that exporters took apart: see [`super::patterns`].
///
/// # Accepts
/// float32; any axes; with the mean taken off or not (`centred`); a constant scale, or scale and bias, after it.
/// # Produces
/// `MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → MUL? → ADD?`, kept in float when the model is quantized.
pub(super) fn recognized(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let axes = axes_of(cx, x, &[])?;
    let epsilon = cx.float_or("epsilon", 0.0)?;
    let y = if cx.flag_or("centred", true)? {
        normalize(cx, x, &axes, epsilon)?.y
    } else {
        divide_by_rms(cx, x, &axes, epsilon)?.0
    };
    Ok(vec![match cx.optional(1) {
        Some(scale) => scale_and_shift(cx, y, scale, cx.optional(2))?,
        None => y,
    }])
}

/// The attribute `axes`, with axes counted from the front.
fn axes_of(cx: &Cx<'_>, x: ValueId, default: &[i64]) -> Result<Vec<usize>, Refusal> {
    let axes = cx.ints("axes")?.unwrap_or(default);
    axes.iter().map(|&axis| cx.axis(axis, x)).collect()
}

//! ONNX normalizations by statistics of the operand: `LayerNormalization`, `RMSNormalization`, `InstanceNormalization`,
//! `GroupNormalization`, `MeanVarianceNormalization`, `LpNormalization`, `LRN`.

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Op, Precision, Reduce, Unary, ValueId};

/// What normalizing makes beside the result.
pub(super) struct Normalized {
    pub y: ValueId,
    pub mean: ValueId,
    pub inverse_deviation: ValueId,
}

/// `x / sqrt(mean(x²) + epsilon)` over `axes`, and the divisor's inverse. Its steps stay float: 8 bits hold no mean of squares.
pub(super) fn divide_by_rms(
    cx: &mut Cx<'_>,
    x: ValueId,
    axes: &[usize],
    epsilon: f32,
) -> Result<(ValueId, ValueId), Refusal> {
    cx.b.set_precision(Precision::Float);
    let epsilon = cx.b.scalar(epsilon);
    let squared = cx.b.unary(Unary::Square, x)?;
    let mean = cx.b.reduce(Reduce::Mean, squared, axes, true)?;
    let mean = cx.b.add(mean, epsilon)?;
    let inverse = cx.b.unary(Unary::Rsqrt, mean)?;
    Ok((cx.b.mul(x, inverse)?, inverse))
}

/// `(x - mean) / sqrt(variance + epsilon)` over `axes`, in two passes.
pub(super) fn normalize(cx: &mut Cx<'_>, x: ValueId, axes: &[usize], epsilon: f32) -> Result<Normalized, Refusal> {
    cx.b.set_precision(Precision::Float);
    let mean = cx.b.reduce(Reduce::Mean, x, axes, true)?;
    let centred = cx.b.sub(x, mean)?;
    let (y, inverse_deviation) = divide_by_rms(cx, centred, axes, epsilon)?;
    Ok(Normalized { y, mean, inverse_deviation })
}

pub(super) fn scale_and_shift(
    cx: &mut Cx<'_>,
    y: ValueId,
    scale: ValueId,
    bias: Option<ValueId>,
) -> Result<ValueId, Refusal> {
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
pub(super) fn per_channel(cx: &mut Cx<'_>, parameter: ValueId, rank: usize) -> Result<ValueId, Refusal> {
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

/// Lowers ONNX `RMSNormalization` to `SQUARE`, `MEAN`, `RSQRT` and arithmetic; also `SimplifiedLayerNormalization`, as ONNX Runtime
/// calls it.
///
/// # Accepts
/// float32; any `axis`.
/// # Produces
/// `SQUARE → MEAN → ADD → RSQRT → MUL → MUL`, kept in float when the model is quantized.
pub(super) fn rms_normalization(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["stash_type"]);
    let (x, scale) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let axis = cx.axis(cx.int_or("axis", -1)?, x)?;
    let axes: Vec<usize> = (axis..cx.rank(x)).collect();
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let (y, inverse) = divide_by_rms(cx, x, &axes, epsilon)?;
    Ok(vec![scale_and_shift(cx, y, scale, None)?, inverse])
}

/// Lowers ONNX `MeanVarianceNormalization` to `(x - mean) / (deviation + 1e-9)`.
///
/// # Accepts
/// float32; any `axes`.
/// # Produces
/// `MEAN → SUB → SQUARE → MEAN → SQRT → ADD → DIV`, kept in float when the model is quantized.
pub(super) fn mean_variance_normalization(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let axes = axes_of(cx, x, &[0, 2, 3])?;
    cx.b.set_precision(Precision::Float);
    let epsilon = cx.b.scalar(1e-9f32);
    let mean = cx.b.reduce(Reduce::Mean, x, &axes, true)?;
    let centred = cx.b.sub(x, mean)?;
    let squared = cx.b.unary(Unary::Square, centred)?;
    let variance = cx.b.reduce(Reduce::Mean, squared, &axes, true)?;
    let deviation = cx.b.unary(Unary::Sqrt, variance)?;
    let divisor = cx.b.add(deviation, epsilon)?;
    Ok(vec![cx.b.div(centred, divisor)?])
}

/// Lowers ONNX `LpNormalization` to `L2_NORMALIZATION`, or to a division by the norm.
///
/// # Accepts
/// float32; any axis; `p` of 1 or 2.
/// # Produces
/// `L2_NORMALIZATION` for `p = 2` along the last axis; else the norm, `MAXIMUM` and `DIV`. Zeros stay zeros.
pub(super) fn lp_normalization(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let axis = cx.axis(cx.int_or("axis", -1)?, x)?;
    let p = cx.int_or("p", 2)?;
    if p == 2 && axis + 1 == cx.rank(x) {
        return Ok(vec![cx.b.one(Op::L2Normalization, &[x])?]);
    }
    let norm = super::reduce::p_norm(cx, x, &[axis], p)?;
    cx.b.set_precision(Precision::Float);
    let tiny = cx.b.scalar(f32::MIN_POSITIVE);
    let norm = cx.b.binary(Binary::Maximum, tiny, norm)?;
    Ok(vec![cx.b.div(x, norm)?])
}

/// Lowers ONNX `LRN` to `LOCAL_RESPONSE_NORMALIZATION`.
///
/// # Accepts
/// float32 of rank 3 and more, with known spatial extents unless the rank is 4; odd `size`.
/// # Produces
/// `RESHAPE? → TRANSPOSE → LOCAL_RESPONSE_NORMALIZATION → TRANSPOSE → RESHAPE?`.
/// # Refuses
/// An even `size`: TFLite's window lies evenly around each channel.
pub(super) fn lrn(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let size = cx.int("size")?.and_then(|s| usize::try_from(s).ok()).filter(|s| s % 2 == 1);
    let size = size.ok_or_else(|| Refusal::new("must be odd", "use an odd size").about("attribute size"))?;
    let (alpha, beta) = (cx.float_or("alpha", 1e-4)?, cx.float_or("beta", 0.75)?);
    let bias = cx.float_or("bias", 1.0)?;
    // ONNX divides alpha by the size of the window, TFLite does not.
    let op = Op::LocalResponseNormalization { radius: size / 2, bias, alpha: alpha / size as f32, beta };
    let dims: Vec<i64> = cx.shape(x).dims().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    let image = match dims.as_slice() {
        [_, _, _, _] => x,
        [n, c, spatial @ ..] if spatial.iter().all(|&d| d >= 0) => {
            let pixels = spatial.iter().product();
            cx.b.reshape(x, &[*n, *c, 1, pixels])?
        }
        _ => return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "pin it with --shape NAME=..")),
    };
    let y = cx.channels_last(image)?;
    let y = cx.b.one(op, &[y])?;
    let y = cx.channels_first(y)?;
    Ok(vec![if image == x { y } else { cx.b.reshape(y, &dims)? }])
}

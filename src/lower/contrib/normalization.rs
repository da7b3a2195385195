//! Normalizations with a sum before, or an activation after.

use crate::graph::{Precision, ValueId};
use crate::lower::activation::emit_swish;
use crate::lower::conv::require_float32;
use crate::lower::normalization::{divide_by_rms, normalize, per_channel, scale_and_shift};
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal, Results};

/// The sum of the first operands, and of `bias`, if there is one.
fn summed(cx: &mut Cx<'_>, bias: usize) -> Result<ValueId, Refusal> {
    let (x, skip) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let sum = cx.b.add(x, skip)?;
    match cx.optional(bias) {
        Some(bias) => Ok(cx.b.add(sum, bias)?),
        None => Ok(sum),
    }
}

/// Lowers com.microsoft `SkipLayerNormalization` to `ADD`, and what `LayerNormalization` becomes.
///
/// # Accepts
/// float32; `beta` and `bias` given or not; all results.
/// # Produces
/// `ADD → ADD?`, then `MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → MUL → ADD?`, kept in float when the model is quantized.
pub(in crate::lower) fn skip_layer_normalization(cx: &mut Cx<'_>) -> Results {
    let sum = summed(cx, 4)?;
    let epsilon = cx.float_or("epsilon", 1e-12)?;
    let last = cx.rank(sum).saturating_sub(1);
    let (scale, shift) = (cx.input(2)?, cx.optional(3));
    let n = normalize(cx, sum, &[last], epsilon)?;
    let y = scale_and_shift(cx, n.y, scale, shift)?;
    Ok(vec![y, n.mean, n.inverse_deviation, sum])
}

/// Lowers com.microsoft `SkipSimplifiedLayerNormalization` to `ADD`, and what `RMSNormalization` becomes.
///
/// # Accepts
/// float32; `bias` given or not; the results but for `mean`.
/// # Produces
/// `ADD → ADD?`, then `SQUARE → MEAN → ADD → RSQRT → MUL → MUL`, kept in float when the model is quantized.
/// # Refuses
/// The result `mean`, which is of no use here.
pub(in crate::lower) fn skip_rms_normalization(cx: &mut Cx<'_>) -> Results {
    if cx.wants_output(1) {
        return Err(Refusal::new("is not supported", "leave it unused").about("result mean"));
    }
    let sum = summed(cx, 3)?;
    let epsilon = cx.float_or("epsilon", 1e-12)?;
    let last = cx.rank(sum).saturating_sub(1);
    let scale = cx.input(2)?;
    let (y, inverse) = divide_by_rms(cx, sum, &[last], epsilon)?;
    let y = cx.b.mul(y, scale)?;
    Ok(vec![y, sum, inverse, sum])
}

/// Lowers com.microsoft `GroupNorm` to what `GroupNormalization` becomes.
///
/// # Accepts
/// float32 of rank 4; channels last or first; `activation` 0 or 1 (SiLU).
/// # Produces
/// `RESHAPE → MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → RESHAPE → MUL → ADD`, kept in float when the model is quantized.
/// # Refuses
/// Channels whose number is not known.
pub(in crate::lower) fn group_norm(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    Ok(vec![by_groups(cx, x)?])
}

/// Lowers com.microsoft `SkipGroupNorm` to `ADD`, and what `GroupNormalization` becomes.
///
/// # Accepts
/// float32 of rank 4 with its channels last; `skip` for every pixel or for all of a sample; `bias` given or not; `activation` 0 or 1 (SiLU).
/// # Produces
/// `ADD → ADD?`, then `RESHAPE → MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → RESHAPE → MUL → ADD`, kept in float when the model is
/// quantized.
/// # Refuses
/// Channels first, for which the operator is not defined; channels whose number is not known.
pub(in crate::lower) fn skip_group_norm(cx: &mut Cx<'_>) -> Results {
    let (x, mut skip) = (cx.input(0)?, cx.input(3)?);
    if !cx.flag_or("channels_last", true)? {
        return Err(Refusal::new("must be 1", "export with channels last").about("attribute channels_last"));
    }
    if cx.rank(skip) == 2 {
        skip = cx.reshape_parts(skip, &[Part::Axes(0..1), Part::Fixed(1), Part::Fixed(1), Part::Axes(1..2)])?;
    }
    let mut sum = cx.b.add(x, skip)?;
    if let Some(bias) = cx.optional(4) {
        sum = cx.b.add(sum, bias)?;
    }
    Ok(vec![by_groups(cx, sum)?, sum])
}

fn by_groups(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    require_float32(cx, x)?;
    let (scale, shift) = (cx.input(1)?, cx.input(2)?);
    let last = cx.flag_or("channels_last", true)?;
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let axis = if last { 3 } else { 1 };
    let groups = cx.heads("groups")?;
    let sizes = cx.dim(x, axis).zip(groups).filter(|(c, groups)| cx.rank(x) == 4 && c % groups == 0);
    let (channels, groups) = sizes.ok_or_else(|| {
        let what = format!("{groups:?} groups of the channels of {}", cx.shape(x));
        Refusal::new(what, "pin the number of channels with --shape, and make it a multiple of the groups")
    })?;
    let split = [Part::Fixed(groups), Part::Fixed(channels / groups)];
    let pixels = |axes: std::ops::Range<usize>| -> Vec<Part> { axes.map(|axis| Part::Axes(axis..axis + 1)).collect() };
    let (parts, axes) = if last {
        ([pixels(0..3).as_slice(), &split].concat(), [1, 2, 4])
    } else {
        ([&pixels(0..1), split.as_slice(), &pixels(2..4)].concat(), [2, 3, 4])
    };
    let apart = cx.reshape_parts(x, &parts)?;
    let n = normalize(cx, apart, &axes, epsilon)?;
    let whole = if last {
        [pixels(0..3), vec![Part::Axes(3..5)]].concat()
    } else {
        [pixels(0..1), vec![Part::Axes(1..3)], pixels(3..5)].concat()
    };
    let y = cx.reshape_parts(n.y, &whole)?;
    let (scale, shift) = if last { (scale, shift) } else { (per_channel(cx, scale, 4)?, per_channel(cx, shift, 4)?) };
    let y = scale_and_shift(cx, y, scale, Some(shift))?;
    cx.b.set_precision(Precision::Any);
    match cx.int_or("activation", 0)? {
        0 => Ok(y),
        1 => emit_swish(cx, y, 1.0),
        other => Err(Refusal::new(format!("is {other}"), "use 0 or 1").about("attribute activation")),
    }
}

//! Operators that the standard took over, mostly as they were.

use crate::lower::window::insert_axis;
use crate::lower::{
    Cx, Refusal, Results, attention, constant, gather, pad as padding, signal, trilu as triangle, unique as groups,
};

/// Lowers com.microsoft `Pad` to `PAD`, `PADV2` or `MIRROR_PAD`.
///
/// # Accepts
/// What the standard `Pad` accepts; pads as a matrix of one row too.
/// # Produces
/// What the standard `Pad` becomes.
pub(in crate::lower) fn pad(cx: &mut Cx<'_>) -> Results {
    let (x, pads) = (cx.input(0)?, cx.input(1)?);
    let pads = if cx.rank(pads) == 1 { pads } else { cx.b.reshape(pads, &[-1])? };
    let mut operands = vec![x, pads];
    if let Some(value) = cx.optional(2) {
        operands.push(cx.b.reshape(value, &[])?);
    }
    Ok(vec![cx.standard("Pad", padding::pad, &operands)?])
}

/// Lowers com.microsoft `Range` to `RANGE`.
///
/// # Accepts
/// What the standard `Range` accepts; a step that is not given.
/// # Produces
/// What the standard `Range` becomes.
pub(in crate::lower) fn range(cx: &mut Cx<'_>) -> Results {
    let (start, limit) = (cx.input(0)?, cx.input(1)?);
    let step = match cx.optional(2) {
        Some(step) => step,
        None => cx.b.scalar_of(cx.dtype(start), 1.0)?,
    };
    Ok(vec![cx.standard("Range", constant::range, &[start, limit, step])?])
}

/// Lowers com.microsoft `GatherND` to `GATHER_ND`.
///
/// # Accepts
/// What the standard `GatherND` accepts.
/// # Produces
/// What the standard `GatherND` becomes.
pub(in crate::lower) fn gather_nd(cx: &mut Cx<'_>) -> Results {
    let operands = cx.all_inputs()?;
    Ok(vec![cx.standard("GatherND", gather::gather_nd, &operands)?])
}

/// Lowers com.microsoft `Trilu` to `SELECT_V2`.
///
/// # Accepts
/// What the standard `Trilu` accepts.
/// # Produces
/// What the standard `Trilu` becomes.
pub(in crate::lower) fn trilu(cx: &mut Cx<'_>) -> Results {
    let operands = cx.all_inputs()?;
    Ok(vec![cx.standard("Trilu", triangle::trilu, &operands)?])
}

/// Lowers com.microsoft `Unique` to `UNIQUE`.
///
/// # Accepts
/// A vector of float32; all three results, in the order of appearance.
/// # Produces
/// What the standard `Unique` becomes where it does not sort.
/// # Refuses
/// Operands of other ranks.
pub(in crate::lower) fn unique(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if cx.rank(x) != 1 {
        return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "use a vector"));
    }
    groups::in_order_of_appearance(cx, x)
}

/// Lowers com.microsoft `ExpandDims` to `RESHAPE`.
///
/// # Accepts
/// Any type; a constant axis, which may count from the end.
/// # Produces
/// `RESHAPE`, or `EXPAND_DIMS` where more than one extent is not known.
/// # Refuses
/// An axis that is not known.
pub(in crate::lower) fn expand_dims(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let axis = cx.known_operand(1, "axis")?.and_then(|axis| axis.first().copied());
    let axis = axis.ok_or_else(|| Refusal::new("is missing", "give it").about("operand axis"))?;
    let axis = cx.axis_in(axis, cx.rank(x) + 1)?;
    Ok(vec![insert_axis(cx, x, axis)?])
}

/// Lowers com.microsoft `LinearAttention` to `BATCH_MATMUL` over chunks of tokens.
///
/// # Accepts
/// What the standard `LinearAttention` accepts.
/// # Produces
/// What the standard `LinearAttention` becomes.
/// # Refuses
/// States of more than one token; what the standard `LinearAttention` refuses.
pub(in crate::lower) fn linear_attention(cx: &mut Cx<'_>) -> Results {
    only_default(cx, &[("state_window", 0)])?;
    attention::linear_attention(cx)
}

/// Lowers com.microsoft `CausalConvWithState` to `DEPTHWISE_CONV_2D` over what came before and the operand.
///
/// # Accepts
/// What the standard `CausalConvWithState` accepts.
/// # Produces
/// What the standard `CausalConvWithState` becomes.
/// # Refuses
/// More spatial axes than one, dilation, other layouts and states; what the standard `CausalConvWithState` refuses.
pub(in crate::lower) fn causal_conv_with_state(cx: &mut Cx<'_>) -> Results {
    let plain = [("dilation", 1), ("ndim", 1), ("state_update_capacity", 0), ("state_channels_last", -1)];
    only_default(cx, &plain)?;
    let plain = [("state_window", 0), ("state_length", 0), ("input_channel_offset", 0), ("channels_last", 0)];
    only_default(cx, &plain)?;
    only_default(cx, &[("input_channels", 0)])?;
    attention::causal_conv_with_state(cx)
}

/// Lowers com.microsoft `Rfft` to `FULLY_CONNECTED`.
///
/// # Accepts
/// float32; signals of any length, which may be unknown, along the last axis.
/// # Produces
/// What the standard `DFT` of a real signal becomes where it is `onesided`.
/// # Refuses
/// Signals of more than one axis; `normalized` and two-sided spectra, which ONNX Runtime does not make either.
pub(in crate::lower) fn rfft(cx: &mut Cx<'_>) -> Results {
    only_default(cx, &[("signal_ndim", 1), ("normalized", 0), ("onesided", 1)])?;
    let x = cx.input(0)?;
    Ok(vec![signal::half_spectrum(cx, x)?])
}

/// Refuses attributes that are not what they are where nothing is said.
fn only_default(cx: &Cx<'_>, attributes: &[(&str, i64)]) -> Result<(), Refusal> {
    for &(name, default) in attributes {
        let value = cx.int_or(name, default)?;
        if value != default {
            let what = format!("is {value}, and {default} is supported");
            return Err(Refusal::new(what, "export without it").about(format!("attribute {name}")));
        }
    }
    Ok(())
}

//! Convolutions with more in them, or with their channels last.

use super::activation::named;
use crate::lower::{Cx, Results, conv};

/// Lowers com.microsoft `FusedConv` to `CONV_2D`, `DEPTHWISE_CONV_2D` or `CONV_3D`.
///
/// # Accepts
/// What the standard `Conv` accepts; a summand; `activation` with its parameters.
/// # Produces
/// What the standard `Conv` becomes, then `ADD` of the summand, then the activation.
/// # Refuses
/// What the standard `Conv` refuses; activations that are not known.
pub(in crate::lower) fn fused_conv(cx: &mut Cx<'_>) -> Results {
    let mut y = convolved(cx, false)?;
    if let Some(summand) = cx.optional(3) {
        y = cx.b.add(y, summand)?;
    }
    let activation = cx.string_or("activation", "")?;
    let parameters = cx.floats("activation_params")?.unwrap_or_default();
    Ok(vec![named(cx, y, activation, parameters)?])
}

/// Lowers com.microsoft `NhwcConv` to `CONV_2D`, `DEPTHWISE_CONV_2D` or `CONV_3D`.
///
/// # Accepts
/// What the standard `Conv` accepts, with the channels of operand and result last.
/// # Produces
/// What the standard `Conv` becomes.
/// # Refuses
/// What the standard `Conv` refuses.
pub(in crate::lower) fn nhwc_conv(cx: &mut Cx<'_>) -> Results {
    Ok(vec![convolved(cx, true)?])
}

fn convolved(cx: &mut Cx<'_>, channels_last: bool) -> Result<crate::graph::ValueId, crate::lower::Refusal> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let x = if channels_last { cx.channels_first(x)? } else { x };
    let operands: Vec<_> = [Some(x), Some(w), cx.optional(2)].into_iter().flatten().collect();
    let y = cx.standard("Conv", conv::conv, &operands)?;
    if channels_last { cx.channels_last(y) } else { Ok(y) }
}

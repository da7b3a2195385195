//! ONNX `CausalConvWithState`.

use crate::graph::{Op, SliceMasks, ValueId};
use crate::lower::activation::emit_swish;
use crate::lower::conv::{bias, conv_2d, require_float32};
use crate::lower::window::{Pads, Window, drop_axis, insert_axis};
use crate::lower::{Cx, Refusal, Results};

/// Lowers ONNX `CausalConvWithState` to `DEPTHWISE_CONV_2D` over what came before and the operand.
///
/// # Accepts
/// float32 `[batch, channels, length]`; bias and past state absent or given; `activation` `none`, `silu`, `swish`.
/// # Produces
/// `CONCATENATION` or `PAD`, then `DEPTHWISE_CONV_2D` between transposes, then `LOGISTIC → MUL` where that is asked for; the new state is a
/// `STRIDED_SLICE`.
/// # Refuses
/// Channels or a length of the kernel that are not known.
pub(in crate::lower) fn causal_conv_with_state(cx: &mut Cx<'_>) -> Results {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let gated = match cx.string_or("activation", "none")? {
        "none" => false,
        "silu" | "swish" => true,
        other => return Err(Refusal::new(format!("is {other:?}"), "use silu").about("attribute activation")),
    };
    if cx.rank(x) != 3 || cx.rank(w) != 3 {
        return Err(Refusal::new(format!("operands of {} and {}", cx.shape(x), cx.shape(w)), "use three axes"));
    }
    let (channels, taps) =
        cx.dim(w, 0).zip(cx.dim(w, 2)).filter(|&(_, taps)| taps > 0).ok_or_else(|| {
            Refusal::new(format!("weights of {}", cx.shape(w)), "pin their extents with --shape NAME=..")
        })?;
    let padded = match cx.optional(3) {
        Some(past) => cx.b.concat(&[past, x], 2)?,
        None => cx.b.pad(x, &[(0, 0), (0, 0), (taps - 1, 0)])?,
    };
    let state = last(cx, padded, taps - 1)?;
    let bias = bias(cx, 2, Some(channels))?;
    let window = Window {
        kernel: vec![1, taps],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads: Pads::Explicit(vec![(0, 0); 2]),
    };
    let (image, filter) = (insert_axis(cx, padded, 2)?, insert_axis(cx, w, 2)?);
    let y = conv_2d(cx, image, filter, bias, &window, channels)?;
    let mut y = drop_axis(cx, y, 2)?;
    if gated {
        y = emit_swish(cx, y, 1.0)?;
    }
    Ok(vec![y, state])
}

/// The last `n` positions of `[batch, channels, length]`.
fn last(cx: &mut Cx<'_>, x: ValueId, n: usize) -> Result<ValueId, Refusal> {
    if let Some(length) = cx.dim(x, 2) {
        return cx.slice_axis(x, 2, length.saturating_sub(n), n.min(length));
    }
    if n == 0 {
        return cx.slice_axis(x, 2, 0, 0);
    }
    let begin = cx.b.ints(&[0, 0, -(n as i64)])?;
    let (end, steps) = (cx.b.ints(&[0, 0, 0])?, cx.b.ints(&[1, 1, 1])?);
    let masks = SliceMasks { begin: 0b011, end: 0b111, ..SliceMasks::default() };
    Ok(cx.b.one(Op::StridedSlice(masks), &[x, begin, end, steps])?)
}

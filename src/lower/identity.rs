//! ONNX operators that pass their operand on: `Identity`, `Dropout`.

use super::{Cx, Refusal, Results};
use crate::graph::Op;
use crate::tensor::Tensor;

/// Lowers ONNX `Identity` to nothing.
///
/// # Accepts
/// Anything.
/// # Produces
/// Nothing; a copy where an input or a constant is an output.
/// # Refuses
/// Nothing.
pub(super) fn identity(cx: &mut Cx<'_>) -> Results {
    Ok(vec![cx.input(0)?])
}

/// Lowers ONNX `Dropout` to nothing.
///
/// # Accepts
/// Inference form, with or without the mask, which is all true; training with a ratio of 0.
/// # Produces
/// Nothing; `FILL` for a mask of unknown shape.
/// # Refuses
/// Training, and a training flag that is only known at run time, unless the ratio is the constant 0.
pub(super) fn dropout(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["seed"]);
    cx.ignore_operand(1);
    let x = cx.input(0)?;
    if cx.opset() < 12 {
        cx.ignore(&["ratio"]);
    } else if let Some(training) = cx.optional(2) {
        let ratio = cx.optional(1).and_then(|id| cx.constant(id)).and_then(|ratio| ratio.to_f64s().ok());
        let keeps_all = ratio.is_some_and(|ratio| ratio.iter().all(|&r| r == 0.0));
        let what = match cx.known_ints(training) {
            _ if keeps_all => None,
            Some(training) if training.iter().all(|&t| t == 0) => None,
            Some(_) => Some("training drops elements at random, which no kernel does"),
            None => Some("whether elements are dropped at random is only known at run time, and no kernel does that"),
        };
        if let Some(what) = what {
            return Err(Refusal::new(what, "export the model in evaluation mode").about("operand training_mode"));
        }
    }
    if !cx.wants_output(1) {
        return Ok(vec![x]);
    }
    // Before opset 10, the mask has the type of the operand.
    let kept =
        if cx.opset() < 10 { Tensor::scalar(1f32).cast(cx.dtype(x)) } else { Ok(Tensor::from_bools(&[], &[true])) };
    let kept = kept.map_err(|e| Refusal::new(e.to_string(), "use float32"))?;
    let (shape, kept) = (cx.shape_of(x)?, cx.b.constant(kept));
    Ok(vec![x, cx.b.one(Op::Fill, &[shape, kept])?])
}

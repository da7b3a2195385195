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
/// Training, and a training flag that is only known at run time.
pub(super) fn dropout(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["seed"]);
    cx.ignore_operand(1);
    let x = cx.input(0)?;
    if cx.opset() < 12 {
        cx.ignore(&["ratio"]);
    } else if let Some(training) = cx.known_operand(2, "training_mode")? {
        let no_ratio = |ratio: Option<Vec<f64>>| ratio.is_some_and(|r| r.iter().all(|&r| r == 0.0));
        if training.iter().any(|&t| t != 0) && !no_ratio(cx.const_floats(1, "ratio")?) {
            return Err(Refusal::new("training mode is not supported", "export the model in evaluation mode")
                .about("operand training_mode"));
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

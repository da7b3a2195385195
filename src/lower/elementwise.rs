//! ONNX operators that are one TFLite operator, element by element.

use super::{Cx, Results};
use crate::graph::Unary;

fn unary(cx: &mut Cx<'_>, kind: Unary) -> Results {
    let x = cx.input(0)?;
    Ok(vec![cx.b.unary(kind, x)?])
}

/// Lowers ONNX `Relu` to `RELU`.
///
/// # Accepts
/// Any rank.
/// # Produces
/// `RELU`, fused into the operator before it where that has a fused activation.
pub(super) fn relu(cx: &mut Cx<'_>) -> Results {
    unary(cx, Unary::Relu)
}

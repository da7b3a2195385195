//! Operators written as others, for a target that lacks them or has them in a smaller form. On the float graph: what is made here is
//! quantized like the rest of the model.

use super::Target;
use crate::graph::{Evaluate, Graph, InferError, Node, Op, Precision, RewriteCx, Unary, ValueId, rewrite};

/// Operands that `CONCATENATION` takes in TensorFlow Lite for Microcontrollers.
pub(super) const TFLM_JOINED: usize = 10;

/// Writes what `target` lacks with what it has. Returns how many operators were written otherwise.
///
/// # Errors
/// Never on a graph that is valid.
pub fn adapt(graph: &mut Graph, target: Target, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    if target != Target::Tflm {
        return Ok(0);
    }
    let mut count = 0;
    for region in graph.nodes.iter_mut().flat_map(|node| node.op.regions_mut()) {
        count += adapt(region, target, evaluate)?;
    }
    let written = rewrite(graph, evaluate, |cx, node| match node.op {
        Op::Concatenation { axis } => join_in_steps(cx, node, axis),
        Op::Unary(Unary::Gelu | Unary::GeluTanh) => gelu(cx, node),
        _ => Ok(None),
    })?;
    Ok(count + written)
}

/// `CONCATENATION` of many as one of a few, each of up to ten.
fn join_in_steps(cx: &mut RewriteCx<'_>, node: &Node, axis: i32) -> Result<Option<Vec<ValueId>>, InferError> {
    let mut parts: Vec<ValueId> = node.inputs.iter().copied().flatten().collect();
    if parts.len() <= TFLM_JOINED {
        return Ok(None);
    }
    while parts.len() > 1 {
        let mut joined = Vec::with_capacity(parts.len().div_ceil(TFLM_JOINED));
        for some in parts.chunks(TFLM_JOINED) {
            match some {
                [one] => joined.push(*one),
                some => {
                    let operands: Vec<Option<ValueId>> = some.iter().copied().map(Some).collect();
                    joined.extend(cx.b.emit(Op::Concatenation { axis }, &operands)?);
                }
            }
        }
        parts = joined;
    }
    Ok(Some(parts))
}

/// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`, which is within 0.0005 of the form with the error function. Its inner steps stay
/// float: their ranges are wide.
fn gelu(cx: &mut RewriteCx<'_>, node: &Node) -> Result<Option<Vec<ValueId>>, InferError> {
    let Some(x) = node.input(0) else { return Ok(None) };
    let b = &mut cx.b;
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let (cubic, linear) = (b.scalar((0.044715 * root) as f32), b.scalar(root as f32));
    let (one, half) = (b.scalar(1f32), b.scalar(0.5f32));
    let before = b.set_precision(Precision::Float);
    let square = b.mul(x, x)?;
    let slope = b.mul(square, cubic)?;
    let slope = b.add(slope, linear)?;
    let inner = b.mul(slope, x)?;
    let bent = b.unary(Unary::Tanh, inner)?;
    let gate = b.add(bent, one)?;
    let halved = b.mul(x, half)?;
    let result = b.mul(halved, gate)?;
    b.set_precision(before);
    Ok(Some(vec![result]))
}

//! `sink_reshape`: a reshape that only adds or drops axes of size 1 moves below elementwise operators.
//!
//! Matches: an elementwise operator of one operand, or of one operand and a constant, or of two operands, where each operand that is
//! no constant is the result of such a `RESHAPE` (the same change of shape for both) that has no other use, and the result has
//! the reshaped shape; at most one extent known at run time only.
//!
//! Makes: the operator on the operands as they were, with the constant reshaped the other way, and the `RESHAPE` after it.
//!
//! Why: 1-dimensional convolutions are 2-dimensional ones between such reshapes. Below the batch normalizations and activations
//! in between they meet and cancel, and those become neighbours of the convolution that takes them in.
//!
//! Equal: elements keep their order, and an axis of size 1 changes no broadcast between operands of one shape.

use super::pattern::{Replaced, keeps_shape, reshape_dims, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, Shape, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some(Sunk { operands, result }) = sunk(cx, node) else { return Ok(None) };
    let mut inputs = Vec::with_capacity(operands.len());
    for operand in operands {
        inputs.push(match operand {
            Operand::Source(x) => Some(x),
            Operand::Constant(id, shape) => {
                let data = cx.graph().constant(id).and_then(|data| data.reshape(&shape).ok());
                let name = cx.graph().value(id).name.clone();
                data.map(|data| cx.b.graph.add_constant(name, data))
            }
        });
    }
    let value = cx.b.emit(node.op.clone(), &inputs)?[0];
    let dims = cx.b.ints(&result)?;
    Ok(Some(vec![cx.b.one(Op::Reshape, &[value, dims])?]))
}

struct Sunk {
    operands: Vec<Operand>,
    /// Entries of the reshape after the operator.
    result: Vec<i64>,
}

enum Operand {
    /// What was reshaped.
    Source(ValueId),
    /// A constant, and the shape it takes beside the source.
    Constant(ValueId, Vec<usize>),
}

fn sunk(cx: &RewriteCx<'_>, node: &Node) -> Option<Sunk> {
    if !matches!(node.op, Op::Unary(_) | Op::LeakyRelu { .. } | Op::Cast { .. } | Op::Binary(..)) {
        return None;
    }
    let graph = cx.graph();
    let reshaped = graph.shape(variables(graph, node).next()?);
    let [output] = node.outputs[..] else { return None };
    let sources: Vec<ValueId> = variables(graph, node).map(|x| source(cx, x, reshaped)).collect::<Option<_>>()?;
    let from = graph.shape(*sources.first()?);
    if graph.shape(output) != reshaped || sources.iter().any(|&x| graph.shape(x) != from) {
        return None;
    }
    let mut sources = sources.into_iter();
    let operand = |&id: &Option<ValueId>| match graph.constant(id?) {
        None => sources.next().map(Operand::Source),
        Some(data) => Some(Operand::Constant(id?, beside(from, reshaped, data.shape())?)),
    };
    let operands = node.inputs.iter().map(operand).collect::<Option<_>>()?;
    Some(Sunk { operands, result: reshape_dims(reshaped)? })
}

fn variables<'a>(graph: &'a Graph, node: &'a Node) -> impl Iterator<Item = ValueId> + 'a {
    node.inputs.iter().flatten().copied().filter(|&id| graph.constant(id).is_none())
}

/// What `value` was before a reshape that adds or drops axes of size 1, and that gave it the shape `reshaped`.
fn source(cx: &RewriteCx<'_>, value: ValueId, reshaped: &Shape) -> Option<ValueId> {
    let x = cx.sole_producer(value).filter(|p| p.op == Op::Reshape)?.input(0)?;
    let graph = cx.graph();
    let real = |shape: &Shape| shape.dims().iter().filter(|&&d| d != Some(1)).copied().collect::<Vec<_>>();
    let same = real(graph.shape(x)) == real(reshaped) && reshape_dims(graph.shape(x)).is_some();
    (same && graph.shape(value) == reshaped && graph.constant(x).is_none()).then_some(x)
}

/// The shape that a constant beside a value of shape `reshaped` has beside the same value of shape `from`.
fn beside(from: &Shape, reshaped: &Shape, constant: &[usize]) -> Option<Vec<usize>> {
    if !keeps_shape(reshaped, constant) {
        return None;
    }
    let missing = reshaped.rank() - constant.len();
    let extent = |axis: usize| axis.checked_sub(missing).map_or(1, |axis| constant[axis]);
    // Extents of the constant along the axes that are not 1, in order; along the others it has 1 as well.
    let mut real = (0..reshaped.rank()).filter(|&axis| reshaped.dim(axis) != Some(1)).map(extent);
    from.dims().iter().map(|&d| if d == Some(1) { Some(1) } else { real.next() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Unary;

    #[test]
    fn elementwise_operators_come_first() {
        check(
            run,
            &["f32[?,1,4,2]"],
            |b, x| {
                let y = b.reshape(x[0], &[-1, 4, 2])?;
                let (scale, shift) = (b.floats(&[2], vec![2.0, 3.0]), b.floats(&[4, 1], vec![1.0, 2.0, 3.0, 4.0]));
                let y = b.mul(scale, y)?;
                let y = b.add(y, shift)?;
                b.unary(Unary::Relu, y)
            },
            |b, x| {
                let (scale, shift) =
                    (b.floats(&[1, 1, 1, 2], vec![2.0, 3.0]), b.floats(&[1, 1, 4, 1], vec![1.0, 2.0, 3.0, 4.0]));
                let y = b.mul(scale, x[0])?;
                let y = b.add(y, shift)?;
                let y = b.unary(Unary::Relu, y)?;
                b.reshape(y, &[-1, 4, 2])
            },
        );
    }

    #[test]
    fn two_operands_of_one_shape_stay_together() {
        check(
            run,
            &["f32[3,2]", "f32[3,2]"],
            |b, x| {
                let (p, q) = (b.reshape(x[0], &[1, 3, 1, 2])?, b.reshape(x[1], &[1, 3, 1, 2])?);
                b.add(p, q)
            },
            |b, x| {
                let y = b.add(x[0], x[1])?;
                b.reshape(y, &[1, 3, 1, 2])
            },
        );
    }

    #[test]
    fn leaves_other_shapes_and_uses() {
        unchanged(run, &["f32[2,3]"], |b, x| {
            let y = b.reshape(x[0], &[6])?;
            b.unary(Unary::Relu, y)
        });
        unchanged(run, &["f32[1,3]"], |b, x| {
            let y = b.reshape(x[0], &[3])?;
            let z = b.unary(Unary::Relu, y)?;
            b.add(y, z)
        });
        // Operands that were reshaped from different shapes, or only one of the two.
        unchanged(run, &["f32[1,3]", "f32[3,1]"], |b, x| {
            let (p, q) = (b.reshape(x[0], &[3])?, b.reshape(x[1], &[3])?);
            b.add(p, q)
        });
        unchanged(run, &["f32[1,3]", "f32[3]"], |b, x| {
            let p = b.reshape(x[0], &[3])?;
            b.add(p, x[1])
        });
        // The constant makes the result larger.
        unchanged(run, &["f32[1,3]"], |b, x| {
            let (y, scale) = (b.reshape(x[0], &[3])?, b.weights(&[2, 1]));
            b.mul(y, scale)
        });
    }
}

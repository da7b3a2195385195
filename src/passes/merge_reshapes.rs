//! `merge_reshapes`: of reshapes one after the other only the last is left.
//!
//! Matches: `RESHAPE`, `SQUEEZE` or `EXPAND_DIMS` of the result of one of these, other uses or not; makes a `RESHAPE` of what was
//! there first, and nothing where the shape is that already. Every element type.
//!
//! Not: where more than one extent of the result is known only at run time, and is not computed by the graph.
//!
//! Equal, as a reshape leaves the elements in their order.

use super::pattern::{Replaced, reshape_dims, sweep};
use super::remove_identity::certainly_same;
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some(x) = reshaped(node).and_then(|x| cx.producer(x)).and_then(reshaped) else { return Ok(None) };
    let [output] = node.outputs[..] else { return Ok(None) };
    let shape = cx.graph().shape(output).clone();
    if certainly_same(cx.graph().shape(x), &shape) && !cx.graph().outputs.contains(&output) {
        return Ok(Some(vec![x]));
    }
    if let Some(dims) = reshape_dims(&shape) {
        let dims = cx.b.ints(&dims)?;
        return Ok(Some(vec![cx.b.one(Op::Reshape, &[x, dims])?]));
    }
    match (&node.op, node.input(1)) {
        (Op::Reshape, Some(dims)) => Ok(Some(vec![cx.b.one(Op::Reshape, &[x, dims])?])),
        _ => Ok(None),
    }
}

/// The operand of an operator that only changes the shape.
fn reshaped(node: &Node) -> Option<ValueId> {
    match node.op {
        Op::Reshape | Op::Squeeze { .. } | Op::ExpandDims => node.input(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, check, unchanged};
    use super::run;
    use crate::graph::{Op, Unary};

    #[test]
    fn the_last_shape_counts() {
        check(
            run,
            &["f32[2,3,4]"],
            |b, x| {
                let x = b.reshape(x[0], &[6, 4])?;
                let x = b.reshape(x, &[3, 8])?;
                b.one(Op::Squeeze { axes: vec![] }, &[x])
            },
            |b, x| b.reshape(x[0], &[3, 8]),
        );
        check(
            run,
            &["f32[?,6]"],
            |b, x| {
                let axis = b.scalar(1i32);
                let x = b.reshape(x[0], &[-1, 2, 3])?;
                b.one(Op::ExpandDims, &[x, axis])
            },
            |b, x| b.reshape(x[0], &[-1, 1, 2, 3]),
        );
    }

    #[test]
    fn there_and_back_is_nothing() {
        check(
            run,
            &["f32[2,3]"],
            |b, x| {
                let y = b.unary(Unary::Abs, x[0])?;
                let y = b.reshape(y, &[6])?;
                let y = b.reshape(y, &[2, 3])?;
                b.unary(Unary::Exp, y)
            },
            |b, x| {
                let y = b.unary(Unary::Abs, x[0])?;
                b.unary(Unary::Exp, y)
            },
        );
    }

    #[test]
    fn other_uses_keep_the_first() {
        let before = Net::new(&["f32[6]"], |b, x| {
            let x = b.reshape(x[0], &[2, 3])?;
            Ok(vec![b.unary(Unary::Abs, x)?, b.reshape(x, &[3, 2])?])
        });
        let after = Net::new(&["f32[6]"], |b, x| {
            let y = b.reshape(x[0], &[2, 3])?;
            Ok(vec![b.unary(Unary::Abs, y)?, b.reshape(x[0], &[3, 2])?])
        });
        before.becomes(run, &after);
    }

    #[test]
    fn leaves_single_reshapes_and_unknown_shapes() {
        unchanged(run, &["f32[6]"], |b, x| b.reshape(x[0], &[2, 3]));
        // Two extents are known at run time only, and no operand says them.
        unchanged(run, &["f32[?,?]"], |b, x| {
            let (zero, two) = (b.scalar(0i32), b.scalar(2i32));
            let x = b.one(Op::ExpandDims, &[x[0], zero])?;
            b.one(Op::ExpandDims, &[x, two])
        });
    }
}

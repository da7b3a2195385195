//! `replace_squeeze`: `SQUEEZE` and `EXPAND_DIMS` become `RESHAPE`, which XNNPACK runs, while it does not run them.
//!
//! Matches: both, with at most one extent of the result known at run time only; every element type. Equal.

use super::pattern::{Replaced, reshape_dims, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let (Op::Squeeze { .. } | Op::ExpandDims, Some(x)) = (&node.op, node.input(0)) else { return Ok(None) };
    let Some(dims) = node.outputs.first().and_then(|&y| reshape_dims(cx.graph().shape(y))) else { return Ok(None) };
    let dims = cx.b.ints(&dims)?;
    Ok(Some(vec![cx.b.one(Op::Reshape, &[x, dims])?]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Op;

    #[test]
    fn both_are_reshapes() {
        check(
            run,
            &["f32[?,1,3,1]"],
            |b, x| b.one(Op::Squeeze { axes: vec![1, -1] }, x),
            |b, x| b.reshape(x[0], &[-1, 3]),
        );
        check(
            run,
            &["i32[2,3]"],
            |b, x| {
                let axis = b.scalar(-1i32);
                b.one(Op::ExpandDims, &[x[0], axis])
            },
            |b, x| b.reshape(x[0], &[2, 3, 1]),
        );
    }

    #[test]
    fn leaves_what_a_reshape_cannot_be_told() {
        unchanged(run, &["f32[?,1,?]"], |b, x| b.one(Op::Squeeze { axes: vec![1] }, x));
        unchanged(run, &["f32[?,1,0]"], |b, x| b.one(Op::Squeeze { axes: vec![1] }, x));
    }
}

//! `replace_split_v`: `SPLIT_V` into equal parts becomes `SPLIT`, which XNNPACK runs, while it does not run `SPLIT_V`.
//!
//! Matches: constant sizes that are all equal and not zero, on an axis of known size. Equal.

use super::pattern::{Replaced, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};
use crate::tensor::normalize_axis;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some((x, axis, parts)) = equal_parts(cx.graph(), node) else { return Ok(None) };
    let axis = i32::try_from(axis).map_err(|_| InferError::new("axis past 32 bits"))?;
    let axis = cx.b.scalar(axis);
    Ok(Some(cx.b.emit(Op::Split { parts }, &[Some(axis), Some(x)])?))
}

fn equal_parts(graph: &Graph, node: &Node) -> Option<(ValueId, usize, usize)> {
    let Op::SplitV { parts } = node.op else { return None };
    let x = node.input(0)?;
    let axis = normalize_axis(*graph.const_ints(node.input(2)?)?.first()?, graph.shape(x).rank())?;
    graph.shape(x).dim(axis)?;
    let size = |&y: &ValueId| graph.shape(y).dim(axis).filter(|&size| size > 0);
    let first = size(node.outputs.first()?)?;
    let equal = node.outputs.len() == parts && node.outputs.iter().all(|y| size(y) == Some(first));
    equal.then_some((x, axis, parts))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Net;
    use super::run;
    use crate::graph::Op;

    fn split_v(ty: &str, sizes: [i32; 2]) -> Net {
        Net::new(&[ty], |b, x| {
            let (sizes, axis) = (b.ints(&sizes)?, b.scalar(-1i32));
            b.emit(Op::SplitV { parts: 2 }, &[Some(x[0]), Some(sizes), Some(axis)])
        })
    }

    #[test]
    fn equal_parts_are_split() {
        for sizes in [[3, 3], [3, -1]] {
            let after = Net::new(&["f32[?,6]"], |b, x| {
                let axis = b.scalar(1i32);
                b.emit(Op::Split { parts: 2 }, &[Some(axis), Some(x[0])])
            });
            split_v("f32[?,6]", sizes).becomes(run, &after);
        }
    }

    #[test]
    fn leaves_unequal_and_unknown_parts() {
        split_v("f32[2,6]", [2, 4]).unchanged_by(run);
        split_v("f32[2,?]", [3, -1]).unchanged_by(run);
        split_v("f32[2,0]", [0, 0]).unchanged_by(run);
    }
}

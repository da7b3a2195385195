//! `replace_transpose`: a transpose that moves nothing becomes a reshape.
//!
//! Matches: `TRANSPOSE` with a constant permutation that leaves all axes in their order but those of size 1, at most one of the
//! others known at run time only; every element type. Equal, and free at run time. After layout, which cancels transposes.

use super::pattern::{Replaced, permutation, reshape_dims, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let graph = cx.graph();
    let Some((x, perm)) = node.input(0).and_then(|x| Some((x, permutation(graph, node)?))) else { return Ok(None) };
    let shape = graph.shape(x);
    let in_order = perm.axes().iter().filter(|&&axis| shape.dim(axis) != Some(1)).is_sorted();
    let dims = node.outputs.first().and_then(|&y| reshape_dims(graph.shape(y)));
    let Some(dims) = dims.filter(|_| in_order && !perm.is_identity()) else { return Ok(None) };
    let dims = cx.b.ints(&dims)?;
    Ok(Some(vec![cx.b.one(Op::Reshape, &[x, dims])?]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::tensor::Perm;

    #[test]
    fn axes_of_one_element_move_by_reshape() {
        for (ty, dims) in [("f32[2,1,1,3]", [2, 3, 1, 1]), ("f32[?,1,1,3]", [-1, 3, 1, 1])] {
            check(run, &[ty], |b, x| b.transpose(x[0], &Perm::to_channels_first(4)), |b, x| b.reshape(x[0], &dims));
        }
    }

    #[test]
    fn leaves_what_moves_data() {
        for ty in ["f32[2,2,1,3]", "f32[2,?,1,3]"] {
            unchanged(run, &[ty], |b, x| b.transpose(x[0], &Perm::to_channels_first(4)));
        }
    }
}

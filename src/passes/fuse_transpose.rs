//! `fuse_transpose`: a transpose of the last two axes before `BATCH_MATMUL` becomes its `adj_x` or `adj_y`.
//!
//! Matches: `TRANSPOSE` with a constant permutation that swaps the last two axes and no others, on either operand, other uses or
//! not; on an operand that is taken transposed already, the two cancel. Equal.

use super::pattern::{Replaced, permutation, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs } = node.op else { return Ok(None) };
    let (Some(x), Some(y)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let (new_x, new_y) = (untransposed(cx, x), untransposed(cx, y));
    if new_x.is_none() && new_y.is_none() {
        return Ok(None);
    }
    let op = Op::BatchMatMul { adj_x: adj_x ^ new_x.is_some(), adj_y: adj_y ^ new_y.is_some(), asymmetric_inputs };
    Ok(Some(vec![cx.b.one(op, &[new_x.unwrap_or(x), new_y.unwrap_or(y)])?]))
}

/// What `value` was before its last two axes were swapped.
fn untransposed(cx: &RewriteCx<'_>, value: ValueId) -> Option<ValueId> {
    let producer = cx.producer(value)?;
    let perm = permutation(cx.graph(), producer)?;
    let swapped = match perm.axes() {
        [leading @ .., a, b] => leading.iter().enumerate().all(|(i, &axis)| i == axis) && a > b,
        _ => false,
    };
    if swapped { producer.input(0) } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Op;
    use crate::tensor::Perm;

    fn matmul(adj_x: bool, adj_y: bool) -> Op {
        Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: false }
    }

    #[test]
    fn swapped_matrices_are_taken_as_they_were() {
        let swap = Perm::new(vec![0, 2, 1]).unwrap();
        for (before, after) in [((false, false), (true, true)), ((true, false), (false, true))] {
            let (x, y) = if before.0 { ("f32[2,4,3]", "f32[2,5,3]") } else { ("f32[2,3,4]", "f32[2,5,3]") };
            check(
                run,
                &[x, y],
                |b, x| {
                    let (p, q) = (b.transpose(x[0], &swap)?, b.transpose(x[1], &swap)?);
                    b.one(matmul(before.0, before.1), &[p, q])
                },
                |b, x| b.one(matmul(after.0, after.1), x),
            );
        }
    }

    #[test]
    fn leaves_other_permutations() {
        unchanged(run, &["f32[2,3,4]", "f32[2,4,3]"], |b, x| {
            let x0 = b.transpose(x[0], &Perm::new(vec![1, 0, 2]).unwrap())?;
            let x1 = b.slice(x[1], &[0, 0, 0], &[1, 4, 3])?;
            b.one(matmul(false, false), &[x0, x1])
        });
    }
}

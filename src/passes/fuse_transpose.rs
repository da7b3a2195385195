//! `fuse_transpose`: a transpose of the last two axes before `BATCH_MATMUL` becomes its `adj_x` or `adj_y`.
//!
//! Matches: `TRANSPOSE` with a constant permutation that swaps the last two axes and no others, on either operand, other uses or
//! not; on an operand that is taken transposed already, the two cancel. And one of the second operand that moves more axes and puts
//! the last one last but one, without other uses: the keys of attention. It keeps the last axis last, and the product takes its
//! rows as columns; whole rows are copied then instead of single elements.
//!
//! Equal.

use super::pattern::{Replaced, permutation, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};
use crate::tensor::Perm;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Op::BatchMatMul { mut adj_x, mut adj_y, asymmetric_inputs } = node.op else { return Ok(None) };
    let (Some(mut x), Some(mut y)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let (new_x, new_y) = (untransposed(cx, x).filter(|(_, perm)| perm.is_identity()), untransposed(cx, y));
    if new_x.is_none() && new_y.is_none() {
        return Ok(None);
    }
    if let Some((source, _)) = new_x {
        (x, adj_x) = (source, !adj_x);
    }
    if let Some((source, perm)) = new_y {
        (y, adj_y) = (cx.b.transpose(source, &perm)?, !adj_y);
    }
    let op = Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs };
    Ok(Some(vec![cx.b.one(op, &[x, y])?]))
}

/// What `value` was before it was transposed, and the permutation that is left to do when its last two axes, of which the first was
/// the last, are not swapped.
fn untransposed(cx: &RewriteCx<'_>, value: ValueId) -> Option<(ValueId, Perm)> {
    let producer = cx.producer(value)?;
    let perm = permutation(cx.graph(), producer)?;
    let mut axes = perm.axes().to_vec();
    let (last, before) = (axes.len().checked_sub(1)?, axes.len().checked_sub(2)?);
    if axes[before] != last {
        return None;
    }
    axes.swap(before, last);
    let rest = Perm::new(axes)?;
    (rest.is_identity() || cx.uses(value) == 1).then_some((producer.input(0)?, rest))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, check, unchanged};
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
    fn keys_keep_their_rows() {
        let net = |[keys, queries]: [[usize; 4]; 2], adj_y: bool| {
            Net::new(&["f32[1,3,2,4]", "f32[1,3,2,4]"], |b, x| {
                let q = b.transpose(x[0], &Perm::new(queries.to_vec()).unwrap())?;
                let k = b.transpose(x[1], &Perm::new(keys.to_vec()).unwrap())?;
                Ok(vec![b.one(matmul(false, adj_y), &[q, k])?])
            })
        };
        net([[0, 2, 3, 1], [0, 2, 1, 3]], false).becomes(run, &net([[0, 2, 1, 3]; 2], true));
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

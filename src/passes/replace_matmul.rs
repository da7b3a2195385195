//! `replace_matmul`: a matrix product with constant weights becomes `FULLY_CONNECTED`.
//!
//! Matches: `BATCH_MATMUL(x, w)` in `float32` with a constant matrix `w` (leading axes of size 1 aside) and `x` not transposed.
//!
//! Makes: `FULLY_CONNECTED` that keeps the leading axes, with the weights as rows of outputs: transposed, unless they stood that way
//! (`adj_y`).
//!
//! Equal. `FULLY_CONNECTED` has a bias and an activation to fuse, weights for each output channel to quantize, and packed weights in
//! every runtime.

use super::pattern::{Replaced, f32_constant, is_f32, sweep};
use crate::graph::{Activation, Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};
use crate::tensor::{Perm, Tensor};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some((x, w, rows)) = weights(cx.graph(), node) else { return Ok(None) };
    let Op::BatchMatMul { asymmetric_inputs, .. } = node.op else { return Ok(None) };
    let name = cx.graph().value(w).name.clone();
    let w = cx.b.graph.add_constant(name, rows);
    let op = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs, activation: Activation::None };
    Ok(Some(vec![cx.b.one(op, &[x, w])?]))
}

/// Both operands, and the second as a matrix with a row for each output.
fn weights(graph: &Graph, node: &Node) -> Option<(ValueId, ValueId, Tensor)> {
    let Op::BatchMatMul { adj_x: false, adj_y, .. } = node.op else { return None };
    let (x, w) = (node.input(0)?, node.input(1)?);
    let tensor = f32_constant(graph, w).filter(|_| graph.constant(x).is_none() && is_f32(graph, x))?;
    let (leading, matrix) = tensor.shape().split_at_checked(tensor.rank().checked_sub(2)?)?;
    let is_matrix = leading.iter().all(|&d| d == 1) && tensor.rank() <= graph.shape(x).rank() && !tensor.is_empty();
    let matrix = tensor.reshape(matrix).ok().filter(|_| is_matrix)?;
    let rows = if adj_y { matrix } else { matrix.permute(&Perm::new(vec![1, 0])?) };
    Some((x, w, rows))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, fully_connected, unchanged};
    use super::run;
    use crate::graph::Op;

    fn matmul(adj_x: bool, adj_y: bool) -> Op {
        Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: false }
    }

    #[test]
    fn constant_matrices_are_weights() {
        for (adj_y, shape, values) in [
            (false, vec![3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
            (false, vec![1, 1, 3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
            (true, vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ] {
            check(
                run,
                &["f32[?,2,4,3]"],
                |b, x| {
                    let w = b.floats(&shape, values);
                    b.one(matmul(false, adj_y), &[x[0], w])
                },
                |b, x| {
                    let w = b.floats(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
                    b.one(fully_connected(), &[x[0], w])
                },
            );
        }
    }

    #[test]
    fn leaves_other_products() {
        unchanged(run, &["f32[4,3]", "f32[3,2]"], |b, x| b.one(matmul(false, false), x));
        unchanged(run, &["f32[3,4]"], |b, x| {
            let w = b.weights(&[3, 2]);
            b.one(matmul(true, false), &[x[0], w])
        });
        // A matrix for each batch; a constant on the left; a result of higher rank than the operand.
        unchanged(run, &["f32[2,4,3]"], |b, x| {
            let w = b.weights(&[2, 3, 2]);
            b.one(matmul(false, false), &[x[0], w])
        });
        unchanged(run, &["f32[3,2]"], |b, x| {
            let w = b.weights(&[4, 3]);
            b.one(matmul(false, false), &[w, x[0]])
        });
        unchanged(run, &["f32[4,3]"], |b, x| {
            let w = b.weights(&[1, 3, 2]);
            b.one(matmul(false, false), &[x[0], w])
        });
    }
}

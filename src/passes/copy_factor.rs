//! `copy_factor`: a transposed value that `BATCH_MATMUL` multiplies by itself is one operand as it is and the other as a copy.
//!
//! Matches: `BATCH_MATMUL` with one value twice, made by `TRANSPOSE`; quantized or not. XNNPACK (LiteRT 2.3.0) takes a transpose that
//! nothing else reads into the product, for one operand alone, and computes with the wrong rows of the other. A `RESHAPE` that reads it
//! keeps it from that, another `TRANSPOSE` does not. Equal.

use super::pattern::{copy, reshape_dims};
use crate::graph::{Evaluate, Graph, InferError, Op};

pub(super) fn run(graph: &mut Graph, _: &dyn Evaluate) -> Result<usize, InferError> {
    let producers = graph.producers();
    let nodes = std::mem::take(&mut graph.nodes);
    let is_transposed: Vec<bool> =
        producers.iter().map(|index| index.is_some_and(|i| nodes[i].op == Op::Transpose)).collect();
    let mut copied = 0;
    for mut node in nodes {
        if let (Op::BatchMatMul { .. }, Some(a), Some(b)) = (&node.op, node.input(0), node.input(1))
            && a == b
            && is_transposed[a.0 as usize]
            && let Some(dims) = reshape_dims(graph.shape(b))
        {
            let dims = dims.into_iter().map(|n| n as i32).collect();
            let copy = copy(graph, b, &node, Op::Reshape, dims);
            node.inputs[1] = Some(copy.outputs[0]);
            graph.nodes.push(copy);
            copied += 1;
        }
        graph.nodes.push(node);
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Op;
    use crate::tensor::Perm;

    const PRODUCT: Op = Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false };

    #[test]
    fn a_transposed_value_by_itself() {
        let perm = Perm::new(vec![2, 0, 1]).unwrap();
        check(
            run,
            &["f32[3,3,2]"],
            |b, x| {
                let x = b.transpose(x[0], &perm)?;
                b.one(PRODUCT, &[x, x])
            },
            |b, x| {
                let x = b.transpose(x[0], &perm)?;
                let copy = b.identity(x)?;
                b.one(PRODUCT, &[x, copy])
            },
        );
    }

    #[test]
    fn leaves_other_products() {
        unchanged(run, &["f32[2,3,3]"], |b, x| b.one(PRODUCT, &[x[0], x[0]]));
    }
}

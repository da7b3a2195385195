//! `copy_factor`: a transposed value that `BATCH_MATMUL` multiplies by itself is one operand as it is and the other as a copy.
//!
//! Matches: `BATCH_MATMUL` with one value twice, made by `TRANSPOSE`. XNNPACK (LiteRT 2.3.0) takes a transpose that nothing else reads
//! into the product, for one operand alone, and computes with the wrong rows of the other. A second reader, `RESHAPE`, keeps it from
//! that. Equal.

use super::pattern::{Replaced, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let (Op::BatchMatMul { .. }, Some(a), Some(b)) = (&node.op, node.input(0), node.input(1)) else { return Ok(None) };
    if a != b || cx.producer(a).is_none_or(|node| node.op != Op::Transpose) {
        return Ok(None);
    }
    let copy = cx.b.identity(b)?;
    Ok(Some(vec![cx.b.one(node.op.clone(), &[a, copy])?]))
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

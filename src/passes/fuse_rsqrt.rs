//! `fuse_rsqrt`: `1 / SQRT(x)` becomes `RSQRT(x)`.
//!
//! Matches: `DIV` of the number 1 by a `SQRT` whose result has no other use; `float32`. Equal up to rounding.
//!
//! Not: other numerators: their quotient rounds once where a product with the reciprocal root rounds twice.

use super::pattern::{Replaced, is_f32, number_beside, operand_of, sweep};
use crate::graph::{Activation, Binary, Evaluate, Graph, InferError, Node, Op, RewriteCx, Unary};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Op::Binary(Binary::Div, Activation::None) = node.op else { return Ok(None) };
    let (Some(one), Some(root)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let graph = cx.graph();
    let is_one = number_beside(graph, root, one) == Some(1.0);
    let operand = cx.sole_producer(root).and_then(|p| operand_of(p, Unary::Sqrt));
    match operand.filter(|&x| is_one && is_f32(graph, x)) {
        Some(x) => Ok(Some(vec![cx.b.unary(Unary::Rsqrt, x)?])),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, check, unchanged};
    use super::run;
    use crate::graph::Unary;

    #[test]
    fn reciprocal_roots_are_one_operator() {
        check(
            run,
            &[F32_4],
            |b, x| {
                let (root, one) = (b.unary(Unary::Sqrt, x[0])?, b.scalar(1.0f32));
                b.div(one, root)
            },
            |b, x| b.unary(Unary::Rsqrt, x[0]),
        );
    }

    #[test]
    fn leaves_other_numerators_and_uses() {
        unchanged(run, &[F32_4], |b, x| {
            let (root, two) = (b.unary(Unary::Sqrt, x[0])?, b.scalar(2.0f32));
            b.div(two, root)
        });
        unchanged(run, &[F32_4], |b, x| {
            let (root, one) = (b.unary(Unary::Sqrt, x[0])?, b.scalar(1.0f32));
            let y = b.div(one, root)?;
            b.add(root, y)
        });
        unchanged(run, &["f32[1]"], |b, x| {
            let (root, ones) = (b.unary(Unary::Sqrt, x[0])?, b.floats(&[3], vec![1.0; 3]));
            b.div(ones, root)
        });
    }
}

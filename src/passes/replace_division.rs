//! `replace_division`: a division by powers of two becomes a multiplication.
//!
//! Matches: `DIV` by a constant in `float32` whose elements are all powers of two (or their negatives) with a reciprocal.
//!
//! Not: other divisors, though a product with the rounded reciprocal is off by no more than one unit in the last place: programs
//! divide whole numbers in floats and round down, where one unit makes a difference of one. Before a convolution's weights, where
//! everything is rounded anyway, `fold_scale_into_conv` takes every divisor.
//!
//! Equal to the bit. A multiplication is faster, and has better kernels in 8 bits.

use super::pattern::{Replaced, f32_constant, sweep};
use crate::graph::{Binary, Evaluate, Graph, InferError, Node, Op, RewriteCx};
use crate::tensor::Tensor;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Op::Binary(Binary::Div, activation) = node.op else { return Ok(None) };
    let (Some(x), Some(divisor)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let Some(reciprocals) = f32_constant(cx.graph(), divisor).and_then(exact_reciprocals) else { return Ok(None) };
    let reciprocals = cx.b.constant(reciprocals);
    Ok(Some(vec![cx.b.one(Op::Binary(Binary::Mul, activation), &[x, reciprocals])?]))
}

/// The reciprocals of numbers that are powers of two.
fn exact_reciprocals(divisor: &Tensor) -> Option<Tensor> {
    const MANTISSA: u32 = (1 << 23) - 1;
    let exact = |d: &f32| d.is_normal() && d.to_bits() & MANTISSA == 0 && d.recip().is_normal();
    let values = divisor.view::<f32>().ok()?;
    let reciprocals = || values.iter().map(|d| d.recip()).collect();
    values.iter().all(exact).then(|| Tensor::from_vec(divisor.shape(), reciprocals()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, check, unchanged};
    use super::run;
    use crate::graph::{Activation, Binary, Op};

    #[test]
    fn powers_of_two_are_multiplied() {
        check(
            run,
            &["f32[?,2]"],
            |b, x| {
                let divisor = b.floats(&[2], vec![8.0, -0.5]);
                b.one(Op::Binary(Binary::Div, Activation::Relu), &[x[0], divisor])
            },
            |b, x| {
                let factor = b.floats(&[2], vec![0.125, -2.0]);
                b.one(Op::Binary(Binary::Mul, Activation::Relu), &[x[0], factor])
            },
        );
    }

    #[test]
    fn leaves_what_would_be_rounded() {
        for divisor in [3.0f32, 6.0, 0.0, f32::INFINITY, 1e-40, 1.7014118e38] {
            unchanged(run, &[F32_4], |b, x| {
                let divisor = b.scalar(divisor);
                b.div(x[0], divisor)
            });
        }
        unchanged(run, &[F32_4], |b, x| {
            let two = b.scalar(2.0f32);
            b.div(two, x[0])
        });
        unchanged(run, &["i32[4]"], |b, x| {
            let two = b.scalar(2i32);
            b.div(x[0], two)
        });
    }
}

//! `fuse_clip`: `MAXIMUM` and `MINIMUM` with constants become `RELU`, `RELU6` or `RELU_N1_TO_1`.
//!
//! Matches: a minimum or maximum against one number, or an operator of the `RELU` family, alone or on top of another whose result
//! has no other use; `float32`. `MINIMUM(6, MAXIMUM(0, x))`, `MINIMUM(6, RELU(x))` and `RELU(RELU6(x))` are all one `RELU6`.
//!
//! Not: other bounds. `MINIMUM(1, MAXIMUM(0, x))` becomes `MINIMUM(1, RELU(x))`, not `RELU_0_TO_1`, see `clamp`.
//!
//! Equal for all numbers. For NaN, which the `RELU` family keeps, it is equal where the constant stands first; `MAXIMUM(x, 0)`
//! would have dropped it, which is no more than an accident of that kernel.

use super::clamp::Clamp;
use super::pattern::{Replaced, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some((x, outer)) = Clamp::of(cx.graph(), node) else { return Ok(None) };
    let below = cx.sole_producer(x).filter(|p| p.precision == node.precision);
    let both = below.and_then(|below| Clamp::of(cx.graph(), below));
    let both = both.and_then(|(source, inner)| Some((source, inner.then(outer).as_unary()?)));
    let alone = || outer.as_unary().filter(|&kind| node.op != Op::Unary(kind)).map(|kind| (x, kind));
    match both.or_else(alone) {
        Some((source, kind)) => Ok(Some(vec![cx.b.unary(kind, source)?])),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, check, unchanged};
    use super::run;
    use crate::graph::{Binary, Unary};

    #[test]
    fn pairs_become_one() {
        for (low, high, kind) in [(0.0f32, 6.0f32, Unary::Relu6), (-1.0, 1.0, Unary::ReluN1To1)] {
            check(
                run,
                &[F32_4],
                |b, x| {
                    let (low, high) = (b.scalar(low), b.scalar(high));
                    let x = b.binary(Binary::Maximum, low, x[0])?;
                    b.binary(Binary::Minimum, x, high)
                },
                |b, x| b.unary(kind, x[0]),
            );
            check(
                run,
                &[F32_4],
                |b, x| {
                    let (low, high) = (b.scalar(low), b.scalar(high));
                    let x = b.binary(Binary::Minimum, high, x[0])?;
                    b.binary(Binary::Maximum, low, x)
                },
                |b, x| b.unary(kind, x[0]),
            );
        }
    }

    #[test]
    fn relu_takes_in_what_is_around_it() {
        check(
            run,
            &[F32_4],
            |b, x| {
                let six = b.scalar(6.0f32);
                let x = b.unary(Unary::Relu, x[0])?;
                b.binary(Binary::Minimum, six, x)
            },
            |b, x| b.unary(Unary::Relu6, x[0]),
        );
        check(
            run,
            &[F32_4],
            |b, x| {
                let x = b.unary(Unary::Relu6, x[0])?;
                b.unary(Unary::Relu, x)
            },
            |b, x| b.unary(Unary::Relu6, x[0]),
        );
    }

    #[test]
    fn other_upper_bounds_keep_their_minimum() {
        check(
            run,
            &[F32_4],
            |b, x| {
                let (zero, one) = (b.scalar(0.0f32), b.scalar(1.0f32));
                let x = b.binary(Binary::Maximum, zero, x[0])?;
                b.binary(Binary::Minimum, one, x)
            },
            |b, x| {
                let one = b.scalar(1.0f32);
                let x = b.unary(Unary::Relu, x[0])?;
                b.binary(Binary::Minimum, one, x)
            },
        );
    }

    #[test]
    fn leaves_other_uses_bounds_and_types() {
        // The inner result is used again: what is above it stays.
        unchanged(run, &[F32_4], |b, x| {
            let six = b.scalar(6.0f32);
            let inner = b.unary(Unary::Relu, x[0])?;
            let outer = b.binary(Binary::Minimum, six, inner)?;
            b.add(inner, outer)
        });
        unchanged(run, &[F32_4], |b, x| {
            let low = b.scalar(0.5f32);
            b.binary(Binary::Maximum, low, x[0])
        });
        // One bound for each element is no single number.
        unchanged(run, &[F32_4], |b, x| {
            let low = b.constant(crate::tensor::Tensor::vector(vec![0.0f32, 0.0, 0.0, 1.0]));
            b.binary(Binary::Maximum, low, x[0])
        });
        // The result has another shape than the operand.
        unchanged(run, &["f32[1]"], |b, x| {
            let low = b.constant(crate::tensor::Tensor::vector(vec![0.0f32; 4]));
            b.binary(Binary::Maximum, low, x[0])
        });
        unchanged(run, &["i32[4]"], |b, x| {
            let low = b.scalar(0i32);
            b.binary(Binary::Maximum, low, x[0])
        });
    }
}

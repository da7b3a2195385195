//! `fuse_activation`: a clamp becomes the fused activation of the operator before it.
//!
//! Matches: `RELU`, `RELU6`, `RELU_N1_TO_1` (or a minimum or maximum that comes to one of them together with the activation that
//! is there already) on the result of an operator that has a fused activation, where that result has no other use; `float32`.
//!
//! Not: where the result is an output of the graph or used twice, where the two together are no activation of the file format, or
//! where one of the two must stay float and the other not.
//!
//! Equal, as every kernel applies its activation to the value it would else have stored.

use super::clamp::Clamp;
use super::pattern::{Replaced, emit_as, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, RewriteCx};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some((x, clamp)) = Clamp::of(cx.graph(), node) else { return Ok(None) };
    let Some(before) = cx.sole_producer(x).filter(|p| p.precision == node.precision) else { return Ok(None) };
    let inner = before.op.activation().and_then(Clamp::of_activation);
    let Some(activation) = inner.and_then(|inner| inner.then(clamp).as_activation()) else { return Ok(None) };
    let mut before = before.clone();
    if let Some(slot) = before.op.activation_mut() {
        *slot = activation;
    }
    let (op, inputs) = (before.op.clone(), before.inputs.clone());
    Ok(Some(emit_as(cx, &before, op, &inputs)?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, Net, check, unchanged, window};
    use super::run;
    use crate::graph::{Activation, Binary, Op, Padding, Pool, Unary};

    const IMAGE: &str = "f32[1,4,4,2]";

    #[test]
    fn convolutions_and_arithmetic_take_it() {
        let conv = |activation| Op::Conv2d { window: window(Padding::Same), activation };
        check(
            run,
            &[IMAGE],
            |b, x| {
                let y = b.conv(conv(Activation::None), x[0], &[3, 1, 1, 2])?;
                b.unary(Unary::Relu6, y)
            },
            |b, x| b.conv(conv(Activation::Relu6), x[0], &[3, 1, 1, 2]),
        );
        for (kind, activation) in [
            (Unary::Relu, Activation::Relu),
            (Unary::Relu6, Activation::Relu6),
            (Unary::ReluN1To1, Activation::ReluN1To1),
        ] {
            check(
                run,
                &[F32_4, F32_4],
                |b, x| {
                    let y = b.add(x[0], x[1])?;
                    b.unary(kind, y)
                },
                |b, x| b.one(Op::Binary(Binary::Add, activation), x),
            );
        }
    }

    #[test]
    fn what_is_there_already_counts() {
        check(
            run,
            &[F32_4, F32_4],
            |b, x| {
                let y = b.one(Op::Binary(Binary::Sub, Activation::Relu), x)?;
                let six = b.scalar(6.0f32);
                b.binary(Binary::Minimum, six, y)
            },
            |b, x| b.one(Op::Binary(Binary::Sub, Activation::Relu6), x),
        );
        // Between 0 and 1: no such activation.
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let y = b.one(Op::Binary(Binary::Sub, Activation::Relu), x)?;
            b.unary(Unary::ReluN1To1, y)
        });
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let y = b.one(Op::Binary(Binary::Sub, Activation::Tanh), x)?;
            b.unary(Unary::Relu, y)
        });
    }

    #[test]
    fn leaves_what_is_used_otherwise() {
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let y = b.add(x[0], x[1])?;
            let z = b.unary(Unary::Relu, y)?;
            b.sub(y, z)
        });
        let pool = Op::Pool2d {
            kind: Pool::Max,
            padding: Padding::Valid,
            stride: [1, 1],
            filter: [2, 2],
            activation: Activation::None,
        };
        let net = Net::new(&[IMAGE], |b, x| {
            let y = b.one(pool, x)?;
            Ok(vec![b.unary(Unary::Relu, y)?, y])
        });
        net.unchanged_by(run);
        // MAXIMUM has no fused activation.
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let y = b.binary(Binary::Maximum, x[0], x[1])?;
            b.unary(Unary::Relu, y)
        });
    }
}

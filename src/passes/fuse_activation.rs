//! `fuse_activation`: a clamp becomes the fused activation of the operator before it.
//!
//! Matches: `RELU`, `RELU6`, `RELU_N1_TO_1` (or a minimum or maximum that comes to one of them together with the activation that
//! is there already) on the result of an operator that has a fused activation, where that result has no other use; `float32`.
//! `RESHAPE` and `TRANSPOSE` may stand between.
//!
//! Not: where the result is an output of the graph or used twice, where the two together are no activation of the file format, or
//! where the clamp must stay float and the operator need not.
//!
//! Equal, as every kernel applies its activation to the value it would else have stored, each element by itself.

use super::clamp::Clamp;
use super::pattern::{Between, Replaced, emit_as, emit_path, may_absorb, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some((x, clamp)) = Clamp::of(cx.graph(), node) else { return Ok(None) };
    let Some((mut before, path)) = operator_above(cx, x).filter(|(before, _)| may_absorb(before, node)) else {
        return Ok(None);
    };
    let inner = before.op.activation().and_then(Clamp::of_activation);
    let Some(activation) = inner.and_then(|inner| inner.then(clamp).as_activation()) else { return Ok(None) };
    if let Some(slot) = before.op.activation_mut() {
        *slot = activation;
    }
    let (op, inputs) = (before.op.clone(), before.inputs.clone());
    let value = emit_as(cx, &before, op, &inputs)?[0];
    Ok(Some(vec![emit_path(cx, value, &path)?]))
}

/// What computes `value`, and how that is moved into place.
fn operator_above(cx: &RewriteCx<'_>, value: ValueId) -> Option<(Node, Vec<Between>)> {
    let node = cx.sole_producer(value)?.clone();
    if !matches!(node.op, Op::Reshape | Op::Transpose) {
        return Some((node, Vec::new()));
    }
    let (above, mut path) = operator_above(cx, node.input(0)?)?;
    path.push(Between { node, operand: 0 });
    Some((above, path))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, Net, NetBuilder, check, unchanged, window};
    use super::run;
    use crate::graph::{Activation, Binary, Op, Padding, Pool, Precision, Unary};
    use crate::tensor::Perm;

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
    fn moved_results_are_clamped_before() {
        let op = |activation| Op::Conv2d { window: window(Padding::Same), activation };
        let moved = |b: &mut NetBuilder<'_>, y| {
            let y = b.transpose(y, &Perm::to_channels_first(4))?;
            b.reshape(y, &[1, 3, 16])
        };
        check(
            run,
            &[IMAGE],
            |b, x| {
                let y = b.conv(op(Activation::None), x[0], &[3, 1, 1, 2])?;
                let y = moved(b, y)?;
                b.unary(Unary::Relu, y)
            },
            |b, x| {
                let y = b.conv(op(Activation::Relu), x[0], &[3, 1, 1, 2])?;
                moved(b, y)
            },
        );
        // A copy is there to be moved, but is needed as it was as well.
        unchanged(run, &[IMAGE], |b, x| {
            let y = b.conv(op(Activation::None), x[0], &[3, 1, 1, 2])?;
            let z = moved(b, y)?;
            let z = b.unary(Unary::Relu, z)?;
            let y = b.reshape(y, &[1, 3, 16])?;
            b.add(y, z)
        });
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
        // The clamp must stay float, the sum need not; the other way round they are one.
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let y = b.add(x[0], x[1])?;
            b.set_precision(Precision::Float);
            b.unary(Unary::Relu, y)
        });
        check(
            run,
            &[F32_4, F32_4],
            |b, x| {
                b.set_precision(Precision::Float);
                let y = b.add(x[0], x[1])?;
                b.set_precision(Precision::Any);
                b.unary(Unary::Relu, y)
            },
            |b, x| {
                b.set_precision(Precision::Float);
                b.one(Op::Binary(Binary::Add, Activation::Relu), x)
            },
        );
        // MAXIMUM has no fused activation.
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let y = b.binary(Binary::Maximum, x[0], x[1])?;
            b.unary(Unary::Relu, y)
        });
    }
}

//! `replace_pad_value`: `PADV2` becomes `PAD` where zeros do as well.
//!
//! Matches: `PADV2` with 0; and `PADV2` of height and width with the lowest number (or -∞) before `MAX_POOL_2D` with `VALID`, where
//! what is padded can't be negative (it comes from a `RELU`, `RELU6` or an operator with one of them fused), nothing else uses the
//! padded value and no window lies in the padding alone; `float32`.
//!
//! Equal: among numbers that are not negative a zero changes no maximum, and each window has such a number.
//!
//! Why: XNNPACK runs `PAD` and not `PADV2`; and in 8 bits, a number far below all others would cost all precision.

use super::clamp::Clamp;
use super::fuse_pad::{constant_padding, valid_window};
use super::pattern::{Replaced, number, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    if node.op == Op::PadV2 {
        let zero = node.input(2).and_then(|value| number(cx.graph(), value));
        // Not -0.0, to the bit.
        let zero = zero.is_some_and(|value| value.to_bits() == 0);
        return if zero { Ok(Some(cx.b.emit(Op::Pad, &node.inputs[..2])?)) } else { Ok(None) };
    }
    let Some((x, paddings)) = padded_maximum(cx, node) else { return Ok(None) };
    let padded = cx.b.one(Op::Pad, &[x, paddings])?;
    Ok(Some(vec![cx.b.one(node.op.clone(), &[padded])?]))
}

/// What the operand of a maximum was before it was padded, and the paddings, where zeros do.
fn padded_maximum(cx: &RewriteCx<'_>, node: &Node) -> Option<(ValueId, ValueId)> {
    let graph = cx.graph();
    if !matches!(node.op, Op::Pool2d { .. }) {
        return None;
    }
    let window = valid_window(graph, node)?;
    let pad = cx.sole_producer(node.input(0)?)?;
    let (x, pads) = constant_padding(graph, pad, true)?;
    let covered = |axis: usize| pads[axis].0.max(pads[axis].1) < window.filter[axis - 1];
    let inside = pads.len() == 4 && pads[0] == (0, 0) && pads[3] == (0, 0) && covered(1) && covered(2);
    (inside && is_never_negative(cx, x)).then_some((x, pad.input(1)?))
}

fn is_never_negative(cx: &RewriteCx<'_>, x: ValueId) -> bool {
    let Some(producer) = cx.producer(x) else { return false };
    let fused = producer.op.activation().and_then(Clamp::of_activation);
    let clamp = Clamp::of(cx.graph(), producer).map(|(_, clamp)| clamp).or(fused);
    clamp.is_some_and(|clamp| clamp.low >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::{Activation, Binary, Op, Padding, Pool, Unary};

    const IMAGE: &str = "f32[1,8,8,2]";
    const PADS: [(usize, usize); 4] = [(0, 0), (1, 1), (1, 1), (0, 0)];

    fn max_pool(filter: usize) -> Op {
        Op::Pool2d {
            kind: Pool::Max,
            padding: Padding::Valid,
            stride: [2, 2],
            filter: [filter; 2],
            activation: Activation::None,
        }
    }

    #[test]
    fn zeros_have_an_operator_of_their_own() {
        check(
            run,
            &["f32[2]"],
            |b, x| {
                let zero = b.scalar(0.0f32);
                b.pad_with(x[0], &[(1, 0)], zero)
            },
            |b, x| b.pad(x[0], &[(1, 0)]),
        );
        unchanged(run, &["f32[2]"], |b, x| {
            let one = b.scalar(1.0f32);
            b.pad_with(x[0], &[(1, 0)], one)
        });
    }

    #[test]
    fn a_maximum_of_what_is_not_negative_takes_zeros() {
        check(
            run,
            &[IMAGE],
            |b, x| {
                let (x, lowest) = (b.unary(Unary::Relu, x[0])?, b.scalar(f32::NEG_INFINITY));
                let x = b.pad_with(x, &PADS, lowest)?;
                b.one(max_pool(3), &[x])
            },
            |b, x| {
                let x = b.unary(Unary::Relu, x[0])?;
                let x = b.pad(x, &PADS)?;
                b.one(max_pool(3), &[x])
            },
        );
        check(
            run,
            &[IMAGE, IMAGE],
            |b, x| {
                let (x, lowest) = (b.one(Op::Binary(Binary::Add, Activation::Relu6), x)?, b.scalar(f32::MIN));
                let x = b.pad_with(x, &PADS, lowest)?;
                b.one(max_pool(2), &[x])
            },
            |b, x| {
                let x = b.one(Op::Binary(Binary::Add, Activation::Relu6), x)?;
                let x = b.pad(x, &PADS)?;
                b.one(max_pool(2), &[x])
            },
        );
    }

    #[test]
    fn leaves_what_may_be_negative_or_lie_outside() {
        for kind in [Unary::ReluN1To1, Unary::Tanh] {
            unchanged(run, &[IMAGE], |b, x| {
                let (x, lowest) = (b.unary(kind, x[0])?, b.scalar(f32::NEG_INFINITY));
                let x = b.pad_with(x, &PADS, lowest)?;
                b.one(max_pool(3), &[x])
            });
        }
        // A window of one element may lie in the padding alone.
        unchanged(run, &[IMAGE], |b, x| {
            let (x, lowest) = (b.unary(Unary::Relu, x[0])?, b.scalar(f32::NEG_INFINITY));
            let x = b.pad_with(x, &PADS, lowest)?;
            b.one(max_pool(1), &[x])
        });
        unchanged(run, &[IMAGE], |b, x| {
            let (x, lowest) = (b.unary(Unary::Relu, x[0])?, b.scalar(f32::NEG_INFINITY));
            let x = b.pad_with(x, &PADS, lowest)?;
            let (y, z) = (b.one(max_pool(3), &[x])?, b.one(max_pool(3), &[x])?);
            b.add(y, z)
        });
    }
}

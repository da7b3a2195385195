//! `fuse_hard_swish`: `x · relu6(x + 3) / 6`, written out, becomes `HARD_SWISH`.
//!
//! Matches: the product of `x`, of a clamp of `αx + β` and of a number, in `float32` and in every order: with the division before,
//! after or inside the clamp, so also `x · hard_sigmoid(x)` with `α = 1/6`.
//!
//! Not: other slopes (`HardSigmoid` has 0.2 by default), or where a step of it is used elsewhere.
//!
//! Equal up to rounding: the kernel computes the same formula.

use super::clamp::Clamp;
use super::pattern::{Replaced, sweep};
use super::polynomial::{Polynomial, is_close};
use crate::graph::{Activation, Evaluate, Graph, InferError, Node, RewriteCx, Unary, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    match hard_swish_of(cx, node) {
        Some(x) => Ok(Some(vec![cx.b.unary(Unary::HardSwish, x)?])),
        None => Ok(None),
    }
}

fn hard_swish_of(cx: &RewriteCx<'_>, node: &Node) -> Option<ValueId> {
    if node.op.activation() != Some(Activation::None) {
        return None;
    }
    let formula = Polynomial::of(cx, node)?;
    let &[a, b] = formula.variables().as_slice() else { return None };
    let coefficient = formula.coefficient(&[a, b]);
    if formula.len() != 1 || coefficient == 0.0 {
        return None;
    }
    let x = if is_gate(cx, b, a, coefficient) {
        a
    } else if is_gate(cx, a, b, coefficient) {
        b
    } else {
        return None;
    };
    (cx.graph().shape(*node.outputs.first()?) == cx.graph().shape(x)).then_some(x)
}

/// Whether `scale * gate` is `min(max(x / 6 + 1/2, 0), 1)`.
fn is_gate(cx: &RewriteCx<'_>, gate: ValueId, x: ValueId, scale: f64) -> bool {
    let Some((inner, clamp)) = clamped_polynomial(cx, gate) else { return false };
    clamp.low == 0.0
        && is_close(clamp.high * scale, 1.0)
        && inner.len() == 2
        && is_close(inner.coefficient(&[x]) * scale, 1.0 / 6.0)
        && is_close(inner.coefficient(&[]) * scale, 0.5)
}

/// `value` as a clamp, in one step or more, of a polynomial.
fn clamped_polynomial(cx: &RewriteCx<'_>, value: ValueId) -> Option<(Polynomial, Clamp)> {
    let (mut at, mut clamp) = (value, Clamp::NONE);
    loop {
        let producer = cx.sole_producer(at)?;
        if let Some((source, inner)) = Clamp::of(cx.graph(), producer) {
            (at, clamp) = (source, inner.then(clamp));
            continue;
        }
        let fused = producer.op.activation().and_then(Clamp::of_activation)?;
        return Some((Polynomial::of(cx, producer)?, fused.then(clamp)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, NetBuilder, check, unchanged};
    use super::run;
    use crate::graph::{Activation, Binary, InferError, Op, Unary, ValueId};

    fn relu6_of_x_plus_3(b: &mut NetBuilder<'_>, x: ValueId) -> Result<ValueId, InferError> {
        let three = b.scalar(3.0f32);
        let y = b.add(x, three)?;
        b.unary(Unary::Relu6, y)
    }

    fn hard_sigmoid(b: &mut NetBuilder<'_>, x: ValueId, alpha: f32) -> Result<ValueId, InferError> {
        let c = [alpha, 0.5, 0.0, 1.0].map(|c| b.scalar(c));
        let y = b.mul(x, c[0])?;
        let y = b.add(y, c[1])?;
        let y = b.binary(Binary::Maximum, c[2], y)?;
        b.binary(Binary::Minimum, c[3], y)
    }

    #[test]
    fn the_formula_is_found_in_every_order() {
        let hard_swish = |b: &mut NetBuilder<'_>, x: &[ValueId]| b.unary(Unary::HardSwish, x[0]);
        type Form = fn(&mut NetBuilder<'_>, ValueId) -> Result<ValueId, InferError>;
        let forms: [Form; 5] = [
            |b, x| {
                let (gate, six) = (relu6_of_x_plus_3(b, x)?, b.scalar(6.0f32));
                let y = b.mul(x, gate)?;
                b.div(y, six)
            },
            |b, x| {
                let (gate, sixth) = (relu6_of_x_plus_3(b, x)?, b.scalar(1.0f32 / 6.0));
                let gate = b.mul(gate, sixth)?;
                b.mul(gate, x)
            },
            |b, x| {
                let (gate, six) = (relu6_of_x_plus_3(b, x)?, b.scalar(6.0f32));
                let y = b.div(x, six)?;
                b.mul(y, gate)
            },
            |b, x| {
                let gate = hard_sigmoid(b, x, 1.0 / 6.0)?;
                b.mul(x, gate)
            },
            |b, x| {
                let (three, six) = (b.scalar(3.0f32), b.scalar(6.0f32));
                let gate = b.one(Op::Binary(Binary::Add, Activation::Relu6), &[three, x])?;
                let gate = b.div(gate, six)?;
                b.mul(gate, x)
            },
        ];
        for form in forms {
            check(run, &[F32_4], |b, x| form(b, x[0]), hard_swish);
        }
    }

    #[test]
    fn leaves_other_formulas() {
        unchanged(run, &[F32_4], |b, x| {
            let gate = hard_sigmoid(b, x[0], 0.2)?;
            b.mul(x[0], gate)
        });
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let gate = hard_sigmoid(b, x[0], 1.0 / 6.0)?;
            b.mul(x[1], gate)
        });
        unchanged(run, &[F32_4], |b, x| {
            let gate = relu6_of_x_plus_3(b, x[0])?;
            b.mul(x[0], gate)
        });
        // The gate is used again.
        unchanged(run, &[F32_4], |b, x| {
            let gate = hard_sigmoid(b, x[0], 1.0 / 6.0)?;
            let y = b.mul(x[0], gate)?;
            b.add(gate, y)
        });
    }
}

//! `fuse_gelu`: the hyperbolic-tangent form of GELU, written out, becomes `GELU` (approximate).
//!
//! Matches: `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))` in `float32`, in whatever order an exporter multiplies it out: the formula
//! is compared as polynomials in `x` and in the hyperbolic tangent.
//!
//! Not: where a step of it is used elsewhere or has an activation. The form with the error function is matched before it is
//! lowered: TFLite has no such function, so here it is a polynomial of another kind already.
//!
//! Equal up to rounding: the kernel computes the same formula.

use super::pattern::{Replaced, operand_of, sweep};
use super::polynomial::{Polynomial, is_close};
use crate::graph::{Activation, Evaluate, Graph, InferError, Node, RewriteCx, Unary, ValueId};

/// √(2/π)
const SLOPE: f64 = 0.797_884_560_802_865_4;
const CUBIC: f64 = 0.044715;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    match gelu_of(cx, node) {
        Some(x) => Ok(Some(vec![cx.b.unary(Unary::GeluTanh, x)?])),
        None => Ok(None),
    }
}

fn gelu_of(cx: &RewriteCx<'_>, node: &Node) -> Option<ValueId> {
    if node.op.activation() != Some(Activation::None) {
        return None;
    }
    let formula = Polynomial::of(cx, node)?;
    let &[a, b] = formula.variables().as_slice() else { return None };
    let tanh_of = |t| operand_of(cx.sole_producer(t)?, Unary::Tanh);
    let (x, t, argument) = match (tanh_of(a), tanh_of(b)) {
        (_, Some(argument)) => (a, b, argument),
        (Some(argument), None) => (b, a, argument),
        (None, None) => return None,
    };
    let outside =
        formula.len() == 2 && is_close(formula.coefficient(&[x]), 0.5) && is_close(formula.coefficient(&[x, t]), 0.5);
    let argument = Polynomial::of_value(cx, argument);
    let inside = argument.len() == 2
        && is_close(argument.coefficient(&[x]), SLOPE)
        && is_close(argument.coefficient(&[x, x, x]), SLOPE * CUBIC);
    let same_shape = cx.graph().shape(*node.outputs.first()?) == cx.graph().shape(x);
    (outside && inside && same_shape).then_some(x)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, NetBuilder, check, unchanged};
    use super::run;
    use crate::graph::{Binary, InferError, Unary, ValueId};

    /// x + 0.044715 x³, with the cube as a power.
    fn sum(b: &mut NetBuilder<'_>, x: ValueId) -> Result<ValueId, InferError> {
        let (three, c) = (b.scalar(3.0f32), b.scalar(0.044715f32));
        let cube = b.binary(Binary::Pow, x, three)?;
        let cube = b.mul(cube, c)?;
        b.add(x, cube)
    }

    /// 0.5 x (1 + tanh(slope y))
    fn outer(b: &mut NetBuilder<'_>, x: ValueId, y: ValueId, slope: f32) -> Result<ValueId, InferError> {
        let (one, half, slope) = (b.scalar(1.0f32), b.scalar(0.5f32), b.scalar(slope));
        let y = b.mul(y, slope)?;
        let y = b.unary(Unary::Tanh, y)?;
        let y = b.add(y, one)?;
        let y = b.mul(x, y)?;
        b.mul(y, half)
    }

    #[test]
    fn the_formula_is_found_in_every_order() {
        let gelu = |b: &mut NetBuilder<'_>, x: &[ValueId]| b.unary(Unary::GeluTanh, x[0]);
        check(
            run,
            &["f32[?,4]"],
            |b, x| {
                let y = sum(b, x[0])?;
                outer(b, x[0], y, 0.797_884_6)
            },
            gelu,
        );
        // (0.5 x) (1 + tanh(x (0.79788 + 0.035677 x x)))
        check(
            run,
            &[F32_4],
            |b, x| {
                let c = [0.5f32, 1.0, 0.797_884_6, 0.035_677_407].map(|c| b.scalar(c));
                let square = b.mul(x[0], x[0])?;
                let y = b.mul(square, c[3])?;
                let y = b.add(c[2], y)?;
                let y = b.mul(x[0], y)?;
                let y = b.unary(Unary::Tanh, y)?;
                let y = b.add(c[1], y)?;
                let half = b.mul(c[0], x[0])?;
                b.mul(half, y)
            },
            gelu,
        );
        // 0.5 x + 0.5 x tanh(..), with the cube as a product, and x computed by arithmetic itself.
        check(
            run,
            &[F32_4, F32_4],
            |b, x| {
                let x = b.add(x[0], x[1])?;
                let c = [0.5f32, 0.044715, 0.797_884_6].map(|c| b.scalar(c));
                let square = b.unary(Unary::Square, x)?;
                let cube = b.mul(square, x)?;
                let y = b.mul(c[1], cube)?;
                let y = b.add(y, x)?;
                let y = b.mul(c[2], y)?;
                let y = b.unary(Unary::Tanh, y)?;
                let half = b.mul(x, c[0])?;
                let product = b.mul(half, y)?;
                let other_half = b.mul(x, c[0])?;
                b.add(other_half, product)
            },
            |b, x| {
                let x = b.add(x[0], x[1])?;
                b.unary(Unary::GeluTanh, x)
            },
        );
    }

    #[test]
    fn leaves_other_formulas() {
        unchanged(run, &[F32_4], |b, x| {
            let y = sum(b, x[0])?;
            outer(b, x[0], y, 0.8)
        });
        unchanged(run, &[F32_4], |b, x| outer(b, x[0], x[0], 0.797_884_6));
        // The gate is another value.
        unchanged(run, &[F32_4, F32_4], |b, x| {
            let y = sum(b, x[0])?;
            outer(b, x[1], y, 0.797_884_6)
        });
        // A step is used again.
        unchanged(run, &[F32_4], |b, x| {
            let y = sum(b, x[0])?;
            let z = outer(b, x[0], y, 0.797_884_6)?;
            b.mul(y, z)
        });
    }
}

//! `fuse_squared_difference`: the square of a difference becomes `SQUARED_DIFFERENCE`.
//!
//! Matches: `SQUARE(d)`, `MUL(d, d)` or `POW(d, 2)` of `d = SUB(a, b)` in `float32`, where `d` has no activation and no other use.
//! Where it has one (a normalization, that divides the same difference by its deviation), the difference is there anyway.
//!
//! Equal: the kernel computes the same.

use super::pattern::{Replaced, is_f32, number_beside, sweep};
use crate::graph::{Activation, Binary, Evaluate, Graph, InferError, Node, Op, RewriteCx, Unary, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    match squared(cx, node).and_then(|(d, uses)| difference(cx, d, uses)) {
        Some([a, b]) => Ok(Some(vec![cx.b.binary(Binary::SquaredDifference, a, b)?])),
        None => Ok(None),
    }
}

/// The operand of a square, and how often the square uses it.
fn squared(cx: &RewriteCx<'_>, node: &Node) -> Option<(ValueId, u32)> {
    let x = node.input(0)?;
    match node.op {
        Op::Unary(Unary::Square) => Some((x, 1)),
        Op::Binary(Binary::Mul, Activation::None) if node.input(1) == Some(x) => Some((x, 2)),
        Op::Binary(Binary::Pow, _) => {
            let exponent = number_beside(cx.graph(), x, node.input(1)?);
            (exponent == Some(2.0)).then_some((x, 1))
        }
        _ => None,
    }
}

fn difference(cx: &RewriteCx<'_>, d: ValueId, uses: u32) -> Option<[ValueId; 2]> {
    let producer = cx.producer(d).filter(|_| cx.uses(d) == uses && is_f32(cx.graph(), d))?;
    match producer.op {
        Op::Binary(Binary::Sub, Activation::None) => Some([producer.input(0)?, producer.input(1)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, NetBuilder, check, unchanged};
    use super::run;
    use crate::graph::{Activation, Binary, InferError, Op, Unary, ValueId};

    type Form = fn(&mut NetBuilder<'_>, ValueId) -> Result<ValueId, InferError>;
    const FORMS: [Form; 3] = [
        |b, d| b.unary(Unary::Square, d),
        |b, d| b.mul(d, d),
        |b, d| {
            let two = b.scalar(2.0f32);
            b.binary(Binary::Pow, d, two)
        },
    ];

    #[test]
    fn squares_of_differences_are_one_operator() {
        for form in FORMS {
            check(
                run,
                &["f32[2,3]", "f32[2,1]"],
                |b, x| {
                    let d = b.sub(x[0], x[1])?;
                    form(b, d)
                },
                |b, x| b.binary(Binary::SquaredDifference, x[0], x[1]),
            );
        }
    }

    #[test]
    fn leaves_differences_that_are_needed() {
        for form in FORMS {
            unchanged(run, &[F32_4, F32_4], |b, x| {
                let d = b.sub(x[0], x[1])?;
                let square = form(b, d)?;
                b.div(d, square)
            });
            unchanged(run, &[F32_4, F32_4], |b, x| {
                let d = b.one(Op::Binary(Binary::Sub, Activation::Relu), x)?;
                form(b, d)
            });
            unchanged(run, &[F32_4, F32_4], |b, x| {
                let d = b.add(x[0], x[1])?;
                form(b, d)
            });
        }
    }
}

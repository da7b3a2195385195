//! `replace_power`: powers with a constant exponent become products and roots.
//!
//! Matches: `POW(x, c)` in `float32` with one number `c`: 1 → `x`; 2 → `x · x`; 3 → `x · x · x`; 1/2 → `SQRT`; -1/2 → `RSQRT`;
//! -1 → `1 / x`.
//!
//! Equal up to rounding (and to the sign of the root of -0, and the root of -∞, which is NaN). `POW` is computed element by
//! element through the C library and never by XNNPACK.
//!
//! A square is a `MUL` of the value by itself, not `SQUARE`: that has no kernel in 8 bits, and is no faster.

use super::pattern::{Replaced, is_f32, number_beside, sweep};
use crate::graph::{Binary, Evaluate, Graph, InferError, Node, Op, RewriteCx, Unary};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Op::Binary(Binary::Pow, _) = node.op else { return Ok(None) };
    let (Some(x), Some(exponent)) = (node.input(0), node.input(1)) else { return Ok(None) };
    let graph = cx.graph();
    let Some(exponent) = number_beside(graph, x, exponent).filter(|_| is_f32(graph, x)) else { return Ok(None) };
    let b = &mut cx.b;
    let value = match exponent {
        1.0 => x,
        2.0 => b.mul(x, x)?,
        3.0 => {
            let square = b.mul(x, x)?;
            b.mul(square, x)?
        }
        0.5 => b.unary(Unary::Sqrt, x)?,
        -0.5 => b.unary(Unary::Rsqrt, x)?,
        -1.0 => {
            let one = b.scalar(1.0f32);
            b.div(one, x)?
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![value]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, NetBuilder, check, unchanged};
    use super::run;
    use crate::graph::{Binary, InferError, Unary, ValueId};

    #[test]
    fn exponents_have_operators_of_their_own() {
        type Form = fn(&mut NetBuilder<'_>, ValueId) -> Result<ValueId, InferError>;
        let forms: [(f32, Form); 6] = [
            (1.0, |_, x| Ok(x)),
            (2.0, |b, x| b.mul(x, x)),
            (3.0, |b, x| {
                let square = b.mul(x, x)?;
                b.mul(square, x)
            }),
            (0.5, |b, x| b.unary(Unary::Sqrt, x)),
            (-0.5, |b, x| b.unary(Unary::Rsqrt, x)),
            (-1.0, |b, x| {
                let one = b.scalar(1.0f32);
                b.div(one, x)
            }),
        ];
        for (exponent, form) in forms {
            check(
                run,
                &[F32_4],
                |b, x| {
                    let (x, exponent) = (b.unary(Unary::Abs, x[0])?, b.scalar(exponent));
                    b.binary(Binary::Pow, x, exponent)
                },
                |b, x| {
                    let x = b.unary(Unary::Abs, x[0])?;
                    form(b, x)
                },
            );
        }
    }

    #[test]
    fn leaves_other_exponents_shapes_and_types() {
        unchanged(run, &[F32_4], |b, x| {
            let exponent = b.scalar(2.5f32);
            b.binary(Binary::Pow, x[0], exponent)
        });
        unchanged(run, &[F32_4], |b, x| {
            let two = b.scalar(2.0f32);
            b.binary(Binary::Pow, two, x[0])
        });
        unchanged(run, &["f32[1]"], |b, x| {
            let exponent = b.floats(&[3], vec![2.0; 3]);
            b.binary(Binary::Pow, x[0], exponent)
        });
        unchanged(run, &["i32[4]"], |b, x| {
            let two = b.scalar(2i32);
            b.binary(Binary::Pow, x[0], two)
        });
    }
}

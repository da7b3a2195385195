//! `merge_scales`: multiplications and additions of constants one after the other become one of each.
//!
//! Matches, in `float32`, where the inner results have no other use and no activation:
//! `(x * a) * b` → `x * (a * b)`; `(x + a) + b` → `x + (a + b)`, with any of the additions a `SUB` from either side;
//! `(x * a + b) * c` → `x * (a * c) + b * c`.
//!
//! Not: where the merged constant would be larger than those it comes from, or infinite; for additions of 2^16 and more, with which
//! programs round or shift into range on purpose; where one of the two must stay float and the other not. A division by a
//! constant is none of these, see `replace_division`.
//!
//! Equal up to rounding: the merged constants are made in double precision and rounded once, and one rounding of the result is
//! saved.

use super::affine::combine;
use super::pattern::{Replaced, WithConstant, sweep, with_f32_constant};
use crate::graph::{Activation, Binary, Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};
use crate::tensor::Tensor;

const LARGEST_SHIFT: f32 = 65536.0;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let graph = cx.graph();
    let Some(outer) = with_f32_constant(graph, node) else { return Ok(None) };
    let Some(inner) = below(cx, outer.x, node) else { return Ok(None) };
    let merged = match (outer.kind, inner.kind) {
        (Binary::Mul, Binary::Mul) => scale_of_scale(&outer, &inner),
        (Binary::Add | Binary::Sub, Binary::Add | Binary::Sub) => shift_of_shift(&outer, &inner),
        (Binary::Mul, Binary::Add | Binary::Sub) => {
            below(cx, inner.x, node).and_then(|first| scale_of_affine(&outer, &inner, &first))
        }
        _ => None,
    };
    let Some((x, steps)) = merged else { return Ok(None) };
    let activation = outer.activation;
    let last = steps.len() - 1;
    let mut value = x;
    for (i, Step { kind, constant, reversed }) in steps.into_iter().enumerate() {
        let constant = cx.b.constant(constant);
        let operands = if reversed { [constant, value] } else { [value, constant] };
        let activation = if i == last { activation } else { Activation::None };
        value = cx.b.one(Op::Binary(kind, activation), &operands)?;
    }
    Ok(Some(vec![value]))
}

/// The operator of a constant that makes `value` for `node` alone.
fn below<'a>(cx: &'a RewriteCx<'_>, value: ValueId, node: &Node) -> Option<WithConstant<'a>> {
    let producer = cx.sole_producer(value).filter(|p| p.precision == node.precision)?;
    with_f32_constant(cx.graph(), producer).filter(|found| found.activation == Activation::None)
}

struct Step {
    kind: Binary,
    constant: Tensor,
    reversed: bool,
}

type Merged = Option<(ValueId, Vec<Step>)>;

fn scale_of_scale(outer: &WithConstant<'_>, inner: &WithConstant<'_>) -> Merged {
    let constant = product(inner.constant, outer.constant)?;
    Some((inner.x, vec![Step { kind: Binary::Mul, constant, reversed: false }]))
}

/// `s2 * (s1 * x + t1) + t2` with signs `s`: an addition to `x`, or to its negation.
fn shift_of_shift(outer: &WithConstant<'_>, inner: &WithConstant<'_>) -> Merged {
    let ((s1, t1), (s2, t2)) = (signs(inner), signs(outer));
    let small = |t: &Tensor| t.to_f32s().is_ok_and(|t| t.iter().all(|t| t.abs() < LARGEST_SHIFT));
    if !small(inner.constant) || !small(outer.constant) {
        return None;
    }
    let constant = combine(inner.constant, outer.constant, |a, b| s2 * t1 * a + t2 * b, f32::is_finite)?;
    let reversed = s1 * s2 < 0.0;
    let kind = if reversed { Binary::Sub } else { Binary::Add };
    Some((inner.x, vec![Step { kind, constant, reversed }]))
}

/// The signs of operand and constant in an addition or subtraction.
fn signs(found: &WithConstant<'_>) -> (f64, f64) {
    match (found.kind, found.reversed) {
        (Binary::Sub, false) => (1.0, -1.0),
        (Binary::Sub, true) => (-1.0, 1.0),
        _ => (1.0, 1.0),
    }
}

fn scale_of_affine(outer: &WithConstant<'_>, inner: &WithConstant<'_>, first: &WithConstant<'_>) -> Merged {
    if first.kind != Binary::Mul {
        return None;
    }
    let scale = Step { kind: Binary::Mul, constant: product(first.constant, outer.constant)?, reversed: false };
    let shift = Step { kind: inner.kind, constant: product(inner.constant, outer.constant)?, reversed: inner.reversed };
    Some((first.x, vec![scale, shift]))
}

/// The product of two constants, where none is lost to overflow or underflow.
fn product(a: &Tensor, b: &Tensor) -> Option<Tensor> {
    let any_zero = |t: &Tensor| t.to_f32s().is_ok_and(|t| t.contains(&0.0));
    let zero_allowed = any_zero(a) || any_zero(b);
    combine(a, b, |a, b| a * b, |p| p.is_normal() || (p == 0.0 && zero_allowed))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{F32_4, NetBuilder, check, unchanged};
    use super::run;
    use crate::graph::{Activation, Binary, InferError, Op, Precision, ValueId};

    #[test]
    fn products_merge() {
        check(
            run,
            &["f32[3,2]"],
            |b, x| {
                let (a, c) = (b.scalar(3.0f32), b.floats(&[2], vec![0.5, 2.0]));
                let x = b.mul(a, x[0])?;
                b.one(Op::Binary(Binary::Mul, Activation::Relu), &[x, c])
            },
            |b, x| {
                let c = b.floats(&[2], vec![1.5, 6.0]);
                b.one(Op::Binary(Binary::Mul, Activation::Relu), &[x[0], c])
            },
        );
    }

    #[test]
    fn sums_merge_with_their_signs() {
        type Step = fn(&mut NetBuilder<'_>, ValueId, ValueId) -> Result<ValueId, InferError>;
        let add: Step = |b, x, c| b.add(c, x);
        let sub: Step = |b, x, c| b.sub(x, c);
        let from: Step = |b, x, c| b.sub(c, x);
        // First with 3, then with 5; what the two come to, and whether `x` is subtracted from it.
        for (first, second, sum, negated) in [
            (add, add, 8.0f32, false),
            (add, sub, -2.0, false),
            (sub, sub, -8.0, false),
            (from, add, 8.0, true),
            (add, from, 2.0, true),
            (from, from, 2.0, false),
        ] {
            check(
                run,
                &[F32_4],
                |b, x| {
                    let (three, five) = (b.scalar(3.0f32), b.scalar(5.0f32));
                    let y = first(b, x[0], three)?;
                    second(b, y, five)
                },
                |b, x| {
                    let sum = b.scalar(sum);
                    if negated { b.sub(sum, x[0]) } else { b.add(x[0], sum) }
                },
            );
        }
    }

    #[test]
    fn two_batch_normalizations_become_one() {
        check(
            run,
            &["f32[3,2]"],
            |b, x| {
                let c = [[2.0f32, 3.0], [5.0, 7.0], [11.0, 13.0], [17.0, 19.0]].map(|c| b.floats(&[2], c.to_vec()));
                let y = b.mul(x[0], c[0])?;
                let y = b.add(y, c[1])?;
                let y = b.mul(y, c[2])?;
                b.add(y, c[3])
            },
            |b, x| {
                let (scale, shift) = (b.floats(&[2], vec![22.0, 39.0]), b.floats(&[2], vec![72.0, 110.0]));
                let y = b.mul(x[0], scale)?;
                b.add(y, shift)
            },
        );
    }

    #[test]
    fn leaves_what_would_not_be_equal_or_not_be_less() {
        // 1.5 * 2^23 added and taken away rounds to whole numbers.
        unchanged(run, &[F32_4], |b, x| {
            let c = b.scalar(12_582_912.0f32);
            let y = b.add(x[0], c)?;
            b.sub(y, c)
        });
        // The product underflows.
        unchanged(run, &[F32_4], |b, x| {
            let c = b.scalar(1e-30f32);
            let y = b.mul(x[0], c)?;
            b.mul(y, c)
        });
        // A row and a column would become a matrix.
        unchanged(run, &["f32[3,2]"], |b, x| {
            let (row, column) = (b.weights(&[1, 2]), b.weights(&[3, 1]));
            let y = b.mul(x[0], row)?;
            b.mul(y, column)
        });
        unchanged(run, &[F32_4], |b, x| {
            let c = b.scalar(3.0f32);
            let y = b.one(Op::Binary(Binary::Mul, Activation::Relu), &[x[0], c])?;
            b.mul(y, c)
        });
        unchanged(run, &[F32_4], |b, x| {
            let c = b.scalar(3.0f32);
            let y = b.mul(x[0], c)?;
            let z = b.mul(y, c)?;
            b.div(y, z)
        });
        unchanged(run, &[F32_4], |b, x| {
            let c = b.scalar(3.0f32);
            let y = b.mul(x[0], c)?;
            b.set_precision(Precision::Float);
            b.mul(y, c)
        });
        unchanged(run, &["i32[4]"], |b, x| {
            let c = b.scalar(3i32);
            let y = b.mul(x[0], c)?;
            b.mul(y, c)
        });
    }
}

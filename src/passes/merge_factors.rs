//! `merge_factors`: factors of both operands of a matrix product become one factor of the first.
//!
//! Matches: `BATCH_MATMUL` of two `MUL` with a single number each, in `float32`, whose results have no other use and no activation.
//! PyTorch scales queries and keys of attention by the root of what their product is to be scaled by.
//!
//! Not: where the product of the two is lost to overflow or underflow, or where a factor must stay float and the product not.
//!
//! Equal up to rounding.

use super::pattern::{Replaced, may_absorb, sweep, with_f32_constant};
use crate::graph::{Activation, Binary, Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    if !matches!(node.op, Op::BatchMatMul { .. }) {
        return Ok(None);
    }
    let scaled = |i: usize| scaled_by_number(cx, node.input(i)?, node);
    let (Some((x, a)), Some((y, b))) = (scaled(0), scaled(1)) else { return Ok(None) };
    let factor = (a * b) as f32;
    if !factor.is_normal() {
        return Ok(None);
    }
    let factor = cx.b.scalar(factor);
    let x = cx.b.mul(x, factor)?;
    Ok(Some(vec![cx.b.one(node.op.clone(), &[x, y])?]))
}

/// What `value` was before it was multiplied by a number, and the number.
fn scaled_by_number(cx: &RewriteCx<'_>, value: ValueId, node: &Node) -> Option<(ValueId, f64)> {
    let producer = cx.sole_producer(value).filter(|scale| may_absorb(node, scale))?;
    let found = with_f32_constant(cx.graph(), producer)?;
    let scale = found.kind == Binary::Mul && found.activation == Activation::None;
    Some((found.x, found.number(cx.graph()).filter(|_| scale)?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Op;

    const PRODUCT: Op = Op::BatchMatMul { adj_x: false, adj_y: true, asymmetric_inputs: false };

    #[test]
    fn one_factor_is_enough() {
        check(
            run,
            &["f32[2,3]", "f32[4,3]"],
            |b, x| {
                let (half, three) = (b.scalar(0.5f32), b.floats(&[1, 1], vec![3.0]));
                let (x, y) = (b.mul(x[0], half)?, b.mul(three, x[1])?);
                b.one(PRODUCT, &[x, y])
            },
            |b, x| {
                let factor = b.scalar(1.5f32);
                let scaled = b.mul(x[0], factor)?;
                b.one(PRODUCT, &[scaled, x[1]])
            },
        );
    }

    #[test]
    fn leaves_single_factors_other_uses_and_what_underflows() {
        unchanged(run, &["f32[2,3]", "f32[4,3]"], |b, x| {
            let half = b.scalar(0.5f32);
            let y = b.mul(x[1], half)?;
            b.one(PRODUCT, &[x[0], y])
        });
        unchanged(run, &["f32[2,2]"], |b, x| {
            let half = b.scalar(0.5f32);
            let x = b.mul(x[0], half)?;
            b.one(PRODUCT, &[x, x])
        });
        unchanged(run, &["f32[2,3]", "f32[4,3]"], |b, x| {
            let tiny = b.scalar(1e-30f32);
            let (x, y) = (b.mul(x[0], tiny)?, b.mul(x[1], tiny)?);
            b.one(PRODUCT, &[x, y])
        });
    }
}

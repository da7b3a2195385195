//! `remove_broadcast`: an operand is not made larger for an operator that broadcasts by itself.
//!
//! Matches: `BROADCAST_TO`, or `TILE` along axes of size 1, before an elementwise operator of two or three operands (arithmetic,
//! comparison, `SELECT_V2`) whose result has the same, known shape without it; other uses or not; every element type.
//!
//! Not: results of a rank above 6, from which on broadcasting kernels end.
//!
//! Equal.

use super::pattern::{Replaced, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId, infer};

const MAX_RANK: usize = 6;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    if !matches!(node.op, Op::Binary(..) | Op::Compare(_) | Op::Select) {
        return Ok(None);
    }
    let mut inputs = node.inputs.clone();
    for i in 0..inputs.len() {
        let Some(small) = inputs[i].and_then(|x| unbroadcast(cx, x)) else { continue };
        let kept = inputs[i].replace(small);
        if !has_shape_of(cx.graph(), node, &inputs) {
            inputs[i] = kept;
        }
    }
    if inputs == node.inputs { Ok(None) } else { Ok(Some(cx.b.emit(node.op.clone(), &inputs)?)) }
}

/// What `value` was before it was repeated along axes of size 1.
fn unbroadcast(cx: &RewriteCx<'_>, value: ValueId) -> Option<ValueId> {
    let (graph, producer) = (cx.graph(), cx.producer(value)?);
    let x = producer.input(0)?;
    let by_ones = || {
        let multiples = graph.const_ints(producer.input(1)?)?;
        Some(graph.shape(x).dims().iter().zip(multiples).all(|(&d, m)| d == Some(1) || m == 1))
    };
    match producer.op {
        Op::BroadcastTo => Some(x),
        Op::Tile => by_ones()?.then_some(x),
        _ => None,
    }
}

fn has_shape_of(graph: &Graph, node: &Node, inputs: &[Option<ValueId>]) -> bool {
    let Some(&output) = node.outputs.first() else { return false };
    let shape = graph.shape(output);
    let inferred = infer(graph, &node.op, inputs);
    shape.is_fixed()
        && shape.rank() <= MAX_RANK
        && inferred.is_ok_and(|types| types.len() == 1 && types[0].shape == *shape)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Op;

    #[test]
    fn operators_broadcast_by_themselves() {
        check(
            run,
            &["f32[1,3]", "f32[2,3]"],
            |b, x| {
                let shape = b.ints(&[2, 3])?;
                let large = b.one(Op::BroadcastTo, &[x[0], shape])?;
                b.add(large, x[1])
            },
            |b, x| b.add(x[0], x[1]),
        );
        check(
            run,
            &["bool[2,3]", "f32[2,1]", "f32[3]"],
            |b, x| {
                let (multiples, shape) = (b.ints(&[1, 3])?, b.ints(&[2, 3])?);
                let first = b.one(Op::Tile, &[x[1], multiples])?;
                let second = b.one(Op::BroadcastTo, &[x[2], shape])?;
                b.select(x[0], first, second)
            },
            |b, x| b.select(x[0], x[1], x[2]),
        );
    }

    #[test]
    fn one_of_two_stays_where_it_makes_the_shape() {
        check(
            run,
            &["f32[1,3]", "f32[3]"],
            |b, x| {
                let shape = b.ints(&[2, 3])?;
                let (first, second) =
                    (b.one(Op::BroadcastTo, &[x[0], shape])?, b.one(Op::BroadcastTo, &[x[1], shape])?);
                b.mul(first, second)
            },
            |b, x| {
                let shape = b.ints(&[2, 3])?;
                let second = b.one(Op::BroadcastTo, &[x[1], shape])?;
                b.mul(x[0], second)
            },
        );
    }

    #[test]
    fn leaves_what_would_change_the_shape() {
        unchanged(run, &["f32[1,3]", "f32[3]"], |b, x| {
            let shape = b.ints(&[2, 3])?;
            let large = b.one(Op::BroadcastTo, &[x[0], shape])?;
            b.add(large, x[1])
        });
        unchanged(run, &["f32[2]", "f32[4]"], |b, x| {
            let multiples = b.ints(&[2])?;
            let large = b.one(Op::Tile, &[x[0], multiples])?;
            b.add(large, x[1])
        });
        unchanged(run, &["f32[1,3]", "f32[?,3]"], |b, x| {
            let shape = b.ints(&[2, 3])?;
            let large = b.one(Op::BroadcastTo, &[x[0], shape])?;
            b.add(large, x[1])
        });
    }
}

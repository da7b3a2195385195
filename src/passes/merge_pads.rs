//! `merge_pads`: two paddings with the same value, one after the other, become one.
//!
//! Matches: `PAD` of a `PAD`, and `PADV2` of a `PADV2` with the same value, with constant amounts, where the inner result has no
//! other use; every element type. Equal: what is added before and after each axis adds up.

use super::pattern::{Replaced, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx};
use crate::tensor::Tensor;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some((inner, sum)) = inner_and_sum(cx, node) else { return Ok(None) };
    let mut inputs = node.inputs.clone();
    inputs[0] = inner.input(0);
    inputs[1] = Some(cx.b.constant(Tensor::from_vec(&[sum.len() / 2, 2], sum)));
    Ok(Some(cx.b.emit(node.op.clone(), &inputs)?))
}

fn inner_and_sum(cx: &RewriteCx<'_>, node: &Node) -> Option<(Node, Vec<i32>)> {
    let graph = cx.graph();
    if !matches!(node.op, Op::Pad | Op::PadV2) {
        return None;
    }
    let inner = cx.sole_producer(node.input(0)?).filter(|p| p.op == node.op)?;
    // Compared as data: two constants may hold the same value.
    let value = |node: &Node| node.input(2).map(|id| graph.constant(id));
    let same_value = match (value(node), value(inner)) {
        (None, None) => true,
        (Some(Some(a)), Some(Some(b))) => a == b,
        _ => false,
    };
    let (outer_pads, inner_pads) = (graph.const_ints(node.input(1)?)?, graph.const_ints(inner.input(1)?)?);
    let sum: Option<Vec<i32>> =
        outer_pads.iter().zip(&inner_pads).map(|(&a, &b)| i32::try_from(a.checked_add(b)?).ok()).collect();
    let fits = same_value && outer_pads.len() == inner_pads.len() && outer_pads.len() % 2 == 0;
    Some((inner.clone(), sum.filter(|_| fits)?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;

    #[test]
    fn amounts_add_up() {
        check(
            run,
            &["f32[2,?]"],
            |b, x| {
                let x = b.pad(x[0], &[(1, 0), (2, 3)])?;
                b.pad(x, &[(0, 4), (5, 6)])
            },
            |b, x| b.pad(x[0], &[(1, 4), (7, 9)]),
        );
        check(
            run,
            &["f32[2]"],
            |b, x| {
                let (one, another) = (b.scalar(1.0f32), b.scalar(1.0f32));
                let x = b.pad_with(x[0], &[(1, 0)], one)?;
                b.pad_with(x, &[(1, 0)], another)
            },
            |b, x| {
                let one = b.scalar(1.0f32);
                b.pad_with(x[0], &[(2, 0)], one)
            },
        );
    }

    #[test]
    fn leaves_other_values_and_uses() {
        unchanged(run, &["f32[2]"], |b, x| {
            let (one, two) = (b.scalar(1.0f32), b.scalar(2.0f32));
            let x = b.pad_with(x[0], &[(1, 0)], one)?;
            b.pad_with(x, &[(1, 0)], two)
        });
        unchanged(run, &["f32[2]"], |b, x| {
            let one = b.scalar(1.0f32);
            let x = b.pad(x[0], &[(1, 0)])?;
            b.pad_with(x, &[(1, 0)], one)
        });
        unchanged(run, &["f32[2]"], |b, x| {
            let x = b.pad(x[0], &[(1, 0)])?;
            let y = b.pad(x, &[(0, 1)])?;
            b.concat(&[x, y], 0)
        });
    }
}

//! `replace_gather`: `GATHER` of consecutive indices becomes `SLICE`, which XNNPACK runs, while it does not run `GATHER`.
//!
//! Matches: constant indices `i, i + 1, …` (a single one, too) that lie inside the axis, without batch axes; every element type.
//! Indices of another rank than 1 change the rank, a scalar drops the axis: a `RESHAPE` does that after the `SLICE`.
//!
//! Not: where the axis has an unknown size, or where such indices leave more than one unknown extent. Equal.

use super::pattern::{Replaced, reshape_dims, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};
use crate::tensor::normalize_axis;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some(Range { x, axis, first, count, shape }) = range_of(cx.graph(), node) else { return Ok(None) };
    let dims = cx.graph().shape(x).dims();
    let mut begin = vec![0; dims.len()];
    let mut size: Vec<i64> = dims.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    (begin[axis], size[axis]) = (first, count);
    let value = cx.b.slice(x, &begin, &size)?;
    match shape {
        None => Ok(Some(vec![value])),
        Some(dims) => {
            let dims = cx.b.ints(&dims)?;
            Ok(Some(vec![cx.b.one(Op::Reshape, &[value, dims])?]))
        }
    }
}

struct Range {
    x: ValueId,
    axis: usize,
    first: i64,
    count: i64,
    /// Shape of the result, where the indices are no vector.
    shape: Option<Vec<i64>>,
}

fn range_of(graph: &Graph, node: &Node) -> Option<Range> {
    let Op::Gather { axis, batch_dims: 0 } = node.op else { return None };
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let axis = normalize_axis(axis.into(), graph.shape(x).rank())?;
    let extent = i64::try_from(graph.shape(x).dim(axis)?).ok()?;
    let shape = match graph.shape(indices).rank() {
        1 => None,
        _ => Some(reshape_dims(graph.shape(*node.outputs.first()?))?),
    };
    let indices = graph.const_ints(indices)?;
    let first = *indices.first()?;
    let consecutive = indices.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    let inside = first >= 0 && *indices.last()? < extent;
    (consecutive && inside).then_some(Range { x, axis, first, count: indices.len() as i64, shape })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::Op;
    use crate::tensor::Tensor;

    #[test]
    fn consecutive_indices_are_a_slice() {
        check(
            run,
            &["f32[?,4,2]"],
            |b, x| {
                let indices = b.ints(&[1, 2])?;
                b.gather(x[0], indices, 1)
            },
            |b, x| b.slice(x[0], &[0, 1, 0], &[-1, 2, 2]),
        );
        check(
            run,
            &["i64[3,4]"],
            |b, x| {
                let index = b.scalar(3i32);
                b.one(Op::Gather { axis: -1, batch_dims: 0 }, &[x[0], index])
            },
            |b, x| {
                let x = b.slice(x[0], &[0, 3], &[3, 1])?;
                b.reshape(x, &[3])
            },
        );
    }

    #[test]
    fn indices_of_any_rank_are_a_slice_and_a_shape() {
        check(
            run,
            &["f32[4,2]"],
            |b, x| {
                let indices = b.constant(Tensor::from_vec(&[2, 1], vec![1i32, 2]));
                b.gather(x[0], indices, 0)
            },
            |b, x| {
                let x = b.slice(x[0], &[1, 0], &[2, 2])?;
                b.reshape(x, &[2, 1, 2])
            },
        );
    }

    #[test]
    fn leaves_other_indices() {
        for indices in [vec![0, 2], vec![1, 0], vec![-2, -1], vec![3, 4]] {
            unchanged(run, &["f32[4,2]"], |b, x| {
                let indices = b.ints(&indices)?;
                b.gather(x[0], indices, 0)
            });
        }
        unchanged(run, &["f32[?,2]"], |b, x| {
            let indices = b.ints(&[0, 1])?;
            b.gather(x[0], indices, 0)
        });
        unchanged(run, &["f32[2,2]", "i32[1]"], |b, x| b.gather(x[0], x[1], 0));
        unchanged(run, &["f32[2,2]"], |b, x| {
            let indices = b.constant(Tensor::from_vec(&[2, 1], vec![0i32, 1]));
            b.one(Op::Gather { axis: 1, batch_dims: 1 }, &[x[0], indices])
        });
    }
}

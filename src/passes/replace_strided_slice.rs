//! `replace_strided_slice`: `STRIDED_SLICE` without strides becomes `SLICE`.
//!
//! Matches: constant bounds and strides that are all 1, on axes of known size (or kept whole), with something left of every axis;
//! every element type. An axis that is dropped (`shrink_axis_mask`) is dropped by a `RESHAPE` after it.
//!
//! Equal. One operator with plain bounds is easier on everything that comes after than masks and negative ends.

use super::pattern::{Replaced, reshape_dims, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some(Bounds { x, begin, size, shape }) = bounds_of(cx.graph(), node) else { return Ok(None) };
    let value = cx.b.slice(x, &begin, &size)?;
    match shape {
        None => Ok(Some(vec![value])),
        Some(dims) => {
            let dims = cx.b.ints(&dims)?;
            Ok(Some(vec![cx.b.one(Op::Reshape, &[value, dims])?]))
        }
    }
}

struct Bounds {
    x: ValueId,
    begin: Vec<i64>,
    size: Vec<i64>,
    /// Shape of the result, where axes are dropped.
    shape: Option<Vec<i64>>,
}

fn bounds_of(graph: &Graph, node: &Node) -> Option<Bounds> {
    let Op::StridedSlice(masks) = &node.op else { return None };
    if masks.ellipsis != 0 || masks.new_axis != 0 || masks.offset {
        return None;
    }
    let x = node.input(0)?;
    let ints = |i: usize| graph.const_ints(node.input(i)?);
    let (begins, ends, strides) = (ints(1)?, ints(2)?, ints(3)?);
    if ends.len() != begins.len() || strides.iter().any(|&s| s != 1) {
        return None;
    }
    let bit = |mask: i32, axis: usize| axis < 32 && mask >> axis & 1 == 1;
    let (mut begin, mut size) = (Vec::new(), Vec::new());
    for (axis, dim) in graph.shape(x).dims().iter().enumerate() {
        let from_start = axis >= begins.len() || bit(masks.begin, axis);
        let to_end = axis >= ends.len() || bit(masks.end, axis);
        let shrinks = bit(masks.shrink_axis, axis) && axis < begins.len();
        let Some(dim) = dim.and_then(|d| i64::try_from(d).ok()) else {
            if !from_start || !to_end || shrinks {
                return None;
            }
            begin.push(0);
            size.push(-1);
            continue;
        };
        let bound = |i: i64| (if i < 0 { i.saturating_add(dim) } else { i }).clamp(0, dim);
        let first = if from_start { 0 } else { bound(begins[axis]) };
        let last = if shrinks {
            first + 1
        } else if to_end {
            dim
        } else {
            bound(ends[axis])
        };
        if first >= last || last > dim {
            return None;
        }
        begin.push(first);
        size.push(last - first);
    }
    let shape = match masks.shrink_axis {
        0 => None,
        _ => Some(reshape_dims(graph.shape(*node.outputs.first()?))?),
    };
    Some(Bounds { x, begin, size, shape })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NetBuilder, check, unchanged};
    use super::run;
    use crate::graph::{InferError, Op, SliceMasks, ValueId};

    fn strided(
        b: &mut NetBuilder<'_>,
        x: ValueId,
        [begin, end, strides]: [&[i32]; 3],
        masks: SliceMasks,
    ) -> Result<ValueId, InferError> {
        let bounds = [b.ints(begin)?, b.ints(end)?, b.ints(strides)?];
        b.one(Op::StridedSlice(masks), &[x, bounds[0], bounds[1], bounds[2]])
    }

    #[test]
    fn bounds_become_plain() {
        let masks = SliceMasks { begin: 0b001, end: 0b001, ..SliceMasks::default() };
        check(
            run,
            &["f32[?,4,5,2]"],
            |b, x| strided(b, x[0], [&[7, -3, 1], &[0, -1, 99], &[1, 1, 1]], masks),
            |b, x| b.slice(x[0], &[0, 1, 1, 0], &[-1, 2, 4, 2]),
        );
        let masks = SliceMasks { shrink_axis: 0b010, ..SliceMasks::default() };
        check(
            run,
            &["f32[3,4]"],
            |b, x| strided(b, x[0], [&[1, -1], &[3, 0], &[1, 1]], masks),
            |b, x| {
                let x = b.slice(x[0], &[1, 3], &[2, 1])?;
                b.reshape(x, &[2])
            },
        );
    }

    #[test]
    fn leaves_strides_unknown_axes_and_empty_results() {
        let none = SliceMasks::default();
        unchanged(run, &["f32[4]"], |b, x| strided(b, x[0], [&[0], &[4], &[2]], none));
        unchanged(run, &["f32[4]"], |b, x| strided(b, x[0], [&[3], &[0], &[-1]], none));
        unchanged(run, &["f32[?]"], |b, x| strided(b, x[0], [&[0], &[2], &[1]], none));
        unchanged(run, &["f32[4]"], |b, x| strided(b, x[0], [&[3], &[3], &[1]], none));
    }
}

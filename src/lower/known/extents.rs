//! Where the extents of results come from.

use super::{Known, Number};
use crate::graph::{Graph, Node, Op, Shape};
use crate::tensor::normalize_axis;

impl Known {
    /// One number for each axis of a result: what is known of the operands where one of them has the same extent, else a
    /// symbol of its own.
    pub(super) fn result_extents(&mut self, graph: &Graph, node: &Node, result: usize) -> Vec<Number> {
        let shape = graph.shape(node.outputs[result]).clone();
        let told = told_by(&node.op).and_then(|i| node.input(i)).and_then(|id| self.elements(graph, id));
        let told = told.filter(|t| t.len() == shape.rank());
        (0..shape.rank())
            .map(|axis| {
                if let Some(n) = shape.dim(axis) {
                    return Number::Known(n as i64);
                }
                let told = told.as_ref().map(|t| t[axis]);
                let found = match told {
                    Some(n @ Number::Extent(_)) => Some(n),
                    _ => self.shared_extent(graph, node, axis, &shape),
                };
                found.unwrap_or_else(|| Number::Extent(self.fresh()))
            })
            .collect()
    }

    /// The one symbol among the extents that `axis` of the result is equal to, or is broadcast from.
    fn shared_extent(&mut self, graph: &Graph, node: &Node, axis: usize, shape: &Shape) -> Option<Number> {
        let mut found = None;
        for (operand, operand_axis) in sources(graph, node, axis, shape.rank()) {
            let id = node.input(operand)?;
            match *self.extents(graph, id).get(operand_axis)? {
                // Extents of 1 are broadcast. Any other known one would be known of the result.
                Number::Known(_) => {}
                number if found.is_none_or(|f| f == number) => found = Some(number),
                _ => return None,
            }
        }
        found.or_else(|| self.reshaped_extent(graph, node, axis, shape))
    }

    /// The unknown extent of an operand of `RESHAPE` that the -1 of the target stands for, because all else is equal.
    fn reshaped_extent(&mut self, graph: &Graph, node: &Node, axis: usize, shape: &Shape) -> Option<Number> {
        if node.op != Op::Reshape || shape.dims().iter().filter(|d| d.is_none()).count() != 1 {
            return None;
        }
        debug_assert!(shape.dim(axis).is_none());
        let product = |shape: &Shape| shape.dims().iter().flatten().try_fold(1usize, |n, &d| n.checked_mul(d));
        let from = node.input(0)?;
        let unknown: Vec<Number> =
            self.extents(graph, from).into_iter().filter(|n| !matches!(n, Number::Known(_))).collect();
        match unknown.as_slice() {
            [number] if product(graph.shape(from))? == product(shape)? => Some(*number),
            _ => None,
        }
    }
}

/// The operand whose elements are the extents of the result.
fn told_by(op: &Op) -> Option<usize> {
    match op {
        Op::Fill | Op::TransposeConv { .. } | Op::Conv3dTranspose { .. } => Some(0),
        Op::Reshape | Op::BroadcastTo => Some(1),
        Op::ScatterNd => Some(2),
        _ => None,
    }
}

/// Operands with an axis each that has the extent of `axis` of the result, or 1 where it is broadcast.
fn sources(graph: &Graph, node: &Node, axis: usize, rank: usize) -> Vec<(usize, usize)> {
    let shape = |i: usize| node.input(i).map(|id| graph.shape(id));
    let rank_of = |i: usize| shape(i).map_or(0, Shape::rank);
    let ints = |i: usize| node.input(i).and_then(|id| graph.const_ints(id));
    let first_int = |i: usize| ints(i).and_then(|v| v.first().copied());
    let same = || vec![(0, axis)];
    let unless = |changed: bool| if changed { Vec::new() } else { same() };
    // Axis of operand 0 when the axes marked there have gone from the result.
    let kept = |gone: &dyn Fn(usize) -> bool| {
        let axis = (0..rank_of(0)).filter(|&a| !gone(a)).nth(axis);
        axis.map(|a| (0, a)).into_iter().collect::<Vec<_>>()
    };
    let aligned = |operand: usize| (axis + rank_of(operand)).checked_sub(rank).map(|a| (operand, a));
    match &node.op {
        Op::Unary(_)
        | Op::LeakyRelu { .. }
        | Op::Cast { .. }
        | Op::Softmax { .. }
        | Op::LogSoftmax
        | Op::L2Normalization
        | Op::LocalResponseNormalization { .. }
        | Op::Prelu
        | Op::Cumsum { .. }
        | Op::Reverse
        | Op::Quantize { .. }
        | Op::Dequantize => same(),
        Op::Binary(..) | Op::Compare(_) | Op::Select => (0..node.inputs.len()).filter_map(aligned).collect(),
        Op::Conv2d { .. }
        | Op::DepthwiseConv2d { .. }
        | Op::Conv3d { .. }
        | Op::Pool2d { .. }
        | Op::ResizeBilinear { .. }
        | Op::ResizeNearest { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. } => unless(axis != 0),
        Op::FullyConnected { keep_num_dims: true, .. } => unless(axis + 1 == rank),
        Op::FullyConnected { .. } => unless(axis != 0 || rank_of(0) != 2),
        Op::BatchMatMul { adj_x, adj_y, .. } => {
            let (a, b) = (rank_of(0), rank_of(1));
            match rank - axis {
                2 if a >= 2 => vec![(0, if *adj_x { a - 1 } else { a - 2 })],
                1 if b >= 2 => vec![(1, if *adj_y { b - 2 } else { b - 1 })],
                _ => (0..2).filter_map(aligned).collect(),
            }
        }
        Op::Transpose => match ints(1).and_then(|perm| normalize_axis(*perm.get(axis)?, rank)) {
            Some(from) => vec![(0, from)],
            None => Vec::new(),
        },
        Op::Concatenation { axis: joined } => match normalize_axis((*joined).into(), rank) {
            Some(joined) if joined != axis => (0..node.inputs.len()).map(|i| (i, axis)).collect(),
            _ => Vec::new(),
        },
        Op::Pack { axis: packed } => match normalize_axis((*packed).into(), rank) {
            Some(packed) if packed != axis => {
                let from = if axis > packed { axis - 1 } else { axis };
                (0..node.inputs.len()).map(|i| (i, from)).collect()
            }
            _ => Vec::new(),
        },
        Op::Unpack { axis: gone, .. } => kept(&|a| normalize_axis((*gone).into(), rank_of(0)) == Some(a)),
        Op::Split { .. } => match first_int(0).and_then(|a| normalize_axis(a, rank)) {
            Some(split) if split != axis => vec![(1, axis)],
            _ => Vec::new(),
        },
        Op::SplitV { .. } => unless(first_int(2).and_then(|a| normalize_axis(a, rank)).is_none_or(|a| a == axis)),
        Op::Slice => {
            let at = |i: usize| ints(i).and_then(|v| v.get(axis).copied());
            unless(at(1) != Some(0) || at(2) != Some(-1))
        }
        Op::StridedSlice(masks) if masks.shrink_axis == 0 => {
            let at = |i: usize| ints(i).and_then(|v| v.get(axis).copied());
            let bit = |mask: i32| axis < 32 && mask >> axis & 1 == 1;
            let whole = (bit(masks.begin) || at(1) == Some(0)) && bit(masks.end) && at(3) == Some(1);
            unless(!whole && axis < ints(3).map_or(usize::MAX, |s| s.len()))
        }
        Op::Gather { axis: gathered, batch_dims } => {
            gathered_from(axis, *gathered, *batch_dims, rank_of(0), rank_of(1))
        }
        Op::ExpandDims => match first_int(1).and_then(|a| normalize_axis(a, rank)) {
            Some(new) if new != axis => vec![(0, if axis > new { axis - 1 } else { axis })],
            _ => Vec::new(),
        },
        Op::Squeeze { axes } if !axes.is_empty() => {
            kept(&|a| axes.iter().any(|&s| normalize_axis(s.into(), rank_of(0)) == Some(a)))
        }
        Op::Reduce { keep_dims, .. } => {
            let Some(axes) = ints(1) else { return Vec::new() };
            let reduced = |a: usize| axes.iter().any(|&r| normalize_axis(r, rank_of(0)) == Some(a));
            if *keep_dims { unless(reduced(axis)) } else { kept(&reduced) }
        }
        Op::ArgMax { .. } | Op::ArgMin { .. } => match first_int(1) {
            Some(gone) => kept(&|a| normalize_axis(gone, rank_of(0)) == Some(a)),
            None => Vec::new(),
        },
        Op::TopK => unless(axis + 1 == rank),
        Op::Pad | Op::PadV2 | Op::MirrorPad { .. } => {
            unless(ints(1).is_none_or(|p| p.get(2 * axis..2 * axis + 2) != Some(&[0, 0])))
        }
        Op::Tile => unless(ints(1).is_none_or(|m| m.get(axis) != Some(&1))),
        _ => Vec::new(),
    }
}

fn gathered_from(axis: usize, gathered: i32, batch_dims: i32, rank: usize, indices: usize) -> Vec<(usize, usize)> {
    let Some(gathered) = normalize_axis(gathered.into(), rank) else { return Vec::new() };
    let batch = usize::try_from(batch_dims).unwrap_or(0).min(indices);
    let inserted = indices - batch;
    if axis < gathered {
        vec![(0, axis)]
    } else if axis < gathered + inserted {
        vec![(1, axis - gathered + batch)]
    } else {
        vec![(0, axis + 1 - inserted)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_takes_extents_from_both_operands() {
        // [a, b, c] gathered along 1 by [i, j]: [a, i, j, c].
        let from: Vec<_> = (0..4).flat_map(|axis| gathered_from(axis, 1, 0, 3, 2)).collect();
        assert_eq!(from, [(0, 0), (1, 0), (1, 1), (0, 2)]);
    }
}

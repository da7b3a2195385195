//! THE TABLE of how operators react to layouts: for each operator, its loops, and in which orders they may run.

use super::nest::{Axes, Bind, Loop, MAX_RANK, Nest, Order, Role};
use crate::graph::{Dim, Graph, Node, Op, SliceMasks, ValueId, Window2d};
use crate::tensor::normalize_axis;

use Bind::{Bag, Free, Whole};

/// Loops of `node`. Whatever can't be said of it makes it a node that takes and gives all values as they are.
pub(super) fn nest(graph: &Graph, node: &Node) -> Nest {
    let view = NodeView { graph, node };
    view.nest().unwrap_or_else(|| Nest::rows(node.inputs.len(), node.outputs.len()))
}

struct NodeView<'a> {
    graph: &'a Graph,
    node: &'a Node,
}

impl NodeView<'_> {
    fn nest(&self) -> Option<Nest> {
        match &self.node.op {
            Op::Unary(_)
            | Op::LeakyRelu { .. }
            | Op::Binary(..)
            | Op::Compare(_)
            | Op::Prelu
            | Op::Select
            | Op::Cast { .. }
            | Op::Quantize { .. }
            | Op::Dequantize => self.broadcast(self.node.inputs.len(), true),
            // Parts of wider elements are an axis of their own.
            Op::Bitcast { .. } => {
                let same_rank = self.dims(0)?.len() == self.dims_out().len();
                self.broadcast(1, true).filter(|_| same_rank)
            }
            Op::BroadcastTo => self.broadcast(1, false).filter(|_| self.dims_out().iter().all(Option::is_some)),

            Op::Softmax { .. } | Op::LogSoftmax | Op::L2Normalization => self.along(0, Free)?.innermost_last_axis(Bag),
            Op::TopK => self.along(0, Free)?.innermost_last_axis(Whole),
            Op::LocalResponseNormalization { .. } => self.along(0, Whole)?.innermost_last_axis(Whole),

            Op::Reduce { keep_dims, .. } => {
                let axes = self.axes(1, self.dims(0)?.len())?;
                let nest = self.along(0, Free)?;
                Some(if *keep_dims { nest } else { nest.without(&axes) })
            }
            Op::ArgMax { .. } | Op::ArgMin { .. } => {
                let axes = self.axes(1, self.dims(0)?.len())?;
                Some(self.along(0, Free)?.with(&axes, Whole).without(&axes))
            }
            Op::Cumsum { .. } => Some(self.along(0, Free)?.with(&self.axes(1, self.dims(0)?.len())?, Whole)),
            // Kernels reverse one run of neighbouring axes.
            Op::Reverse => match self.axes(1, self.dims(0)?.len())?[..] {
                [axis] => Some(self.along(0, Free)?.with(&[axis], Whole)),
                _ => None,
            },

            Op::Pad | Op::PadV2 | Op::MirrorPad { .. } => {
                let touched = self.rows_other_than(1, 2, &|_, pads| pads == [0, 0])?;
                Some(self.along(0, Free)?.with(&touched, Whole).up_to_rank(5))
            }
            Op::Tile => Some(self.along(0, Free)?.with(&self.rows_other_than(1, 1, &|_, m| m == [1])?, Whole)),
            Op::Slice => {
                let dims = self.dims(0)?;
                let begun = self.rows_other_than(1, 1, &|_, begin| begin == [0])?;
                let sized = self.rows_other_than(2, 1, &|axis, size| {
                    size == [-1] || dims[axis].is_some_and(|d| size == [d as i64])
                })?;
                Some(self.along(0, Free)?.with(&begun, Whole).with(&sized, Whole))
            }
            Op::StridedSlice(masks) => self.strided_slice(masks),

            Op::Concatenation { axis } => self.joined(axis, true),
            Op::Pack { axis } => self.joined(axis, false),
            Op::OneHot { axis } => {
                let nest = self.joined(axis, false)?;
                Some(Nest { operands: self.only(0, nest.operands.into_iter().next()?), ..nest })
            }
            Op::Split { .. } => Some(self.along(1, Free)?.with(&self.axes(0, self.dims(1)?.len())?, Whole)),
            Op::SplitV { .. } => Some(self.along(0, Free)?.with(&self.axes(2, self.dims(0)?.len())?, Whole)),
            Op::Unpack { axis, .. } => {
                let axis = normalize_axis((*axis).into(), self.dims(0)?.len())?;
                Some(self.along(0, Free)?.with(&[axis], Whole).without(&[axis]))
            }
            Op::Gather { axis, batch_dims: 0 } => {
                let axis = normalize_axis((*axis).into(), self.dims(0)?.len())?;
                let nest = self.along(0, Free)?.with(&[axis], Whole);
                match self.dims(1)?.len() {
                    0 => Some(nest.without(&[axis])),
                    1 => Some(nest),
                    _ => None,
                }
            }
            // The numbers are put in order afterwards.
            Op::Shape { .. } | Op::Rank => Some(Nest { results: vec![None], ..self.along(0, Whole)? }),

            Op::Conv2d { window, .. } => {
                // Groups are runs of channels.
                let bind = if self.same_extent(0, 1, 3)? { Bag } else { Whole };
                let nest = self.convolution(0, 4, bind)?.weights(1, &[CO, NONE, NONE, CI]).weights(2, &[CO]);
                Some(nest.pointwise_window(self.dims(1)?, window))
            }
            Op::DepthwiseConv2d { window, .. } => {
                let each = self.same_extent(0, 1, 3)?.then_some(Some(3))?;
                let nest = self.spatial(0, Bag)?.weights(1, &[NONE, NONE, NONE, each]).weights(2, &[each]);
                Some(nest.pointwise_window(self.dims(1)?, window))
            }
            Op::TransposeConv { .. } => {
                Some(self.convolution(2, 4, Bag)?.weights(1, &[CO, NONE, NONE, CI]).weights(3, &[CO]))
            }
            Op::Conv3d { .. } => {
                Some(self.convolution(0, 5, Bag)?.weights(1, &[NONE, NONE, NONE, CI_3D, CO_3D]).weights(2, &[CO_3D]))
            }
            Op::Conv3dTranspose { .. } => {
                Some(self.convolution(2, 5, Bag)?.weights(1, &[NONE, NONE, NONE, CO_3D, CI_3D]).weights(3, &[CO_3D]))
            }
            Op::Pool2d { .. } | Op::ResizeBilinear { .. } | Op::ResizeNearest { .. } => self.spatial(0, Bag),
            Op::SpaceToBatch | Op::BatchToSpace => match (self.dims(1)?, self.dims(0)?.len()) {
                ([Some(blocked)], rank) if blocked + 2 == rank => self.spatial(0, Bag),
                _ => None,
            },
            Op::FullyConnected { keep_num_dims, .. } => self.fully_connected(*keep_num_dims),
            Op::BatchMatMul { adj_x, adj_y, .. } => self.batch_mat_mul(*adj_x, *adj_y),

            Op::Gather { .. }
            | Op::GatherNd
            | Op::ScatterNd
            | Op::UnsortedSegment(_)
            | Op::DynamicUpdateSlice
            | Op::ReverseSequence { .. }
            | Op::Unique { .. }
            | Op::NonMaxSuppression
            | Op::EmbeddingLookup
            | Op::DepthToSpace { .. }
            | Op::SpaceToDepth { .. }
            | Op::Fill
            | Op::Range
            | Op::Where
            | Op::If { .. }
            | Op::While { .. }
            | Op::Opaque(_) => None,
            // What of these is no view (see `view`) is computed as it stands.
            Op::Transpose | Op::Reshape | Op::Squeeze { .. } | Op::ExpandDims => None,
        }
    }

    fn id(&self, operand: usize) -> Option<ValueId> {
        self.node.input(operand)
    }

    fn dims(&self, operand: usize) -> Option<&[Dim]> {
        Some(self.graph.shape(self.id(operand)?).dims())
    }

    fn dims_out(&self) -> &[Dim] {
        self.node.outputs.first().map_or(&[], |&y| self.graph.shape(y).dims())
    }

    /// Axes that a constant operand names.
    fn axes(&self, operand: usize, rank: usize) -> Option<Vec<usize>> {
        let axes = self.graph.const_ints(self.id(operand)?)?;
        axes.into_iter().map(|axis| normalize_axis(axis, rank)).collect()
    }

    /// The axes for which a constant operand, of `width` numbers an axis, holds other than what leaves them alone.
    fn rows_other_than(
        &self,
        operand: usize,
        width: usize,
        idle: &dyn Fn(usize, &[i64]) -> bool,
    ) -> Option<Vec<usize>> {
        let numbers = self.graph.const_ints(self.id(operand)?)?;
        let fits = numbers.len() == width * self.dims(0)?.len();
        let rows = numbers.chunks_exact(width).enumerate();
        fits.then(|| rows.filter(|(axis, row)| !idle(*axis, row)).map(|(axis, _)| axis).collect())
    }

    /// Whether operands `a` and `b` are known to have one extent along `axis`.
    fn same_extent(&self, a: usize, b: usize, axis: usize) -> Option<bool> {
        let (a, b) = (*self.dims(a)?.get(axis)?, *self.dims(b)?.get(axis)?);
        Some(a.is_some() && a == b)
    }

    fn only(&self, operand: usize, role: Role) -> Vec<Role> {
        let mut operands = vec![Role::Rows; self.node.inputs.len()];
        operands[operand] = role;
        operands
    }

    fn loops(dims: &[Dim], bind: Bind) -> Vec<Loop> {
        dims.iter().map(|&size| Loop { size, bind }).collect()
    }

    /// One loop for each axis of operand `x`; every result has the same axes.
    fn along(&self, x: usize, bind: Bind) -> Option<Nest> {
        let dims = self.dims(x)?;
        let axes = Axes::all(0..dims.len());
        Some(Nest {
            loops: Self::loops(dims, bind),
            operands: self.only(x, Role::Follows(axes.clone())),
            results: vec![Some(axes); self.node.outputs.len()],
            max_rank: MAX_RANK.max(dims.len()),
            ..Nest::rows(0, 0)
        })
    }

    /// One loop for each axis of the result, to whose last axes those of the first operands are aligned.
    fn broadcast(&self, operands: usize, pointwise: bool) -> Option<Nest> {
        let dims = self.dims_out();
        let role = |operand: usize| match self.dims(operand) {
            Some(x) if operand < operands => {
                let missing = dims.len().checked_sub(x.len())?;
                Some(Role::Follows(Axes { loops: (0..dims.len()).collect(), missing }))
            }
            _ => Some(Role::Rows),
        };
        Some(Nest {
            loops: Self::loops(dims, Free),
            operands: (0..self.node.inputs.len()).map(role).collect::<Option<_>>()?,
            results: vec![Some(Axes::all(0..dims.len()))],
            pointwise,
            max_rank: MAX_RANK.max(dims.len()),
            ..Nest::rows(0, 0)
        })
    }

    /// Operands one after the other along an axis of the result, which they have (`CONCATENATION`) or have not (`PACK`).
    fn joined(&self, axis: &i32, have_axis: bool) -> Option<Nest> {
        let dims = self.dims_out();
        let joined = normalize_axis((*axis).into(), dims.len())?;
        let axes = Axes::all((0..dims.len()).filter(|&axis| have_axis || axis != joined));
        let fits = |x: usize| self.dims(x).is_some_and(|d| d.len() == axes.loops.len());
        let nest = Nest {
            loops: Self::loops(dims, Free),
            operands: vec![Role::Follows(axes.clone()); self.node.inputs.len()],
            results: vec![Some(Axes::all(0..dims.len()))],
            max_rank: MAX_RANK.max(dims.len()),
            ..Nest::rows(0, 0)
        };
        fits(0).then(|| nest.with(&[joined], Whole))
    }

    fn strided_slice(&self, masks: &SliceMasks) -> Option<Nest> {
        if masks.ellipsis != 0 || masks.new_axis != 0 || masks.offset {
            return None;
        }
        let numbers = |operand: usize| self.graph.const_ints(self.id(operand)?);
        let (begin, end, strides) = (numbers(1)?, numbers(2)?, numbers(3)?);
        let dims = self.dims(0)?;
        let bit = |mask: i32, axis: usize| axis < 32 && mask >> axis & 1 == 1;
        let touched = (0..begin.len().min(dims.len())).filter(|&axis| {
            let from_start = bit(masks.begin, axis) || begin[axis] == 0;
            let reaches = |d: usize| end.get(axis).is_some_and(|&e| e >= d as i64);
            let to_end = bit(masks.end, axis) || dims[axis].is_some_and(reaches);
            bit(masks.shrink_axis, axis) || strides.get(axis) != Some(&1) || !from_start || !to_end
        });
        let touched: Vec<usize> = touched.collect();
        let shrunk: Vec<usize> = touched.iter().copied().filter(|&axis| bit(masks.shrink_axis, axis)).collect();
        Some(self.along(0, Free)?.with(&touched, Whole).without(&shrunk))
    }

    /// Windows over all axes but the first and the last.
    fn spatial(&self, x: usize, channels: Bind) -> Option<Nest> {
        let nest = self.along(x, Whole)?;
        let last = nest.loops.len().checked_sub(1)?;
        Some(Nest { order: Order::Fixed(vec![last]), ..nest.with(&[last], channels) })
    }

    /// Batch, rows and columns (and depth), input channels, output channels.
    fn convolution(&self, x: usize, rank: usize, channels: Bind) -> Option<Nest> {
        let (dims, out) = (self.dims(x)?, self.dims_out());
        if dims.len() != rank || out.len() != rank {
            return None;
        }
        let (ci, co) = (rank - 1, rank);
        let mut loops = Self::loops(dims, Whole);
        loops[ci].bind = channels;
        loops.push(Loop { size: out[ci], bind: channels });
        Some(Nest {
            loops,
            operands: self.only(x, Role::Follows(Axes::all(0..rank))),
            results: vec![Some(Axes::all((0..ci).chain([co])))],
            order: Order::Fixed(vec![ci, co]),
            max_rank: rank,
            ..Nest::rows(0, 0)
        })
    }

    /// Rows, inner loop `K`, output loop. Rows are all axes but the last; without `keep_num_dims` they are counted as one, which is
    /// the same for rank 2 alone.
    fn fully_connected(&self, keep_num_dims: bool) -> Option<Nest> {
        let (x, weights) = (self.dims(0)?, self.dims(1)?);
        let rank = x.len();
        let whole_rows = keep_num_dims || (rank == 2 && x.last() == weights.last());
        if rank == 0 || weights.len() != 2 || !whole_rows {
            return None;
        }
        let (k, n) = (rank - 1, rank);
        let mut loops = Self::loops(x, Free);
        loops[k].bind = Bag;
        loops.push(Loop { size: weights[0], bind: Bag });
        let nest = Nest {
            loops,
            operands: self.only(0, Role::Follows(Axes::all(0..rank))),
            results: vec![Some(Axes::all((0..k).chain([n])))],
            order: Order::Innermost(vec![k, n]),
            max_rank: MAX_RANK.max(rank),
            ..Nest::rows(0, 0)
        };
        Some(nest.weights(1, &[Some(n), Some(k)]).weights(2, &[Some(n)]))
    }

    /// Batch loops, then row, inner and column loop.
    fn batch_mat_mul(&self, adj_x: bool, adj_y: bool) -> Option<Nest> {
        let (a, b, out) = (self.dims(0)?, self.dims(1)?, self.dims_out());
        let batch = out.len().checked_sub(2)?;
        let (m, k, n) = (batch, batch + 1, batch + 2);
        let mut loops = Self::loops(&out[..batch], Free);
        let inner = a.len().checked_sub(if adj_x { 2 } else { 1 })?;
        loops.extend([out[batch], a[inner], out[batch + 1]].map(|size| Loop { size, bind: Bag }));
        let axes = |dims: &[Dim], rows: usize, columns: usize, swapped: bool| {
            let inner = if swapped { [columns, rows] } else { [rows, columns] };
            let missing = out.len().checked_sub(dims.len())?;
            Some(Role::Follows(Axes { loops: (0..batch).chain(inner).collect(), missing }))
        };
        // Kernels and quantizers treat the second operand as weights, so that only values may take each other's place.
        let plain = |operand: usize| {
            self.id(operand).map(|id| self.graph.value(id)).is_some_and(|v| v.data.is_none() && v.quant.is_none())
        };
        Some(Nest {
            loops,
            operands: vec![axes(a, m, k, adj_x)?, axes(b, k, n, adj_y)?],
            results: vec![Some(Axes::all((0..batch).chain([m, n])))],
            order: Order::MatMul { m, k, n, swaps: plain(0) && plain(1) },
            max_rank: out.len().max(5),
            ..Nest::rows(0, 0)
        })
    }
}

/// Loops of a convolution's channels, and an axis of a filter that no loop is given for.
const CI: Option<usize> = Some(3);
const CO: Option<usize> = Some(4);
const CI_3D: Option<usize> = Some(4);
const CO_3D: Option<usize> = Some(5);
const NONE: Option<usize> = None;

impl Nest {
    fn with(mut self, axes: &[usize], bind: Bind) -> Nest {
        axes.iter().for_each(|&axis| self.loops[axis].bind = bind);
        self
    }

    /// No result has these axes.
    fn without(mut self, dropped: &[usize]) -> Nest {
        self.results.iter_mut().flatten().for_each(|axes| axes.loops.retain(|l| !dropped.contains(l)));
        self
    }

    fn innermost_last_axis(self, bind: Bind) -> Option<Nest> {
        let last = self.loops.len().checked_sub(1)?;
        Some(Nest { order: Order::Innermost(vec![last]), ..self.with(&[last], bind) })
    }

    fn up_to_rank(self, rank: usize) -> Nest {
        Nest { max_rank: rank.max(self.loops.len()), ..self }
    }

    /// An operand, where it is there, whose channels follow the loops.
    fn weights(mut self, operand: usize, axes: &[Option<usize>]) -> Nest {
        if let Some(role) = self.operands.get_mut(operand) {
            *role = Role::Weights(axes.to_vec());
        }
        self
    }

    /// A window of one element does the same at every place: rows, columns and batch may change places.
    fn pointwise_window(mut self, filter: &[Dim], window: &Window2d) -> Nest {
        let one = filter.get(1..3) == Some(&[Some(1), Some(1)]) && window.stride == [1, 1];
        if let (Order::Fixed(inner), true) = (&self.order, one) {
            self.order = Order::Innermost(inner.clone());
        }
        self
    }
}

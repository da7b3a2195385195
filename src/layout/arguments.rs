//! Writes an operator's axes, and the constants that hold one number for each axis, for another order of its loops.

use super::choose::Arrangement;
use super::nest::{Bind, Nest, Placed};
use crate::graph::{Graph, Node, Op, SliceMasks};
use crate::tensor::{Tensor, normalize_axis};

/// A node as it is for another order.
pub(super) struct Rewritten {
    pub op: Op,
    /// Operands that are new constants.
    pub constants: Vec<(usize, Tensor)>,
    /// Operands 0 and 1 change places.
    pub swapped: bool,
    /// The result holds one number for each axis of the operand: where each axis has it now.
    pub picked: Option<Vec<i64>>,
}

/// `None` where an axis has no single place any more, or numbers do not fit; then the order was not admissible.
pub(super) fn rewritten(graph: &Graph, node: &Node, nest: &Nest, arranged: &Arrangement) -> Option<Rewritten> {
    let rewriter = Rewriter { graph, node, nest, arranged };
    let (op, constants) = rewriter.op_and_constants()?;
    let swapped = matches!(op, Op::BatchMatMul { .. }) && rewriter.swaps()?;
    let picked = match op {
        Op::Shape { .. } => {
            let x = rewriter.operand(0)?;
            Some((0..nest.loops.len()).map(|l| Some(x.position(l)? as i64)).collect::<Option<_>>()?)
        }
        _ => None,
    };
    Some(Rewritten { op, constants, swapped, picked })
}

struct Rewriter<'a> {
    graph: &'a Graph,
    node: &'a Node,
    nest: &'a Nest,
    arranged: &'a Arrangement,
}

impl Rewriter<'_> {
    fn op_and_constants(&self) -> Option<(Op, Vec<(usize, Tensor)>)> {
        let op = &self.node.op;
        let same = || Some((op.clone(), Vec::new()));
        let constant = |operand: usize, tensor: Option<Tensor>| Some((op.clone(), vec![(operand, tensor?)]));
        match *op {
            Op::Concatenation { axis } => Some((Op::Concatenation { axis: self.axis(self.result()?, axis)? }, vec![])),
            Op::Pack { axis } => Some((Op::Pack { axis: self.axis(self.result()?, axis)? }, vec![])),
            Op::OneHot { axis } => Some((Op::OneHot { axis: self.axis(self.result()?, axis)? }, vec![])),
            Op::Unpack { axis, parts } => {
                Some((Op::Unpack { axis: self.axis(self.operand(0)?, axis)?, parts }, vec![]))
            }
            Op::Gather { axis, batch_dims } => {
                Some((Op::Gather { axis: self.axis(self.operand(0)?, axis)?, batch_dims }, vec![]))
            }

            Op::Split { .. } => constant(0, self.axes(0, self.operand(1)?)),
            Op::SplitV { .. } => constant(2, self.axes(2, self.operand(0)?)),
            Op::ArgMax { .. } | Op::ArgMin { .. } | Op::Cumsum { .. } | Op::Reverse | Op::Reduce { .. } => {
                constant(1, self.axes(1, self.operand(0)?))
            }

            Op::Pad | Op::PadV2 | Op::MirrorPad { .. } => constant(1, self.rows(1, 2, &|_| vec![0, 0])),
            Op::Tile => constant(1, self.rows(1, 1, &|_| vec![1])),
            Op::Slice => {
                let x = self.operand(0)?;
                let begin = self.rows(1, 1, &|_| vec![0])?;
                let size = self.rows(2, 1, &|axis| vec![x.dims[axis].map_or(-1, |d| d as i64)])?;
                Some((op.clone(), vec![(1, begin), (2, size)]))
            }
            Op::StridedSlice(masks) => self.strided_slice(masks),
            Op::BroadcastTo => {
                let dims: Option<Vec<i64>> = self.result()?.dims.iter().map(|d| d.map(|d| d as i64)).collect();
                constant(1, self.numbers(1, dims?, None))
            }
            Op::BatchMatMul { asymmetric_inputs, .. } => {
                // Rows of the first operand, and columns of the second, are what runs inside.
                let inside = |operand: usize, outer: usize, inner: usize| {
                    let placed = self.operand(operand)?;
                    Some(placed.position(outer)? < placed.position(inner)?)
                };
                let batch = self.nest.loops.len() - 3;
                let (m, k, n) = (batch, batch + 1, batch + 2);
                let (adj_x, adj_y) = match self.swaps()? {
                    false => (!inside(0, m, k)?, !inside(1, k, n)?),
                    true => (!inside(1, n, k)?, !inside(0, k, m)?),
                };
                Some((Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs }, vec![]))
            }

            // Nothing here names an axis.
            Op::Unary(_)
            | Op::LeakyRelu { .. }
            | Op::Binary(..)
            | Op::Compare(_)
            | Op::Prelu
            | Op::Select
            | Op::Cast { .. }
            | Op::Bitcast { .. }
            | Op::Quantize { .. }
            | Op::Dequantize
            | Op::Softmax { .. }
            | Op::LogSoftmax
            | Op::L2Normalization
            | Op::LocalResponseNormalization { .. }
            | Op::TopK
            | Op::Shape { .. }
            | Op::Rank
            | Op::Conv2d { .. }
            | Op::DepthwiseConv2d { .. }
            | Op::TransposeConv { .. }
            | Op::Conv3d { .. }
            | Op::Conv3dTranspose { .. }
            | Op::FullyConnected { .. }
            | Op::Pool2d { .. }
            | Op::ResizeBilinear { .. }
            | Op::ResizeNearest { .. }
            | Op::SpaceToBatch
            | Op::BatchToSpace => same(),

            // These have no orders but their own.
            Op::Transpose
            | Op::Reshape
            | Op::Squeeze { .. }
            | Op::ExpandDims
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
        }
    }

    fn operand(&self, operand: usize) -> Option<&Placed> {
        self.arranged.operands.get(operand)?.as_ref()
    }

    fn result(&self) -> Option<&Placed> {
        self.arranged.results.first()?.as_ref()
    }

    /// Where an axis attribute points now; loops bear the numbers of the axes.
    fn axis(&self, placed: &Placed, axis: i32) -> Option<i32> {
        let axis = normalize_axis(axis.into(), self.nest.loops.len())?;
        i32::try_from(placed.position(axis)?).ok()
    }

    fn ints(&self, operand: usize) -> Option<Vec<i64>> {
        self.graph.const_ints(self.node.input(operand)?)
    }

    /// Other numbers in place of a constant operand, of its type; under its shape, if no other is given.
    fn numbers(&self, operand: usize, numbers: Vec<i64>, shape: Option<&[usize]>) -> Option<Tensor> {
        let old = self.graph.constant(self.node.input(operand)?)?;
        let flat = Tensor::vector(numbers).cast(old.dtype()).ok()?;
        match shape {
            Some(shape) => flat.reshape(shape).ok(),
            None if flat.len() == old.len() => flat.reshape(old.shape()).ok(),
            None => Some(flat),
        }
    }

    /// The constant operand that names axes, with all places that they have now.
    fn axes(&self, operand: usize, x: &Placed) -> Option<Tensor> {
        let old = self.ints(operand)?.into_iter().map(|axis| normalize_axis(axis, self.nest.loops.len()));
        let old: Vec<usize> = old.collect::<Option<_>>()?;
        let places = x.loops.iter().enumerate().filter(|(_, l)| old.contains(l)).map(|(place, _)| place as i64);
        self.numbers(operand, places.collect(), None)
    }

    /// The constant operand that holds `width` numbers for each axis, in the order of memory; `idle` where an axis of memory is
    /// left alone.
    fn rows(&self, operand: usize, width: usize, idle: &dyn Fn(usize) -> Vec<i64>) -> Option<Tensor> {
        let old = self.ints(operand)?;
        let x = self.operand(0)?;
        let mut numbers = Vec::with_capacity(width * x.loops.len());
        for (place, &of) in x.loops.iter().enumerate() {
            match self.nest.loops[of].bind {
                Bind::Whole => numbers.extend(old.get(width * of..width * (of + 1))?),
                Bind::Free | Bind::Bag => numbers.extend(idle(place)),
            }
        }
        let shape = if width == 1 { vec![x.loops.len()] } else { vec![x.loops.len(), width] };
        self.numbers(operand, numbers, Some(&shape))
    }

    fn strided_slice(&self, old: SliceMasks) -> Option<(Op, Vec<(usize, Tensor)>)> {
        let x = self.operand(0)?;
        let vectors = [self.ints(1)?, self.ints(2)?, self.ints(3)?];
        let mut numbers = [const { Vec::new() }; 3];
        let mut masks = SliceMasks::default();
        for (place, &of) in x.loops.iter().enumerate() {
            let bit = 1i32.checked_shl(u32::try_from(place).ok()?)?;
            if self.nest.loops[of].bind == Bind::Whole {
                let moved = |mask: i32| if of < 32 && mask >> of & 1 == 1 { bit } else { 0 };
                masks.begin |= moved(old.begin);
                masks.end |= moved(old.end);
                masks.shrink_axis |= moved(old.shrink_axis);
                for (numbers, vector) in numbers.iter_mut().zip(&vectors) {
                    numbers.push(*vector.get(of)?);
                }
            } else {
                masks.begin |= bit;
                masks.end |= bit;
                numbers.iter_mut().zip([0, 0, 1]).for_each(|(numbers, idle)| numbers.push(idle));
            }
        }
        let mut constants = Vec::with_capacity(3);
        for (operand, numbers) in (1..).zip(numbers) {
            let shape = [numbers.len()];
            constants.push((operand, self.numbers(operand, numbers, Some(&shape))?));
        }
        Some((Op::StridedSlice(masks), constants))
    }

    /// Whether a matrix product's result lies transposed, which takes its operands in the other order.
    fn swaps(&self) -> Option<bool> {
        let batch = self.nest.loops.len().checked_sub(3)?;
        let result = self.result()?;
        Some(result.position(batch + 2)? < result.position(batch)?)
    }
}

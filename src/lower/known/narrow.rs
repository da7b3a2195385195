//! Integers of 64 bits that fit in 32, so that kernels without `INT64` may compute them.

use super::Known;
use crate::graph::{Binary, Graph, Node, Op, Reduce, ValueId};
use crate::tensor::DType;

/// Why integers fit in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Narrow {
    /// They came from a type that has no others. Their sums and products need not fit.
    Typed,
    /// They are computed from extents and places: a tensor of more elements than 32 bits count runs nowhere.
    Counted,
}

impl Known {
    /// Why all elements of `x` fit in 32 bits; `None` where that is not known.
    pub(super) fn narrow(&self, graph: &Graph, x: ValueId) -> Option<Narrow> {
        let fits = |ints: Vec<i64>| ints.iter().all(|&i| i32::try_from(i).is_ok());
        let constant = || graph.const_ints(x).is_some_and(fits).then_some(Narrow::Counted);
        self.narrow.get(&x).copied().or_else(constant)
    }

    /// The same for a result of `node`.
    pub(super) fn narrow_result(&self, graph: &Graph, node: &Node, result: usize) -> Option<Narrow> {
        let operand = |i: usize| node.input(i).and_then(|id| self.narrow(graph, id));
        // The least sure of several operands.
        let all = |mut ids: std::slice::Iter<'_, Option<ValueId>>| {
            ids.try_fold(Narrow::Counted, |least, id| Some(least.min(self.narrow(graph, (*id)?)?)))
        };
        let counted = |narrow: Option<Narrow>| narrow.filter(|&n| n == Narrow::Counted);
        match &node.op {
            Op::Shape { .. } | Op::Where | Op::ArgMax { .. } | Op::ArgMin { .. } => Some(Narrow::Counted),
            Op::TopK => (result == 1).then_some(Narrow::Counted),
            Op::Cast { to: DType::I32 | DType::I64 } => match graph.dtype(node.input(0)?) {
                DType::Bool | DType::U8 | DType::I8 => Some(Narrow::Counted),
                DType::I16 | DType::U16 | DType::I32 => operand(0).or(Some(Narrow::Typed)),
                _ => operand(0),
            },
            Op::Reshape
            | Op::Squeeze { .. }
            | Op::ExpandDims
            | Op::Slice
            | Op::StridedSlice(_)
            | Op::Gather { .. }
            | Op::GatherNd
            | Op::BroadcastTo
            | Op::Tile
            | Op::Unpack { .. }
            | Op::SplitV { .. }
            | Op::Reverse
            | Op::Reduce { kind: Reduce::Max | Reduce::Min, .. }
            | Op::Transpose => operand(0),
            Op::Split { .. } | Op::Fill => operand(1),
            Op::Select => all(node.inputs.get(1..)?.iter()),
            Op::Concatenation { .. } | Op::Pack { .. } => all(node.inputs.iter()),
            Op::Binary(Binary::Div | Binary::FloorDiv | Binary::FloorMod | Binary::Maximum | Binary::Minimum, _) => {
                all(node.inputs.iter())
            }
            Op::Range | Op::Binary(Binary::Add | Binary::Sub | Binary::Mul, _) => counted(all(node.inputs.iter())),
            Op::Reduce { .. } => counted(operand(0)),
            _ => None,
        }
    }
}

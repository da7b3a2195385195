//! THE TABLE: which operators have weights, and which forms of them their kernels compute right (quantization-spec, section 5).

use crate::graph::{Graph, Node, Op};
use crate::tensor::{DType, Tensor};

/// Where the weights of an operator stand.
pub(in crate::quant) struct Slot {
    pub(super) operand: usize,
    /// Axis of the weights with one index for each output channel.
    pub(super) axis: usize,
    /// The kernel takes `INT8` weights with float data.
    pub(super) direct: bool,
    /// It takes `INT4` as well.
    pub(in crate::quant) four_bits: bool,
    /// With `INT8` weights and one scale for the tensor, the kernel reads scales past the end, or refuses.
    pub(super) wants_scale_each: bool,
    /// It looks rows up, and gives floats whatever the table holds: nothing is gained from a `DEQUANTIZE`.
    pub(super) is_lookup: bool,
    /// Extents of weights that may have scales for runs of a row: rows, and elements of a row.
    rows: Option<[usize; 2]>,
}

impl Slot {
    fn new(operand: usize, axis: usize) -> Slot {
        Slot { operand, axis, direct: true, four_bits: false, wants_scale_each: false, is_lookup: false, rows: None }
    }

    /// A table with such extents whose rows are looked up.
    pub(super) fn lookup(rows: [usize; 2]) -> Slot {
        Slot { four_bits: rows[1].is_multiple_of(2), is_lookup: true, rows: Some(rows), ..Slot::new(1, 0) }
    }

    /// Whether rows fall into runs of `size`. The plain kernel of `FULLY_CONNECTED` reads zeros for fewer than 4 rows.
    pub(in crate::quant) fn takes_blocks(&self, size: usize) -> bool {
        self.rows.is_some_and(|[rows, row]| size > 0 && row >= 32 && row % size == 0 && (rows >= 4 || self.is_lookup))
    }
}

/// The weights of a node on float data.
pub(super) fn of(graph: &Graph, node: &Node) -> Option<Slot> {
    let float = |i: usize| node.input(i).is_some_and(|id| graph.dtype(id) == DType::F32);
    let shape = |i: usize| node.input(i).and_then(|id| graph.shape(id).as_fixed());
    let matrix = |i: usize| shape(i).and_then(|s| <[usize; 2]>::try_from(s).ok());
    let slot = match &node.op {
        Op::Conv2d { .. } if float(0) => {
            let of_groups = shape(1)?.last() != graph.shape(node.input(0)?).dims().last()?.as_ref();
            Slot { four_bits: true, wants_scale_each: of_groups, ..Slot::new(1, 0) }
        }
        Op::DepthwiseConv2d { .. } if float(0) => Slot { wants_scale_each: true, ..Slot::new(1, 3) },
        Op::TransposeConv { .. } if float(2) => Slot::new(1, 0),
        Op::Conv3d { .. } if float(0) => Slot { direct: false, ..Slot::new(1, 4) },
        Op::Conv3dTranspose { .. } if float(2) => Slot { direct: false, ..Slot::new(1, 3) },
        // Two 4-bit weights share a byte, and a row begins with a new one.
        Op::FullyConnected { .. } if float(0) => {
            let rows = matrix(1)?;
            Slot { four_bits: rows[1] % 2 == 0, rows: Some(rows), ..Slot::new(1, 0) }
        }
        Op::BatchMatMul { adj_y, .. } if float(0) => {
            let rank = shape(1)?.len();
            Slot::new(1, rank.checked_sub(if *adj_y { 2 } else { 1 })?)
        }
        Op::EmbeddingLookup => Slot::lookup(matrix(1)?),
        _ => return None,
    };
    Some(slot)
}

/// Whether the file gets smaller: a new form brings scales and, often, an operator of its own.
pub(super) fn is_worth_it(weights: &Tensor) -> bool {
    weights.len() >= 256
}

/// Whether 4 bits are worth their loss: a small layer is as hard to do without as a large one, and saves no kilobyte.
pub(in crate::quant) fn is_worth_four_bits(weights: &Tensor) -> bool {
    weights.len() >= 2048
}

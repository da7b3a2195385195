//! Which of an operator's operands flow through it, and which say how it is to compute.

use crate::graph::{Node, Op};

/// What a value is to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Data,
    Weights,
    Bias,
    /// Axes, shapes, paddings: what other formats have as attributes.
    Parameter,
    /// Numbers of elements to take or to put.
    Index,
    Result,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Data => "operand",
            Role::Weights => "weight",
            Role::Bias => "bias",
            Role::Parameter => "parameter",
            Role::Index => "index",
            Role::Result => "result",
        }
    }
}

/// The role of operand `i`.
pub(super) fn of_operand(node: &Node, i: usize) -> Role {
    match &node.op {
        Op::Conv2d { .. } | Op::DepthwiseConv2d { .. } | Op::FullyConnected { .. } | Op::Conv3d { .. } => {
            pick(i, &[Role::Data, Role::Weights, Role::Bias])
        }
        Op::TransposeConv { .. } | Op::Conv3dTranspose { .. } => {
            pick(i, &[Role::Parameter, Role::Weights, Role::Data, Role::Bias])
        }
        Op::EmbeddingLookup => pick(i, &[Role::Index, Role::Weights]),
        Op::Gather { .. } | Op::GatherNd => pick(i, &[Role::Data, Role::Index]),
        Op::ScatterNd => pick(i, &[Role::Index, Role::Data, Role::Parameter]),
        Op::UnsortedSegment(_) => pick(i, &[Role::Data, Role::Index, Role::Parameter]),
        Op::DynamicUpdateSlice => pick(i, &[Role::Data, Role::Data, Role::Index]),
        Op::OneHot { .. } => pick(i, &[Role::Index, Role::Parameter, Role::Data, Role::Data]),
        Op::Split { .. } => pick(i, &[Role::Parameter, Role::Data]),
        Op::Fill => pick(i, &[Role::Parameter, Role::Data]),
        Op::PadV2 => pick(i, &[Role::Data, Role::Parameter, Role::Data]),
        Op::NonMaxSuppression => pick(i, &[Role::Data, Role::Data, Role::Parameter]),
        Op::ResizeBilinear { .. }
        | Op::ResizeNearest { .. }
        | Op::SpaceToBatch
        | Op::BatchToSpace
        | Op::Pad
        | Op::MirrorPad { .. }
        | Op::Reshape
        | Op::ExpandDims
        | Op::Transpose
        | Op::SplitV { .. }
        | Op::Slice
        | Op::StridedSlice(_)
        | Op::Tile
        | Op::BroadcastTo
        | Op::Reverse
        | Op::ReverseSequence { .. }
        | Op::TopK
        | Op::ArgMax { .. }
        | Op::ArgMin { .. }
        | Op::Cumsum { .. }
        | Op::Reduce { .. } => pick(i, &[Role::Data, Role::Parameter]),
        // The sequence operators of the runtime: the data come first, then weights, biases and states.
        Op::Opaque(_) => pick(i, &[Role::Data, Role::Weights]),
        Op::Unary(_)
        | Op::LeakyRelu { .. }
        | Op::Binary(..)
        | Op::Compare(_)
        | Op::Prelu
        | Op::Select
        | Op::Cast { .. }
        | Op::Softmax { .. }
        | Op::LogSoftmax
        | Op::L2Normalization
        | Op::LocalResponseNormalization { .. }
        | Op::BatchMatMul { .. }
        | Op::Pool2d { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::Squeeze { .. }
        | Op::Concatenation { .. }
        | Op::Pack { .. }
        | Op::Unpack { .. }
        | Op::Shape { .. }
        | Op::Rank
        | Op::Range
        | Op::Where
        | Op::Unique { .. }
        | Op::Bitcast { .. }
        | Op::Quantize { .. }
        | Op::Dequantize
        | Op::If { .. }
        | Op::While { .. } => Role::Data,
    }
}

/// Entry `i`, or the last.
fn pick(i: usize, roles: &[Role]) -> Role {
    roles.get(i).or(roles.last()).copied().unwrap_or(Role::Data)
}

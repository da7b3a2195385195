//! What operators can tell apart about their operands, in whatever type they compute.
//!
//! A range need only cover what makes a difference: what `RELU6` gets above 6, what a softmax gets far below the maximum of its
//! row. So a mask of -3.4e38 that is added to scores does not ruin their scale, and gates keep their resolution where
//! they are steep.

use crate::graph::{Binary, Op, Pool, Reduce, Unary};

/// What of an operand matters to the result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::quant) enum Sees {
    Everything,
    /// Elements reach the result as they are or not at all: those outside of the result's range don't.
    AsResult,
    /// Nothing changes further below or above.
    Within(f32, f32),
    /// Differences to the largest element of the row.
    Logits,
    /// The sum with another operand.
    AddedTo(usize),
    /// The difference, another operand being taken from this one.
    LessenedBy(usize),
    /// The difference, this one being taken from another.
    TakenFrom(usize),
}

/// The row of operand `i` of an operator.
pub(in crate::quant) fn sees(op: &Op, i: usize) -> Sees {
    const INF: f32 = f32::INFINITY;
    match op {
        Op::Unary(kind) => match kind {
            Unary::Relu => Sees::Within(0.0, INF),
            Unary::Relu6 => Sees::Within(0.0, 6.0),
            Unary::ReluN1To1 => Sees::Within(-1.0, 1.0),
            Unary::Relu0To1 => Sees::Within(0.0, 1.0),
            Unary::HardSwish => Sees::Within(-3.0, INF),
            // Further out, these are within 1e-4 of their limits: a fortieth of the finest int8 step that they get.
            Unary::Logistic => Sees::Within(-10.0, 10.0),
            Unary::Tanh => Sees::Within(-5.0, 5.0),
            Unary::Elu => Sees::Within(-10.0, INF),
            Unary::Gelu | Unary::GeluTanh => Sees::Within(-5.0, INF),
            Unary::Abs
            | Unary::Ceil
            | Unary::Cos
            | Unary::Exp
            | Unary::Floor
            | Unary::Log
            | Unary::LogicalNot
            | Unary::Neg
            | Unary::Round
            | Unary::Rsqrt
            | Unary::Sign
            | Unary::Sin
            | Unary::Sqrt
            | Unary::Square
            | Unary::ZerosLike => Sees::Everything,
        },
        Op::Binary(kind, _) => match kind {
            Binary::Add => Sees::AddedTo(1 - i.min(1)),
            Binary::Sub if i == 0 => Sees::LessenedBy(1),
            Binary::Sub => Sees::TakenFrom(0),
            Binary::Maximum | Binary::Minimum => Sees::AsResult,
            Binary::Mul
            | Binary::Div
            | Binary::Pow
            | Binary::FloorDiv
            | Binary::FloorMod
            | Binary::SquaredDifference
            | Binary::Atan2
            | Binary::LogicalAnd
            | Binary::LogicalOr
            | Binary::BitwiseXor
            | Binary::RightShift => Sees::Everything,
        },
        Op::Softmax { .. } => Sees::Logits,
        Op::Pool2d { kind: Pool::Max, .. }
        | Op::Reduce { kind: Reduce::Max | Reduce::Min, .. }
        | Op::ResizeNearest { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::SpaceToBatch
        | Op::BatchToSpace
        | Op::Pad
        | Op::PadV2
        | Op::MirrorPad { .. }
        | Op::Reshape
        | Op::Squeeze { .. }
        | Op::ExpandDims
        | Op::Transpose
        | Op::Concatenation { .. }
        | Op::Split { .. }
        | Op::SplitV { .. }
        | Op::Pack { .. }
        | Op::Unpack { .. }
        | Op::Slice
        | Op::StridedSlice(_)
        | Op::Gather { .. }
        | Op::GatherNd
        | Op::DynamicUpdateSlice
        | Op::Tile
        | Op::BroadcastTo
        | Op::Reverse
        | Op::Select => Sees::AsResult,
        Op::LeakyRelu { .. }
        | Op::Compare(_)
        | Op::Prelu
        | Op::Cast { .. }
        | Op::LogSoftmax
        | Op::L2Normalization
        | Op::LocalResponseNormalization { .. }
        | Op::Conv2d { .. }
        | Op::DepthwiseConv2d { .. }
        | Op::TransposeConv { .. }
        | Op::Conv3d { .. }
        | Op::Conv3dTranspose { .. }
        | Op::FullyConnected { .. }
        | Op::BatchMatMul { .. }
        | Op::EmbeddingLookup
        | Op::Pool2d { kind: Pool::Average | Pool::L2, .. }
        | Op::ResizeBilinear { .. }
        | Op::ScatterNd
        | Op::UnsortedSegment(_)
        | Op::ReverseSequence { .. }
        | Op::Unique { .. }
        | Op::NonMaxSuppression
        | Op::Bitcast { .. }
        | Op::Fill
        | Op::Shape { .. }
        | Op::Rank
        | Op::Range
        | Op::OneHot { .. }
        | Op::Where
        | Op::TopK
        | Op::ArgMax { .. }
        | Op::ArgMin { .. }
        | Op::Cumsum { .. }
        | Op::Reduce { kind: Reduce::Sum | Reduce::Mean | Reduce::Prod | Reduce::Any | Reduce::All, .. }
        | Op::Quantize { .. }
        | Op::Dequantize
        | Op::If { .. }
        | Op::While { .. }
        | Op::Opaque(_) => Sees::Everything,
    }
}

//! Which operators have kernels for activations of 16 bits, beside weights of 8, that compute what is meant (quantization-spec, sections
//! 2 and 4). Their zero points are 0. XNNPACK takes none of them.

use crate::graph::{Binary, Op, Pool, Reduce, Unary};

/// What a kernel of 16 bits is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// Right to one step of its result.
    Right,
    /// It looks results up in a table, or has a scale of its own: off by two or three steps of 65536.
    Near,
    /// Off by so much that 8 bits do no worse.
    Far(&'static str),
    /// There is none, or it computes something else.
    None,
}

const FLAT: &str = "its int16 kernel draws lines between 513 points, and the function bends in between";

/// True where the kernel of 16 bits is as good as that of 8 bits.
pub(in crate::quant) fn has_int16(op: &Op) -> bool {
    kernel(op) == Wide::Right
}

/// The row of an operator.
pub(super) fn kernel(op: &Op) -> Wide {
    match op {
        Op::Conv2d { .. }
        | Op::DepthwiseConv2d { .. }
        | Op::TransposeConv { .. }
        | Op::FullyConnected { .. }
        | Op::BatchMatMul { .. } => Wide::Right,
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Maximum | Binary::Minimum, _) => Wide::Right,
        Op::Unary(Unary::Relu | Unary::Relu6 | Unary::Abs) | Op::LeakyRelu { .. } => Wide::Right,
        Op::Unary(Unary::Logistic | Unary::Tanh | Unary::Gelu | Unary::GeluTanh) | Op::Softmax { .. } => Wide::Near,
        Op::Unary(Unary::Exp | Unary::Log | Unary::Sqrt | Unary::Rsqrt) => Wide::Far(FLAT),
        Op::Pool2d { kind: Pool::Average | Pool::Max, .. } => Wide::Right,
        Op::Reduce { kind: Reduce::Mean | Reduce::Max | Reduce::Min, .. } => Wide::Right,
        Op::Reduce { kind: Reduce::Prod, .. } => Wide::Near,
        Op::Compare(_) => Wide::Right,
        Op::ResizeBilinear { .. } | Op::ResizeNearest { .. } => Wide::Right,
        Op::Reshape
        | Op::Squeeze { .. }
        | Op::ExpandDims
        | Op::Transpose
        | Op::Slice
        | Op::StridedSlice(_)
        | Op::Split { .. }
        | Op::SplitV { .. }
        | Op::Pack { .. }
        | Op::Unpack { .. }
        | Op::Concatenation { .. }
        | Op::Pad
        | Op::PadV2
        | Op::MirrorPad { .. }
        | Op::SpaceToBatch
        | Op::BatchToSpace
        | Op::Tile
        | Op::Gather { .. }
        | Op::GatherNd
        | Op::DynamicUpdateSlice
        | Op::BroadcastTo
        | Op::Select
        | Op::Reverse
        | Op::TopK
        | Op::Shape { .. }
        | Op::Rank => Wide::Right,
        Op::Binary(..)
        | Op::Unary(_)
        | Op::Pool2d { .. }
        | Op::Reduce { .. }
        // It accepts 16 bits and returns nonsense.
        | Op::Prelu
        | Op::LogSoftmax
        | Op::L2Normalization
        | Op::LocalResponseNormalization { .. }
        | Op::Conv3d { .. }
        | Op::Conv3dTranspose { .. }
        | Op::EmbeddingLookup
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::ArgMax { .. }
        | Op::ArgMin { .. }
        | Op::OneHot { .. }
        | Op::Fill
        | Op::Cast { .. }
        | Op::ScatterNd
        | Op::UnsortedSegment(_)
        | Op::ReverseSequence { .. }
        | Op::Unique { .. }
        | Op::NonMaxSuppression
        | Op::Bitcast { .. }
        | Op::Range
        | Op::Where
        | Op::Cumsum { .. }
        | Op::Quantize { .. }
        | Op::Dequantize
        | Op::If { .. }
        | Op::While { .. }
        | Op::Opaque(_) => Wide::None,
    }
}

//! Which operators have kernels for activations of 16 bits, beside weights of 8, that compute what is meant (quantization-spec, sections
//! 2 and 4). Their zero points are 0. XNNPACK takes none of them.

use crate::graph::{Binary, Op, Pool, Reduce, Unary};

/// True where the kernel of 16 bits is as good as that of 8 bits: those that look results up in a table are off by steps, and those
/// that are not listed here are not there.
pub(in crate::quant) fn has_int16(op: &Op) -> bool {
    match op {
        Op::Conv2d { .. }
        | Op::DepthwiseConv2d { .. }
        | Op::TransposeConv { .. }
        | Op::FullyConnected { .. }
        | Op::BatchMatMul { .. } => true,
        Op::Binary(kind, _) => {
            matches!(kind, Binary::Add | Binary::Sub | Binary::Mul | Binary::Maximum | Binary::Minimum)
        }
        Op::Unary(kind) => matches!(kind, Unary::Relu | Unary::Relu6 | Unary::Abs),
        Op::LeakyRelu { .. } => true,
        Op::Pool2d { kind, .. } => matches!(kind, Pool::Average | Pool::Max),
        Op::Reduce { kind, .. } => matches!(kind, Reduce::Mean | Reduce::Max | Reduce::Min),
        Op::ResizeBilinear { .. } | Op::ResizeNearest { .. } => true,
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
        | Op::Tile
        | Op::Gather { .. }
        | Op::GatherNd
        | Op::BroadcastTo
        | Op::Select
        | Op::Reverse => true,
        _ => false,
    }
}

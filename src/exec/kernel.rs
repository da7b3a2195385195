//! THE TABLE: which function computes which operator, and where its operands stand.

use std::cmp::Ordering;

use super::KernelError;
use super::dense::{self, Prepared};
use super::operand::{Operand, Operands};
use super::reference::resize::Coordinates;
use super::reference::{
    blocks, detection, elementwise, index, movement, normalize, pool, quantize, reduce, resize, segment,
};
use super::reference::{checked_len, widened};
use crate::graph::{Op, Quant};
use crate::tensor::Tensor;

/// How operand 0 and result 0 are stored, where that is as integers that stand for reals.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Storage<'a> {
    pub operand: Option<&'a Quant>,
    pub result: Option<&'a Quant>,
}

/// Results of `op`, one for each that it has.
pub(super) fn compute(
    op: &Op,
    x: Operands<'_>,
    storage: Storage<'_>,
    prepared: &Prepared,
) -> Result<Vec<Operand>, KernelError> {
    for operand in x.0.iter().flatten() {
        checked_len(operand.tensor.dtype(), operand.tensor.shape())?;
    }
    let one = |operand: Operand| Ok(vec![operand]);
    match op {
        Op::Conv2d { window, activation } => one(dense::conv_2d(x, *window, *activation, prepared)?),
        Op::DepthwiseConv2d { window, multiplier: _, activation } => {
            one(dense::depthwise_conv_2d(x, *window, *activation, prepared)?)
        }
        Op::Conv3d { window, activation } => one(dense::conv_3d(x, *window, *activation, prepared)?),
        Op::TransposeConv { padding, stride, activation } => {
            one(dense::transpose_conv_2d(x, *padding, *stride, *activation, prepared)?)
        }
        Op::Conv3dTranspose { window, activation } => one(dense::transpose_conv_3d(x, *window, *activation, prepared)?),
        Op::FullyConnected { keep_num_dims, asymmetric_inputs: _, activation } => {
            one(dense::fully_connected(x, *keep_num_dims, *activation, prepared)?)
        }
        Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: _ } => {
            one(dense::batch_mat_mul(x, *adj_x, *adj_y, prepared)?)
        }
        _ => Ok(direct(op, x, storage)?.into_iter().map(Operand::from).collect()),
    }
}

/// The operators that are computed directly on tensors.
fn direct(op: &Op, x: Operands<'_>, storage: Storage<'_>) -> Result<Vec<Tensor>, KernelError> {
    let tensor = |i| x.tensor(i);
    let ints = |i| x.ints(i);
    Ok(vec![match op {
        Op::Unary(kind) => widened(&[tensor(0)?], |x| elementwise::unary(*kind, x[0]))?,
        Op::LeakyRelu { alpha } => widened(&[tensor(0)?], |x| elementwise::leaky_relu(*alpha, x[0]))?,
        Op::Binary(kind, activation) => {
            widened(&[tensor(0)?, tensor(1)?], |x| elementwise::binary(*kind, *activation, x[0], x[1]))?
        }
        Op::Compare(kind) => elementwise::compare(*kind, tensor(0)?, tensor(1)?)?,
        Op::Prelu => widened(&[tensor(0)?, tensor(1)?], |x| elementwise::prelu(x[0], x[1]))?,
        Op::Select => elementwise::select(tensor(0)?, tensor(1)?, tensor(2)?)?,
        Op::Cast { to } => elementwise::cast(tensor(0)?, *to)?,
        Op::Softmax { beta } => widened(&[tensor(0)?], |x| normalize::softmax(x[0], *beta))?,
        Op::LogSoftmax => widened(&[tensor(0)?], |x| normalize::log_softmax(x[0]))?,
        Op::L2Normalization => widened(&[tensor(0)?], |x| normalize::l2(x[0]))?,
        Op::LocalResponseNormalization { radius, bias, alpha, beta } => {
            widened(&[tensor(0)?], |x| normalize::local_response(x[0], *radius, [*bias, *alpha, *beta]))?
        }

        Op::Pool2d { kind, padding, stride, filter, activation } => {
            let pooled = widened(&[tensor(0)?], |x| pool::pool(*kind, x[0], *padding, *stride, *filter))?;
            elementwise::activate(*activation, pooled)?
        }
        Op::ResizeBilinear { align_corners, half_pixel_centers } => {
            let rule = Coordinates { align_corners: *align_corners, half_pixel_centers: *half_pixel_centers };
            let size = x.extents(1)?;
            widened(&[tensor(0)?], |x| resize::bilinear(x[0], &size, rule))?
        }
        Op::ResizeNearest { align_corners, half_pixel_centers } => {
            let rule = Coordinates { align_corners: *align_corners, half_pixel_centers: *half_pixel_centers };
            resize::nearest(tensor(0)?, &x.extents(1)?, rule)?
        }
        Op::DepthToSpace { block } => blocks::depth_to_space(tensor(0)?, *block)?,
        Op::SpaceToDepth { block } => blocks::space_to_depth(tensor(0)?, *block)?,
        Op::SpaceToBatch => blocks::space_to_batch(tensor(0)?, &x.extents(1)?, &x.extents(2)?)?,
        Op::BatchToSpace => blocks::batch_to_space(tensor(0)?, &x.extents(1)?, &x.extents(2)?)?,

        Op::Pad => movement::pad(tensor(0)?, &x.extents(1)?, None)?,
        Op::PadV2 => movement::pad(tensor(0)?, &x.extents(1)?, Some(tensor(2)?))?,
        Op::MirrorPad { mode } => movement::mirror_pad(tensor(0)?, &x.extents(1)?, *mode)?,
        Op::Reshape => movement::reshape(tensor(0)?, &ints(1)?)?,
        Op::Squeeze { axes } => movement::squeeze(tensor(0)?, axes)?,
        Op::ExpandDims => movement::expand_dims(tensor(0)?, x.int(1)?)?,
        Op::Transpose => movement::transpose(tensor(0)?, &ints(1)?)?,
        Op::Concatenation { axis } => movement::concatenate(&x.tensors()?, (*axis).into())?,
        Op::Split { parts } => return movement::split_evenly(tensor(1)?, x.int(0)?, *parts),
        Op::SplitV { parts: _ } => return movement::split(tensor(0)?, x.int(2)?, &ints(1)?),
        Op::Pack { axis } => movement::pack(&x.tensors()?, (*axis).into())?,
        Op::Unpack { axis, parts } => return movement::unpack(tensor(0)?, (*axis).into(), *parts),
        Op::Slice => movement::slice(tensor(0)?, &ints(1)?, &ints(2)?)?,
        Op::StridedSlice(masks) => movement::strided_slice(tensor(0)?, [&ints(1)?, &ints(2)?, &ints(3)?], masks)?,
        Op::UnsortedSegment(kind) => segment::unsorted(*kind, tensor(0)?, tensor(1)?, x.int(2)?)?,
        Op::DynamicUpdateSlice => index::update_slice(tensor(0)?, tensor(1)?, &ints(2)?)?,
        Op::ReverseSequence { seq_dim, batch_dim } => {
            index::reverse_sequence(tensor(0)?, &ints(1)?, (*seq_dim).into(), (*batch_dim).into())?
        }
        Op::Bitcast { to } => movement::bitcast(tensor(0)?, *to)?,
        Op::Unique { to } => return segment::unique(tensor(0)?, *to),
        Op::NonMaxSuppression => {
            let most = x.int(2)?;
            return detection::non_max_suppression(tensor(0)?, tensor(1)?, most, [tensor(3)?, tensor(4)?]);
        }
        Op::Tile => movement::tile(tensor(0)?, &x.extents(1)?)?,
        Op::BroadcastTo => movement::broadcast_to(tensor(0)?, &x.extents(1)?)?,
        Op::Reverse => movement::reverse(tensor(0)?, &ints(1)?)?,
        Op::Fill => movement::fill(&x.extents(0)?, tensor(1)?)?,

        Op::Gather { axis, batch_dims } => index::gather(tensor(0)?, tensor(1)?, (*axis).into(), *batch_dims)?,
        Op::GatherNd => index::gather_nd(tensor(0)?, tensor(1)?)?,
        Op::ScatterNd => index::scatter_nd(tensor(0)?, tensor(1)?, &x.extents(2)?)?,
        Op::EmbeddingLookup => index::embedding_lookup(tensor(0)?, tensor(1)?)?,
        Op::OneHot { axis } => index::one_hot(tensor(0)?, x.int(1)?, tensor(2)?, tensor(3)?, *axis)?,
        Op::Where => index::coordinates(tensor(0)?)?,
        Op::Shape { to } => index::shape_of(tensor(0)?, *to)?,
        Op::Rank => Tensor::scalar(tensor(0)?.rank() as i32),
        Op::Range => index::range(tensor(0)?, tensor(1)?, tensor(2)?)?,

        Op::TopK => return reduce::top_k(tensor(0)?, x.int(1)?),
        Op::ArgMax { to } => reduce::arg_extremum(tensor(0)?, x.int(1)?, Ordering::Greater, *to)?,
        Op::ArgMin { to } => reduce::arg_extremum(tensor(0)?, x.int(1)?, Ordering::Less, *to)?,
        Op::Cumsum { exclusive, reverse } => {
            let axis = x.int(1)?;
            widened(&[tensor(0)?], |x| reduce::cumsum(x[0], axis, *exclusive, *reverse))?
        }
        Op::Reduce { kind, keep_dims } => {
            let axes = ints(1)?;
            widened(&[tensor(0)?], |x| reduce::reduce(*kind, x[0], &axes, *keep_dims))?
        }

        Op::Quantize { to } => {
            let real = quantize::dequantize(tensor(0)?, storage.operand)?;
            let result = storage.result.ok_or_else(|| KernelError::operands("the result has no scale"))?;
            quantize::quantize(&real, result, *to)?
        }
        Op::Dequantize => quantize::dequantize(tensor(0)?, storage.operand)?,

        Op::Conv2d { .. }
        | Op::DepthwiseConv2d { .. }
        | Op::Conv3d { .. }
        | Op::TransposeConv { .. }
        | Op::Conv3dTranspose { .. }
        | Op::FullyConnected { .. }
        | Op::BatchMatMul { .. }
        | Op::If { .. }
        | Op::While { .. }
        | Op::Opaque(_) => return Err(KernelError::unsupported(op.name())),
    }])
}

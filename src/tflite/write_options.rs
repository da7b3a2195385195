//! The option table that each operator is written with.
//!
//! Every field is set, because the schema's defaults are seldom what is meant: a stride of 0, `beta` 0, padding `SAME`.

use super::codes::{builtin, fused, mirror_pad_mode, schema_padding, tensor_type};
use super::versions::Operands;
use crate::graph::{Binary, Compare, Graph, Node, Op, Reduce, Segment, Unary};
use crate::schema::{self, BuiltinOptions as O, BuiltinOptions2, TensorType};
use crate::tensor::DType;

/// A number past 32 bits, which no option can hold.
pub(super) struct PastI32;

type Encoded<T> = Result<T, PastI32>;

/// Both option unions of `node`; the graphs that it runs lie in the file from number `region` on.
pub(super) fn encode(graph: &Graph, node: &Node, region: usize) -> Encoded<(O, BuiltinOptions2)> {
    let [first, second] = [int(region)?, int(region.saturating_add(1))?];
    match &node.op {
        Op::If { .. } => {
            let options = schema::IfOptions { then_subgraph_index: first, else_subgraph_index: second };
            Ok((options.into(), BuiltinOptions2::None))
        }
        Op::While { .. } => {
            let options = schema::WhileOptions { cond_subgraph_index: first, body_subgraph_index: second };
            Ok((options.into(), BuiltinOptions2::None))
        }
        Op::Opaque(opaque) => Ok((opaque.options.clone(), opaque.options_2.clone())),
        op => Ok((options(op, &Operands { graph, node })?, BuiltinOptions2::None)),
    }
}

fn options(op: &Op, at: &Operands<'_>) -> Encoded<O> {
    Ok(match op {
        Op::Unary(kind) => unary(*kind),
        Op::LeakyRelu { alpha } => schema::LeakyReluOptions { alpha: *alpha }.into(),
        Op::Binary(..) => binary(op, at),
        Op::Compare(kind) => compare(*kind),
        Op::Prelu => O::None,
        Op::Select => schema::SelectV2Options {}.into(),
        Op::Cast { to } => schema::CastOptions {
            in_data_type: at.dtype(0).map_or(TensorType::FLOAT32, tensor_type),
            out_data_type: tensor_type(*to),
        }
        .into(),
        Op::Softmax { beta } => schema::SoftmaxOptions { beta: *beta }.into(),
        Op::LogSoftmax => schema::LogSoftmaxOptions {}.into(),
        Op::L2Normalization => schema::L2NormOptions::default().into(),
        Op::LocalResponseNormalization { radius, bias, alpha, beta } => {
            schema::LocalResponseNormalizationOptions { radius: int(*radius)?, bias: *bias, alpha: *alpha, beta: *beta }
                .into()
        }

        Op::Conv2d { .. }
        | Op::DepthwiseConv2d { .. }
        | Op::TransposeConv { .. }
        | Op::Conv3d { .. }
        | Op::Conv3dTranspose { .. }
        | Op::FullyConnected { .. }
        | Op::BatchMatMul { .. }
        | Op::Pool2d { .. } => products(op, at)?,
        Op::EmbeddingLookup => O::None,
        Op::ResizeBilinear { align_corners, half_pixel_centers } => {
            schema::ResizeBilinearOptions { align_corners: *align_corners, half_pixel_centers: *half_pixel_centers }
                .into()
        }
        Op::ResizeNearest { align_corners, half_pixel_centers } => schema::ResizeNearestNeighborOptions {
            align_corners: *align_corners,
            half_pixel_centers: *half_pixel_centers,
        }
        .into(),
        Op::DepthToSpace { block } => schema::DepthToSpaceOptions { block_size: int(*block)? }.into(),
        Op::SpaceToDepth { block } => schema::SpaceToDepthOptions { block_size: int(*block)? }.into(),
        Op::SpaceToBatch => schema::SpaceToBatchNDOptions {}.into(),
        Op::BatchToSpace => schema::BatchToSpaceNDOptions {}.into(),

        Op::Pad => schema::PadOptions {}.into(),
        Op::PadV2 => schema::PadV2Options {}.into(),
        Op::MirrorPad { mode } => schema::MirrorPadOptions { mode: mirror_pad_mode(*mode) }.into(),
        Op::Reshape => schema::ReshapeOptions::default().into(),
        Op::Squeeze { axes } => schema::SqueezeOptions { squeeze_dims: Some(axes.clone()) }.into(),
        Op::ExpandDims => schema::ExpandDimsOptions {}.into(),
        Op::Transpose => schema::TransposeOptions {}.into(),
        Op::Concatenation { axis } => {
            schema::ConcatenationOptions { axis: *axis, ..schema::ConcatenationOptions::default() }.into()
        }
        Op::Split { parts } => schema::SplitOptions { num_splits: int(*parts)? }.into(),
        Op::SplitV { parts } => schema::SplitVOptions { num_splits: int(*parts)? }.into(),
        Op::Pack { axis } => schema::PackOptions { values_count: int(at.node.inputs.len())?, axis: *axis }.into(),
        Op::Unpack { axis, parts } => schema::UnpackOptions { num: int(*parts)?, axis: *axis }.into(),
        Op::Slice => schema::SliceOptions {}.into(),
        Op::StridedSlice(masks) => schema::StridedSliceOptions {
            begin_mask: masks.begin,
            end_mask: masks.end,
            ellipsis_mask: masks.ellipsis,
            new_axis_mask: masks.new_axis,
            shrink_axis_mask: masks.shrink_axis,
            offset: masks.offset,
        }
        .into(),
        Op::Gather { axis, batch_dims } => schema::GatherOptions { axis: *axis, batch_dims: *batch_dims }.into(),
        Op::GatherNd => schema::GatherNdOptions {}.into(),
        Op::ScatterNd => schema::ScatterNdOptions {}.into(),
        Op::UnsortedSegment(kind) => match kind {
            Segment::Sum => schema::UnsortedSegmentSumOptions {}.into(),
            Segment::Prod => schema::UnsortedSegmentProdOptions {}.into(),
            Segment::Max => schema::UnsortedSegmentMaxOptions {}.into(),
            Segment::Min => schema::UnsortedSegmentMinOptions {}.into(),
        },
        Op::DynamicUpdateSlice => schema::DynamicUpdateSliceOptions {}.into(),
        Op::ReverseSequence { seq_dim, batch_dim } => {
            schema::ReverseSequenceOptions { seq_dim: *seq_dim, batch_dim: *batch_dim }.into()
        }
        Op::Unique { to } => schema::UniqueOptions { idx_out_type: tensor_type(*to) }.into(),
        Op::NonMaxSuppression => schema::NonMaxSuppressionV4Options {}.into(),
        Op::Bitcast { .. } => schema::BitcastOptions {}.into(),
        Op::Tile => schema::TileOptions {}.into(),
        Op::BroadcastTo => schema::BroadcastToOptions {}.into(),
        Op::Reverse => schema::ReverseV2Options {}.into(),
        Op::Fill => schema::FillOptions {}.into(),
        Op::Shape { to } => schema::ShapeOptions { out_type: tensor_type(*to) }.into(),
        Op::Rank => schema::RankOptions {}.into(),
        Op::Range => schema::RangeOptions {}.into(),
        Op::OneHot { axis } => schema::OneHotOptions { axis: *axis }.into(),
        Op::Where => schema::WhereOptions {}.into(),
        Op::TopK => schema::TopKV2Options {}.into(),
        Op::ArgMax { to } => schema::ArgMaxOptions { output_type: tensor_type(*to) }.into(),
        Op::ArgMin { to } => schema::ArgMinOptions { output_type: tensor_type(*to) }.into(),
        Op::Cumsum { exclusive, reverse } => schema::CumsumOptions { exclusive: *exclusive, reverse: *reverse }.into(),
        Op::Reduce { kind, keep_dims } => match kind {
            Reduce::Sum | Reduce::Mean | Reduce::Max | Reduce::Min | Reduce::Prod | Reduce::Any | Reduce::All => {
                schema::ReducerOptions { keep_dims: *keep_dims }.into()
            }
        },
        Op::Quantize { .. } => schema::QuantizeOptions {}.into(),
        Op::Dequantize => schema::DequantizeOptions {}.into(),
        // `encode` knows where their graphs lie.
        Op::If { .. } | Op::While { .. } => O::None,
        Op::Opaque(opaque) => opaque.options.clone(),
    })
}

fn unary(kind: Unary) -> O {
    match kind {
        Unary::Abs => schema::AbsOptions {}.into(),
        Unary::Cos => schema::CosOptions {}.into(),
        Unary::Exp => schema::ExpOptions {}.into(),
        Unary::Gelu => schema::GeluOptions { approximate: false }.into(),
        Unary::GeluTanh => schema::GeluOptions { approximate: true }.into(),
        Unary::HardSwish => schema::HardSwishOptions {}.into(),
        Unary::LogicalNot => schema::LogicalNotOptions {}.into(),
        Unary::Neg => schema::NegOptions {}.into(),
        Unary::Sign => schema::SignOptions {}.into(),
        Unary::Square => schema::SquareOptions {}.into(),
        Unary::ZerosLike => schema::ZerosLikeOptions {}.into(),
        Unary::Ceil
        | Unary::Elu
        | Unary::Floor
        | Unary::Log
        | Unary::Logistic
        | Unary::Relu
        | Unary::Relu0To1
        | Unary::Relu6
        | Unary::ReluN1To1
        | Unary::Round
        | Unary::Rsqrt
        | Unary::Sin
        | Unary::Sqrt
        | Unary::Tanh => O::None,
    }
}

fn binary(op: &Op, at: &Operands<'_>) -> O {
    let Op::Binary(kind, activation) = op else { return O::None };
    let fused_activation_function = fused(*activation);
    // Kernels take 16-bit operands with any scale only where this is false; it means nothing for other types.
    let pot_scale_int16 = at.dtype(0) != Some(DType::I16);
    match kind {
        Binary::Add => schema::AddOptions { fused_activation_function, pot_scale_int16 }.into(),
        Binary::Sub => schema::SubOptions { fused_activation_function, pot_scale_int16 }.into(),
        Binary::Mul => schema::MulOptions { fused_activation_function }.into(),
        Binary::Div => schema::DivOptions { fused_activation_function }.into(),
        Binary::Maximum | Binary::Minimum => schema::MaximumMinimumOptions {}.into(),
        Binary::Pow => schema::PowOptions {}.into(),
        Binary::FloorDiv => schema::FloorDivOptions {}.into(),
        Binary::FloorMod => schema::FloorModOptions {}.into(),
        Binary::SquaredDifference => schema::SquaredDifferenceOptions {}.into(),
        Binary::Atan2 => schema::ATan2Options {}.into(),
        Binary::LogicalAnd => schema::LogicalAndOptions {}.into(),
        Binary::LogicalOr => schema::LogicalOrOptions {}.into(),
        Binary::BitwiseXor => schema::BitwiseXorOptions {}.into(),
        Binary::RightShift => schema::RightShiftOptions {}.into(),
    }
}

fn compare(kind: Compare) -> O {
    match kind {
        Compare::Equal => schema::EqualOptions {}.into(),
        Compare::NotEqual => schema::NotEqualOptions {}.into(),
        Compare::Less => schema::LessOptions {}.into(),
        Compare::LessEqual => schema::LessEqualOptions {}.into(),
        Compare::Greater => schema::GreaterOptions {}.into(),
        Compare::GreaterEqual => schema::GreaterEqualOptions {}.into(),
    }
}

/// Convolutions, matrix products and pooling.
fn products(op: &Op, at: &Operands<'_>) -> Encoded<O> {
    // The type of a bias that kernels don't expect; `FLOAT32` says nothing.
    let bias_type = |x, bias| if at.narrow_bias(x, bias) { TensorType::INT32 } else { TensorType::FLOAT32 };
    Ok(match op {
        Op::Conv2d { window, activation } => schema::Conv2DOptions {
            padding: schema_padding(window.padding),
            stride_w: int(window.stride[1])?,
            stride_h: int(window.stride[0])?,
            fused_activation_function: fused(*activation),
            dilation_w_factor: int(window.dilation[1])?,
            dilation_h_factor: int(window.dilation[0])?,
            quantized_bias_type: bias_type(0, 2),
        }
        .into(),
        Op::DepthwiseConv2d { window, multiplier, activation } => schema::DepthwiseConv2DOptions {
            padding: schema_padding(window.padding),
            stride_w: int(window.stride[1])?,
            stride_h: int(window.stride[0])?,
            depth_multiplier: int(*multiplier)?,
            fused_activation_function: fused(*activation),
            dilation_w_factor: int(window.dilation[1])?,
            dilation_h_factor: int(window.dilation[0])?,
        }
        .into(),
        Op::TransposeConv { padding, stride, activation } => schema::TransposeConvOptions {
            padding: schema_padding(*padding),
            stride_w: int(stride[1])?,
            stride_h: int(stride[0])?,
            fused_activation_function: fused(*activation),
            quantized_bias_type: bias_type(2, 3),
        }
        .into(),
        Op::Conv3d { window, activation } | Op::Conv3dTranspose { window, activation } => schema::Conv3DOptions {
            padding: schema_padding(window.padding),
            stride_d: int(window.stride[0])?,
            stride_w: int(window.stride[2])?,
            stride_h: int(window.stride[1])?,
            fused_activation_function: fused(*activation),
            dilation_d_factor: int(window.dilation[0])?,
            dilation_w_factor: int(window.dilation[2])?,
            dilation_h_factor: int(window.dilation[1])?,
        }
        .into(),
        Op::FullyConnected { keep_num_dims, asymmetric_inputs, activation } => schema::FullyConnectedOptions {
            fused_activation_function: fused(*activation),
            weights_format: schema::FullyConnectedOptionsWeightsFormat::DEFAULT,
            keep_num_dims: *keep_num_dims,
            asymmetric_quantize_inputs: *asymmetric_inputs,
            quantized_bias_type: bias_type(0, 2),
            quant_spec: None,
        }
        .into(),
        Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs } => {
            schema::BatchMatMulOptions { adj_x: *adj_x, adj_y: *adj_y, asymmetric_quantize_inputs: *asymmetric_inputs }
                .into()
        }
        Op::Pool2d { kind: _, padding, stride, filter, activation } => schema::Pool2DOptions {
            padding: schema_padding(*padding),
            stride_w: int(stride[1])?,
            stride_h: int(stride[0])?,
            filter_width: int(filter[1])?,
            filter_height: int(filter[0])?,
            fused_activation_function: fused(*activation),
        }
        .into(),
        op => unreachable!("{} is no product", builtin(op)),
    })
}

fn int(n: usize) -> Encoded<i32> {
    i32::try_from(n).map_err(|_| PastI32)
}

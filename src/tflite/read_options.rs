//! An operator of a file to the [`Op`] it is, where the graph has one that says all of its options.
//!
//! `None` throughout means that the operator is carried as it is. Option tables are taken apart field by field, so that a
//! field the schema gains can't be dropped unseen. An absent table reads as one with the schema's defaults, as in interpreters.

use super::codes::{activation, dtype, mirror_mode, padding};
use crate::graph::{
    Activation, Binary, Compare, Op, Pool, Reduce, Segment, SliceMasks, Unary, Value, Window2d, Window3d,
};
use crate::schema::{self, BuiltinOperator as B, BuiltinOptions as O, TensorType};
use crate::tensor::DType;

/// An operator's code and operands.
pub(super) struct Call<'a> {
    pub builtin: B,
    pub options: &'a O,
    pub inputs: Vec<Option<&'a Value>>,
    pub outputs: Vec<&'a Value>,
}

/// The fields of the option table that an operator has, or that table's defaults where it has none.
macro_rules! fields {
    ($call:expr, $table:ident) => {
        match $call.options {
            O::$table(table) => (**table).clone(),
            O::None => schema::$table::default(),
            _ => return None,
        }
    };
}

pub(super) fn decode(call: &Call<'_>) -> Option<Op> {
    let op = op(call)?;
    let (required, most, results) = arity(&op);
    let count = call.inputs.len();
    let present = call.inputs.iter().take(required).all(Option::is_some);
    ((required..=most).contains(&count) && present && results == call.outputs.len()).then_some(op)
}

fn op(call: &Call<'_>) -> Option<Op> {
    if let Some(op) = family(call) {
        return Some(op);
    }
    Some(match call.builtin {
        B::ADD | B::SUB | B::MUL | B::DIV => arithmetic(call)?,
        B::GELU => {
            let schema::GeluOptions { approximate } = fields!(call, GeluOptions);
            Op::Unary(if approximate { Unary::GeluTanh } else { Unary::Gelu })
        }
        B::LEAKY_RELU => {
            let schema::LeakyReluOptions { alpha } = fields!(call, LeakyReluOptions);
            Op::LeakyRelu { alpha }
        }
        B::PRELU => bare(call, Op::Prelu)?,
        B::SELECT_V2 => {
            let schema::SelectV2Options {} = fields!(call, SelectV2Options);
            Op::Select
        }
        B::CAST => {
            // Kernels go by the tensors' types and not by these fields, which old writers left out.
            let schema::CastOptions { in_data_type: _, out_data_type: _ } = fields!(call, CastOptions);
            Op::Cast { to: call.result()? }
        }
        B::SOFTMAX => {
            let schema::SoftmaxOptions { beta } = fields!(call, SoftmaxOptions);
            Op::Softmax { beta }
        }
        B::LOG_SOFTMAX => {
            let schema::LogSoftmaxOptions {} = fields!(call, LogSoftmaxOptions);
            Op::LogSoftmax
        }
        B::L2_NORMALIZATION => {
            let schema::L2NormOptions { fused_activation_function } = fields!(call, L2NormOptions);
            unfused(fused_activation_function, Op::L2Normalization)?
        }
        B::LOCAL_RESPONSE_NORMALIZATION => {
            let schema::LocalResponseNormalizationOptions { radius, bias, alpha, beta } =
                fields!(call, LocalResponseNormalizationOptions);
            Op::LocalResponseNormalization { radius: natural(radius)?, bias, alpha, beta }
        }

        B::CONV_2D | B::DEPTHWISE_CONV_2D | B::TRANSPOSE_CONV | B::CONV_3D | B::CONV_3D_TRANSPOSE => convolution(call)?,
        B::FULLY_CONNECTED => fully_connected(call)?,
        B::BATCH_MATMUL => {
            let schema::BatchMatMulOptions { adj_x, adj_y, asymmetric_quantize_inputs } =
                fields!(call, BatchMatMulOptions);
            Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: asymmetric_quantize_inputs }
        }
        B::EMBEDDING_LOOKUP => bare(call, Op::EmbeddingLookup)?,
        B::AVERAGE_POOL_2D => pool(call, Pool::Average)?,
        B::MAX_POOL_2D => pool(call, Pool::Max)?,
        B::L2_POOL_2D => pool(call, Pool::L2)?,
        B::RESIZE_BILINEAR => {
            let schema::ResizeBilinearOptions { align_corners, half_pixel_centers } =
                fields!(call, ResizeBilinearOptions);
            Op::ResizeBilinear { align_corners, half_pixel_centers }
        }
        B::RESIZE_NEAREST_NEIGHBOR => {
            let schema::ResizeNearestNeighborOptions { align_corners, half_pixel_centers } =
                fields!(call, ResizeNearestNeighborOptions);
            Op::ResizeNearest { align_corners, half_pixel_centers }
        }
        B::DEPTH_TO_SPACE => {
            let schema::DepthToSpaceOptions { block_size } = fields!(call, DepthToSpaceOptions);
            Op::DepthToSpace { block: positive(block_size)? }
        }
        B::SPACE_TO_DEPTH => {
            let schema::SpaceToDepthOptions { block_size } = fields!(call, SpaceToDepthOptions);
            Op::SpaceToDepth { block: positive(block_size)? }
        }
        _ => movement(call)?,
    })
}

/// Operators that move data or make it from shapes.
fn movement(call: &Call<'_>) -> Option<Op> {
    Some(match call.builtin {
        B::MIRROR_PAD => {
            let schema::MirrorPadOptions { mode } = fields!(call, MirrorPadOptions);
            Op::MirrorPad { mode: mirror_mode(mode)? }
        }
        B::RESHAPE => {
            // Interpreters ignore the field where there is an operand, and the operand where it has another type.
            let schema::ReshapeOptions { new_shape: _ } = fields!(call, ReshapeOptions);
            return (call.dtype(1) == Some(DType::I32)).then_some(Op::Reshape);
        }
        B::SQUEEZE => {
            let schema::SqueezeOptions { squeeze_dims } = fields!(call, SqueezeOptions);
            Op::Squeeze { axes: squeeze_dims.unwrap_or_default() }
        }
        B::CONCATENATION => {
            let schema::ConcatenationOptions { axis, fused_activation_function } = fields!(call, ConcatenationOptions);
            unfused(fused_activation_function, Op::Concatenation { axis })?
        }
        B::SPLIT => {
            let schema::SplitOptions { num_splits } = fields!(call, SplitOptions);
            Op::Split { parts: positive(num_splits)? }
        }
        B::SPLIT_V => {
            let schema::SplitVOptions { num_splits } = fields!(call, SplitVOptions);
            Op::SplitV { parts: positive(num_splits)? }
        }
        B::PACK => {
            let schema::PackOptions { values_count, axis } = fields!(call, PackOptions);
            return (natural(values_count)? == call.inputs.len()).then_some(Op::Pack { axis });
        }
        B::UNPACK => {
            let schema::UnpackOptions { num, axis } = fields!(call, UnpackOptions);
            Op::Unpack { axis, parts: natural(num)? }
        }
        B::STRIDED_SLICE => {
            let schema::StridedSliceOptions {
                begin_mask: begin,
                end_mask: end,
                ellipsis_mask: ellipsis,
                new_axis_mask: new_axis,
                shrink_axis_mask: shrink_axis,
                offset,
            } = fields!(call, StridedSliceOptions);
            Op::StridedSlice(SliceMasks { begin, end, ellipsis, new_axis, shrink_axis, offset })
        }
        B::GATHER => {
            let schema::GatherOptions { axis, batch_dims } = fields!(call, GatherOptions);
            Op::Gather { axis, batch_dims }
        }
        B::SHAPE => {
            let schema::ShapeOptions { out_type } = fields!(call, ShapeOptions);
            Op::Shape { to: call.result_as(out_type)? }
        }
        B::ONE_HOT => {
            let schema::OneHotOptions { axis } = fields!(call, OneHotOptions);
            Op::OneHot { axis }
        }
        B::ARG_MAX => {
            let schema::ArgMaxOptions { output_type } = fields!(call, ArgMaxOptions);
            Op::ArgMax { to: call.result_as(output_type)? }
        }
        B::ARG_MIN => {
            let schema::ArgMinOptions { output_type } = fields!(call, ArgMinOptions);
            Op::ArgMin { to: call.result_as(output_type)? }
        }
        B::CUMSUM => {
            let schema::CumsumOptions { exclusive, reverse } = fields!(call, CumsumOptions);
            Op::Cumsum { exclusive, reverse }
        }
        B::REVERSE_SEQUENCE => {
            let schema::ReverseSequenceOptions { seq_dim, batch_dim } = fields!(call, ReverseSequenceOptions);
            Op::ReverseSequence { seq_dim, batch_dim }
        }
        B::UNIQUE => {
            let schema::UniqueOptions { idx_out_type } = fields!(call, UniqueOptions);
            Op::Unique { to: dtype(idx_out_type)? }
        }
        B::BITCAST => {
            let schema::BitcastOptions {} = fields!(call, BitcastOptions);
            Op::Bitcast { to: call.result()? }
        }
        B::QUANTIZE => {
            let schema::QuantizeOptions {} = fields!(call, QuantizeOptions);
            Op::Quantize { to: call.result()? }
        }
        _ => return without_fields(call),
    })
}

/// Operators whose option table has no fields.
fn without_fields(call: &Call<'_>) -> Option<Op> {
    let op = match (call.builtin, call.options) {
        (B::SPACE_TO_BATCH_ND, O::SpaceToBatchNDOptions(_) | O::None) => Op::SpaceToBatch,
        (B::BATCH_TO_SPACE_ND, O::BatchToSpaceNDOptions(_) | O::None) => Op::BatchToSpace,
        (B::PAD, O::PadOptions(_) | O::None) => Op::Pad,
        (B::PADV2, O::PadV2Options(_) | O::None) => Op::PadV2,
        (B::EXPAND_DIMS, O::ExpandDimsOptions(_) | O::None) => Op::ExpandDims,
        (B::TRANSPOSE, O::TransposeOptions(_) | O::None) => Op::Transpose,
        (B::SLICE, O::SliceOptions(_) | O::None) => Op::Slice,
        (B::GATHER_ND, O::GatherNdOptions(_) | O::None) => Op::GatherNd,
        (B::UNSORTED_SEGMENT_SUM, O::UnsortedSegmentSumOptions(_) | O::None) => Op::UnsortedSegment(Segment::Sum),
        (B::UNSORTED_SEGMENT_PROD, O::UnsortedSegmentProdOptions(_) | O::None) => Op::UnsortedSegment(Segment::Prod),
        (B::UNSORTED_SEGMENT_MAX, O::UnsortedSegmentMaxOptions(_) | O::None) => Op::UnsortedSegment(Segment::Max),
        (B::UNSORTED_SEGMENT_MIN, O::UnsortedSegmentMinOptions(_) | O::None) => Op::UnsortedSegment(Segment::Min),
        (B::DYNAMIC_UPDATE_SLICE, O::DynamicUpdateSliceOptions(_) | O::None) => Op::DynamicUpdateSlice,
        (B::NON_MAX_SUPPRESSION_V4, O::NonMaxSuppressionV4Options(_) | O::None) => Op::NonMaxSuppression,
        (B::SCATTER_ND, O::ScatterNdOptions(_) | O::None) => Op::ScatterNd,
        (B::TILE, O::TileOptions(_) | O::None) => Op::Tile,
        (B::BROADCAST_TO, O::BroadcastToOptions(_) | O::None) => Op::BroadcastTo,
        (B::REVERSE_V2, O::ReverseV2Options(_) | O::None) => Op::Reverse,
        (B::FILL, O::FillOptions(_) | O::None) => Op::Fill,
        (B::RANK, O::RankOptions(_) | O::None) => Op::Rank,
        (B::RANGE, O::RangeOptions(_) | O::None) => Op::Range,
        (B::WHERE, O::WhereOptions(_) | O::None) => Op::Where,
        (B::TOPK_V2, O::TopKV2Options(_) | O::None) => Op::TopK,
        (B::DEQUANTIZE, O::DequantizeOptions(_) | O::None) => Op::Dequantize,
        _ => return None,
    };
    Some(op)
}

/// Members of the families of operators that have no options of their own.
fn family(call: &Call<'_>) -> Option<Op> {
    let op = match (call.builtin, call.options) {
        (B::ABS, O::AbsOptions(_) | O::None) => Op::Unary(Unary::Abs),
        (B::CEIL, O::None) => Op::Unary(Unary::Ceil),
        (B::COS, O::CosOptions(_) | O::None) => Op::Unary(Unary::Cos),
        (B::ELU, O::None) => Op::Unary(Unary::Elu),
        (B::EXP, O::ExpOptions(_) | O::None) => Op::Unary(Unary::Exp),
        (B::FLOOR, O::None) => Op::Unary(Unary::Floor),
        (B::HARD_SWISH, O::HardSwishOptions(_) | O::None) => Op::Unary(Unary::HardSwish),
        (B::LOG, O::None) => Op::Unary(Unary::Log),
        (B::LOGICAL_NOT, O::LogicalNotOptions(_) | O::None) => Op::Unary(Unary::LogicalNot),
        (B::LOGISTIC, O::None) => Op::Unary(Unary::Logistic),
        (B::NEG, O::NegOptions(_) | O::None) => Op::Unary(Unary::Neg),
        (B::RELU, O::None) => Op::Unary(Unary::Relu),
        (B::RELU_0_TO_1, O::None) => Op::Unary(Unary::Relu0To1),
        (B::RELU6, O::None) => Op::Unary(Unary::Relu6),
        (B::RELU_N1_TO_1, O::None) => Op::Unary(Unary::ReluN1To1),
        (B::ROUND, O::None) => Op::Unary(Unary::Round),
        (B::RSQRT, O::None) => Op::Unary(Unary::Rsqrt),
        (B::SIGN, O::SignOptions(_) | O::None) => Op::Unary(Unary::Sign),
        (B::SIN, O::None) => Op::Unary(Unary::Sin),
        (B::SQRT, O::None) => Op::Unary(Unary::Sqrt),
        (B::SQUARE, O::SquareOptions(_) | O::None) => Op::Unary(Unary::Square),
        (B::TANH, O::None) => Op::Unary(Unary::Tanh),
        (B::ZEROS_LIKE, O::ZerosLikeOptions(_) | O::None) => Op::Unary(Unary::ZerosLike),

        (B::MAXIMUM, O::MaximumMinimumOptions(_) | O::None) => Op::Binary(Binary::Maximum, Activation::None),
        (B::MINIMUM, O::MaximumMinimumOptions(_) | O::None) => Op::Binary(Binary::Minimum, Activation::None),
        (B::POW, O::PowOptions(_) | O::None) => Op::Binary(Binary::Pow, Activation::None),
        (B::FLOOR_DIV, O::FloorDivOptions(_) | O::None) => Op::Binary(Binary::FloorDiv, Activation::None),
        (B::FLOOR_MOD, O::FloorModOptions(_) | O::None) => Op::Binary(Binary::FloorMod, Activation::None),
        (B::SQUARED_DIFFERENCE, O::SquaredDifferenceOptions(_) | O::None) => {
            Op::Binary(Binary::SquaredDifference, Activation::None)
        }
        (B::ATAN2, O::ATan2Options(_) | O::None) => Op::Binary(Binary::Atan2, Activation::None),
        (B::LOGICAL_AND, O::LogicalAndOptions(_) | O::None) => Op::Binary(Binary::LogicalAnd, Activation::None),
        (B::LOGICAL_OR, O::LogicalOrOptions(_) | O::None) => Op::Binary(Binary::LogicalOr, Activation::None),
        (B::BITWISE_XOR, O::BitwiseXorOptions(_) | O::None) => Op::Binary(Binary::BitwiseXor, Activation::None),
        (B::RIGHT_SHIFT, O::RightShiftOptions(_) | O::None) => Op::Binary(Binary::RightShift, Activation::None),

        (B::EQUAL, O::EqualOptions(_) | O::None) => Op::Compare(Compare::Equal),
        (B::NOT_EQUAL, O::NotEqualOptions(_) | O::None) => Op::Compare(Compare::NotEqual),
        (B::LESS, O::LessOptions(_) | O::None) => Op::Compare(Compare::Less),
        (B::LESS_EQUAL, O::LessEqualOptions(_) | O::None) => Op::Compare(Compare::LessEqual),
        (B::GREATER, O::GreaterOptions(_) | O::None) => Op::Compare(Compare::Greater),
        (B::GREATER_EQUAL, O::GreaterEqualOptions(_) | O::None) => Op::Compare(Compare::GreaterEqual),

        (B::SUM, _) => reduce(call, Reduce::Sum)?,
        (B::MEAN, _) => reduce(call, Reduce::Mean)?,
        (B::REDUCE_MAX, _) => reduce(call, Reduce::Max)?,
        (B::REDUCE_MIN, _) => reduce(call, Reduce::Min)?,
        (B::REDUCE_PROD, _) => reduce(call, Reduce::Prod)?,
        (B::REDUCE_ANY, _) => reduce(call, Reduce::Any)?,
        (B::REDUCE_ALL, _) => reduce(call, Reduce::All)?,
        _ => return None,
    };
    Some(op)
}

fn reduce(call: &Call<'_>, kind: Reduce) -> Option<Op> {
    let schema::ReducerOptions { keep_dims } = fields!(call, ReducerOptions);
    Some(Op::Reduce { kind, keep_dims })
}

/// Binary operators with a fused activation.
fn arithmetic(call: &Call<'_>) -> Option<Op> {
    let (kind, fused, powers_of_two) = match call.builtin {
        B::ADD => {
            let schema::AddOptions { fused_activation_function, pot_scale_int16 } = fields!(call, AddOptions);
            (Binary::Add, fused_activation_function, pot_scale_int16)
        }
        B::SUB => {
            let schema::SubOptions { fused_activation_function, pot_scale_int16 } = fields!(call, SubOptions);
            (Binary::Sub, fused_activation_function, pot_scale_int16)
        }
        B::MUL => {
            let schema::MulOptions { fused_activation_function } = fields!(call, MulOptions);
            (Binary::Mul, fused_activation_function, false)
        }
        _ => {
            let schema::DivOptions { fused_activation_function } = fields!(call, DivOptions);
            (Binary::Div, fused_activation_function, false)
        }
    };
    // The graph knows 16-bit operands of any scale only: another kernel, which rounds differently.
    let quantized = call.value(0).is_some_and(|value| value.quant.is_some());
    if powers_of_two && quantized && call.dtype(0) == Some(DType::I16) {
        return None;
    }
    Some(Op::Binary(kind, activation(fused)?))
}

fn convolution(call: &Call<'_>) -> Option<Op> {
    Some(match call.builtin {
        B::CONV_2D => {
            let schema::Conv2DOptions {
                padding: pad,
                stride_w,
                stride_h,
                fused_activation_function,
                dilation_w_factor,
                dilation_h_factor,
                quantized_bias_type,
            } = fields!(call, Conv2DOptions);
            call.bias_type_is_implied(quantized_bias_type, 0, 2)?;
            let window = window_2d(pad, [stride_h, stride_w], [dilation_h_factor, dilation_w_factor])?;
            Op::Conv2d { window, activation: activation(fused_activation_function)? }
        }
        B::DEPTHWISE_CONV_2D => {
            let schema::DepthwiseConv2DOptions {
                padding: pad,
                stride_w,
                stride_h,
                depth_multiplier,
                fused_activation_function,
                dilation_w_factor,
                dilation_h_factor,
            } = fields!(call, DepthwiseConv2DOptions);
            let window = window_2d(pad, [stride_h, stride_w], [dilation_h_factor, dilation_w_factor])?;
            // Kernels go by the shapes, and files with another number in the field exist; XNNPACK trips over it.
            let multiplier = call.channel_multiplier().or_else(|| natural(depth_multiplier))?;
            Op::DepthwiseConv2d { window, multiplier, activation: activation(fused_activation_function)? }
        }
        B::TRANSPOSE_CONV => {
            let schema::TransposeConvOptions {
                padding: pad,
                stride_w,
                stride_h,
                fused_activation_function,
                quantized_bias_type,
            } = fields!(call, TransposeConvOptions);
            call.bias_type_is_implied(quantized_bias_type, 2, 3)?;
            Op::TransposeConv {
                padding: padding(pad)?,
                stride: [positive(stride_h)?, positive(stride_w)?],
                activation: activation(fused_activation_function)?,
            }
        }
        _ => {
            let schema::Conv3DOptions {
                padding: pad,
                stride_d,
                stride_w,
                stride_h,
                fused_activation_function,
                dilation_d_factor,
                dilation_w_factor,
                dilation_h_factor,
            } = fields!(call, Conv3DOptions);
            let window = Window3d {
                padding: padding(pad)?,
                stride: [positive(stride_d)?, positive(stride_h)?, positive(stride_w)?],
                dilation: [positive(dilation_d_factor)?, positive(dilation_h_factor)?, positive(dilation_w_factor)?],
            };
            let activation = activation(fused_activation_function)?;
            if call.builtin == B::CONV_3D {
                Op::Conv3d { window, activation }
            } else {
                Op::Conv3dTranspose { window, activation }
            }
        }
    })
}

fn window_2d(pad: schema::Padding, stride: [i32; 2], dilation: [i32; 2]) -> Option<Window2d> {
    Some(Window2d {
        padding: padding(pad)?,
        stride: [positive(stride[0])?, positive(stride[1])?],
        dilation: [positive(dilation[0])?, positive(dilation[1])?],
    })
}

fn fully_connected(call: &Call<'_>) -> Option<Op> {
    let schema::FullyConnectedOptions {
        fused_activation_function,
        weights_format,
        keep_num_dims,
        asymmetric_quantize_inputs,
        quantized_bias_type,
        quant_spec,
    } = fields!(call, FullyConnectedOptions);
    let plain = weights_format == schema::FullyConnectedOptionsWeightsFormat::DEFAULT && quant_spec.is_none();
    call.bias_type_is_implied(quantized_bias_type, 0, 2).filter(|()| plain)?;
    Some(Op::FullyConnected {
        keep_num_dims,
        asymmetric_inputs: asymmetric_quantize_inputs,
        activation: activation(fused_activation_function)?,
    })
}

fn pool(call: &Call<'_>, kind: Pool) -> Option<Op> {
    let schema::Pool2DOptions {
        padding: pad,
        stride_w,
        stride_h,
        filter_width,
        filter_height,
        fused_activation_function,
    } = fields!(call, Pool2DOptions);
    Some(Op::Pool2d {
        kind,
        padding: padding(pad)?,
        stride: [positive(stride_h)?, positive(stride_w)?],
        filter: [positive(filter_height)?, positive(filter_width)?],
        activation: activation(fused_activation_function)?,
    })
}

/// Operators for which the schema has no option table.
fn bare(call: &Call<'_>, op: Op) -> Option<Op> {
    (*call.options == O::None).then_some(op)
}

/// Operators whose option table has an activation that kernels don't compute.
fn unfused(fused: schema::ActivationFunctionType, op: Op) -> Option<Op> {
    (fused == schema::ActivationFunctionType::NONE).then_some(op)
}

fn natural(n: i32) -> Option<usize> {
    usize::try_from(n).ok()
}

fn positive(n: i32) -> Option<usize> {
    natural(n).filter(|&n| n > 0)
}

impl Call<'_> {
    fn value(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).copied().flatten()
    }

    fn dtype(&self, i: usize) -> Option<DType> {
        self.value(i).map(|value| value.ty.dtype)
    }

    /// Element type of the first result.
    fn result(&self) -> Option<DType> {
        self.outputs.first().map(|value| value.ty.dtype)
    }

    /// Element type of the first result, where the operator's options say the same.
    fn result_as(&self, option: TensorType) -> Option<DType> {
        self.result().filter(|&result| dtype(option) == Some(result))
    }

    fn channel_multiplier(&self) -> Option<usize> {
        let (channels, results) = (self.value(0)?.ty.shape.dim(3)?, self.value(1)?.ty.shape.dim(3)?);
        (channels > 0 && results % channels == 0).then(|| results / channels)
    }

    /// Whether `option` is what would be written for a bias of this type; see [`narrow_bias`].
    ///
    /// [`narrow_bias`]: super::versions::Operands::narrow_bias
    fn bias_type_is_implied(&self, option: TensorType, x: usize, bias: usize) -> Option<()> {
        let types = (self.dtype(x), self.dtype(1), self.dtype(bias));
        let implied = match types {
            (Some(DType::I16), Some(DType::I8), Some(DType::I32)) => option == TensorType::INT32,
            (Some(DType::I16), _, Some(DType::I64)) => matches!(option, TensorType::FLOAT32 | TensorType::INT64),
            _ => option == TensorType::FLOAT32,
        };
        implied.then_some(())
    }
}

/// How many operands an operator needs, how many it takes at most, and how many results it has.
fn arity(op: &Op) -> (usize, usize, usize) {
    match op {
        Op::Unary(_) | Op::LeakyRelu { .. } | Op::Cast { .. } => (1, 1, 1),
        Op::Softmax { .. } | Op::LogSoftmax | Op::L2Normalization | Op::LocalResponseNormalization { .. } => (1, 1, 1),
        Op::Binary(..) | Op::Compare(_) | Op::Prelu => (2, 2, 1),
        Op::Select => (3, 3, 1),
        Op::Conv2d { .. } | Op::DepthwiseConv2d { .. } | Op::Conv3d { .. } | Op::FullyConnected { .. } => (2, 3, 1),
        Op::TransposeConv { .. } | Op::Conv3dTranspose { .. } => (3, 4, 1),
        Op::BatchMatMul { .. } | Op::EmbeddingLookup => (2, 2, 1),
        Op::Pool2d { .. } | Op::DepthToSpace { .. } | Op::SpaceToDepth { .. } => (1, 1, 1),
        Op::ResizeBilinear { .. } | Op::ResizeNearest { .. } => (2, 2, 1),
        Op::SpaceToBatch | Op::BatchToSpace => (3, 3, 1),
        Op::Pad | Op::MirrorPad { .. } | Op::Reshape | Op::ExpandDims | Op::Transpose => (2, 2, 1),
        Op::PadV2 => (3, 3, 1),
        Op::Squeeze { .. } => (1, 1, 1),
        Op::Concatenation { .. } | Op::Pack { .. } => (1, usize::MAX, 1),
        Op::Split { parts } => (2, 2, *parts),
        Op::SplitV { parts } => (3, 3, *parts),
        Op::Unpack { parts, .. } => (1, 1, *parts),
        Op::Slice => (3, 3, 1),
        Op::StridedSlice(_) => (4, 4, 1),
        Op::Gather { .. } | Op::GatherNd | Op::Tile | Op::BroadcastTo | Op::Reverse => (2, 2, 1),
        Op::ScatterNd | Op::UnsortedSegment(_) | Op::DynamicUpdateSlice => (3, 3, 1),
        Op::ReverseSequence { .. } => (2, 2, 1),
        Op::Unique { .. } => (1, 1, 2),
        Op::NonMaxSuppression => (5, 5, 2),
        Op::Bitcast { .. } => (1, 1, 1),
        Op::Fill => (2, 2, 1),
        Op::Shape { .. } | Op::Rank | Op::Where => (1, 1, 1),
        Op::Range => (3, 3, 1),
        Op::OneHot { .. } => (4, 4, 1),
        Op::TopK => (2, 2, 2),
        Op::ArgMax { .. } | Op::ArgMin { .. } | Op::Cumsum { .. } | Op::Reduce { .. } => (2, 2, 1),
        Op::Quantize { .. } | Op::Dequantize => (1, 1, 1),
        // Nothing is decoded to one: `regions` nests the graphs when all are read.
        Op::If { .. } | Op::While { .. } | Op::Opaque(_) => (0, usize::MAX, 0),
    }
}

//! What LiteRT's delegate for graphics processors takes. It computes in float; 8-bit models are computed in float inside.

use super::role::Role::{Data, Index, Parameter, Result, Weights};
use super::rule::Rule::{Alike, Constant, FixedShapes, Rank, Types};
use super::rule::{At, Rule, that};
use super::{Row, Table, row};
use crate::graph::{MirrorMode, Op, SliceMasks};
use crate::tensor::DType::{Bool, F16, F32, I4, I8, I32, U8};

pub(super) const TABLE: Table = Table {
    source: "tensorflow: lite/tools/versioning/gpu_compatibility.cc at 03a5e4e1",
    without: "write it with other operators in the model, or let the CPU run it",
    one_piece: false,
    every: &[FixedShapes, BATCHED],
    rows: ROWS,
};

const NUMBERS: &[Rule] = &[Types(Data, &[F32, F16, I8, U8]), Types(Result, &[F32, F16, I8, U8])];
const RUN_TIME: &[Rule] = &[that("its operand is a constant", "fold it in the model", |at| {
    at.values(Data).iter().any(|value| value.data.is_none())
})];
const PARAMETERS: &[Rule] = &[Constant(Parameter)];
const AXES: &[Rule] = &[Constant(Parameter), Types(Parameter, &[I32])];
const RANK_3_4: &[Rule] = &[Rank(Data, 3, 4)];
const BATCHED: Rule = that("a tensor has more than 4 axes", "merge axes in the model", |at| {
    [Data, Result].into_iter().flat_map(|role| at.values(role)).all(|value| value.ty.shape.rank() <= 4)
});
const PADDED: &[Rule] = &[that("paddings are not for 3 or 4 axes", "reshape around it", |at| {
    at.operand(1).is_some_and(|paddings| matches!(paddings.ty.shape.dim(0), Some(3 | 4)))
})];
const REFLECTED: &[Rule] = &[that("it mirrors with the border", "use the mode reflect", |at| {
    !matches!(at.node.op, Op::MirrorPad { mode: MirrorMode::Symmetric })
})];
const COVERS: &[Rule] =
    &[that("neither operand is as large as the other along every axis", "broadcast one of them first", |at| {
        let shapes: Vec<_> = at.values(Data).iter().filter_map(|value| value.ty.shape.as_fixed()).collect();
        let [a, b] = shapes.as_slice() else { return true };
        a.len() != b.len() || a.iter().zip(b).all(|(a, b)| a >= b) || a.iter().zip(b).all(|(a, b)| a <= b)
    })];
const DEPTHWISE: &[Rule] =
    &[that("it has several filters for each of several channels", "use a convolution with groups", |at| {
        let Op::DepthwiseConv2d { multiplier, .. } = at.node.op else { return true };
        multiplier == 1 || at.dims(Data).is_none_or(|dims| dims.last() == Some(&1))
    })];
const BETA_1: &[Rule] = &[that(
    "beta is not 1",
    "scale the operand instead",
    |at| !matches!(at.node.op, Op::Softmax { beta } if beta != 1.0),
)];
const NO_MASKS: &[Rule] = &[that("it makes or drops axes", "slice, then reshape", |at| {
    let Op::StridedSlice(SliceMasks { ellipsis, new_axis, shrink_axis, .. }) = at.node.op else { return true };
    ellipsis == 0 && new_axis == 0 && shrink_axis == 0
})];
const ONE_CONVERSION: &[Rule] = &[that("it has no conversion between these types", "use float32 or int32", |at| {
    let pair = at.dtype(Data).zip(at.dtype(Result));
    matches!(pair, Some((Bool, F16 | F32) | (F16 | F32, Bool) | (F32 | I32, F32 | I32)))
})];
const GATHERED: &[Rule] = &[Types(Data, &[F32, F16, I8, U8]), Types(Index, &[I32]), Rank(Index, 1, 1)];
const SELECTED: &[Rule] = &[that(
    "what it selects is not float, or neither as large as the result nor one number",
    "broadcast in the model, and compute in float",
    |at| {
        let whole = at.result().map(|result| &result.ty.shape);
        [1, 2].into_iter().filter_map(|i| at.operand(i)).all(|value| {
            matches!(value.ty.dtype, F16 | F32)
                && (Some(&value.ty.shape) == whole || value.ty.shape.elements() == Some(1))
        })
    },
)];
const KEPT_AXES: &[Rule] = &[that("operand and result differ in the number of axes", "reshape before it", |at| {
    !matches!(at.node.op, Op::FullyConnected { keep_num_dims: true, .. })
        || at.first(Data).map(|v| v.ty.shape.rank()) == at.first(Result).map(|v| v.ty.shape.rank())
})];
const ONE_MODE: &[Rule] =
    &[that("align_corners and half_pixel are asked for at once", "ask for one of them", |at: &At<'_>| {
        !matches!(at.node.op, Op::ResizeBilinear { align_corners: true, half_pixel_centers: true })
    })];
const BLOCK: &[Rule] = &[that("its block is 1", "leave it out", |at| {
    !matches!(at.node.op, Op::DepthToSpace { block: 1 } | Op::SpaceToDepth { block: 1 })
})];
const FLOAT: &[Rule] = &[Alike(&[F32, F16])];
const COMPARED: &[Rule] = &[Types(Data, &[F32, F16, I8, U8, I32])];

const ROWS: &[Row] = &[
    row("ABS", &[NUMBERS, RUN_TIME]),
    row("ADD", &[NUMBERS]),
    row("ADD_N", &[NUMBERS]),
    row("ATAN2", &[NUMBERS, RUN_TIME]),
    row("AVERAGE_POOL_2D", &[NUMBERS]),
    row("BATCH_MATMUL", &[NUMBERS]),
    row("CAST", &[ONE_CONVERSION]),
    row("CEIL", &[NUMBERS, RUN_TIME]),
    row("CONCATENATION", &[NUMBERS]),
    row("CONV_2D", &[NUMBERS]),
    row("COS", &[NUMBERS, RUN_TIME]),
    row("CUMSUM", &[FLOAT, AXES]),
    row("DEPTHWISE_CONV_2D", &[NUMBERS, DEPTHWISE]),
    row("DEPTH_TO_SPACE", &[NUMBERS, BLOCK]),
    row("DEQUANTIZE", &[&[Types(Data, &[F16, I8, U8, I4])]]),
    row("DIV", &[NUMBERS, RUN_TIME]),
    row("DYNAMIC_UPDATE_SLICE", &[NUMBERS, &[Types(Index, &[I32])]]),
    row("ELU", &[NUMBERS, RUN_TIME]),
    row("EMBEDDING_LOOKUP", &[&[Types(Weights, &[F32, I8, I4])]]),
    row("EQUAL", &[COMPARED]),
    row("EXP", &[NUMBERS, RUN_TIME]),
    row("FLOOR", &[NUMBERS, RUN_TIME]),
    row("FLOOR_DIV", &[NUMBERS, RUN_TIME]),
    row("FLOOR_MOD", &[NUMBERS, RUN_TIME]),
    row("FULLY_CONNECTED", &[NUMBERS, RUN_TIME, KEPT_AXES]),
    row("GATHER", &[GATHERED]),
    row("GELU", &[NUMBERS, RUN_TIME]),
    row("GREATER", &[COMPARED]),
    row("GREATER_EQUAL", &[COMPARED]),
    row("HARD_SWISH", &[NUMBERS, RUN_TIME]),
    row("LEAKY_RELU", &[NUMBERS]),
    row("LESS", &[COMPARED]),
    row("LESS_EQUAL", &[COMPARED]),
    row("LOG", &[NUMBERS, RUN_TIME]),
    row("LOGICAL_AND", &[&[Types(Data, &[Bool])]]),
    row("LOGISTIC", &[NUMBERS, RUN_TIME]),
    row("LSTM", &[NUMBERS]),
    row("MAXIMUM", &[NUMBERS, RUN_TIME]),
    row("MAX_POOL_2D", &[NUMBERS]),
    row("MEAN", &[NUMBERS, AXES]),
    row("MINIMUM", &[NUMBERS, RUN_TIME]),
    row("MIRROR_PAD", &[NUMBERS, PARAMETERS, PADDED, REFLECTED]),
    row("MUL", &[NUMBERS, COVERS]),
    row("NEG", &[NUMBERS, RUN_TIME]),
    row("NOT_EQUAL", &[COMPARED]),
    row("ONE_HOT", &[&[Types(Index, &[I32]), Types(Data, &[F32]), Constant(Data)]]),
    row("PACK", &[NUMBERS]),
    row("PAD", &[NUMBERS, PARAMETERS, PADDED]),
    row("PADV2", &[NUMBERS, PARAMETERS, PADDED]),
    row("POW", &[NUMBERS, RUN_TIME]),
    row("PRELU", &[NUMBERS]),
    row("QUANTIZE", &[NUMBERS]),
    row("REDUCE_MAX", &[NUMBERS, AXES]),
    row("REDUCE_MIN", &[NUMBERS, AXES]),
    row("REDUCE_PROD", &[NUMBERS, AXES]),
    row("RELU", &[NUMBERS]),
    row("RELU6", &[NUMBERS]),
    row("RELU_N1_TO_1", &[NUMBERS]),
    row("RESHAPE", &[NUMBERS, PARAMETERS]),
    row("RESIZE_BILINEAR", &[NUMBERS, PARAMETERS, ONE_MODE]),
    row("RESIZE_NEAREST_NEIGHBOR", &[NUMBERS, PARAMETERS]),
    row("RSQRT", &[NUMBERS, RUN_TIME]),
    row("SELECT", &[SELECTED]),
    row("SELECT_V2", &[SELECTED]),
    row("SIGN", &[NUMBERS, RUN_TIME]),
    row("SIN", &[NUMBERS, RUN_TIME]),
    row("SLICE", &[NUMBERS, RANK_3_4]),
    row("SOFTMAX", &[NUMBERS, BETA_1]),
    row("SPACE_TO_DEPTH", &[NUMBERS, BLOCK]),
    row("SPLIT", &[NUMBERS]),
    row("SPLIT_V", &[NUMBERS]),
    row("SQRT", &[NUMBERS, RUN_TIME]),
    row("SQUARE", &[NUMBERS, RUN_TIME]),
    row("SQUARED_DIFFERENCE", &[NUMBERS, RUN_TIME]),
    row("STRIDED_SLICE", &[NUMBERS, RANK_3_4, NO_MASKS]),
    row("SUB", &[NUMBERS, RUN_TIME]),
    row("SUM", &[NUMBERS, AXES]),
    row("TANH", &[NUMBERS, RUN_TIME]),
    row("TILE", &[NUMBERS, PARAMETERS]),
    row("TRANSPOSE", &[NUMBERS, PARAMETERS]),
    row("TRANSPOSE_CONV", &[NUMBERS]),
];

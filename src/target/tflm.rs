//! What TensorFlow Lite for Microcontrollers takes, with its portable kernels.
//!
//! Its resolver looks at an operator's code and not at the version; kernels look at types, ranks and constness when they are
//! prepared. All is static: no kernel makes a tensor whose shape is not in the file.

use super::role::Role::{Data, Index, Parameter, Result, Weights};
use super::rule::Rule::{Alike, Constant, FixedShapes, OneGrid, Pairs, PerTensor, Rank, Types};
use super::rule::{Rule, that};
use super::{Row, Table, adapt, row};
use crate::tensor::DType::{self, Bool, F32, I4, I8, I16, I32, I64, U8, U32};

pub(super) const TABLE: Table = Table {
    source: "tflite-micro: micro_mutable_op_resolver.h and the portable kernels at 90b983c2 (2026-08-20), tried with its interpreter \
             0.dev20261023182759",
    without: "write it with other operators in the model, or leave this part to the application with --inputs and --outputs",
    one_piece: false,
    every: &[FixedShapes],
    rows: ROWS,
};

const FLOAT: &[Rule] = &[Alike(&[F32])];
const FLOAT_8: &[Rule] = &[Alike(&[F32, I8])];
const FLOAT_8_16: &[Rule] = &[Alike(&[F32, I8, I16])];
const FLOAT_8_16_32: &[Rule] = &[Alike(&[F32, I8, I16, I32])];
const PARAMETERS: &[Rule] = &[Constant(Parameter)];
const IMAGE: &[Rule] = &[Rank(Data, 4, 4)];
const WEIGHTS: &[Rule] = &[Pairs(&[(F32, F32), (I8, I8), (I8, I4), (I16, I8)])];
const AXIS_32: &[Rule] = &[Types(Parameter, &[I32])];
/// Broadcasting goes through shapes of four axes.
const BROADCAST: &[Rule] =
    &[that("operands of different shapes have more than 4 axes", "merge axes of the operands in the model", |at| {
        let shapes: Vec<_> = at.values(Data).iter().map(|value| &value.ty.shape).collect();
        shapes.iter().all(|shape| Some(shape) == shapes.first()) || shapes.iter().all(|shape| shape.rank() <= 4)
    })];
const COMPARED: &[Rule] = &[Types(Data, &[F32, I32, I64, I8])];
const COMPARED_BOOL: &[Rule] = &[Types(Data, &[Bool, F32, I32, I64, I8])];
const NO_FLOAT_AND_8: &[Rule] = &[Types(Result, &[I8, I16, I32, U8])];

const ROWS: &[Row] = &[
    row("ABS", &[FLOAT_8_16]),
    row("ADD", &[FLOAT_8_16_32, BROADCAST]),
    row("ADD_N", &[FLOAT_8]),
    row("ARG_MAX", &[&[Types(Data, &[F32, I8]), Types(Result, &[I32])], AXIS_32]),
    row("ARG_MIN", &[&[Types(Data, &[F32, I8]), Types(Result, &[I32])], AXIS_32]),
    row("ASSIGN_VARIABLE", &[]),
    row("AVERAGE_POOL_2D", &[FLOAT_8_16, IMAGE]),
    row("BATCH_MATMUL", &[FLOAT_8_16, &[PerTensor(Data), Rank(Data, 2, 5)]]),
    row("BATCH_TO_SPACE_ND", &[FLOAT_8, &[Rank(Data, 3, 4)]]),
    row("BROADCAST_ARGS", &[]),
    row("BROADCAST_TO", &[PARAMETERS, &[Rank(Result, 0, 5)]]),
    row("CALL_ONCE", &[]),
    row("CAST", &[&[Types(Data, &[F32, I8, I16, I32, U32, Bool]), Types(Result, &[F32, I8, I16, I32, U32])]]),
    row("CEIL", &[FLOAT]),
    row("CIRCULAR_BUFFER", &[]),
    row("CONCATENATION", &[&[Alike(&[F32, I8, I16, I32, I64, Bool])], CONCATENATED]),
    row("CONV_2D", &[WEIGHTS]),
    row("COS", &[FLOAT]),
    row("CUMSUM", &[FLOAT_8, AXIS_32]),
    row("DEPTHWISE_CONV_2D", &[WEIGHTS]),
    row("DEPTH_TO_SPACE", &[FLOAT_8, IMAGE]),
    row("DEQUANTIZE", &[&[Types(Data, &[I8, I16, U8]), PerTensor(Data), Types(Result, &[F32])]]),
    row("DIV", &[&[Alike(&[F32, I8, I32])], BROADCAST]),
    row("DYNAMIC_UPDATE_SLICE", &[FLOAT_8_16_32]),
    row("ELU", &[FLOAT_8]),
    row(
        "EMBEDDING_LOOKUP",
        &[&[Types(Weights, &[F32, I8]), Types(Index, &[I32]), Types(Result, &[F32, I8])], PER_TENSOR],
    ),
    row("EQUAL", &[COMPARED_BOOL, BROADCAST]),
    row("EXP", &[FLOAT]),
    row("EXPAND_DIMS", &[FLOAT_8_16, PARAMETERS]),
    row("FILL", &[&[Types(Data, &[F32, I32, I8])], PARAMETERS]),
    row("FLOOR", &[FLOAT]),
    row("FLOOR_DIV", &[FLOAT, BROADCAST]),
    row("FLOOR_MOD", &[FLOAT, BROADCAST]),
    row("FULLY_CONNECTED", &[WEIGHTS]),
    row("GATHER", &[&[Types(Data, &[F32, I8]), Types(Index, &[I32])]]),
    row("GATHER_ND", &[&[Types(Data, &[F32, I8]), Types(Index, &[I32])]]),
    row("GREATER", &[COMPARED, BROADCAST]),
    row("GREATER_EQUAL", &[COMPARED, BROADCAST]),
    row("HARD_SWISH", &[FLOAT_8]),
    row("IF", &[]),
    row("L2_NORMALIZATION", &[FLOAT_8, &[Rank(Data, 1, 4)]]),
    row("L2_POOL_2D", &[FLOAT, IMAGE]),
    row("LEAKY_RELU", &[FLOAT_8_16]),
    row("LESS", &[&[Types(Data, &[F32, I32, I64, I8])], BROADCAST]),
    row("LESS_EQUAL", &[COMPARED, BROADCAST]),
    row("LOG", &[FLOAT]),
    row("LOGICAL_AND", &[&[Alike(&[Bool])], BROADCAST]),
    row("LOGICAL_NOT", &[&[Alike(&[Bool])]]),
    row("LOGICAL_OR", &[&[Alike(&[Bool])], BROADCAST]),
    row("LOGISTIC", &[FLOAT_8_16]),
    row("LOG_SOFTMAX", &[FLOAT_8]),
    row("MAXIMUM", &[&[Alike(&[F32, I8, I16, I32, I64])], BROADCAST]),
    row("MAX_POOL_2D", &[FLOAT_8_16, IMAGE]),
    row("MEAN", &[FLOAT_8_16, AXIS_32, PARAMETERS, &[Rank(Data, 0, 4)]]),
    row("MINIMUM", &[&[Alike(&[F32, I8, I16, I32, I64])], BROADCAST]),
    row("MIRROR_PAD", &[FLOAT_8]),
    row("MUL", &[FLOAT_8_16_32, BROADCAST]),
    row("NEG", &[FLOAT]),
    row("NOT_EQUAL", &[COMPARED_BOOL, BROADCAST]),
    row("PACK", &[&[Alike(&[F32, I8, I16, I32, I64])]]),
    row("PAD", &[PADDED, PARAMETERS]),
    row("PADV2", &[PADDED, PARAMETERS]),
    row("PRELU", &[&[Types(Data, &[F32, I8, I16])]]),
    row("QUANTIZE", &[QUANTIZED, NO_FLOAT_AND_8]),
    row("READ_VARIABLE", &[]),
    row("REDUCE_ALL", &[&[Alike(&[Bool])], AXIS_32]),
    row("REDUCE_MAX", &[FLOAT_8, AXIS_32, &[OneGrid]]),
    row("REDUCE_MIN", &[FLOAT_8, AXIS_32, &[OneGrid]]),
    row("RELU", &[FLOAT_8_16]),
    row("RELU6", &[FLOAT_8_16]),
    row("RESHAPE", &[]),
    row("RESIZE_BILINEAR", &[FLOAT_8, IMAGE, PARAMETERS]),
    row("RESIZE_NEAREST_NEIGHBOR", &[FLOAT_8_16, IMAGE, PARAMETERS]),
    row("REVERSE_V2", &[&[Alike(&[F32, I32, U8, I8, I16, I64, Bool])], AXIS_32, &[Rank(Data, 1, 5)]]),
    row("ROUND", &[FLOAT]),
    row("RSQRT", &[FLOAT_8]),
    row("SELECT_V2", &[&[SELECTED]]),
    row("SHAPE", &[&[Types(Result, &[I32])]]),
    row("SIN", &[FLOAT]),
    row("SLICE", &[&[Alike(&[F32, I32, I8, I16, Bool])], &[Rank(Data, 0, 5)]]),
    row("SOFTMAX", &[&[Types(Data, &[F32, I8, I16])]]),
    row("SPACE_TO_BATCH_ND", &[FLOAT_8, &[Rank(Data, 3, 4)]]),
    row("SPACE_TO_DEPTH", &[FLOAT_8, IMAGE]),
    row("SPLIT", &[FLOAT_8_16_32, PARAMETERS]),
    row("SPLIT_V", &[FLOAT_8_16_32, PARAMETERS]),
    row("SQRT", &[FLOAT]),
    row("SQUARE", &[FLOAT]),
    row("SQUARED_DIFFERENCE", &[FLOAT_8_16_32, BROADCAST]),
    row("SQUEEZE", &[]),
    row("STRIDED_SLICE", &[&[Alike(&[F32, I8, I16, I32, Bool])], PARAMETERS, &[Rank(Data, 0, 4)]]),
    row("SUB", &[FLOAT_8_16_32, BROADCAST]),
    row("SUM", &[FLOAT_8_16, AXIS_32, PARAMETERS]),
    row("SVDF", &[&[Types(Data, &[F32, I8])]]),
    row("TANH", &[FLOAT_8_16]),
    row("TFLite_Detection_PostProcess", &[]),
    row("TRANSPOSE", &[&[Alike(&[F32, I8, I16])], PARAMETERS, &[Rank(Data, 0, 5)]]),
    row("TRANSPOSE_CONV", &[WEIGHTS, NO_INT4]),
    row("UNIDIRECTIONAL_SEQUENCE_LSTM", &[FLOAT_8_16]),
    row("UNPACK", &[FLOAT_8_16_32]),
    row("VAR_HANDLE", &[]),
    row("WHILE", &[]),
    row("ZEROS_LIKE", &[&[Alike(&[F32, I8, I32, I64])]]),
];

const PER_TENSOR: &[Rule] = &[PerTensor(Weights)];
const PADDED: &[Rule] = &[Alike(&[F32, I8, I16, I32]), OneGrid, Rank(Data, 0, 5)];
const NO_INT4: &[Rule] = &[Types(Weights, &[F32, I8])];
/// The condition is an operand like the others.
const SELECTED: Rule = that("its operands are not float32, int8 or int16", "compute it in one of these types", |at| {
    [1, 2].into_iter().filter_map(|i| at.operand(i)).all(|value| [F32, I8, I16].contains(&value.ty.dtype))
});
const CONCATENATED: &[Rule] = &[that("it joins more than 10 operands", "join them in steps in the model", |at| {
    at.node.inputs.len() <= adapt::TFLM_JOINED
})];
const QUANTIZED: &[Rule] =
    &[that("there is no kernel from this type to that", "quantize inputs and results to int8 or int16", |at| {
        at.dtype(Data).zip(at.dtype(Result)).is_none_or(|pair| CONVERSIONS.contains(&pair))
    })];
const CONVERSIONS: &[(DType, DType)] = &[
    (F32, I8),
    (F32, I16),
    (I8, I8),
    (I8, U8),
    (U8, I8),
    (I8, I16),
    (I8, I32),
    (I16, I8),
    (I16, I16),
    (I16, I32),
    (I32, I8),
    (I32, I16),
];

//! What LiteRT's XNNPACK delegate takes; LiteRT's own kernels run the rest.

use super::role::Role::{Bias, Data, Parameter, Result, Weights};
use super::rule::Rule::{Alike, Constant, FixedShapes, Fused, OneGrid, Pairs, PerTensor, Rank, Types};
use super::rule::{Rule, that};
use super::{Row, Table, row};
use crate::graph::Activation::{Relu, Relu6, ReluN1To1};
use crate::graph::{Op, SliceMasks};
use crate::tensor::DType::{F16, F32, I4, I8, U8};

pub(super) const TABLE: Table = Table {
    source: "LiteRT at 2026-08-21: xnnpack_delegate.cc, tried with ai_edge_litert 2.3.0",
    without: "nothing: LiteRT's own kernel runs it",
    one_piece: false,
    every: &[FixedShapes, RANK_6],
    rows: ROWS,
};

const RANK_6: Rule = that("a tensor has more than 6 axes", "merge axes in the model", |at| {
    [Data, Result].into_iter().flat_map(|role| at.values(role)).all(|value| value.ty.shape.rank() <= 6)
});
const FLOAT: &[Rule] = &[Alike(&[F32, F16])];
const NUMBERS: &[Rule] = &[Alike(&[F32, F16, I8, U8]), PerTensor(Data)];
const NO_HALF: &[Rule] = &[Alike(&[F32, I8, U8]), PerTensor(Data)];
const SIGNED: &[Rule] = &[Alike(&[F32, F16, I8]), PerTensor(Data)];
const ACTIVATIONS: &[Rule] = &[Fused(&[Relu, Relu6, ReluN1To1])];
const PARAMETERS: &[Rule] = &[Constant(Parameter)];
const WEIGHTED: &[Rule] = &[
    Pairs(&[(F32, F32), (F32, F16), (F32, I8), (F32, I4), (F16, F16), (F16, F32), (I8, I8), (I8, I4), (U8, U8)]),
    Constant(Weights),
    Constant(Bias),
    Fused(&[Relu, Relu6, ReluN1To1]),
];
const GRIDS: &[Rule] = &[OneGrid];
const IMAGE: &[Rule] = &[Rank(Data, 4, 4)];
const BETA_1: &[Rule] = &[that(
    "beta is not 1",
    "scale the operand instead",
    |at| !matches!(at.node.op, Op::Softmax { beta } if beta != 1.0),
)];
const SMOOTH: &[Rule] = &[that(
    "its slope is 0 or not a normal number",
    "use RELU",
    |at| !matches!(at.node.op, Op::LeakyRelu { alpha } if !alpha.is_normal()),
)];
const CONSTANT_ALPHA: &[Rule] = &[that("its slopes are computed at run time", "make them a constant", |at| {
    at.operand(1).is_some_and(|alpha| alpha.data.is_some())
})];
const FEW: &[Rule] =
    &[that("it joins more than 5 operands", "join them in steps", |at| (2..=5).contains(&at.node.inputs.len()))];
const PARTS: &[Rule] =
    &[that("it makes more than 4 parts", "split in steps", |at| (2..=4).contains(&at.node.outputs.len()))];
const PLAIN: &[Rule] =
    &[that("a stride is not 1, or axes are made or dropped", "slice with stride 1, then reshape", |at| {
        let Op::StridedSlice(SliceMasks { ellipsis, new_axis, shrink_axis, .. }) = at.node.op else { return true };
        let strides = at.ints(3).is_some_and(|strides| strides.iter().all(|&stride| stride == 1));
        strides && ellipsis == 0 && new_axis == 0 && shrink_axis == 0
    })];
const SIZES: &[Rule] = &[that("a size is -1 or 0", "name the sizes", |at| {
    at.ints(2).is_some_and(|sizes| sizes.iter().all(|&size| size > 0))
})];

const ROWS: &[Row] = &[
    row("ABS", &[FLOAT]),
    row("ADD", &[NUMBERS, ACTIVATIONS]),
    row("AVERAGE_POOL_2D", &[FLOAT, ACTIVATIONS]),
    row("BATCH_MATMUL", &[SIGNED]),
    row("CEIL", &[FLOAT]),
    row("CONCATENATION", &[NUMBERS, GRIDS, FEW]),
    row("CONV_2D", &[WEIGHTED]),
    row("COS", &[FLOAT]),
    row("DEPTHWISE_CONV_2D", &[WEIGHTED]),
    row("DEPTH_TO_SPACE", &[NUMBERS]),
    row("DEQUANTIZE", &[&[PerTensor(Data), Types(Data, &[F16, I8, U8])]]),
    row("DIV", &[FLOAT, ACTIVATIONS]),
    row("ELU", &[SIGNED]),
    row("EXP", &[FLOAT]),
    row("EXPAND_DIMS", &[NUMBERS, PARAMETERS]),
    row("FLOOR", &[FLOAT]),
    row("FULLY_CONNECTED", &[WEIGHTED]),
    row("GELU", &[FLOAT]),
    row("HARD_SWISH", &[FLOAT]),
    row("LEAKY_RELU", &[NUMBERS, SMOOTH]),
    row("LOG", &[FLOAT]),
    row("LOGISTIC", &[NUMBERS]),
    row("MAXIMUM", &[FLOAT]),
    row("MAX_POOL_2D", &[NO_HALF, GRIDS, ACTIVATIONS]),
    row("MEAN", &[NUMBERS, PARAMETERS]),
    row("MINIMUM", &[FLOAT]),
    row("MUL", &[NUMBERS, ACTIVATIONS]),
    row("NEG", &[FLOAT]),
    row("PAD", &[NUMBERS, PARAMETERS]),
    row("PRELU", &[FLOAT, CONSTANT_ALPHA]),
    row("QUANTIZE", &[&[PerTensor(Result), Types(Data, &[F32, F16, I8, U8]), Types(Result, &[I8, U8])]]),
    row("REDUCE_MAX", &[NUMBERS, PARAMETERS]),
    row("REDUCE_MIN", &[NUMBERS, PARAMETERS]),
    row("RELU", &[FLOAT]),
    row("RELU6", &[FLOAT]),
    row("RELU_N1_TO_1", &[FLOAT]),
    row("RESHAPE", &[NUMBERS, PARAMETERS]),
    row("RESIZE_BILINEAR", &[NO_HALF, PARAMETERS, IMAGE]),
    row("ROUND", &[FLOAT]),
    row("RSQRT", &[FLOAT]),
    row("SIN", &[FLOAT]),
    row("SLICE", &[NUMBERS, PARAMETERS, SIZES]),
    row("SOFTMAX", &[FLOAT, BETA_1]),
    row("SPACE_TO_DEPTH", &[NO_HALF]),
    row("SPLIT", &[NUMBERS, PARAMETERS, PARTS]),
    row("SQRT", &[FLOAT]),
    row("SQUARE", &[FLOAT]),
    row("SQUARED_DIFFERENCE", &[FLOAT]),
    row("STRIDED_SLICE", &[NUMBERS, PARAMETERS, PLAIN]),
    row("SUB", &[NUMBERS, ACTIVATIONS]),
    row("SUM", &[NUMBERS, PARAMETERS]),
    row("TANH", &[NUMBERS]),
    row("TRANSPOSE", &[NUMBERS, PARAMETERS]),
    row("TRANSPOSE_CONV", &[WEIGHTED, PARAMETERS]),
];

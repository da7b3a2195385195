//! What Coral's Edge TPU takes, as its compiler maps operators. It takes one piece from the start of a model.

use super::role::Role::{Bias, Data, Parameter, Result, Weights};
use super::rule::Rule::{Constant, FixedShapes, Fused, PerTensor, Quantized, Types};
use super::rule::{At, Rule, product, that};
use super::{Row, Table, row};
use crate::graph::{Op, SliceMasks};
use crate::tensor::DType::{I8, I32, U8};

pub(super) const TABLE: Table = Table {
    source: "Coral's list of operations for Edge TPU compiler 16.0, at second hand and not tried; sizes may push more to the CPU",
    without: "write it with other operators in the model, or end the model before it with --outputs",
    one_piece: true,
    every: &[FixedShapes, PerTensor(Data), PerTensor(Result), OUTER],
    rows: ROWS,
};

const BYTES: &[Rule] = &[Types(Data, &[I8, U8]), Types(Result, &[I8, U8]), Quantized];
const WEIGHTED: &[Rule] = &[
    Types(Data, &[I8, U8]),
    Types(Weights, &[I8, U8]),
    Types(Bias, &[I32]),
    Constant(Weights),
    Constant(Bias),
    Quantized,
];
const PARAMETERS: &[Rule] = &[Constant(Parameter)];
const UNFUSED: &[Rule] = &[Fused(&[])];
const OUTER: Rule =
    that("a tensor has more than 3 axes over 1", "convert with --batch 1, or merge axes in the model", |at| {
        [Data, Result].into_iter().flat_map(|role| at.values(role)).all(|value| {
            value.ty.shape.as_fixed().is_none_or(|dims| {
                let outer = dims.len().saturating_sub(3);
                dims.iter().take(outer).all(|&extent| extent == 1)
            })
        })
    });
const EQUAL_DILATION: Rule =
    that("height and width are dilated by different factors", "dilate both alike", |at| match at.node.op {
        Op::Conv2d { window, .. } => window.dilation[0] == window.dilation[1],
        _ => true,
    });
const UNDILATED: Rule = that("it is dilated", "use a depthwise convolution without dilation", |at| match at.node.op {
    Op::DepthwiseConv2d { window, .. } => window.dilation == [1, 1],
    _ => true,
});
const NO_CONSTANT: Rule =
    that("it joins a constant", "pad instead", |at| at.values(Data).iter().all(|value| value.data.is_none()));
const VECTOR_RESULT: Rule = that("its result has more than one axis over 1", "convert with --batch 1", |at| {
    at.dims(Result).is_none_or(|dims| dims.iter().filter(|&&extent| extent > 1).count() <= 1)
});
const SOFTMAX: Rule = that(
    "it is not over a vector of up to 16000",
    "use a smaller head, or leave the softmax to the application",
    |at| {
        at.dims(Data).is_none_or(|dims| {
            dims.iter().filter(|&&extent| extent > 1).count() <= 1 && product(dims.iter().copied()) <= 16000
        })
    },
);
const INNER_AXES: Rule = that("it works along the batch", "use another axis", |at| {
    let rank = at.dims(Data).map_or(0, |dims| dims.len()) as i64;
    let axes = match &at.node.op {
        Op::Pack { axis } => vec![i64::from(*axis)],
        Op::Split { .. } => at.ints(0).unwrap_or_default(),
        Op::Reduce { .. } => at.ints(1).unwrap_or_default(),
        _ => Vec::new(),
    };
    rank < 4 || axes.iter().all(|&axis| axis != 0 && axis != -rank)
});
const SPATIAL_PAD: Rule = that("it pads another axis than height and width", "pad height and width alone", |at| {
    let Some(paddings) = at.ints(1) else { return true };
    let outer: Vec<i64> =
        paddings.chunks(2).map(|pair| pair.iter().fold(0, |sum: i64, &n| sum.saturating_add(n))).collect();
    outer.len() < 3 || (outer.last() == Some(&0) && outer.iter().take(outer.len() - 3).all(|&sum| sum == 0))
});
const SPATIAL_MEAN: Rule =
    that("it averages over another axis than height and width", "average over height and width", |at| {
        let (Some(axes), Some(dims)) = (at.ints(1), at.dims(Data)) else { return true };
        let rank = dims.len() as i64;
        axes.iter()
            .map(|&axis| if axis < 0 { axis + rank } else { axis })
            .all(|axis| axis >= rank - 3 && axis < rank - 1)
    });
const STEP_1: Rule = that("it has a stride over 1, or makes or drops axes by mask", "slice with stride 1", |at| {
    let Op::StridedSlice(SliceMasks { ellipsis, new_axis, .. }) = at.node.op else { return true };
    ellipsis == 0 && new_axis == 0 && at.ints(3).is_some_and(|strides| strides.iter().all(|&stride| stride == 1))
});
const SHARED_ALPHA: Rule =
    that("its slopes differ along height or width", "use one slope, or one a channel", |at: &At<'_>| {
        at.operand(1).and_then(|alpha| alpha.ty.shape.as_fixed()).is_none_or(|dims| {
            let inner = dims.len().saturating_sub(1);
            dims.iter().take(inner).all(|&extent| extent == 1)
        })
    });

const ROWS: &[Row] = &[
    row("ADD", &[BYTES]),
    row("AVERAGE_POOL_2D", &[BYTES, UNFUSED]),
    row("CONCATENATION", &[BYTES, UNFUSED, &[NO_CONSTANT]]),
    row("CONV_2D", &[WEIGHTED, &[EQUAL_DILATION]]),
    row("DEPTHWISE_CONV_2D", &[WEIGHTED, &[UNDILATED]]),
    row("EXPAND_DIMS", &[BYTES, PARAMETERS]),
    row("FULLY_CONNECTED", &[WEIGHTED, &[VECTOR_RESULT]]),
    row("L2_NORMALIZATION", &[BYTES]),
    row("LOGISTIC", &[BYTES]),
    row("LSTM", &[BYTES]),
    row("MAXIMUM", &[BYTES]),
    row("MAX_POOL_2D", &[BYTES, UNFUSED]),
    row("MEAN", &[BYTES, PARAMETERS, &[SPATIAL_MEAN]]),
    row("MINIMUM", &[BYTES]),
    row("MUL", &[BYTES]),
    row("PACK", &[BYTES, &[INNER_AXES]]),
    row("PAD", &[BYTES, PARAMETERS, &[SPATIAL_PAD]]),
    row("PRELU", &[BYTES, &[SHARED_ALPHA]]),
    row("QUANTIZE", &[BYTES]),
    row("REDUCE_MAX", &[BYTES, PARAMETERS]),
    row("REDUCE_MIN", &[BYTES, PARAMETERS]),
    row("RELU", &[BYTES]),
    row("RELU6", &[BYTES]),
    row("RELU_N1_TO_1", &[BYTES]),
    row("RESHAPE", &[BYTES]),
    row("RESIZE_BILINEAR", &[BYTES, PARAMETERS]),
    row("RESIZE_NEAREST_NEIGHBOR", &[BYTES, PARAMETERS]),
    row("RSQRT", &[BYTES]),
    row("SLICE", &[BYTES, PARAMETERS]),
    row("SOFTMAX", &[BYTES, &[SOFTMAX]]),
    row("SPACE_TO_DEPTH", &[BYTES]),
    row("SPLIT", &[BYTES, PARAMETERS, &[INNER_AXES]]),
    row("SQUARED_DIFFERENCE", &[BYTES]),
    row("SQUEEZE", &[BYTES]),
    row("STRIDED_SLICE", &[BYTES, PARAMETERS, &[STEP_1]]),
    row("SUB", &[BYTES]),
    row("SUM", &[BYTES, PARAMETERS, &[INNER_AXES]]),
    row("TANH", &[BYTES]),
    row("TRANSPOSE", &[BYTES, PARAMETERS]),
    row("TRANSPOSE_CONV", &[WEIGHTED, PARAMETERS]),
];

//! What Arm's Ethos-U processors take, as their compiler Vela places operators. What it leaves runs on the CPU beside them.

use super::role::Role::{Bias, Data, Index, Parameter, Result, Weights};
use super::rule::Rule::{Alike, Constant, FixedShapes, OneGrid, PerTensor, Quantized, Rank, Types};
use super::rule::{At, Rule, product, that};
use super::{Row, Table, row};
use crate::graph::{Op, Padding};
use crate::tensor::DType::{self, Bool, I8, I16, I32, I64, U8};

/// Ethos-U55 and U65 take the same.
pub(super) const U55: Table = Table {
    source: "ethos-u-vela 5.2.0: its report of supported operators for U55 and U65, compared with its placement",
    without: "write it with other operators in the model, or let the CPU run it",
    one_piece: false,
    every: &[FixedShapes],
    rows: U55_ROWS,
};

pub(super) const U85: Table = Table {
    source: "ethos-u-vela 5.2.0: its report of supported operators for U85, compared with its placement",
    without: "write it with other operators in the model, or let the CPU run it",
    one_piece: false,
    every: &[FixedShapes],
    rows: U85_ROWS,
};

/// Most operators of U55: integers of 8 and 16 bits with scales, one for each tensor.
const NARROW: &[Rule] = &[Types(Data, &[I8, U8, I16]), Types(Result, &[I8, U8, I16]), Quantized, WHOLE, RESULT_WHOLE];
/// Also integers of 32 bits.
const WIDE: &[Rule] =
    &[Types(Data, &[I8, U8, I16, I32]), Types(Result, &[I8, U8, I16, I32]), Quantized, WHOLE, RESULT_WHOLE];
/// Without a look at the scales.
const MOVED: &[Rule] = &[Types(Data, &[I8, U8, I16]), Types(Result, &[I8, U8, I16]), WHOLE, RESULT_WHOLE];
const MOVED_WIDE: &[Rule] =
    &[Types(Data, &[I8, U8, I16, I32]), Types(Result, &[I8, U8, I16, I32]), WHOLE, RESULT_WHOLE];
const WHOLE: Rule = PerTensor(Data);
const RESULT_WHOLE: Rule = PerTensor(Result);
/// Convolutions and matrix products with constant weights.
const WEIGHTED: &[Rule] = &[
    Types(Data, &[I8, U8, I16]),
    Types(Result, &[I8, U8, I16]),
    Quantized,
    Types(Weights, &[I8, U8]),
    Types(Bias, &[I32, I64]),
    Constant(Bias),
];
const SAME_SHAPE: &[Rule] = &[that("operand and result differ in shape", "reshape outside it", |at| {
    at.first(Data).map(|v| &v.ty.shape) == at.first(Result).map(|v| &v.ty.shape)
})];
const PARAMETERS: &[Rule] = &[Constant(Parameter)];
const INT8: &[Rule] = &[Alike(&[I8])];
const BYTES: &[Rule] = &[Alike(&[I8, U8])];
const INT8_16: &[Rule] = &[Alike(&[I8, I16])];
const FROM_INT8_16: &[Rule] = &[Types(Data, &[I8, I16])];
const GRIDS: &[Rule] = &[OneGrid];

const STRIDE_3: Rule = that("a stride is over 3", "use strides up to 3, or VALID padding without dilation", |at| {
    stride(at).is_none_or(|s| s <= 3)
});
const STRIDE_3_OR_VALID: Rule =
    that("a stride is over 3 with padding or dilation", "use strides up to 3, or no padding and no dilation", |at| {
        stride(at).is_none_or(|s| s <= 3) || plain(at)
    });
const POOL_WINDOW: Rule = that(
    "its window is over 8 x 8 with SAME padding, or over 256 high or 65536 in all",
    "use a smaller window, or VALID padding",
    |at| match at.node.op {
        Op::Pool2d { padding: Padding::Same, filter: [h, w], .. } => h <= 8 && w <= 8,
        _ => tall(at),
    },
);
const MAX_POOL_WINDOW: Rule = that("its window is over 256 high or 65536 in all", "use a smaller window", tall);
const BATCH_1: Rule = that("the batch is not 1", "convert with --batch 1", |at| {
    at.dims(Data).is_none_or(|dims| dims.len() < 4 || dims.first() == Some(&1))
});
const REDUCED: Rule = that("it averages over too many elements", "average in steps in the model", |at| {
    let (Some(dims), Some(axes)) = (at.dims(Data), at.ints(1)) else { return true };
    let most = match at.dtype(Data) {
        Some(I16) => 1 << 16,
        Some(U8) => 1 << 23,
        _ => 1usize << 24,
    };
    product(axes.iter().filter_map(|&axis| extent(&dims, axis))) <= most
});
const DEPTH_REDUCED: Rule = that(
    "it averages over the channels while height and width are over 1",
    "transpose so that the channels are another axis",
    |at| {
        let (Some(dims), Some(axes)) = (at.dims(Data), at.ints(1)) else { return true };
        let last = dims.len().saturating_sub(1);
        let over_depth = axes.iter().any(|&axis| axis == last as i64 || axis == -1);
        let from = dims.len().saturating_sub(3);
        !over_depth || dims.len() < 3 || dims.iter().skip(from).any(|&extent| extent == 1)
    },
);
const LAST_AXIS_127: Rule = that("it is not over a last axis of up to 127", "transpose the axis to the end", |at| {
    let (Some(dims), Some(axes)) = (at.dims(Data), at.ints(1)) else { return false };
    let last = dims.len() as i64 - 1;
    axes.iter().all(|&axis| axis == last || axis == -1) && dims.last().is_some_and(|&depth| depth <= 127)
});
const RESIZED: Rule =
    that("it does not scale height and width alike by 2, 4 or 8", "resize by 2, 4 or 8 in the model", |at| {
        enlarged(at, &[2, 4, 8])
    });
const RESIZED_HALF_PIXEL: Rule = that(
    "with half_pixel centers it scales by another factor than 2",
    "resize by 2, or with the asymmetric coordinates of ONNX",
    |at| !matches!(at.node.op, Op::ResizeBilinear { half_pixel_centers: true, .. }) || enlarged(at, &[2]),
);
const TRANSPOSED_STRIDE: Rule = that("its stride is not 1 or 2", "use a stride of 1 or 2", |at| {
    let Op::TransposeConv { stride: [h, w], .. } = at.node.op else { return true };
    let (data, weights) = (at.dims(Data), at.dims(Weights));
    let one = |axis: usize| {
        let extent = |dims: &Option<Vec<usize>>| dims.as_ref().and_then(|dims| dims.get(axis).copied());
        extent(&data) == Some(1) && extent(&weights) == Some(1)
    };
    matches!((h, w), (1, 1) | (2, 2)) || ((h, w) == (1, 2) && one(1)) || ((h, w) == (2, 1) && one(2))
});
const TRANSPOSED_SHAPE: Rule = that(
    "its result is not stride times its operand (and the rest of the window without padding)",
    "use a padding that keeps to it, and cut or pad the result",
    |at| {
        let Op::TransposeConv { stride, padding, .. } = at.node.op else { return true };
        let (Some(data), Some(weights), Some(result)) = (at.dims(Data), at.dims(Weights), at.dims(Result)) else {
            return true;
        };
        [0, 1].into_iter().all(|i| {
            let (Some(x), Some(k), Some(y)) = (data.get(i + 1), weights.get(i + 1), result.get(i + 1)) else {
                return true;
            };
            let rest = if padding == Padding::Valid { k.saturating_sub(stride[i]) } else { 0 };
            Some(*y) == x.checked_mul(stride[i]).and_then(|covered| covered.checked_add(rest))
        })
    },
);
const SOFTMAX_ROWS: Rule = that("it has 65536 rows or more", "split it in the model", |at| {
    at.dims(Data).is_none_or(|dims| {
        let rows = dims.len().saturating_sub(1);
        product(dims.iter().copied().take(rows).skip(rows.saturating_sub(2))) < 65536
    })
});
const FORWARD: Rule = that("it has a negative stride", "reverse with another operator", |at| {
    at.ints(3).is_none_or(|strides| strides.iter().all(|&stride| stride > 0))
});
const MATMUL_INT8: Rule =
    that("its operands are not int8", "quantize with --quantize int8", |at| at.dtype(Data) == Some(I8));
const FC_DYNAMIC: Rule =
    that("weights that are computed at run time need int8 data", "quantize with --quantize int8", |at| {
        at.first(Weights).is_none_or(|weights| weights.data.is_some()) || at.dtype(Data) == Some(I8)
    });
const TRANSPOSE_32: Rule = that("int32 with more than 4 axes is transposed", "transpose in steps", |at| {
    at.dtype(Data) != Some(I32) || at.dims(Data).is_none_or(|dims| dims.len() <= 4)
});
const RANK_8: &[Rule] = &[Rank(Data, 0, 8)];
const NO_REVERSE: Rule = that("reversing is not taken", "reverse outside the model", |_| false);

const CONV: &[Rule] = &[STRIDE_3_OR_VALID];
const DEPTHWISE: &[Rule] = &[STRIDE_3];
const TRANSPOSE_CONV: &[Rule] = &[TRANSPOSED_STRIDE, TRANSPOSED_SHAPE];
const AVERAGED: &[Rule] = &[STRIDE_3_OR_VALID, POOL_WINDOW];
const MEANS: &[Rule] = &[BATCH_1, REDUCED, DEPTH_REDUCED];

const U55_ROWS: &[Row] = &[
    row("ABS", &[NARROW]),
    row("ADD", &[WIDE]),
    row("ARG_MAX", &[&[Types(Data, &[I8, U8, I16]), LAST_AXIS_127]]),
    row("AVERAGE_POOL_2D", &[NARROW, AVERAGED]),
    row("BATCH_MATMUL", &[WIDE, &[MATMUL_INT8]]),
    row("CONCATENATION", &[NARROW]),
    row("CONV_2D", &[WEIGHTED, CONV]),
    row("DEPTHWISE_CONV_2D", &[WEIGHTED, DEPTHWISE]),
    row("ELU", &[NARROW, INT8, SAME_SHAPE]),
    row("EXP", &[NARROW]),
    row("EXPAND_DIMS", &[MOVED_WIDE]),
    row("FULLY_CONNECTED", &[WEIGHTED, &[FC_DYNAMIC]]),
    row("GELU", &[NARROW, BYTES, SAME_SHAPE]),
    row("HARD_SWISH", &[NARROW]),
    row("LEAKY_RELU", &[NARROW]),
    row("LOG", &[NARROW, INT8_16, SAME_SHAPE]),
    row("LOGISTIC", &[NARROW]),
    row("MAXIMUM", &[NARROW, GRIDS]),
    row("MAX_POOL_2D", &[NARROW, &[STRIDE_3_OR_VALID, MAX_POOL_WINDOW]]),
    row("MEAN", &[NARROW, PARAMETERS, MEANS]),
    row("MINIMUM", &[NARROW, GRIDS]),
    row("MIRROR_PAD", &[MOVED_WIDE, PARAMETERS]),
    row("MUL", &[WIDE]),
    row("NEG", &[WIDE]),
    row("PACK", &[NARROW]),
    row("PAD", &[MOVED, PARAMETERS]),
    row("PADV2", &[MOVED, PARAMETERS]),
    row("PRELU", &[NARROW]),
    row("QUANTIZE", &[MOVED]),
    row("REDUCE_MAX", &[NARROW]),
    row("REDUCE_MIN", &[NARROW]),
    row("RELU", &[NARROW]),
    row("RELU6", &[NARROW]),
    row("RELU_0_TO_1", &[NARROW]),
    row("RELU_N1_TO_1", &[NARROW]),
    row("RESHAPE", &[WIDE]),
    row("RESIZE_BILINEAR", &[NARROW, &[RESIZED, RESIZED_HALF_PIXEL]]),
    row("RESIZE_NEAREST_NEIGHBOR", &[NARROW, &[RESIZED]]),
    row("REVERSE_V2", &[NARROW, &[NO_REVERSE]]),
    row("RSQRT", &[NARROW, FROM_INT8_16]),
    row("SLICE", &[NARROW, PARAMETERS]),
    row("SOFTMAX", &[NARROW, &[SOFTMAX_ROWS]]),
    row("SPLIT", &[NARROW]),
    row("SPLIT_V", &[NARROW]),
    row("SQUARED_DIFFERENCE", &[NARROW]),
    row("SQUEEZE", &[WIDE]),
    row("STRIDED_SLICE", &[NARROW, PARAMETERS, &[FORWARD]]),
    row("SUB", &[WIDE]),
    row("SUM", &[WIDE]),
    row("TANH", &[NARROW]),
    row("TILE", &[NARROW]),
    row("TRANSPOSE", &[MOVED_WIDE, PARAMETERS, RANK_8, &[TRANSPOSE_32]]),
    row("TRANSPOSE_CONV", &[WEIGHTED, TRANSPOSE_CONV]),
    row("UNIDIRECTIONAL_SEQUENCE_LSTM", &[&[Types(Data, &[I8, I16]), Types(Result, &[I8, I16])]]),
    row("UNPACK", &[NARROW]),
];

const INTEGERS: &[DType] = &[Bool, I8, U8, I16, I32, I64];
/// All operators of U85: integers and booleans, one scale for each tensor.
const ANY: &[Rule] = &[Types(Data, INTEGERS), Types(Result, INTEGERS), WHOLE, RESULT_WHOLE];
/// Most of them: with scales.
const SCALED: &[Rule] = &[Types(Data, INTEGERS), Types(Result, INTEGERS), Quantized, WHOLE, RESULT_WHOLE];
const POWER_OF_2: Rule =
    that("it does not scale by a whole power of 2 up to 1024", "resize by 2, 4 or 8 in the model", |at| {
        enlarged(at, &[2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
    });
const ONE_MODE: Rule = that("align_corners and half_pixel are asked for at once", "ask for one of them", |at| {
    !matches!(
        at.node.op,
        Op::ResizeBilinear { align_corners: true, half_pixel_centers: true }
            | Op::ResizeNearest { align_corners: true, half_pixel_centers: true }
    )
});
const GATHERED: Rule = that(
    "its axis is not the number of batch axes",
    "gather along the first axis",
    |at| !matches!(at.node.op, Op::Gather { axis, batch_dims } if axis != batch_dims),
);

const U85_ROWS: &[Row] = &[
    row("ABS", &[SCALED]),
    row("ADD", &[SCALED]),
    row("ARG_MAX", &[ANY]),
    row("ASSIGN_VARIABLE", &[]),
    row("AVERAGE_POOL_2D", &[SCALED, &[POOL_WINDOW]]),
    row("BATCH_MATMUL", &[SCALED]),
    row("CAST", &[SCALED]),
    row("CONCATENATION", &[SCALED]),
    row("CONV_2D", &[WEIGHTED]),
    row("DEPTHWISE_CONV_2D", &[WEIGHTED]),
    row("DIV", &[SCALED]),
    row("ELU", &[SCALED, INT8, SAME_SHAPE]),
    row("EQUAL", &[SCALED]),
    row("EXP", &[SCALED]),
    row("EXPAND_DIMS", &[ANY]),
    row("FULLY_CONNECTED", &[WEIGHTED]),
    row("GATHER", &[ANY, &[GATHERED]]),
    row("GELU", &[SCALED, BYTES, SAME_SHAPE]),
    row("GREATER", &[SCALED]),
    row("GREATER_EQUAL", &[SCALED]),
    row("HARD_SWISH", &[SCALED]),
    row("LEAKY_RELU", &[SCALED]),
    row("LESS", &[SCALED]),
    row("LESS_EQUAL", &[SCALED]),
    row("LOG", &[SCALED, INT8_16, SAME_SHAPE]),
    row("LOGICAL_AND", &[SCALED]),
    row("LOGICAL_NOT", &[SCALED]),
    row("LOGICAL_OR", &[SCALED]),
    row("LOGISTIC", &[SCALED]),
    row("MAXIMUM", &[SCALED, GRIDS]),
    row("MAX_POOL_2D", &[SCALED, &[MAX_POOL_WINDOW]]),
    row("MEAN", &[SCALED, &[Types(Data, &[I8, U8, I16])], PARAMETERS, MEANS]),
    row("MINIMUM", &[SCALED, GRIDS]),
    row("MIRROR_PAD", &[ANY, PARAMETERS]),
    row("MUL", &[SCALED]),
    row("NEG", &[SCALED]),
    row("NOT_EQUAL", &[SCALED]),
    row("PACK", &[SCALED]),
    row("PAD", &[ANY, PARAMETERS]),
    row("PADV2", &[ANY, PARAMETERS]),
    row("PRELU", &[SCALED]),
    row("QUANTIZE", &[ANY]),
    row("READ_VARIABLE", &[]),
    row("REDUCE_ALL", &[ANY]),
    row("REDUCE_ANY", &[ANY]),
    row("REDUCE_MAX", &[SCALED]),
    row("REDUCE_MIN", &[SCALED]),
    row("RELU", &[SCALED]),
    row("RELU6", &[SCALED]),
    row("RELU_0_TO_1", &[SCALED]),
    row("RELU_N1_TO_1", &[SCALED]),
    row("RESHAPE", &[SCALED]),
    row("RESIZE_BILINEAR", &[SCALED, &[POWER_OF_2, ONE_MODE]]),
    row("RESIZE_NEAREST_NEIGHBOR", &[SCALED, &[ONE_MODE]]),
    row("REVERSE_V2", &[SCALED]),
    row("RSQRT", &[SCALED, FROM_INT8_16]),
    row("SCATTER_ND", &[ANY, PARAMETERS, &[Constant(Index)]]),
    row("SELECT", &[ANY]),
    row("SELECT_V2", &[ANY]),
    row("SLICE", &[SCALED, PARAMETERS]),
    row("SOFTMAX", &[SCALED, &[SOFTMAX_ROWS]]),
    row("SPLIT", &[SCALED]),
    row("SPLIT_V", &[SCALED]),
    row("SQUARED_DIFFERENCE", &[SCALED]),
    row("SQUEEZE", &[SCALED]),
    row("STRIDED_SLICE", &[SCALED, PARAMETERS, &[FORWARD]]),
    row("SUB", &[SCALED]),
    row("SUM", &[SCALED]),
    row("TANH", &[SCALED]),
    row("TILE", &[SCALED]),
    row("TRANSPOSE", &[ANY, PARAMETERS, RANK_8]),
    row("TRANSPOSE_CONV", &[WEIGHTED, &[TRANSPOSED_SHAPE]]),
    row("UNIDIRECTIONAL_SEQUENCE_LSTM", &[&[Types(Data, &[I8, I16]), Types(Result, &[I8, I16])]]),
    row("UNPACK", &[SCALED]),
];

/// The larger stride of a window.
fn stride(at: &At<'_>) -> Option<usize> {
    let [height, width] = match at.node.op {
        Op::Conv2d { window, .. } | Op::DepthwiseConv2d { window, .. } => window.stride,
        Op::Pool2d { stride, .. } => stride,
        _ => return None,
    };
    Some(height.max(width))
}

/// Neither padded nor dilated.
fn plain(at: &At<'_>) -> bool {
    match at.node.op {
        Op::Conv2d { window, .. } | Op::DepthwiseConv2d { window, .. } => {
            window.padding == Padding::Valid && window.dilation == [1, 1]
        }
        Op::Pool2d { padding, .. } => padding == Padding::Valid,
        _ => true,
    }
}

fn tall(at: &At<'_>) -> bool {
    match at.node.op {
        Op::Pool2d { filter: [height, width], .. } => height <= 256 && height.saturating_mul(width) <= 65536,
        _ => true,
    }
}

fn extent(dims: &[usize], axis: i64) -> Option<usize> {
    let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
    dims.get(usize::try_from(axis).ok()?).copied()
}

/// Whether a resize makes height and width larger by one of these factors; one of them may stay at 1.
fn enlarged(at: &At<'_>, factors: &[usize]) -> bool {
    let (Some(from), Some(to)) = (at.dims(Data), at.dims(Result)) else { return true };
    let ([_, h, w, _], [_, out_h, out_w, _]) = (from.as_slice(), to.as_slice()) else { return false };
    if (*h, *w) == (1, 1) || from == to {
        return true;
    }
    let align = matches!(
        at.node.op,
        Op::ResizeBilinear { align_corners: true, .. } | Op::ResizeNearest { align_corners: true, .. }
    );
    let less = usize::from(align);
    let factor = |from: usize, to: usize| {
        let (from, to) = (from.checked_sub(less)?, to.checked_sub(less)?);
        factors.iter().copied().find(|&factor| from.checked_mul(factor) == Some(to))
    };
    match (factor(*h, *out_h), factor(*w, *out_w)) {
        (Some(a), Some(b)) => a == b || (*h == 1 && *out_h == 1) || (*w == 1 && *out_w == 1),
        (Some(_), None) => *w == 1 && *out_w == 1,
        (None, Some(_)) => *h == 1 && *out_h == 1,
        (None, None) => false,
    }
}

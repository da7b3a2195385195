//! ONNX operators that are defined on integers with scales, as the same operators on real numbers.

use super::grid::{Along, Linear};
use crate::graph::{Precision, Quant, ValueId};
use crate::lower::conv::perm;
use crate::lower::{
    Cx, Refusal, Results, activation, concat, conv, elementwise, logic, matmul, pool, recurrent, reduce, softmax,
};
use crate::tensor::DType;

/// Operators on real numbers are meant as of this operator set, whatever the model imports.
const OPSET: i64 = 13;

type Lower = fn(&mut Cx<'_>) -> Results;

impl Cx<'_> {
    /// Scale and zero point at operands `i` and `i + 1`: for the whole tensor, or along `axis` of `x`.
    fn linear_at(&self, x: ValueId, i: usize, axis: i64) -> Result<Linear, Refusal> {
        let (scale, zero_point) = (self.input(i)?, self.optional(i + 1));
        self.along(x, scale, zero_point, axis)
    }

    fn along(&self, x: ValueId, scale: ValueId, zero_point: Option<ValueId>, axis: i64) -> Result<Linear, Refusal> {
        let one = |id: ValueId| self.shape(id).elements() == Some(1);
        let rank = self.rank(scale).max(zero_point.map_or(0, |id| self.rank(id)));
        let along = if one(scale) && zero_point.is_none_or(one) {
            Along::Tensor
        } else if rank <= 1 {
            Along::Axis(self.axis(axis, x)?)
        } else {
            Along::Broadcast
        };
        Ok(Linear { scale, zero_point, along })
    }

    /// Operand `i`, which its scale and zero point follow, as real numbers.
    fn real_operand(&mut self, i: usize, axis: i64) -> Result<ValueId, Refusal> {
        let x = self.input(i)?;
        let linear = self.linear_at(x, i + 1, axis)?;
        self.dequantized(x, linear)
    }

    /// Stores `y` with scale and zero point of operands `i` and `i + 1`.
    fn stored_result(&mut self, y: ValueId, i: usize) -> Result<ValueId, Refusal> {
        let linear = self.linear_at(y, i, 0)?;
        let to = linear.zero_point.map_or(DType::U8, |id| self.dtype(id));
        self.quantized(y, linear, to)
    }

    /// Result of the standard operator `op` on `operands`, under the attributes of this node.
    fn real(&mut self, op: &'static str, lower: Lower, operands: Vec<Option<ValueId>>) -> Result<ValueId, Refusal> {
        let results = self.acting_as(op, OPSET, operands, lower)?;
        results.first().copied().ok_or_else(|| Refusal::new("there is no result", ""))
    }

    /// An operand of integers whose scale is 1, and zero point operand `i`, if it is given.
    fn whole_numbers(&mut self, x: ValueId, i: usize, axis: i64) -> Result<ValueId, Refusal> {
        let (scale, zero_point) = (self.b.scalar(1f32), self.optional(i));
        let linear = self.along(x, scale, zero_point, axis)?;
        self.dequantized(x, linear)
    }

    /// Scale and zero point at operands `i` and `i + 1` of weights `[directions, rows, columns]`: one for each direction, or for each
    /// column of each.
    fn linear_of_directions(&mut self, w: ValueId, i: usize) -> Result<Linear, Refusal> {
        let (scale, zero_point) = (self.input(i)?, self.optional(i + 1));
        let columns = self.rank(scale) == 2;
        if self.dim(w, 0) == Some(1) {
            let scale = self.b.reshape(scale, &[-1])?;
            let zero_point = zero_point.map(|id| self.b.reshape(id, &[-1])).transpose()?;
            return self.along(w, scale, zero_point, if columns { 2 } else { 0 });
        }
        if !columns {
            return self.along(w, scale, zero_point, 0);
        }
        let mut between = |id: ValueId| {
            let dims = self.fixed_shape(id)?;
            let [directions, columns] = dims[..] else { return Err(Refusal::new("scales of another rank", "")) };
            Ok(self.b.reshape(id, &[directions as i64, 1, columns as i64])?)
        };
        let (scale, zero_point) = (between(scale)?, zero_point.map(&mut between).transpose()?);
        Ok(Linear { scale, zero_point, along: Along::Broadcast })
    }

    /// True of constants that kernels for data rounded at run time take as the integers that they came from. Fewer than 256 are not
    /// worth what the rounding loses.
    fn is_for_dynamic_kernel(&self, weights: ValueId) -> bool {
        let is_symmetric =
            |quant: &Quant| matches!(quant, Quant::Affine { zero_point, .. } if zero_point.iter().all(|&z| z == 0));
        let is_large = self.constant(weights).is_some_and(|data| data.len() >= 256);
        is_large && self.b.graph.value(weights).quant.as_ref().is_some_and(is_symmetric)
    }

    /// The product of two scales, for a bias.
    fn bias(&mut self, bias: ValueId, a: usize, b: usize) -> Result<ValueId, Refusal> {
        let (a, b) = (self.input(a)?, self.input(b)?);
        let scale = self.b.mul(a, b)?;
        let linear = self.along(bias, scale, None, -1)?;
        self.dequantized(bias, linear)
    }
}

/// Lowers ONNX `QLinearConv` to `CONV_2D` or `DEPTHWISE_CONV_2D`.
///
/// # Accepts
/// What `Conv` accepts; weights with a scale for the tensor or for each output channel.
/// # Produces
/// What `Conv` becomes, on integers where the kernels have them, else between `DEQUANTIZE` and `QUANTIZE`.
pub(in crate::lower) fn q_linear_conv(cx: &mut Cx<'_>) -> Results {
    let (x, w) = (cx.real_operand(0, 0)?, cx.real_operand(3, 0)?);
    let bias = match cx.optional(8) {
        Some(bias) => Some(cx.bias(bias, 1, 4)?),
        None => None,
    };
    let y = cx.real("Conv", conv::conv, vec![Some(x), Some(w), bias])?;
    Ok(vec![cx.stored_result(y, 6)?])
}

/// Lowers ONNX `QLinearMatMul` to `FULLY_CONNECTED` or `BATCH_MATMUL`.
///
/// # Accepts
/// What `MatMul` accepts; scales for the tensor, for each row of the left or each column of the right operand.
/// # Produces
/// What `MatMul` becomes, on integers where the kernels have them, else between `DEQUANTIZE` and `QUANTIZE`.
pub(in crate::lower) fn q_linear_mat_mul(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.real_operand(0, -2)?, cx.real_operand(3, -1)?);
    let y = cx.real("MatMul", matmul::mat_mul, vec![Some(a), Some(b)])?;
    Ok(vec![cx.stored_result(y, 6)?])
}

/// Lowers com.microsoft `QGemm` to `FULLY_CONNECTED`.
///
/// # Accepts
/// What `Gemm` accepts, B with a scale for the tensor or for each output; results as integers, or float32 where they have no scale.
/// # Produces
/// What `Gemm` becomes, on integers where the kernels have them, else between `DEQUANTIZE` and `QUANTIZE`.
pub(in crate::lower) fn q_gemm(cx: &mut Cx<'_>) -> Results {
    let output_axis = if cx.flag_or("transB", false)? { 0 } else { 1 };
    let (a, b) = (cx.real_operand(0, 0)?, cx.real_operand(3, output_axis)?);
    let c = match cx.optional(6) {
        Some(c) => {
            let c = cx.bias(c, 1, 4)?;
            let alpha = cx.float_or("alpha", 1.0)?;
            // The integers of C are in units of the product, of which `alpha` is part.
            Some(matmul::scaled(cx, c, alpha)?)
        }
        None => None,
    };
    let y = cx.real("Gemm", matmul::gemm, vec![Some(a), Some(b), c])?;
    match cx.optional(7) {
        Some(_) => Ok(vec![cx.stored_result(y, 7)?]),
        None => Ok(vec![y]),
    }
}

/// Lowers com.microsoft `QLinearAdd` and `QLinearMul` to `ADD` and `MUL`.
///
/// # Accepts
/// int8 and uint8, with broadcasting.
/// # Produces
/// `ADD` or `MUL` on integers.
pub(in crate::lower) fn q_linear_binary(cx: &mut Cx<'_>) -> Results {
    let op = if cx.op() == "QLinearMul" { "Mul" } else { "Add" };
    let (a, b) = (cx.real_operand(0, 0)?, cx.real_operand(3, 0)?);
    let y = cx.real(op, elementwise::binary, vec![Some(a), Some(b)])?;
    Ok(vec![cx.stored_result(y, 6)?])
}

/// Lowers com.microsoft `QLinearConcat` to `CONCATENATION`.
///
/// # Accepts
/// Any number of operands, any axis; a scale each.
/// # Produces
/// `QUANTIZE? → CONCATENATION`: operands with a scale that is not the result's are rounded to it.
pub(in crate::lower) fn q_linear_concat(cx: &mut Cx<'_>) -> Results {
    let mut parts = Vec::new();
    for i in (2..cx.input_count()).step_by(3) {
        parts.push(Some(cx.real_operand(i, 0)?));
    }
    let y = cx.real("Concat", concat::concat, parts)?;
    Ok(vec![cx.stored_result(y, 0)?])
}

/// Lowers com.microsoft `QLinearSigmoid`, `QLinearLeakyRelu` and `QLinearSoftmax` to `LOGISTIC`, `LEAKY_RELU` and `SOFTMAX`.
///
/// # Accepts
/// int8 and uint8; the attributes of `Sigmoid`, `LeakyRelu` and `Softmax`.
/// # Produces
/// The operator on integers; `LOGISTIC` and `SOFTMAX`, whose kernels have one scale of their own, followed by `QUANTIZE`.
pub(in crate::lower) fn q_linear_unary(cx: &mut Cx<'_>) -> Results {
    let x = cx.real_operand(0, 0)?;
    let y = match cx.op() {
        "QLinearLeakyRelu" => cx.real("LeakyRelu", activation::leaky_relu, vec![Some(x)])?,
        "QLinearSoftmax" => {
            let opset = cx.int_or("opset", OPSET)?;
            let results = cx.acting_as("Softmax", opset, vec![Some(x)], softmax::softmax)?;
            results.first().copied().unwrap_or(x)
        }
        _ => cx.real("Sigmoid", elementwise::unary, vec![Some(x)])?,
    };
    Ok(vec![cx.stored_result(y, 3)?])
}

/// Calls `lower` on an operand that may have its channels last.
fn with_channels_first(cx: &mut Cx<'_>, op: &'static str, lower: Lower) -> Results {
    let last = cx.flag_or("channels_last", false)?;
    let mut x = cx.real_operand(0, 0)?;
    if last {
        x = cx.channels_first(x)?;
    }
    let mut y = cx.real(op, lower, vec![Some(x)])?;
    if last {
        y = cx.channels_last(y)?;
    }
    Ok(vec![cx.stored_result(y, 3)?])
}

/// Lowers com.microsoft `QLinearAveragePool` to `AVERAGE_POOL_2D`.
///
/// # Accepts
/// What `AveragePool` accepts; channels first or last.
/// # Produces
/// What `AveragePool` becomes, with the scale of the operand, followed by `QUANTIZE` where the result has another.
pub(in crate::lower) fn q_linear_average_pool(cx: &mut Cx<'_>) -> Results {
    with_channels_first(cx, "AveragePool", pool::average_pool)
}

/// Lowers com.microsoft `QLinearGlobalAveragePool` to `MEAN`.
///
/// # Accepts
/// What `GlobalAveragePool` accepts; channels first or last.
/// # Produces
/// `MEAN` on integers.
pub(in crate::lower) fn q_linear_global_average_pool(cx: &mut Cx<'_>) -> Results {
    with_channels_first(cx, "GlobalAveragePool", reduce::global_pool)
}

/// Lowers com.microsoft `QLinearReduceMean` to `MEAN`.
///
/// # Accepts
/// Axes as attribute; `keepdims`.
/// # Produces
/// `MEAN` on integers.
pub(in crate::lower) fn q_linear_reduce_mean(cx: &mut Cx<'_>) -> Results {
    let x = cx.real_operand(0, 0)?;
    let y = cx.real("ReduceMean", reduce::reduce, vec![Some(x)])?;
    Ok(vec![cx.stored_result(y, 3)?])
}

/// Lowers com.microsoft `QLinearWhere` to `SELECT_V2`.
///
/// # Accepts
/// int8 and uint8, with broadcasting.
/// # Produces
/// `QUANTIZE? → SELECT_V2`: operands with a scale that is not the result's are rounded to it.
pub(in crate::lower) fn q_linear_where(cx: &mut Cx<'_>) -> Results {
    let condition = cx.input(0)?;
    let (a, b) = (cx.real_operand(1, 0)?, cx.real_operand(4, 0)?);
    let y = cx.real("Where", logic::where_, vec![Some(condition), Some(a), Some(b)])?;
    Ok(vec![cx.stored_result(y, 7)?])
}

/// Lowers ONNX `ConvInteger` to `CONV_2D` on float32.
///
/// # Accepts
/// What `Conv` accepts; zero points constant or computed. Sums past 2^24 lose their last digits.
/// # Produces
/// What `Conv` becomes, then `CAST` to int32: no kernel gives the sums themselves. Constant weights stay integers in the file.
pub(in crate::lower) fn conv_integer(cx: &mut Cx<'_>) -> Results {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let (x, w) = (cx.whole_numbers(x, 2, 1)?, cx.whole_numbers(w, 3, 0)?);
    let y = cx.real("Conv", conv::conv, vec![Some(x), Some(w)])?;
    Ok(vec![cx.b.cast(y, DType::I32)?])
}

/// Lowers ONNX `MatMulInteger` to `FULLY_CONNECTED` or `BATCH_MATMUL` on float32.
///
/// # Accepts
/// What `MatMul` accepts; zero points for the tensor, each row of the left or each column of the right operand, constant or computed.
/// Sums past 2^24 lose their last digits.
/// # Produces
/// What `MatMul` becomes, then `CAST` to int32: no kernel gives the sums themselves. Constant weights stay integers in the file.
pub(in crate::lower) fn mat_mul_integer(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let (a, b) = (cx.whole_numbers(a, 2, -2)?, cx.whole_numbers(b, 3, -1)?);
    let y = cx.real("MatMul", matmul::mat_mul, vec![Some(a), Some(b)])?;
    Ok(vec![cx.b.cast(y, DType::I32)?])
}

/// Lowers com.microsoft `MatMulIntegerToFloat` to `FULLY_CONNECTED` or `BATCH_MATMUL` on float32.
///
/// # Accepts
/// Scales for the tensor or for each column of B; zero points and a bias.
/// # Produces
/// What `MatMul` becomes, then `ADD` of the bias. Constant weights stay integers in the file.
pub(in crate::lower) fn mat_mul_integer_to_float(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let (scale_a, scale_b) = (cx.input(2)?, cx.input(3)?);
    let linear = cx.along(a, scale_a, cx.optional(4), -2)?;
    let a = cx.dequantized(a, linear)?;
    let linear = cx.along(b, scale_b, cx.optional(5), -1)?;
    let b = cx.dequantized(b, linear)?;
    product(cx, a, b, 6)
}

/// Lowers com.microsoft `DynamicQuantizeMatMul` to `FULLY_CONNECTED` or `BATCH_MATMUL`.
///
/// `DynamicQuantizeLinear → MatMulInteger → Cast → Mul` of the scales is the same.
///
/// # Accepts
/// Scales for the tensor or for each column of B; zero points and a bias.
/// # Produces
/// Where B is constant without zero points, and no smaller than 256 numbers, the kernel of A in float32 and B in int8 or int4: it
/// rounds A to 8 bits itself, each row by its own extremes, as a note says. Else A is rounded to 256 numbers between its extremes by
/// float32 arithmetic, then multiplied as `MatMul` does; constant weights stay integers in the file.
pub(in crate::lower) fn dynamic_quantize_mat_mul(cx: &mut Cx<'_>) -> Results {
    dynamic_product(cx, -1, |cx, a, b| product(cx, a, b, 4))
}

/// Lowers a convolution whose data is quantized at run time to `CONV_2D` or `DEPTHWISE_CONV_2D`, which `lower/patterns.rs` recognizes.
///
/// # Accepts
/// What `Conv` accepts; a scale for all weights; zero points.
/// # Produces
/// As `DynamicQuantizeMatMul`: the kernel of float32 data and int8 or int4 weights, or float32 arithmetic.
pub(in crate::lower) fn dynamic_quantize_conv(cx: &mut Cx<'_>) -> Results {
    dynamic_product(cx, 0, |cx, x, w| Ok(vec![cx.real("Conv", conv::conv, vec![Some(x), Some(w)])?]))
}

/// The product of operand 0, rounded to 8 bits at run time, and operand 1, whose scale and zero point follow and lie along `axis`.
fn dynamic_product(
    cx: &mut Cx<'_>,
    axis: i64,
    multiply: impl FnOnce(&mut Cx<'_>, ValueId, ValueId) -> Results,
) -> Results {
    let (x, weights, scale) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let linear = cx.along(weights, scale, cx.optional(3), axis)?;
    let weights = cx.dequantized(weights, linear)?;
    if cx.is_for_dynamic_kernel(weights) {
        conv::require_float32(cx, x)?;
        cx.note("the kernel rounds what the weights are multiplied with to 8 bits, each row by its own extremes");
        let before = cx.b.set_precision(Precision::Dynamic);
        let results = multiply(cx, x, weights);
        cx.b.set_precision(before);
        return results;
    }
    let (stored, scale, zero_point) = super::dynamic::quantized(cx, x)?;
    let x = cx.dequantized(stored, Linear { scale, zero_point: Some(zero_point), along: Along::Tensor })?;
    multiply(cx, x, weights)
}

/// The matrix product of real numbers, and the bias at operand `bias` if there is one.
fn product(cx: &mut Cx<'_>, a: ValueId, b: ValueId, bias: usize) -> Results {
    let y = cx.real("MatMul", matmul::mat_mul, vec![Some(a), Some(b)])?;
    match cx.optional(bias) {
        Some(bias) => Ok(vec![cx.b.add(y, bias)?]),
        None => Ok(vec![y]),
    }
}

/// Lowers com.microsoft `DynamicQuantizeLSTM` to the arithmetic of its steps on float32.
///
/// # Accepts
/// What `LSTM` accepts; weights with a scale and a zero point for each direction or each gate's row. The operand and the state are not
/// rounded to 8 bits on the way, as ONNX Runtime does: a note says so.
/// # Produces
/// What `LSTM` becomes. Constant weights of one direction stay integers in the file.
pub(in crate::lower) fn dynamic_quantize_lstm(cx: &mut Cx<'_>) -> Results {
    let mut operands: Vec<Option<ValueId>> = (0..8).map(|i| cx.optional(i)).collect();
    for (operand, scale) in [(1, 8), (2, 10)] {
        let w = cx.input(operand)?;
        let linear = cx.linear_of_directions(w, scale)?;
        let w = cx.dequantized(w, linear)?;
        operands[operand] = Some(cx.b.transpose(w, &perm(&[0, 2, 1]))?);
    }
    cx.note("its operand and state are not rounded to 8 bits");
    cx.acting_as("LSTM", OPSET, operands, recurrent::lstm)
}

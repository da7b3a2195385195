//! ONNX activations that are more than one TFLite operator.

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Builder, Compare, InferError, Op, Precision, Unary, ValueId};
use crate::tensor::DType;

/// Lowers ONNX `LeakyRelu` to `LEAKY_RELU`.
///
/// # Accepts
/// float32; any `alpha`.
/// # Produces
/// `LEAKY_RELU`; `RELU` where `alpha` is 0.
pub(super) fn leaky_relu(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["consumed_inputs"]);
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let alpha = cx.float_or("alpha", 0.01)?;
    let op = if alpha == 0.0 { Op::Unary(Unary::Relu) } else { Op::LeakyRelu { alpha } };
    Ok(vec![cx.b.one(op, &[x])?])
}

/// Lowers ONNX `PRelu` to `PRELU`.
///
/// # Accepts
/// float32, int32 and int64; a slope of any shape that broadcasts to the operand.
/// # Produces
/// `PRELU`; for integers `LESS`, `MUL`, `SELECT_V2`.
pub(super) fn p_relu(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["consumed_inputs"]);
    let (x, mut slope) = (cx.input(0)?, cx.input(1)?);
    // Opset 6 and before: one slope for each channel, whatever the rank.
    if cx.opset() < 7 && cx.rank(slope) == 1 && cx.dim(slope, 0) != Some(1) {
        let mut dims = vec![-1i64];
        dims.extend(std::iter::repeat_n(1, cx.rank(x).saturating_sub(2)));
        slope = cx.b.reshape(slope, &dims)?;
    }
    if matches!(cx.dtype(x), DType::I32 | DType::I64) {
        let zero = cx.b.scalar_of(cx.dtype(x), 0.0)?;
        let (is_negative, scaled) = (cx.b.compare(Compare::Less, x, zero)?, cx.b.mul(x, slope)?);
        return Ok(vec![cx.b.select(is_negative, scaled, x)?]);
    }
    require_float32(cx, x)?;
    Ok(vec![cx.b.one(Op::Prelu, &[x, slope])?])
}

/// Lowers ONNX `Clip` to a bounded `RELU` or `MAXIMUM → MINIMUM`.
///
/// # Accepts
/// Numbers of any type that TFLite compares; bounds as attributes or operands, constant or not, either of them absent.
/// # Produces
/// `RELU6`, `RELU`, `RELU_N1_TO_1` where the bounds are those; else `MAXIMUM` with the lower bound, then `MINIMUM` with the upper, so that
/// the upper wins where they cross. The bound comes first, so that NaN passes.
pub(super) fn clip(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["consumed_inputs"]);
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let (low, high) = if cx.opset() < 11 {
        let low = cx.float("min")?.filter(|&v| v > f32::MIN);
        let high = cx.float("max")?.filter(|&v| v < f32::MAX);
        let bound = |cx: &mut Cx<'_>, v: Option<f32>| v.map(|v| cx.b.scalar_of(dtype, v.into())).transpose();
        (bound(cx, low)?, bound(cx, high)?)
    } else {
        (cx.optional(1), cx.optional(2))
    };
    let value = |cx: &Cx<'_>, id: Option<ValueId>| id.and_then(|id| cx.b.graph.const_splat(id));
    let (low_value, high_value) = (value(cx, low), value(cx, high));
    if dtype == DType::F32 {
        let unbounded = high.is_none() || high_value == Some(f64::INFINITY);
        let kind = match (low_value, high_value) {
            (Some(0.0), Some(6.0)) => Some(Unary::Relu6),
            (Some(-1.0), Some(1.0)) => Some(Unary::ReluN1To1),
            (Some(0.0), _) if unbounded => Some(Unary::Relu),
            _ => None,
        };
        if let Some(kind) = kind {
            return Ok(vec![cx.b.unary(kind, x)?]);
        }
    }
    let mut y = x;
    if let Some(low) = low {
        y = super::elementwise::arithmetic(cx, Binary::Maximum, low, y)?;
    }
    if let Some(high) = high {
        y = super::elementwise::arithmetic(cx, Binary::Minimum, high, y)?;
    }
    Ok(vec![y])
}

/// Lowers ONNX `HardSigmoid` to a line between two bounds.
///
/// # Accepts
/// float32; any `alpha` and `beta`.
/// # Produces
/// `MUL → ADD → MAXIMUM → MINIMUM`.
pub(super) fn hard_sigmoid(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let (alpha, beta) = (cx.float_or("alpha", 0.2)?, cx.float_or("beta", 0.5)?);
    Ok(vec![emit_hard_sigmoid(&mut cx.b, x, alpha, beta)?])
}

pub(super) fn emit_hard_sigmoid(b: &mut Builder<'_>, x: ValueId, alpha: f32, beta: f32) -> Result<ValueId, InferError> {
    let (alpha, beta) = (b.scalar(alpha), b.scalar(beta));
    let (zero, one) = (b.scalar(0f32), b.scalar(1f32));
    let y = b.mul(x, alpha)?;
    let y = b.add(y, beta)?;
    let y = b.binary(Binary::Maximum, zero, y)?;
    b.binary(Binary::Minimum, one, y)
}

/// Lowers ONNX `Elu` to `ELU`.
///
/// # Accepts
/// float32; any `alpha`.
/// # Produces
/// `ELU`; for another `alpha` than 1 `RELU(x) + alpha * ELU(min(0, x))`.
pub(super) fn elu(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["consumed_inputs"]);
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let alpha = cx.float_or("alpha", 1.0)?;
    Ok(vec![exponential_linear(&mut cx.b, x, alpha, 1.0)?])
}

/// Lowers ONNX `Softplus` to `max(0, x) + log(1 + exp(-|x|))`, which overflows nowhere.
///
/// # Accepts
/// float32.
/// # Produces
/// `RELU`, `ABS → NEG → EXP → ADD → LOG`, `ADD`.
pub(super) fn softplus(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    Ok(vec![emit_softplus(&mut cx.b, x)?])
}

pub(super) fn emit_softplus(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, InferError> {
    // The exponential spans more than 8 bits hold.
    let before = b.set_precision(Precision::Float);
    let one = b.scalar(1f32);
    let magnitude = b.unary(Unary::Abs, x)?;
    let y = b.unary(Unary::Neg, magnitude)?;
    let y = b.unary(Unary::Exp, y)?;
    let y = b.add(y, one)?;
    let y = b.unary(Unary::Log, y)?;
    let positive = b.unary(Unary::Relu, x)?;
    let y = b.add(positive, y)?;
    b.set_precision(before);
    Ok(y)
}

/// Lowers ONNX `Gelu` to `GELU`.
///
/// # Accepts
/// float32; both values of `approximate`.
/// # Produces
/// `GELU`.
pub(super) fn gelu(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let kind = match cx.string_or("approximate", "none")? {
        "none" => Unary::Gelu,
        "tanh" => Unary::GeluTanh,
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute approximate")),
    };
    Ok(vec![cx.b.unary(kind, x)?])
}

/// Lowers ONNX `Swish` to `MUL` of the operand and its `LOGISTIC`.
///
/// # Accepts
/// float32; any `alpha`.
/// # Produces
/// `MUL? → LOGISTIC → MUL`.
pub(super) fn swish(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let alpha = cx.float_or("alpha", 1.0)?;
    Ok(vec![emit_swish(cx, x, alpha)?])
}

/// Lowers ONNX `SwiGLU` to `MUL` of one operand and the `Swish` of the other.
///
/// # Accepts
/// float32; any `alpha`.
/// # Produces
/// `MUL? → LOGISTIC → MUL → MUL`.
pub(super) fn swi_glu(cx: &mut Cx<'_>) -> Results {
    let (gate, x) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let alpha = cx.float_or("alpha", 1.0)?;
    let gate = emit_swish(cx, gate, alpha)?;
    Ok(vec![cx.b.mul(gate, x)?])
}

/// `x * sigmoid(alpha * x)`
pub(super) fn emit_swish(cx: &mut Cx<'_>, x: ValueId, alpha: f32) -> Result<ValueId, Refusal> {
    let scaled = if alpha == 1.0 {
        x
    } else {
        let alpha = cx.b.scalar(alpha);
        cx.b.mul(x, alpha)?
    };
    let gate = cx.b.unary(Unary::Logistic, scaled)?;
    Ok(cx.b.mul(x, gate)?)
}

/// Lowers ONNX `Celu` to `RELU(x) + alpha * ELU(min(0, x) / alpha)`.
///
/// # Accepts
/// float32; any `alpha` but 0.
/// # Produces
/// `RELU`, `MINIMUM → MUL → ELU → MUL`, `ADD`; `ELU` alone where `alpha` is 1.
pub(super) fn celu(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let alpha = cx.float_or("alpha", 1.0)?;
    if alpha == 0.0 {
        return Err(Refusal::new("is 0", "export with another alpha").about("attribute alpha"));
    }
    Ok(vec![exponential_linear(&mut cx.b, x, alpha, 1.0 / alpha)?])
}

/// Lowers ONNX `Selu` to `gamma * (RELU(x) + alpha * ELU(min(0, x)))`.
///
/// # Accepts
/// float32; any `alpha` and `gamma`.
/// # Produces
/// `RELU`, `MINIMUM → ELU → MUL`, `ADD`, `MUL`.
pub(super) fn selu(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["consumed_inputs"]);
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    // Opset 1 had other defaults, in the last digits.
    let old = cx.opset() < 6;
    let alpha = cx.float_or("alpha", if old { 1.6732 } else { 1.673_263_2 })?;
    let gamma = cx.float_or("gamma", if old { 1.0507 } else { 1.050_701 })?;
    let y = exponential_linear(&mut cx.b, x, alpha, 1.0)?;
    let gamma = cx.b.scalar(gamma);
    Ok(vec![cx.b.mul(y, gamma)?])
}

/// `max(0, x) + outer * (exp(inner * min(0, x)) - 1)`
pub(super) fn exponential_linear(
    b: &mut Builder<'_>,
    x: ValueId,
    outer: f32,
    inner: f32,
) -> Result<ValueId, InferError> {
    if outer == 1.0 && inner == 1.0 {
        return b.unary(Unary::Elu, x);
    }
    let zero = b.scalar(0f32);
    let mut negative = b.binary(Binary::Minimum, zero, x)?;
    if inner != 1.0 {
        let inner = b.scalar(inner);
        negative = b.mul(negative, inner)?;
    }
    let outer = b.scalar(outer);
    let negative = b.unary(Unary::Elu, negative)?;
    let negative = b.mul(negative, outer)?;
    let positive = b.unary(Unary::Relu, x)?;
    b.add(positive, negative)
}

/// Lowers ONNX `ThresholdedRelu` to a selection between the operand and zero.
///
/// # Accepts
/// float32; any `alpha`.
/// # Produces
/// `GREATER → SELECT_V2`.
pub(super) fn thresholded_relu(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let alpha = cx.float_or("alpha", 1.0)?;
    Ok(vec![emit_thresholded_relu(&mut cx.b, x, alpha)?])
}

pub(super) fn emit_thresholded_relu(b: &mut Builder<'_>, x: ValueId, alpha: f32) -> Result<ValueId, InferError> {
    let (alpha, zero) = (b.scalar(alpha), b.scalar(0f32));
    let above = b.compare(Compare::Greater, x, alpha)?;
    b.select(above, x, zero)
}

/// Lowers ONNX `Mish` to the operand times `TANH` of its softplus.
///
/// # Accepts
/// float32.
/// # Produces
/// The nodes of `Softplus`, `TANH`, `MUL`.
pub(super) fn mish(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let y = emit_softplus(&mut cx.b, x)?;
    let y = cx.b.unary(Unary::Tanh, y)?;
    Ok(vec![cx.b.mul(x, y)?])
}

/// Lowers ONNX `Softsign` to `x / (1 + |x|)`.
///
/// # Accepts
/// float32.
/// # Produces
/// `ABS → ADD → DIV`.
pub(super) fn softsign(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    Ok(vec![emit_softsign(&mut cx.b, x)?])
}

pub(super) fn emit_softsign(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, InferError> {
    let one = b.scalar(1f32);
    let divisor = b.unary(Unary::Abs, x)?;
    let divisor = b.add(divisor, one)?;
    b.div(x, divisor)
}

/// Lowers ONNX `Shrink` to two selections: `x + bias` below `-lambd`, `x - bias` above `lambd`, zero between.
///
/// # Accepts
/// float32; any `lambd` and `bias`.
/// # Produces
/// `LESS`, `GREATER`, `ADD`, `SUB`, `SELECT_V2 → SELECT_V2`.
pub(super) fn shrink(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let (bias, lambda) = (cx.float_or("bias", 0.0)?, cx.float_or("lambd", 0.5)?);
    let (bias, low, high) = (cx.b.scalar(bias), cx.b.scalar(-lambda), cx.b.scalar(lambda));
    let zero = cx.b.scalar(0f32);
    let is_below = cx.b.compare(Compare::Less, x, low)?;
    let is_above = cx.b.compare(Compare::Greater, x, high)?;
    let (below, above) = (cx.b.add(x, bias)?, cx.b.sub(x, bias)?);
    let y = cx.b.select(is_above, above, zero)?;
    Ok(vec![cx.b.select(is_below, below, y)?])
}

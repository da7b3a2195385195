//! ONNX trigonometric and hyperbolic functions that have no TFLite operator of their own.

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Precision, Unary, ValueId};

/// Lowers ONNX `Tan`, `Asin`, `Acos`, `Atan`, `Sinh`, `Cosh`, `Asinh`, `Acosh`, `Atanh` to arithmetic on `SIN`, `COS`, `ATAN2`, `EXP`, `LOG`.
///
/// # Accepts
/// float32.
/// # Produces
/// Forms that do not cancel near zero; `Asinh` and `Acosh` hold up to 1e18, where the square leaves single precision. Kept in float when
/// the model is quantized.
pub(super) fn function(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    cx.b.set_precision(Precision::Float);
    let y = match cx.op() {
        "Tan" => {
            let (sine, cosine) = (cx.b.unary(Unary::Sin, x)?, cx.b.unary(Unary::Cos, x)?);
            cx.b.div(sine, cosine)?
        }
        "Atan" => {
            // The kernel does not broadcast.
            let one = cx.b.scalar(1f32);
            let zeros = cx.b.unary(Unary::ZerosLike, x)?;
            let ones = cx.b.add(zeros, one)?;
            cx.b.binary(Binary::Atan2, x, ones)?
        }
        "Asin" => {
            let cosine = other_leg(cx, x)?;
            cx.b.binary(Binary::Atan2, x, cosine)?
        }
        "Acos" => {
            let sine = other_leg(cx, x)?;
            cx.b.binary(Binary::Atan2, sine, x)?
        }
        "Cosh" => {
            let half = cx.b.scalar(0.5f32);
            let negated = cx.b.unary(Unary::Neg, x)?;
            let (up, down) = (cx.b.unary(Unary::Exp, x)?, cx.b.unary(Unary::Exp, negated)?);
            let sum = cx.b.add(up, down)?;
            cx.b.mul(sum, half)?
        }
        "Sinh" => odd(cx, x, sinh_of_positive)?,
        "Asinh" => odd(cx, x, asinh_of_positive)?,
        "Atanh" => odd(cx, x, atanh_of_positive)?,
        "Acosh" => acosh(cx, x)?,
        _ => return Err(Refusal::new("the operator has no counterpart", "")),
    };
    Ok(vec![y])
}

/// `sqrt((1 - x) * (1 + x))`
fn other_leg(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let one = cx.b.scalar(1f32);
    let (below, above) = (cx.b.sub(one, x)?, cx.b.add(one, x)?);
    let square = cx.b.mul(below, above)?;
    Ok(cx.b.unary(Unary::Sqrt, square)?)
}

type Function = fn(&mut Cx<'_>, ValueId) -> Result<ValueId, Refusal>;

/// `f(|x|)` with the sign of `x`.
fn odd(cx: &mut Cx<'_>, x: ValueId, f: Function) -> Result<ValueId, Refusal> {
    let (magnitude, sign) = (cx.b.unary(Unary::Abs, x)?, cx.b.unary(Unary::Sign, x)?);
    let y = f(cx, magnitude)?;
    Ok(cx.b.mul(sign, y)?)
}

/// `exp(a) / 2 * -u * (2 + u)` with `u = exp(-a) - 1`, which is what `ELU` makes of `-a`, without cancellation.
fn sinh_of_positive(cx: &mut Cx<'_>, a: ValueId) -> Result<ValueId, Refusal> {
    let (minus_half, two) = (cx.b.scalar(-0.5f32), cx.b.scalar(2f32));
    let negated = cx.b.unary(Unary::Neg, a)?;
    let u = cx.b.unary(Unary::Elu, negated)?;
    let growing = cx.b.unary(Unary::Exp, a)?;
    let growing = cx.b.mul(growing, minus_half)?;
    let sum = cx.b.add(u, two)?;
    let product = cx.b.mul(u, sum)?;
    Ok(cx.b.mul(growing, product)?)
}

/// `log1p(a + a² / (1 + sqrt(a² + 1)))`
fn asinh_of_positive(cx: &mut Cx<'_>, a: ValueId) -> Result<ValueId, Refusal> {
    let one = cx.b.scalar(1f32);
    let square = cx.b.unary(Unary::Square, a)?;
    let root = cx.b.add(square, one)?;
    let root = cx.b.unary(Unary::Sqrt, root)?;
    let divisor = cx.b.add(root, one)?;
    let rest = cx.b.div(square, divisor)?;
    let y = cx.b.add(a, rest)?;
    log_of_one_plus(cx, y)
}

/// `log1p(2 * a / (1 - a)) / 2`
fn atanh_of_positive(cx: &mut Cx<'_>, a: ValueId) -> Result<ValueId, Refusal> {
    let (one, half) = (cx.b.scalar(1f32), cx.b.scalar(0.5f32));
    let twice = cx.b.add(a, a)?;
    let rest = cx.b.sub(one, a)?;
    let quotient = cx.b.div(twice, rest)?;
    let y = log_of_one_plus(cx, quotient)?;
    Ok(cx.b.mul(y, half)?)
}

/// `log1p(t + sqrt(t * (x + 1)))` with `t = x - 1`
fn acosh(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let one = cx.b.scalar(1f32);
    let (below, above) = (cx.b.sub(x, one)?, cx.b.add(x, one)?);
    let square = cx.b.mul(below, above)?;
    let root = cx.b.unary(Unary::Sqrt, square)?;
    let y = cx.b.add(below, root)?;
    log_of_one_plus(cx, y)
}

/// `log(w) - ((w - 1) - x) / w` with `w = 1 + x`: the second term gives back what rounding took from `w`.
fn log_of_one_plus(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let (one, highest) = (cx.b.scalar(1f32), cx.b.scalar(f32::MAX));
    // The difference of infinities would be NaN.
    let x = cx.b.binary(Binary::Minimum, highest, x)?;
    let w = cx.b.add(x, one)?;
    let log = cx.b.unary(Unary::Log, w)?;
    let held = cx.b.sub(w, one)?;
    let lost = cx.b.sub(held, x)?;
    let lost = cx.b.div(lost, w)?;
    Ok(cx.b.sub(log, lost)?)
}

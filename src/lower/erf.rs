//! ONNX `Erf`, which has no TFLite operator.

use std::f32::consts::FRAC_2_SQRT_PI;

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Precision, Unary, ValueId};

/// From here on `erf` is one in single precision.
const END: f32 = 3.9;

/// `erf(x) / x` as a quotient of polynomials in `x²`, lowest power first: the one whose largest relative error over `0..=END` is least
/// (5e-8, fitted by iteratively reweighted least squares). Computed in single precision it is off by at most 4e-7, relative and absolute.
const NUMERATOR: [f32; 7] =
    [FRAC_2_SQRT_PI, 0.198_180_38, 0.050_344_687, 0.003_632_214_4, 0.000_140_597_93, -1.963_211e-6, 2.014_843_4e-8];
const DENOMINATOR: [f32; 5] = [1.0, 0.508_964_54, 0.114_280_13, 0.014_207_716, 0.000_940_565_66];

/// Lowers ONNX `Erf` to a quotient of polynomials.
///
/// # Accepts
/// float32.
/// # Produces
/// `MINIMUM → MAXIMUM → SQUARE`, two chains of `MUL → ADD`, `MUL`, `DIV`; off by at most 4e-7, also relative to small results. Kept in
/// float when the model is quantized.
pub(super) fn erf(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    cx.b.set_precision(Precision::Float);
    let (low, high) = (cx.b.scalar(-END), cx.b.scalar(END));
    let x = cx.b.binary(Binary::Minimum, high, x)?;
    let x = cx.b.binary(Binary::Maximum, low, x)?;
    let square = cx.b.unary(Unary::Square, x)?;
    let numerator = polynomial(cx, square, &NUMERATOR)?;
    let numerator = cx.b.mul(x, numerator)?;
    let denominator = polynomial(cx, square, &DENOMINATOR)?;
    Ok(vec![cx.b.div(numerator, denominator)?])
}

/// Horner's scheme; coefficients from the lowest power on.
pub(super) fn polynomial(cx: &mut Cx<'_>, x: ValueId, coefficients: &[f32]) -> Result<ValueId, Refusal> {
    let mut highest_first = coefficients.iter().rev();
    let mut y = cx.b.scalar(highest_first.next().copied().unwrap_or_default());
    for &coefficient in highest_first {
        let coefficient = cx.b.scalar(coefficient);
        let product = cx.b.mul(y, x)?;
        y = cx.b.add(product, coefficient)?;
    }
    Ok(y)
}

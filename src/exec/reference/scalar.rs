//! Functions of single numbers that operators apply to each element.

use tract_onnx::prelude::tract_num_traits::Float;

use super::super::KernelError;
use crate::graph::{Activation, Binary, Compare, Unary};

/// `e^(x²) erfc(x) / t` as a polynomial: its logarithm, in `u`, for `x` in 0..6 with `t = 2 / (2 + x)` and `u` the affine image
/// of `t` in -1..1. A least-squares fit over Chebyshev nodes; `erf` is then right to 1e-10.
const ERFC: [f64; 13] = [
    -0.501436725930384,
    0.515312688257211,
    0.00557076286555507,
    -0.0215236777269341,
    0.00049351769062572,
    0.00202905360357497,
    -0.000330137788212566,
    -0.000195977584522407,
    8.12443603410734e-5,
    1.0855592598416e-5,
    -1.32947070902348e-5,
    4.63995363320401e-7,
    1.22746715366178e-6,
];

/// The error function.
pub(in crate::exec) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() || a > 6.0 {
        return if a.is_nan() { x } else { 1f64.copysign(x) };
    }
    let t = 2.0 / (2.0 + a);
    let u = (t - 0.25) * (2.0 / 0.75) - 1.0;
    let polynomial = ERFC.iter().rev().fold(0.0, |sum, c| sum * u + c);
    (1.0 - t * (polynomial - a * a).exp()).copysign(x)
}

/// A literal in either float type.
fn lit<F: Float>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

/// Clamps as the kernels do: NaN stays.
pub(super) fn clamp<F: Float>(x: F, low: f64, high: f64) -> F {
    let (low, high) = (lit(low), lit(high));
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}

pub(super) fn round_half_even<F: Float>(x: F) -> F {
    let floor = x.floor();
    let half: F = lit(0.5);
    let up = match (x - floor).partial_cmp(&half) {
        Some(std::cmp::Ordering::Less) => false,
        Some(std::cmp::Ordering::Equal) => !(floor * half).fract().is_zero(),
        _ => return if x.is_nan() || x.is_infinite() { x } else { floor + F::one() },
    };
    // -0.3 rounds to -0, as in the kernel.
    let rounded = if up { floor + F::one() } else { floor };
    if rounded.is_zero() { rounded.copysign(x) } else { rounded }
}

/// `f(x)` for each `x`, by a loop of its own for each function.
pub(super) fn unary<F: Float>(kind: Unary, x: &[F]) -> Vec<F> {
    fn map<F: Copy>(x: &[F], f: impl Fn(F) -> F) -> Vec<F> {
        x.iter().map(|&x| f(x)).collect()
    }
    let (zero, one, half) = (F::zero(), F::one(), lit::<F>(0.5));
    match kind {
        Unary::Abs => map(x, F::abs),
        Unary::Ceil => map(x, F::ceil),
        Unary::Cos => map(x, F::cos),
        Unary::Elu => map(x, |x| if x < zero { x.exp_m1() } else { x }),
        Unary::Exp => map(x, F::exp),
        Unary::Floor => map(x, F::floor),
        Unary::Gelu => map(x, |x| {
            let wide = x.to_f64().unwrap_or(f64::NAN);
            lit(0.5 * wide * (1.0 + erf(wide * std::f64::consts::FRAC_1_SQRT_2)))
        }),
        Unary::GeluTanh => {
            let root: F = lit((2.0 / std::f64::consts::PI).sqrt());
            map(x, |x| half * x * (one + (root * (x + lit::<F>(0.044715) * x * x * x)).tanh()))
        }
        Unary::HardSwish => map(x, |x| x * clamp(x + lit(3.0), 0.0, 6.0) / lit(6.0)),
        Unary::Log => map(x, F::ln),
        Unary::Logistic => map(x, |x| one / (one + (-x).exp())),
        Unary::Neg => map(x, |x| -x),
        Unary::Relu => map(x, |x| clamp(x, 0.0, f64::INFINITY)),
        Unary::Relu0To1 => map(x, |x| clamp(x, 0.0, 1.0)),
        Unary::Relu6 => map(x, |x| clamp(x, 0.0, 6.0)),
        Unary::ReluN1To1 => map(x, |x| clamp(x, -1.0, 1.0)),
        Unary::Round => map(x, round_half_even),
        Unary::Rsqrt => map(x, |x| one / x.sqrt()),
        Unary::Sign => map(x, |x| if x.is_nan() || x.is_zero() { x } else { x.signum() }),
        Unary::Sin => map(x, F::sin),
        Unary::Sqrt => map(x, F::sqrt),
        Unary::Square => map(x, |x| x * x),
        Unary::Tanh => map(x, F::tanh),
        // `LOGICAL_NOT` never gets here: it takes booleans only.
        Unary::ZerosLike | Unary::LogicalNot => map(x, |_| zero),
    }
}

/// The integer functions; `None` for those that have no kernel on integers.
pub(super) fn unary_int(kind: Unary) -> Option<fn(i64) -> i64> {
    Some(match kind {
        Unary::Abs => i64::wrapping_abs,
        Unary::Neg => i64::wrapping_neg,
        Unary::Sign => i64::signum,
        Unary::Square => |x| x.wrapping_mul(x),
        Unary::ZerosLike => |_| 0,
        Unary::Relu => |x| x.max(0),
        Unary::Relu0To1 => |x| x.clamp(0, 1),
        Unary::Relu6 => |x| x.clamp(0, 6),
        Unary::ReluN1To1 => |x| x.clamp(-1, 1),
        _ => return None,
    })
}

/// Least and greatest number that a fused activation lets through.
pub(in crate::exec) type Limits = (f64, f64);

/// What a fused activation limits its operand to.
///
/// # Errors
/// For those that are no limits: they have no meaning, since some kernels refuse them and others ignore them.
pub(in crate::exec) fn limits(activation: Activation) -> Result<Limits, KernelError> {
    match activation {
        Activation::None => Ok((f64::NEG_INFINITY, f64::INFINITY)),
        Activation::Relu => Ok((0.0, f64::INFINITY)),
        Activation::ReluN1To1 => Ok((-1.0, 1.0)),
        Activation::Relu6 => Ok((0.0, 6.0)),
        Activation::Tanh => Err(KernelError::unsupported("a fused TANH")),
        Activation::SignBit => Err(KernelError::unsupported("a fused SIGN_BIT")),
    }
}

/// What a pair of elements comes to.
pub(super) type Pairwise<T> = fn(T, T) -> T;

/// `None` for the operators that take no floats.
pub(super) fn binary<F: Float>(kind: Binary) -> Option<Pairwise<F>> {
    Some(match kind {
        Binary::Add => |a, b| a + b,
        Binary::Sub => |a, b| a - b,
        Binary::Mul => |a, b| a * b,
        Binary::Div => |a, b| a / b,
        // A NaN in `a` is dropped, one in `b` stays: so do the kernels.
        Binary::Maximum => |a, b| if a > b { a } else { b },
        Binary::Minimum => |a, b| if a < b { a } else { b },
        Binary::Pow => F::powf,
        Binary::FloorDiv => |a, b| (a / b).floor(),
        Binary::FloorMod => |a, b| {
            let rest = a % b;
            let differs = !rest.is_zero() && (rest < F::zero()) != (b < F::zero());
            if differs { rest + b } else { rest }
        },
        Binary::SquaredDifference => |a, b| (a - b) * (a - b),
        Binary::Atan2 => F::atan2,
        Binary::LogicalAnd | Binary::LogicalOr | Binary::BitwiseXor | Binary::RightShift => return None,
    })
}

/// Integers: `None` where the kernel has no answer (division by zero, a negative exponent).
pub(super) type PairwiseInt = fn(i64, i64) -> Option<i64>;

/// `None` for the operators that take no integers.
pub(super) fn binary_int(kind: Binary) -> Option<PairwiseInt> {
    Some(match kind {
        Binary::Add => |a, b| Some(a.wrapping_add(b)),
        Binary::Sub => |a, b| Some(a.wrapping_sub(b)),
        Binary::Mul => |a, b| Some(a.wrapping_mul(b)),
        Binary::Div => |a, b| (b != 0).then(|| a.wrapping_div(b)),
        Binary::Maximum => |a, b| Some(a.max(b)),
        Binary::Minimum => |a, b| Some(a.min(b)),
        Binary::Pow => |a, b| Some(a.wrapping_pow(u32::try_from(b).ok()?)),
        Binary::FloorDiv => |a, b| {
            (b != 0).then(|| {
                let (quotient, rest) = (a.wrapping_div(b), a.wrapping_rem(b));
                if rest != 0 && (rest < 0) != (b < 0) { quotient - 1 } else { quotient }
            })
        },
        Binary::FloorMod => |a, b| {
            (b != 0).then(|| {
                let rest = a.wrapping_rem(b);
                if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
            })
        },
        Binary::SquaredDifference => |a, b| {
            let difference = a.wrapping_sub(b);
            Some(difference.wrapping_mul(difference))
        },
        Binary::BitwiseXor => |a, b| Some(a ^ b),
        Binary::Atan2 | Binary::LogicalAnd | Binary::LogicalOr | Binary::RightShift => return None,
    })
}

/// Whether a pair compares so.
pub(super) fn compare<T: PartialOrd>(kind: Compare) -> fn(&T, &T) -> bool {
    match kind {
        Compare::Equal => |a, b| a == b,
        Compare::NotEqual => |a, b| a != b,
        Compare::Less => |a, b| a < b,
        Compare::LessEqual => |a, b| a <= b,
        Compare::Greater => |a, b| a > b,
        Compare::GreaterEqual => |a, b| a >= b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_its_series() {
        for i in -60..=60 {
            let x = f64::from(i) / 10.0;
            // erf x = 2/sqrt(pi) e^(-x²) sum of 2^n x^(2n+1) / (2n+1)!!, all terms of one sign
            let (mut term, mut sum) = (x, 0.0);
            for n in 1..300 {
                sum += term;
                term *= 2.0 * x * x / f64::from(2 * n + 1);
            }
            let expected = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum;
            assert!((erf(x) - expected).abs() < 2e-10, "erf({x}) = {} instead of {expected}", erf(x));
        }
        assert_eq!(erf(f64::INFINITY), 1.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn rounds_half_to_even() {
        for (x, expected) in
            [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-1.5, -2.0), (-2.4, -2.0), (-2.6, -3.0)]
        {
            assert_eq!(round_half_even::<f32>(x).to_bits(), f32::to_bits(expected), "{x}");
        }
        assert_eq!(round_half_even(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(round_half_even(16_777_217f64), 16_777_217.0);
    }
}

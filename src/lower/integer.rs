//! ONNX `Mod` and the bitwise operators.

use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results, division};
use crate::graph::{Binary, Unary, ValueId};
use crate::tensor::DType;

/// Lowers ONNX `Mod` to `FLOOR_MOD`, corrected where the sign of the dividend is asked for.
///
/// # Accepts
/// Integers and float32.
/// # Produces
/// `FLOOR_MOD`; for `fmod = 1` with `SELECT_V2` (integers) or on magnitudes, times `SIGN` (float32). uint64 is divided by half, as
/// int64.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn modulo(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let sign_of_dividend = cx.flag_or("fmod", false)?;
    let dtype = cx.dtype(a);
    if dtype == DType::U64 {
        return Ok(vec![division::unsigned_remainder(cx, a, b)?]);
    }
    let kernel = [DType::F32, DType::I32, DType::I64];
    let (a, b) = (cx.in_kernel_type(a, &kernel)?, cx.in_kernel_type(b, &kernel)?);
    let rest = match dtype {
        DType::F32 if sign_of_dividend => {
            let sign = cx.b.unary(Unary::Sign, a)?;
            let (a, b) = (cx.b.unary(Unary::Abs, a)?, cx.b.unary(Unary::Abs, b)?);
            let rest = cx.b.binary(Binary::FloorMod, a, b)?;
            cx.b.mul(sign, rest)?
        }
        DType::F32 => cx.b.binary(Binary::FloorMod, a, b)?,
        _ => division::remainder(cx, a, b, sign_of_dividend)?,
    };
    Ok(vec![cx.b.cast(rest, dtype)?])
}

/// Lowers ONNX `BitwiseAnd`, `BitwiseOr`, `BitwiseXor` to `BITWISE_XOR` and arithmetic.
///
/// # Accepts
/// Integers, with broadcasting.
/// # Produces
/// `BITWISE_XOR`; `a & b` from the sum without carries, `(a + b - (a ^ b)) / 2`, and `a | b = (a & b) + (a ^ b)`, as int32. 64 bits are
/// two halves, between `BITCAST`s.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn bitwise(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(a);
    let (a, b) = (as_words(cx, a)?, as_words(cx, b)?);
    let y = match cx.op() {
        "BitwiseAnd" => and(cx, a, b)?,
        "BitwiseOr" => {
            let (common, other) = (and(cx, a, b)?, cx.b.binary(Binary::BitwiseXor, a, b)?);
            cx.b.add(common, other)?
        }
        _ => cx.b.binary(Binary::BitwiseXor, a, b)?,
    };
    Ok(vec![if dtype.bits() == 64 { cx.join_halves(y, dtype)? } else { cx.b.cast(y, dtype)? }])
}

/// Integers as `INT32` with the same bits, two for each of 64.
fn as_words(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    match cx.dtype(x).bits() {
        64 => cx.halves(x),
        8..=32 => cx.as_i32(x),
        _ => Err(no_kernel(cx.dtype(x))),
    }
}

/// `a & b` of int32: the upper 31 bits from half the operands, whose sum can't overflow, and the lowest as a product.
fn and(cx: &mut Cx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let (one, two) = (cx.b.scalar(1i32), cx.b.scalar(2i32));
    let mut split = |x| {
        let half = cx.b.binary(Binary::RightShift, x, one)?;
        let even = cx.b.mul(half, two)?;
        Ok::<_, Refusal>((half, cx.b.sub(x, even)?))
    };
    let ((a, a_low), (b, b_low)) = (split(a)?, split(b)?);
    let (sum, other) = (cx.b.add(a, b)?, cx.b.binary(Binary::BitwiseXor, a, b)?);
    let (upper, lowest) = (cx.b.sub(sum, other)?, cx.b.mul(a_low, b_low)?);
    Ok(cx.b.add(upper, lowest)?)
}

/// Lowers ONNX `BitwiseNot` to `SUB` from minus one.
///
/// # Accepts
/// Integers.
/// # Produces
/// `SUB`, as int32 or int64 between casts where the type has no kernel.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn bitwise_not(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    if !dtype.is_int() || dtype.bits() < 8 {
        return Err(no_kernel(dtype));
    }
    let x = cx.wrapping(x, &[DType::I32, DType::I64])?;
    let minus_one = cx.b.scalar_of(cx.dtype(x), -1.0)?;
    let y = cx.b.sub(minus_one, x)?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

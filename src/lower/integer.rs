//! ONNX `Mod`, `BitShift` and the bitwise operators.

use super::elementwise::no_kernel;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Unary, ValueId};
use crate::tensor::DType;

/// Lowers ONNX `Mod` to `FLOOR_MOD`, corrected where the sign of the dividend is asked for.
///
/// # Accepts
/// Integers up to 64 bits; float32 with `fmod = 1`.
/// # Produces
/// `FLOOR_MOD`; for `fmod = 1` with `SELECT_V2` (integers) or on magnitudes, times `SIGN` (float32).
/// # Refuses
/// uint64.
pub(super) fn modulo(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let sign_of_dividend = cx.flag_or("fmod", false)?;
    let dtype = cx.dtype(a);
    let wide = match dtype {
        DType::F32 if sign_of_dividend => {
            let sign = cx.b.unary(Unary::Sign, a)?;
            let (a, b) = (cx.b.unary(Unary::Abs, a)?, cx.b.unary(Unary::Abs, b)?);
            let rest = cx.b.binary(Binary::FloorMod, a, b)?;
            return Ok(vec![cx.b.mul(sign, rest)?]);
        }
        DType::I32 | DType::I64 => dtype,
        DType::I8 | DType::U8 | DType::I16 | DType::U16 => DType::I32,
        DType::U32 => DType::I64,
        _ => return Err(no_kernel(dtype)),
    };
    let (a, b) = (cx.b.cast(a, wide)?, cx.b.cast(b, wide)?);
    let mut rest = cx.b.binary(Binary::FloorMod, a, b)?;
    if sign_of_dividend {
        // What is left has the divisor's sign: where that is not the dividend's, it is one divisor too far.
        let zero = cx.b.scalar_of(wide, 0.0)?;
        let some = cx.b.compare(Compare::NotEqual, rest, zero)?;
        let signs = (cx.b.compare(Compare::Less, a, zero)?, cx.b.compare(Compare::Less, rest, zero)?);
        let differ = cx.b.compare(Compare::NotEqual, signs.0, signs.1)?;
        let wrong = cx.b.binary(Binary::LogicalAnd, some, differ)?;
        let corrected = cx.b.sub(rest, b)?;
        rest = cx.b.select(wrong, corrected, rest)?;
    }
    Ok(vec![cx.b.cast(rest, dtype)?])
}

/// Lowers ONNX `BitShift` to `RIGHT_SHIFT`, or `MUL` with a power of two.
///
/// # Accepts
/// uint8, uint16, uint32.
/// # Produces
/// `RIGHT_SHIFT`, or `POW → MUL` as int32; with `LESS → SELECT_V2` where all bits may be shifted out.
/// # Refuses
/// uint64.
pub(super) fn bit_shift(cx: &mut Cx<'_>) -> Results {
    let (x, by) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(x);
    let width = match dtype {
        DType::U8 => 8,
        DType::U16 => 16,
        DType::U32 => 32,
        _ => return Err(no_kernel(dtype)),
    };
    let narrow = cx.b.graph.const_ints(by).is_some_and(|by| by.iter().all(|&by| by < width));
    let count = cx.as_i32(by)?;
    let y = match cx.string_or("direction", "")? {
        "RIGHT" => cx.b.binary(Binary::RightShift, x, by)?,
        "LEFT" => {
            // int32 wraps around, and so does the cast back.
            let (two, top) = (cx.b.scalar(2i32), cx.b.scalar(31i32));
            let count = cx.b.binary(Binary::Minimum, top, count)?;
            let factor = cx.b.binary(Binary::Pow, two, count)?;
            let wide = cx.as_i32(x)?;
            let y = cx.b.mul(wide, factor)?;
            cx.b.cast(y, dtype)?
        }
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute direction")),
    };
    if narrow {
        return Ok(vec![y]);
    }
    // The kernel shifts by at most one less than the width, where ONNX has no bit left.
    let (width, zero) = (cx.b.scalar(width as i32), cx.b.scalar_of(dtype, 0.0)?);
    let some_left = cx.b.compare(Compare::Less, count, width)?;
    Ok(vec![cx.b.select(some_left, y, zero)?])
}

/// Lowers ONNX `BitwiseAnd`, `BitwiseOr`, `BitwiseXor` to `BITWISE_XOR` and arithmetic.
///
/// # Accepts
/// Integers up to 32 bits.
/// # Produces
/// `BITWISE_XOR`; `a & b` from the sum without carries, `(a + b - (a ^ b)) / 2`, and `a | b = (a & b) + (a ^ b)`, as int32.
/// # Refuses
/// 64-bit integers.
pub(super) fn bitwise(cx: &mut Cx<'_>) -> Results {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(a);
    if !matches!(dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32 | DType::U32) {
        return Err(no_kernel(dtype));
    }
    let (a, b) = (cx.as_i32(a)?, cx.as_i32(b)?);
    let y = match cx.op() {
        "BitwiseAnd" => and(cx, a, b)?,
        "BitwiseOr" => {
            let (common, other) = (and(cx, a, b)?, cx.b.binary(Binary::BitwiseXor, a, b)?);
            cx.b.add(common, other)?
        }
        _ => cx.b.binary(Binary::BitwiseXor, a, b)?,
    };
    Ok(vec![cx.b.cast(y, dtype)?])
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
/// Integers up to 64 bits.
/// # Produces
/// `SUB`, as int32 between casts for narrow types.
/// # Refuses
/// uint64.
pub(super) fn bitwise_not(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let wide = match dtype {
        DType::I64 => DType::I64,
        DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I32 | DType::U32 => DType::I32,
        _ => return Err(no_kernel(dtype)),
    };
    let (minus_one, x) = (cx.b.scalar_of(wide, -1.0)?, cx.b.cast(x, wide)?);
    let y = cx.b.sub(minus_one, x)?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

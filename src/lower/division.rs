//! Division of integers that no kernel divides: 64 bits, and 32 without a sign.
//!
//! Owns: exact quotients by way of `FLOOR_MOD`, which takes `INT64`, and of float32, whose quotients are corrected until they are exact.

use super::{Cx, Refusal};
use crate::graph::{Binary, Compare, Precision, Unary, ValueId};
use crate::tensor::DType;

/// `a / b`, the fraction cut off, for `INT64`, `UINT32` and `UINT64`.
pub(super) fn quotient(cx: &mut Cx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(a);
    if dtype == DType::U64 {
        let (quotient, _) = unsigned(cx, a, b)?;
        return Ok(cx.b.cast(quotient, dtype)?);
    }
    let (wide_a, wide_b) = (cx.b.cast(a, DType::I64)?, cx.b.cast(b, DType::I64)?);
    let rest = remainder(cx, wide_a, wide_b, true)?;
    let quotient = exact(cx, wide_a, wide_b, rest)?;
    Ok(cx.b.cast(quotient, dtype)?)
}

/// What `a / b` leaves, for `UINT64`.
pub(super) fn unsigned_remainder(cx: &mut Cx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let (_, rest) = unsigned(cx, a, b)?;
    Ok(cx.b.cast(rest, DType::U64)?)
}

/// What is left of `a / b` for signed types that `FLOOR_MOD` takes: with the sign of the divisor, or of the dividend.
pub(super) fn remainder(cx: &mut Cx<'_>, a: ValueId, b: ValueId, sign_of_dividend: bool) -> Result<ValueId, Refusal> {
    let rest = cx.b.binary(Binary::FloorMod, a, b)?;
    if !sign_of_dividend || (cx.is_natural(a) && cx.is_natural(b)) {
        return Ok(rest);
    }
    // What is left has the divisor's sign: where that is not the dividend's, it is one divisor too far.
    let zero = cx.b.scalar_of(cx.dtype(a), 0.0)?;
    let some = cx.b.compare(Compare::NotEqual, rest, zero)?;
    let signs = (cx.b.compare(Compare::Less, a, zero)?, cx.b.compare(Compare::Less, rest, zero)?);
    let differ = cx.b.compare(Compare::NotEqual, signs.0, signs.1)?;
    let wrong = cx.b.binary(Binary::LogicalAnd, some, differ)?;
    let corrected = cx.b.sub(rest, b)?;
    Ok(cx.b.select(wrong, corrected, rest)?)
}

/// `(a - rest) / b`, which leaves nothing, for `INT64`. A quotient of float32 is right to 22 bits, so that three rounds, each for what the
/// one before missed, give all 64; the sums wrap around where a rounded step goes too far.
fn exact(cx: &mut Cx<'_>, a: ValueId, b: ValueId, rest: ValueId) -> Result<ValueId, Refusal> {
    const ROUNDS: usize = 3;
    let before = cx.b.set_precision(Precision::Float);
    let divisor = cx.b.cast(b, DType::F32)?;
    let mut missing = cx.b.sub(a, rest)?;
    let mut quotient = None;
    for round in 0..ROUNDS {
        let float = cx.b.cast(missing, DType::F32)?;
        let step = cx.b.div(float, divisor)?;
        let step = cx.b.unary(Unary::Round, step)?;
        let step = cx.b.cast(step, DType::I64)?;
        quotient = Some(match quotient {
            None => step,
            Some(sum) => cx.b.add(sum, step)?,
        });
        if round + 1 < ROUNDS {
            let covered = cx.b.mul(step, b)?;
            missing = cx.b.sub(missing, covered)?;
        }
    }
    cx.b.set_precision(before);
    quotient.ok_or_else(|| Refusal::new("there are no rounds", ""))
}

/// Quotient and remainder of `UINT64`, as bits in `INT64`: half the dividend has no sign bit and is divided as it is; the doubled
/// quotient then is right or one too small. A divisor with the sign bit is more than half of any dividend.
fn unsigned(cx: &mut Cx<'_>, a: ValueId, b: ValueId) -> Result<(ValueId, ValueId), Refusal> {
    let (a, b) = (cx.b.cast(a, DType::I64)?, cx.b.cast(b, DType::I64)?);
    let (zero, one, two) = (cx.b.scalar(0i64), cx.b.scalar(1i64), cx.b.scalar(2i64));
    let large = cx.b.compare(Compare::Less, b, zero)?;
    let divisor = cx.b.select(large, one, b)?;
    // a = 2 * half + odd, where half of a negative number lacks the bit that the sign stood for.
    let odd = cx.b.binary(Binary::FloorMod, a, two)?;
    let half = exact(cx, a, two, odd)?;
    let (top, negative) = (cx.b.scalar(i64::MIN), cx.b.compare(Compare::Less, a, zero)?);
    let positive = cx.b.sub(half, top)?;
    let half = cx.b.select(negative, positive, half)?;
    let rest = cx.b.binary(Binary::FloorMod, half, divisor)?;
    let quotient = exact(cx, half, divisor, rest)?;
    let doubled = cx.b.add(quotient, quotient)?;
    let estimate = cx.b.select(large, zero, doubled)?;
    let covered = cx.b.mul(estimate, b)?;
    let rest = cx.b.sub(a, covered)?;
    let (place, bound) = (cx.with_flipped_sign(rest)?, cx.with_flipped_sign(b)?);
    let more = cx.b.compare(Compare::GreaterEqual, place, bound)?;
    let step = cx.b.cast(more, DType::I64)?;
    let (quotient, less) = (cx.b.add(estimate, step)?, cx.b.sub(rest, b)?);
    let rest = cx.b.select(more, less, rest)?;
    Ok((quotient, rest))
}

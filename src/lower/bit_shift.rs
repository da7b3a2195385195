//! ONNX `BitShift`.

use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, ValueId};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `BitShift` to `RIGHT_SHIFT`, or `MUL` with a power of two.
///
/// # Accepts
/// Integers, with broadcasting; amounts that are negative or shift everything out.
/// # Produces
/// `RIGHT_SHIFT`, or `GATHER` of a power of two `→ MUL`; with comparisons and `SELECT_V2` where everything may be shifted out. 64 bits
/// are shifted as two halves, between `BITCAST`s (right), or as int64 (left).
/// # Refuses
/// Integers below 8 bits.
pub(super) fn bit_shift(cx: &mut Cx<'_>) -> Results {
    let (x, by) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(x);
    let width = match dtype.bits() {
        bits @ (8 | 16 | 32 | 64) if dtype.is_int() => bits as i64,
        _ => return Err(no_kernel(dtype)),
    };
    let amounts = cx.b.graph.const_ints(by);
    let always_some_left = amounts.is_some_and(|by| by.iter().all(|by| (0..width).contains(by)));
    let count = amount(cx, by, width)?;
    let y = match cx.string_or("direction", "")? {
        "LEFT" => return Ok(vec![left(cx, x, count, width)?]),
        "RIGHT" if width == 64 => right_by_halves(cx, x, count)?,
        "RIGHT" => {
            let count = cx.b.cast(count, dtype)?;
            cx.b.binary(Binary::RightShift, x, count)?
        }
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute direction")),
    };
    // Kernels shift by one less than the width at most, which leaves the sign alone of a signed number: as ONNX has it.
    if always_some_left || is_signed(dtype) {
        return Ok(vec![y]);
    }
    let (width, zero) = (cx.b.scalar_of(DType::I32, width as f64)?, cx.b.scalar_of(dtype, 0.0)?);
    let some_left = cx.b.compare(Compare::Less, count, width)?;
    Ok(vec![cx.b.select(some_left, y, zero)?])
}

fn is_signed(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64)
}

/// The amount as `INT32`; `width` for every one that shifts everything out, as negative ones do.
fn amount(cx: &mut Cx<'_>, by: ValueId, width: i64) -> Result<ValueId, Refusal> {
    let wide = if cx.dtype(by).bits() < 32 { DType::I32 } else { DType::I64 };
    // Unsigned numbers of 64 bits that turn negative are past the width as well.
    let by = cx.b.cast(by, wide)?;
    let (zero, width) = (cx.b.scalar_of(wide, 0.0)?, cx.b.scalar_of(wide, width as f64)?);
    let (is_natural, is_small) =
        (cx.b.compare(Compare::GreaterEqual, by, zero)?, cx.b.compare(Compare::Less, by, width)?);
    let inside = cx.b.binary(Binary::LogicalAnd, is_natural, is_small)?;
    let amount = cx.b.select(inside, by, width)?;
    cx.as_i32(amount)
}

/// A power of two for each of `exponents` (`INT32`); the one of `bits` is 0, as all bits are gone then.
fn power_of_two(cx: &mut Cx<'_>, exponents: ValueId, bits: i64, dtype: DType) -> Result<ValueId, Refusal> {
    let powers = (0..=bits).map(|i| if i < bits { 1i64 << i } else { 0 }).collect();
    let table = Tensor::vector(powers).cast(dtype).map_err(|_| no_kernel(dtype))?;
    let table = cx.b.constant(table);
    Ok(cx.b.gather(table, exponents, 0)?)
}

/// Products wrap around, and so does the cast back.
fn left(cx: &mut Cx<'_>, x: ValueId, count: ValueId, width: i64) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(x);
    let wide = cx.wrapping(x, &[DType::I32, DType::I64])?;
    let factor = power_of_two(cx, count, width, cx.dtype(wide))?;
    let y = cx.b.mul(wide, factor)?;
    Ok(cx.b.cast(y, dtype)?)
}

/// Bits of the upper half go to the lower one. By 32 and more, all that is left of them is there.
fn right_by_halves(cx: &mut Cx<'_>, x: ValueId, count: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(x);
    let halves = cx.halves(x)?;
    let axis = cx.rank(halves) - 1;
    let (zero, one, width) = (cx.b.scalar(0i32), cx.b.scalar(1i32), cx.b.scalar(32i32));
    let (low, high) = (cx.b.gather(halves, zero, axis)?, cx.b.gather(halves, one, axis)?);
    let upper_type = if is_signed(dtype) { DType::I32 } else { DType::U32 };
    let is_near = cx.b.compare(Compare::Less, count, width)?;

    // What moves within its half, and from the upper half to the lower one: over the border by a product.
    let (own, upper) = (shifted(cx, low, count, DType::U32)?, shifted(cx, high, count, upper_type)?);
    let back = cx.b.sub(width, count)?;
    let back = cx.b.binary(Binary::Maximum, zero, back)?;
    let factor = power_of_two(cx, back, 32, DType::I32)?;
    let carried = cx.b.mul(high, factor)?;
    let near = cx.b.add(own, carried)?;
    let beyond = cx.b.sub(count, width)?;
    let beyond = cx.b.binary(Binary::Maximum, zero, beyond)?;
    let far = shifted(cx, high, beyond, upper_type)?;

    let emptied = if is_signed(dtype) { upper } else { zero };
    let (low, high) = (cx.b.select(is_near, near, far)?, cx.b.select(is_near, upper, emptied)?);
    let axis = i32::try_from(axis).unwrap_or_default();
    let joined = cx.b.one(Op::Pack { axis }, &[low, high])?;
    cx.join_halves(joined, dtype)
}

/// `INT32` shifted as a number of `dtype`.
fn shifted(cx: &mut Cx<'_>, x: ValueId, by: ValueId, dtype: DType) -> Result<ValueId, Refusal> {
    let (x, by) = (cx.b.cast(x, dtype)?, cx.b.cast(by, dtype)?);
    let y = cx.b.binary(Binary::RightShift, x, by)?;
    cx.as_i32(y)
}

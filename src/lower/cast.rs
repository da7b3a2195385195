//! ONNX `Cast`, `CastLike`.

use super::constant::element_type;
use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Precision, ValueId};
use crate::tensor::DType;

/// What the kernel of `CAST` takes, on either side.
const KERNEL: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::Bool,
];
/// Narrow types, which are cast to and from float32 only.
const NARROW: &[DType] = &[DType::I4, DType::U4, DType::I2];

/// Lowers ONNX `Cast` to `CAST`.
///
/// # Accepts
/// All pairs of float, integer and boolean types. `saturate` speaks of float8 alone.
/// # Produces
/// `CAST`, nothing where the type is right already; `BITCAST` for uint64. What becomes float16, bfloat16 or float64 is float32 inside the
/// graph: it is rounded (`CAST → CAST`) only where it is an output or goes straight into another `Cast`.
/// # Refuses
/// float8 and strings.
pub(super) fn cast(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["saturate", "round_mode"]);
    let to = cx.int("to")?.ok_or_else(|| Refusal::new("is missing", "check the model").about("attribute to"))?;
    let to = element_type(to).map_err(|r| r.about("attribute to"))?;
    let x = cx.as_given(cx.input(0)?);
    Ok(vec![cast_to(cx, x, to)?])
}

/// Lowers ONNX `CastLike` to `CAST`.
///
/// # Accepts
/// What `Cast` accepts.
/// # Produces
/// What `Cast` produces.
/// # Refuses
/// float8 and strings.
pub(super) fn cast_like(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["saturate", "round_mode"]);
    let (x, like) = (cx.as_given(cx.input(0)?), cx.as_given(cx.input(1)?));
    let to = cx.dtype(like);
    Ok(vec![cast_to(cx, x, to)?])
}

/// `x` as another type, with the numbers that ONNX gives.
pub(super) fn cast_to(cx: &mut Cx<'_>, x: ValueId, to: DType) -> Result<ValueId, Refusal> {
    let from = cx.dtype(x);
    match (from, to) {
        _ if from == to => return Ok(x),
        (DType::U64, _) if to.is_float() => return from_u64(cx, x, to),
        (_, DType::U64) if from.is_float() => return to_u64(cx, x),
        (DType::U64, _) | (_, DType::U64) if !NARROW.contains(&from) && !NARROW.contains(&to) => {
            return Ok(cx.b.cast(x, to)?);
        }
        _ => {}
    }
    if let Some(dtype) = [from, to].into_iter().find(|d| !KERNEL.contains(d) && !NARROW.contains(d)) {
        return Err(no_kernel(dtype));
    }
    let mut x = x;
    if NARROW.contains(&to) {
        x = wrapped(cx, x, to)?;
    }
    if NARROW.contains(&from) || NARROW.contains(&to) {
        x = cx.b.cast(x, DType::F32)?;
    }
    Ok(cx.b.cast(x, to)?)
}

/// 2^63, and what comes after it, has the sign bit.
const TOP: f32 = 9_223_372_036_854_775_808.0;

/// Numbers with the sign bit come out of the kernel too small by 2^64.
fn from_u64(cx: &mut Cx<'_>, x: ValueId, to: DType) -> Result<ValueId, Refusal> {
    let before = cx.b.set_precision(Precision::Float);
    let bits = cx.b.cast(x, DType::I64)?;
    let (zero, top) = (cx.b.scalar(0i64), cx.b.scalar(2.0 * TOP));
    let large = cx.b.compare(Compare::Less, bits, zero)?;
    let float = cx.b.cast(bits, DType::F32)?;
    let raised = cx.b.add(float, top)?;
    let y = cx.b.select(large, raised, float)?;
    cx.b.set_precision(before);
    Ok(cx.b.cast(y, to)?)
}

/// Numbers past 2^63 go through the kernel less 2^63, which is their sign bit.
fn to_u64(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let before = cx.b.set_precision(Precision::Float);
    let x = cx.b.cast(x, DType::F32)?;
    let top = cx.b.scalar(TOP);
    let large = cx.b.compare(Compare::GreaterEqual, x, top)?;
    let less = cx.b.sub(x, top)?;
    let small = cx.b.select(large, less, x)?;
    let bits = cx.b.cast(small, DType::I64)?;
    let with_sign = cx.with_flipped_sign(bits)?;
    let bits = cx.b.select(large, with_sign, bits)?;
    cx.b.set_precision(before);
    Ok(cx.b.cast(bits, DType::U64)?)
}

/// Numbers that a narrow type lacks wrap around in ONNX, where the kernel would saturate.
fn wrapped(cx: &mut Cx<'_>, x: ValueId, to: DType) -> Result<ValueId, Refusal> {
    let count = 1i32 << to.bits();
    let lowest = if to == DType::U4 { 0 } else { -count / 2 };
    let x = if NARROW.contains(&cx.dtype(x)) { cx.b.cast(x, DType::F32)? } else { x };
    let whole = cx.b.cast(x, DType::I32)?;
    let (count, lowest) = (cx.b.scalar(count), cx.b.scalar(lowest));
    let from_zero = cx.b.sub(whole, lowest)?;
    let wrapped = cx.b.binary(Binary::FloorMod, from_zero, count)?;
    Ok(cx.b.add(wrapped, lowest)?)
}

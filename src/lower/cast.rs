//! ONNX `Cast`, `CastLike`.

use super::constant::element_type;
use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, ValueId};
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
/// All pairs of float, integer and boolean types but those below. `saturate` speaks of float8 alone.
/// # Produces
/// `CAST`; nothing where the type is right already.
/// # Refuses
/// uint64, float8 and strings.
pub(super) fn cast(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["saturate", "round_mode"]);
    let to = cx.int("to")?.ok_or_else(|| Refusal::new("is missing", "check the model").about("attribute to"))?;
    let to = element_type(to).map_err(|r| r.about("attribute to"))?;
    let x = cx.input(0)?;
    Ok(vec![cast_to(cx, x, to)?])
}

/// Lowers ONNX `CastLike` to `CAST`.
///
/// # Accepts
/// What `Cast` accepts.
/// # Produces
/// `CAST`; nothing where the type is right already.
/// # Refuses
/// uint64, float8 and strings.
pub(super) fn cast_like(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["saturate", "round_mode"]);
    let (x, like) = (cx.input(0)?, cx.input(1)?);
    let to = cx.dtype(like);
    Ok(vec![cast_to(cx, x, to)?])
}

pub(super) fn cast_to(cx: &mut Cx<'_>, x: ValueId, to: DType) -> Result<ValueId, Refusal> {
    let from = cx.dtype(x);
    if from == to {
        return Ok(x);
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

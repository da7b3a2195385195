//! ONNX `Cast`, `CastLike`.

use super::constant::element_type;
use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results};
use crate::graph::ValueId;
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

fn cast_to(cx: &mut Cx<'_>, x: ValueId, to: DType) -> Result<ValueId, Refusal> {
    let from = cx.dtype(x);
    if from == to {
        return Ok(x);
    }
    let narrow = NARROW.contains(&from) || NARROW.contains(&to);
    match [from, to].into_iter().find(|d| !KERNEL.contains(d) && !NARROW.contains(d)) {
        Some(dtype) => Err(no_kernel(dtype)),
        None if narrow => {
            let float = cx.b.cast(x, DType::F32)?;
            Ok(cx.b.cast(float, to)?)
        }
        None => Ok(cx.b.cast(x, to)?),
    }
}

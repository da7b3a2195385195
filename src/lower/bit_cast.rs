//! ONNX `BitCast`.

use super::constant::element_type;
use super::{Cx, Refusal, Results};
use crate::graph::Op;

/// Lowers ONNX `BitCast` to `BITCAST`.
///
/// # Accepts
/// Types of one width. Of float16, bfloat16 and float64, inputs, constants and what comes from another conversion.
/// # Produces
/// `BITCAST`; nothing where the type is the same.
/// # Refuses
/// Types that TFLite does not have; float16, bfloat16 and float64 that were computed, which happens in float32.
pub(super) fn bit_cast(cx: &mut Cx<'_>) -> Results {
    let x = cx.as_given(cx.input(0)?);
    let to = cx.int("to")?.ok_or_else(|| Refusal::new("is missing", "check the model").about("attribute to"))?;
    let to = element_type(to).map_err(|r| r.about("attribute to"))?;
    let dtype = cx.dtype(x);
    if to == dtype {
        return Ok(vec![x]);
    }
    if to.bits() != dtype.bits() {
        let what = format!("the bits of {to} are asked for, but the operand is computed as {dtype}");
        return Err(Refusal::new(what, "convert the model to float32"));
    }
    Ok(vec![cx.b.one(Op::Bitcast { to }, &[x])?])
}

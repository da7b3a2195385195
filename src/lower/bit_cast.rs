//! ONNX `BitCast`.

use super::constant::element_type;
use super::{Cx, Refusal, Results};
use crate::graph::Op;

/// Lowers ONNX `BitCast` to `BITCAST`.
///
/// # Accepts
/// Types of one width. Of float16, bfloat16 and float64, which are computed as float32, inputs, constants and what comes from another
/// `BitCast`.
/// # Produces
/// `BITCAST`; nothing where the type is the same.
/// # Refuses
/// Types that TFLite does not have, and computed float16, bfloat16 and float64.
pub(super) fn bit_cast(cx: &mut Cx<'_>) -> Results {
    let x = cx.as_given(cx.input(0)?);
    let to = cx.int("to")?.ok_or_else(|| Refusal::new("is missing", "check the model").about("attribute to"))?;
    let to = element_type(to).map_err(|r| r.about("attribute to"))?;
    if to == cx.dtype(x) {
        return Ok(vec![x]);
    }
    if to.bits() != cx.dtype(x).bits() {
        let what =
            format!("{} does not have the {} bits of {to}: it is computed in another type", cx.dtype(x), to.bits());
        return Err(Refusal::new(what, "take the bits of an input or of a constant"));
    }
    Ok(vec![cx.b.one(Op::Bitcast { to }, &[x])?])
}

//! ONNX `BitCast`.

use super::constant::element_type;
use super::{Cx, Refusal, Results};
use crate::graph::Op;

/// Lowers ONNX `BitCast` to `BITCAST`.
///
/// # Accepts
/// Types of one width.
/// # Produces
/// `BITCAST`; nothing where the type is the same.
/// # Refuses
/// Types that TFLite does not have.
pub(super) fn bit_cast(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let to = cx.int("to")?.ok_or_else(|| Refusal::new("is missing", "check the model").about("attribute to"))?;
    let to = element_type(to).map_err(|r| r.about("attribute to"))?;
    if to == cx.dtype(x) {
        return Ok(vec![x]);
    }
    Ok(vec![cx.b.one(Op::Bitcast { to }, &[x])?])
}

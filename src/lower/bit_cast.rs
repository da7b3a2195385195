//! ONNX `BitCast`.

use super::constant::element_type;
use super::{Cx, Refusal, Results};
use crate::graph::{Op, ValueId};
use crate::tensor::DType;

/// Lowers ONNX `BitCast` to `BITCAST`.
///
/// # Accepts
/// Types of one width.
/// # Produces
/// `BITCAST`; nothing where the type is the same.
/// # Refuses
/// Types that TFLite does not have; float16 and float64 that were computed, which happens in float32.
pub(super) fn bit_cast(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let to = cx.int("to")?.ok_or_else(|| Refusal::new("is missing", "check the model").about("attribute to"))?;
    let to = element_type(to).map_err(|r| r.about("attribute to"))?;
    if to == cx.dtype(x) {
        return Ok(vec![x]);
    }
    let x = as_given(cx, x, to)?;
    Ok(vec![cx.b.one(Op::Bitcast { to }, &[x])?])
}

/// `x` as wide as `to`: what came in as another float than float32 has been cast, but can still be had as it was.
fn as_given(cx: &Cx<'_>, x: ValueId, to: DType) -> Result<ValueId, Refusal> {
    let wide = |id: ValueId| cx.dtype(id).bits() == to.bits();
    if wide(x) {
        return Ok(x);
    }
    let producer = cx.b.graph.nodes.iter().rev().find(|node| node.outputs.contains(&x));
    let cast = producer.filter(|node| matches!(node.op, Op::Cast { .. }));
    let given = cast.and_then(|node| node.input(0)).filter(|&id| wide(id) && cx.dtype(id).is_float());
    given.ok_or_else(|| {
        let what = format!("the bits of {to} are asked for, but the operand is computed as {}", cx.dtype(x));
        Refusal::new(what, "convert the model to float32")
    })
}

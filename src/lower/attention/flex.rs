//! ONNX `FlexAttention`.

use super::scaled_dot_product::{Attend, scale_or_default, scaled};
use crate::lower::conv::require_float32;
use crate::lower::{Cx, Refusal, Results};

/// Lowers ONNX `FlexAttention` to `BATCH_MATMUL → SOFTMAX → BATCH_MATMUL`.
///
/// # Accepts
/// float32 with an axis for the heads; fewer heads of keys than of queries; `scale`; `score_mod` and `prob_mod`, which may use values of the graph
/// around them. The softmax is computed in float32 whatever `softmax_precision` says.
/// # Produces
/// `MUL → BATCH_MATMUL → SOFTMAX → BATCH_MATMUL`, with the scale on the queries; keys are never repeated. The nodes of `score_mod` stand before
/// the softmax, those of `prob_mod` after it.
/// # Refuses
/// Operands without an axis for the heads; graphs whose result is not of the shape and type of their operand.
pub(in crate::lower) fn flex_attention(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["softmax_precision"]);
    let (q, k, v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    require_float32(cx, q)?;
    for x in [q, k, v] {
        if cx.rank(x) != 4 {
            return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "use four axes"));
        }
    }
    let given = cx.float("scale")?;
    let scale = scale_or_default(cx, q, 1, given)?;
    let q = scaled(cx, q, scale)?;
    let (score_mod, prob_mod) = (cx.optional_graph("score_mod")?.cloned(), cx.optional_graph("prob_mod")?.cloned());
    Ok(vec![Attend { score_mod, prob_mod, ..Attend::new(q, k, v) }.emit(cx)?.y])
}

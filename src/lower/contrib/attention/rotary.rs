//! com.microsoft `RotaryEmbedding`.

use crate::graph::ValueId;
use crate::lower::attention::mask::counted;
use crate::lower::attention::rotary::{Angles, Pairs, turn_heads};
use crate::lower::conv::require_float32;
use crate::lower::{Cx, Refusal, Results};

/// Lowers com.microsoft `RotaryEmbedding` to `SPLIT → CONCATENATION`, `MUL`, `MUL`, `ADD`.
///
/// # Accepts
/// float32; heads packed in the last axis or on an axis of their own; `interleaved`, `rotary_embedding_dim`; positions of all tokens, or of
/// the first one.
/// # Produces
/// What the standard `RotaryEmbedding` becomes.
/// # Refuses
/// Samples that are packed in one row; packed heads whose size is told by nothing.
pub(in crate::lower) fn rotary_embedding(cx: &mut Cx<'_>) -> Results {
    for (name, plain) in [("is_packed_batching", 0.0), ("scale", 1.0)] {
        let value = if name == "scale" { cx.float_or(name, 1.0)? } else { cx.int_or(name, 0)? as f32 };
        if value != plain {
            return Err(Refusal::new("is not supported", "export without it").about(format!("attribute {name}")));
        }
    }
    let (x, positions, cos, sin) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?);
    require_float32(cx, x)?;
    let pairs = if cx.flag_or("interleaved", false)? { Pairs::Neighbours } else { Pairs::Halves };
    let partial = cx.heads_or_none("rotary_embedding_dim")?.is_some();
    let mut heads = cx.heads_or_none("num_heads")?;
    if heads.is_none() && !partial && cx.rank(x) == 3 {
        // The tables are for the whole head.
        heads = cx.dim(x, 2).zip(cx.dim(cos, 1)).and_then(|(hidden, half)| hidden.checked_div(2 * half));
    }
    let sequence = if cx.rank(x) == 4 { 2 } else { 1 };
    let positions = all_positions(cx, positions, x, sequence)?;
    let angles = Angles::new(cx, cos, sin, pairs)?.at(cx, positions)?;
    Ok(vec![turn_heads(cx, x, angles, pairs, heads)?])
}

/// `[batch or 1, sequence]`: from the position of the first token, where no more is given.
fn all_positions(cx: &mut Cx<'_>, positions: ValueId, x: ValueId, sequence: usize) -> Result<ValueId, Refusal> {
    if cx.rank(positions) != 1 {
        return Ok(positions);
    }
    let first = cx.narrowed(positions)?;
    let steps = counted(cx, x, sequence)?;
    let all = cx.b.add(steps, first)?;
    Ok(cx.b.reshape(all, &[1, -1])?)
}

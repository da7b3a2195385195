//! ONNX `Attention`.

use super::mask::{self, Mask, Positions};
use super::scaled_dot_product::{Attend, Attended, Stage, scale_or_default, scaled};
use super::{merge_heads, split_heads};
use crate::graph::ValueId;
use crate::lower::conv::require_float32;
use crate::lower::{Cx, Refusal, Results};

/// Lowers ONNX `Attention` to `BATCH_MATMUL → SOFTMAX → BATCH_MATMUL`.
///
/// # Accepts
/// float32; heads packed in the last axis or on an axis of their own; fewer heads of keys than of queries; masks, boolean or added, that
/// broadcast, or (with `nonpad_kv_seqlen`) speak of fewer keys than there are; `is_causal`, windows, `softcap`; past keys and values;
/// every `qk_matmul_output_mode`. The softmax is computed in float32 whatever `softmax_precision` says.
/// # Produces
/// `MUL → BATCH_MATMUL → ADD? → SOFTMAX → BATCH_MATMUL`, with the scale on the queries and all masks in one summand; heads that share keys
/// are joined by `RESHAPE`, keys are never repeated. Where a query may see no key, `REDUCE_ANY → SELECT_V2` makes its result zero.
/// # Refuses
/// Packed heads without their number.
pub(in crate::lower) fn attention(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["softmax_precision"]);
    let (q, mut k, mut v) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (heads, key_heads) = (cx.heads("q_num_heads")?, cx.heads("kv_num_heads")?);
    let packed = cx.rank(q) == 3;
    let (heads, key_heads) = match (packed, heads, key_heads) {
        (false, ..) => (1, 1),
        (true, Some(heads), Some(key_heads)) => (heads, key_heads),
        _ => return Err(Refusal::new("is missing for packed heads", "give it").about("attribute q_num_heads")),
    };
    let given = cx.float("scale")?;
    require_float32(cx, q)?;
    let scale = scale_or_default(cx, q, heads, given)?;
    let mut q = scaled(cx, q, scale)?;
    if packed {
        q = split_heads(cx, q, heads)?;
        (k, v) = (split_heads(cx, k, key_heads)?, split_heads(cx, v, key_heads)?);
    }
    for x in [q, k, v] {
        if cx.rank(x) != 4 {
            return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "use three or four axes"));
        }
    }
    let (past_key, past_value) = (cx.optional(4), cx.optional(5));
    let (k, v) = (with_past(cx, past_key, k)?, with_past(cx, past_value, v)?);
    let mask = masks(cx, q, k, past_key)?;
    let show = if cx.wants_output(3) { stage(cx)? } else { cx.int("qk_matmul_output_mode").map(|_| None)? };
    let softcap = cx.float_or("softcap", 0.0)?;
    let Attended { y, scores } = Attend { softcap, mask, show, ..Attend::new(q, k, v) }.emit(cx)?;
    let y = if packed { merge_heads(cx, y)? } else { y };
    Ok([Some(y), Some(k), Some(v), scores].into_iter().flatten().collect())
}

/// Which scores the operator's last result is.
fn stage(cx: &Cx<'_>) -> Result<Option<Stage>, Refusal> {
    Ok(Some(match cx.int_or("qk_matmul_output_mode", 0)? {
        0 => Stage::Product,
        1 => Stage::Capped,
        2 => Stage::Masked,
        3 => Stage::Weights,
        other => {
            let what = format!("is {other}, which there is not");
            return Err(Refusal::new(what, "use 0 to 3").about("attribute qk_matmul_output_mode"));
        }
    }))
}

/// `x` after what is in the cache already.
fn with_past(cx: &mut Cx<'_>, past: Option<ValueId>, x: ValueId) -> Result<ValueId, Refusal> {
    let Some(past) = past else { return Ok(x) };
    Ok(cx.b.concat(&[past, x], 2)?)
}

/// Everything that hides keys, or weighs them.
fn masks(cx: &mut Cx<'_>, q: ValueId, k: ValueId, past: Option<ValueId>) -> Result<Mask, Refusal> {
    let mut mask = Mask::default();
    let lengths = match cx.optional(6) {
        Some(lengths) => Some(mask::by_sample(cx, lengths)?),
        None => None,
    };
    let causal = cx.flag_or("is_causal", false)?;
    let window = |name: &str| -> Result<Option<i32>, Refusal> {
        let size = cx.int_or(name, -1)?;
        Ok(if size < 0 { None } else { Some(i32::try_from(size).unwrap_or(i32::MAX / 2).min(i32::MAX / 2)) })
    };
    let (left, right) = (window("left_window_size")?, window("right_window_size")?);
    if causal || left.is_some() || right.is_some() || lengths.is_some() {
        let offset = first_position(cx, q, past, lengths)?;
        let positions = Positions::new(cx, q, k, offset)?;
        if causal {
            let seen = positions.causal(cx)?;
            // Without a cache of unknown fill, the first key is before or at every query.
            if lengths.is_some() { mask.allow(cx, seen)? } else { mask.allow_some(cx, seen)? }
        }
        if let Some(left) = left {
            let seen = positions.since(cx, left)?;
            mask.allow(cx, seen)?;
        }
        if let Some(right) = right {
            let seen = positions.until(cx, right)?;
            mask.allow(cx, seen)?;
        }
        if let Some(lengths) = lengths {
            let seen = positions.within(cx, lengths)?;
            mask.allow(cx, seen)?;
        }
    }
    if let Some(operand) = cx.optional(3) {
        mask::given(cx, &mut mask, operand, k, lengths.is_some())?;
    }
    Ok(mask)
}

/// How many keys precede the first query: those in the cache.
fn first_position(
    cx: &mut Cx<'_>,
    q: ValueId,
    past: Option<ValueId>,
    lengths: Option<ValueId>,
) -> Result<Option<ValueId>, Refusal> {
    match (past, lengths) {
        (Some(past), _) => Ok(Some(cx.extent_vector(past, 2)?)),
        (None, Some(lengths)) => {
            let queries = cx.extent_vector(q, 2)?;
            Ok(Some(cx.b.sub(lengths, queries)?))
        }
        (None, None) => Ok(None),
    }
}

//! com.microsoft `MultiHeadAttention`.

use super::{masks, pieces};
use crate::graph::ValueId;
use crate::lower::attention::scaled_dot_product::{Attend, Stage, scale_or_default, scaled};
use crate::lower::attention::{merge_heads, split_heads};
use crate::lower::conv::{perm, require_float32, split};
use crate::lower::window::drop_axis;
use crate::lower::{Cx, Refusal, Results};

/// Lowers com.microsoft `MultiHeadAttention` to `BATCH_MATMUL → SOFTMAX → BATCH_MATMUL`.
///
/// # Accepts
/// float32; keys and values packed with the queries, with one another, or as a cache; a bias; masks of any shape but packed lengths of
/// sequences; `attention_bias`, past and present keys and values, `unidirectional`, `scale`, `mask_filter_value`; the result `qk`.
/// # Produces
/// `ADD?` of the bias, then what the standard `Attention` becomes.
/// # Refuses
/// State that shares a buffer, and beams.
pub(in crate::lower) fn multi_head_attention(cx: &mut Cx<'_>) -> Results {
    let heads = cx.required_heads("num_heads")?;
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let (q, mut k, mut v) = operands(cx, x, heads)?;
    let given = cx.float("scale")?.filter(|&scale| scale != 0.0);
    let scale = scale_or_default(cx, q, 1, given)?;
    let q = scaled(cx, q, scale)?;
    let mut offset = None;
    if let (Some(past_k), Some(past_v)) = (cx.optional(6), cx.optional(7)) {
        offset = Some(cx.extent_vector(past_k, 2)?);
        (k, v) = (cx.b.concat(&[past_k, k], 2)?, cx.b.concat(&[past_v, v], 2)?);
    }
    let given = cx.optional(4);
    let mask = masks::of(cx, q, k, offset, given)?;
    let show = cx.wants_output(3).then_some(Stage::Weights);
    let attended = Attend { mask, show, ..Attend::new(q, k, v) }.emit(cx)?;
    let y = merge_heads(cx, attended.y)?;
    Ok([Some(y), Some(k), Some(v), attended.scores].into_iter().flatten().collect())
}

/// Queries, keys and values with an axis for their heads, the bias added.
fn operands(cx: &mut Cx<'_>, x: ValueId, heads: usize) -> Result<(ValueId, ValueId, ValueId), Refusal> {
    let (key, value, bias) = (cx.optional(1), cx.optional(2), cx.optional(3));
    let apart = |cx: &mut Cx<'_>, packed: ValueId, parts: usize| -> Result<Vec<ValueId>, Refusal> {
        // [batch, sequence, heads, parts, size]
        let mut found = Vec::new();
        for part in split(cx, packed, 3, parts)? {
            let part = drop_axis(cx, part, 3)?;
            found.push(cx.b.transpose(part, &perm(&[0, 2, 1, 3]))?);
        }
        Ok(found)
    };
    let unbiased = |cx: &Cx<'_>| match bias {
        Some(_) => Err(Refusal::new(format!("is given for {}", cx.shape(x)), "add it before").about("operand bias")),
        None => Ok(()),
    };
    match (key, value) {
        (None, None) if cx.rank(x) == 5 => {
            unbiased(cx)?;
            let all = apart(cx, x, 3)?;
            Ok((all[0], all[1], all[2]))
        }
        (Some(key), None) if cx.rank(key) == 5 => {
            let both = apart(cx, key, 2)?;
            unbiased(cx)?;
            Ok((split_heads(cx, x, heads)?, both[0], both[1]))
        }
        (Some(key), Some(value)) => {
            // A cache is [batch, heads, sequence, size], and its bias is in it.
            let is_cache = cx.rank(key) == 4;
            let last = |cx: &Cx<'_>, x: ValueId| cx.dim(x, cx.rank(x).saturating_sub(1));
            let mut three = [x, key, value];
            if let Some(bias) = bias {
                let sizes = last(cx, x).zip(last(cx, value).map(|n| if is_cache { n * heads } else { n }));
                let (hidden, values) = sizes.ok_or_else(|| {
                    Refusal::new("the last extents must be known", "pin them with --shape").about("operand bias")
                })?;
                let biases = pieces(cx, bias, [hidden, hidden, values])?;
                let biased = if is_cache { 1 } else { 3 };
                for (x, bias) in three.iter_mut().zip(biases).take(biased) {
                    *x = cx.b.add(*x, bias)?;
                }
            }
            let [q, k, v] = three;
            let q = split_heads(cx, q, heads)?;
            Ok(if is_cache { (q, k, v) } else { (q, split_heads(cx, k, heads)?, split_heads(cx, v, heads)?) })
        }
        _ => Err(Refusal::new(format!("operands of {} without keys or values", cx.shape(x)), "check the model")),
    }
}

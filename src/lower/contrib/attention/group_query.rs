//! com.microsoft `GroupQueryAttention`.

use super::cache::Fill;
use super::pieces;
use crate::graph::{Precision, ValueId};
use crate::lower::attention::mask::{self, Mask, Positions};
use crate::lower::attention::rotary::{Angles, Pairs};
use crate::lower::attention::scaled_dot_product::{Attend, scale_or_default, scaled};
use crate::lower::attention::{merge_heads, split_heads};
use crate::lower::conv::require_float32;
use crate::lower::normalization::divide_by_rms;
use crate::lower::{Cx, Refusal, Results};

/// Lowers com.microsoft `GroupQueryAttention` to `BATCH_MATMUL → SOFTMAX → BATCH_MATMUL`.
///
/// # Accepts
/// float32; queries, keys and values packed or not; a cache that grows, or that has room for all; rotary positions, `local_window_size`,
/// `causal`, `softcap`, `scale`, `attention_bias`, `smooth_softmax`, `head_sink`, weights that normalize heads.
/// # Produces
/// What the standard `RotaryEmbedding` and `Attention` become. The cache is a `CONCATENATION` where the samples have one known length, else
/// a `GATHER` from one.
/// # Refuses
/// Caches of integers or of the window alone, padded queries, the result `output_qk`.
pub(in crate::lower) fn group_query_attention(cx: &mut Cx<'_>) -> Results {
    let (heads, shared) = (cx.required_heads("num_heads")?, cx.required_heads("kv_num_heads")?);
    only_plain_caches(cx)?;
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let [q, k, v] = unpacked(cx, x, heads, shared)?;
    let (past_key, past_value) = (cx.optional(3), cx.optional(4));
    let (last, total) = (cx.input(5)?, cx.input(6)?);
    let fill = Fill::new(cx, x, past_key, last, total)?;

    let given = cx.float("scale")?.filter(|&scale| scale != 0.0);
    let scale = scale_or_default(cx, q, heads, given)?;
    let (q, k, v) = (split_heads(cx, q, heads)?, split_heads(cx, k, shared)?, split_heads(cx, v, shared)?);
    let (q, k) = (head_norm(cx, q, 14, "q_norm_epsilon")?, head_norm(cx, k, 15, "k_norm_epsilon")?);
    let (q, k) = rotated(cx, x, q, k, &fill)?;
    let q = scaled(cx, q, scale)?;
    let (k, v) = (fill.extend(cx, past_key, k)?, fill.extend(cx, past_value, v)?);

    let mask = masks(cx, q, k, &fill)?;
    let softcap = cx.float_or("softcap", 0.0)?;
    let sink = match (cx.optional(11), cx.int_or("smooth_softmax", 0)? > 0) {
        (Some(sink), _) => Some(cx.b.reshape(sink, &[1, heads as i64, 1, 1])?),
        (None, true) => Some(cx.b.scalar(0f32)),
        (None, false) => None,
    };
    let attended = Attend { softcap, mask, sink, ..Attend::new(q, k, v) }.emit(cx)?;
    Ok(vec![merge_heads(cx, attended.y)?, k, v])
}

fn only_plain_caches(cx: &mut Cx<'_>) -> Result<(), Refusal> {
    for name in ["k_quant_type", "v_quant_type"] {
        let kind = cx.string_or(name, "NONE")?;
        if kind != "NONE" {
            return Err(
                Refusal::new(format!("is {kind:?}"), "keep the cache in float").about(format!("attribute {name}"))
            );
        }
    }
    if cx.flag_or("sliding_window_cache", false)? {
        return Err(Refusal::new("is not supported", "keep all keys").about("attribute sliding_window_cache"));
    }
    cx.ignore(&["kv_cache_bit_width", "qk_output"]);
    Ok(())
}

/// Queries, keys and values, with their heads packed in the last axis.
fn unpacked(cx: &mut Cx<'_>, x: ValueId, heads: usize, shared: usize) -> Result<[ValueId; 3], Refusal> {
    if let (Some(k), Some(v)) = (cx.optional(1), cx.optional(2)) {
        return Ok([x, k, v]);
    }
    let all = heads.saturating_add(shared.saturating_mul(2));
    let size = cx.dim(x, 2).filter(|hidden| hidden % all == 0).map(|hidden| hidden / all).ok_or_else(|| {
        Refusal::new(format!("{} does not split into {all} heads", cx.shape(x)), "pin its last extent with --shape")
    })?;
    pieces(cx, x, [heads * size, shared * size, shared * size])
}

/// Every head divided by the root of the mean of its squares, where there are weights for that.
fn head_norm(cx: &mut Cx<'_>, x: ValueId, weights: usize, epsilon: &str) -> Result<ValueId, Refusal> {
    let common = cx.float_or("qk_norm_epsilon", 1e-6)?;
    let epsilon = cx.float(epsilon)?.unwrap_or(common);
    let Some(weights) = cx.optional(weights) else { return Ok(x) };
    let before = cx.b.set_precision(Precision::Float);
    let (y, _) = divide_by_rms(cx, x, &[3], epsilon)?;
    let y = cx.b.mul(y, weights)?;
    cx.b.set_precision(before);
    Ok(y)
}

/// Queries and keys turned by their positions, where that is asked for.
fn rotated(cx: &mut Cx<'_>, x: ValueId, q: ValueId, k: ValueId, fill: &Fill) -> Result<(ValueId, ValueId), Refusal> {
    let rotary = cx.flag_or("do_rotary", false)?;
    let pairs = if cx.flag_or("rotary_interleaved", false)? { Pairs::Neighbours } else { Pairs::Halves };
    let (cos, sin, positions) = (cx.optional(7), cx.optional(8), cx.optional(9));
    if !rotary {
        return Ok((q, k));
    }
    let (Some(cos), Some(sin)) = (cos, sin) else {
        return Err(Refusal::new("are missing", "give them").about("operands cos_cache and sin_cache"));
    };
    let positions = match positions {
        Some(positions) => positions,
        None => fill.positions(cx, x)?,
    };
    let angles = Angles::new(cx, cos, sin, pairs)?.at(cx, positions)?.with_axis(cx, 1)?;
    Ok((angles.turn(cx, q, pairs)?, angles.turn(cx, k, pairs)?))
}

fn masks(cx: &mut Cx<'_>, q: ValueId, k: ValueId, fill: &Fill) -> Result<Mask, Refusal> {
    let mut mask = Mask::default();
    let offset = fill.offset(cx)?;
    let positions = Positions::new(cx, q, k, offset)?;
    if cx.flag_or("causal", true)? {
        let seen = positions.causal(cx)?;
        mask.allow_some(cx, seen)?;
    } else {
        let after = mask::by_sample(cx, fill.after)?;
        let seen = positions.within(cx, after)?;
        mask.allow_some(cx, seen)?;
    }
    let window = cx.int_or("local_window_size", -1)?;
    if let Some(left) = i32::try_from(window).ok().and_then(|w| w.checked_sub(1)).filter(|&left| left >= 0) {
        let seen = positions.since(cx, left)?;
        mask.allow_some(cx, seen)?;
    }
    if let Some(bias) = cx.optional(10) {
        let last = cx.rank(bias).checked_sub(1).and_then(|last| cx.dim(bias, last));
        if last.is_some() && last == cx.dim(k, 2) {
            mask.add_finite(cx, bias)?;
        } else {
            mask::given(cx, &mut mask, bias, k, true)?;
        }
    }
    Ok(mask)
}

//! com.microsoft `Attention`: with the projection of queries, keys and values inside.

use super::{masks, pieces};
use crate::graph::ValueId;
use crate::lower::attention::scaled_dot_product::{Attend, scale_or_default, scaled};
use crate::lower::attention::{merge_heads, split_heads};
use crate::lower::conv::{require_float32, split};
use crate::lower::window::{drop_axis, insert_axis};
use crate::lower::{Cx, Refusal, Results, matmul};

/// Lowers com.microsoft `Attention` to `FULLY_CONNECTED`, and `BATCH_MATMUL → SOFTMAX → BATCH_MATMUL`.
///
/// # Accepts
/// float32; `qkv_hidden_sizes`; masks of any shape but packed lengths of sequences; `unidirectional`, past and present state,
/// `attention_bias`, `scale`, `mask_filter_value`.
/// # Produces
/// One `FULLY_CONNECTED` each for queries, keys and values with constant weights, else one `BATCH_MATMUL` for all; then what the standard
/// `Attention` becomes.
/// # Refuses
/// Rotary positions, and state that shares a buffer.
pub(in crate::lower) fn packed_attention(cx: &mut Cx<'_>) -> Results {
    for name in ["do_rotary", "past_present_share_buffer"] {
        if cx.flag_or(name, false)? {
            return Err(Refusal::new("is not supported", "export without it").about(format!("attribute {name}")));
        }
    }
    cx.ignore(&["rotary_embedding_dim"]);
    let heads = cx.required_heads("num_heads")?;
    let [q, k, v] = projected(cx)?;
    let given = cx.float("scale")?.filter(|&scale| scale != 0.0);
    let scale = scale_or_default(cx, q, heads, given)?;
    let q = scaled(cx, q, scale)?;
    let q = split_heads(cx, q, heads)?;
    let (mut k, mut v) = (split_heads(cx, k, heads)?, split_heads(cx, v, heads)?);
    let past = match cx.optional(4) {
        Some(past) => Some(split(cx, past, 0, 2)?),
        None => None,
    };
    let mut offset = None;
    if let Some([past_k, past_v]) = past.as_deref() {
        let (past_k, past_v) = (drop_axis(cx, *past_k, 0)?, drop_axis(cx, *past_v, 0)?);
        offset = Some(cx.extent_vector(past_k, 2)?);
        (k, v) = (cx.b.concat(&[past_k, k], 2)?, cx.b.concat(&[past_v, v], 2)?);
    }
    let given = cx.optional(3);
    let mask = masks::of(cx, q, k, offset, given)?;
    let attended = Attend { mask, ..Attend::new(q, k, v) }.emit(cx)?;
    let mut results = vec![merge_heads(cx, attended.y)?];
    if cx.wants_output(1) {
        let (k, v) = (insert_axis(cx, k, 0)?, insert_axis(cx, v, 0)?);
        results.push(cx.b.concat(&[k, v], 0)?);
    }
    Ok(results)
}

/// Queries, keys and values, with their heads packed in the last axis.
fn projected(cx: &mut Cx<'_>) -> Result<[ValueId; 3], Refusal> {
    let (x, weights) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let bias = cx.optional(2);
    let sizes = match cx.ints("qkv_hidden_sizes")? {
        Some(&[q, k, v]) => [q, k, v].map(usize::try_from).map(Result::ok),
        _ => [cx.dim(weights, 1).filter(|n| n % 3 == 0).map(|n| n / 3); 3],
    };
    let [Some(q), Some(k), Some(v)] = sizes else {
        let what = format!("weights of {} are to be split in three", cx.shape(weights));
        return Err(Refusal::new(what, "give qkv_hidden_sizes").about("attribute qkv_hidden_sizes"));
    };
    if q.checked_add(k).and_then(|n| n.checked_add(v)) != cx.dim(weights, 1) {
        let what = format!("{q}, {k} and {v} for weights of {}", cx.shape(weights));
        return Err(Refusal::new(what, "check the model").about("attribute qkv_hidden_sizes"));
    }
    if cx.constant(weights).is_none() {
        let all = cx.standard("MatMul", matmul::mat_mul, &[x, weights])?;
        let all = match bias {
            Some(bias) => cx.b.add(all, bias)?,
            None => all,
        };
        return pieces(cx, all, [q, k, v]);
    }
    // Weights of their own: the scale goes into those of the queries, and the rounding of each is its own.
    let weights = pieces(cx, weights, [q, k, v])?;
    let biases = bias.map(|bias| pieces(cx, bias, [q, k, v])).transpose()?;
    let mut found = [x; 3];
    for (i, projected) in found.iter_mut().enumerate() {
        *projected = cx.standard("MatMul", matmul::mat_mul, &[x, weights[i]])?;
        if let Some(biases) = biases {
            *projected = cx.b.add(*projected, biases[i])?;
        }
    }
    Ok(found)
}

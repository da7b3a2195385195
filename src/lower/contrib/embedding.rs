//! com.microsoft `EmbedLayerNormalization`.

use crate::graph::{Compare, Op, Reduce, ValueId};
use crate::lower::conv::require_float32;
use crate::lower::normalization::{normalize, scale_and_shift};
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::DType;

/// Lowers com.microsoft `EmbedLayerNormalization` to `GATHER`, `ADD`, and what `LayerNormalization` becomes.
///
/// # Accepts
/// float32 tables; segments, positions and the mask given or not; all results.
/// # Produces
/// `GATHER` for each table, `ADD`, then `MEAN → SUB → SQUARE → MEAN → ADD → RSQRT → MUL → MUL → ADD`; the words of a sample are counted by
/// `EQUAL → CAST → SUM`.
/// # Refuses
/// A length of the sequence that is not known, where positions are not given.
pub(in crate::lower) fn embed_layer_normalization(cx: &mut Cx<'_>) -> Results {
    let (ids, words, positions) = (cx.input(0)?, cx.input(2)?, cx.input(3)?);
    require_float32(cx, words)?;
    let words = rows(cx, words, ids)?;
    let places = match cx.optional(8) {
        Some(ids) => rows(cx, positions, ids)?,
        None => {
            let length = cx.dim(ids, 1).ok_or_else(|| {
                Refusal::new("the length of the sequence must be known", "pin it with --shape, or give position_ids")
            })?;
            cx.slice_axis(positions, 0, 0, length)?
        }
    };
    let mut sum = cx.b.add(words, places)?;
    if let (Some(ids), Some(table)) = (cx.optional(1), cx.optional(4)) {
        let segments = rows(cx, table, ids)?;
        sum = cx.b.add(sum, segments)?;
    }
    let (scale, shift) = (cx.input(5)?, cx.input(6)?);
    let epsilon = cx.float_or("epsilon", 1e-12)?;
    cx.ignore(&["mask_index_type"]);
    let n = normalize(cx, sum, &[2], epsilon)?;
    let y = scale_and_shift(cx, n.y, scale, Some(shift))?;
    let counts = match cx.optional(7) {
        Some(mask) => word_counts(cx, mask)?,
        None => no_counts(cx, ids)?,
    };
    Ok(vec![y, counts, sum])
}

fn rows(cx: &mut Cx<'_>, table: ValueId, ids: ValueId) -> Result<ValueId, Refusal> {
    let ids = cx.narrowed(ids)?;
    Ok(cx.b.gather(table, ids, 0)?)
}

/// How many entries of each row are 1.
fn word_counts(cx: &mut Cx<'_>, mask: ValueId) -> Result<ValueId, Refusal> {
    let mask = cx.as_i32(mask)?;
    let one = cx.b.scalar(1i32);
    let is_word = cx.b.compare(Compare::Equal, mask, one)?;
    let is_word = cx.b.cast(is_word, DType::I32)?;
    Ok(cx.b.reduce(Reduce::Sum, is_word, &[1], false)?)
}

/// Zero for each sample.
fn no_counts(cx: &mut Cx<'_>, ids: ValueId) -> Result<ValueId, Refusal> {
    let (batch, zero) = (cx.extent_vector(ids, 0)?, cx.b.scalar(0i32));
    Ok(cx.b.one(Op::Fill, &[batch, zero])?)
}

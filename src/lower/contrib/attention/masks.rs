//! Masks as `Attention` and `MultiHeadAttention` take them: 1 for what may be seen, or the lengths of the samples. What is hidden gets a
//! large negative summand, `mask_filter_value`, and no infinity: a query that may see nothing sees everything.

use crate::graph::{Binary, Compare, ValueId};
use crate::lower::attention::mask::{Mask, Positions, counted};
use crate::lower::conv::split;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal};

/// All that hides scores of `q` and `k`: `unidirectional`, the operand `given`, and `attention_bias`, which is operand 5 of both
/// operators. `offset` is how many keys came before, a vector of one.
pub(super) fn of(
    cx: &mut Cx<'_>,
    q: ValueId,
    k: ValueId,
    offset: Option<ValueId>,
    given: Option<ValueId>,
) -> Result<Mask, Refusal> {
    let mut mask = Mask::default();
    if cx.flag_or("unidirectional", false)? {
        let seen = Positions::new(cx, q, k, offset)?.causal(cx)?;
        mask.allow_some(cx, seen)?;
    }
    cx.ignore(&["mask_filter_value"]);
    if let Some(operand) = given {
        add(cx, &mut mask, operand, q, k)?;
    }
    if let Some(bias) = cx.optional(5) {
        mask.add_finite(cx, bias)?;
    }
    Ok(mask)
}

/// Adds the operand `mask` for the scores of `q` and `k`, both with an axis for the heads.
fn add(cx: &mut Cx<'_>, mask: &mut Mask, operand: ValueId, q: ValueId, k: ValueId) -> Result<(), Refusal> {
    let hidden = cx.float_or("mask_filter_value", -10000.0)?;
    let seen = match cx.rank(operand) {
        1 => within_lengths(cx, operand, k)?,
        2 => {
            let rows = insert_axis(cx, operand, 1)?;
            let rows = insert_axis(cx, rows, 1)?;
            positive(cx, rows)?
        }
        3 => {
            let rows = insert_axis(cx, operand, 1)?;
            positive(cx, rows)?
        }
        4 => {
            let square = square_part(cx, operand, q, k)?;
            positive(cx, square)?
        }
        rank => return Err(Refusal::new(format!("has rank {rank}"), "use 1 to 4").about("operand mask")),
    };
    let (open, hidden) = (cx.b.scalar(0f32), cx.b.scalar(hidden));
    let bias = cx.b.select(seen, open, hidden)?;
    mask.add_finite(cx, bias)
}

fn positive(cx: &mut Cx<'_>, mask: ValueId) -> Result<ValueId, Refusal> {
    let mask = cx.as_i32(mask)?;
    let zero = cx.b.scalar(0i32);
    Ok(cx.b.compare(Compare::Greater, mask, zero)?)
}

/// One number for each sample is where its keys end; after these may stand numbers of where they start.
fn within_lengths(cx: &mut Cx<'_>, operand: ValueId, k: ValueId) -> Result<ValueId, Refusal> {
    let numbers = cx.dim(operand, 0).zip(cx.dim(k, 0));
    let (numbers, samples) = numbers.filter(|(n, samples)| n == samples || *n == 2 * samples).ok_or_else(|| {
        let what = format!("{} for the keys {}", cx.shape(operand), cx.shape(k));
        Refusal::new(what, "pin the batch with --shape, and give one or two numbers for each sample")
            .about("operand mask")
    })?;
    let operand = cx.narrowed(operand)?;
    let place = counted(cx, k, 2)?;
    let bounds = split(cx, operand, 0, numbers / samples.max(1))?;
    let mut columns = Vec::new();
    for bound in bounds {
        columns.push(cx.b.reshape(bound, &[-1, 1, 1, 1])?);
    }
    let before_end = cx.b.compare(Compare::Less, place, columns[0])?;
    match columns.get(1) {
        Some(&start) => {
            let since_start = cx.b.compare(Compare::GreaterEqual, place, start)?;
            Ok(cx.b.binary(Binary::LogicalAnd, before_end, since_start)?)
        }
        None => Ok(before_end),
    }
}

/// The rows of the queries, which are the last ones of the keys, in a mask for as many positions as there may ever be.
fn square_part(cx: &mut Cx<'_>, operand: ValueId, q: ValueId, k: ValueId) -> Result<ValueId, Refusal> {
    let sizes =
        cx.dim(q, 2).zip(cx.dim(k, 2)).and_then(|(queries, keys)| Some((keys.checked_sub(queries)?, queries, keys)));
    let (past, queries, keys) = sizes.ok_or_else(|| {
        Refusal::new("the lengths of queries and keys must be known", "pin them with --shape").about("operand mask")
    })?;
    let rows = cx.slice_axis(operand, 2, past, queries)?;
    cx.slice_axis(rows, 3, 0, keys)
}

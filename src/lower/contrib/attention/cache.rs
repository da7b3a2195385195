//! Keys and values of `GroupQueryAttention`: what is in the cache, and the new ones after it.

use crate::graph::{Binary, Compare, Op, ValueId};
use crate::lower::attention::mask::counted;
use crate::lower::{Cx, Refusal, countable};
use crate::tensor::{DType, Tensor};

/// How full the cache is.
pub(super) struct Fill {
    /// `INT32 [batch, 1]`: tokens in the cache before the new ones.
    pub before: ValueId,
    /// `INT32 [batch, 1]`: tokens in the cache after this step.
    pub after: ValueId,
    /// Extent of the caches that go out, as an `INT32` scalar; and its number, where that is known.
    pub length: ValueId,
    known_length: Option<usize>,
    /// The same as `before` for all samples, where that is known.
    known_before: Option<usize>,
}

impl Fill {
    /// From the operands `seqlens_k` and `total_sequence_length`, for `tokens` new tokens (axis 1 of `x`) after the cache `past`.
    pub fn new(
        cx: &mut Cx<'_>,
        x: ValueId,
        past: Option<ValueId>,
        last: ValueId,
        total: ValueId,
    ) -> Result<Fill, Refusal> {
        let known_total = cx.known_ints(total).and_then(|v| usize::try_from(*v.first()?).ok());
        let known_last = cx.known_ints(last);
        let tokens = cx.extent_vector(x, 1)?;
        let last = cx.narrowed(last)?;
        let last = cx.b.reshape(last, &[-1, 1])?;
        let one = cx.b.scalar(1i32);
        let after = cx.b.add(last, one)?;
        let total = cx.narrowed(total)?;
        let total = cx.b.reshape(total, &[])?;
        // All tokens are new where there are as many of them as there are in all.
        let (size, zero) = (cx.b.reshape(tokens, &[])?, cx.b.scalar(0i32));
        let is_first = cx.b.compare(Compare::Equal, total, size)?;
        let earlier = cx.b.sub(after, tokens)?;
        let before = cx.b.select(is_first, zero, earlier)?;
        let capacity = past.map_or(Some(0), |past| cx.dim(past, 2));
        let known_length = known_total.zip(capacity).map(|(total, capacity)| total.max(capacity));
        let length = match (known_length, past) {
            (Some(n), _) => cx.b.scalar_of(DType::I32, n as f64)?,
            (None, None) => total,
            (None, Some(past)) => {
                let capacity = cx.extent_vector(past, 2)?;
                let capacity = cx.b.reshape(capacity, &[])?;
                cx.b.binary(Binary::Maximum, total, capacity)?
            }
        };
        // One sample is as long as the longest; several are where the lengths say so.
        let alike = cx.dim(x, 0) == Some(1)
            || known_last.zip(known_total).is_some_and(|(last, total)| last.iter().all(|&n| n + 1 == total as i64));
        let known_before = known_total.zip(cx.dim(x, 1)).filter(|_| alike).and_then(|(t, n)| t.checked_sub(n));
        Ok(Fill { before, after, length, known_length, known_before })
    }

    /// `[batch, heads, length, size]`: `new` after what `past` has of each sample.
    pub fn extend(&self, cx: &mut Cx<'_>, past: Option<ValueId>, new: ValueId) -> Result<ValueId, Refusal> {
        let past = past.filter(|&past| cx.dim(past, 2) != Some(0));
        let Some(past) = past else {
            return match self.known_length == cx.dim(new, 2) {
                true => Ok(new),
                false => Err(Refusal::new("there are more tokens than keys, and no cache", "give past_key")),
            };
        };
        let both = cx.b.concat(&[past, new], 2)?;
        let capacity = cx.dim(past, 2);
        if self.known_before.is_some() && self.known_before == capacity && self.known_length == cx.dim(both, 2) {
            return Ok(both);
        }
        // The row for each place: of the cache, or of the new ones, which stand behind the whole cache.
        let place = self.places(cx)?;
        let capacity = cx.extent_vector(past, 2)?;
        let (rows, one) = (cx.b.one(Op::Shape { to: DType::I32 }, &[both])?, cx.b.scalar(1i32));
        let rows = cx.b.slice(rows, &[2], &[1])?;
        let last = cx.b.sub(rows, one)?;
        let behind = cx.b.sub(place, self.before)?;
        let behind = cx.b.add(behind, capacity)?;
        let behind = cx.b.binary(Binary::Minimum, behind, last)?;
        let is_new = cx.b.compare(Compare::GreaterEqual, place, self.before)?;
        let row = cx.b.select(is_new, behind, place)?;
        Ok(cx.b.one(Op::Gather { axis: 2, batch_dims: 1 }, &[both, row])?)
    }

    /// `INT32 [length]`
    fn places(&self, cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
        if let Some(n) = self.known_length {
            let n = countable(&[n])? as i32;
            return Ok(cx.b.constant(Tensor::vector((0..n).collect::<Vec<i32>>())));
        }
        let (start, step) = (cx.b.scalar(0i32), cx.b.scalar(1i32));
        Ok(cx.b.one(Op::Range, &[start, self.length, step])?)
    }

    /// `INT32 [batch, tokens]`: the places of the new tokens (axis 1 of `x`).
    pub fn positions(&self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        let steps = counted(cx, x, 1)?;
        if let Some(before) = self.known_before {
            let before = cx.b.scalar_of(DType::I32, before as f64)?;
            let all = cx.b.add(steps, before)?;
            return Ok(cx.b.reshape(all, &[1, -1])?);
        }
        Ok(cx.b.add(self.before, steps)?)
    }

    /// `before` for scores: a number or `[batch, 1, 1, 1]`.
    pub fn offset(&self, cx: &mut Cx<'_>) -> Result<Option<ValueId>, Refusal> {
        match self.known_before {
            Some(0) => Ok(None),
            Some(before) => Ok(Some(cx.b.scalar_of(DType::I32, before as f64)?)),
            None => Ok(Some(cx.b.reshape(self.before, &[-1, 1, 1, 1])?)),
        }
    }
}

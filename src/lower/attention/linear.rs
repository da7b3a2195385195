//! ONNX `LinearAttention`: a state that every token writes to, and reads from.
//!
//! Tokens are taken in chunks. Within one, what a token reads of the tokens before it is a masked matrix of scores, as in attention; what
//! came before the chunk is in the state.

use super::heads::{merge_heads, split_heads};
use super::mask::counted;
use super::scaled_dot_product::{scale_or_default, scaled};
use crate::graph::{Compare, Dim, Op, Precision, Reduce, Unary, ValueId};
use crate::lower::conv::{perm, require_float32};
use crate::lower::reshape::Part;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Perm};

/// Tokens of a chunk where what they write hangs on one another. Powers of matrices of this size lose no more digits than float32 has
/// to spare.
const MOST_DEPENDENT_TOKENS: usize = 8;

/// Lowers ONNX `LinearAttention` to `BATCH_MATMUL` over chunks of tokens.
///
/// # Accepts
/// float32; every `update_rule`; decay for each head or each element of the keys; fewer heads of keys than of queries; a past state or none.
/// # Produces
/// For each chunk of `chunk_size` tokens (of 8 at most for `delta` and `gated_delta`) the masked scores of its tokens, `BATCH_MATMUL` with
/// what they write, and with the state; `CUMSUM → SUB → EXP` for decay. All of it stays float in a quantized model.
/// # Refuses
/// A sequence whose length is not known, for `delta` and `gated_delta`.
pub(in crate::lower) fn linear_attention(cx: &mut Cx<'_>) -> Results {
    let rule = cx.string_or("update_rule", "gated_delta")?;
    let (gated, delta) = match rule {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(Refusal::new(format!("is {other:?}"), "use gated_delta").about("attribute update_rule")),
    };
    let missing = |name: &str| Refusal::new("is missing", "give it").about(format!("attribute {name}"));
    let heads = cx.heads("q_num_heads")?.ok_or_else(|| missing("q_num_heads"))?;
    let shared = cx.heads("kv_num_heads")?.ok_or_else(|| missing("kv_num_heads"))?;
    if heads % shared != 0 {
        return Err(Refusal::new(format!("{heads} heads can't share {shared}"), "use a multiple"));
    }
    let tokens_at_most = cx.heads_or_none("chunk_size")?.unwrap_or(64);
    let layout = Layout { heads, shared };
    cx.b.set_precision(Precision::Float);
    let q = cx.input(0)?;
    require_float32(cx, q)?;
    let given = cx.float("scale")?.filter(|&scale| scale != 0.0);
    let scale = scale_or_default(cx, q, heads, given)?;
    let q = scaled(cx, q, scale)?;
    let split = split_heads(cx, q, heads)?;
    let whole = Tokens {
        q: layout.grouped(cx, split)?,
        k: layout.operand(cx, 1, shared)?,
        v: layout.operand(cx, 2, shared)?,
        decay: if gated { Some(layout.operand(cx, 4, shared)?) } else { None },
        beta: if delta { Some(layout.beta(cx)?) } else { None },
    };
    let mut state = match cx.optional(3) {
        Some(past) => Some(layout.apart(cx, past)?),
        None => None,
    };
    let time = cx.rank(whole.q) - 2;
    let mut results = Vec::new();
    for chunk in whole.chunks(cx, time, tokens_at_most)? {
        let (y, next) = chunk.step(cx, state)?;
        results.push(y);
        state = Some(next);
    }
    let (Some(&first), Some(state)) = (results.first(), state) else {
        return Err(Refusal::new("there are no tokens", "give the sequence a length"));
    };
    let y = if results.len() == 1 { first } else { cx.b.concat(&results, time)? };
    let y = layout.together(cx, y)?;
    let y = merge_heads(cx, y)?;
    let state = layout.together_state(cx, state)?;
    Ok(vec![y, state])
}

/// Queries share heads of keys by an axis of their own, on which the keys have an extent of 1.
#[derive(Clone, Copy)]
struct Layout {
    heads: usize,
    shared: usize,
}

impl Layout {
    fn group(self) -> usize {
        self.heads / self.shared
    }

    /// `[batch, heads, tokens, size]` with an axis for those that share.
    fn grouped(self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        if self.group() == 1 {
            return Ok(x);
        }
        let heads = [Part::Fixed(self.shared), Part::Fixed(self.group())];
        let parts = [&[Part::Axes(0..1)], heads.as_slice(), &[Part::Axes(2..3), Part::Axes(3..4)]].concat();
        cx.reshape_parts(x, &parts)
    }

    fn together(self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        if self.group() == 1 {
            return Ok(x);
        }
        cx.reshape_parts(x, &[Part::Axes(0..1), Part::Fixed(self.heads), Part::Axes(3..4), Part::Axes(4..5)])
    }

    fn together_state(self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        if self.group() == 1 {
            return Ok(x);
        }
        cx.reshape_parts(x, &[Part::Axes(0..1), Part::Fixed(self.shared), Part::Axes(3..4), Part::Axes(4..5)])
    }

    /// `[batch, shared heads, ..]` with an axis of 1 for those that share.
    fn apart(self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        if self.group() == 1 { Ok(x) } else { insert_axis(cx, x, 2) }
    }

    /// Operand `i`, packed as `[batch, tokens, heads * size]`.
    fn operand(self, cx: &mut Cx<'_>, i: usize, heads: usize) -> Result<ValueId, Refusal> {
        let x = cx.input(i)?;
        let split = split_heads(cx, x, heads)?;
        self.apart(cx, split)
    }

    /// The rate, for each head or one for all.
    fn beta(self, cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
        let packed = cx.input(5)?;
        let heads = if cx.dim(packed, 2) == Some(1) { 1 } else { self.shared };
        self.operand(cx, 5, heads)
    }
}

/// Queries, keys, values, decay and rate of some tokens, `[.., tokens, size]`.
#[derive(Clone, Copy)]
struct Tokens {
    q: ValueId,
    k: ValueId,
    v: ValueId,
    /// `[.., tokens, key size or 1]`
    decay: Option<ValueId>,
    /// `[.., tokens, 1]`
    beta: Option<ValueId>,
}

/// Which pairs of tokens a matrix of scores keeps.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    OrSame,
    Strictly,
}

impl Tokens {
    fn chunks(self, cx: &mut Cx<'_>, time: usize, at_most: usize) -> Result<Vec<Tokens>, Refusal> {
        let at_most = if self.beta.is_some() { at_most.min(MOST_DEPENDENT_TOKENS) } else { at_most };
        let Some(tokens) = cx.dim(self.q, time) else {
            if self.beta.is_none() {
                return Ok(vec![self]);
            }
            let what = "the number of tokens must be known where they hang on one another";
            return Err(Refusal::new(what, "pin the model's dynamic inputs with --shape NAME=.."));
        };
        if tokens <= at_most {
            return Ok(vec![self]);
        }
        let mut chunks = Vec::new();
        for begin in (0..tokens).step_by(at_most) {
            let len = at_most.min(tokens - begin);
            let mut cut = |x: ValueId| cx.slice_axis(x, time, begin, len);
            chunks.push(Tokens {
                q: cut(self.q)?,
                k: cut(self.k)?,
                v: cut(self.v)?,
                decay: self.decay.map(&mut cut).transpose()?,
                beta: self.beta.map(&mut cut).transpose()?,
            });
        }
        Ok(chunks)
    }

    /// What the tokens read, and the state after them.
    fn step(self, cx: &mut Cx<'_>, state: Option<ValueId>) -> Result<(ValueId, ValueId), Refusal> {
        let decay = self.decay.map(|decay| Decay::new(cx, decay)).transpose()?;
        let mut written = self.v;
        if let Some(beta) = self.beta {
            if let Some(state) = state {
                let k = from_start(cx, self.k, decay)?;
                let known = product(cx, k, state, false)?;
                written = cx.b.sub(written, known)?;
            }
            written = cx.b.mul(written, beta)?;
            let linked = scores(cx, self.k, self.k, decay, Before::Strictly)?;
            if let Some(linked) = linked {
                let linked = cx.b.mul(linked, beta)?;
                let tokens = cx.dim(self.k, cx.rank(self.k) - 2).unwrap_or(1);
                written = solve(cx, linked, written, tokens)?;
            }
        }
        let read = scores(cx, self.q, self.k, decay, Before::OrSame)?;
        let mut y = match read {
            Some(read) => product(cx, read, written, false)?,
            None => return Err(Refusal::new("there are no tokens", "")),
        };
        let k = match decay {
            Some(decay) => decay.to_end(cx, self.k)?,
            None => self.k,
        };
        let mut next = product(cx, k, written, true)?;
        if let Some(state) = state {
            let q = from_start(cx, self.q, decay)?;
            let before = product(cx, q, state, false)?;
            y = cx.b.add(y, before)?;
            let kept = match decay {
                Some(decay) => decay.of_state(cx, state)?,
                None => state,
            };
            next = cx.b.add(next, kept)?;
        }
        Ok((y, next))
    }
}

/// `a b`, or `aᵀ b`.
fn product(cx: &mut Cx<'_>, a: ValueId, b: ValueId, adj_x: bool) -> Result<ValueId, Refusal> {
    Ok(cx.b.one(Op::BatchMatMul { adj_x, adj_y: false, asymmetric_inputs: false }, &[a, b])?)
}

/// Solves `(1 + linked) x = y` for strictly lower triangular `linked` of `tokens` rows: `x = (1 - l)(1 + l²)(1 + l⁴).. y`, which ends
/// where the powers are zero.
fn solve(cx: &mut Cx<'_>, linked: ValueId, y: ValueId, tokens: usize) -> Result<ValueId, Refusal> {
    let mut power = cx.b.unary(Unary::Neg, linked)?;
    let mut x = y;
    let mut reach = 1;
    while reach < tokens {
        let more = product(cx, power, x, false)?;
        x = cx.b.add(x, more)?;
        reach *= 2;
        if reach < tokens {
            power = product(cx, power, power, false)?;
        }
    }
    Ok(x)
}

/// Products of `a` and `b` of an earlier token, with what decays from one to the other; `None` where there is no earlier one.
fn scores(
    cx: &mut Cx<'_>,
    a: ValueId,
    b: ValueId,
    decay: Option<Decay>,
    before: Before,
) -> Result<Option<ValueId>, Refusal> {
    let time = cx.rank(b) - 2;
    let tokens = cx.dim(b, time);
    if tokens == Some(1) && before == Before::Strictly {
        return Ok(None);
    }
    let single = tokens == Some(1);
    let kept = if single { None } else { Some(lower_triangle(cx, b, time, before)?) };
    if let (Some(decay), false) = (decay, single)
        && decay.size != Some(1)
    {
        return decay.scores_by_element(cx, a, b, kept).map(Some);
    }
    let plain = cx.b.one(Op::BatchMatMul { adj_x: false, adj_y: true, asymmetric_inputs: false }, &[a, b])?;
    Ok(Some(match (decay, kept) {
        (Some(decay), Some(kept)) => {
            let across = cx.b.transpose(decay.sums, &swap_last(time + 2))?;
            let weights = decayed(cx, decay.sums, across, Some(kept))?;
            cx.b.mul(plain, weights)?
        }
        (None, Some(kept)) => {
            let kept = cx.b.cast(kept, DType::F32)?;
            cx.b.mul(plain, kept)?
        }
        (_, None) => plain,
    }))
}

/// `exp(a - b)`, and zero where the pair is not kept.
fn decayed(cx: &mut Cx<'_>, a: ValueId, b: ValueId, kept: Option<ValueId>) -> Result<ValueId, Refusal> {
    let mut exponent = cx.b.sub(a, b)?;
    if let Some(kept) = kept {
        let lowest = cx.b.scalar(f32::MIN);
        exponent = cx.b.select(kept, exponent, lowest)?;
    }
    Ok(cx.b.unary(Unary::Exp, exponent)?)
}

/// `[tokens, tokens]`, true where the column's token is earlier than the row's.
fn lower_triangle(cx: &mut Cx<'_>, x: ValueId, time: usize, before: Before) -> Result<ValueId, Refusal> {
    let column = counted(cx, x, time)?;
    let row = cx.b.reshape(column, &[-1, 1])?;
    let kind = if before == Before::Strictly { Compare::Less } else { Compare::LessEqual };
    Ok(cx.b.compare(kind, column, row)?)
}

fn swap_last(rank: usize) -> Perm {
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(rank - 1, rank - 2);
    perm(&axes)
}

/// `x` with what decays from the start of the chunk to each token.
fn from_start(cx: &mut Cx<'_>, x: ValueId, decay: Option<Decay>) -> Result<ValueId, Refusal> {
    let Some(decay) = decay else { return Ok(x) };
    let factor = cx.b.unary(Unary::Exp, decay.sums)?;
    Ok(cx.b.mul(x, factor)?)
}

/// Decay from the start of a chunk to each of its tokens, as a logarithm.
#[derive(Clone, Copy)]
struct Decay {
    /// `[.., tokens, key size or 1]`
    sums: ValueId,
    /// `[.., 1, key size or 1]`: to the last token.
    total: ValueId,
    /// Key size or 1.
    size: Dim,
}

impl Decay {
    fn new(cx: &mut Cx<'_>, steps: ValueId) -> Result<Decay, Refusal> {
        let time = cx.rank(steps) - 2;
        let size = cx.dim(steps, time + 1);
        if cx.dim(steps, time) == Some(1) {
            return Ok(Decay { sums: steps, total: steps, size });
        }
        let axis = cx.b.scalar(time as i32);
        let sums = cx.b.one(Op::Cumsum { exclusive: false, reverse: false }, &[steps, axis])?;
        Ok(Decay { sums, total: cx.b.reduce(Reduce::Sum, steps, &[time], true)?, size })
    }

    /// Keys with what decays from their token to the end of the chunk.
    fn to_end(self, cx: &mut Cx<'_>, k: ValueId) -> Result<ValueId, Refusal> {
        if self.total == self.sums {
            return Ok(k);
        }
        let factor = decayed(cx, self.total, self.sums, None)?;
        Ok(cx.b.mul(k, factor)?)
    }

    /// The state, `[.., key size, value size]`, with what decays in the whole chunk.
    fn of_state(self, cx: &mut Cx<'_>, state: ValueId) -> Result<ValueId, Refusal> {
        let column = cx.b.transpose(self.total, &swap_last(cx.rank(self.total)))?;
        let factor = cx.b.unary(Unary::Exp, column)?;
        Ok(cx.b.mul(state, factor)?)
    }

    /// Scores where every element of the keys decays by itself.
    fn scores_by_element(
        self,
        cx: &mut Cx<'_>,
        a: ValueId,
        b: ValueId,
        kept: Option<ValueId>,
    ) -> Result<ValueId, Refusal> {
        let time = cx.rank(b) - 2;
        let kept = match kept {
            Some(kept) => Some(insert_axis(cx, kept, 2)?),
            None => None,
        };
        let (to, from) = (insert_axis(cx, self.sums, time + 1)?, insert_axis(cx, self.sums, time)?);
        let weights = decayed(cx, to, from, kept)?;
        let (a, b) = (insert_axis(cx, a, time + 1)?, insert_axis(cx, b, time)?);
        let weighted = cx.b.mul(weights, b)?;
        let products = cx.b.mul(weighted, a)?;
        Ok(cx.b.reduce(Reduce::Sum, products, &[time + 2], false)?)
    }
}

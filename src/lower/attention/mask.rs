//! What a query may see, and what is added to its scores. Everything broadcasts to `[batch, heads, queries, keys]`.

use crate::graph::{Binary, Compare, Op, Reduce, Unary, ValueId};
use crate::lower::{Cx, Refusal, countable};
use crate::tensor::{DType, Tensor};

/// A mask in the making.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::lower) struct Mask {
    /// Boolean: true where a query may see a key.
    allowed: Option<ValueId>,
    /// Float: added to the scores.
    added: Option<ValueId>,
    /// Some query may see no key at all.
    may_hide_all: bool,
}

impl Mask {
    /// Takes away the keys where `condition` is false.
    pub fn allow(&mut self, cx: &mut Cx<'_>, condition: ValueId) -> Result<(), Refusal> {
        self.may_hide_all = true;
        self.allow_some(cx, condition)
    }

    /// The same for a condition that by itself leaves every query a key.
    pub fn allow_some(&mut self, cx: &mut Cx<'_>, condition: ValueId) -> Result<(), Refusal> {
        let allowed = match self.allowed {
            Some(allowed) => cx.b.binary(Binary::LogicalAnd, allowed, condition)?,
            None => condition,
        };
        self.allowed = Some(allowed);
        Ok(())
    }

    /// Adds `bias` to the scores.
    pub fn add(&mut self, cx: &mut Cx<'_>, bias: ValueId) -> Result<(), Refusal> {
        self.may_hide_all = true;
        self.add_finite(cx, bias)
    }

    /// The same for a bias that has no infinity.
    pub fn add_finite(&mut self, cx: &mut Cx<'_>, bias: ValueId) -> Result<(), Refusal> {
        let added = match self.added {
            Some(added) => cx.b.add(added, bias)?,
            None => bias,
        };
        self.added = Some(added);
        Ok(())
    }

    /// All of the mask as one summand. It has the lowest number in place of infinity: kernels make that of it anyhow, and rows of it
    /// are no NaN.
    pub fn bias(&self, cx: &mut Cx<'_>) -> Result<Option<ValueId>, Refusal> {
        let Some(allowed) = self.allowed else { return Ok(self.added) };
        let open = match self.added {
            Some(added) => added,
            None => cx.b.scalar(0f32),
        };
        let hidden = cx.b.scalar(f32::MIN);
        Ok(Some(cx.b.select(allowed, open, hidden)?))
    }

    /// True for the keys whose summand is not minus infinity; `None` where that is said of none.
    pub fn open(&self, cx: &mut Cx<'_>) -> Result<Option<ValueId>, Refusal> {
        let Some(added) = self.added else { return Ok(self.allowed) };
        let lowest = cx.b.scalar(f32::NEG_INFINITY);
        let finite = cx.b.compare(Compare::Greater, added, lowest)?;
        if all_true(cx, finite) {
            return Ok(self.allowed);
        }
        Ok(Some(match self.allowed {
            Some(allowed) => cx.b.binary(Binary::LogicalAnd, allowed, finite)?,
            None => finite,
        }))
    }

    /// True for the queries that see a key, with a last axis of 1; `None` where all do.
    pub fn sighted(&self, cx: &mut Cx<'_>) -> Result<Option<ValueId>, Refusal> {
        if !self.may_hide_all {
            return Ok(None);
        }
        let Some(open) = self.open(cx)? else { return Ok(None) };
        let Some(last) = cx.rank(open).checked_sub(1) else { return Ok(Some(open)) };
        let sighted = cx.b.reduce(Reduce::Any, open, &[last], true)?;
        Ok(Some(sighted).filter(|&sighted| !all_true(cx, sighted)))
    }
}

fn all_true(cx: &Cx<'_>, x: ValueId) -> bool {
    cx.constant(x).and_then(|t| t.to_i64s().ok()).is_some_and(|flags| flags.iter().all(|&flag| flag != 0))
}

/// Where the queries stand among the keys.
#[derive(Debug, Clone, Copy)]
pub(in crate::lower) struct Positions {
    /// `INT32 [.., queries, 1]`: keys before and at the query.
    query: ValueId,
    /// `INT32 [keys]`.
    key: ValueId,
}

impl Positions {
    /// For scores of the queries on axis 2 of `q` and the keys on axis 2 of `k`; `offset`, if there is one, is a number or
    /// `[batch, 1, 1, 1]`, and says how many keys precede the first query.
    pub fn new(cx: &mut Cx<'_>, q: ValueId, k: ValueId, offset: Option<ValueId>) -> Result<Positions, Refusal> {
        let row = counted(cx, q, 2)?;
        let mut query = cx.b.reshape(row, &[-1, 1])?;
        if let Some(offset) = offset {
            query = cx.b.add(query, offset)?;
        }
        Ok(Positions { query, key: counted(cx, k, 2)? })
    }

    /// Keys at the query's position or before.
    pub fn causal(&self, cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
        Ok(cx.b.compare(Compare::LessEqual, self.key, self.query)?)
    }

    /// Keys no more than `left` before the query.
    pub fn since(&self, cx: &mut Cx<'_>, left: i32) -> Result<ValueId, Refusal> {
        let left = cx.b.scalar(left);
        let first = cx.b.sub(self.query, left)?;
        Ok(cx.b.compare(Compare::GreaterEqual, self.key, first)?)
    }

    /// Keys no more than `right` after the query.
    pub fn until(&self, cx: &mut Cx<'_>, right: i32) -> Result<ValueId, Refusal> {
        let right = cx.b.scalar(right);
        let last = cx.b.add(self.query, right)?;
        Ok(cx.b.compare(Compare::LessEqual, self.key, last)?)
    }

    /// Keys whose position is lower than `length`, `[batch, 1, 1, 1]`.
    pub fn within(&self, cx: &mut Cx<'_>, length: ValueId) -> Result<ValueId, Refusal> {
        Ok(cx.b.compare(Compare::Less, self.key, length)?)
    }
}

/// `INT32` numbers from 0 for the extent of an axis.
pub(in crate::lower) fn counted(cx: &mut Cx<'_>, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    if let Some(n) = cx.dim(x, axis) {
        let n = countable(&[n])? as i32;
        return Ok(cx.b.constant(Tensor::vector((0..n).collect::<Vec<i32>>())));
    }
    // `RANGE` and `SLICE` would give their result, and all that follows, extents that are only known when they run. Any reduction leaves
    // a vector of the extent.
    let others: Vec<usize> = (0..cx.rank(x)).filter(|&other| other != axis).collect();
    let line = cx.b.reduce(Reduce::Max, x, &others, false)?;
    let zeros = cx.b.unary(Unary::ZerosLike, line)?;
    let zeros = cx.as_i32(zeros)?;
    let (one, axis) = (cx.b.scalar(1i32), cx.b.scalar(0i32));
    let ones = cx.b.add(zeros, one)?;
    Ok(cx.b.one(Op::Cumsum { exclusive: true, reverse: false }, &[ones, axis])?)
}

/// A number for each sample, `[batch]` of integers, as `INT32 [batch, 1, 1, 1]`.
pub(in crate::lower) fn by_sample(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let narrow = cx.narrowed(x)?;
    Ok(cx.b.reshape(narrow, &[-1, 1, 1, 1])?)
}

/// A mask that is given as an operand, as it reads for `keys` keys (axis 2 of `k`): where it has fewer, the others are hidden.
pub(in crate::lower) fn given(
    cx: &mut Cx<'_>,
    mask: &mut Mask,
    operand: ValueId,
    k: ValueId,
    may_be_shorter: bool,
) -> Result<(), Refusal> {
    let is_bool = cx.dtype(operand) == DType::Bool;
    let last = cx.rank(operand).checked_sub(1);
    let missing = match last {
        Some(last) => missing_keys(cx, operand, last, k, may_be_shorter)?,
        None => None,
    };
    if is_bool && missing.is_none() {
        return mask.allow(cx, operand);
    }
    let mut bias = if is_bool {
        let (open, hidden) = (cx.b.scalar(0f32), cx.b.scalar(f32::NEG_INFINITY));
        cx.b.select(operand, open, hidden)?
    } else {
        operand
    };
    if let Some(missing) = missing {
        let rank = cx.rank(bias);
        let mut pads = vec![Some(0); 2 * rank];
        pads[2 * rank - 1] = None;
        let pads = cx.vector_of(&pads, |_, _| Ok(missing))?;
        let pads = cx.b.reshape(pads, &[rank as i64, 2])?;
        let hidden = cx.b.scalar(f32::NEG_INFINITY);
        bias = cx.b.one(Op::PadV2, &[bias, pads, hidden])?;
    }
    mask.add(cx, bias)
}

/// How many keys the mask says nothing about, as an `INT32` vector of one; `None` where it says something about all.
fn missing_keys(
    cx: &mut Cx<'_>,
    operand: ValueId,
    last: usize,
    k: ValueId,
    may_be_shorter: bool,
) -> Result<Option<ValueId>, Refusal> {
    let (own, keys) = (cx.extents(operand)[last], cx.extents(k)[2]);
    if let (Some(own), Some(keys)) = (own.known(), keys.known()) {
        return Ok(if own < keys { Some(cx.b.ints(&[keys - own])?) } else { None });
    }
    if own == keys || !may_be_shorter {
        return Ok(None);
    }
    let (own, keys) = (cx.extent_vector(operand, last)?, cx.extent_vector(k, 2)?);
    Ok(Some(cx.b.sub(keys, own)?))
}

//! `softmax(q kᵀ + mask) v`, which all forms of attention come down to.

use std::sync::Arc;

use super::mask::Mask;
use crate::graph::{Dim, Op, Unary, ValueId};
use crate::lower::{Cx, Refusal};
use crate::onnx;

/// Queries, keys and values with an axis for the heads: `[batch, heads, queries, size]`, `[batch, shared heads, keys, size]`,
/// `[batch, shared heads, keys, value size]`. The queries are scaled already.
pub(in crate::lower) struct Attend {
    pub q: ValueId,
    pub k: ValueId,
    pub v: ValueId,
    /// 0 for none.
    pub softcap: f32,
    pub mask: Mask,
    /// Which scores are wanted beside the result.
    pub show: Option<Stage>,
    /// `[.., 1]`: a score of no key, which only makes the weights of the others smaller.
    pub sink: Option<ValueId>,
    /// Make other scores of those before the softmax.
    pub score_mod: Option<Arc<onnx::Graph>>,
    /// Make other weights of those after it.
    pub prob_mod: Option<Arc<onnx::Graph>>,
}

/// Scores on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lower) enum Stage {
    Product,
    Capped,
    Masked,
    Weights,
}

/// What attending makes.
pub(in crate::lower) struct Attended {
    /// `[batch, heads, queries, value size]`
    pub y: ValueId,
    /// `[batch, heads, queries, keys]`, of the stage that was asked for.
    pub scores: Option<ValueId>,
}

impl Attend {
    /// Without mask, cap or anything shown.
    pub fn new(q: ValueId, k: ValueId, v: ValueId) -> Attend {
        let (softcap, mask) = (0.0, Mask::default());
        Attend { q, k, v, softcap, mask, show: None, sink: None, score_mod: None, prob_mod: None }
    }

    pub fn emit(self, cx: &mut Cx<'_>) -> Result<Attended, Refusal> {
        let groups = Groups::of(cx, &self)?;
        let bias = self.mask.bias(cx)?;
        let sighted = self.mask.sighted(cx)?;
        // Heads that share keys stand below one another as rows; scores get an axis for every head where someone looks at it.
        let modified = self.score_mod.is_some() || self.prob_mod.is_some();
        let apart = bias.is_some() || sighted.is_some() || self.show.is_some() || self.sink.is_some() || modified;
        let mut shown = None;
        let mut show = |stage: Stage, x: ValueId| {
            if self.show == Some(stage) {
                shown = Some(x);
            }
        };

        let q = groups.join(cx, self.q)?;
        let product = Op::BatchMatMul { adj_x: false, adj_y: true, asymmetric_inputs: false };
        let mut scores = cx.b.one(product, &[q, self.k])?;
        if apart {
            scores = groups.part(cx, scores, Other::Keys)?;
        }
        show(Stage::Product, scores);
        scores = capped(cx, scores, self.softcap)?;
        show(Stage::Capped, scores);
        if let Some(bias) = bias {
            scores = cx.b.add(scores, bias)?;
        }
        if self.show == Some(Stage::Masked) {
            show(Stage::Masked, infinite(cx, &self.mask, scores)?);
        }
        scores = changed(cx, self.score_mod.as_ref(), scores)?;
        let weights = self.weights(cx, scores)?;
        let mut weights = changed(cx, self.prob_mod.as_ref(), weights)?;
        // A query that sees no key gets zeros. Unless the weights are shown, the smaller result is where that is cheap.
        let shows_weights = self.show == Some(Stage::Weights);
        if shows_weights {
            weights = where_sighted(cx, sighted, weights)?;
        }
        show(Stage::Weights, weights);
        if apart {
            weights = groups.join(cx, weights)?;
        }
        let sum = Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false };
        let y = cx.b.one(sum, &[weights, self.v])?;
        let mut y = groups.part(cx, y, Other::Values)?;
        if !shows_weights {
            y = where_sighted(cx, sighted, y)?;
        }
        Ok(Attended { y, scores: shown })
    }

    fn weights(&self, cx: &mut Cx<'_>, scores: ValueId) -> Result<ValueId, Refusal> {
        let softmax = Op::Softmax { beta: 1.0 };
        let Some(sink) = self.sink else { return Ok(cx.b.one(softmax, &[scores])?) };
        let last = cx.rank(scores) - 1;
        let keys = cx.dim(scores, last).ok_or_else(|| {
            Refusal::new("the number of keys must be known beside a sink", "pin the model's inputs with --shape")
        })?;
        // A sink for each query, in the shape of the scores but for the last axis.
        let one_key = cx.slice_axis(scores, last, 0, 1)?;
        let zeros = cx.b.unary(Unary::ZerosLike, one_key)?;
        let sink = cx.b.add(zeros, sink)?;
        let all = cx.b.concat(&[scores, sink], last)?;
        let weights = cx.b.one(softmax, &[all])?;
        cx.slice_axis(weights, last, 0, keys)
    }
}

/// `x * scale`, to be put on the queries where they come from a projection, whose weights then take it.
pub(in crate::lower) fn scaled(cx: &mut Cx<'_>, x: ValueId, scale: f32) -> Result<ValueId, Refusal> {
    if scale == 1.0 {
        return Ok(x);
    }
    let scale = cx.b.scalar(scale);
    Ok(cx.b.mul(x, scale)?)
}

/// `scale` as it is given, or one over the root of the last extent of `x`, divided by the heads in it.
pub(in crate::lower) fn scale_or_default(
    cx: &Cx<'_>,
    x: ValueId,
    heads: usize,
    scale: Option<f32>,
) -> Result<f32, Refusal> {
    if let Some(scale) = scale {
        return Ok(scale);
    }
    let last = cx.rank(x).checked_sub(1).and_then(|last| cx.dim(x, last));
    let size = last.and_then(|n| n.checked_div(heads)).filter(|&n| n > 0).ok_or_else(|| {
        Refusal::new("the size of a head must be known", "pin the model's dynamic inputs with --shape NAME=..")
    })?;
    Ok((1.0 / (size as f64).sqrt()) as f32)
}

/// What a graph of one operand and one result, alike in type, makes of `x`.
fn changed(cx: &mut Cx<'_>, graph: Option<&Arc<onnx::Graph>>, x: ValueId) -> Result<ValueId, Refusal> {
    let Some(graph) = graph else { return Ok(x) };
    let results = cx.driver().inline(graph, &[x], "")?;
    let alike = |y: ValueId| {
        let mut pairs = cx.shape(x).dims().iter().zip(cx.shape(y).dims());
        cx.dtype(x) == cx.dtype(y)
            && cx.rank(x) == cx.rank(y)
            && pairs.all(|(a, b)| a.is_none() || b.is_none() || a == b)
    };
    match results.as_slice() {
        &[y] if alike(y) => Ok(y),
        _ => {
            let what = format!("graph {:?} does not give one tensor of the type that it takes", graph.name);
            Err(Refusal::new(what, "check the model with onnx.checker"))
        }
    }
}

fn capped(cx: &mut Cx<'_>, x: ValueId, softcap: f32) -> Result<ValueId, Refusal> {
    if softcap <= 0.0 {
        return Ok(x);
    }
    let (factor, inverse) = (cx.b.scalar(softcap), cx.b.scalar(1.0 / softcap));
    let x = cx.b.mul(x, inverse)?;
    let x = cx.b.unary(Unary::Tanh, x)?;
    Ok(cx.b.mul(x, factor)?)
}

/// Masked scores with minus infinity for hidden keys, as the operator's definition shows them.
fn infinite(cx: &mut Cx<'_>, mask: &Mask, scores: ValueId) -> Result<ValueId, Refusal> {
    let Some(open) = mask.open(cx)? else { return Ok(scores) };
    let hidden = cx.b.scalar(f32::NEG_INFINITY);
    Ok(cx.b.select(open, scores, hidden)?)
}

fn where_sighted(cx: &mut Cx<'_>, sighted: Option<ValueId>, x: ValueId) -> Result<ValueId, Refusal> {
    let Some(sighted) = sighted else { return Ok(x) };
    let zero = cx.b.scalar(0f32);
    Ok(cx.b.select(sighted, x, zero)?)
}

/// What the last axis counts.
enum Other {
    Keys,
    Values,
}

/// Query heads that share one head of keys and values: `group` of them, which follow one another.
struct Groups {
    /// None where every query head has its own.
    shared: Option<(usize, usize)>,
    q: ValueId,
    k: ValueId,
    v: ValueId,
}

impl Groups {
    fn of(cx: &Cx<'_>, of: &Attend) -> Result<Groups, Refusal> {
        let &Attend { q, k, v, .. } = of;
        let (heads, shared) = (cx.dim(q, 1), cx.dim(k, 1));
        let shared = match heads.zip(shared) {
            Some((heads, shared)) if heads != shared => {
                let group = heads.checked_div(shared).filter(|group| group * shared == heads);
                let group = group.ok_or_else(|| {
                    Refusal::new(format!("{heads} heads of queries can't share {shared} of keys"), "use a multiple")
                })?;
                Some((shared, group))
            }
            _ => None,
        };
        Ok(Groups { shared, q, k, v })
    }

    /// `[batch, heads, queries, n]` as `[batch, shared heads, group * queries, n]`.
    fn join(&self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        let Some((shared, group)) = self.shared else { return Ok(x) };
        let dim = |axis: usize| cx.dim(x, axis).map(|n| n as i64);
        let rows = dim(2).and_then(|rows| rows.checked_mul(group as i64));
        let dims = [dim(0), Some(shared as i64), rows, dim(3)];
        cx.reshape_to(x, &dims, |cx, axis| {
            let extent = cx.extent_vector(x, axis)?;
            if axis != 2 {
                return Ok(extent);
            }
            let group = cx.b.ints(&[group])?;
            Ok(cx.b.mul(extent, group)?)
        })
    }

    /// `[batch, shared heads, group * queries, n]` as `[batch, heads, queries, n]`.
    fn part(&self, cx: &mut Cx<'_>, x: ValueId, last: Other) -> Result<ValueId, Refusal> {
        let Some((shared, group)) = self.shared else { return Ok(x) };
        let (other, axis) = match last {
            Other::Keys => (self.k, 2),
            Other::Values => (self.v, 3),
        };
        let whole = |d: Dim| d.map(|n| n as i64);
        let (q, heads) = (self.q, shared.saturating_mul(group));
        let dims = [whole(cx.dim(q, 0)), Some(heads as i64), whole(cx.dim(q, 2)), whole(cx.dim(other, axis))];
        cx.reshape_to(x, &dims, |cx, i| if i == 3 { cx.extent_vector(other, axis) } else { cx.extent_vector(q, i) })
    }
}

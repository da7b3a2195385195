//! What all steps come to, in the shapes of ONNX.

use super::super::{Cx, Refusal, countable};
use super::Layer;
use super::cell::State;
use crate::graph::{Builder, Compare, InferError, Op, ValueId};
use crate::tensor::{DType, Tensor};

/// The states that one direction begins with; zeros, which cost steps nothing, where there are none.
pub(super) fn initial(cx: &mut Cx<'_>, layer: &Layer, direction: usize) -> Result<State, Refusal> {
    let mut state = [None; 2];
    for (i, operand) in [5, 6].into_iter().enumerate().take(layer.states()) {
        let Some(all) = cx.optional(operand).filter(|&id| cx.b.graph.const_splat(id) != Some(0.0)) else { continue };
        let own = cx.slice_axis(all, layer.direction(), direction, 1)?;
        state[i] = Some(cx.b.reshape(own, &[-1, layer.hidden as i64])?);
    }
    Ok(State { h: state[0], c: state[1] })
}

/// `INT32 [B,1]`
pub(super) fn lengths(cx: &mut Cx<'_>, layer: &Layer) -> Result<Option<ValueId>, Refusal> {
    Ok(layer.lengths.map(|lengths| cx.b.reshape(lengths, &[-1, 1])).transpose()?)
}

/// `next` for the sequences that have a step `t`, `before` for the others.
pub(super) fn where_within(
    b: &mut Builder<'_>,
    t: ValueId,
    lengths: ValueId,
    next: State,
    before: State,
) -> Result<State, InferError> {
    let within = b.compare(Compare::Less, t, lengths)?;
    match b.graph.const_splat(within) {
        Some(0.0) => return Ok(before),
        Some(_) => return Ok(next),
        None => {}
    }
    let mut either = |next: Option<ValueId>, before: Option<ValueId>| match next {
        Some(next) => {
            let before = before.unwrap_or_else(|| b.scalar(0f32));
            b.select(within, next, before).map(Some)
        }
        None => Ok(None),
    };
    Ok(State { h: either(next.h, before.h)?, c: either(next.c, before.c)? })
}

/// The last states of one direction, from what steps that began with `first` ended with. Where there is not a single step, ONNX
/// Runtime has zeros and not the state before.
pub(super) fn last(
    cx: &mut Cx<'_>,
    layer: &Layer,
    lengths: Option<ValueId>,
    first: State,
    state: State,
) -> Result<Vec<ValueId>, Refusal> {
    let mut state = state;
    if let Some(lengths) = lengths.filter(|_| first.h.is_some() || first.c.is_some()) {
        let zero = cx.b.scalar(0i32);
        state = where_within(&mut cx.b, zero, lengths, state, State::default())?;
    }
    let states = [state.h, state.c].into_iter().take(layer.states());
    states.map(|state| present(cx, layer, state)).collect()
}

/// A state that is zeros, as a value `[B,H]`.
pub(super) fn present(cx: &mut Cx<'_>, layer: &Layer, state: Option<ValueId>) -> Result<ValueId, Refusal> {
    if let Some(state) = state {
        return Ok(state);
    }
    let zeros = |batch: usize| {
        countable(&[batch, layer.hidden])?;
        Tensor::zeros(DType::F32, &[batch, layer.hidden])
            .ok_or_else(|| Refusal::new("too many zeros", "use smaller extents"))
    };
    if let Some(batch) = cx.dim(layer.x, layer.batch()) {
        let zeros = zeros(batch)?;
        return Ok(cx.b.constant(zeros));
    }
    let batch = cx.extent_vector(layer.x, layer.batch())?;
    let hidden = cx.b.ints(&[layer.hidden])?;
    let (dims, zero) = (cx.b.concat(&[batch, hidden], 0)?, cx.b.scalar(0f32));
    Ok(cx.b.one(Op::Fill, &[dims, zero])?)
}

/// The last states of all directions, `[B,H]` each, as `[D,B,H]`, or `[B,D,H]` with the batch first.
pub(super) fn of_directions(cx: &mut Cx<'_>, layer: &Layer, parts: &[ValueId]) -> Result<ValueId, Refusal> {
    stack(cx, layer, parts, &[parts.len()])
}

/// Values `[B,H]` of every step and direction as `[T,D,B,H]`, or `[B,T,D,H]` with the batch first.
pub(super) fn of_steps(cx: &mut Cx<'_>, layer: &Layer, parts: &[ValueId], steps: usize) -> Result<ValueId, Refusal> {
    stack(cx, layer, parts, &[steps, layer.reverse.len()])
}

fn stack(cx: &mut Cx<'_>, layer: &Layer, parts: &[ValueId], axes: &[usize]) -> Result<ValueId, Refusal> {
    let joined = match parts {
        [one] => *one,
        _ => cx.b.concat(parts, layer.direction())?,
    };
    let batch = parts.first().and_then(|&part| cx.dim(part, 0)).map_or(-1, |n| n as i64);
    let mut dims: Vec<i64> = axes.iter().map(|&n| n as i64).collect();
    dims.insert(if layer.time == 0 { dims.len() } else { 0 }, batch);
    dims.push(layer.hidden as i64);
    Ok(cx.b.reshape(joined, &dims)?)
}

/// `y` with zeros where a sequence has ended; `times` are the numbers of all steps, `INT32 [T]`.
pub(super) fn zero_past_end(
    cx: &mut Cx<'_>,
    layer: &Layer,
    y: ValueId,
    times: &mut dyn FnMut(&mut Cx<'_>) -> Result<ValueId, Refusal>,
) -> Result<ValueId, Refusal> {
    let Some(lengths) = layer.lengths else { return Ok(y) };
    let (times_dims, lengths_dims) =
        if layer.time == 0 { ([-1, 1, 1, 1], [1, 1, -1, 1]) } else { ([1, -1, 1, 1], [-1, 1, 1, 1]) };
    let times = times(cx)?;
    let times = cx.b.reshape(times, &times_dims)?;
    let lengths = cx.b.reshape(lengths, &lengths_dims)?;
    let within = cx.b.compare(Compare::Less, times, lengths)?;
    if cx.b.graph.const_splat(within) == Some(1.0) {
        return Ok(y);
    }
    let zero = cx.b.scalar(0f32);
    Ok(cx.b.select(within, y, zero)?)
}

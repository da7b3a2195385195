//! Steps written one after the other.

use super::super::{Cx, Refusal, Results};
use super::cell::{Cell, State};
use super::{Kind, LONGEST_UNROLLED, Layer};
use crate::graph::{Compare, Op, ValueId};
use crate::tensor::{DType, Tensor};

/// One direction, written out.
struct Run {
    /// The hidden state after each step, in order of time; past the end of a sequence anything.
    h: Vec<ValueId>,
    last: [Option<ValueId>; 2],
}

pub(super) fn emit(cx: &mut Cx<'_>, layer: &Layer) -> Results {
    let steps = steps(cx, layer)?;
    let mut runs = Vec::with_capacity(layer.reverse.len());
    for direction in 0..layer.reverse.len() {
        runs.push(run(cx, layer, direction, steps)?);
    }
    let all: Vec<ValueId> = (0..steps).flat_map(|t| runs.iter().map(move |run| run.h[t])).collect();
    let y = stack(cx, layer, &all, Some(steps))?;
    let mut results = vec![zero_past_end(cx, layer, y, steps)?];
    for state in 0..if layer.kind == Kind::Lstm { 2 } else { 1 } {
        let last: Vec<ValueId> = runs.iter().filter_map(|run| run.last[state]).collect();
        results.push(stack(cx, layer, &last, None)?);
    }
    Ok(results)
}

fn steps(cx: &Cx<'_>, layer: &Layer) -> Result<usize, Refusal> {
    match cx.dim(layer.x, layer.time) {
        Some(0) => Err(Refusal::new("a sequence without steps", "feed at least one").about("operand X")),
        Some(steps) if steps <= LONGEST_UNROLLED => Ok(steps),
        Some(steps) => {
            Err(Refusal::new(format!("{steps} steps are more than {LONGEST_UNROLLED}"), "use a shorter sequence"))
        }
        None => {
            Err(Refusal::new("the number of steps is not known", "pin the model's dynamic inputs with --shape NAME=..")
                .about("operand X"))
        }
    }
}

fn run(cx: &mut Cx<'_>, layer: &Layer, direction: usize, steps: usize) -> Result<Run, Refusal> {
    let cell = Cell::new(cx, layer, direction)?;
    let mut inputs = Vec::new();
    for all in cell.project(&mut cx.b, layer.x)? {
        let op = Op::Unpack { axis: layer.time as i32, parts: steps };
        inputs.push(cx.b.emit(op, &[Some(all)])?);
    }
    let first = initial(cx, layer, direction)?;
    let lengths = layer.lengths.map(|lengths| cx.b.reshape(lengths, &[-1, 1])).transpose()?;
    let mut state = first;
    let mut h = Vec::with_capacity(steps);
    for i in 0..steps {
        let t = if layer.reverse[direction] { steps - 1 - i } else { i };
        let x: Vec<ValueId> = inputs.iter().map(|all| all[t]).collect();
        let next = cell.step(&mut cx.b, &x, state)?;
        state = match lengths {
            Some(lengths) => where_within(cx, t, lengths, next, state)?,
            None => next,
        };
        h.push(present(cx, layer, state.h)?);
    }
    if layer.reverse[direction] {
        h.reverse();
    }
    // Where there is not a single step, ONNX Runtime has zeros and not the initial state.
    if let Some(lengths) = lengths.filter(|_| first.h.is_some() || first.c.is_some()) {
        state = where_within(cx, 0, lengths, state, State::default())?;
    }
    let c = if layer.kind == Kind::Lstm { Some(present(cx, layer, state.c)?) } else { None };
    Ok(Run { h, last: [Some(present(cx, layer, state.h)?), c] })
}

/// The states that one direction begins with; zeros, which cost steps nothing, where there are none.
fn initial(cx: &mut Cx<'_>, layer: &Layer, direction: usize) -> Result<State, Refusal> {
    let mut state = [None; 2];
    for (i, operand) in [5, 6].into_iter().enumerate().take(if layer.kind == Kind::Lstm { 2 } else { 1 }) {
        let Some(all) = cx.optional(operand).filter(|&id| cx.b.graph.const_splat(id) != Some(0.0)) else { continue };
        let own = cx.slice_axis(all, layer.direction(), direction, 1)?;
        state[i] = Some(cx.b.reshape(own, &[-1, layer.hidden as i64])?);
    }
    Ok(State { h: state[0], c: state[1] })
}

/// `next` for the sequences that have a step `t`, `before` for the others.
fn where_within(cx: &mut Cx<'_>, t: usize, lengths: ValueId, next: State, before: State) -> Result<State, Refusal> {
    let t = cx.b.ints(&[t])?;
    let within = cx.b.compare(Compare::Less, t, lengths)?;
    match cx.b.graph.const_splat(within) {
        Some(0.0) => return Ok(before),
        Some(_) => return Ok(next),
        None => {}
    }
    let mut either = |next: Option<ValueId>, before: Option<ValueId>| match next {
        Some(next) => {
            let before = before.unwrap_or_else(|| cx.b.scalar(0f32));
            cx.b.select(within, next, before).map(Some)
        }
        None => Ok(None),
    };
    Ok(State { h: either(next.h, before.h)?, c: either(next.c, before.c)? })
}

/// A state that is zeros, as a value.
fn present(cx: &mut Cx<'_>, layer: &Layer, state: Option<ValueId>) -> Result<ValueId, Refusal> {
    if let Some(state) = state {
        return Ok(state);
    }
    // Only sequences of constant lengths have steps without a state, and the lengths show how many there are.
    let batch = layer.lengths.and_then(|lengths| cx.dim(lengths, 0));
    let batch = batch.ok_or_else(|| Refusal::new("the number of sequences is not known", "pin it with --shape"))?;
    super::super::countable(&[batch, layer.hidden])?;
    let zeros = Tensor::zeros(DType::F32, &[batch, layer.hidden]);
    let zeros = zeros.ok_or_else(|| Refusal::new("too many zeros", "use smaller extents"))?;
    Ok(cx.b.constant(zeros))
}

/// Values `[B,H]` of every step and direction as `[T,D,B,H]`, or `[B,T,D,H]` with the batch first; without `steps` that axis is not
/// there.
fn stack(cx: &mut Cx<'_>, layer: &Layer, parts: &[ValueId], steps: Option<usize>) -> Result<ValueId, Refusal> {
    let joined = match parts {
        [one] => *one,
        _ => cx.b.concat(parts, layer.time)?,
    };
    let batch = parts.first().and_then(|&part| cx.dim(part, 0)).map_or(-1, |n| n as i64);
    let mut dims: Vec<i64> = steps.into_iter().map(|n| n as i64).collect();
    dims.push(layer.reverse.len() as i64);
    dims.insert(if layer.time == 0 { dims.len() } else { 0 }, batch);
    dims.push(layer.hidden as i64);
    Ok(cx.b.reshape(joined, &dims)?)
}

/// `y` with zeros where a sequence has ended.
fn zero_past_end(cx: &mut Cx<'_>, layer: &Layer, y: ValueId, steps: usize) -> Result<ValueId, Refusal> {
    let Some(lengths) = layer.lengths else { return Ok(y) };
    let times: Vec<i32> = (0..steps).map(|t| t as i32).collect();
    let (times_dims, lengths_dims) =
        if layer.time == 0 { ([steps, 1, 1, 1], [1, 1, -1, 1]) } else { ([1, steps, 1, 1], [-1, 1, 1, 1]) };
    let times = cx.b.constant(Tensor::from_vec(&times_dims, times));
    let lengths = cx.b.reshape(lengths, &lengths_dims)?;
    let within = cx.b.compare(Compare::Less, times, lengths)?;
    if cx.b.graph.const_splat(within) == Some(1.0) {
        return Ok(y);
    }
    let zero = cx.b.scalar(0f32);
    Ok(cx.b.select(within, y, zero)?)
}

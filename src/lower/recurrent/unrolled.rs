//! Steps written one after the other.

use super::super::{Cx, Refusal, Results};
use super::Layer;
use super::cell::{Cell, State};
use super::result::{initial, last, lengths, of_directions, of_steps, present, where_within, zero_past_end};
use crate::graph::{Builder, InferError, Op, ValueId};
use crate::tensor::Tensor;

/// One direction, written out.
struct Run {
    /// The hidden state after each step, in order of time; past the end of a sequence anything.
    h: Vec<ValueId>,
    last: Vec<ValueId>,
}

pub(super) fn emit(cx: &mut Cx<'_>, layer: &Layer, steps: usize) -> Results {
    let mut runs = Vec::with_capacity(layer.reverse.len());
    for direction in 0..layer.reverse.len() {
        runs.push(run(cx, layer, direction, steps)?);
    }
    let all: Vec<ValueId> = (0..steps).flat_map(|t| runs.iter().map(move |run| run.h[t])).collect();
    let y = of_steps(cx, layer, &all, steps)?;
    let mut results = vec![zero_past_end(cx, layer, y, &mut |cx| Ok(cx.b.ints(&(0..steps).collect::<Vec<_>>())?))?];
    for state in 0..layer.states() {
        let last: Vec<ValueId> = runs.iter().map(|run| run.last[state]).collect();
        results.push(of_directions(cx, layer, &last)?);
    }
    Ok(results)
}

fn run(cx: &mut Cx<'_>, layer: &Layer, direction: usize, steps: usize) -> Result<Run, Refusal> {
    let cell = Cell::new(cx, layer, direction)?;
    let mut x = Vec::new();
    for all in cell.project(&mut cx.b, layer.x)? {
        let op = Op::Unpack { axis: layer.time as i32, parts: steps };
        x.push(cx.b.emit(op, &[Some(all)])?);
    }
    let first = initial(cx, layer, direction)?;
    let times = (0..steps).map(|t| cx.b.constant(Tensor::scalar(i32::try_from(t).unwrap_or(i32::MAX)))).collect();
    let lengths = lengths(cx, layer)?;
    let steps = Steps { cell: &cell, x, times, lengths, reverse: layer.reverse[direction] };
    let (h, state) = steps.emit(&mut cx.b, first)?;
    let h = h.into_iter().map(|h| present(cx, layer, h)).collect::<Result<_, _>>()?;
    Ok(Run { h, last: last(cx, layer, lengths, first, state)? })
}

/// Some steps of one direction.
pub(super) struct Steps<'a> {
    pub cell: &'a Cell<'a>,
    /// For each product of a step, what `x` adds to it at each time.
    pub x: Vec<Vec<ValueId>>,
    /// The number of each step, in order of time; `INT32` scalars.
    pub times: Vec<ValueId>,
    /// `INT32 [B,1]`
    pub lengths: Option<ValueId>,
    pub reverse: bool,
}

impl Steps<'_> {
    /// The hidden state after each step, in order of time, and the state after the last one.
    pub fn emit(&self, b: &mut Builder<'_>, first: State) -> Result<(Vec<Option<ValueId>>, State), InferError> {
        let steps = self.times.len();
        let mut state = first;
        let mut h = Vec::with_capacity(steps);
        for i in 0..steps {
            let t = if self.reverse { steps - 1 - i } else { i };
            let x: Vec<ValueId> = self.x.iter().map(|all| all[t]).collect();
            let next = self.cell.step(b, &x, state)?;
            state = match self.lengths {
                Some(lengths) => where_within(b, self.times[t], lengths, next, state)?,
                None => next,
            };
            h.push(state.h);
        }
        if self.reverse {
            h.reverse();
        }
        Ok((h, state))
    }
}

//! Steps in the body of a `WHILE`: for long sequences, and for those whose length is only known at run time.
//!
//! An interpreter copies what goes from one round of a `WHILE` to the next, and all that the body reads of the graph around it: the whole
//! input and the whole output, every round. So a round takes several steps where their number is known.

use super::super::repeat::{Count, Step, Stepped, Steps as Rounds};
use super::super::window::insert_axis;
use super::super::{Cx, Refusal, Results};
use super::Layer;
use super::cell::{Cell, State};
use super::result::{initial, last, lengths, of_directions, present, zero_past_end};
use super::unrolled::Steps;
use crate::graph::{Builder, InferError, Op, ValueId};
use crate::tensor::Perm;

/// Most steps of a round.
const ROUND: usize = 16;

/// How many steps there are.
#[derive(Clone, Copy)]
enum Length {
    Fixed(usize),
    /// An `INT32` scalar.
    Value(ValueId),
}

pub(super) fn emit(cx: &mut Cx<'_>, layer: &Layer, steps: Option<usize>) -> Results {
    let swapped = Perm::new(vec![1, 0, 2]).unwrap_or_else(|| Perm::identity(3));
    let x = if layer.time == 0 { layer.x } else { cx.b.transpose(layer.x, &swapped)? };
    let length = match steps {
        Some(steps) => Length::Fixed(steps),
        None => {
            let extent = cx.extent_vector(x, 0)?;
            Length::Value(cx.b.reshape(extent, &[])?)
        }
    };
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    for direction in 0..layer.reverse.len() {
        let (y, end) = run(cx, layer, direction, x, length)?;
        all.push(insert_axis(cx, y, 1)?);
        ends.push(end);
    }
    let mut y = if let [one] = all.as_slice() { *one } else { cx.b.concat(&all, 1)? };
    if layer.time == 1 {
        let batch_first = Perm::new(vec![2, 0, 1, 3]).unwrap_or_else(|| Perm::identity(4));
        y = cx.b.transpose(y, &batch_first)?;
    }
    let mut results = vec![zero_past_end(cx, layer, y, &mut |cx| times(cx, length))?];
    for state in 0..layer.states() {
        let last: Vec<ValueId> = ends.iter().map(|end| end[state]).collect();
        results.push(of_directions(cx, layer, &last)?);
    }
    Ok(results)
}

fn times(cx: &mut Cx<'_>, length: Length) -> Result<ValueId, Refusal> {
    match length {
        Length::Fixed(steps) => Ok(cx.b.ints(&(0..steps).collect::<Vec<_>>())?),
        Length::Value(steps) => {
            let (zero, one) = (cx.b.scalar(0i32), cx.b.scalar(1i32));
            Ok(cx.b.one(Op::Range, &[zero, steps, one])?)
        }
    }
}

/// One direction over `x [T,B,I]`: the hidden state after every step, `[T,B,H]`, and the last states.
fn run(
    cx: &mut Cx<'_>,
    layer: &Layer,
    direction: usize,
    x: ValueId,
    length: Length,
) -> Result<(ValueId, Vec<ValueId>), Refusal> {
    let cell = Cell::new(cx, layer, direction)?;
    let x = cell.project(&mut cx.b, x)?;
    let first = initial(cx, layer, direction)?;
    let lengths = lengths(cx, layer)?;
    let plan = Plan { cell: &cell, x: &x, lengths, length, reverse: layer.reverse[direction], hidden: layer.hidden };
    let mut carried = Vec::with_capacity(layer.states());
    for state in [first.h, first.c].into_iter().take(layer.states()) {
        carried.push(present(cx, layer, state)?);
    }
    let (mut y, mut state) = plan.rounds(cx, &carried)?;
    if let Some(rest) = plan.rest() {
        let steps = plan.steps(&mut cx.b, &cell, &x, lengths, Begin::Fixed(rest.start), rest.len())?;
        let (h, after) = steps.emit(&mut cx.b, State::from_values(&state))?;
        let h: Vec<ValueId> = h.into_iter().flatten().collect();
        let tail = plan.joined(&mut cx.b, &h)?;
        let parts = if plan.reverse { [tail, y] } else { [y, tail] };
        y = cx.b.concat(&parts, 0)?;
        state = [after.h, after.c].into_iter().flatten().collect();
    }
    let end = last(cx, layer, lengths, first, State::from_values(&state))?;
    Ok((y, end))
}

/// Where some steps begin.
#[derive(Clone, Copy)]
enum Begin {
    Fixed(usize),
    /// An `INT32` scalar.
    Value(ValueId),
}

struct Plan<'a> {
    cell: &'a Cell<'a>,
    /// For each product of a step, what `x` adds to it: `[T,B,..]`.
    x: &'a [ValueId],
    /// `INT32 [B,1]`
    lengths: Option<ValueId>,
    length: Length,
    reverse: bool,
    hidden: usize,
}

impl<'a> Plan<'a> {
    /// Steps of a round: such that few are left over.
    fn round(&self) -> usize {
        match self.length {
            Length::Fixed(steps) => {
                let most = ROUND.min(steps).max(1);
                (most.div_ceil(2)..=most).rev().min_by_key(|&round| steps % round).unwrap_or(1)
            }
            Length::Value(_) => 1,
        }
    }

    /// The steps that are left over: the last ones to be taken.
    fn rest(&self) -> Option<std::ops::Range<usize>> {
        let Length::Fixed(steps) = self.length else { return None };
        let rest = steps % self.round();
        let range = if self.reverse { 0..rest } else { steps - rest..steps };
        (rest > 0).then_some(range)
    }

    /// The hidden state after every step of all rounds, `[.., B, H]`, and the states at the end.
    fn rounds(&self, cx: &mut Cx<'_>, carried: &[ValueId]) -> Result<(ValueId, Vec<ValueId>), Refusal> {
        let round = self.round();
        let count = match self.length {
            Length::Fixed(steps) => Count::Fixed(steps / round),
            Length::Value(steps) => Count::Value(steps),
        };
        let weights = self.cell.captured();
        let mut captured: Vec<ValueId> = self.x.iter().chain(&weights).copied().collect();
        captured.extend(self.lengths);
        if let Length::Value(steps) = self.length {
            captured.push(steps);
        }
        let names: Vec<String> = ["h", "c"].iter().take(carried.len()).map(|name| name.to_string()).collect();
        let rounds = Rounds { count, condition: None, carried, names: &names, captured: &captured, unroll: 0 };
        let done = cx.repeat(&rounds, &mut |driver, step: &Step<'_>| {
            let (x, others) = step.captured.split_at(self.x.len());
            let (weights, others) = others.split_at(weights.len());
            let (cell, lengths) = (self.cell.inside(weights), self.lengths.and_then(|_| others.first().copied()));
            let mut b = driver.builder();
            let begin = self.begin(&mut b, step.index, others.last().copied())?;
            let steps = self.steps(&mut b, &cell, x, lengths, Begin::Value(begin), round)?;
            let (h, state) = steps.emit(&mut b, State::from_values(step.carried))?;
            let h: Vec<ValueId> = h.into_iter().flatten().collect();
            let scanned = if round == 1 { h[0] } else { self.joined(&mut b, &h)? };
            let carried = [state.h, state.c].into_iter().flatten().collect();
            Ok(Stepped { condition: None, carried, scanned: vec![scanned] })
        })?;
        let mut y = done.scanned[0];
        if self.reverse {
            let axes = cx.b.ints(&[0])?;
            y = cx.b.one(Op::Reverse, &[y, axes])?;
        }
        if let Length::Fixed(steps) = self.length
            && round > 1
        {
            // [rounds, steps of a round, B, H]
            let batch = cx.dim(y, 2).map_or(-1, |n| n as i64);
            y = cx.b.reshape(y, &[(steps / round * round) as i64, batch, self.hidden as i64])?;
        }
        Ok((y, done.carried))
    }

    /// Number of the first step, in order of time, of a round; `length` where it is only known at run time.
    fn begin(&self, b: &mut Builder<'_>, index: ValueId, length: Option<ValueId>) -> Result<ValueId, InferError> {
        let round = self.round() as i32;
        let steps = b.scalar(round);
        let done = if round == 1 { index } else { b.mul(index, steps)? };
        if !self.reverse {
            return Ok(done);
        }
        let last = match (self.length, length) {
            (Length::Value(_), Some(length)) => b.sub(length, steps)?,
            (Length::Fixed(n), _) => b.scalar(i32::try_from(n).unwrap_or(i32::MAX) - round),
            (Length::Value(length), None) => b.sub(length, steps)?,
        };
        b.sub(last, done)
    }

    /// `count` steps from `begin` on.
    fn steps<'c>(
        &self,
        b: &mut Builder<'_>,
        cell: &'c Cell<'c>,
        x: &[ValueId],
        lengths: Option<ValueId>,
        begin: Begin,
        count: usize,
    ) -> Result<Steps<'c>, InferError> {
        let start = match begin {
            Begin::Fixed(n) => b.scalar(i32::try_from(n).unwrap_or(i32::MAX)),
            Begin::Value(start) => start,
        };
        let mut parts = Vec::with_capacity(x.len());
        for &all in x {
            parts.push(if count == 1 { vec![b.gather(all, start, 0)?] } else { cut(b, all, start, count)? });
        }
        let mut times = Vec::with_capacity(count);
        for i in 0..if lengths.is_some() { count } else { 0 } {
            let offset = b.scalar(i as i32);
            times.push(if i == 0 { start } else { b.add(start, offset)? });
        }
        // Without lengths nobody asks for the numbers.
        times.resize(count, start);
        Ok(Steps { cell, x: parts, times, lengths, reverse: self.reverse })
    }

    /// Values `[B,H]` along a new first axis.
    fn joined(&self, b: &mut Builder<'_>, h: &[ValueId]) -> Result<ValueId, InferError> {
        b.one(Op::Pack { axis: 0 }, h)
    }
}

/// `count` neighbours of `[T,B,..]` from `start` on, each for itself.
fn cut(b: &mut Builder<'_>, all: ValueId, start: ValueId, count: usize) -> Result<Vec<ValueId>, InferError> {
    let offsets = b.ints(&(0..count).collect::<Vec<_>>())?;
    let numbers = b.add(start, offsets)?;
    let some = b.gather(all, numbers, 0)?;
    b.emit(Op::Unpack { axis: 0, parts: count }, &[Some(some)])
}

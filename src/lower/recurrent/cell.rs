//! What one step of a layer computes.

use super::super::matmul::fully_connected;
use super::super::{Cx, Refusal};
use super::Layer;
use super::function::Function;
use crate::graph::{Binary, Builder, InferError, Op, ValueId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lstm,
    Gru,
    Rnn,
}

impl Kind {
    /// Blocks of rows in the weights: input, output, forget, cell; update, reset, hidden; one alone.
    pub fn gates(self) -> usize {
        match self {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            Kind::Rnn => 1,
        }
    }

    /// The activation functions where a node names none.
    pub fn functions(self) -> &'static [&'static str] {
        match self {
            Kind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Kind::Gru => &["Sigmoid", "Tanh"],
            Kind::Rnn => &["Tanh"],
        }
    }
}

/// What goes from step to step, `[B,H]` each; `None` for zeros.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    pub h: Option<ValueId>,
    /// LSTM alone.
    pub c: Option<ValueId>,
}

impl State {
    pub fn from_values(values: &[ValueId]) -> State {
        State { h: values.first().copied(), c: values.get(1).copied() }
    }
}

/// Neighbouring gates with one activation function: one product gives the sums of them all.
#[derive(Clone)]
struct Gates {
    count: usize,
    /// `[count * H, I]`
    weights: ValueId,
    /// `[count * H, H]`
    recurrent: ValueId,
    /// `[count * H]`, of both products where nothing comes between them.
    bias: Option<ValueId>,
    recurrent_bias: Option<ValueId>,
}

/// The weights of one direction, at hand for [`Cell::step`].
#[derive(Clone)]
pub(super) struct Cell<'a> {
    layer: &'a Layer,
    functions: &'a [Function],
    gates: Vec<Gates>,
    /// `[H]` each, of the input, output and forget gate.
    peepholes: Option<[ValueId; 3]>,
}

impl<'a> Cell<'a> {
    pub fn new(cx: &mut Cx<'_>, layer: &'a Layer, direction: usize) -> Result<Cell<'a>, Refusal> {
        let groups: &[(usize, usize)] = match layer.kind {
            Kind::Lstm if layer.input_forget => &[(0, 2), (3, 1)],
            Kind::Lstm => &[(0, 3), (3, 1)],
            Kind::Gru => &[(0, 2), (2, 1)],
            Kind::Rnn => &[(0, 1)],
        };
        let mut gates = Vec::with_capacity(groups.len());
        for &(first, count) in groups {
            // The reset gate comes between the products of the hidden gate, or rather between their biases.
            let apart = layer.linear_before_reset && first == 2;
            gates.push(read_gates(cx, layer, direction, first, count, apart)?);
        }
        let peepholes = match cx.optional(7).filter(|_| layer.kind == Kind::Lstm) {
            Some(p) => {
                let mut part = |i: usize| rows(cx, p, direction, i * layer.hidden, layer.hidden);
                Some([part(0)?, part(1)?, part(2)?])
            }
            None => None,
        };
        Ok(Cell { layer, functions: &layer.functions[direction], gates, peepholes })
    }

    /// The values that [`Cell::step`] reads beside its operands.
    pub fn captured(&self) -> Vec<ValueId> {
        let gates = self.gates.iter().flat_map(|g| std::iter::once(g.recurrent).chain(g.recurrent_bias));
        gates.chain(self.peepholes.into_iter().flatten()).collect()
    }

    /// The cell in a graph where its values, as [`Cell::captured`] lists them, are others.
    pub fn inside(&self, values: &[ValueId]) -> Cell<'a> {
        let mut cell = self.clone();
        let mut values = values.iter().copied();
        let gates = cell.gates.iter_mut().flat_map(|g| std::iter::once(&mut g.recurrent).chain(&mut g.recurrent_bias));
        gates.chain(cell.peepholes.iter_mut().flatten()).zip(&mut values).for_each(|(own, value)| *own = value);
        cell
    }

    /// For each product of a step, what `x` adds to it: `[.., count * H]`.
    pub fn project(&self, b: &mut Builder<'_>, x: ValueId) -> Result<Vec<ValueId>, InferError> {
        self.gates.iter().map(|g| fully_connected(b, x, g.weights, g.bias)).collect()
    }

    /// The state after a step; `x` is one step of each value that [`Cell::project`] gave.
    pub fn step(&self, b: &mut Builder<'_>, x: &[ValueId], state: State) -> Result<State, InferError> {
        match self.layer.kind {
            Kind::Lstm => self.lstm(b, x, state),
            Kind::Gru => self.gru(b, x, state),
            Kind::Rnn => {
                let sum = self.sum(b, 0, x, state.h)?;
                Ok(State { h: Some(self.activate(b, 0, sum)?), c: None })
            }
        }
    }

    fn lstm(&self, b: &mut Builder<'_>, x: &[ValueId], state: State) -> Result<State, InferError> {
        let sums = self.sum(b, 0, x, state.h)?;
        let gates = match self.peepholes {
            // They look at the cell before and after the step: gate by gate.
            Some(_) => self.split(b, 0, sums)?,
            None => {
                let all = self.activate(b, 0, sums)?;
                self.split(b, 0, all)?
            }
        };
        let candidate = self.sum(b, 1, x, state.h)?;
        let candidate = self.activate(b, 1, candidate)?;
        let input = self.peep(b, 0, gates[0], state.c)?;
        let mut c = b.mul(input, candidate)?;
        if let Some(before) = state.c {
            let forget = if self.layer.input_forget {
                let one = b.scalar(1f32);
                b.sub(one, input)?
            } else {
                self.peep(b, 2, gates[2], state.c)?
            };
            let kept = b.mul(forget, before)?;
            c = b.add(kept, c)?;
        }
        let output = self.peep(b, 1, gates[1], Some(c))?;
        let shown = self.functions[2].emit(b, c)?;
        Ok(State { h: Some(b.mul(output, shown)?), c: Some(c) })
    }

    fn gru(&self, b: &mut Builder<'_>, x: &[ValueId], state: State) -> Result<State, InferError> {
        let sums = self.sum(b, 0, x, state.h)?;
        let all = self.activate(b, 0, sums)?;
        let gates = self.split(b, 0, all)?;
        let (update, reset) = (gates[0], gates[1]);
        let sum = if self.layer.linear_before_reset {
            match self.recur(b, 1, state.h)? {
                Some(product) => {
                    let product = b.mul(reset, product)?;
                    b.add(x[1], product)?
                }
                None => x[1],
            }
        } else {
            let h = state.h.map(|h| b.mul(reset, h)).transpose()?;
            self.sum(b, 1, x, h)?
        };
        let hidden = self.activate(b, 1, sum)?;
        // Not hidden + update * (before - hidden), which has one operator less: 8 bits lose more in the difference.
        let one = b.scalar(1f32);
        let renewed = b.sub(one, update)?;
        let mut h = b.mul(renewed, hidden)?;
        if let Some(before) = state.h {
            let kept = b.mul(update, before)?;
            h = b.add(kept, h)?;
        }
        Ok(State { h: Some(h), c: None })
    }

    /// The sums that go into group `i` of gates.
    fn sum(&self, b: &mut Builder<'_>, i: usize, x: &[ValueId], h: Option<ValueId>) -> Result<ValueId, InferError> {
        match self.recur(b, i, h)? {
            Some(product) => b.add(x[i], product),
            None => Ok(x[i]),
        }
    }

    /// What the state adds to group `i` of gates.
    fn recur(&self, b: &mut Builder<'_>, i: usize, h: Option<ValueId>) -> Result<Option<ValueId>, InferError> {
        let gates = &self.gates[i];
        match h {
            Some(h) => fully_connected(b, h, gates.recurrent, gates.recurrent_bias).map(Some),
            None => Ok(gates.recurrent_bias),
        }
    }

    /// The sums as the function `i` of the cell gives them out, clipped before.
    fn activate(&self, b: &mut Builder<'_>, i: usize, sums: ValueId) -> Result<ValueId, InferError> {
        let mut x = sums;
        if let Some(bound) = self.layer.clip {
            let (low, high) = (b.scalar(-bound), b.scalar(bound));
            x = b.binary(Binary::Maximum, low, x)?;
            x = b.binary(Binary::Minimum, high, x)?;
        }
        self.functions[i].emit(b, x)
    }

    /// Gate `i` of an LSTM, to whose sum its peephole adds the cell. Without peepholes it is a gate already.
    fn peep(&self, b: &mut Builder<'_>, i: usize, gate: ValueId, c: Option<ValueId>) -> Result<ValueId, InferError> {
        let Some(peepholes) = self.peepholes else { return Ok(gate) };
        let mut sum = gate;
        if let Some(c) = c {
            let seen = b.mul(c, peepholes[i])?;
            sum = b.add(sum, seen)?;
        }
        self.activate(b, 0, sum)
    }

    /// The gates of group `i`, `[B,H]` each.
    fn split(&self, b: &mut Builder<'_>, i: usize, x: ValueId) -> Result<Vec<ValueId>, InferError> {
        let axis = b.scalar(1i32);
        b.emit(Op::Split { parts: self.gates[i].count }, &[Some(axis), Some(x)])
    }
}

/// The weights of `count` gates from number `first` on. With `apart` the bias of the recurrent product is not added to the other one.
fn read_gates(
    cx: &mut Cx<'_>,
    layer: &Layer,
    direction: usize,
    first: usize,
    count: usize,
    apart: bool,
) -> Result<Gates, Refusal> {
    let (from, len) = (first * layer.hidden, count * layer.hidden);
    let (w, r) = (cx.input(1)?, cx.input(2)?);
    let (mut bias, mut recurrent_bias) = (None, None);
    if let Some(both) = cx.optional(3) {
        let of_x = rows(cx, both, direction, from, len)?;
        let of_h = rows(cx, both, direction, layer.kind.gates() * layer.hidden + from, len)?;
        if apart {
            (bias, recurrent_bias) = (Some(of_x), Some(of_h));
        } else {
            bias = Some(cx.b.add(of_x, of_h)?);
        }
    }
    let (weights, recurrent) = (rows(cx, w, direction, from, len)?, rows(cx, r, direction, from, len)?);
    Ok(Gates { count, weights, recurrent, bias, recurrent_bias })
}

/// `len` rows of one direction: `[D, rows, ..]` to `[len, ..]`.
fn rows(cx: &mut Cx<'_>, x: ValueId, direction: usize, from: usize, len: usize) -> Result<ValueId, Refusal> {
    let x = cx.slice_axis(x, 0, direction, 1)?;
    let x = cx.slice_axis(x, 1, from, len)?;
    let dims: Vec<i64> = match cx.rank(x) {
        2 => vec![len as i64],
        _ => vec![len as i64, cx.dim(x, 2).map_or(-1, |n| n as i64)],
    };
    Ok(cx.b.reshape(x, &dims)?)
}

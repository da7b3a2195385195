//! ONNX recurrent layers: `LSTM`, `GRU`, `RNN`.
//!
//! A layer becomes the arithmetic of its steps, state carried as plain values. `UNIDIRECTIONAL_SEQUENCE_LSTM` and its like are not
//! used: they keep the state in variable tensors from one invocation to the next, so that a second run would go on where the
//! first one ended, while ONNX starts anew.
//!
//! [`Layer`] is what the three operators have in common, [`cell`] what one step computes, [`unrolled`] and [`looped`] how steps follow
//! one another, [`result`] what is made of them all.

mod cell;
mod function;
mod looped;
mod result;
mod unrolled;

use super::conv::require_float32;
use super::{Cx, Refusal, Results};
use crate::graph::ValueId;

use cell::Kind;
use function::{Function, functions};

/// Lowers ONNX `LSTM` to the arithmetic of its steps.
///
/// # Accepts
/// float32; all directions, both layouts, initial states, peepholes, `sequence_lens` (also fed at run time), `clip`, `input_forget`, every
/// activation function; weights constant or not.
/// # Produces
/// `FULLY_CONNECTED → UNPACK` for all steps at once, then for each step `FULLY_CONNECTED → ADD → LOGISTIC → SPLIT`,
/// `FULLY_CONNECTED → ADD → TANH`, `MUL`, `MUL`, `ADD`, `TANH`, `MUL`; at the end `CONCATENATION → RESHAPE`. Long
/// sequences, and those whose length is only known at run time, become a `WHILE`, several steps a round. Never
/// `UNIDIRECTIONAL_SEQUENCE_LSTM`, whose state outlives the invocation.
pub(super) fn lstm(cx: &mut Cx<'_>) -> Results {
    layer(cx, Kind::Lstm)
}

/// Lowers ONNX `GRU` to the arithmetic of its steps.
///
/// # Accepts
/// float32; all directions, both layouts, an initial state, `sequence_lens` (also fed at run time), `clip`, both values of
/// `linear_before_reset`, every activation function; weights constant or not.
/// # Produces
/// `FULLY_CONNECTED → UNPACK` for all steps at once, then for each step `FULLY_CONNECTED → ADD → LOGISTIC → SPLIT`, `MUL`,
/// `FULLY_CONNECTED → ADD → TANH`, `SUB → MUL`, `MUL`, `ADD`; at the end `CONCATENATION → RESHAPE`. Long sequences, and
/// those whose length is only known at run time, become a `WHILE`, several steps a round.
pub(super) fn gru(cx: &mut Cx<'_>) -> Results {
    layer(cx, Kind::Gru)
}

/// Lowers ONNX `RNN` to the arithmetic of its steps.
///
/// # Accepts
/// float32; all directions, both layouts, an initial state, `sequence_lens` (also fed at run time), `clip`, every activation function;
/// weights constant or not.
/// # Produces
/// `FULLY_CONNECTED → UNPACK` for all steps at once, then for each step `FULLY_CONNECTED → ADD → TANH`; at the end
/// `CONCATENATION → RESHAPE`. Long sequences, and those whose length is only known at run time, become a `WHILE`, several steps a round.
pub(super) fn rnn(cx: &mut Cx<'_>) -> Results {
    layer(cx, Kind::Rnn)
}

/// What a node says beside its weights.
struct Layer {
    kind: Kind,
    x: ValueId,
    /// Elements of the state.
    hidden: usize,
    /// One for each direction: whether it runs from the end.
    reverse: Vec<bool>,
    /// For each direction, those of the cell in ONNX's order.
    functions: Vec<Vec<Function>>,
    /// Bound of the sums that go into gates.
    clip: Option<f32>,
    /// LSTM: the forget gate is what the input gate leaves.
    input_forget: bool,
    /// GRU: the reset gate works on the product with the state and not on the state.
    linear_before_reset: bool,
    /// Axis of `x` that is time: 0, or 1 where `layout` puts the batch first.
    time: usize,
    /// `INT32 [B]`
    lengths: Option<ValueId>,
}

impl Layer {
    fn batch(&self) -> usize {
        1 - self.time
    }

    /// Axis of states, `[D,B,H]` or `[B,D,H]`, that counts directions.
    fn direction(&self) -> usize {
        self.time
    }

    /// How many values go from step to step.
    fn states(&self) -> usize {
        if self.kind == Kind::Lstm { 2 } else { 1 }
    }
}

fn layer(cx: &mut Cx<'_>, kind: Kind) -> Results {
    // Whether the result Y is given: it is optional anyway.
    cx.ignore(&["output_sequence"]);
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    if cx.rank(x) != 3 {
        return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "check the model with onnx.checker"));
    }
    let reverse = match cx.string_or("direction", "forward")? {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute direction")),
    };
    let layer = Layer {
        kind,
        x,
        hidden: hidden(cx, kind)?,
        functions: functions(cx, kind, reverse.len())?,
        reverse,
        clip: clip(cx)?,
        input_forget: kind == Kind::Lstm && cx.flag_or("input_forget", false)?,
        linear_before_reset: kind == Kind::Gru && cx.flag_or("linear_before_reset", false)?,
        time: match cx.int_or("layout", 0)? {
            0 => 0,
            1 => 1,
            other => return Err(Refusal::new(format!("is {other}"), "").about("attribute layout")),
        },
        lengths: cx.optional(4),
    };
    check_weights(cx, &layer)?;
    match cx.dim(x, layer.time) {
        Some(0) => Err(Refusal::new("a sequence without steps", "feed at least one").about("operand X")),
        Some(steps) if is_short(cx, &layer, steps) => unrolled::emit(cx, &layer, steps),
        steps => looped::emit(cx, &layer, steps),
    }
}

/// True where steps are better written out. They run faster than the rounds of a `WHILE` (LSTM of 64 elements on one core, LiteRT 2.3.0:
/// 48 steps 115 against 187 µs, 100 steps 273 against 435), but are 11 operators each in the file, and XNNPACK copies the weights of
/// each of them: past 8 MB of copies it gets slower (128 elements, 64 steps: 1164 against 755 µs).
fn is_short(cx: &Cx<'_>, layer: &Layer, steps: usize) -> bool {
    const STEPS: usize = 64;
    const WEIGHTS: usize = 8 << 20;
    let weights = (size_of::<f32>() * layer.kind.gates()).saturating_mul(layer.hidden.saturating_mul(layer.hidden));
    match cx.unroll() {
        Some(most) => steps <= most,
        None => steps <= STEPS && steps.saturating_mul(weights) <= WEIGHTS,
    }
}

fn clip(cx: &Cx<'_>) -> Result<Option<f32>, Refusal> {
    match cx.float("clip")? {
        Some(bound) if bound.is_nan() || bound <= 0.0 => {
            Err(Refusal::new(format!("is {bound}"), "it must be positive").about("attribute clip"))
        }
        clip => Ok(clip),
    }
}

/// Rows of the largest operand, B of an LSTM, are counted in 32 bits.
const MOST_HIDDEN: usize = i32::MAX as usize / 8;

/// The number of elements of the state, which the weights show.
fn hidden(cx: &Cx<'_>, kind: Kind) -> Result<usize, Refusal> {
    let told = cx.int("hidden_size")?.and_then(|n| usize::try_from(n).ok());
    let (w, r) = (cx.input(1)?, cx.input(2)?);
    let shown = cx.dim(r, 2).or_else(|| cx.dim(w, 1).map(|rows| rows / kind.gates()));
    let hidden = shown.or(told).filter(|&n| (1..=MOST_HIDDEN).contains(&n) && told.is_none_or(|t| t == n));
    hidden.ok_or_else(|| {
        let what = format!("is {told:?}, while R is {}", cx.shape(r));
        Refusal::new(what, "check the model with onnx.checker").about("attribute hidden_size")
    })
}

/// Weights are cut into gates by number: what doesn't fit must not get that far.
fn check_weights(cx: &Cx<'_>, layer: &Layer) -> Result<(), Refusal> {
    let (directions, gates, hidden) = (layer.reverse.len(), layer.kind.gates(), layer.hidden);
    let inputs = cx.dim(layer.x, 2);
    let state =
        |d: usize| if layer.direction() == 0 { [Some(d), None, Some(hidden)] } else { [None, Some(d), Some(hidden)] };
    let rows = |factor: usize| hidden.checked_mul(factor);
    let mut operands: Vec<(usize, &str, Vec<Option<usize>>)> = vec![
        (1, "W", vec![Some(directions), rows(gates), inputs]),
        (2, "R", vec![Some(directions), rows(gates), Some(hidden)]),
        (3, "B", vec![Some(directions), rows(2 * gates)]),
        (4, "sequence_lens", vec![cx.dim(layer.x, layer.batch())]),
        (5, "initial_h", state(directions).to_vec()),
    ];
    if layer.kind == Kind::Lstm {
        operands.push((6, "initial_c", state(directions).to_vec()));
        operands.push((7, "P", vec![Some(directions), rows(3)]));
    }
    for (i, name, wanted) in operands {
        let Some(id) = cx.optional(i) else { continue };
        let wanted = crate::graph::Shape(wanted);
        if !cx.shape(id).agrees_with(&wanted) {
            let what = format!("is {} where {wanted} is wanted", cx.shape(id));
            return Err(Refusal::new(what, "check the model with onnx.checker").about(format!("operand {name}")));
        }
    }
    Ok(())
}

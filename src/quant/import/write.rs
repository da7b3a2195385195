//! Writes the graph anew: nodes on integers, and conversions where they are needed.

use super::super::report::{FloatNode, QuantReport};
use super::decide::{Judge, Plan, Stores, Want};
use super::form::Form;
use super::wanted::Wanted;
use crate::graph::{Graph, Node, Op, OriginId, Precision, Quant, Type, Value, ValueId};
use crate::tensor::{DType, Tensor};

/// Replaces the nodes of `graph`, and says which compute on integers.
pub(super) fn write(graph: &mut Graph, wanted: &Wanted, report: &mut QuantReport) {
    let nodes = std::mem::take(&mut graph.nodes);
    let mut state = State { kept: vec![Kept::default(); graph.values.len()] };
    for (index, value) in graph.values.iter().enumerate() {
        state.kept[index].is_there = value.data.is_some() || value.variable;
    }
    for input in &graph.inputs {
        state.kept[input.0 as usize].is_there = true;
    }
    let mut writer = Writer { graph, wanted, state, constants: Vec::new() };
    for node in nodes {
        writer.write(node, report);
    }
    for output in writer.graph.outputs.clone() {
        writer.real(output);
    }
}

/// What there is of a value of the old graph.
#[derive(Debug, Clone, Default)]
struct Kept {
    /// It has been computed under its own id.
    is_there: bool,
    /// The value that has its integers, where it is one of integers itself.
    moved: Option<ValueId>,
    /// Its integers, first those that were computed.
    stored: Vec<(Form, ValueId)>,
    exact: bool,
    origin: Option<OriginId>,
}

struct State {
    kept: Vec<Kept>,
}

impl Stores for State {
    fn made_as(&self, id: ValueId) -> Option<(Form, bool)> {
        let kept = self.kept.get(id.0 as usize)?;
        kept.stored.first().filter(|_| !kept.is_there || kept.exact).map(|&(form, _)| (form, kept.exact))
    }
}

struct Writer<'a> {
    graph: &'a mut Graph,
    wanted: &'a Wanted,
    state: State,
    /// Constants as integers, by original.
    constants: Vec<(ValueId, ValueId)>,
}

impl Writer<'_> {
    fn write(&mut self, node: Node, report: &mut QuantReport) {
        let simple = match (node.input(0), node.outputs.as_slice()) {
            (Some(x), &[y]) => Some((x, y)),
            _ => None,
        };
        match (&node.op, simple) {
            (Op::Dequantize, Some((x, y))) if Form::of(self.graph, x).is_some() => return self.dequantize(&node, x, y),
            (Op::Quantize { .. }, Some((x, y))) if self.graph.dtype(x) == DType::F32 => {
                return self.quantize(node, x, y);
            }
            (Op::Quantize { .. } | Op::Dequantize, _) => return self.keep(node),
            _ => {}
        }
        let judge = Judge { graph: self.graph, wanted: self.wanted, stores: &self.state };
        match judge.plan(&node) {
            Ok(plan) => {
                report.int8 += 1;
                self.on_integers(node, plan);
            }
            Err(reason) => {
                let real = |id: &ValueId| self.graph.dtype(*id) == DType::F32;
                if node.inputs.iter().flatten().any(real) || node.outputs.iter().any(real) {
                    let value = node.outputs.first().map(|&id| self.graph.value(id).name.clone()).unwrap_or_default();
                    let origin = self.graph.origin(&node).cloned();
                    report.float.push(FloatNode { origin, op: node.op.name(), value, reason });
                }
                self.keep(node);
            }
        }
    }

    /// `y` is what the integers of `x` stand for: whoever wants the numbers asks for them.
    fn dequantize(&mut self, node: &Node, x: ValueId, y: ValueId) {
        let x = self.integers(x);
        if let Some(form) = Form::of(self.graph, x) {
            let kept = &mut self.state.kept[y.0 as usize];
            (kept.stored, kept.exact, kept.origin) = (vec![(form, x)], true, node.origin);
        }
    }

    /// `y` is the integers of `x`: those that there are, if their scale is that.
    fn quantize(&mut self, node: Node, x: ValueId, y: ValueId) {
        if self.state.kept[y.0 as usize].is_there {
            return;
        }
        let is_output = self.graph.outputs.contains(&y);
        let found = Form::of(self.graph, y).and_then(|form| self.find(x, form));
        match found {
            Some(found) if !is_output => self.state.kept[y.0 as usize].moved = Some(found),
            _ => {
                let source = found.unwrap_or_else(|| self.source(x));
                self.push(node.op, source, y, node.origin);
                if let Some(form) = Form::of(self.graph, y).filter(|_| found.is_none()) {
                    self.add_form(x, form, y);
                }
            }
        }
    }

    fn keep(&mut self, mut node: Node) {
        for input in node.inputs.iter_mut().flatten() {
            *input = match self.graph.dtype(*input) {
                DType::F32 => self.real(*input),
                _ => self.integers(*input),
            };
        }
        for &output in &node.outputs {
            let kept = &mut self.state.kept[output.0 as usize];
            (kept.is_there, kept.origin) = (true, node.origin);
        }
        self.graph.nodes.push(node);
    }

    fn on_integers(&mut self, mut node: Node, plan: Plan) {
        for (input, want) in node.inputs.iter_mut().zip(plan.operands) {
            let Some(id) = input else { continue };
            *id = match want {
                Want::AsItIs => self.integers(*id),
                Want::Stored(form) => self.stored(*id, form),
                Want::Constant(data, quant) => self.constant(*id, data, quant),
            };
        }
        for output in &mut node.outputs {
            if let (Some(form), DType::F32) = (plan.form, self.graph.dtype(*output)) {
                *output = self.result(*output, form, plan.exact, node.origin);
            } else {
                self.state.kept[output.0 as usize].is_there = true;
            }
        }
        self.graph.nodes.push(node);
    }

    /// The value of the new graph that has the integers of `x`, a value of integers.
    fn integers(&self, x: ValueId) -> ValueId {
        self.state.kept.get(x.0 as usize).and_then(|kept| kept.moved).unwrap_or(x)
    }

    /// Integers of `x` in `form`, if there are any.
    fn find(&self, x: ValueId, form: Form) -> Option<ValueId> {
        let kept = self.state.kept.get(x.0 as usize)?;
        kept.stored.iter().find(|(f, _)| *f == form).map(|(_, id)| *id)
    }

    fn add_form(&mut self, x: ValueId, form: Form, id: ValueId) {
        self.state.kept[x.0 as usize].stored.push((form, id));
    }

    /// What other integers of `x` are made from: what was computed first.
    fn source(&self, x: ValueId) -> ValueId {
        let kept = &self.state.kept[x.0 as usize];
        match kept.stored.first() {
            Some(&(_, stored)) if !kept.is_there || kept.exact => stored,
            _ => x,
        }
    }

    /// `x` as real numbers, dequantized where need be.
    fn real(&mut self, x: ValueId) -> ValueId {
        let Some(kept) = self.state.kept.get_mut(x.0 as usize) else { return x };
        if let (false, Some(&(_, stored))) = (kept.is_there, kept.stored.first()) {
            let origin = kept.origin;
            self.push(Op::Dequantize, stored, x, origin);
        }
        x
    }

    /// `x` as integers of `form`, quantized or requantized where need be.
    fn stored(&mut self, x: ValueId, form: Form) -> ValueId {
        if let Some(found) = self.find(x, form) {
            return found;
        }
        let source = self.source(x);
        let suffix = if source == x { "quantized" } else { "requantized" };
        let to = match self.wanted.stored(x).filter(|&y| self.is_free(y, form)) {
            Some(y) => y,
            None => self.derived(x, form, suffix),
        };
        let origin = self.state.kept[x.0 as usize].origin;
        self.push(Op::Quantize { to: form.dtype }, source, to, origin);
        self.add_form(x, form, to);
        to
    }

    /// True where `y`, which the old graph stores a value in, is to hold this form and does not yet.
    fn is_free(&self, y: ValueId, form: Form) -> bool {
        !self.state.kept[y.0 as usize].is_there && Form::of(self.graph, y) == Some(form)
    }

    /// The value for result `x` of a node that computes in `form`: the one that a `QUANTIZE` was to store it in, if it can be that.
    fn result(&mut self, x: ValueId, form: Form, exact: bool, origin: Option<OriginId>) -> ValueId {
        let y = match self.wanted.stored(x).filter(|&y| self.is_free(y, form)) {
            Some(y) => y,
            None => self.derived(x, form, "quantized"),
        };
        if let Some(kept) = self.state.kept.get_mut(y.0 as usize) {
            kept.is_there = true;
        }
        let kept = &mut self.state.kept[x.0 as usize];
        (kept.stored, kept.exact, kept.origin) = (vec![(form, y)], exact, origin);
        y
    }

    fn derived(&mut self, x: ValueId, form: Form, suffix: &str) -> ValueId {
        let count = self.state.kept[x.0 as usize].stored.len();
        let value = self.graph.value(x);
        let name = match count {
            0 | 1 => format!("{}_{suffix}", value.name),
            more => format!("{}_{suffix}_{more}", value.name),
        };
        let ty = Type { dtype: form.dtype, shape: value.ty.shape.clone() };
        self.graph.add_value(Value { name, ty, data: None, quant: Some(form.quant()), variable: false })
    }

    fn constant(&mut self, original: ValueId, data: Tensor, quant: Quant) -> ValueId {
        let same = |id: ValueId| {
            let value = self.graph.value(id);
            value.quant.as_ref() == Some(&quant) && value.data.as_ref() == Some(&data)
        };
        if let Some(&(_, known)) = self.constants.iter().find(|(of, id)| *of == original && same(*id)) {
            return known;
        }
        let id = self.graph.add_constant(self.graph.value(original).name.clone(), data);
        self.graph.value_mut(id).quant = Some(quant);
        self.constants.push((original, id));
        id
    }

    fn push(&mut self, op: Op, from: ValueId, to: ValueId, origin: Option<OriginId>) {
        if let Some(kept) = self.state.kept.get_mut(to.0 as usize) {
            kept.is_there = true;
        }
        let (inputs, outputs) = (vec![Some(from)], vec![to]);
        self.graph.nodes.push(Node { op, inputs, outputs, origin, precision: Precision::Any });
    }
}

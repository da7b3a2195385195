//! Which nodes compute in integers: the division of the graph that costs least.
//!
//! Which integers a node computes in is asked for; whether it does is decided here. A border between integers and float costs a conversion, so it is no good to let every node decide by itself: a sum between two
//! float operators would be quantized and dequantized at once, a transposition before a convolution would move four times the
//! bytes. Each node has a cost in either form, each value a cost where its maker and a user differ, and a minimum cut finds
//! the best of all divisions. Knows nothing of operators but what their [`Rule`] says.

use super::cut::{NEVER, Network, SINK, SOURCE};
use super::form::{Form, Grid};
use super::observe::Statistics;
use super::range::{Range, stands_for_infinity};
use super::relevant::Relevant;
use super::spec::{Effort, Outcome, Role, Rule, Treatment};
use crate::graph::{Graph, Node, Precision, ValueId};
use crate::tensor::DType;

/// What a node does in the quantized graph, and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    Untouched,
    Integer(Rule),
    Float(String),
}

/// Costs, in hundredths of a float operator between int8 ones.
mod cost {
    /// `QUANTIZE` or `DEQUANTIZE` between two operators.
    pub(super) const CONVERSION: u64 = 200;
    /// `DEQUANTIZE` before an output of the graph. Cheap: whoever asks for integers expects it there. `QUANTIZE` after an input is free.
    pub(super) const OUTPUT: u64 = 60;
    /// An input of the graph that is used as float: whoever asks for integers expects them there too.
    pub(super) const INPUT: u64 = 80;
    /// Computing in float what there is an integer kernel for.
    pub(super) const FLOAT_MOVES: u64 = 1;
    pub(super) const FLOAT_LIGHT: u64 = 100;
    pub(super) const FLOAT_HEAVY: u64 = 1_000_000;
    /// One scale for operands of very different size: the small ones lose bits.
    pub(super) const COARSENS: u64 = FIXED_SCALE;
    /// Rounding the result of a light operator to 8 bits: as much as is saved, so that only conversions count. Sums along a
    /// transformer's residual stream, which float normalizations read, stay float then: small tokens get lost in the scale of large
    /// ones.
    pub(super) const INT8_LIGHT: u64 = FLOAT_LIGHT;
    /// Computing in int8 with a scale that the results did not choose: rather in float where that costs no further conversion.
    pub(super) const FIXED_SCALE: u64 = 350;
}

/// Constants with fewer elements than this may stay float without a thought.
const HOLDS_WEIGHTS: usize = 1024;

/// A fixed scale this many times coarser than what the results seen would choose leaves 6 bits.
const TOO_COARSE: f32 = 4.0;

/// Decides on every node, given its row of the table.
pub(super) fn decide(
    graph: &Graph,
    statistics: &Statistics,
    relevant: &Relevant<'_>,
    treatments: Vec<Treatment>,
    every_kernel: bool,
) -> Vec<Decision> {
    let judge = Judge { graph, statistics, relevant, every_kernel };
    let mut decisions: Vec<Decision> =
        treatments.into_iter().zip(&graph.nodes).map(|(treatment, node)| judge.alone(treatment, node)).collect();
    let integer = division(graph, &decisions, relevant, every_kernel);
    for (decision, integer) in decisions.iter_mut().zip(integer) {
        if matches!(decision, Decision::Integer(_)) && !integer {
            *decision = Decision::Float("its neighbours are float, and converting there and back costs more".into());
        }
    }
    decisions
}

struct Judge<'a> {
    graph: &'a Graph,
    statistics: &'a Statistics,
    relevant: &'a Relevant<'a>,
    every_kernel: bool,
}

impl Judge<'_> {
    /// What can be said of a node without its neighbours; `Integer` where it may be.
    fn alone(&self, treatment: Treatment, node: &Node) -> Decision {
        let rule = match treatment {
            Treatment::Untouched => return Decision::Untouched,
            Treatment::Float(reason) => return Decision::Float(reason.into()),
            Treatment::Integer(rule) => rule,
        };
        if node.precision == Precision::Float {
            return Decision::Float("an inner step of its ONNX operator that few bits can't hold".into());
        }
        if let Some(lost) = rule.loses.filter(|_| !self.every_kernel) {
            return Decision::Float(lost.into());
        }
        if let Some(unseen) = self.unseen(node, &rule) {
            return Decision::Float(format!("calibration showed no number of {:?}", self.graph.value(unseen).name));
        }
        if let Some(extreme) = self.extreme(node, &rule) {
            return Decision::Float(format!("its numbers reach {extreme:e}, and no scale has room for the others"));
        }
        if let Outcome::Fixed(form) = rule.outcome
            && let Some((max, coarser)) = self.coarser(node, &rule, form)
            && !self.every_kernel
        {
            return Decision::Float(format!(
                "its {} results have steps of {}, {coarser:.0} times what results up to {max} need",
                form.dtype.name(),
                form.params.scale
            ));
        }
        Decision::Integer(rule)
    }

    /// A value that would be quantized and of which nothing is known.
    fn unseen(&self, node: &Node, rule: &Rule) -> Option<ValueId> {
        let results = node.outputs.iter().copied().filter(|_| rule.outcome == Outcome::Free);
        let computed = activations(self.graph, node, rule).map(|(id, _)| id).chain(results);
        computed.into_iter().find(|&id| self.graph.dtype(id) == DType::F32 && self.relevant.range(id).is_none())
    }

    /// A number past all reason that matters, of the operands or of the result where it has a scale of its own.
    fn extreme(&self, node: &Node, rule: &Rule) -> Option<f32> {
        let own_scale = |i: &usize| matches!(rule.operands.get(*i), Some(Role::Activation | Role::Factor));
        let operands = (0..node.inputs.len()).filter(own_scale).filter_map(|i| self.relevant.operand(node, i));
        let results = node.outputs.iter().filter(|_| rule.outcome == Outcome::Free);
        let ranges = operands.chain(results.filter_map(|&id| self.relevant.range(id)));
        ranges.flat_map(|Range { min, max }| [min, max]).find(|end| stands_for_infinity(*end))
    }

    /// Largest magnitude of the results seen, and how much too coarse a fixed scale is for it, where that is too much.
    fn coarser(&self, node: &Node, rule: &Rule, fixed: Form) -> Option<(f32, f32)> {
        let range = node.outputs.iter().find_map(|&id| self.statistics.get(id)?.range)?;
        let coarser = fixed.params.scale / rule.grid.form(range).params.scale;
        (coarser > TOO_COARSE * rule.grid.finer()).then_some((range.max.abs().max(range.min.abs()), coarser))
    }
}

/// Operands that are quantized when the node is, and computed at run time.
pub(super) fn activations<'a>(
    graph: &'a Graph,
    node: &'a Node,
    rule: &'a Rule,
) -> impl Iterator<Item = (ValueId, Role)> + 'a {
    let operands = node.inputs.iter().zip(&rule.operands).filter_map(|(input, role)| Some(((*input)?, *role)));
    operands.filter(|&(id, role)| {
        matches!(role, Role::Activation | Role::Factor | Role::Shared)
            && graph.constant(id).is_none()
            && graph.dtype(id) == DType::F32
    })
}

/// For each node, whether it computes in integers.
fn division(graph: &Graph, decisions: &[Decision], relevant: &Relevant<'_>, every_kernel: bool) -> Vec<bool> {
    let mut network = Network::new();
    let vertex: Vec<usize> = decisions.iter().map(|_| network.add_vertex()).collect();
    // For each value the vertex that makes it, and those that use it.
    let mut makers = vec![SINK; graph.values.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); graph.values.len()];
    for ((node, decision), &v) in graph.nodes.iter().zip(decisions).zip(&vertex) {
        match decision {
            Decision::Untouched => continue,
            Decision::Float(_) => network.part(v, SINK, NEVER),
            Decision::Integer(rule) => {
                let (float, integer) = costs(graph, node, rule, relevant, every_kernel);
                network.part(SOURCE, v, float);
                network.part(v, SINK, integer);
            }
        }
        let operands: Vec<ValueId> = match decision {
            Decision::Integer(rule) => activations(graph, node, rule).map(|(id, _)| id).collect(),
            _ => node.inputs.iter().flatten().copied().filter(|&id| graph.constant(id).is_none()).collect(),
        };
        operands.iter().for_each(|id| users[id.0 as usize].push(v));
        node.outputs.iter().for_each(|id| makers[id.0 as usize] = v);
    }
    let inputs: Vec<bool> = marked(graph, &graph.inputs);
    let outputs: Vec<bool> = marked(graph, &graph.outputs);
    for (i, value) in graph.values.iter().enumerate() {
        if value.ty.dtype != DType::F32 {
            continue;
        }
        if outputs[i] {
            network.part(makers[i], SINK, cost::OUTPUT);
        }
        if users[i].is_empty() {
            continue;
        }
        // One `DEQUANTIZE` serves all float users, one `QUANTIZE` all integer ones.
        let (any_float, any_integer) = (network.add_vertex(), network.add_vertex());
        network.part(makers[i], any_float, cost::CONVERSION);
        if inputs[i] {
            network.part(SOURCE, any_float, cost::INPUT);
        }
        network.part(any_integer, makers[i], if inputs[i] { 0 } else { cost::CONVERSION });
        for &user in &users[i] {
            network.part(any_float, user, NEVER);
            network.part(user, any_integer, NEVER);
        }
    }
    let side = network.source_side();
    vertex.into_iter().map(|v| side[v]).collect()
}

fn marked(graph: &Graph, ids: &[ValueId]) -> Vec<bool> {
    let mut marks = vec![false; graph.values.len()];
    ids.iter().for_each(|id| marks[id.0 as usize] = true);
    marks
}

/// What a node costs in float, and in integers.
fn costs(graph: &Graph, node: &Node, rule: &Rule, relevant: &Relevant<'_>, every_kernel: bool) -> (u64, u64) {
    if every_kernel {
        return (cost::FLOAT_HEAVY, 0);
    }
    let float = match rule.effort {
        Effort::Moves if holds_weights(graph, node, rule) => cost::FLOAT_HEAVY,
        Effort::Moves => cost::FLOAT_MOVES,
        Effort::Light => cost::FLOAT_LIGHT,
        Effort::Heavy => cost::FLOAT_HEAVY,
    };
    // 16 bits have room for all of this.
    let loses = rule.grid != Grid::Int16;
    let integer = match (rule.outcome, rule.effort) {
        (Outcome::Fixed(_), _) if loses => cost::FIXED_SCALE,
        (Outcome::Free, Effort::Light) if loses => cost::INT8_LIGHT,
        (Outcome::Shared, _) if loses && coarsens(node, rule, relevant) => cost::COARSENS,
        (Outcome::Free | Outcome::Shared | Outcome::Fixed(_), _) => 0,
    };
    (float, integer)
}

/// True where the scale that operands share is too coarse for one of them: a class token that is put before the patches.
fn coarsens(node: &Node, rule: &Rule, relevant: &Relevant<'_>) -> bool {
    let shared = (0..node.inputs.len()).filter(|&i| rule.operands.get(i) == Some(&Role::Shared));
    let ranges: Vec<Range> = shared.filter_map(|i| relevant.operand(node, i)).collect();
    let Some(hull) = ranges.iter().copied().reduce(Range::hull) else { return false };
    let scale = |range: Range| rule.grid.form(range).params.scale;
    let empty = Range { min: 0.0, max: 0.0 };
    ranges.iter().any(|&range| range != empty && scale(hull) > TOO_COARSE * scale(range))
}

/// True for a look-up in a constant table: in integers it takes a part of the room.
fn holds_weights(graph: &Graph, node: &Node, rule: &Rule) -> bool {
    let operands = node.inputs.iter().zip(&rule.operands);
    operands.filter(|(_, role)| **role == Role::Shared).any(|(input, _)| {
        let data = input.and_then(|id| graph.constant(id));
        data.is_some_and(|data| data.len() >= HOLDS_WEIGHTS)
    })
}

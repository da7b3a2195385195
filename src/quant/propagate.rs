//! The solver: one integer type, scale and zero point for every value that is stored as integers.
//!
//! Values whose kernels want one scale for several of them form classes. Where an operator merely passes its one operand on, the
//! result joins the operand's class: its numbers are the operand's numbers. Where several meet (a concatenation), an operand
//! joins only if the wider range costs less than rounding it a second time would; if not, it gets a requantizing `QUANTIZE`
//! in front of that one operator and stays as fine as its other users need it. Costs are variances of rounding, the square of
//! the scale each. Knows nothing of operators but what their [`Rule`] says.

use super::form::{Form, Grid};
use super::precision::{Decision, activations};
use super::range::{Params, Range};
use super::relevant::Relevant;
use super::spec::{Bound, Outcome, Role, Rule};
use super::weights::most;
use crate::graph::{Graph, Node, ValueId};
use crate::tensor::DType;

/// Scales and zero points that belong together.
pub(super) struct Scales<'a> {
    graph: &'a Graph,
    relevant: &'a Relevant<'a>,
    /// Class of each value.
    class_of: Vec<usize>,
    classes: Vec<Class>,
}

/// Values with one form.
#[derive(Debug, Clone)]
struct Class {
    members: Vec<ValueId>,
    /// Hull of what the members need, zero included.
    range: Range,
    /// Form that a kernel prescribes.
    fixed: Option<Form>,
    /// The integers that the operator which makes it is asked for, or those that round it.
    grid: Grid,
    /// Scale that the most demanding user would choose.
    finest: f32,
    /// The scale is no finer than this.
    floor: f32,
}

impl Class {
    fn new(id: ValueId, range: Option<Range>, grid: Grid) -> Class {
        let range = range.unwrap_or(Range { min: 0.0, max: 0.0 }).with_zero();
        let finest = grid.form_of_seen(range).params.scale;
        Class { members: vec![id], range, fixed: None, grid, finest, floor: 0.0 }
    }

    fn form(&self) -> Form {
        self.fixed.unwrap_or_else(|| self.grid.form_of_seen(self.range).at_least(self.floor))
    }

    fn scale(&self) -> f32 {
        self.form().params.scale
    }
}

/// Solves for all nodes that compute in integers.
pub(super) fn propagate<'a>(graph: &'a Graph, decisions: &[Decision], relevant: &'a Relevant<'a>) -> Scales<'a> {
    let ids = (0..graph.values.len()).map(|i| ValueId(i as u32));
    let classes = ids.zip(grids(graph, decisions)).map(|(id, grid)| Class::new(id, relevant.range(id), grid)).collect();
    let scales = Scales { graph, relevant, class_of: (0..graph.values.len()).collect(), classes };
    let mut solver = Solver { scales, decisions, users: users(graph), producers: graph.producers() };
    for (node, decision) in graph.nodes.iter().zip(decisions) {
        let Decision::Integer(rule) = decision else { continue };
        match rule.outcome {
            Outcome::Free => {}
            Outcome::Fixed(form) => node.outputs.iter().for_each(|&id| solver.scales.class_mut(id).fixed = Some(form)),
            Outcome::Shared => solver.share(node, rule),
        }
    }
    solver.keep_bounds();
    solver.scales
}

impl Scales<'_> {
    /// How a value is stored, where it is stored as integers.
    pub(super) fn of(&self, id: ValueId) -> Form {
        self.class(id).form()
    }

    /// How operand `i` of a node that computes in integers must be stored.
    pub(super) fn operand(&self, node: &Node, rule: &Rule, i: usize) -> Option<Form> {
        let id = node.input(i)?;
        let constant = self.graph.constant(id).is_some();
        match rule.operands.get(i)? {
            Role::Shared => shared_result(self.graph, node).map(|result| self.of(result)),
            // What others make in another width is converted for this node.
            Role::Activation | Role::Factor if !constant => match self.of(id) {
                form if form.dtype == rule.grid.dtype() => Some(form),
                _ => Some(rule.grid.form_of_seen(self.class(id).range)),
            },
            Role::Activation => Some(rule.grid.form(self.constant(node, i))),
            Role::Factor => Some(rule.grid.symmetric().form(self.constant(node, i))),
            Role::Weight { .. } | Role::Bias { .. } | Role::Index | Role::Any => None,
        }
    }

    fn constant(&self, node: &Node, i: usize) -> Range {
        self.relevant.operand(node, i).unwrap_or(Range { min: 0.0, max: 0.0 })
    }

    fn class(&self, id: ValueId) -> &Class {
        &self.classes[self.class_of[id.0 as usize]]
    }

    fn class_mut(&mut self, id: ValueId) -> &mut Class {
        &mut self.classes[self.class_of[id.0 as usize]]
    }

    /// Puts the members of `from`'s class into that of `into`.
    fn join(&mut self, from: ValueId, into: ValueId) {
        let (from, into) = (self.class_of[from.0 as usize], self.class_of[into.0 as usize]);
        if from == into {
            return;
        }
        let gone = Class { members: std::mem::take(&mut self.classes[from].members), ..self.classes[from].clone() };
        for &member in &gone.members {
            self.class_of[member.0 as usize] = into;
        }
        let class = &mut self.classes[into];
        class.members.extend(gone.members);
        class.range = class.range.hull(gone.range);
        class.fixed = class.fixed.or(gone.fixed);
        class.grid = class.grid.max(gone.grid);
    }
}

/// The integers of each value: those of the node that makes it, or the strictest among those of nodes that round it.
fn grids(graph: &Graph, decisions: &[Decision]) -> Vec<Grid> {
    let mut grids = vec![Grid::default(); graph.values.len()];
    let integer = || {
        graph.nodes.iter().zip(decisions).filter_map(|(node, decision)| match decision {
            Decision::Integer(rule) => Some((node, rule)),
            Decision::Untouched | Decision::Float(_) => None,
        })
    };
    for (node, rule) in integer() {
        activations(graph, node, rule).for_each(|(id, _)| grids[id.0 as usize] = grids[id.0 as usize].max(rule.grid));
    }
    for (node, rule) in integer() {
        node.outputs.iter().for_each(|id| grids[id.0 as usize] = rule.grid);
    }
    grids
}

/// The first result that shares a scale with operands.
fn shared_result(graph: &Graph, node: &Node) -> Option<ValueId> {
    node.outputs.iter().copied().find(|&id| graph.dtype(id) == DType::F32)
}

/// For each value, the nodes that use it; `None` for a use as output of the graph.
fn users(graph: &Graph) -> Vec<Vec<Option<usize>>> {
    let mut users = vec![Vec::new(); graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for id in node.inputs.iter().flatten() {
            users[id.0 as usize].push(Some(index));
        }
    }
    graph.outputs.iter().for_each(|id| users[id.0 as usize].push(None));
    users
}

struct Solver<'a, 'b> {
    scales: Scales<'a>,
    decisions: &'b [Decision],
    users: Vec<Vec<Option<usize>>>,
    producers: Vec<Option<usize>>,
}

impl Solver<'_, '_> {
    /// Gives operands and results of a node one class, as far as that is worth it.
    fn share(&mut self, node: &Node, rule: &Rule) {
        let graph = self.scales.graph;
        let Some(result) = shared_result(graph, node) else { return };
        let mut operands: Vec<ValueId> = activations(graph, node, rule).map(|(id, _)| id).collect();
        operands.dedup();
        for &other in &node.outputs {
            if other != result && graph.dtype(other) == DType::F32 {
                self.scales.join(other, result);
            }
        }
        let constants = self.constants(node, rule);
        if let [x] = operands[..]
            && self.have_one_width(x, result)
            && constants.is_none_or(|c| self.scales.class(x).range.holds(c))
        {
            // Nothing but the operand's own numbers comes out; what the result was seen to be is of no account.
            let of_operand = self.scales.class(x).range;
            self.scales.class_mut(result).range = of_operand;
            return self.scales.join(result, x);
        }
        let needed = (0..node.inputs.len()).filter(|&i| rule.operands.get(i) == Some(&Role::Shared)).filter_map(|i| {
            let id = node.input(i)?;
            match graph.constant(id) {
                Some(_) => None,
                None => Some(self.scales.class(id).range.clamped_to(self.scales.relevant.through(node, i))),
            }
        });
        let range = needed.chain(constants).reduce(Range::hull).unwrap_or(Range { min: 0.0, max: 0.0 }).with_zero();
        let class = self.scales.class_mut(result);
        class.range = range;
        class.finest = class.grid.form_of_seen(range).params.scale;
        for &x in &operands {
            if self.joining_pays(node, x, result, operands.len() > 1) {
                let finest = if self.used_elsewhere(x, node) { self.scales.class(x).finest } else { f32::INFINITY };
                self.scales.join(x, result);
                let class = self.scales.class_mut(result);
                class.finest = class.finest.min(finest);
            }
        }
    }

    /// Hull of what constants put into the shared range.
    fn constants(&self, node: &Node, rule: &Rule) -> Option<Range> {
        let shared = (0..node.inputs.len()).filter(|&i| rule.operands.get(i) == Some(&Role::Shared));
        let constant = shared.filter(|&i| node.input(i).is_some_and(|id| self.scales.graph.constant(id).is_some()));
        constant.filter_map(|i| self.scales.relevant.operand(node, i)).reduce(Range::hull)
    }

    fn have_one_width(&self, a: ValueId, b: ValueId) -> bool {
        self.scales.class(a).grid.dtype() == self.scales.class(b).grid.dtype()
    }

    /// Weighs the noise of one scale for operand `x` and the node's result against that of two, with a `QUANTIZE` between.
    fn joining_pays(&self, node: &Node, x: ValueId, result: ValueId, has_others: bool) -> bool {
        let (operand, hub) = (self.scales.class(x), self.scales.class(result));
        let (range, fixed) = (operand.range.hull(hub.range), operand.fixed.or(hub.fixed));
        let joined = Class { range, fixed, grid: hub.grid.max(operand.grid), ..hub.clone() };
        let prescribed = |class: &Class| class.fixed.is_none_or(|fixed| Some(fixed) == joined.fixed);
        if !prescribed(operand) || !prescribed(hub) || !self.have_one_width(x, result) {
            return false;
        }
        if let Some(fixed) = joined.fixed {
            // The largest number of a fixed scale is one step short of what its operator tends to.
            let covered = fixed.range();
            let covered = Range { min: covered.min - fixed.params.scale, max: covered.max + fixed.params.scale };
            if !covered.holds(if operand.fixed.is_some() { hub.range } else { joined.range }) {
                return false;
            }
        }
        let variance = |scale: f32| f64::from(scale) * f64::from(scale);
        let elsewhere = self.used_elsewhere(x, node);
        // Who reads numbers with the one or the other scale: this operand's part of the result, the other operands' parts, and
        // other users of the operand.
        let together = variance(joined.scale()) * f64::from(1 + u8::from(has_others) + u8::from(elsewhere));
        let hub_alone = variance(hub.scale());
        // A float operand is rounded only once either way.
        let rounded_before = if self.is_made_in_float(x) { 0.0 } else { variance(operand.scale()) };
        let mut apart = rounded_before + hub_alone;
        if has_others {
            apart += hub_alone;
        }
        if elsewhere {
            apart += variance(operand.finest);
        }
        together <= apart
    }

    /// True where something other than `node` reads a member of `x`'s class and would read it with a changed scale.
    fn used_elsewhere(&self, x: ValueId, node: &Node) -> bool {
        let graph = self.scales.graph;
        let class = self.scales.class_of[x.0 as usize];
        let elsewhere = |user: &Option<usize>| match user {
            None => true,
            Some(user) => {
                let other = &graph.nodes[*user];
                let passes_on = matches!(&self.decisions[*user], Decision::Integer(rule) if rule.outcome == Outcome::Shared)
                    && other.outputs.iter().any(|id| self.scales.class_of[id.0 as usize] == class);
                !passes_on && !std::ptr::eq(other, node)
            }
        };
        self.scales.classes[class].members.iter().any(|id| self.users[id.0 as usize].iter().any(elsewhere))
    }

    fn is_made_in_float(&self, id: ValueId) -> bool {
        let producer = self.producers[id.0 as usize];
        producer.is_none_or(|index| !matches!(self.decisions[index], Decision::Integer(_)))
    }

    /// Raises scales that are too fine for the kernels that make them. What is raised may be an operand of others, hence the
    /// rounds; scales only rise, and hardly ever twice.
    fn keep_bounds(&mut self) {
        const ROUNDS: usize = 16;
        for _ in 0..ROUNDS {
            let mut raised = false;
            for (node, decision) in self.scales.graph.nodes.iter().zip(self.decisions) {
                let (Decision::Integer(rule), Some(&result)) = (decision, node.outputs.first()) else { continue };
                let floor = self.bound(node, rule) / 128.0;
                let class = self.scales.class_mut(result);
                if rule.outcome == Outcome::Free && class.scale() < floor {
                    class.floor = floor;
                    raised = true;
                }
            }
            if !raised {
                break;
            }
        }
    }

    fn bound(&self, node: &Node, rule: &Rule) -> f32 {
        let scale = |i: usize| match (rule.operands.get(i), node.input(i)) {
            (Some(Role::Weight { bits, .. }), Some(id)) => {
                let data = self.scales.graph.constant(id).and_then(|data| data.to_f32s().ok());
                let largest = data.and_then(|data| Range::of(&data)).map_or(0.0, |range| range.max.max(-range.min));
                (f64::from(largest) / most(*bits)) as f32
            }
            _ => self.scales.operand(node, rule, i).map_or(0.0, |form| form.params.scale),
        };
        match rule.bound {
            Bound::None => 0.0,
            Bound::Operand => (0..node.inputs.len()).map(scale).fold(0.0, f32::max),
            // Products of products of large numbers leave what is a scale at all.
            Bound::Product(a, b) => (scale(a) * scale(b)).min(Params::COARSEST),
        }
    }
}

//! Chooses, for every node, the order of its loops, so that the fewest bytes are transposed.
//!
//! Every node can be computed as it stands, and in the few other orders that come to it from its operands (one sweep forward) or
//! are asked of it by those who use its results (one sweep back). Each such *mode* demands its operands in certain layouts and
//! gives its results in certain layouts; a demand for another layout than the given one costs a transpose, paid once however many
//! ask. The cheapest choice for all nodes together is what [`super::solve`] finds.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::memory::Layout;
use super::nest::{Nest, Placed, Role};
use super::solve::{NEVER, Problem};
use super::view::Views;
use crate::graph::{Graph, Node, ValueId};
use crate::tensor::DType;

/// How many orders a node is tried in, at most; so that time stays in line with the number of nodes.
const MODES: usize = 6;

/// Where the operands and results of one node are put by one order of its loops.
#[derive(Debug, Clone)]
pub(super) struct Arrangement {
    /// `None` for operands that are used as they are.
    pub operands: Vec<Option<Placed>>,
    /// `None` for results that are the same in any order.
    pub results: Vec<Option<Placed>>,
}

impl Arrangement {
    /// `None` where the types of the node's values don't allow the order.
    pub(super) fn new(graph: &Graph, node: &Node, nest: &Nest, order: &Layout) -> Option<Arrangement> {
        let checked = |id: ValueId, placed: Option<Placed>| {
            let (value, placed) = (graph.value(id), placed?);
            placed.quant(value.quant.as_ref(), value.ty.shape.dims())?;
            // Data of less than a byte an element can't be moved, and a variable may change between two looks at it.
            let fixed = value.variable || (value.data.is_some() && value.ty.dtype.bits() < 8);
            let fixed = fixed && !placed.layout.is_rows();
            (!fixed).then_some(placed)
        };
        let operand = |(role, id): (&Role, &Option<ValueId>)| {
            let Some(id) = *id else { return Some(None) };
            let dims = graph.shape(id).dims();
            match role {
                Role::Rows => Some(None),
                Role::Follows(axes) => checked(id, nest.place(order, axes, dims)).map(Some),
                Role::Weights(axes) => checked(id, nest.place_weights(order, axes, dims)).map(Some),
            }
        };
        let result = |(axes, &id): (&Option<_>, &ValueId)| match axes {
            Some(axes) => checked(id, nest.place(order, axes, graph.shape(id).dims())).map(Some),
            None => Some(None),
        };
        Some(Arrangement {
            operands: nest.operands.iter().zip(&node.inputs).map(operand).collect::<Option<_>>()?,
            results: nest.results.iter().zip(&node.outputs).map(result).collect::<Option<_>>()?,
        })
    }
}

/// One way to compute a node.
struct Mode {
    /// Order of the loops; `None` for a node as it stands.
    order: Option<Layout>,
    /// `None`: as it stands.
    arrangement: Option<Arrangement>,
    /// Indices of demands.
    demands: BTreeSet<usize>,
    /// Layouts of the results.
    results: Vec<Layout>,
}

/// A layout that someone may want the elements of a root in.
struct Demand {
    root: ValueId,
    /// With the axes of size 1 where the first to ask had them.
    layout: Layout,
}

struct Chooser<'a> {
    graph: &'a Graph,
    views: &'a Views,
    nests: &'a [Nest],
    producers: Vec<Option<usize>>,
    modes: Vec<Vec<Mode>>,
    demands: Vec<Demand>,
    /// Demands by root and canonical layout.
    known: HashMap<(ValueId, Layout), usize>,
    /// For each value, the demands for it as a root.
    wanted: Vec<Vec<usize>>,
}

/// For each node, how it is to be computed; `None` where it stays as it stands. Views are not computed at all.
pub(super) fn choose(graph: &Graph, views: &Views, nests: &[Nest]) -> Vec<Option<Arrangement>> {
    let mut chooser = Chooser {
        graph,
        views,
        nests,
        producers: graph.producers(),
        modes: Vec::with_capacity(graph.nodes.len()),
        demands: Vec::new(),
        known: HashMap::new(),
        wanted: vec![Vec::new(); graph.values.len()],
    };
    let outputs: BTreeSet<usize> =
        graph.outputs.iter().filter_map(|&output| chooser.demand_for(output, None).flatten()).collect();
    for index in 0..graph.nodes.len() {
        let modes = if views.absorbs(index) { Vec::new() } else { vec![chooser.as_it_stands(&graph.nodes[index])] };
        chooser.modes.push(modes);
    }
    for index in 0..graph.nodes.len() {
        chooser.follow_operands(index);
    }
    for index in (0..graph.nodes.len()).rev() {
        chooser.follow_users(index);
    }
    let as_it_stands = vec![0; graph.nodes.len()];
    let mut picked = chooser.solve(&outputs);
    if chooser.total(&outputs, &as_it_stands) <= chooser.total(&outputs, &picked) {
        picked = as_it_stands;
    }
    let modes = chooser.modes.into_iter().zip(picked);
    modes.map(|(modes, pick)| modes.into_iter().nth(pick).and_then(|mode| mode.arrangement)).collect()
}

impl Chooser<'_> {
    fn demand(&mut self, root: ValueId, layout: Layout) -> usize {
        let next = self.demands.len();
        let index = *self.known.entry((root, layout.canonical())).or_insert(next);
        if index == next {
            self.wanted[root.0 as usize].push(index);
            self.demands.push(Demand { root, layout });
        }
        index
    }

    /// What it takes to have `value` lie as `layout` (`None`: in row-major order). Constants lie as one likes.
    fn demand_for(&mut self, value: ValueId, layout: Option<&Layout>) -> Option<Option<usize>> {
        let root = self.views.root(value);
        if self.graph.constant(root).is_some() {
            return Some(None);
        }
        let needed = match layout {
            Some(layout) => self.views.needed(value, layout)?,
            None => self.views.needed_for_rows(self.graph, value),
        };
        Some(Some(self.demand(root, needed)))
    }

    fn as_it_stands(&mut self, node: &Node) -> Mode {
        let operands = node.inputs.iter().flatten();
        let demands = operands.filter_map(|&x| self.demand_for(x, None).flatten()).collect();
        let rows = |&y: &ValueId| Layout::rows(self.graph.shape(y).dims()).canonical();
        Mode { order: None, arrangement: None, demands, results: node.outputs.iter().map(rows).collect() }
    }

    fn mode(&mut self, index: usize, order: &Layout) -> Option<Mode> {
        let node = &self.graph.nodes[index];
        let arrangement = Arrangement::new(self.graph, node, &self.nests[index], order)?;
        let mut demands = BTreeSet::new();
        for (x, placed) in node.inputs.iter().zip(&arrangement.operands) {
            if let Some(x) = *x {
                demands.extend(self.demand_for(x, placed.as_ref().map(|p| &p.layout))?);
            }
        }
        let results = node.outputs.iter().zip(&arrangement.results).map(|(&y, placed)| match placed {
            Some(placed) => placed.layout.canonical(),
            None => Layout::rows(self.graph.shape(y).dims()).canonical(),
        });
        let results = results.collect();
        Some(Mode { order: Some(order.clone()), arrangement: Some(arrangement), demands, results })
    }

    /// Tries the orders in which the values given are already, or are wanted.
    fn add_modes(&mut self, index: usize, orders: impl Iterator<Item = Layout>) {
        let mut tried = HashSet::new();
        for order in orders {
            if self.modes[index].len() >= MODES {
                return;
            }
            if !tried.insert(order.canonical()) {
                continue;
            }
            if let Some(mode) = self.mode(index, &order) {
                let news = |old: &Mode| old.demands != mode.demands || old.results != mode.results;
                if self.modes[index].iter().all(news) {
                    self.modes[index].push(mode);
                }
            }
        }
    }

    fn follow_operands(&mut self, index: usize) {
        if self.modes[index].is_empty() {
            return;
        }
        let (node, nest) = (&self.graph.nodes[index], &self.nests[index]);
        let mut orders = Vec::new();
        for (role, x) in nest.operands.iter().zip(&node.inputs) {
            let (Role::Follows(axes), Some(x)) = (role, *x) else { continue };
            let root = self.views.root(x);
            let dims = self.graph.shape(x).dims();
            for layout in self.given(root) {
                let seen = self.views.seen(x, &layout);
                orders.extend(seen.and_then(|seen| nest.order_from(axes, dims, &seen, None)));
            }
        }
        self.add_modes(index, orders.into_iter());
    }

    /// The layouts that `root` may come in.
    fn given(&self, root: ValueId) -> Vec<Layout> {
        let rows = Layout::rows(self.graph.shape(root).dims());
        let Some(producer) = self.producers[root.0 as usize] else { return vec![rows] };
        let at = self.graph.nodes[producer].outputs.iter().position(|&y| y == root);
        let placed = |mode: &Mode| Some(mode.arrangement.as_ref()?.results[at?].as_ref()?.layout.clone());
        self.modes[producer].iter().map(|mode| placed(mode).unwrap_or_else(|| rows.clone())).collect()
    }

    fn follow_users(&mut self, index: usize) {
        if self.modes[index].is_empty() {
            return;
        }
        let (node, nest) = (&self.graph.nodes[index], &self.nests[index]);
        let mut orders = Vec::new();
        // What the operands bring may be kept in loops that the results lack, or not.
        let bases =
            std::iter::once(None).chain(self.modes[index].iter().filter_map(|mode| mode.order.as_ref()).map(Some));
        for base in bases {
            for (axes, &y) in nest.results.iter().zip(&node.outputs) {
                let Some(axes) = axes else { continue };
                let dims = self.graph.shape(y).dims();
                for &demand in self.wanted[y.0 as usize].iter().take(2 * MODES) {
                    orders.extend(nest.order_from(axes, dims, &self.demands[demand].layout, base));
                }
            }
        }
        self.add_modes(index, orders.into_iter());
    }

    /// What it costs to get from one layout of a root to another: bytes above all, then the number of operators.
    fn cost(&self, root: ValueId, from: &Layout, to: &Layout) -> u64 {
        let moves = match from.moves(to) {
            Some(moves) if moves.none() => return 0,
            Some(moves) => moves.sizes.len(),
            None => usize::MAX,
        };
        // Only the newest kernels transpose these types, and the same numbers are float32 on the other side of a CAST.
        let is_rare = matches!(self.graph.dtype(root), DType::F16 | DType::BF16 | DType::F64);
        let times = match moves {
            0..=6 if !is_rare => 1,
            0..=8 => 4, // not taken by XNNPACK
            9.. => 16,  // no kernel, or two steps
        };
        ((bytes(self.graph, root).min(1 << 32) << 20) + 1) * times
    }

    fn solve(&self, outputs: &BTreeSet<usize>) -> Vec<usize> {
        let mut problem = Problem::default();
        let nodes: Vec<usize> = self.modes.iter().map(|modes| problem.variable(vec![0; modes.len().max(1)])).collect();
        // Whether a demanded layout is to be had: state 0 no, 1 yes. Those that cost nothing always are.
        let mut available = Vec::with_capacity(self.demands.len());
        for (index, Demand { root, layout }) in self.demands.iter().enumerate() {
            let costs: Vec<u64> = self.given(*root).iter().map(|from| self.cost(*root, from, layout)).collect();
            if costs.iter().all(|&cost| cost == 0) {
                available.push(None);
                continue;
            }
            let missing = if outputs.contains(&index) { NEVER } else { 0 };
            let producer = self.producers[root.0 as usize];
            let there = problem.variable(vec![missing, if producer.is_none() { costs[0] } else { 0 }]);
            if let Some(producer) = producer {
                problem.pair(nodes[producer], there, |mode, there| if there == 1 { costs[mode] } else { 0 });
            }
            available.push(Some(there));
        }
        for (&node, modes) in nodes.iter().zip(&self.modes) {
            let demands: BTreeSet<usize> = modes.iter().flat_map(|mode| &mode.demands).copied().collect();
            for demand in demands {
                let needs = |mode: usize| modes.get(mode).is_some_and(|mode| mode.demands.contains(&demand));
                let Some(there) = available[demand] else { continue };
                problem.pair(node, there, |mode, there| if there == 0 && needs(mode) { NEVER } else { 0 });
            }
        }
        problem.solve().into_iter().take(self.modes.len()).collect()
    }

    /// What a choice of modes costs.
    fn total(&self, outputs: &BTreeSet<usize>, picked: &[usize]) -> u64 {
        let modes = self.modes.iter().zip(picked).filter_map(|(modes, &pick)| modes.get(pick));
        let demands: BTreeSet<usize> = modes.flat_map(|mode| &mode.demands).chain(outputs).copied().collect();
        let cost = |&index: &usize| {
            let Demand { root, layout } = &self.demands[index];
            let mode = self.producers[root.0 as usize].map_or(0, |producer| picked[producer]);
            self.given(*root).get(mode).map_or(0, |from| self.cost(*root, from, layout))
        };
        demands.iter().map(cost).fold(0, u64::saturating_add)
    }
}

/// Size of a value. Extents that are not known count as 16.
pub(super) fn bytes(graph: &Graph, value: ValueId) -> u64 {
    let ty = &graph.value(value).ty;
    let elements = ty.shape.dims().iter().fold(1u64, |n, d| n.saturating_mul(d.map_or(16, |d| d as u64)));
    elements.saturating_mul(ty.dtype.bits() as u64) / 8
}

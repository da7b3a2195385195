//! Both graphs as one, node beside node, and every node that rounds a third time, alone on operands of the float graph.

use std::collections::BTreeMap;

use super::Detail;
use crate::graph::{Graph, Node, Op, Precision, Quant, Value, ValueId};
use crate::quant::form::Form;
use crate::quant::observe::Statistics;
use crate::quant::range::Range;
use crate::quant::relevant::Relevant;
use crate::tensor::DType;

/// A float graph beside a quantized one. Inputs are the float graph's; values keep the ids that they have in the quantized graph, and
/// those of the float graph come after them.
pub(super) struct Beside {
    pub(super) graph: Graph,
    pub(super) places: Vec<Place>,
    /// What each value of the graph is, if any place asks for it.
    pub(super) parts: BTreeMap<ValueId, Vec<(usize, Part)>>,
}

/// Where the two graphs are compared.
pub(super) struct Place {
    /// The value in the float graph.
    pub(super) float: ValueId,
    /// The value in the quantized graph that stands for it.
    pub(super) stored: ValueId,
    /// The node of the quantized graph that computes it; `None` for an output of the graph.
    pub(super) node: Option<usize>,
    /// What the integers can hold that it is stored as.
    pub(super) range: Option<Range>,
    /// Distance of its integers.
    pub(super) step: f32,
    /// What the users of the value can tell apart of it.
    pub(super) matters: Range,
    /// Values hold numbers to be told apart, and no measures.
    pub(super) exact: bool,
}

/// What a value is to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Float,
    Quantized,
    /// Computed alone, from what the float graph has.
    Own,
}

impl Beside {
    pub(super) fn new(float: &Graph, quantized: &Graph, detail: Detail) -> Beside {
        let stands_for = stands_for(float, quantized);
        let mut graph = Graph::new("beside");
        graph.values.clone_from(&quantized.values);
        let first = graph.values.len() as u32;
        graph.values.extend(float.values.iter().map(|value| moved_value(value, first)));
        let mut places = outputs(float, quantized);
        if detail == Detail::Operators {
            places.extend(results(float, quantized));
        }
        let mut parts: BTreeMap<ValueId, Vec<(usize, Part)>> = BTreeMap::new();
        for (i, place) in places.iter().enumerate() {
            parts.entry(moved(place.float, first)).or_default().push((i, Part::Float));
            parts.entry(place.stored).or_default().push((i, Part::Quantized));
        }
        let of_nodes = places.iter().enumerate().filter(|(_, place)| place.node.is_some());
        let place_of = of_nodes.map(|(i, place)| (place.stored, i)).collect();
        let mut writer = Writer {
            float,
            quantized,
            first,
            stands_for,
            graph,
            written: 0,
            float_producers: float.producers(),
            producers: quantized.producers(),
            alone: BTreeMap::new(),
            inputs: BTreeMap::new(),
            forced: BTreeMap::new(),
            place_of,
            parts,
        };
        writer.write_inputs();
        for node in &quantized.nodes {
            writer.write(node);
        }
        writer.write_float_nodes(float.nodes.len());
        Beside { graph: writer.graph, places, parts: writer.parts }
    }
}

fn moved(id: ValueId, by: u32) -> ValueId {
    ValueId(id.0 + by)
}

fn moved_value(value: &Value, by: u32) -> Value {
    let mut value = value.clone();
    if let Some(Quant::Blockwise { scales, zero_points, .. }) = &mut value.quant {
        *scales = moved(*scales, by);
        *zero_points = zero_points.map(|id| moved(id, by));
    }
    value
}

fn outputs(float: &Graph, quantized: &Graph) -> Vec<Place> {
    let pairs = float.outputs.iter().zip(&quantized.outputs);
    let place = |(&float_id, &stored): (&ValueId, &ValueId)| Place {
        float: float_id,
        stored,
        node: None,
        range: None,
        step: 0.0,
        matters: Range::EVERYTHING,
        exact: !float.dtype(float_id).is_float(),
    };
    pairs.map(place).collect()
}

/// One place for each float result of a node of the float graph that has a counterpart.
fn results(float: &Graph, quantized: &Graph) -> Vec<Place> {
    let producers = quantized.producers();
    let nothing_seen = Statistics::default();
    let relevant = Relevant::new(float, &nothing_seen);
    let ids = float.nodes.iter().flat_map(|node| &node.outputs).copied();
    let place = |id: ValueId| {
        if float.dtype(id) != DType::F32 || !is_same(float, quantized, id) {
            return None;
        }
        let node = producers[id.0 as usize]?;
        // An output of the graph is converted from what its operator computes.
        let converted = matches!(quantized.nodes[node].op, Op::Dequantize);
        let source = quantized.nodes[node].input(0).filter(|&from| converted && !is_same(float, quantized, from));
        let computed = source.and_then(|from| Some((from, producers[from.0 as usize]?)));
        let (stored, node) = computed.unwrap_or((id, node));
        let form = Form::stored(quantized.value(stored));
        let (range, step) = (form.map(Form::range), form.map_or(0.0, |form| form.params.scale));
        let matters = relevant.always(id);
        Some(Place { float: id, stored, node: Some(node), range, step, matters, exact: false })
    };
    ids.filter_map(place).collect()
}

/// True where a value that is computed has the same id and name in both graphs.
fn is_same(float: &Graph, quantized: &Graph, id: ValueId) -> bool {
    computed(float, id).is_some_and(|name| computed(quantized, id) == Some(name))
}

/// The name of a value, if it is no constant.
fn computed(graph: &Graph, id: ValueId) -> Option<&str> {
    graph.values.get(id.0 as usize).filter(|value| value.data.is_none()).map(|value| value.name.as_str())
}

/// For each value of the quantized graph, the computed value of the float graph whose numbers it has.
fn stands_for(float: &Graph, quantized: &Graph) -> Vec<Option<ValueId>> {
    let ids = (0..quantized.values.len()).map(|i| ValueId(i as u32));
    let mut stands: Vec<Option<ValueId>> = ids.map(|id| is_same(float, quantized, id).then_some(id)).collect();
    let conversions = |node: &&Node| matches!(node.op, Op::Quantize { .. } | Op::Dequantize);
    for node in quantized.nodes.iter().filter(conversions) {
        if let (Op::Dequantize, Some(from), &[to]) = (&node.op, node.input(0), node.outputs.as_slice())
            && quantized.constant(from).is_none()
        {
            stands[from.0 as usize] = stands[from.0 as usize].or(stands[to.0 as usize]);
        }
    }
    for node in quantized.nodes.iter().filter(conversions) {
        if let (Some(from), &[to]) = (node.input(0), node.outputs.as_slice()) {
            stands[to.0 as usize] = stands[to.0 as usize].or(stands[from.0 as usize]);
        }
    }
    stands
}

struct Writer<'a> {
    float: &'a Graph,
    quantized: &'a Graph,
    /// What ids of the float graph are moved by.
    first: u32,
    stands_for: Vec<Option<ValueId>>,
    graph: Graph,
    /// Nodes of the float graph that stand in the graph.
    written: usize,
    float_producers: Vec<Option<usize>>,
    producers: Vec<Option<usize>>,
    /// Results of nodes that were computed alone, by what they are in the quantized graph.
    alone: BTreeMap<ValueId, ValueId>,
    /// Inputs of the quantized graph, by the values that stand for them.
    inputs: BTreeMap<ValueId, ValueId>,
    /// Values of the float graph, stored as values of the quantized graph are.
    forced: BTreeMap<ValueId, ValueId>,
    place_of: BTreeMap<ValueId, usize>,
    parts: BTreeMap<ValueId, Vec<(usize, Part)>>,
}

impl Writer<'_> {
    /// The float graph's inputs stand for those of the quantized graph, which may want them as integers.
    fn write_inputs(&mut self) {
        self.graph.inputs = self.float.inputs.iter().map(|&id| moved(id, self.first)).collect();
        for (&from, &to) in self.float.inputs.iter().zip(&self.quantized.inputs) {
            let dtype = self.quantized.dtype(to);
            if dtype == self.float.dtype(from) {
                self.inputs.insert(to, moved(from, self.first));
            } else {
                self.push(Op::Quantize { to: dtype }, vec![Some(moved(from, self.first))], vec![to]);
            }
        }
    }

    /// A node of the quantized graph, after the nodes of the float graph that it is compared with.
    fn write(&mut self, node: &Node) {
        let ids = node.inputs.iter().flatten().chain(&node.outputs);
        let counterparts = ids.filter_map(|id| self.stands_for[id.0 as usize]);
        let last = counterparts.filter_map(|id| self.float_producers[id.0 as usize]).max();
        self.write_float_nodes(last.map_or(0, |index| index + 1));
        let inputs = node.inputs.iter().map(|id| id.map(|id| self.inputs.get(&id).copied().unwrap_or(id)));
        self.push(node.op.clone(), inputs.collect(), node.outputs.clone());
        let has_place = node.outputs.iter().any(|id| self.place_of.contains_key(id));
        let stands_for_nothing = node.outputs.iter().any(|id| self.stands_for[id.0 as usize].is_none());
        if !self.place_of.is_empty() && ((has_place && self.rounds(node)) || stands_for_nothing) {
            self.write_alone(node);
        }
    }

    fn write_float_nodes(&mut self, until: usize) {
        while self.written < until {
            let node = &self.float.nodes[self.written];
            let inputs = node.inputs.iter().map(|id| id.map(|id| moved(id, self.first))).collect();
            let outputs = node.outputs.iter().map(|&id| moved(id, self.first)).collect();
            self.push(node.op.clone(), inputs, outputs);
            self.written += 1;
        }
    }

    /// True where the node's result is not what the float graph's node would make of the same operands.
    fn rounds(&self, node: &Node) -> bool {
        let integers = |id: &ValueId| self.quantized.value(*id).is_stored_as_integers();
        let dequantized = |id: &ValueId| {
            let maker = self.producers[id.0 as usize].map(|index| &self.quantized.nodes[index]);
            let from = maker.filter(|maker| maker.op == Op::Dequantize).and_then(|maker| maker.input(0));
            from.is_some_and(|from| self.quantized.constant(from).is_some())
        };
        node.outputs.iter().chain(node.inputs.iter().flatten()).any(integers)
            || node.inputs.iter().flatten().any(dequantized)
    }

    /// The same node on operands of the float graph.
    fn write_alone(&mut self, node: &Node) {
        let inputs = node.inputs.iter().map(|id| id.map(|id| self.forced(id))).collect();
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for &id in &node.outputs {
            let own = self.graph.add_value(self.quantized.value(id).clone());
            self.alone.insert(id, own);
            if let Some(&place) = self.place_of.get(&id) {
                self.parts.entry(own).or_default().push((place, Part::Own));
            }
            outputs.push(own);
        }
        self.push(node.op.clone(), inputs, outputs);
    }

    /// What the float graph has for a value of the quantized graph, stored as that is.
    fn forced(&mut self, id: ValueId) -> ValueId {
        if let Some(&known) = self.forced.get(&id) {
            return known;
        }
        let value = self.quantized.value(id);
        let forced = match self.stands_for[id.0 as usize] {
            Some(float) if value.is_stored_as_integers() && self.float.dtype(float) == DType::F32 => {
                let stored = self.graph.add_value(value.clone());
                self.push(Op::Quantize { to: value.ty.dtype }, vec![Some(moved(float, self.first))], vec![stored]);
                stored
            }
            Some(float) => moved(float, self.first),
            None => self.alone.get(&id).or(self.inputs.get(&id)).copied().unwrap_or(id),
        };
        self.forced.insert(id, forced);
        forced
    }

    fn push(&mut self, op: Op, inputs: Vec<Option<ValueId>>, outputs: Vec<ValueId>) {
        self.graph.nodes.push(Node { op, inputs, outputs, origin: None, precision: Precision::Any });
    }
}

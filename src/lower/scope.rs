//! What names stand for while a graph is lowered, through all graphs around the place; and what is collected on the way.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::{Note, Options, Problem};
use crate::graph::ValueId;
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// What a value is that is no tensor. It has an id like any other, but no node makes it and none takes it: such values are gone
/// when the graph is complete.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum List {
    Sequence(Vec<ValueId>),
    /// An optional value that is not there.
    Absent,
}

/// One ONNX graph whose nodes are being lowered.
pub(super) struct Frame {
    pub graph: Arc<onnx::Graph>,
    /// Those that were taken out of `graph`, so that their data go when nothing has a use for them.
    pub initializers: IndexMap<String, Tensor>,
    /// What each ONNX value became; `None` where its node was refused.
    pub values: HashMap<String, Option<ValueId>>,
    /// Goes before the names of values, where nodes are lowered more than once.
    pub prefix: String,
    /// Values that go straight into a `Cast`.
    pub converted: HashSet<String>,
}

impl Frame {
    pub fn new(graph: &Arc<onnx::Graph>, prefix: &str) -> Frame {
        let casts = graph.nodes.iter().filter(|n| n.op == "Cast" || n.op == "CastLike");
        let converted = casts.filter_map(|n| n.inputs.first()).cloned().collect();
        let initializers = IndexMap::new();
        Frame { graph: graph.clone(), initializers, values: HashMap::new(), prefix: prefix.to_string(), converted }
    }
}

/// What is collected for the model as a whole.
#[derive(Default)]
pub(super) struct Log {
    pub options: Options,
    pub problems: Vec<Problem>,
    pub notes: Vec<Note>,
    /// Types of the model that are computed in another.
    pub carried: BTreeSet<DType>,
    /// Nodes of graphs inside nodes that were lowered; those of a loop's body more than once.
    pub nodes: usize,
}

/// Of one TFLite graph that is being written.
#[derive(Default)]
pub(super) struct Scope {
    /// The ONNX graphs around the place, the innermost last. Those inside a loop or branch that is written out are in one TFLite
    /// graph with what is around them.
    pub frames: Vec<Frame>,
    pub lists: HashMap<ValueId, List>,
    pub log: Log,
}

impl Scope {
    /// What `name` became, where that is known.
    pub fn found(&self, name: &str) -> Option<ValueId> {
        self.frames.iter().rev().find_map(|frame| frame.values.get(name).copied().flatten())
    }

    /// The tensors that lists hold.
    pub fn elements(&self) -> impl Iterator<Item = ValueId> {
        let elements = self.lists.values().map(|list| match list {
            List::Sequence(elements) => elements.as_slice(),
            List::Absent => &[],
        });
        elements.flatten().copied()
    }

    /// The data of an initializer that has not been used yet.
    pub fn initializer(&mut self, depth: usize, name: &str) -> Option<Tensor> {
        let frame = self.frames.get_mut(depth)?;
        frame.initializers.swap_remove(name).or_else(|| frame.graph.initializers.get(name).cloned())
    }
}

/// Names that `graph` and the graphs inside it use, but that stand for values outside of it; in the order of use.
pub(super) fn free_names(graph: &onnx::Graph) -> IndexSet<String> {
    let mut free = IndexSet::new();
    find_free(graph, &mut Vec::new(), &mut free);
    free
}

fn find_free<'a>(graph: &'a onnx::Graph, around: &mut Vec<HashSet<&'a str>>, free: &mut IndexSet<String>) {
    let own = graph.inputs.iter().map(|input| &input.name).chain(graph.initializers.keys());
    around.push(own.chain(graph.unreadable.keys()).map(String::as_str).collect());
    for node in &graph.nodes {
        node.inputs.iter().for_each(|name| add_free(name, around, free));
        node.graphs().for_each(|inner| find_free(inner, around, free));
        if let Some(own) = around.last_mut() {
            own.extend(node.outputs.iter().map(String::as_str));
        }
    }
    graph.outputs.iter().for_each(|output| add_free(&output.name, around, free));
    around.pop();
}

fn add_free(name: &str, around: &[HashSet<&str>], free: &mut IndexSet<String>) {
    if !name.is_empty() && !around.iter().any(|names| names.contains(name)) {
        free.insert(name.to_string());
    }
}

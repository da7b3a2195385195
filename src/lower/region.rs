//! Graphs that an operator runs: how one is written, and what of the graph around it goes in.
//!
//! A region sees nothing but its inputs. What a body uses of the graph around it is *captured*: constants are copied into the region,
//! with their bytes shared, all else is handed in as further operands. [`Known`] goes along.

use std::collections::HashSet;
use std::sync::Arc;

use super::driver::Driver;
use super::known::{Known, Number};
use super::scope::{Frame, List, Scope, free_names};
use super::{Refusal, Results};
use crate::graph::{Builder, Graph, Shape, Type, Value, ValueId, remove_dead};
use crate::onnx;
use crate::tensor::DType;

/// A value that goes into a region; inside, it may be another at each step.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub name: String,
    pub dtype: DType,
    pub extents: Vec<Number>,
}

impl Entry {
    pub fn ty(&self) -> Type {
        let extent = |n: &Number| n.known().and_then(|n| usize::try_from(n).ok());
        Type::new(self.dtype, Shape(self.extents.iter().map(extent).collect()))
    }
}

/// Emits what a region does with its entries and with what is captured, and gives its outputs.
pub(super) type Write<'a> = &'a mut dyn FnMut(&mut Driver<'_>, &[ValueId], &[ValueId]) -> Results;

pub(super) struct Region {
    pub graph: Graph,
    pub known: Known,
    /// As they were written; see [`Region::finish`].
    pub outputs: Vec<ValueId>,
}

impl Region {
    /// Makes every output a value of its own, which no input, constant or other output is: interpreters copy outputs one after the
    /// other, some of them over inputs that are still needed. An input that stays in its place may go out as it is.
    pub fn finish(mut self, driver: &Driver<'_>) -> Result<Graph, Refusal> {
        let mut seen: HashSet<ValueId> = self.graph.inputs.iter().copied().collect();
        for (i, output) in self.outputs.into_iter().enumerate() {
            let stays = self.graph.inputs.get(i) == Some(&output);
            let own = stays || (seen.insert(output) && self.graph.constant(output).is_none());
            let own = match own {
                true => output,
                false => Builder::new(&mut self.graph, driver.evaluate).identity(output)?,
            };
            self.graph.outputs.push(own);
        }
        remove_dead(&mut self.graph);
        Ok(self.graph)
    }
}

/// The operands that stand for what is captured: all but constants.
pub(super) fn handed_in(graph: &Graph, captured: &[ValueId]) -> Vec<ValueId> {
    captured.iter().copied().filter(|&id| graph.constant(id).is_none()).collect()
}

/// Writes a region over `entries` and, after them, what is captured.
pub(super) fn region(
    around: &mut Driver<'_>,
    name: &str,
    entries: &[Entry],
    captured: &[ValueId],
    write: Write<'_>,
) -> Result<Region, Refusal> {
    let mut graph = Graph::new(name);
    let mut known = around.known.inside();
    let mut ids = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = graph.add_input(&entry.name, entry.ty());
        known.set_extents(&graph, id, entry.extents.clone());
        ids.push(id);
    }
    let mut inside = Vec::with_capacity(captured.len());
    for &outer in captured {
        let value: Value = around.graph.value(outer).clone();
        let is_constant = value.data.is_some();
        let id = graph.add_value(value);
        if !is_constant {
            graph.inputs.push(id);
            known.hand_in(id, outer, around.known, around.graph);
        }
        inside.push(id);
    }
    let mut scope = Scope { log: std::mem::take(&mut around.scope.log), ..Scope::default() };
    let (evaluate, origin) = (around.evaluate, around.origin);
    let mut driver = Driver { graph: &mut graph, evaluate, known: &mut known, scope: &mut scope, origin };
    let outputs = write(&mut driver, &ids, &inside);
    around.scope.log = scope.log;
    around.known.leave(&known);
    Ok(Region { outputs: outputs?, graph, known })
}

/// Values of the graph around that ONNX graphs in a node use by their names.
pub(super) struct Captures {
    names: Vec<(String, Captured)>,
    /// All tensors among them.
    pub ids: Vec<ValueId>,
}

enum Captured {
    /// Position among the tensors.
    Tensor(usize),
    /// Positions of the elements.
    Sequence(std::ops::Range<usize>),
    Absent,
}

impl Captures {
    /// # Errors
    /// Where the node that makes one of the values was refused, or one does not exist.
    pub fn of(driver: &mut Driver<'_>, graphs: &[&Arc<onnx::Graph>]) -> Result<Captures, Refusal> {
        let mut captures = Captures { names: Vec::new(), ids: Vec::new() };
        let names: indexmap::IndexSet<String> = graphs.iter().flat_map(|graph| free_names(graph)).collect();
        for name in names {
            let id = driver.value(&name)?.ok_or_else(Refusal::told)?;
            let first = captures.ids.len();
            let captured = match driver.scope.lists.get(&id) {
                Some(List::Sequence(elements)) => {
                    captures.ids.extend(elements);
                    Captured::Sequence(first..captures.ids.len())
                }
                Some(List::Absent) => Captured::Absent,
                None => {
                    captures.ids.push(id);
                    Captured::Tensor(first)
                }
            };
            captures.names.push((name, captured));
        }
        Ok(captures)
    }

    /// Gives the values their names again, in a region where they are `ids`.
    pub fn bind(&self, driver: &mut Driver<'_>, ids: &[ValueId]) {
        let mut frame = Frame::new(&Arc::default(), "");
        for (name, captured) in &self.names {
            let id = match captured {
                Captured::Tensor(at) => ids.get(*at).copied(),
                Captured::Sequence(range) => {
                    let elements = ids.get(range.clone()).map(<[_]>::to_vec);
                    elements.map(|elements| driver.list(List::Sequence(elements)))
                }
                Captured::Absent => Some(driver.list(List::Absent)),
            };
            frame.values.insert(name.clone(), id);
        }
        driver.scope.frames.push(frame);
    }
}

impl Driver<'_> {
    /// A value that stands for a list.
    pub fn list(&mut self, list: List) -> ValueId {
        let ty = Type::new(DType::Bool, Shape::scalar());
        let name = "list".to_string();
        let id = self.graph.add_value(Value { name, ty, data: None, quant: None, variable: false });
        self.scope.lists.insert(id, list);
        id
    }

    /// What an entry for `id` looks like that does not change from step to step.
    pub fn entry(&mut self, id: ValueId, name: &str) -> Entry {
        let extents = self.known.extents_of(self.graph, id);
        Entry { name: name.to_string(), dtype: self.graph.dtype(id), extents }
    }
}

//! Channels-last inputs and outputs for those who want them.

use std::collections::BTreeSet;

use crate::graph::{Graph, Node, Op, Precision, Quant, Shape, Value, ValueId};
use crate::tensor::{Perm, Tensor};

/// Which inputs and outputs are to be channels-last: `[N, spatial.., C]` instead of `[N, C, spatial..]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelsLast {
    /// Every input and output of rank 3 or more.
    All,
    /// These.
    Names(BTreeSet<String>),
}

/// Why an input or output can't be channels-last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundaryError {
    #[error("no input or output is called {names:?}; there are {known:?}")]
    Unknown { names: Vec<String>, known: Vec<String> },
    #[error("{names:?} have fewer than three axes, so there are no channels to move last")]
    LowRank { names: Vec<String> },
}

/// Changes the order of axes of the chosen inputs and outputs, which keep their names. A `TRANSPOSE` to or from the old order is
/// written at each; [`super::optimize`] then cancels what can be cancelled.
///
/// # Errors
/// Names that no input or output has, or one of lower rank. The graph is then as it was.
pub fn channels_last(graph: &mut Graph, which: &ChannelsLast) -> Result<(), BoundaryError> {
    let ports = || graph.inputs.iter().chain(&graph.outputs).map(|&id| graph.value(id));
    if let ChannelsLast::Names(names) = which {
        let known: BTreeSet<&String> = ports().map(|value| &value.name).collect();
        let unknown: Vec<String> = names.iter().filter(|name| !known.contains(name)).cloned().collect();
        if !unknown.is_empty() {
            return Err(BoundaryError::Unknown { names: unknown, known: known.into_iter().cloned().collect() });
        }
        let low: BTreeSet<&String> = ports().filter(|v| v.ty.shape.rank() < 3).map(|v| &v.name).collect();
        let low: Vec<String> = names.iter().filter(|name| low.contains(name)).cloned().collect();
        if !low.is_empty() {
            return Err(BoundaryError::LowRank { names: low });
        }
    }
    let chosen = |graph: &Graph, id: ValueId| {
        let value = graph.value(id);
        let named = match which {
            ChannelsLast::All => true,
            ChannelsLast::Names(names) => names.contains(&value.name),
        };
        named && value.ty.shape.rank() >= 3
    };
    let inputs: BTreeSet<ValueId> = graph.inputs.iter().copied().filter(|&id| chosen(graph, id)).collect();
    // An output that is an input as well is changed as an input.
    let outputs: BTreeSet<ValueId> =
        graph.outputs.iter().copied().filter(|&id| chosen(graph, id) && !graph.inputs.contains(&id)).collect();

    // The old value of each, for the nodes inside.
    let mut inner = vec![None; graph.values.len()];
    for &id in inputs.iter().chain(&outputs) {
        inner[id.0 as usize] = Some(turn(graph, id));
    }
    let replaced = |id: &mut ValueId| {
        if let Some(to) = inner[id.0 as usize] {
            *id = to;
        }
    };
    let mut nodes = std::mem::take(&mut graph.nodes);
    for node in &mut nodes {
        node.inputs.iter_mut().flatten().for_each(replaced);
        node.outputs.iter_mut().for_each(replaced);
    }
    for &id in &inputs {
        if let Some(inside) = inner[id.0 as usize] {
            transpose(graph, id, inside, Perm::to_channels_first);
        }
    }
    graph.nodes.extend(nodes);
    for &id in &outputs {
        if let Some(inside) = inner[id.0 as usize] {
            transpose(graph, inside, id, Perm::to_channels_last);
        }
    }
    Ok(())
}

/// Makes `id` channels-last, and returns a new value that is what it was.
fn turn(graph: &mut Graph, id: ValueId) -> ValueId {
    let old = graph.value(id).clone();
    let perm = Perm::to_channels_last(old.ty.shape.rank());
    let value = graph.value_mut(id);
    value.ty.shape = Shape(perm.apply(old.ty.shape.dims()));
    value.data = None;
    value.variable = false;
    if let Some(Quant::Affine { axis, .. }) = &mut value.quant {
        *axis = perm.inverse().axes().get(*axis).copied().unwrap_or(*axis);
    }
    graph.add_value(Value { name: format!("{}/channels_first", old.name), ..old })
}

fn transpose(graph: &mut Graph, from: ValueId, to: ValueId, perm: impl Fn(usize) -> Perm) {
    let axes = perm(graph.shape(from).rank()).axes().iter().map(|&axis| axis as i32).collect();
    let perm = graph.add_constant(format!("{}/perm", graph.value(to).name), Tensor::vector(axes));
    let inputs = vec![Some(from), Some(perm)];
    graph.nodes.push(Node { op: Op::Transpose, inputs, outputs: vec![to], origin: None, precision: Precision::Any });
}

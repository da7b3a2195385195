//! A model as a file can hold it: what reading a written file gives back.

use std::collections::HashSet;

use indexmap::IndexSet;

use super::WriteError;
use super::{metadata, regions};
use crate::graph::{Graph, Model, Node, Op, Port, Precision, Quant, Signature, Value, ValueId};

/// The model without what a file can't hold: values that nothing uses (the rest move up), origins and precisions, names that are
/// taken already (all but the first get a number), metadata that [`write`](super::write) computes. Graphs that one `IF` or `WHILE`
/// alone runs lie inside it.
///
/// # Errors
/// Where an id leads nowhere, or nodes are not in the order of execution: interpreters take both on trust.
pub fn normalized(model: &Model) -> Result<Model, WriteError> {
    if model.graphs.is_empty() {
        return Err(WriteError::NoGraph);
    }
    let mut graphs = Vec::with_capacity(model.graphs.len());
    let mut places = Vec::with_capacity(model.graphs.len());
    for (index, graph) in model.graphs.iter().enumerate() {
        let of_graph = model.signatures.iter().filter(|s| s.graph == index);
        let ports: Vec<ValueId> = of_graph.flat_map(|s| s.inputs.iter().chain(&s.outputs)).map(|p| p.value).collect();
        let (graph, place) = normalized_graph(graph, &format!("graph {index}"), &ports)?;
        graphs.push(graph);
        places.push(place);
    }
    let signatures = model.signatures.iter().map(|signature| {
        let place = places.get(signature.graph).ok_or_else(|| WriteError::Invalid {
            place: format!("signature {:?}", signature.key),
            what: format!("is of graph {}, which does not exist", signature.graph),
        })?;
        let moved = |ports: &[Port]| {
            let port = |port: &Port| Port { name: port.name.clone(), value: place.of(port.value) };
            ports.iter().map(port).collect()
        };
        Ok(Signature {
            key: signature.key.clone(),
            graph: signature.graph,
            inputs: moved(&signature.inputs),
            outputs: moved(&signature.outputs),
        })
    });
    let mut model = Model {
        signatures: signatures.collect::<Result<_, WriteError>>()?,
        graphs,
        description: model.description.clone(),
        attachments: model.attachments.clone(),
        metadata: model.metadata.iter().filter(|(name, _)| !metadata::is_computed(name)).cloned().collect(),
    };
    regions::nest(&mut model);
    Ok(model)
}

/// Where the used values of a graph move to.
struct Places(Vec<Option<ValueId>>);

impl Places {
    /// Of a value that is used.
    fn of(&self, id: ValueId) -> ValueId {
        self.0[id.0 as usize].unwrap_or(id)
    }

    fn of_all(&self, ids: &[ValueId]) -> Vec<ValueId> {
        ids.iter().map(|&id| self.of(id)).collect()
    }
}

fn intermediates(node: &Node) -> &[ValueId] {
    match &node.op {
        Op::Opaque(opaque) => opaque.intermediates.as_deref().unwrap_or_default(),
        _ => &[],
    }
}

/// All values that a node mentions.
fn mentioned(node: &Node) -> impl Iterator<Item = ValueId> {
    node.inputs.iter().flatten().chain(&node.outputs).chain(intermediates(node)).copied()
}

/// Values whose data are another value's scales and zero points.
fn parameters(value: &Value) -> impl Iterator<Item = ValueId> {
    let (scales, zero_points) = match &value.quant {
        Some(Quant::Blockwise { scales, zero_points, .. }) => (Some(*scales), *zero_points),
        Some(Quant::Affine { .. }) | None => (None, None),
    };
    scales.into_iter().chain(zero_points)
}

fn places_of(graph: &Graph, ports: &[ValueId]) -> Places {
    let mut used = vec![false; graph.values.len()];
    let mentioned = graph.nodes.iter().flat_map(mentioned).chain(graph.inputs.iter().chain(&graph.outputs).copied());
    mentioned.chain(ports.iter().copied()).for_each(|id| used[id.0 as usize] = true);
    let mut stack: Vec<usize> = (0..used.len()).filter(|&i| used[i]).collect();
    while let Some(i) = stack.pop() {
        for id in parameters(&graph.values[i]) {
            if !std::mem::replace(&mut used[id.0 as usize], true) {
                stack.push(id.0 as usize);
            }
        }
    }
    let mut next = 0;
    let place = |used: bool| {
        let place = ValueId(next);
        next += u32::from(used);
        used.then_some(place)
    };
    Places(used.into_iter().map(place).collect())
}

/// The graph, and where its values went. `ports` are values that signatures name.
fn normalized_graph(graph: &Graph, place: &str, ports: &[ValueId]) -> Result<(Graph, Places), WriteError> {
    let check = Check { graph, place };
    check.ids(ports)?;
    check.order()?;
    let places = places_of(graph, ports);
    let nodes = graph.nodes.iter().map(|node| normalized_node(node, place, &places));
    let nodes = nodes.collect::<Result<_, WriteError>>()?;
    let used = graph.values.iter().zip(&places.0).filter(|(_, place)| place.is_some());
    let mut values: Vec<Value> = used.map(|(value, _)| normalized_value(value, &places)).collect();
    let (inputs, outputs) = (places.of_all(&graph.inputs), places.of_all(&graph.outputs));
    make_names_unique(&mut values, inputs.iter().chain(&outputs));
    let name = graph.name.clone();
    Ok((Graph { name, values, nodes, inputs, outputs, origins: IndexSet::new() }, places))
}

fn normalized_node(node: &Node, place: &str, places: &Places) -> Result<Node, WriteError> {
    let mut op = node.op.clone();
    if let Op::Opaque(opaque) = &mut op {
        opaque.intermediates = opaque.intermediates.as_deref().map(|ids| places.of_all(ids));
    }
    for region in op.regions_mut() {
        (*region, _) = normalized_graph(region, &format!("{place}, graph of {}", node.op.name()), &[])?;
    }
    Ok(Node {
        op,
        inputs: node.inputs.iter().map(|id| id.map(|id| places.of(id))).collect(),
        outputs: places.of_all(&node.outputs),
        origin: None,
        precision: Precision::Any,
    })
}

fn normalized_value(value: &Value, places: &Places) -> Value {
    let quant = match &value.quant {
        Some(Quant::Affine { scale, .. }) if scale.is_empty() => None,
        Some(Quant::Blockwise { scales, zero_points, block_size }) => Some(Quant::Blockwise {
            scales: places.of(*scales),
            zero_points: zero_points.map(|id| places.of(id)),
            block_size: *block_size,
        }),
        quant => quant.clone(),
    };
    Value { quant, ..value.clone() }
}

/// Appends a number to names that are taken. Inputs and outputs choose first, so that they keep their names; values without a
/// name stay so.
fn make_names_unique<'a>(values: &mut [Value], ports: impl Iterator<Item = &'a ValueId>) {
    let mut order: IndexSet<usize> = ports.map(|id| id.0 as usize).collect();
    order.extend(0..values.len());
    let mut taken: HashSet<String> = HashSet::with_capacity(values.len());
    // The next number to try for a name, so that many equal names take no quadratic time.
    let mut numbers = std::collections::HashMap::<String, usize>::new();
    for index in order {
        let name = &mut values[index].name;
        if name.is_empty() || taken.insert(name.clone()) {
            continue;
        }
        let number = numbers.entry(name.clone()).or_insert(1);
        let unique = loop {
            let candidate = format!("{name}_{number}");
            *number += 1;
            if taken.insert(candidate.clone()) {
                break candidate;
            }
        };
        *name = unique;
    }
}

/// What interpreters take on trust, and every file must keep.
struct Check<'a> {
    graph: &'a Graph,
    place: &'a str,
}

impl Check<'_> {
    fn fail<T>(&self, place: &str, what: impl Into<String>) -> Result<T, WriteError> {
        Err(WriteError::Invalid { place: format!("{} {:?}, {place}", self.place, self.graph.name), what: what.into() })
    }

    fn ids(&self, ports: &[ValueId]) -> Result<(), WriteError> {
        let graph = self.graph;
        if i32::try_from(graph.values.len()).is_err() {
            return self.fail("values", "are more than a file can number");
        }
        let nodes = graph.nodes.iter().flat_map(mentioned);
        let listed = graph.inputs.iter().chain(&graph.outputs).copied();
        let mut ids = nodes.chain(graph.values.iter().flat_map(parameters)).chain(listed).chain(ports.iter().copied());
        match ids.find(|id| id.0 as usize >= graph.values.len()) {
            Some(id) => self.fail(&format!("value {}", id.0), "does not exist"),
            None => Ok(()),
        }
    }

    /// No node may use what a later node makes, and no value may be made twice.
    fn order(&self) -> Result<(), WriteError> {
        let graph = self.graph;
        let mut maker: Vec<Option<usize>> = vec![None; graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            for output in &node.outputs {
                if maker[output.0 as usize].replace(index).is_some() {
                    let name = &graph.value(*output).name;
                    return self
                        .fail(&format!("node {index} {}", node.op.name()), format!("makes {name:?} a second time"));
                }
            }
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            let early =
                node.inputs.iter().flatten().find(|id| maker[id.0 as usize].is_some_and(|maker| maker >= index));
            if let Some(id) = early {
                let name = &graph.value(*id).name;
                return self
                    .fail(&format!("node {index} {}", node.op.name()), format!("uses {name:?} before it is made"));
            }
        }
        Ok(())
    }
}

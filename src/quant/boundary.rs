//! Inputs and outputs of a quantized graph as integers: the conversions at its border are dropped, or become ones that change the
//! type alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::form::Form;
use super::range::Params;
use crate::graph::{Graph, Node, Op, Precision, Type, Value, ValueId, remove_dead};
use crate::tensor::DType;

/// What real numbers of an input or output are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoType {
    #[default]
    Float32,
    Int8,
    /// The same numbers as of `int8`, with a zero point 128 higher.
    Uint8,
    /// With zero point 0.
    Int16,
}

/// The types of a graph's inputs and outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IoTypes {
    /// Of all that hold real numbers.
    pub all: IoType,
    /// Of single ones.
    pub by_name: BTreeMap<String, IoType>,
}

impl IoType {
    fn name(self) -> &'static str {
        match self {
            IoType::Float32 => "float32",
            IoType::Int8 => "int8",
            IoType::Uint8 => "uint8",
            IoType::Int16 => "int16",
        }
    }
}

impl IoTypes {
    fn of(&self, name: &str) -> IoType {
        self.by_name.get(name).copied().unwrap_or(self.all)
    }
}

/// Changes the types of inputs and outputs as asked. Each keeps its name and gets the scale and zero point that it has inside.
///
/// # Errors
/// A sentence for each that can't have its type; the graph is of no use then.
pub fn set_io_types(graph: &mut Graph, types: &IoTypes) -> Result<(), Vec<String>> {
    let name = |graph: &Graph, id: ValueId| graph.value(id).name.clone();
    let ends: Vec<String> = graph.inputs.iter().chain(&graph.outputs).map(|&id| name(graph, id)).collect();
    let unknown = types.by_name.keys().filter(|name| !ends.contains(name));
    let mut problems: Vec<String> = unknown.map(|name| format!("the model has no input or output {name:?}")).collect();
    let wanted = |graph: &Graph, id: ValueId| {
        let value = graph.value(id);
        let given = types.by_name.contains_key(&value.name);
        Some(types.of(&value.name)).filter(|&to| to != IoType::Float32 && (given || value.ty.dtype.is_float()))
    };
    for input in graph.inputs.clone() {
        if let Some(to) = wanted(graph, input) {
            let done = store_input(graph, input, to);
            problems
                .extend(done.err().map(|why| format!("input {:?} can't be {}: {why}", name(graph, input), to.name())));
        }
    }
    for index in 0..graph.outputs.len() {
        let output = graph.outputs[index];
        if let Some(to) = wanted(graph, output) {
            let done = store_output(graph, index, to);
            problems.extend(
                done.err().map(|why| format!("output {:?} can't be {}: {why}", name(graph, output), to.name())),
            );
        }
    }
    remove_dead(graph);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The form of type `to` for what is stored in `form` inside.
fn outside(form: Form, to: IoType) -> Result<Form, String> {
    match (to, form.dtype) {
        (IoType::Int8, DType::I8) => Ok(form),
        (IoType::Uint8, DType::I8) => {
            let params = Params { zero_point: form.params.zero_point + 128, ..form.params };
            Ok(Form { dtype: DType::U8, params })
        }
        (IoType::Int16, DType::I16) => Ok(form),
        (IoType::Int16, DType::I8) => Ok(Form::int16(Params::symmetric_16(form.range()).scale)),
        (_, inside) => Err(format!("it is {} inside, which has more digits; ask for int16", inside.name())),
    }
}

fn real(graph: &Graph, id: ValueId) -> Result<(), String> {
    match graph.dtype(id) {
        DType::F32 => Ok(()),
        DType::F64 => Err("it is float64: add --float64 cast".into()),
        other => Err(format!("it holds {} and no quantized numbers", other.name())),
    }
}

fn store_input(graph: &mut Graph, id: ValueId, to: IoType) -> Result<(), String> {
    real(graph, id)?;
    if graph.outputs.contains(&id) {
        return Err("it is an output too".into());
    }
    let quantize = graph.nodes.iter().position(|n| matches!(n.op, Op::Quantize { .. }) && n.input(0) == Some(id));
    let found = quantize.and_then(|i| Some((i, *graph.nodes[i].outputs.first()?)));
    let form = found.and_then(|(_, stored)| Form::of(graph, stored));
    let (Some((index, stored)), Some(inside)) = (found, form) else {
        return Err(not_integers(graph.nodes.iter().find(|node| node.inputs.contains(&Some(id)))));
    };
    let form = outside(inside, to)?;
    let value = graph.value_mut(id);
    let float = Value { name: format!("{}_dequantized", value.name), ..value.clone() };
    (value.ty.dtype, value.quant) = (form.dtype, Some(form.quant()));
    let takes_reals = |node: &Node| node.inputs.contains(&Some(id)) && !matches!(node.op, Op::Quantize { .. });
    let dequantize = graph.nodes.iter().any(takes_reals).then(|| {
        let float = graph.add_value(float);
        replace(graph, id, float, takes_reals);
        conversion(Op::Dequantize, id, float)
    });
    if form == inside && !graph.outputs.contains(&stored) {
        graph.nodes.remove(index);
        replace(graph, stored, id, |_| true);
    }
    graph.nodes.splice(0..0, dequantize);
    Ok(())
}

fn store_output(graph: &mut Graph, index: usize, to: IoType) -> Result<(), String> {
    let id = graph.outputs[index];
    real(graph, id)?;
    let maker = graph.nodes.iter().find(|node| node.outputs.contains(&id));
    let stored = maker.filter(|node| node.op == Op::Dequantize).and_then(|node| node.input(0));
    let Some((stored, inside)) = stored.and_then(|stored| Some((stored, Form::of(graph, stored)?))) else {
        return Err(not_integers(maker));
    };
    let form = outside(inside, to)?;
    let name = graph.value(id).name.clone();
    graph.value_mut(id).name = format!("{name}_dequantized");
    let is_taken = graph.inputs.contains(&stored) || graph.outputs.contains(&stored);
    let output = if form == inside && !is_taken && graph.constant(stored).is_none() {
        stored
    } else {
        let ty = Type { dtype: form.dtype, shape: graph.shape(id).clone() };
        let value = Value { name: name.clone(), ty, data: None, quant: Some(form.quant()), variable: false };
        let output = graph.add_value(value);
        graph.nodes.push(conversion(Op::Quantize { to: form.dtype }, stored, output));
        output
    };
    graph.value_mut(output).name = name;
    graph.outputs[index] = output;
    Ok(())
}

fn not_integers(node: Option<&Node>) -> String {
    match node {
        Some(node) => format!("{} computes it in float; leave it float32", node.op.name()),
        None => "nothing computes with it; leave it float32".into(),
    }
}

fn replace(graph: &mut Graph, from: ValueId, to: ValueId, which: impl Fn(&Node) -> bool) {
    let nodes = graph.nodes.iter_mut().filter(|node| which(node));
    nodes.flat_map(|node| node.inputs.iter_mut().flatten()).filter(|id| **id == from).for_each(|id| *id = to);
}

fn conversion(op: Op, from: ValueId, to: ValueId) -> Node {
    Node { op, inputs: vec![Some(from)], outputs: vec![to], origin: None, precision: Precision::Any }
}

//! What makes a graph valid; whoever writes or runs one relies on it.

use std::fmt;

use super::{Graph, Model, Node, Op, Quant, ValueId, infer};
use crate::tensor::Tensor;

/// One thing that is wrong with a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where: a node with its index, or a value.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Checks all that interpreters take for granted, and lists everything that is wrong.
///
/// Interpreters neither sort operators nor check that an operand was computed, and crash on scales of zero: a graph that passes
/// here has its nodes in execution order, each value made once, types that follow from the operands, and sound quantization.
pub fn verify(model: &Model) -> Vec<Violation> {
    let mut found = Vec::new();
    for graph in model.graphs.iter().flat_map(Graph::with_regions) {
        Checker { graph, found: &mut found }.check();
    }
    for signature in &model.signatures {
        let ports = signature.inputs.iter().chain(&signature.outputs);
        let fits = model.graphs.get(signature.graph).is_some_and(|g| ports.clone().all(|p| in_range(g, p.value)));
        if !fits {
            let place = format!("signature {:?}", signature.key);
            found.push(Violation { place, what: "names a graph or value that does not exist".into() });
        }
    }
    found
}

fn in_range(graph: &Graph, id: ValueId) -> bool {
    (id.0 as usize) < graph.values.len()
}

struct Checker<'a> {
    graph: &'a Graph,
    found: &'a mut Vec<Violation>,
}

impl Checker<'_> {
    fn report(&mut self, place: String, what: impl Into<String>) {
        self.found.push(Violation { place, what: what.into() });
    }

    fn check(&mut self) {
        let graph = self.graph;
        let ids = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.outputs));
        if let Some(bad) = ids.chain(&graph.inputs).chain(&graph.outputs).find(|id| !in_range(graph, **id)) {
            // Nothing below can be looked up safely.
            return self.report(format!("value {}", bad.0), "does not exist");
        }
        for (i, value) in graph.values.iter().enumerate() {
            let place = || format!("value {i} {:?}", value.name);
            if let Some(data) = &value.data {
                self.check_data(place(), data, i);
            }
            if let Some(quant) = &value.quant {
                self.check_quant(place(), quant, i);
            }
        }
        let mut defined: Vec<bool> = graph.values.iter().map(|v| v.data.is_some() || v.variable).collect();
        for input in &graph.inputs {
            defined[input.0 as usize] = true;
        }
        for (i, node) in graph.nodes.iter().enumerate() {
            self.check_node(i, node, &mut defined);
        }
        for output in &graph.outputs {
            if !defined[output.0 as usize] {
                self.report(format!("output {:?}", graph.value(*output).name), "is made by no node");
            }
        }
    }

    fn check_data(&mut self, place: String, data: &Tensor, i: usize) {
        let value = &self.graph.values[i];
        if data.dtype() != value.ty.dtype || value.ty.shape.as_fixed().as_deref() != Some(data.shape()) {
            self.report(place, format!("has data {}{:?} for type {}", data.dtype(), data.shape(), value.ty));
        } else if value.variable {
            self.report(place, "is a variable and has data");
        }
    }

    fn check_quant(&mut self, place: String, quant: &Quant, i: usize) {
        let value = &self.graph.values[i];
        let Quant::Affine { scale, zero_point, axis } = quant else {
            return;
        };
        if scale.is_empty() || scale.len() != zero_point.len() {
            return self.report(place, format!("has {} scales and {} zero points", scale.len(), zero_point.len()));
        }
        if scale.len() > 1 && value.ty.shape.dim(*axis) != Some(scale.len()) {
            return self.report(place, format!("has {} scales along axis {axis} of {}", scale.len(), value.ty.shape));
        }
        if let Some(bad) = scale.iter().find(|s| !(s.is_normal() && **s > 0.0)) {
            self.report(place, format!("has a scale of {bad}, which interpreters crash on"));
        }
    }

    fn check_node(&mut self, i: usize, node: &Node, defined: &mut [bool]) {
        let graph = self.graph;
        let place = format!("node {i} {}", node.op.name());
        for input in node.inputs.iter().flatten() {
            if !defined[input.0 as usize] {
                let name = &graph.value(*input).name;
                self.report(place.clone(), format!("uses {name:?} before it is computed"));
            }
        }
        for output in &node.outputs {
            if std::mem::replace(&mut defined[output.0 as usize], true) {
                let name = &graph.value(*output).name;
                self.report(place.clone(), format!("makes {name:?}, which is there already"));
            }
        }
        if matches!(node.op, Op::Opaque(_)) {
            return;
        }
        if let Op::While { body, .. } = &node.op {
            self.check_copies(&place, body);
        }
        match infer(graph, &node.op, &node.inputs) {
            Err(e) => self.report(place, e.message),
            Ok(types) if types.len() != node.outputs.len() => {
                self.report(place, format!("has {} results instead of {}", node.outputs.len(), types.len()));
            }
            Ok(types) => {
                for (&output, ty) in node.outputs.iter().zip(&types) {
                    let value = graph.value(output);
                    let quantized = value.quant.is_some();
                    let fits = value.ty.shape.agrees_with(&ty.shape) && (quantized || value.ty.dtype == ty.dtype);
                    if !fits {
                        self.report(place.clone(), format!("{:?} is {}, but should be {ty}", value.name, value.ty));
                    }
                }
            }
        }
    }

    /// Interpreters hand a body's outputs back one after the other: one that is another position's input is overwritten by then.
    fn check_copies(&mut self, place: &str, body: &Graph) {
        for (i, output) in body.outputs.iter().enumerate() {
            let moved = body.inputs.iter().position(|input| input == output).is_some_and(|from| from != i);
            let exists = in_range(body, *output);
            if moved || (exists && body.constant(*output).is_some()) {
                let what = "is another input of the body or a constant: a node must make it";
                self.report(place.to_string(), format!("output {i} {what}"));
            }
        }
    }
}

//! What tells a graph from others: names of its values, and a hash of all that its results depend on.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::graph::{Graph, Quant, ValueId};

/// A name of its own for every value, in order: files made elsewhere may give one to several.
pub(super) fn names(graph: &Graph) -> Vec<String> {
    let given: BTreeSet<&str> = graph.values.iter().map(|v| v.name.as_str()).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let unique = |name| {
        let count = counts.entry(name).or_default();
        *count += 1;
        let mut unique = name.to_string();
        while *count > 1 && given.contains(unique.as_str()) {
            unique = format!("{name}#{count}");
            *count += usize::from(given.contains(unique.as_str()));
        }
        unique
    };
    graph.values.iter().map(|v| v.name.as_str()).map(unique).collect()
}

/// SHA-256 of operators, names, types and constants, in hexadecimal. Numbers of values don't count, nor where nodes came from.
pub(super) fn identity(graph: &Graph) -> String {
    let mut hash = Sha256::new();
    add(&mut hash, graph);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(hash: &mut Sha256, graph: &Graph) {
    let names = names(graph);
    let value = |hash: &mut Sha256, id: ValueId| {
        let value = graph.value(id);
        match &value.data {
            Some(data) => {
                text(hash, &format!("constant {} {:?}", data.dtype(), data.shape()));
                hash.update(data.bytes());
            }
            None => text(hash, &format!("{:?} {}", names[id.0 as usize], value.ty)),
        }
        match value.quant.as_ref().filter(|_| value.is_stored_as_integers()) {
            None => {}
            Some(Quant::Affine { scale, zero_point, axis }) => {
                text(hash, &format!("{scale:?} {zero_point:?} {axis}"));
            }
            Some(Quant::Blockwise { scales, zero_points, block_size }) => {
                text(hash, &format!("blocks {block_size}"));
                for data in [Some(scales), zero_points.as_ref()].into_iter().flatten().map(|&id| graph.constant(id)) {
                    data.into_iter().for_each(|data| hash.update(data.bytes()));
                }
            }
        }
    };
    let values = |hash: &mut Sha256, what: &str, ids: &[ValueId]| {
        text(hash, &format!("{what} {}", ids.len()));
        ids.iter().for_each(|&id| value(hash, id));
    };
    values(hash, "inputs", &graph.inputs);
    for node in &graph.nodes {
        let mut regions = node.op.regions().peekable();
        match regions.peek() {
            // What is printed of one would hold its constants as text.
            Some(_) => text(hash, node.op.name()),
            None => text(hash, &format!("{} {:?}", node.op.name(), node.op)),
        }
        regions.for_each(|region| add(hash, region));
        text(hash, &format!("operands {}", node.inputs.len()));
        for input in &node.inputs {
            match input {
                Some(id) => value(hash, *id),
                None => text(hash, "none"),
            }
        }
        values(hash, "results", &node.outputs);
    }
    values(hash, "outputs", &graph.outputs);
}

/// With its length, so that no two sequences of texts are the same bytes.
fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Binary, Node, Op, Precision, Shape, Type, Value};
    use crate::tensor::{DType, Tensor};

    fn floats(extent: usize) -> Type {
        Type::new(DType::F32, Shape::fixed(&[extent]))
    }

    fn graph(input: &str, weight: f32, extent: usize) -> Graph {
        let mut graph = Graph::new("test");
        let x = graph.add_input(input, floats(extent));
        let w = graph.add_constant("w", Tensor::vector(vec![weight]));
        let y =
            graph.add_value(Value { name: "y".into(), ty: floats(extent), data: None, quant: None, variable: false });
        let op = Op::Binary(Binary::Minimum, Activation::None);
        let (inputs, outputs) = (vec![Some(x), Some(w)], vec![y]);
        graph.nodes.push(Node { op, inputs, outputs, origin: None, precision: Precision::Any });
        graph.outputs = vec![y];
        graph
    }

    #[test]
    fn graphs_differ_by_names_weights_and_shapes() {
        let same = identity(&graph("x", 1.0, 4));
        assert_eq!(same, identity(&graph("x", 1.0, 4)));
        for other in [graph("z", 1.0, 4), graph("x", 1.5, 4), graph("x", 1.0, 5)] {
            assert_ne!(same, identity(&other));
        }
        let mut unused = graph("x", 1.0, 4);
        unused.add_constant("more", Tensor::vector(vec![1f32; 9]));
        assert_eq!(same, identity(&unused), "what nobody reads does not count");
    }

    #[test]
    fn names_that_several_values_have_are_told_apart() {
        let mut graph = Graph::new("test");
        for name in ["a", "a", "a#2", "a", ""] {
            graph.add_input(name, floats(1));
        }
        assert_eq!(names(&graph), ["a", "a#3", "a#2", "a#4", ""]);
    }
}

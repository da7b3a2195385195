//! Constants that came from integers, for operators that stay float.

use std::collections::BTreeMap;

use super::constants::integers;
use crate::graph::{Graph, Node, Op, Precision, Quant, Type, Value, ValueId};
use crate::tensor::{DType, Tensor};

/// Smaller constants stay as they are: a conversion would cost more than they do.
const LEAST: usize = 256;

/// Lets every constant forget that it came from integers.
pub fn forget_weights(graph: &mut Graph) {
    for value in graph.values.iter_mut().filter(|value| value.ty.dtype == DType::F32) {
        value.quant = None;
    }
    graph.nodes.iter_mut().flat_map(|node| node.op.regions_mut()).for_each(forget_weights);
}

/// Stores constants as the integers that they came from, each with a `DEQUANTIZE` before the first operator that takes it. The
/// numbers are the same to the bit; the file is a quarter of the size.
pub fn store_weights(graph: &mut Graph) {
    let mut dequantized: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        for input in node.inputs.iter_mut().flatten() {
            if let Some(&known) = dequantized.get(input) {
                *input = known;
            } else if let Some((data, quant)) = as_integers(graph, *input) {
                let (from, to) = (add_integers(graph, *input, data, quant), add_reals(graph, *input));
                let (inputs, outputs) = (vec![Some(from)], vec![to]);
                let (origin, precision) = (node.origin, Precision::Any);
                graph.nodes.push(Node { op: Op::Dequantize, inputs, outputs, origin, precision });
                dequantized.insert(*input, to);
                *input = to;
            }
        }
        node.op.regions_mut().for_each(store_weights);
        graph.nodes.push(node);
    }
    for value in graph.values.iter_mut().filter(|value| value.ty.dtype == DType::F32) {
        value.quant = None;
    }
    crate::graph::remove_dead(graph);
}

/// A large constant of `FLOAT32` as integers, if these stand for the same numbers to the bit.
fn as_integers(graph: &Graph, id: ValueId) -> Option<(Tensor, Quant)> {
    let value = graph.value(id);
    let data = value.data.as_ref().filter(|data| data.dtype() == DType::F32 && data.len() >= LEAST)?;
    let Some(Quant::Affine { scale, axis, .. }) = &value.quant else { return None };
    let stored = integers(data, scale, *axis).ok()?;
    let quant = Quant::Affine { scale: scale.clone(), zero_point: vec![0; scale.len()], axis: *axis };
    Some((stored, quant))
}

fn add_integers(graph: &mut Graph, original: ValueId, data: Tensor, quant: Quant) -> ValueId {
    let id = graph.add_constant(format!("{}/int8", graph.value(original).name), data);
    graph.value_mut(id).quant = Some(quant);
    id
}

fn add_reals(graph: &mut Graph, original: ValueId) -> ValueId {
    let Value { name, ty, .. } = graph.value(original);
    let (name, ty) = (name.clone(), Type::clone(ty));
    graph.add_value(Value { name, ty, data: None, quant: None, variable: false })
}

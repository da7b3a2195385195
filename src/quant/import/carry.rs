//! Bytes without a sign become bytes with one: integers and zero points 128 lower stand for the same numbers.

use crate::graph::{Graph, Node, Op, Precision, Quant, Value, ValueId};
use crate::tensor::DType;

/// Changes all quantized values of `UINT8`. Inputs and outputs of the graph keep their type, with a conversion beside them that
/// changes no number.
pub(super) fn carry_unsigned(graph: &mut Graph) {
    let is_unsigned = |graph: &Graph, id: ValueId| graph.dtype(id) == DType::U8 && graph.value(id).quant.is_some();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for input in graph.inputs.clone() {
        if is_unsigned(graph, input) && graph.nodes.iter().any(|node| node.inputs.contains(&Some(input))) {
            let signed = add_signed(graph, input);
            before.push(conversion(DType::I8, input, signed));
            replace_operand(graph, input, signed);
        }
    }
    for index in 0..graph.nodes.len() {
        for position in 0..graph.nodes[index].outputs.len() {
            let result = graph.nodes[index].outputs[position];
            if !is_unsigned(graph, result) {
                continue;
            }
            if let Op::Quantize { to } = &mut graph.nodes[index].op {
                *to = DType::I8;
            }
            if graph.outputs.contains(&result) {
                let signed = add_signed(graph, result);
                graph.nodes[index].outputs[position] = signed;
                replace_operand(graph, result, signed);
                after.push(conversion(DType::U8, signed, result));
            } else {
                make_signed(graph.value_mut(result));
            }
        }
    }
    graph.nodes.splice(0..0, before);
    graph.nodes.extend(after);
}

fn replace_operand(graph: &mut Graph, from: ValueId, to: ValueId) {
    let operands = graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten());
    operands.filter(|id| **id == from).for_each(|id| *id = to);
}

fn conversion(to: DType, from: ValueId, result: ValueId) -> Node {
    let (inputs, outputs) = (vec![Some(from)], vec![result]);
    Node { op: Op::Quantize { to }, inputs, outputs, origin: None, precision: Precision::Any }
}

fn add_signed(graph: &mut Graph, id: ValueId) -> ValueId {
    let mut value = graph.value(id).clone();
    value.name.push_str("/int8");
    make_signed(&mut value);
    graph.add_value(value)
}

fn make_signed(value: &mut Value) {
    value.ty.dtype = DType::I8;
    if let Some(Quant::Affine { zero_point, .. }) = &mut value.quant {
        zero_point.iter_mut().for_each(|z| *z -= 128);
    }
}

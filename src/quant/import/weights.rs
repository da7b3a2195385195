//! Constants that came from integers, for operators that stay float.

use std::collections::BTreeMap;

use super::super::weights::{Slot, asymmetric, is_worth_it, slot};
use super::constants::{integers, narrowed, with_zero_point};
use crate::graph::{Graph, Node, Op, OriginId, Precision, Quant, Type, Value, ValueId};
use crate::tensor::{DType, Tensor};

/// Lets every constant forget that it came from integers.
pub fn forget_weights(graph: &mut Graph) {
    for value in graph.values.iter_mut().filter(|value| value.ty.dtype == DType::F32) {
        value.quant = None;
    }
    graph.nodes.iter_mut().flat_map(|node| node.op.regions_mut()).for_each(forget_weights);
}

/// Stores constants as the integers that they came from. Products whose data is rounded at run time take them as they are; for
/// others there is a `DEQUANTIZE`, before the first that does. The numbers are the same to the bit; the file is a quarter of the size.
pub fn store_weights(graph: &mut Graph) {
    let mut stored = Stored::default();
    for mut node in std::mem::take(&mut graph.nodes) {
        let slot = slot(graph, &node);
        let own = slot.as_ref().filter(|_| node.precision == Precision::Dynamic).map(|slot| slot.operand);
        for (i, input) in node.inputs.iter_mut().enumerate() {
            let Some(id) = input else { continue };
            let slot = slot.as_ref().filter(|slot| slot.operand == i);
            let direct = slot.filter(|_| own == Some(i)).and_then(|slot| stored.for_kernel(graph, *id, slot));
            let four_bits = slot.is_some_and(|slot| slot.four_bits);
            if let Some(integers) = direct {
                *input = Some(integers);
                if let Some(asymmetric_inputs) = asymmetric(&mut node.op) {
                    *asymmetric_inputs = true;
                }
            } else if let Some(reals) = stored.dequantized(graph, *id, four_bits, node.origin) {
                *input = Some(reals);
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

/// What stands for constants by now.
#[derive(Default)]
struct Stored {
    /// Integers for kernels.
    integers: BTreeMap<ValueId, ValueId>,
    /// Results of `DEQUANTIZE`.
    reals: BTreeMap<ValueId, ValueId>,
}

impl Stored {
    /// The integers of a constant, if the kernel of the operator whose weights it is takes such.
    fn for_kernel(&mut self, graph: &mut Graph, id: ValueId, slot: &Slot) -> Option<ValueId> {
        if let Some(&known) = self.integers.get(&id) {
            return Some(known);
        }
        let mut weights = Integers::of(graph, id, slot.four_bits).filter(|_| slot.direct)?;
        if weights.scale.len() > 1 && weights.axis != slot.axis || weights.zero_point != 0 {
            return None;
        }
        if weights.scale.len() == 1 && slot.wants_scale_each {
            weights.scale = vec![weights.scale[0]; *weights.data.shape().get(slot.axis)?];
        }
        weights.axis = slot.axis;
        let integers = weights.add_to(graph, id);
        self.integers.insert(id, integers);
        Some(integers)
    }

    /// A large constant behind a `DEQUANTIZE`.
    fn dequantized(
        &mut self,
        graph: &mut Graph,
        id: ValueId,
        four_bits: bool,
        origin: Option<OriginId>,
    ) -> Option<ValueId> {
        if let Some(&known) = self.reals.get(&id) {
            return Some(known);
        }
        let from = Integers::of(graph, id, four_bits)?.add_to(graph, id);
        let to = add_reals(graph, id);
        let (inputs, outputs, precision) = (vec![Some(from)], vec![to], Precision::Any);
        graph.nodes.push(Node { op: Op::Dequantize, inputs, outputs, origin, precision });
        self.reals.insert(id, to);
        Some(to)
    }
}

/// What a constant came from.
struct Integers {
    data: Tensor,
    /// One, or one for each index of `axis`.
    scale: Vec<f32>,
    axis: usize,
    zero_point: i64,
}

impl Integers {
    /// Of a large constant of `FLOAT32`, if they stand for the same numbers to the bit.
    fn of(graph: &Graph, id: ValueId, four_bits: bool) -> Option<Integers> {
        let value = graph.value(id);
        let data = value.data.as_ref().filter(|data| data.dtype() == DType::F32 && is_worth_it(data))?;
        let Some(Quant::Affine { scale, axis, zero_point }) = &value.quant else { return None };
        let (scale, axis) = (scale.clone(), *axis);
        if let Ok(symmetric) = integers(data, &scale, axis) {
            let data = if four_bits { narrowed(symmetric) } else { symmetric };
            return Some(Integers { data, scale, axis, zero_point: 0 });
        }
        let (&[one], &[zero_point]) = (scale.as_slice(), zero_point.as_slice()) else { return None };
        let data = with_zero_point(data, one, zero_point)?;
        Some(Integers { data, scale, axis: 0, zero_point })
    }

    /// A constant for them, beside `original`.
    fn add_to(self, graph: &mut Graph, original: ValueId) -> ValueId {
        let Integers { data, scale, axis, zero_point } = self;
        let id = graph.add_constant(format!("{}/{}", graph.value(original).name, data.dtype()), data);
        let zero_point = vec![zero_point; scale.len()];
        graph.value_mut(id).quant = Some(Quant::Affine { scale, zero_point, axis });
        id
    }
}

fn add_reals(graph: &mut Graph, original: ValueId) -> ValueId {
    let Value { name, ty, .. } = graph.value(original);
    let (name, ty) = (name.clone(), Type::clone(ty));
    graph.add_value(Value { name, ty, data: None, quant: None, variable: false })
}

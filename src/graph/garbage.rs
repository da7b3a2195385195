//! Data of constants that nothing needs any more, while a graph is built or rewritten: weights come in one order and leave in
//! another, and a large model has no room for both.

use super::{Graph, Quant, ValueId};

/// So many bytes of new data are worth a look at the whole graph.
const WORTH_A_LOOK: usize = 32 << 20;

/// Tells when it is time to look.
#[derive(Default)]
pub struct Garbage {
    /// Values that were counted.
    seen: usize,
    new_bytes: usize,
}

impl Garbage {
    /// True where so much data have come into the graph that it is time for [`drop_unused_data`].
    pub fn is_due(&mut self, graph: &Graph) -> bool {
        let new = graph.values.get(self.seen..).unwrap_or_default();
        self.new_bytes += new.iter().filter_map(|v| v.data.as_ref()).map(|data| data.bytes().len()).sum::<usize>();
        self.seen = graph.values.len();
        if self.new_bytes < WORTH_A_LOOK {
            return false;
        }
        self.new_bytes = 0;
        true
    }
}

/// Drops the data of constants that no node of the graph uses, nor anything in `needed`.
pub fn drop_unused_data(graph: &mut Graph, needed: impl IntoIterator<Item = ValueId>) {
    let mut used = vec![false; graph.values.len()];
    let operands = graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
    for id in operands.chain(&graph.outputs).copied().chain(needed) {
        if let Some(used) = used.get_mut(id.0 as usize) {
            *used = true;
        }
    }
    for value in &graph.values {
        if let Some(Quant::Blockwise { scales, zero_points, .. }) = &value.quant {
            let of_blocks = std::iter::once(scales).chain(zero_points);
            of_blocks
                .filter_map(|id| Some(id.0 as usize).filter(|&i| i < graph.values.len()))
                .for_each(|i| used[i] = true);
        }
    }
    for (value, used) in graph.values.iter_mut().zip(used) {
        if !used {
            value.data = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, NoEvaluate, Shape, Type};
    use crate::tensor::{DType, Tensor};

    #[test]
    fn only_what_is_used_or_asked_for_keeps_its_data() {
        let mut graph = Graph::new("g");
        let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[2])));
        let constants: Vec<ValueId> =
            (0..4).map(|i| graph.add_constant("c", Tensor::vector(vec![i as f32; 2]))).collect();
        let y = Builder::new(&mut graph, &NoEvaluate).add(x, constants[0]).unwrap();
        graph.outputs = vec![y, constants[1]];
        drop_unused_data(&mut graph, [constants[2]]);
        let kept: Vec<bool> = constants.iter().map(|&c| graph.constant(c).is_some()).collect();
        assert_eq!(kept, [true, true, true, false]);
    }

    #[test]
    fn a_look_is_due_when_much_is_new() {
        let (mut graph, mut garbage) = (Graph::new("g"), Garbage::default());
        let tensor = Tensor::zeros(DType::U8, &[WORTH_A_LOOK / 2]).unwrap();
        let due: Vec<bool> = (0..5)
            .map(|_| {
                graph.add_constant("c", tensor.clone());
                garbage.is_due(&graph)
            })
            .collect();
        assert_eq!(due, [false, true, false, true, false]);
        assert!(!garbage.is_due(&graph));
    }
}

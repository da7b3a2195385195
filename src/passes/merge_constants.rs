//! `merge_constants`: constants of equal type, shape and data become one value.
//!
//! Matches: constants that nodes use, with equal quantization where they have one; the first in the order of values is kept.
//! Makes nodes equal that differ in nothing else, for `merge_duplicates`; and the file smaller.
//!
//! Not: a constant that is an output of the graph, which keeps its name. Equal.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::graph::{Evaluate, Graph, InferError, ValueId};
use crate::tensor::DType;

pub(super) fn run(graph: &mut Graph, _: &dyn Evaluate) -> Result<usize, InferError> {
    let first = first_equals(graph);
    let mut merged = vec![false; graph.values.len()];
    for input in graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten()) {
        let to = first[input.0 as usize];
        if to != *input {
            merged[input.0 as usize] = true;
            *input = to;
        }
    }
    crate::graph::remove_dead(graph);
    Ok(merged.into_iter().filter(|&m| m).count())
}

/// Type, shape and bytes of a constant.
type Key<'a> = (DType, &'a [usize], &'a [u8]);

/// For each value the first constant that is equal to it: itself, for most.
fn first_equals(graph: &Graph) -> Vec<ValueId> {
    let uses = graph.use_counts();
    let mut seen: HashMap<Key<'_>, Vec<ValueId>, FxBuildHasher> = HashMap::default();
    let ids = (0..graph.values.len()).map(|i| ValueId(i as u32));
    ids.map(|id| {
        let value = graph.value(id);
        let Some(data) = value.data.as_ref().filter(|_| uses[id.0 as usize] > 0 && !graph.outputs.contains(&id)) else {
            return id;
        };
        let equals = seen.entry((data.dtype(), data.shape(), data.bytes().as_ref())).or_default();
        match equals.iter().find(|&&other| graph.value(other).quant == value.quant) {
            Some(&other) => other,
            None => {
                equals.push(id);
                id
            }
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Net;
    use super::run;
    use crate::graph::{Quant, ValueId};
    use crate::tensor::Tensor;

    /// Two sums with a constant each, and those constants.
    fn net(first: Tensor, second: Tensor) -> (Net, [ValueId; 2]) {
        let mut ids = [ValueId(0); 2];
        let net = Net::new(&["f32[2,2]"], |b, x| {
            ids = [b.constant(first), b.constant(second)];
            let y = b.add(x[0], ids[0])?;
            Ok(vec![b.add(y, ids[1])?])
        });
        (net, ids)
    }

    #[test]
    fn equal_constants_are_one() {
        let (net, [first, second]) = net(Tensor::scalar(1.0f32), Tensor::scalar(1.0f32));
        let (count, graph) = net.after(run);
        assert_eq!(count, 1);
        assert_eq!([graph.nodes[0].input(1), graph.nodes[1].input(1)], [Some(first); 2]);
        assert!(graph.constant(second).is_none());
        assert_eq!(Net(graph).after(run).0, 0);
    }

    #[test]
    fn other_data_shapes_and_quantization_stay_apart() {
        net(Tensor::scalar(1.0f32), Tensor::scalar(2.0f32)).0.unchanged_by(run);
        net(Tensor::scalar(1.0f32), Tensor::vector(vec![1.0f32])).0.unchanged_by(run);
        net(Tensor::scalar(0.0f32), Tensor::scalar(-0.0f32)).0.unchanged_by(run);
        let (mut net, [first, _]) = net(Tensor::scalar(1.0f32), Tensor::scalar(1.0f32));
        net.0.value_mut(first).quant = Some(Quant::per_tensor(0.5, 0));
        net.unchanged_by(run);
    }

    #[test]
    fn outputs_are_no_other_constant() {
        let net = Net::new(&["f32[2]"], |b, x| {
            let (one, output) = (b.scalar(1.0f32), b.scalar(1.0f32));
            Ok(vec![b.add(x[0], one)?, output])
        });
        net.unchanged_by(run);
    }
}

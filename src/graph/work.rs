//! How much a node has to multiply: what integers and accelerators are for.

use super::{Graph, Node, Op, ValueId};

/// Products of data and weights, or of two data, that one run adds up; 0 for operators without. Unknown extents count as 1.
pub fn multiply_adds(graph: &Graph, node: &Node) -> u64 {
    let shape = |id: Option<ValueId>| -> Vec<u64> {
        let dims = id.map(|id| graph.shape(id).dims().to_vec()).unwrap_or_default();
        dims.into_iter().map(|d| d.map_or(1, |d| d as u64)).collect()
    };
    let product = |dims: &[u64]| dims.iter().fold(1u64, |n, d| n.saturating_mul(*d));
    let results = || product(&shape(node.outputs.first().copied()));
    let operand = |i: usize| shape(node.input(i));
    match &node.op {
        // Weights of one result: all but those of the other output channels.
        Op::Conv2d { .. } | Op::FullyConnected { .. } => {
            results().saturating_mul(product(operand(1).get(1..).unwrap_or(&[])))
        }
        Op::DepthwiseConv2d { .. } => results().saturating_mul(product(operand(1).get(1..3).unwrap_or(&[]))),
        Op::Conv3d { .. } => results().saturating_mul(product(operand(1).get(..4).unwrap_or(&[]))),
        // Each element of the data meets the whole window of each output channel.
        Op::TransposeConv { .. } | Op::Conv3dTranspose { .. } => {
            let weights = operand(1);
            let channels = weights.last().copied().unwrap_or(1).max(1);
            product(&operand(2)).saturating_mul(product(&weights) / channels)
        }
        Op::BatchMatMul { adj_x, .. } => {
            let x = operand(0);
            let inner = x.len().checked_sub(if *adj_x { 2 } else { 1 }).and_then(|axis| x.get(axis).copied());
            results().saturating_mul(inner.unwrap_or(1))
        }
        _ => 0,
    }
}

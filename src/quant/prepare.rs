//! Writes operators that have no right int8 kernel as others that have one.
//!
//! - `NEG`, whose kernel negates the stored integer: `x * -1`.
//! - `SQUARE`, which has none: `x * x`.
//! - `DIV` by a constant, whose kernel ends the process on a divisor that rounds to zero: `x * (1 / c)`.
//! - `SUM`, whose reference kernel lets large results wrap around: the mean, times the number of elements.

use super::choice::Choices;
use super::observe::{Observed, Statistics};
use super::range::Range;
use crate::graph::{Activation, Binary, Graph, Node, Op, Precision, Reduce, Unary, Value, ValueId};
use crate::tensor::{DType, Tensor, normalize_axis};

/// Changes nodes and leaves values their ids, and with them their statistics; new values get statistics of their own.
/// Nodes that are not chosen for integers stay as they are.
pub(super) fn prepare(graph: &mut Graph, statistics: &mut Statistics, choices: &mut Choices) {
    let nodes = std::mem::take(&mut graph.nodes);
    for mut node in nodes {
        let chosen = choices.of(&node).quantize.needs_calibration();
        if chosen && node.precision == Precision::Any && node.outputs.iter().all(|&id| graph.dtype(id) == DType::F32) {
            rewrite(graph, statistics, choices, &mut node);
        }
        graph.nodes.push(node);
    }
}

/// Changes `node` where it has a better form; what must come before it is appended to the graph.
fn rewrite(graph: &mut Graph, statistics: &mut Statistics, choices: &mut Choices, node: &mut Node) {
    let (Some(x), Some(&result)) = (node.input(0), node.outputs.first()) else { return };
    match node.op {
        Op::Unary(Unary::Neg) => multiply(graph, node, x, Tensor::scalar(-1f32), Activation::None),
        Op::Unary(Unary::Square) => {
            node.op = Op::Binary(Binary::Mul, Activation::None);
            node.inputs = vec![Some(x), Some(x)];
        }
        Op::Binary(Binary::Div, activation) => {
            if let Some(inverse) = node.input(1).and_then(|id| graph.constant(id)).and_then(inverse) {
                multiply(graph, node, x, inverse, activation);
            }
        }
        Op::Reduce { kind: Reduce::Sum, keep_dims } => {
            let Some(count) = summed(graph, node).filter(|&n| n > 0) else { return };
            let mean = mean_of(graph, statistics, result, count);
            choices.set(mean, choices.of(node));
            let op = Op::Reduce { kind: Reduce::Mean, keep_dims };
            graph.nodes.push(Node {
                op,
                inputs: std::mem::take(&mut node.inputs),
                outputs: vec![mean],
                ..node.clone()
            });
            multiply(graph, node, mean, Tensor::scalar(count as f32), Activation::None);
        }
        _ => {}
    }
}

/// Makes `node` the product of `x` and a constant.
fn multiply(graph: &mut Graph, node: &mut Node, x: ValueId, factor: Tensor, activation: Activation) {
    let name = node.outputs.first().map(|&id| graph.value(id).name.as_str()).unwrap_or_default();
    let factor = graph.add_constant(format!("{name}/factor"), factor);
    node.op = Op::Binary(Binary::Mul, activation);
    node.inputs = vec![Some(x), Some(factor)];
}

/// One over each element, where all of these are finite and none is lost to zero.
fn inverse(data: &Tensor) -> Option<Tensor> {
    let inverse: Vec<f32> = data.view::<f32>().ok()?.iter().map(|x| 1.0 / x).collect();
    inverse.iter().all(|x| x.is_normal()).then(|| Tensor::from_vec(data.shape(), inverse))
}

/// How many elements go into one of a reduction's results, where that is known.
fn summed(graph: &Graph, node: &Node) -> Option<usize> {
    let shape = graph.shape(node.input(0)?);
    let mut axes: Vec<usize> = Vec::new();
    for axis in graph.const_ints(node.input(1)?)? {
        axes.push(normalize_axis(axis, shape.rank())?);
    }
    axes.sort_unstable();
    axes.dedup();
    axes.into_iter().try_fold(1usize, |n, axis| n.checked_mul(shape.dim(axis)?))
}

/// A new value, `count` times smaller than `sum` in all that calibration saw.
fn mean_of(graph: &mut Graph, statistics: &mut Statistics, sum: ValueId, count: usize) -> ValueId {
    let name = format!("{}/mean", graph.value(sum).name);
    let ty = graph.value(sum).ty.clone();
    let mean = graph.add_value(Value { name: name.clone(), ty, data: None, quant: None, variable: false });
    if let Some(range) = statistics.get(sum).and_then(|seen| seen.range) {
        let count = count as f32;
        let range = Some(Range { min: range.min / count, max: range.max / count });
        statistics.values.insert(mean.0, Observed { name, range, lowest_row_maximum: None });
    }
    mean
}

//! Moves the spread of channels out of activations into weights (Xiao 2022): what is multiplied with one constant factor a channel, as a
//! normalization's result is, gets other factors, and the layers behind it take them in.

use super::Cx;
use super::equalize::{Behind, Chains};
use super::moments::largest;
use crate::graph::{Activation, Binary, Graph, Op, ValueId};
use crate::quant::observe::ObserveError;
use crate::tensor::Tensor;

/// A product with constants, and what may be added to it.
struct Scaled {
    /// Operands of nodes, by node and number, that are constants with one number a channel.
    constants: Vec<(usize, usize)>,
    channels: usize,
    behind: Behind,
}

/// Smooths what layers behind constant factors are given; how many it changed.
pub(super) fn smooth(graph: &mut Graph, cx: &Cx<'_>) -> Result<usize, ObserveError> {
    let chains = Chains::of(graph);
    let found: Vec<Scaled> = (0..graph.nodes.len()).filter_map(|index| scaled(graph, &chains, index)).collect();
    let seen = largest(cx, &cx.state.reference, &found.iter().map(|s| s.behind.value).collect::<Vec<_>>())?;
    let mut changed = 0;
    for Scaled { constants, channels, behind } in found {
        let Some(factors) = behind.factors(graph, &seen, channels) else { continue };
        for (node, operand) in constants {
            divide(graph, node, operand, &factors);
        }
        behind.multiply(graph, &factors);
        changed += behind.layers.len();
    }
    Ok(changed)
}

fn scaled(graph: &Graph, chains: &Chains, index: usize) -> Option<Scaled> {
    let (product, channels) = with_constant(graph, index, Binary::Mul)?;
    let mut value = *graph.nodes[index].outputs.first()?;
    let mut constants = vec![product];
    if let Some(next) = chains.sole_user(graph, value)
        && let Some((sum, same)) = with_constant(graph, next, Binary::Add)
        && same == channels
    {
        constants.push(sum);
        value = *graph.nodes[next].outputs.first()?;
    }
    Some(Scaled { constants, channels, behind: chains.behind(graph, value)? })
}

/// The operand of a node that is a constant with one number a channel, and how many these are.
fn with_constant(graph: &Graph, index: usize, kind: Binary) -> Option<((usize, usize), usize)> {
    let node = &graph.nodes[index];
    let channels = graph.shape(*node.outputs.first()?).dims().last().copied().flatten()?;
    let of_channels = |id: ValueId| {
        let data = graph.constant(id)?;
        (data.len() == channels && data.shape().last() == Some(&channels)).then_some(())
    };
    let operand = (node.op == Op::Binary(kind, Activation::None))
        .then(|| (0..2).find(|&i| node.input(i).and_then(of_channels).is_some()))??;
    Some(((index, operand), channels))
}

fn divide(graph: &mut Graph, node: usize, operand: usize, factors: &[f32]) {
    let Some(id) = graph.nodes[node].input(operand) else { return };
    let Some((shape, values)) = graph.constant(id).and_then(|data| Some((data.shape().to_vec(), data.to_f32s().ok()?)))
    else {
        return;
    };
    let divided = values.iter().zip(factors).map(|(x, factor)| x / factor).collect();
    // Other nodes may use the constant as it is.
    let name = graph.value(id).name.clone();
    let changed = graph.add_constant(name, Tensor::from_vec(&shape, divided));
    graph.nodes[node].inputs[operand] = Some(changed);
}

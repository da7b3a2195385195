//! Cross-layer equalization (Nagel 2019): where layers follow each other with nothing between that minds, the channels of the one are
//! divided and the inputs of the next multiplied by factors that make channels of activations and weights equally large.

use std::collections::BTreeMap;

use super::Cx;
use super::layer::{Layer, is_homogeneous, layers};
use super::moments::largest;
use crate::graph::{Graph, Node, Op, Pool, Unary, ValueId};
use crate::quant::observe::ObserveError;

/// Equalizes between layers; how many it changed.
pub(super) fn equalize(graph: &mut Graph, cx: &Cx<'_>) -> Result<usize, ObserveError> {
    let chains = Chains::of(graph);
    let homogeneous = |layer: &Layer| graph.nodes[layer.node].op.activation().is_none_or(is_homogeneous);
    let makers = chains.layers.iter().filter(|layer| homogeneous(layer));
    let pairs: Vec<(Layer, Behind)> = makers
        .filter_map(|layer| Some((layer.clone(), chains.behind(graph, graph.nodes[layer.node].outputs[0])?)))
        .collect();
    let seen = largest(cx, &cx.state.reference, &pairs.iter().map(|(_, behind)| behind.value).collect::<Vec<_>>())?;
    let mut changed = 0;
    for (layer, behind) in pairs {
        let Some(factors) = behind.factors(graph, &seen, layer.outputs) else { continue };
        divide(graph, &layer, &factors);
        behind.multiply(graph, &factors);
        changed += 1 + behind.layers.len();
    }
    Ok(changed)
}

/// Divides what the layer computes.
fn divide(graph: &mut Graph, layer: &Layer, factors: &[f32]) {
    let (Some(mut weights), Some(mut bias)) = (layer.floats(graph), layer.biases(graph)) else { return };
    for (output, factor) in factors.iter().enumerate() {
        (0..layer.taps).map(|tap| layer.index(output, tap)).for_each(|i| weights[i] /= factor);
        bias[output] /= factor;
    }
    layer.set_weights(graph, weights, None);
    if layer.bias.is_some() {
        layer.set_bias(graph, bias);
    }
}

/// What follows on values.
pub(super) struct Chains {
    pub(super) layers: Vec<Layer>,
    users: BTreeMap<ValueId, Vec<usize>>,
    by_node: BTreeMap<usize, usize>,
}

/// Layers that are all there is behind a value, but for operators that scale with their channels.
pub(super) struct Behind {
    /// What the layers multiply.
    pub(super) value: ValueId,
    pub(super) layers: Vec<Layer>,
}

impl Chains {
    pub(super) fn of(graph: &Graph) -> Chains {
        let layers = layers(graph);
        let mut users: BTreeMap<ValueId, Vec<usize>> = BTreeMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().flatten().for_each(|id| users.entry(*id).or_default().push(index));
        }
        let by_node = layers.iter().enumerate().map(|(i, layer)| (layer.node, i)).collect();
        Chains { layers, users, by_node }
    }

    /// The one node that uses `value`.
    pub(super) fn sole_user(&self, graph: &Graph, value: ValueId) -> Option<usize> {
        match self.users.get(&value)?.as_slice() {
            &[user] if !graph.outputs.contains(&value) => Some(user),
            _ => None,
        }
    }

    /// What is behind a value with its channels along the last axis.
    pub(super) fn behind(&self, graph: &Graph, mut value: ValueId) -> Option<Behind> {
        while let Some(node) =
            self.sole_user(graph, value).map(|index| &graph.nodes[index]).filter(|n| scales(graph, n, value))
        {
            value = *node.outputs.first()?;
        }
        if graph.outputs.contains(&value) {
            return None;
        }
        let layers: Option<Vec<Layer>> = self.users.get(&value)?.iter().map(|user| self.layer(*user, value)).collect();
        Some(Behind { value, layers: layers? })
    }

    fn layer(&self, node: usize, x: ValueId) -> Option<Layer> {
        let layer = &self.layers[*self.by_node.get(&node)?];
        (layer.x == x).then(|| layer.clone())
    }
}

/// Whether a node's result has its operand's channels, and scales with them by positive factors.
fn scales(graph: &Graph, node: &Node, x: ValueId) -> bool {
    let of_rank_4 = graph.shape(x).rank() == 4;
    let keeps = match &node.op {
        Op::Unary(Unary::Relu) | Op::LeakyRelu { .. } | Op::Prelu => true,
        Op::Pad => of_rank_4,
        Op::Pool2d { kind: Pool::Max | Pool::Average, activation, .. } => of_rank_4 && is_homogeneous(*activation),
        _ => false,
    };
    let channels = |id: ValueId| graph.shape(id).dims().last().copied().flatten();
    keeps && node.input(0) == Some(x) && node.outputs.first().is_some_and(|&y| channels(y) == channels(x))
}

impl Behind {
    /// What each channel is to be divided by: as large as that makes it, its weights are then. `None` where that is of no use.
    pub(super) fn factors(
        &self,
        graph: &Graph,
        seen: &BTreeMap<ValueId, Vec<f32>>,
        channels: usize,
    ) -> Option<Vec<f32>> {
        /// Factors that differ less change nothing.
        const LEAST_SPREAD: f32 = 1.5;
        const MOST: f32 = 1e3;
        let data = seen.get(&self.value).filter(|data| data.len() == channels)?;
        let mut weights = vec![0f32; channels];
        for layer in &self.layers {
            let values = layer.floats(graph)?;
            if layer.groups * layer.channels != channels {
                return None;
            }
            layer.for_each_weight(|channel, i| weights[channel] = weights[channel].max(values[i].abs()));
        }
        let known = |(a, w): (&f32, &f32)| (*a > 0.0 && *w > 0.0 && (a / w).is_normal()).then(|| (a / w).sqrt());
        let factors: Vec<Option<f32>> = data.iter().zip(&weights).map(known).collect();
        let logarithms: Vec<f32> = factors.iter().flatten().map(|f| f.ln()).collect();
        let middle = (logarithms.iter().sum::<f32>() / (logarithms.len() as f32).max(1.0)).exp();
        // A channel of zeros has no size.
        let factors = factors.iter().map(|f| f.map_or(1.0, |f| (f / middle).clamp(1.0 / MOST, MOST)));
        let factors: Vec<f32> = factors.collect();
        let (least, most) = factors.iter().fold((f32::MAX, 0f32), |(least, most), &f| (least.min(f), most.max(f)));
        (most / least > LEAST_SPREAD).then_some(factors)
    }

    /// Lets the layers take inputs that are divided by these factors.
    pub(super) fn multiply(&self, graph: &mut Graph, factors: &[f32]) {
        for layer in &self.layers {
            let Some(mut weights) = layer.floats(graph) else { continue };
            layer.for_each_weight(|channel, i| weights[i] *= factors[channel]);
            layer.set_weights(graph, weights, None);
        }
    }
}

impl Layer {
    /// Shows each weight's input channel, and where it lies.
    fn for_each_weight(&self, mut show: impl FnMut(usize, usize)) {
        for output in 0..self.outputs {
            let first = output / self.outputs_of_group() * self.channels;
            for tap in 0..self.taps {
                show(first + tap % self.channels, self.index(output, tap));
            }
        }
    }
}

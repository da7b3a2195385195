//! Biases that take up what rounding the weights adds to each output in the mean. (Nagel 2019, with the means that samples show.)

use super::Cx;
use super::layer::{BIAS, Layer};
use super::moments::{Moments, moments};
use crate::graph::Graph;
use crate::quant::observe::ObserveError;

/// Corrects the biases of all layers that compute on integers; how many they are.
pub(super) fn bias(graph: &mut Graph, cx: &Cx<'_>) -> Result<usize, ObserveError> {
    let mut changed = 0;
    moments(cx, &cx.layers(), false, |found| {
        for (layer, moments) in found {
            let Some(bias) = corrected(layer, cx, &moments) else { continue };
            let now = graph.nodes[layer.node].input(BIAS).and_then(|id| graph.constant(id)?.to_f32s().ok());
            if Some(&bias) != now.as_ref() {
                layer.set_bias(graph, bias);
                changed += 1;
            }
        }
    })?;
    Ok(changed)
}

fn corrected(layer: &Layer, cx: &Cx<'_>, moments: &Moments) -> Option<Vec<f32>> {
    let stored = cx.stored(layer)?;
    let weights = layer.floats(&cx.state.reference)?;
    let mut rounded = weights.clone();
    for output in 0..layer.outputs {
        for i in (0..layer.taps).map(|tap| layer.index(output, tap)) {
            rounded[i] = stored.integers[i] * stored.scales[output];
        }
    }
    Some(shifted(layer, &layer.biases(&cx.state.reference)?, &weights, &rounded, moments))
}

/// `bias`, and what `weights` give in the mean that `rounded` ones don't.
pub(super) fn shifted(layer: &Layer, bias: &[f32], weights: &[f32], rounded: &[f32], moments: &Moments) -> Vec<f32> {
    let lost = |output: usize| -> f64 {
        let group = output / layer.outputs_of_group();
        let mean = moments.mean.get(group * layer.taps..).unwrap_or_default();
        let errors = (0..layer.taps).map(|tap| layer.index(output, tap)).map(|i| f64::from(weights[i] - rounded[i]));
        errors.zip(mean).map(|(error, mean)| error * mean).sum()
    };
    bias.iter().enumerate().map(|(output, b)| (f64::from(*b) + lost(output)) as f32).collect()
}

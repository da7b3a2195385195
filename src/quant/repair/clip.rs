//! Scales of weights that lose least: where a few weights are far larger than the rest, cutting them off costs less than rounding all
//! others coarsely. Errors count as much as what they are multiplied with.

use super::Cx;
use super::layer::{Layer, Stored};
use super::moments::moments;
use crate::graph::Graph;
use crate::quant::observe::ObserveError;

/// Scales that are tried, as shares of the one that holds all weights.
const STEPS: usize = 40;
const LEAST: f32 = 0.2;

/// Chooses scales for all layers that compute on integers; for how many others than those that hold all weights.
pub(super) fn clip(graph: &mut Graph, cx: &Cx<'_>) -> Result<usize, ObserveError> {
    let mut changed = 0;
    moments(cx, &cx.layers(), false, |found| {
        for (layer, moments) in found {
            let Some(stored) = cx.stored(layer) else { continue };
            let Some(weights) = layer.floats(&cx.state.reference) else { continue };
            if let Some((weights, stored)) = clipped(layer, stored, &weights, &moments.squares) {
                layer.set_weights(graph, weights, Some(&stored));
                changed += 1;
            }
        }
    })?;
    Ok(changed)
}

/// Weights on the grid that loses least; `None` where that is the one they have.
fn clipped(layer: &Layer, mut stored: Stored, weights: &[f32], squares: &[f64]) -> Option<(Vec<f32>, Stored)> {
    let before = stored.scales.clone();
    let rows: Vec<(Vec<f32>, &[f64])> = (0..layer.outputs)
        .map(|output| {
            let group = output / layer.outputs_of_group();
            (layer.row(weights, output), squares.get(group * layer.taps..(group + 1) * layer.taps).unwrap_or_default())
        })
        .collect();
    if stored.one {
        let scale = best(&rows, stored.scales[0], stored.most);
        stored.scales.fill(scale);
    } else {
        for (scale, row) in stored.scales.iter_mut().zip(&rows) {
            *scale = best(std::slice::from_ref(row), *scale, stored.most);
        }
    }
    if stored.scales == before {
        return None;
    }
    let mut result = weights.to_vec();
    for (output, (row, _)) in rows.iter().enumerate() {
        for (tap, &w) in row.iter().enumerate() {
            result[layer.index(output, tap)] = on_grid(w, stored.scales[output], stored.most);
        }
    }
    Some((result, stored))
}

fn on_grid(w: f32, scale: f32, most: f32) -> f32 {
    (w / scale).round_ties_even().clamp(-most, most) * scale
}

/// The scale that loses least; `scale` itself unless another loses clearly less.
fn best(rows: &[(Vec<f32>, &[f64])], scale: f32, most: f32) -> f32 {
    /// A gain in the second digit is chance.
    const CLEARLY: f64 = 0.97;
    let loss = |scale: f32| -> f64 {
        let of_row = |(row, squares): &(Vec<f32>, &[f64])| -> f64 {
            let errors = row.iter().zip(*squares).map(|(&w, square)| {
                let error = f64::from(w - on_grid(w, scale, most));
                error * error * square
            });
            errors.sum()
        };
        rows.iter().map(of_row).sum()
    };
    let (mut least, mut chosen) = (loss(scale) * CLEARLY, scale);
    for step in 1..STEPS {
        let tried = scale * (1.0 - (1.0 - LEAST) * step as f32 / STEPS as f32);
        let lost = loss(tried);
        if lost < least {
            (least, chosen) = (lost, tried);
        }
    }
    chosen
}

//! Rounds weights one after the other, each so that it makes up for the errors of those before: what the layer computes changes less,
//! though single weights change more. (Frantar 2022, in the form of Chee 2023: with the products of the inputs as `(U + 1) D (U + 1)ᵀ`,
//! weight `k` is rounded after adding the errors so far times column `k` of `U`.)
//!
//! What is left of the mean goes into the bias.

use rayon::prelude::*;

use super::Cx;
use super::bias::shifted;
use super::layer::{Layer, Stored};
use super::moments::{Moments, moments};
use crate::graph::Graph;
use crate::quant::observe::ObserveError;

/// More taps take too long: time grows with their third power.
const MOST_TAPS: usize = 1024;

/// Added to the products on the diagonal, as a share of their mean: samples show only some of what there is, and what a layer is given
/// is rounded itself.
const DAMPING: f64 = 0.02;

/// Gives all layers that compute on integers weights that are rounded already; how many they are.
pub(super) fn round(graph: &mut Graph, cx: &Cx<'_>) -> Result<usize, ObserveError> {
    let reference = &cx.state.reference;
    let mut layers = cx.layers();
    layers.retain(|layer| layer.taps <= MOST_TAPS);
    let mut changed = 0;
    moments(cx, &layers, true, |found| {
        let one = |(layer, moments): &(&Layer, Moments)| {
            let stored = cx.stored(layer)?;
            let weights = layer.floats(reference)?;
            let rounded = rounded(layer, &stored, &weights, moments)?;
            let bias = shifted(layer, &layer.biases(reference)?, &weights, &rounded, moments);
            Some((stored, rounded, bias))
        };
        let results: Vec<_> = found.par_iter().map(one).collect();
        for ((layer, _), result) in found.iter().zip(results) {
            let Some((stored, weights, bias)) = result else { continue };
            layer.set_weights(graph, weights, Some(&stored));
            layer.set_bias(graph, bias);
            changed += 1;
        }
    })?;
    Ok(changed)
}

/// The weights, as multiples of their scales.
fn rounded(layer: &Layer, stored: &Stored, weights: &[f32], moments: &Moments) -> Option<Vec<f32>> {
    let taps = layer.taps;
    if moments.products.len() != layer.groups * taps * taps {
        return None;
    }
    let mut result = weights.to_vec();
    for group in 0..layer.groups {
        let mean = &moments.mean[group * taps..][..taps];
        let products = &moments.products[group * taps * taps..][..taps * taps];
        let order = order(products, taps);
        let factors = Factors::of(products, mean, &order, moments.places)?;
        let outputs = layer.outputs_of_group();
        for output in group * outputs..(group + 1) * outputs {
            let row = layer.row(weights, output);
            let scale = stored.scales[output];
            for (&tap, value) in order.iter().zip(factors.round(&row, &order, scale, stored.most)) {
                result[layer.index(output, tap)] = value;
            }
        }
    }
    Some(result)
}

/// Taps with large inputs first: there is most left to make up for their errors.
fn order(products: &[f64], taps: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..taps).collect();
    order.sort_by(|&a, &b| products[b * taps + b].total_cmp(&products[a * taps + a]));
    order
}

/// Strictly upper triangular `U` with `H = (U + 1) D (U + 1)ᵀ`, row by row.
struct Factors {
    taps: usize,
    upper: Vec<f32>,
}

impl Factors {
    /// Of how taps vary about their mean, damped. `None` where nothing varies.
    fn of(products: &[f64], mean: &[f64], order: &[usize], places: usize) -> Option<Factors> {
        let taps = order.len();
        let mut h: Vec<f64> = Vec::with_capacity(taps * taps);
        for &a in order {
            h.extend(order.iter().map(|&b| products[a * taps + b] - mean[a] * mean[b]));
        }
        let diagonal = (0..taps).map(|i| h[i * taps + i].max(0.0)).sum::<f64>() / taps as f64;
        if !(diagonal.is_finite() && diagonal > 0.0) {
            return None;
        }
        // Fewer places than taps leave directions of which nothing is known.
        let scarce = (taps as f64 / places.max(1) as f64).min(10.0);
        (0..taps).for_each(|i| h[i * taps + i] += diagonal * DAMPING * (1.0 + scarce));
        let mut d = vec![0f64; taps];
        // Columns from the last; row `i` of `h` right of the diagonal becomes that of `U`.
        let mut scaled = vec![0f64; taps];
        for j in (0..taps).rev() {
            let behind = j + 1..taps;
            for k in behind.clone() {
                scaled[k] = h[j * taps + k] * d[k];
            }
            let own = dot(&h[j * taps + j + 1..(j + 1) * taps], &scaled[behind.clone()]);
            d[j] = h[j * taps + j] - own;
            if d[j].is_nan() || d[j] <= diagonal * 1e-9 {
                return None;
            }
            for i in 0..j {
                let known = dot(&h[i * taps + j + 1..(i + 1) * taps], &scaled[behind.clone()]);
                h[i * taps + j] = (h[i * taps + j] - known) / d[j];
            }
        }
        Some(Factors { taps, upper: h.iter().map(|&x| x as f32).collect() })
    }

    /// One output's weights, rounded in the order of the factors.
    fn round(&self, row: &[f32], order: &[usize], scale: f32, most: f32) -> Vec<f32> {
        let taps = self.taps;
        let mut corrected: Vec<f32> = order.iter().map(|&tap| row[tap]).collect();
        let mut rounded = Vec::with_capacity(taps);
        for (k, &tap) in order.iter().enumerate() {
            let value = (corrected[k] / scale).round_ties_even().clamp(-most, most) * scale;
            let error = row[tap] - value;
            rounded.push(value);
            if error != 0.0 {
                let factors = &self.upper[k * taps + k + 1..(k + 1) * taps];
                corrected[k + 1..].iter_mut().zip(factors).for_each(|(w, u)| *w += error * u);
            }
        }
        rounded
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

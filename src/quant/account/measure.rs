//! Sums of signal and noise, gathered while both graphs run.

use super::NO_NOISE;
use super::beside::{Beside, Part, Place};
use crate::graph::{Execute, Quant, ValueId};
use crate::quant::range::{Range, stands_for_infinity};
use crate::tensor::Tensor;

/// What was summed up at one place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sums {
    signal: f64,
    noise: f64,
    own: Option<f64>,
    elements: u64,
    clipped: u64,
    pub(super) range: Option<Range>,
    /// The largest magnitude but for one in a thousand.
    pub(super) usual: f32,
}

impl Sums {
    pub(super) fn add(&mut self, more: Sums) {
        self.signal += more.signal;
        self.noise += more.noise;
        self.own = more.own.map(|own| own + self.own.unwrap_or(0.0)).or(self.own);
        self.elements += more.elements;
        self.clipped += more.clipped;
        self.range = match (self.range, more.range) {
            (Some(a), Some(b)) => Some(a.hull(b)),
            (a, b) => a.or(b),
        };
        self.usual = self.usual.max(more.usual);
    }

    /// Signal to noise in dB.
    pub(super) fn sqnr(&self) -> f64 {
        decibels(self.signal, self.noise)
    }

    /// Signal to the noise of the node alone, where that was computed.
    pub(super) fn own(&self) -> Option<f64> {
        Some(decibels(self.signal, self.own?))
    }

    pub(super) fn clipped_share(&self) -> f64 {
        self.clipped as f64 / (self.elements as f64).max(1.0)
    }
}

/// At most [`NO_NOISE`] on either side of zero.
pub(in crate::quant) fn decibels(signal: f64, noise: f64) -> f64 {
    if noise == 0.0 {
        return NO_NOISE;
    }
    let ratio = 10.0 * (signal / noise).log10();
    if ratio.is_nan() { -NO_NOISE } else { ratio.clamp(-NO_NOISE, NO_NOISE) }
}

/// One run on one sample.
///
/// # Errors
/// What could not be run.
pub(super) fn measure(beside: &Beside, runs: &dyn Execute, inputs: &[Tensor]) -> Result<Vec<Sums>, String> {
    let mut sums = vec![Sums::default(); beside.places.len()];
    // Of the float graph, until all that is compared with it was seen.
    let mut held: Vec<Option<Vec<f32>>> = vec![None; beside.places.len()];
    let mut expected = vec![0; beside.places.len()];
    beside.parts.values().flatten().for_each(|&(i, _)| expected[i] += 1);
    let mut look = |id: ValueId, tensor: &Tensor| {
        for &(i, part) in beside.parts.get(&id).into_iter().flatten() {
            expected[i] -= 1;
            let place = &beside.places[i];
            let Some(values) = reals(tensor, beside.graph.value(id).quant.as_ref()) else { continue };
            match (part, &held[i]) {
                (Part::Float, _) => {
                    describe(&mut sums[i], place, &values);
                    held[i] = Some(values);
                }
                (Part::Quantized, Some(float)) => sums[i].noise += noise(place, float, &values),
                (Part::Own, Some(float)) => sums[i].own = Some(noise(place, float, &values)),
                (_, None) => {}
            }
            if expected[i] == 0 {
                held[i] = None;
            }
        }
    };
    runs.execute(inputs, &mut look)?;
    Ok(sums)
}

/// Real numbers that a tensor stands for.
pub(in crate::quant) fn reals(tensor: &Tensor, quant: Option<&Quant>) -> Option<Vec<f32>> {
    let stored = tensor.to_f32s().ok()?;
    let scaled = quant.filter(|_| tensor.dtype().is_int());
    match scaled {
        None => Some(stored),
        Some(quant) => {
            let (scale, zero_point) = quant.as_per_tensor()?;
            let zero_point = zero_point as f32;
            Some(stored.into_iter().map(|q| (q - zero_point) * scale).collect())
        }
    }
}

/// Numbers that mean something: no infinities, and none of those that stand for them.
fn counts(x: f32) -> bool {
    x.is_finite() && !stands_for_infinity(x)
}

fn clamped(x: f32, limits: Range) -> f32 {
    // NaN stays what it is.
    if x < limits.min {
        limits.min
    } else if x > limits.max {
        limits.max
    } else {
        x
    }
}

fn describe(sums: &mut Sums, place: &Place, values: &[f32]) {
    if place.exact {
        sums.signal += values.len() as f64;
        return;
    }
    let half = place.step / 2.0 * 1.001;
    let (least, greatest) = match place.range {
        Some(range) => (range.min - half, range.max + half),
        None => (f32::NEG_INFINITY, f32::INFINITY),
    };
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    for x in values.iter().copied().filter(|x| counts(*x)).map(|x| clamped(x, place.matters)) {
        sums.signal += f64::from(x) * f64::from(x);
        sums.elements += 1;
        sums.clipped += u64::from(x < least || x > greatest);
        (min, max) = (min.min(x), max.max(x));
    }
    sums.range = (min <= max).then_some(Range { min, max });
    sums.usual = usual(values);
}

/// The largest magnitude but for one in a thousand, of some ten thousand elements at even distances.
fn usual(values: &[f32]) -> f32 {
    const LOOKED_AT: usize = 1 << 14;
    let step = values.len().div_ceil(LOOKED_AT).max(1);
    let mut magnitudes: Vec<f32> = values.iter().step_by(step).map(|x| x.abs()).filter(|x| counts(*x)).collect();
    let Some(last) = magnitudes.len().checked_sub(1) else { return 0.0 };
    *magnitudes.select_nth_unstable_by(last - last.div_ceil(1000), f32::total_cmp).1
}

fn noise(place: &Place, float: &[f32], quantized: &[f32]) -> f64 {
    if float.len() != quantized.len() {
        return f64::INFINITY;
    }
    let pairs = float.iter().zip(quantized);
    if place.exact {
        return pairs.filter(|(x, q)| x != q).count() as f64;
    }
    let mut noise = 0.0;
    for (&x, &q) in pairs.filter(|(x, _)| counts(**x)) {
        let difference = f64::from(clamped(x, place.matters)) - f64::from(clamped(q, place.matters));
        noise += difference * difference;
    }
    if noise.is_nan() { f64::INFINITY } else { noise }
}

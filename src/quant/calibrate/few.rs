//! All that was seen, and what few samples can't have shown.
//!
//! The greatest element of a value differs from sample to sample. With few samples, that of the next one is likely to be greater
//! than all so far, and clipping it costs far more than somewhat coarser steps. Greatest elements of many follow a Gumbel law,
//! whose location grows with the logarithm of the number of samples: with its scale `b`, the greatest of `n` lies `b ln n` above their
//! mean on average. So `b` is estimated from the extremes and the mean of `n` samples, and a range is widened by `b ln(ENOUGH / n)`,
//! to what [`ENOUGH`] samples would have shown. With as many samples, nothing is widened.
//!
//! One estimate from a few samples is rough: it is averaged with what is typical of the model. Ends that were the same in all samples are
//! ends by nature (the zero of a `RELU`) and stay, no end crosses zero, none goes past what its operator can give, and none is moved
//! further than the largest magnitude seen.

use serde::Serialize;

use crate::quant::observe::{Observations, Seen, Statistics};
use crate::quant::range::Range;

/// Samples after which ranges are taken as they were seen.
const ENOUGH: f64 = 128.0;

/// What is typical of the model counts as much as so many samples of the value itself.
const TRUST: f64 = 4.0;

/// How much the extremes of a model's values differ between samples: the median of the scales of their laws, as parts of the largest
/// magnitude of each.
pub(super) fn typical_spread(all: &Observations) -> f64 {
    let spreads = |seen: &Seen| {
        let magnitude = magnitude(seen.range?);
        scales(seen).map(|scales| scales.map(|b| b / magnitude))
    };
    let mut known: Vec<f64> = all.values.values().filter_map(spreads).flatten().filter(|b| *b > 0.0).collect();
    known.sort_by(f64::total_cmp);
    known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// The range of a value in a model with this typical spread.
pub(super) fn range(seen: &Seen, typical: f64) -> Option<Range> {
    let range = seen.range?;
    let Some(scales) = scales(seen) else { return Some(range) };
    let (n, magnitude) = (seen.samples as f64, magnitude(range));
    let missing = (ENOUGH / n).ln().max(0.0);
    let [below, above] = scales.map(|own| match own > 0.0 {
        true => {
            let scale = (own * (n - 1.0) + typical * magnitude * TRUST) / (n - 1.0 + TRUST);
            (scale * missing).min(magnitude) as f32
        }
        false => 0.0,
    });
    let limits = Range {
        min: seen.bounds.min.unwrap_or(f32::MIN).max(if range.min >= 0.0 { 0.0 } else { f32::MIN }),
        max: seen.bounds.max.unwrap_or(f32::MAX).min(if range.max <= 0.0 { 0.0 } else { f32::MAX }),
    };
    Some(Range { min: range.min - below, max: range.max + above }.clamped_to(limits).hull(range))
}

/// How far ranges go beyond what was seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Widened {
    /// Values that have a range.
    pub values: usize,
    /// Those among them whose range is wider than what was seen.
    pub widened: usize,
    /// By how many percent, in the middle of those that are wider.
    pub median_percent: f64,
    /// By how many percent at most.
    pub most_percent: f64,
    /// The value that this is.
    pub most: String,
}

impl Widened {
    /// `None` where none is wider.
    pub fn of(seen: &Observations, chosen: &Statistics) -> Option<Widened> {
        let width = |range: Range| f64::from(range.max) - f64::from(range.min);
        let percent = |(id, seen): (&u32, &Seen)| {
            let (before, after) = (width(seen.range?), width(chosen.values.get(id)?.range?));
            (after > before && before > 0.0).then(|| ((after / before - 1.0) * 100.0, seen.name.clone()))
        };
        let mut wider: Vec<(f64, String)> = seen.values.iter().filter_map(percent).collect();
        wider.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ((median_percent, _), (most_percent, most)) = (wider.get(wider.len() / 2)?, wider.last()?);
        Some(Widened {
            values: chosen.values.values().filter(|value| value.range.is_some()).count(),
            widened: wider.len(),
            median_percent: *median_percent,
            most_percent: *most_percent,
            most: most.clone(),
        })
    }
}

/// The scales of the laws of both ends; `None` where one sample or none tells nothing of them.
fn scales(seen: &Seen) -> Option<[f64; 2]> {
    let (range, mean) = (seen.range?, seen.average()?);
    let rounds = (seen.samples as f64).ln();
    let scale = |from: f32, to: f32| (f64::from(to) - f64::from(from)) / rounds;
    (seen.samples > 1).then(|| [scale(range.min, mean.min), scale(mean.max, range.max)])
}

fn magnitude(range: Range) -> f64 {
    f64::from(range.max.max(-range.min))
}

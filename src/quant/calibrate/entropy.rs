//! The least Kullback-Leibler divergence between what was seen and what 8 bits can tell of it.

use super::between;
use crate::quant::observe::Histogram;
use crate::quant::range::Range;

/// Numbers of 8 bits. As narrow as this many bins a range may become, and no narrower: there each bin is a number of its own, and
/// nothing is left to compare.
const LEVELS: usize = 256;

/// Ranges that are tried.
const CANDIDATES: usize = 128;

/// What stands in for a probability of zero.
const SMOOTH: f64 = 1e-4;

/// Cuts both ends at one distance from zero, as TensorRT does; an end that lies nearer stays.
pub(super) fn range(histogram: &Histogram) -> Option<Range> {
    let (all, counts) = (histogram.range()?, histogram.counts());
    let ends = |bound: f64| {
        let first = (0..counts.len()).find(|&i| histogram.edge(i + 1) > -bound);
        let last = (0..counts.len()).rev().find(|&i| histogram.edge(i) < bound);
        first.zip(last).filter(|(first, last)| first <= last && last + 1 - first >= LEVELS)
    };
    let magnitude = f64::from(all.min.abs().max(all.max.abs()));
    let bounds = (1..=CANDIDATES).rev().map(|i| magnitude * i as f64 / CANDIDATES as f64);
    let mut best = (f64::INFINITY, 0, counts.len().checked_sub(1)?);
    for (first, last) in bounds.map_while(ends) {
        let divergence = divergence(counts, first, last);
        if divergence < best.0 {
            best = (divergence, first, last);
        }
    }
    between(histogram, best.1, best.2)
}

/// Of what the bins from `first` to `last` tell, with all others moved to the ends, from what [`LEVELS`] numbers tell of them.
fn divergence(counts: &[u64], first: usize, last: usize) -> f64 {
    let inside = &counts[first..=last];
    let (below, above): (u64, u64) = (counts[..first].iter().sum(), counts[last + 1..].iter().sum());
    let total = counts.iter().sum::<u64>() as f64;
    let kept = inside.iter().sum::<u64>() as f64;
    let moved = |i: usize| {
        let ends = if i == 0 { below } else { 0 } + if i == inside.len() - 1 { above } else { 0 };
        (inside[i] + ends) as f64 / total
    };
    let mut sum = 0.0;
    for level in 0..LEVELS {
        let bins = level * inside.len() / LEVELS..(level + 1) * inside.len() / LEVELS;
        let held: u64 = inside[bins.clone()].iter().sum();
        // The level's elements are spread evenly over its bins that hold any.
        let among = bins.clone().filter(|&i| moved(i) > 0.0).count().max(1) as f64;
        let told = (held as f64 / among / kept).max(SMOOTH / total);
        sum += bins.map(moved).filter(|p| *p > 0.0).map(|p| p * (p / told).ln()).sum::<f64>();
    }
    sum
}

//! What is kept of the values of a graph; its size does not depend on the number of samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::exact::ExactSum;
use super::histogram::Histogram;
use crate::quant::range::Range;

/// What was seen of one value over all samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Name of the value, to recognize the graph by.
    pub name: String,
    /// Samples in which it had finite elements.
    pub samples: u64,
    /// Hull of the finite elements; `None` where none was finite.
    pub range: Option<Range>,
    /// Sums of the least and of the greatest finite element of each sample.
    pub minima: ExactSum,
    pub maxima: ExactSum,
    /// See [`Observed`](super::Observed).
    pub lowest_row_maximum: Option<f32>,
    pub histogram: Histogram,
}

/// What was seen of every float value that depends on the inputs, by index of the value.
///
/// All of it are extremes, counts and exact sums, so it merges to the same bits in any order and grouping.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observations {
    pub samples: usize,
    pub values: BTreeMap<u32, Seen>,
}

impl Observations {
    /// What was seen on both sides; the same in whatever order and grouping.
    #[must_use]
    pub fn merge(mut self, other: Observations) -> Observations {
        self.samples += other.samples;
        for (id, theirs) in other.values {
            match self.values.get_mut(&id) {
                None => drop(self.values.insert(id, theirs)),
                Some(ours) => ours.merge(&theirs),
            }
        }
        self
    }
}

impl Seen {
    pub(super) fn new(name: &str) -> Seen {
        Seen { name: name.into(), ..Seen::default() }
    }

    /// Takes in one sample: hull of its finite elements, where it has any.
    pub(super) fn add(&mut self, range: Option<Range>) {
        let Some(sample) = range else { return };
        self.samples += 1;
        self.range = Some(self.range.map_or(sample, |range| range.hull(sample)));
        self.minima.add(sample.min);
        self.maxima.add(sample.max);
    }

    pub(super) fn lower_row_maximum(&mut self, maximum: Option<f32>) {
        self.lowest_row_maximum = either(self.lowest_row_maximum, maximum, f32::min);
    }

    fn merge(&mut self, other: &Seen) {
        self.samples += other.samples;
        self.range = either(self.range, other.range, Range::hull);
        self.minima.merge(other.minima);
        self.maxima.merge(other.maxima);
        self.lower_row_maximum(other.lowest_row_maximum);
        self.histogram.merge(&other.histogram);
    }

    /// The mean over samples of their least and greatest elements.
    pub fn average(&self) -> Option<Range> {
        let range = self.range?;
        let mean = |sum: ExactSum| (sum.to_f64() / self.samples as f64) as f32 + 0.0;
        Some(Range { min: mean(self.minima), max: mean(self.maxima) }.clamped_to(range))
    }
}

fn either<T>(a: Option<T>, b: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

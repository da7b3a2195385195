//! What is kept of the values of a graph; its size does not depend on the number of samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::exact::ExactSum;
use super::histogram::{COUNTED, Histogram};
use crate::quant::range::Range;

/// As many fit into an [`ExactSum`].
pub(super) const MOST_SAMPLES: u64 = 1 << 42;

/// Ends that no sample can go past, such as the zero of a `RELU`; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    pub min: Option<f32>,
    pub max: Option<f32>,
}

/// What was seen of one value over all samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Name of the value, to recognize the graph by.
    #[serde(skip)]
    pub name: String,
    /// Where it must lie whatever the sample is.
    pub bounds: Bounds,
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observations {
    pub samples: usize,
    pub values: BTreeMap<u32, Seen>,
}

impl Observations {
    /// What was seen on both sides; the same in whatever order and grouping.
    #[must_use]
    pub fn merge(mut self, other: Observations) -> Observations {
        self.samples += other.samples;
        merge_values(&mut self.values, other.values);
        self
    }

    /// What was seen in all parts.
    pub fn of_all(parts: impl IntoIterator<Item = Observations>) -> Observations {
        parts.into_iter().reduce(Observations::merge).unwrap_or_default()
    }
}

/// Values that one side alone has seen are taken over.
pub(super) fn merge_values<K: Ord>(ours: &mut BTreeMap<K, Seen>, theirs: BTreeMap<K, Seen>) {
    for (key, seen) in theirs {
        match ours.get_mut(&key) {
            None => drop(ours.insert(key, seen)),
            Some(ours) => ours.merge(&seen),
        }
    }
}

impl Seen {
    pub(super) fn new(name: &str, bounds: Range) -> Seen {
        let finite = |end: f32| Some(end).filter(|end| end.is_finite());
        let bounds = Bounds { min: finite(bounds.min), max: finite(bounds.max) };
        Seen { name: name.into(), bounds, ..Seen::default() }
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

    /// What can't be so, whatever the samples were; files may hold anything.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let finite = |x: Option<f32>| x.is_none_or(f32::is_finite);
        let ordered = |r: Range| r.min <= r.max && r.min.is_finite() && r.max.is_finite();
        let counted = self.histogram.counts().iter().try_fold(0u64, |sum, &count| sum.checked_add(count));
        let most = self.samples.saturating_mul(COUNTED as u64);
        if self.samples > MOST_SAMPLES {
            Some("has more samples than can be summed")
        } else if self.range.is_some() != (self.samples > 0) || !self.range.is_none_or(ordered) {
            Some("has no sound range")
        } else if !finite(self.bounds.min) || !finite(self.bounds.max) || !finite(self.lowest_row_maximum) {
            Some("has an end that is not finite")
        } else if !self.histogram.is_sound() || counted.is_none_or(|counted| counted > most) {
            Some("has no sound histogram")
        } else if self.histogram.range().is_some_and(|inner| !self.range.is_some_and(|outer| outer.holds(inner))) {
            Some("has a histogram of other numbers than its range")
        } else {
            None
        }
    }
}

fn either<T>(a: Option<T>, b: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

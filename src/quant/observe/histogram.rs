//! How often numbers of each size were seen, in bounded memory.

use serde::{Deserialize, Serialize};

use crate::quant::range::{Range, stands_for_infinity};

/// Bins are no more than this.
const BINS: i64 = 2048;

/// Elements of one tensor that are counted. More would tell nothing new, and counting costs more than computing some operators.
pub(super) const COUNTED: usize = 8192;

/// Counts in bins whose width is a power of two and which are aligned at zero.
///
/// The width is the least with which [`BINS`] of them cover all numbers seen. So it follows from the extremes alone, and a wider
/// bin is made of whole narrower ones: counts are the same in whatever order samples came and however they were dealt out.
/// Infinities and what stands for them are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Hull of the numbers, counted or not.
    range: Option<Range>,
    /// From the bin that holds the least number to the one that holds the greatest.
    counts: Vec<u64>,
}

/// Where the bins of a histogram lie.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bins {
    /// The width is two to the power of this.
    exponent: i32,
    /// The number of the first bin, which begins at as many widths from zero.
    first: i64,
    count: usize,
}

impl Bins {
    fn of(range: Range) -> Bins {
        let (min, max) = (f64::from(range.min), f64::from(range.max));
        let magnitude = min.abs().max(max.abs());
        // Finer than single numbers would be of no use, and the numbers of the bins must fit.
        let mut exponent = exponent_of(magnitude).saturating_sub(34).max(exponent_of(max - min) - 11).max(-149);
        loop {
            let (first, last) = (bin(range.min, exponent), bin(range.max, exponent));
            if last - first < BINS {
                return Bins { exponent, first, count: (last - first + 1) as usize };
            }
            exponent += 1;
        }
    }

    fn edge(&self, bin: usize) -> f64 {
        (self.first + bin as i64) as f64 * 2f64.powi(self.exponent)
    }
}

/// The exponent of a number, as if by a logarithm rounded down; that of zero is far below all others.
fn exponent_of(x: f64) -> i32 {
    (x.to_bits() >> 52 & 0x7ff) as i32 - 1023
}

/// The number of the bin that holds `x`. In `f64`: in `f32` a tiny negative number divided by a large width would come out as zero.
fn bin(x: f32, exponent: i32) -> i64 {
    floor(f64::from(x) * 2f64.powi(-exponent))
}

/// Without a call into the library, which processors without an instruction for it would take.
fn floor(x: f64) -> i64 {
    let truncated = x as i64;
    truncated - i64::from(x < truncated as f64)
}

impl Histogram {
    /// Takes in a tensor, all of whose moderate numbers lie in `range`: every number where there are few, else a part of them
    /// that is spread over the whole.
    pub(super) fn add(&mut self, values: &[f32], range: Range) {
        self.widen(range);
        let Some(bins) = self.bins() else { return };
        let inverse = 2f64.powi(-bins.exponent);
        for &x in values.iter().step_by(stride(values.len())) {
            if !stands_for_infinity(x)
                && let Some(count) = self.counts.get_mut((floor(f64::from(x) * inverse) - bins.first) as usize)
            {
                *count += 1;
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Histogram) {
        let (Some(range), Some(theirs)) = (other.range, other.bins()) else { return };
        self.widen(range);
        let Some(bins) = self.bins() else { return };
        add_up(&mut self.counts, bins, &other.counts, theirs);
    }

    /// Makes room for the numbers of `range`.
    fn widen(&mut self, range: Range) {
        let before = self.bins();
        let range = self.range.map_or(range, |ours| ours.hull(range));
        let bins = Bins::of(range);
        self.range = Some(range);
        if before == Some(bins) && self.counts.len() == bins.count {
            return;
        }
        let counts = std::mem::replace(&mut self.counts, vec![0; bins.count]);
        if let Some(before) = before {
            add_up(&mut self.counts, bins, &counts, before);
        }
    }

    fn bins(&self) -> Option<Bins> {
        self.range.map(Bins::of)
    }

    /// Hull of the numbers that are no stand-ins for infinity.
    pub fn range(&self) -> Option<Range> {
        self.range
    }

    /// Number of elements counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Counts of neighbouring bins, from the least numbers up.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Where bin `i` begins; that after the last is where the last one ends.
    pub fn edge(&self, i: usize) -> f64 {
        self.bins().map_or(0.0, |bins| bins.edge(i))
    }

    /// True where a histogram could have come to be so; files may hold others.
    pub fn is_sound(&self) -> bool {
        let finite = self.range.is_none_or(|r| r.min <= r.max && r.min.is_finite() && r.max.is_finite());
        finite && self.counts.len() == self.bins().map_or(0, |bins| bins.count)
    }
}

/// Adds the counts of `from` to those of `to`, whose bins are as wide or wider and cover it.
fn add_up(to: &mut [u64], bins: Bins, from: &[u64], from_bins: Bins) {
    let coarser = (bins.exponent - from_bins.exponent).clamp(0, 62);
    for (number, &count) in (from_bins.first..).zip(from) {
        if let Some(sum) = to.get_mut(((number >> coarser) - bins.first) as usize) {
            *sum = sum.saturating_add(count);
        }
    }
}

/// How far apart the elements are that are counted. Coprime to the number of all, and so to that of the channels: every channel has
/// its turn.
fn stride(len: usize) -> usize {
    let divides = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let mut stride = len.div_ceil(COUNTED).max(1);
    while divides(len, stride) > 1 {
        stride += 1;
    }
    stride
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        if let Some(range) = Range::of_moderate(values) {
            histogram.add(values, range);
        }
        histogram
    }

    #[test]
    fn few_numbers_are_all_counted_where_they_belong() {
        let histogram = of(&[-1.0, 0.0, 0.25, 0.25, 3.0]);
        assert_eq!(histogram.total(), 5);
        // 4 / 2048 is the width, and one more bin than there is room for would be needed.
        assert_eq!((histogram.edge(0), histogram.edge(1)), (-1.0, -1.0 + 4.0 / 1024.0));
        assert_eq!(histogram.counts()[320], 2);
        assert_eq!(histogram.counts()[1024], 1);
    }

    #[test]
    fn values_of_one_number_have_one_bin() {
        for x in [0.0, 5.0, -3e-40, f32::MIN_POSITIVE, 9e8] {
            let histogram = of(&[x; 7]);
            assert_eq!(histogram.counts(), [7], "{x}");
            assert!(histogram.edge(0) <= f64::from(x) && f64::from(x) < histogram.edge(1), "{x}");
        }
        assert_eq!(of(&[]), Histogram::default());
    }

    #[test]
    fn masks_are_left_out() {
        let histogram = of(&[f32::MIN, -2.0, 2.0, -1e9, f32::NEG_INFINITY]);
        assert_eq!((histogram.total(), histogram.range()), (2, Some(Range { min: -2.0, max: 2.0 })));
    }

    #[test]
    fn of_large_tensors_every_channel_is_counted() {
        for channels in [2, 3, 64, 320] {
            let values: Vec<f32> = (0..400 * 400 * channels).map(|i| (i % channels) as f32).collect();
            let histogram = of(&values);
            assert!((COUNTED as u64 / 2..=COUNTED as u64).contains(&histogram.total()));
            assert_eq!(histogram.counts().iter().filter(|count| **count > 0).count(), channels);
        }
    }

    fn numbers() -> impl Strategy<Value = Vec<f32>> {
        let some = prop_oneof![any::<u32>().prop_map(f32::from_bits), -4f32..4.0, Just(0.0), Just(-0.0), Just(-1e-45)];
        prop::collection::vec(some.prop_filter("a number", |x| !x.is_nan()), 0..12)
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter(samples in prop::collection::vec(numbers(), 0..6), cut in 0usize..6) {
            let merged = |samples: &[Vec<f32>]| {
                let mut all = Histogram::default();
                samples.iter().for_each(|sample| all.merge(&of(sample)));
                all
            };
            let expected = merged(&samples);
            let (a, b) = samples.split_at(cut.min(samples.len()));
            let mut grouped = merged(b);
            grouped.merge(&merged(a));
            prop_assert_eq!(&grouped, &expected);
            prop_assert_eq!(&of(&samples.concat()), &expected, "as one tensor");
            prop_assert!(expected.is_sound() && expected.counts().len() <= BINS as usize);
            let moderate = samples.iter().flatten().filter(|x| !stands_for_infinity(**x)).count();
            prop_assert_eq!(expected.total(), moderate as u64);
        }
    }
}

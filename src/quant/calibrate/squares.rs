//! The least mean of squared errors.

use super::between;
use crate::quant::observe::Histogram;
use crate::quant::range::Range;

/// Ends that are tried on either side.
const CANDIDATES: usize = 128;

/// Numbers of elements, their sum and the sum of their squares, over the bins before each.
struct Moments {
    sums: Vec<[f64; 3]>,
}

impl Moments {
    fn of(histogram: &Histogram) -> Moments {
        let mut sums = vec![[0.0; 3]];
        let mut sum = [0.0; 3];
        for (i, &count) in histogram.counts().iter().enumerate() {
            let x = (histogram.edge(i) + histogram.edge(i + 1)) / 2.0;
            let n = count as f64;
            sum = [sum[0] + n, sum[1] + n * x, sum[2] + n * x * x];
            sums.push(sum);
        }
        Moments { sums }
    }

    /// Of the bins from `first` to before `end`.
    fn between(&self, first: usize, end: usize) -> [f64; 3] {
        let at = |i: usize| self.sums[i.min(self.sums.len() - 1)];
        let (a, b) = (at(first), at(end.max(first)));
        [b[0] - a[0], b[1] - a[1], b[2] - a[2]]
    }

    /// Sum of squared distances to `x`.
    fn around(&self, first: usize, end: usize, x: f64) -> f64 {
        let [n, sum, squares] = self.between(first, end);
        (squares - 2.0 * x * sum + x * x * n).max(0.0)
    }
}

pub(super) fn range(histogram: &Histogram) -> Option<Range> {
    let count = histogram.counts().len();
    let moments = Moments::of(histogram);
    // The bin in which zero lies, or the nearest to it: zero is always a number of its own.
    let zero = (0..count).find(|&i| histogram.edge(i + 1) > 0.0).unwrap_or(count.checked_sub(1)?);
    let error = |first: usize, last: usize| {
        let (low, high) = (histogram.edge(first).min(0.0), histogram.edge(last + 1).max(0.0));
        let step = (high - low) / 255.0;
        // Numbers nearer to zero than half a step become zero.
        let width = histogram.edge(zero + 1) - histogram.edge(zero);
        let reach = (step / 2.0 / width) as usize;
        let (before, after) = (zero.saturating_sub(reach).max(first), (zero + reach).min(last + 1));
        let near = if before < after { moments.around(before, after, 0.0) } else { 0.0 };
        let [rounded, ..] = moments.between(first, last + 1);
        let [vanished, ..] = moments.between(before, after.max(before));
        let cut = moments.around(0, first, low) + moments.around(last + 1, count, high);
        cut + near + (rounded - vanished) * step * step / 12.0
    };
    let mut best = (f64::INFINITY, 0, count - 1);
    for first in candidates(zero) {
        for last in candidates(count - 1 - zero) {
            let last = count - 1 - last;
            let error = error(first, last);
            if error < best.0 {
                best = (error, first, last);
            }
        }
    }
    between(histogram, best.1, best.2)
}

/// Numbers of bins to be left out at an end, none first, at last all of `most`: the fewer are left, the finer the steps.
fn candidates(most: usize) -> impl Iterator<Item = usize> {
    let count = CANDIDATES.min(most);
    (0..=count).rev().map(move |i| most - if count == 0 { 0 } else { i * i * most / (count * count) })
}

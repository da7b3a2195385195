//! All but the rarest numbers.

use super::between;
use crate::quant::observe::Histogram;
use crate::quant::range::Range;

/// The range that holds `percent` of the elements and more: what lies outside is no more than half of the others at either end.
pub(super) fn range(histogram: &Histogram, percent: f64) -> Option<Range> {
    let rare = histogram.total() as f64 * (100.0 - percent.clamp(0.0, 100.0)) / 200.0;
    // An exact multiple must not turn on how the division was rounded.
    let rare = rare * (1.0 + 1e-9);
    let first = kept(histogram.counts().iter(), rare)?;
    let last = histogram.counts().len() - 1 - kept(histogram.counts().iter().rev(), rare)?;
    between(histogram, first.min(last), last.max(first))
}

/// How many bins hold no more than `rare` elements together.
fn kept<'a>(counts: impl Iterator<Item = &'a u64>, rare: f64) -> Option<usize> {
    let mut sum = 0;
    counts.into_iter().position(|count| {
        sum += count;
        sum as f64 > rare
    })
}

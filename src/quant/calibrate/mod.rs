//! Chooses a range for every value from what was seen of it.
//!
//! A range that leaves rare numbers out makes steps finer for all others. Which numbers are rare enough is what the methods differ
//! in; names are those of ONNX Runtime and TensorRT. What an end stands for infinity is kept by all of them: it is for the solver to say
//! what of it matters.

mod entropy;
mod few;
mod percentile;
mod squares;
mod table;

pub use few::Widened;
pub use table::{RangeTable, TableReport};

use std::collections::BTreeMap;

use serde::Deserialize;

use super::observe::{Histogram, Observations, Observed, Seen, Statistics};
use super::range::{Range, stands_for_infinity};

/// How a range follows from what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// All that was seen, widened by what few samples are likely to have missed.
    #[default]
    Auto,
    /// All that was seen.
    MinMax,
    /// The mean over samples of their least and greatest elements, ONNX Runtime's moving average.
    Average,
    /// All but the rarest: so many percent of the elements, half of the others being cut off at either end.
    Percentile(f64),
    /// Where 8 bits tell most about the distribution: the least Kullback-Leibler divergence.
    Entropy,
    /// Where rounding and cutting off together change elements least: the least mean of squared errors.
    Mse,
}

impl Observations {
    /// The range of every value by this method.
    pub fn statistics(&self, method: Method) -> Statistics {
        let typical = few::typical_spread(self);
        let observed = |seen: &Seen| Observed {
            name: seen.name.clone(),
            range: method.range(seen, typical),
            lowest_row_maximum: seen.lowest_row_maximum,
        };
        let values: BTreeMap<u32, Observed> = self.values.iter().map(|(&id, seen)| (id, observed(seen))).collect();
        Statistics { samples: self.samples, values }
    }
}

impl Method {
    fn range(self, seen: &Seen, typical: f64) -> Option<Range> {
        let all = seen.range?;
        let histogram = &seen.histogram;
        let chosen = match self {
            Method::Auto => few::range(seen, typical),
            Method::MinMax => Some(all),
            Method::Average => seen.average(),
            Method::Percentile(percent) => percentile::range(histogram, percent),
            Method::Entropy => entropy::range(histogram),
            Method::Mse => squares::range(histogram),
        };
        let end = |seen: f32, chosen: f32| if stands_for_infinity(seen) { seen } else { chosen };
        let chosen = chosen.unwrap_or(all);
        Some(Range { min: end(all.min, chosen.min), max: end(all.max, chosen.max) })
    }
}

/// What is from the beginning of bin `first` to the end of bin `last`, but no more than was seen.
fn between(histogram: &Histogram, first: usize, last: usize) -> Option<Range> {
    let range = histogram.range()?;
    let whole = Range { min: histogram.edge(first) as f32, max: histogram.edge(last + 1) as f32 };
    Some(whole.clamped_to(range))
}

#[cfg(test)]
mod tests;

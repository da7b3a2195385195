//! Least and greatest elements of a tensor.

use crate::quant::range::Range;

/// One pass over the elements.
pub(super) struct Extremes {
    /// Sound where nothing is infinite or NaN.
    pub range: Option<Range>,
    pub nan: bool,
    pub infinite: bool,
}

impl Extremes {
    /// Sixteen lanes of minima and maxima, which the compiler keeps in vector registers.
    pub fn of(values: &[f32]) -> Extremes {
        const LANES: usize = 16;
        let (mut min, mut max, mut sum) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], [0f32; LANES]);
        let chunks = values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &x) in chunk.iter().enumerate() {
                min[lane] = if x < min[lane] { x } else { min[lane] };
                max[lane] = if x > max[lane] { x } else { max[lane] };
                // Zero times a number is zero, and NaN for what is no finite number.
                sum[lane] += x * 0.0;
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            min[lane] = if x < min[lane] { x } else { min[lane] };
            max[lane] = if x > max[lane] { x } else { max[lane] };
            sum[lane] += x * 0.0;
        }
        let (min, max) =
            (min.into_iter().fold(f32::INFINITY, f32::min), max.into_iter().fold(f32::NEG_INFINITY, f32::max));
        let all_finite = !sum.iter().any(|s| s.is_nan());
        let nan = !all_finite && values.iter().any(|x| x.is_nan());
        let range = (min <= max).then_some(Range { min: min + 0.0, max: max + 0.0 });
        Extremes { range, nan, infinite: !all_finite && values.iter().any(|x| x.is_infinite()) }
    }
}

/// A row whose largest element is below this is masked as a whole: nobody reads its softmax.
const MASKED: f32 = -1e3;

pub(super) fn lowest_row_maximum(values: &[f32], row: usize) -> Option<f32> {
    let maxima = values.chunks_exact(row.max(1)).map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    maxima.filter(|&max| max > MASKED).reduce(f32::min).map(|x| x + 0.0)
}

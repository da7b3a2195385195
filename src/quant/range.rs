//! Intervals of real numbers, and the scales and zero points that 8 bits cover them with.

use serde::{Deserialize, Serialize};

use crate::graph::Quant;

/// An interval; its ends may be infinite where it says what matters and not what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    pub min: f32,
    pub max: f32,
}

/// Numbers this large are no results of arithmetic that means anything: exporters write `-inf`, the lowest `float32` or -1e9 where
/// a maximum or a softmax is to pass an element over.
pub(super) fn stands_for_infinity(x: f32) -> bool {
    x.abs() >= 1e9
}

impl Range {
    pub(super) const EVERYTHING: Range = Range { min: f32::NEG_INFINITY, max: f32::INFINITY };

    /// Hull of the finite elements; `None` where there are none.
    pub fn of(values: &[f32]) -> Option<Range> {
        let finite = values.iter().copied().filter(|x| x.is_finite());
        finite.fold(None, |hull: Option<Range>, x| {
            let x = x + 0.0; // -0.0 becomes 0.0: which of the two comes first must not show in the bytes
            Some(hull.map_or(Range { min: x, max: x }, |h| Range { min: h.min.min(x), max: h.max.max(x) }))
        })
    }

    /// Hull of the elements that are numbers in earnest, no stand-ins for infinity.
    pub(super) fn of_moderate(values: &[f32]) -> Option<Range> {
        let moderate: Vec<f32> = values.iter().copied().filter(|x| !stands_for_infinity(*x)).collect();
        Range::of(&moderate)
    }

    /// The smallest interval that holds both.
    pub fn hull(self, other: Range) -> Range {
        Range { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// With each end moved to the nearest point of `limits`.
    pub(super) fn clamped_to(self, limits: Range) -> Range {
        let clamp = |x: f32| x.max(limits.min).min(limits.max);
        Range { min: clamp(self.min), max: clamp(self.max) }
    }

    pub(super) fn holds(self, other: Range) -> bool {
        self.min <= other.min && other.max <= self.max
    }

    /// With zero inside: zero must be a number of every quantized value, for padding and for what was never seen.
    pub(super) fn with_zero(self) -> Range {
        self.hull(Range { min: 0.0, max: 0.0 })
    }
}

/// Scale and zero point of a whole tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// Real distance of neighbours.
    pub scale: f32,
    /// What stands for zero.
    pub zero_point: i32,
}

/// Products of two scales, and ratios of one to such a product, must stay normal numbers: interpreters crash on others.
const SCALES: std::ops::RangeInclusive<f64> = 1e-12..=Params::COARSEST as f64;

impl Params {
    /// The largest scale that values get.
    pub(super) const COARSEST: f32 = 1e12;

    pub const fn new(scale: f32, zero_point: i32) -> Params {
        Params { scale, zero_point }
    }

    /// The finest that cover `range` and zero with all 256 numbers of 8 bits (quantization-spec, section 1).
    pub fn asymmetric(range: Range) -> Params {
        let Range { min, max } = range.with_zero();
        let scale = Params::sane((f64::from(max) - f64::from(min)) / 255.0);
        let zero_point = (-128.0 - f64::from(min) / f64::from(scale)).round_ties_even();
        Params { scale, zero_point: zero_point.clamp(-128.0, 127.0) as i32 }
    }

    /// The finest that cover `range` with 8 bits and zero at 0.
    pub fn symmetric(range: Range) -> Params {
        let bound = f64::from(range.min.abs().max(range.max.abs()));
        Params { scale: Params::sane(bound / 127.0), zero_point: 0 }
    }

    /// The finest that cover `range` with 16 bits; -32768 stays unused, as in quantizers elsewhere.
    pub fn symmetric_16(range: Range) -> Params {
        let bound = f64::from(range.min.abs().max(range.max.abs()));
        Params { scale: if bound == 0.0 { 1.0 / 32768.0 } else { Params::sane(bound / 32767.0) }, zero_point: 0 }
    }

    /// `scale` where interpreters take it. A value that was always zero has no scale of its own and gets that of ±1.
    pub(super) fn sane(scale: f64) -> f32 {
        if scale == 0.0 { 1.0 / 128.0 } else { scale.clamp(*SCALES.start(), *SCALES.end()) as f32 }
    }
}

impl From<Params> for Quant {
    fn from(params: Params) -> Quant {
        Quant::per_tensor(params.scale, params.zero_point.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::*;

    fn range(min: f32, max: f32) -> Range {
        Range { min, max }
    }

    #[test]
    fn zero_is_always_a_number_of_its_own() {
        for r in [range(-1.0, 1.0), range(0.3, 5.0), range(-7.0, -2.0), range(-0.013, 255.0), range(0.0, 1e-30)] {
            let params = Params::asymmetric(r);
            let (stored, exact) = Form::int8(params).store(0.0);
            assert!(exact && stored == f64::from(params.zero_point), "{r:?}");
        }
    }

    #[test]
    fn the_whole_range_is_covered_within_half_a_step() {
        for r in [range(-1.0, 1.0), range(0.0, 6.0), range(-7.0, 2.0), range(-0.013, 255.0), range(2.0, 3.0)] {
            let params = Params::asymmetric(r);
            let covered = Form::int8(params).range();
            let half = params.scale / 2.0 * 1.0001;
            assert!(covered.min <= r.min + half && covered.max >= r.max - half, "{r:?} by {params:?}: {covered:?}");
        }
        assert_eq!(Params::asymmetric(range(0.0, 25.5)), Params::new(0.1, -128));
        assert_eq!(Params::symmetric(range(-1.0, 12.7)), Params::new(0.1, 0));
    }

    #[test]
    fn ranges_without_extent_or_with_too_much_get_normal_scales() {
        for r in [range(0.0, 0.0), range(0.0, 1e-40), range(f32::MIN, f32::MAX)] {
            for params in [Params::asymmetric(r), Params::symmetric(r), Params::symmetric_16(r)] {
                assert!((params.scale * params.scale).is_normal(), "{r:?} by {params:?}");
            }
        }
    }

    #[test]
    fn stand_ins_for_infinity_saturate_and_do_not_widen() {
        let values = [f32::MIN, -2.0, 3.0, f32::NEG_INFINITY, -1e9];
        assert_eq!(Range::of_moderate(&values), Some(range(-2.0, 3.0)));
        let form = Form::int8(Params::asymmetric(range(-2.0, 3.0)));
        assert_eq!(form.store(f32::NEG_INFINITY), (-128.0, false));
        assert_eq!(Range::of(&[f32::INFINITY]), None);
    }
}

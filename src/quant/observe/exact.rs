//! Sums of `float32` numbers without rounding.

use serde::{Deserialize, Serialize};

const WORDS: usize = 5;

/// Exponent of the unit: the least `float32` is one.
const UNIT: i32 = -149;

/// A sum that is the same in whatever order its terms came: an integer of 320 bits in units of the least `float32`. The largest
/// one takes 277 bits, so 2^42 of them fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExactSum {
    /// Two's complement, low words first.
    words: [u64; WORDS],
}

impl ExactSum {
    /// Takes in a finite number.
    pub fn add(&mut self, x: f32) {
        let bits = x.to_bits();
        let exponent = (bits >> 23) & 0xff;
        let fraction = u64::from(bits & 0x7f_ffff);
        // Subnormal numbers have the exponent of the least normal ones, without the hidden bit.
        let (mantissa, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 23, exponent - 1) };
        let (word, shift) = ((shift / 64) as usize, shift % 64);
        let mut term = [0; WORDS];
        let wide = u128::from(mantissa) << shift;
        for (to, part) in term[word.min(WORDS - 1)..].iter_mut().zip([wide as u64, (wide >> 64) as u64]) {
            *to = part;
        }
        let term = ExactSum { words: term };
        self.merge(if bits >> 31 == 1 { term.negated() } else { term });
    }

    pub fn merge(&mut self, other: ExactSum) {
        let mut carry = false;
        for (word, theirs) in self.words.iter_mut().zip(other.words) {
            let (sum, over) = word.overflowing_add(theirs);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, over || again);
        }
    }

    fn negated(self) -> ExactSum {
        let mut result = ExactSum { words: self.words.map(|word| !word) };
        let mut one = ExactSum::default();
        one.words[0] = 1;
        result.merge(one);
        result
    }

    /// The nearest number, but for a rounding or two.
    pub fn to_f64(self) -> f64 {
        let negative = self.words[WORDS - 1] >> 63 == 1;
        let magnitude = if negative { self.negated() } else { self };
        let scale = |word: usize| 2f64.powi(64 * word as i32 + UNIT);
        let sum: f64 = magnitude.words.iter().enumerate().rev().map(|(i, &word)| word as f64 * scale(i)).sum();
        if negative { -sum } else { sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(terms: &[f32]) -> ExactSum {
        let mut sum = ExactSum::default();
        terms.iter().for_each(|&x| sum.add(x));
        sum
    }

    #[test]
    fn nothing_is_lost_beside_the_largest_numbers() {
        let least = f32::from_bits(1);
        assert_eq!(sum(&[f32::MAX, least, -f32::MAX]).to_f64(), f64::from(least));
        assert_eq!(sum(&[1e30, 1.0, -1e30, -3.5]).to_f64(), -2.5);
        assert_eq!(sum(&[f32::MIN; 4]).to_f64(), 4.0 * f64::from(f32::MIN));
        assert_eq!(sum(&[-0.0, 0.0]), ExactSum::default());
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter(
            terms in prop::collection::vec(any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite()), 0..20),
            cut in 0usize..20,
        ) {
            let (a, b) = terms.split_at(cut.min(terms.len()));
            let mut merged = sum(b);
            merged.merge(sum(a));
            prop_assert_eq!(merged, sum(&terms));
            let negative: Vec<f32> = terms.iter().rev().map(|x| -x).collect();
            merged.merge(sum(&negative));
            prop_assert_eq!(merged, ExactSum::default());
        }

        #[test]
        fn integers_sum_as_integers(terms in prop::collection::vec(-1_000_000i32..1_000_000, 0..50)) {
            let floats: Vec<f32> = terms.iter().map(|&x| x as f32 / 64.0).collect();
            prop_assert_eq!(sum(&floats).to_f64(), terms.iter().map(|&x| f64::from(x)).sum::<f64>() / 64.0);
        }
    }
}

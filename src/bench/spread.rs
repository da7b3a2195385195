use serde::Serialize;

/// Order statistics of some numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub min: f64,
    /// A tenth of the numbers is no greater.
    pub p10: f64,
    pub median: f64,
    /// A tenth of the numbers is no less.
    pub p90: f64,
    pub max: f64,
}

impl Spread {
    /// All zero where there are no numbers.
    pub fn of(mut numbers: Vec<f64>) -> Spread {
        numbers.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (numbers.first(), numbers.last()) else { return Spread::default() };
        let quantile = |q: f64| {
            let at = q * (numbers.len() - 1) as f64;
            let (low, high) = (numbers[at.floor() as usize], numbers[at.ceil() as usize]);
            low + (high - low) * at.fract()
        };
        Spread { count: numbers.len(), min, p10: quantile(0.1), median: quantile(0.5), p90: quantile(0.9), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_numbers() {
        let spread = Spread::of((0..=10).rev().map(f64::from).collect());
        assert_eq!(spread, Spread { count: 11, min: 0.0, p10: 1.0, median: 5.0, p90: 9.0, max: 10.0 });
        assert_eq!(Spread::of(vec![1.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of(vec![]), Spread::default());
    }
}

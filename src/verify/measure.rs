use std::fmt;

use serde::Serialize;

use crate::tensor::{Tensor, TensorError};

/// How far one output is from what it should be, over all samples.
#[derive(Debug, Clone, Serialize)]
pub struct OutputReport {
    pub name: String,
    #[serde(flatten)]
    pub difference: Difference,
}

impl OutputReport {
    pub fn new(name: &str) -> OutputReport {
        OutputReport { name: name.into(), difference: Difference::default() }
    }
}

/// Sums from which the measures follow; further samples can be added.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Difference {
    /// Sum of squares of what is expected.
    pub signal: f64,
    /// Sum of squares of the difference.
    pub noise: f64,
    pub max_abs: f64,
    pub elements: u64,
    /// Elements that are not equal at all: NaN or infinite on one side only, or unequal integers.
    pub mismatched: u64,
    /// Those of them that no number of dB can tell of: NaN or infinite on one side.
    pub nonfinite: u64,
}

impl Difference {
    /// # Errors
    /// Where a side is no tensor of numbers, or the element types differ.
    pub fn add(&mut self, expected: &Tensor, found: &Tensor) -> Result<(), TensorError> {
        if expected.dtype() != found.dtype() && !(expected.dtype().is_float() && found.dtype().is_float()) {
            return Err(TensorError::DType { wanted: expected.dtype(), actual: found.dtype() });
        }
        let exact = !expected.dtype().is_float();
        let (expected, found) = (expected.to_f64s()?, found.to_f64s()?);
        self.elements += expected.len() as u64;
        for (&e, &f) in expected.iter().zip(&found) {
            let same_nonfinite = (e.is_nan() && f.is_nan()) || e == f;
            if !(e.is_finite() && f.is_finite()) {
                self.mismatched += u64::from(!same_nonfinite);
                self.nonfinite += u64::from(!same_nonfinite);
                continue;
            }
            self.signal += e * e;
            self.noise += (e - f) * (e - f);
            self.max_abs = self.max_abs.max((e - f).abs());
            self.mismatched += u64::from(exact && e != f);
        }
        Ok(())
    }

    /// Signal to noise in dB: infinite where all is equal, negative infinite where something can't be compared.
    pub fn db(&self) -> f64 {
        let db = 10.0 * (self.signal / self.noise).log10();
        match self.noise {
            _ if self.nonfinite > 0 => f64::NEG_INFINITY,
            0.0 => f64::INFINITY,
            // Sums past all numbers.
            _ if db.is_nan() => f64::NEG_INFINITY,
            _ => db,
        }
    }
}

impl fmt::Display for OutputReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.difference;
        match d.db() {
            db if db.is_finite() => write!(f, "{:<32} {db:>8.2} dB", self.name)?,
            db if db > 0.0 => write!(f, "{:<32} {:>11}", self.name, "equal")?,
            _ => write!(f, "{:<32} {:>11}", self.name, "different")?,
        }
        write!(f, "   max |error| {:.3e} over {} elements", d.max_abs, d.elements)?;
        if d.mismatched > 0 { write!(f, ", {} mismatched", d.mismatched) } else { Ok(()) }
    }
}

/// How often the first output is largest where the label says: of classes, the right one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Accuracy {
    pub samples: u64,
    /// Samples that the file gets right.
    pub file: u64,
    /// Samples that the ONNX model gets right.
    pub model: u64,
}

impl Accuracy {
    /// # Errors
    /// Where a side is no tensor of numbers.
    pub fn add(&mut self, label: i64, expected: &Tensor, found: &Tensor) -> Result<(), TensorError> {
        self.samples += 1;
        self.file += u64::from(largest(found)? == label);
        self.model += u64::from(largest(expected)? == label);
        Ok(())
    }

    /// What part of the samples the file gets right.
    pub fn of_file(&self) -> f64 {
        self.file as f64 / self.samples.max(1) as f64
    }

    /// Percent of the samples that the file gets wrong beyond those of the ONNX model; below 0 where it is better.
    pub fn drop(&self) -> f64 {
        100.0 * (self.of_model() - self.of_file())
    }

    /// What part of the samples the ONNX model gets right.
    pub fn of_model(&self) -> f64 {
        self.model as f64 / self.samples.max(1) as f64
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, model) = (100.0 * self.of_file(), 100.0 * self.of_model());
        write!(f, "accuracy {file:.2} % of {} labels, of the ONNX model {model:.2} %", self.samples)
    }
}

/// Where the largest element is: the first of equals; -1 in no elements.
fn largest(tensor: &Tensor) -> Result<i64, TensorError> {
    let mut best = (-1, f64::NEG_INFINITY);
    for (i, x) in tensor.to_f64s()?.into_iter().enumerate() {
        if x > best.1 {
            best = (i as i64, x);
        }
    }
    Ok(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expected: Vec<f32>, found: Vec<f32>) -> Difference {
        let mut difference = Difference::default();
        difference.add(&Tensor::vector(expected), &Tensor::vector(found)).unwrap();
        difference
    }

    #[test]
    fn ten_percent_off_is_twenty_db() {
        assert!((of(vec![1.0, 0.0], vec![1.1, 0.0]).db() - 20.0).abs() < 1e-4);
        assert_eq!(of(vec![1.0, f32::NAN], vec![1.0, f32::NAN]).db(), f64::INFINITY);
    }

    #[test]
    fn labels_are_counted_on_both_sides() {
        let mut accuracy = Accuracy::default();
        let [first, second] = [[3.0f32, 1.0], [1.0, 3.0]].map(|x| Tensor::vector(x.to_vec()));
        accuracy.add(0, &first, &second).unwrap();
        accuracy.add(1, &second, &second).unwrap();
        assert_eq!((accuracy.of_model(), accuracy.of_file(), accuracy.drop()), (1.0, 0.5, 50.0));
        assert_eq!(largest(&Tensor::vector(Vec::<f32>::new())).unwrap(), -1);
    }

    #[test]
    fn a_nan_on_one_side_is_never_fine() {
        assert_eq!(of(vec![1.0, 2.0], vec![1.0, f32::NAN]).db(), f64::NEG_INFINITY);
        assert_eq!(of(vec![1.0, 2.0], vec![1.000001, f32::NAN]).db(), f64::NEG_INFINITY);
        assert_eq!(of(vec![1.0, f32::INFINITY], vec![1.000001, f32::NEG_INFINITY]).db(), f64::NEG_INFINITY);
    }
}

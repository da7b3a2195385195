//! ONNX operators on signals: `DFT`, `STFT`, windows, `MelWeightMatrix`.
//!
//! Owns: the discrete Fourier transform as a product with a matrix, of constants where lengths are known. It is exact for any length, in
//! each direction, for real and complex signals; complex numbers are a last axis of two.

mod dft;
mod mel;
mod run_time;
mod stft;
mod windows;

pub(super) use dft::{dft, half_spectrum};
pub(super) use mel::mel_weight_matrix;
pub(super) use stft::stft;
pub(super) use windows::window;

use super::{Refusal, countable};

/// A discrete Fourier transform.
struct Transform {
    /// Of the whole signal: what is missing counts as 0.
    length: usize,
    inverse: bool,
    /// Of a spectrum whose other half is its mirror image, only the first half is given, or taken.
    one_sided: bool,
}

impl Transform {
    /// Numbers along the transformed axis, and for each of them, that come out.
    fn result(&self) -> (usize, usize) {
        match (self.one_sided, self.inverse) {
            (true, false) => (self.length / 2 + 1, 2),
            (true, true) => (self.length, 1),
            (false, _) => (self.length, 2),
        }
    }

    /// The matrix that makes the result of `given` numbers of `parts` parts each: rows of the result, `(number, part)`, by columns of
    /// the operand, `(number, part)`.
    fn matrix(&self, given: usize, parts: usize) -> Result<Vec<f64>, Refusal> {
        let (numbers, result_parts) = self.result();
        countable(&[self.length])?;
        let size = countable(&[numbers, result_parts, given, parts])?;
        let angles: Vec<(f64, f64)> =
            (0..self.length).map(|i| (std::f64::consts::TAU * i as f64 / self.length as f64).sin_cos()).collect();
        let mut matrix = Vec::with_capacity(size);
        for to in 0..numbers {
            for result_part in 0..result_parts {
                for from in 0..given {
                    let (sin, cos) = angles.get((to * from) % self.length.max(1)).copied().unwrap_or_default();
                    let factor = self.factor(from);
                    let sin = if self.inverse { sin } else { -sin };
                    // (re, im) of the product with cos + i sin.
                    let row = if result_part == 0 { [cos, -sin] } else { [sin, cos] };
                    matrix.extend(row[..parts].iter().map(|x| x * factor));
                }
            }
        }
        Ok(matrix)
    }

    /// What number `from` of the operand counts for.
    fn factor(&self, from: usize) -> f64 {
        let scale = if self.inverse { 1.0 / self.length as f64 } else { 1.0 };
        let mirrored = self.one_sided && self.inverse;
        match from {
            _ if from >= self.length || (mirrored && from > self.length / 2) => 0.0,
            _ if mirrored && from != 0 && from * 2 != self.length => 2.0 * scale,
            _ => scale,
        }
    }
}

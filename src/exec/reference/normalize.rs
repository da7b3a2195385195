//! Operators that relate each element to its neighbours on the last axis.

use super::super::KernelError;
use super::dims_of;
use crate::tensor::Tensor;

/// Rewrites each row along the last axis; `FLOAT32` only.
fn rows(x: &Tensor, rewrite: impl Fn(&mut [f32])) -> Result<Tensor, KernelError> {
    let row = x.shape().last().copied();
    let row = row.ok_or_else(|| KernelError::operands("a scalar has no axis to normalize over"))?;
    let mut values = x.view::<f32>()?.into_owned();
    values.chunks_exact_mut(row.max(1)).for_each(rewrite);
    Ok(Tensor::from_vec(x.shape(), values))
}

fn greatest(row: &[f32]) -> f32 {
    row.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `e^(beta x)`, each row divided by its sum.
pub(in crate::exec) fn softmax(x: &Tensor, beta: f32) -> Result<Tensor, KernelError> {
    rows(x, |row| {
        let most = greatest(row);
        let mut sum = 0.0;
        for x in row.iter_mut() {
            *x = ((*x - most) * beta).exp();
            sum += *x;
        }
        row.iter_mut().for_each(|x| *x /= sum);
    })
}

pub(in crate::exec) fn log_softmax(x: &Tensor) -> Result<Tensor, KernelError> {
    rows(x, |row| {
        let most = greatest(row);
        let sum: f32 = row.iter().map(|x| (x - most).exp()).sum();
        let shift = most + sum.ln();
        row.iter_mut().for_each(|x| *x -= shift);
    })
}

/// Each row divided by its length; rows of zeros stay.
pub(in crate::exec) fn l2(x: &Tensor) -> Result<Tensor, KernelError> {
    rows(x, |row| {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        row.iter_mut().for_each(|x| *x /= length);
    })
}

/// `x / (bias + alpha * sum of squares)^beta`, summed over the channels up to `radius` away.
pub(in crate::exec) fn local_response(
    x: &Tensor,
    radius: usize,
    [bias, alpha, beta]: [f32; 3],
) -> Result<Tensor, KernelError> {
    dims_of::<4>(x)?;
    rows(x, |row| {
        let squares: Vec<f32> = row.iter().map(|x| x * x).collect();
        for (c, x) in row.iter_mut().enumerate() {
            let window = &squares[c.saturating_sub(radius)..(c + radius + 1).min(squares.len())];
            *x /= (bias + alpha * window.iter().sum::<f32>()).powf(beta);
        }
    })
}

//! Between real numbers and the integers that store them.

use super::super::KernelError;
use super::strided::row_major;
use super::{no_kernel, scalar};
use crate::graph::Quant;
use crate::tensor::{DType, Tensor};

/// Scale and zero point of each element, by its place in the tensor.
struct Affine<'a> {
    scale: &'a [f32],
    zero_point: &'a [i64],
    /// Elements that follow each other under one pair.
    run: usize,
}

impl<'a> Affine<'a> {
    fn new(quant: &'a Quant, shape: &[usize]) -> Result<Affine<'a>, KernelError> {
        let Quant::Affine { scale, zero_point, axis } = quant else {
            return Err(KernelError::unsupported("scales for runs of elements, other than of constants"));
        };
        let fits = scale.len() == zero_point.len() && (scale.len() == 1 || shape.get(*axis) == Some(&scale.len()));
        if !fits {
            return Err(KernelError::operands(format!("{} scales along axis {axis} of {shape:?}", scale.len())));
        }
        let run = row_major(shape).get(*axis).map_or(1, |&stride| stride as usize);
        Ok(Affine { scale, zero_point, run: run.max(1) })
    }

    fn pair(&self, flat: usize) -> (f32, i64) {
        let i = flat / self.run % self.scale.len();
        (self.scale[i], self.zero_point[i])
    }
}

/// Least and greatest number that `QUANTIZE` writes.
fn stored_range(dtype: DType) -> Option<(f32, f32)> {
    Some(match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::I32 => (i32::MIN as f32, i32::MAX as f32),
        _ => return None,
    })
}

/// Reals to integers. Halves go to the even neighbour, like in XNNPACK and ONNX (other kernels of TFLite round them up); a NaN
/// becomes the greatest integer.
pub(in crate::exec) fn quantize(x: &Tensor, quant: &Quant, to: DType) -> Result<Tensor, KernelError> {
    let (low, high) = stored_range(to).ok_or_else(|| no_kernel("QUANTIZE", to))?;
    let affine = Affine::new(quant, x.shape())?;
    let stored = |(i, &x): (usize, &f32)| {
        let (scale, zero_point) = affine.pair(i);
        let q = scalar::round_half_even(x / scale) + zero_point as f32;
        if q.is_nan() { f64::from(high) } else { f64::from(q.clamp(low, high)) }
    };
    let values = x.to_f32s()?.iter().enumerate().map(stored).collect();
    Ok(Tensor::from_vec(x.shape(), values).cast(to)?)
}

/// Integers to the reals they stand for; 16-bit floats, which `DEQUANTIZE` also takes, to the same numbers.
pub(in crate::exec) fn dequantize(x: &Tensor, quant: Option<&Quant>) -> Result<Tensor, KernelError> {
    if x.dtype().is_float() {
        return Ok(x.cast(DType::F32)?);
    }
    let quant = quant.ok_or_else(|| KernelError::operands("the operand has no scale"))?;
    let affine = Affine::new(quant, x.shape())?;
    let real = |(i, q): (usize, i64)| {
        let (scale, zero_point) = affine.pair(i);
        scale * q.wrapping_sub(zero_point) as f32
    };
    Ok(Tensor::from_vec(x.shape(), x.to_i64s()?.into_iter().enumerate().map(real).collect()))
}

/// Reals from constant weights with one scale for each run of `size` elements.
pub(in crate::exec) fn dequantize_blocks(x: &Tensor, scales: &Tensor, size: usize) -> Result<Tensor, KernelError> {
    let (stored, scales) = (x.to_f32s()?, scales.to_f32s()?);
    if size == 0 || scales.len().checked_mul(size) != Some(stored.len()) {
        let what = format!("{} scales for {} elements in runs of {size}", scales.len(), stored.len());
        return Err(KernelError::operands(what));
    }
    let real = stored.iter().enumerate().map(|(i, q)| q * scales[i / size]);
    Ok(Tensor::from_vec(x.shape(), real.collect()))
}

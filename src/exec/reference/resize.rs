//! `RESIZE_BILINEAR` and `RESIZE_NEAREST_NEIGHBOR`: coordinates in `FLOAT32`, as the kernels compute them, since ties and
//! rounding depend on it.

use super::super::KernelError;
use super::index::take;
use super::{checked_len, dims_of};
use crate::tensor::Tensor;

/// Which rule maps a place in the result to one in the operand.
#[derive(Debug, Clone, Copy)]
pub(in crate::exec) struct Coordinates {
    pub align_corners: bool,
    pub half_pixel_centers: bool,
}

impl Coordinates {
    fn scale(self, from: usize, to: usize) -> f32 {
        if self.align_corners && to > 1 { (from as f32 - 1.0) / (to as f32 - 1.0) } else { from as f32 / to as f32 }
    }

    /// Place of the nearest element, for each element of the result.
    fn nearest(self, from: usize, to: usize) -> Vec<usize> {
        let scale = self.scale(from, to);
        let offset = if self.half_pixel_centers { 0.5 } else { 0.0 };
        let place = |i: usize| {
            let at = (i as f32 + offset) * scale;
            let at = if self.align_corners { at.round() } else { at.floor() };
            (at.max(0.0) as usize).min(from - 1)
        };
        (0..to).map(place).collect()
    }

    /// The two elements to mix, and how much of the second one.
    fn between(self, from: usize, to: usize) -> Vec<(usize, usize, f32)> {
        let scale = self.scale(from, to);
        let place = |i: usize| {
            let at = if self.half_pixel_centers { (i as f32 + 0.5) * scale - 0.5 } else { i as f32 * scale };
            let low = (at.floor().max(0.0) as usize).min(from - 1);
            let high = (at.ceil().max(0.0) as usize).min(from - 1);
            (low, high, at - low as f32)
        };
        (0..to).map(place).collect()
    }
}

/// Height and width of the result.
fn target(x: &Tensor, size: &[usize]) -> Result<[usize; 2], KernelError> {
    let [n, h, w, c] = dims_of(x)?;
    match *size {
        [new_h, new_w] if (h > 0 || new_h == 0) && (w > 0 || new_w == 0) => {
            checked_len(x.dtype(), &[n, new_h, new_w, c])?;
            Ok([new_h, new_w])
        }
        _ => Err(KernelError::operands(format!("{:?} can't be resized to {size:?}", x.shape()))),
    }
}

pub(in crate::exec) fn nearest(x: &Tensor, size: &[usize], rule: Coordinates) -> Result<Tensor, KernelError> {
    let [new_h, new_w] = target(x, size)?;
    let [_, h, w, _] = dims_of(x)?;
    let rows = take(x, 1, &rule.nearest(h, new_h))?;
    take(&rows, 2, &rule.nearest(w, new_w))
}

/// `FLOAT32` only.
pub(in crate::exec) fn bilinear(x: &Tensor, size: &[usize], rule: Coordinates) -> Result<Tensor, KernelError> {
    let [new_h, new_w] = target(x, size)?;
    let [n, h, w, c] = dims_of(x)?;
    if rule.align_corners && rule.half_pixel_centers {
        return Err(KernelError::unsupported("RESIZE_BILINEAR with both corners aligned and half-pixel centers"));
    }
    let shape = [n, new_h, new_w, c];
    let mut out = Vec::with_capacity(checked_len(x.dtype(), &shape)?);
    let source = x.view::<f32>()?;
    let (rows, columns) = (rule.between(h, new_h), rule.between(w, new_w));
    let pixel = |image: usize, row: usize, column: usize| {
        let start = ((image * h + row) * w + column) * c;
        &source[start..start + c]
    };
    for image in 0..n {
        for &(y0, y1, dy) in &rows {
            for &(x0, x1, dx) in &columns {
                let (a, b) = (pixel(image, y0, x0), pixel(image, y0, x1));
                let (d, e) = (pixel(image, y1, x0), pixel(image, y1, x1));
                out.extend((0..c).map(|i| {
                    a[i] * (1.0 - dy) * (1.0 - dx) + d[i] * dy * (1.0 - dx) + b[i] * (1.0 - dy) * dx + e[i] * dy * dx
                }));
            }
        }
    }
    Ok(Tensor::from_vec(&shape, out))
}

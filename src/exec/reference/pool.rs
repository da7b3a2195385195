//! Pooling over height and width.

use super::super::KernelError;
use super::sweep::Sweep;
use super::{checked_len, dims_of};
use crate::graph::{Padding, Pool};
use crate::tensor::{DType, Tensor};

/// `FLOAT32 [N,H,W,C]`, for the maximum also narrow integers; averages leave padding out.
pub(in crate::exec) fn pool(
    kind: Pool,
    x: &Tensor,
    padding: Padding,
    stride: [usize; 2],
    filter: [usize; 2],
) -> Result<Tensor, KernelError> {
    // Narrow integers are exact in float32, and the largest of them is one of them.
    if kind == Pool::Max && matches!(x.dtype(), DType::I8 | DType::U8 | DType::I16) {
        let widened = pool(kind, &x.cast(DType::F32)?, padding, stride, filter)?;
        return Ok(widened.cast(x.dtype())?);
    }
    let [n, h, w, c] = dims_of(x)?;
    let rows = Sweep::new(padding, h, filter[0], stride[0], 1)?;
    let columns = Sweep::new(padding, w, filter[1], stride[1], 1)?;
    let shape = [n, rows.output, columns.output, c];
    let source = x.view::<f32>()?;
    let init = if kind == Pool::Max { f32::MIN } else { 0.0 };
    let mut out = vec![init; checked_len(x.dtype(), &shape)?];
    let mut pixels = out.chunks_exact_mut(c.max(1));
    for image in 0..n {
        for i in 0..rows.output {
            for j in 0..columns.output {
                let Some(pixel) = pixels.next() else { continue };
                let (ys, xs) = (rows.window(i), columns.window(j));
                let count = (ys.len() * xs.len()) as f32;
                for y in ys {
                    let row = &source[(image * h + y) * w * c..][..w * c];
                    for tap in row[xs.start * c..xs.end * c].chunks_exact(c) {
                        accumulate(kind, pixel, tap);
                    }
                }
                match kind {
                    Pool::Average => pixel.iter_mut().for_each(|p| *p /= count),
                    Pool::L2 => pixel.iter_mut().for_each(|p| *p = (*p / count).sqrt()),
                    Pool::Max => {}
                }
            }
        }
    }
    Ok(Tensor::from_vec(&shape, out))
}

/// One element of the window, all channels.
fn accumulate(kind: Pool, pixel: &mut [f32], tap: &[f32]) {
    let pairs = pixel.iter_mut().zip(tap);
    match kind {
        Pool::Average => pairs.for_each(|(p, &x)| *p += x),
        Pool::L2 => pairs.for_each(|(p, &x)| *p += x * x),
        Pool::Max => pairs.for_each(|(p, &x)| *p = if x > *p { x } else { *p }),
    }
}

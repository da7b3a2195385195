//! Operators that trade height and width against channels or batch: all are a reshape, a transpose and a reshape.

use super::super::KernelError;
use super::dims_of;
use super::movement::{pad, slice, transpose};
use crate::tensor::Tensor;

fn misfit(x: &Tensor, block: &[usize]) -> KernelError {
    KernelError::operands(format!("{:?} does not split into blocks of {block:?}", x.shape()))
}

/// Channels are split as (block row, block column, channel).
pub(in crate::exec) fn depth_to_space(x: &Tensor, block: usize) -> Result<Tensor, KernelError> {
    let [n, h, w, c] = dims_of(x)?;
    let depth = c.checked_div(block.saturating_mul(block)).ok_or_else(|| misfit(x, &[block]))?;
    let split = x.reshape(&[n, h, w, block, block, depth])?;
    Ok(transpose(&split, &[0, 1, 3, 2, 4, 5])?.reshape(&[n, h * block, w * block, depth])?)
}

pub(in crate::exec) fn space_to_depth(x: &Tensor, block: usize) -> Result<Tensor, KernelError> {
    let [n, h, w, c] = dims_of(x)?;
    let (Some(rows), Some(columns)) = (h.checked_div(block), w.checked_div(block)) else {
        return Err(misfit(x, &[block]));
    };
    let split = x.reshape(&[n, rows, block, columns, block, c])?;
    Ok(transpose(&split, &[0, 1, 3, 2, 4, 5])?.reshape(&[n, rows, columns, block * block * c])?)
}

/// Axes 1 on are blocked; `paddings` surround them first.
pub(in crate::exec) fn space_to_batch(x: &Tensor, block: &[usize], paddings: &[usize]) -> Result<Tensor, KernelError> {
    let m = block.len();
    if x.rank() <= m || paddings.len() != 2 * m || block.contains(&0) {
        return Err(misfit(x, block));
    }
    let mut pads = vec![0; 2 * x.rank()];
    pads[2..2 * (m + 1)].copy_from_slice(paddings);
    let x = pad(x, &pads, None)?;
    // [n, h/b, b, w/b, b, ..] to [b, b, n, h/b, w/b, ..]
    let (batch, rest) = (x.shape()[0], &x.shape()[m + 1..]);
    let counts: Vec<usize> = x.shape()[1..=m].iter().zip(block).map(|(d, b)| d / b).collect();
    let pairs = counts.iter().zip(block).flat_map(|(&n, &b)| [n, b]);
    let split: Vec<usize> = [batch].into_iter().chain(pairs).chain(rest.iter().copied()).collect();
    let m = m as i64;
    let perm = (0..m).map(|i| 2 * i + 2).chain([0]).chain((0..m).map(|i| 2 * i + 1));
    let perm: Vec<i64> = perm.chain(2 * m + 1..split.len() as i64).collect();
    let blocks: usize = block.iter().product();
    let shape: Vec<usize> = [blocks * batch].into_iter().chain(counts).chain(rest.iter().copied()).collect();
    Ok(transpose(&x.reshape(&split)?, &perm)?.reshape(&shape)?)
}

/// Undoes [`space_to_batch`]; `crops` are cut off at the end.
pub(in crate::exec) fn batch_to_space(x: &Tensor, block: &[usize], crops: &[usize]) -> Result<Tensor, KernelError> {
    let m = block.len();
    let blocks = block.iter().try_fold(1usize, |n, &b| n.checked_mul(b)).filter(|&n| n > 0);
    let (Some(blocks), true) = (blocks, x.rank() > m && crops.len() == 2 * m) else { return Err(misfit(x, block)) };
    // [b, b, n, h, w, ..] to [n, h, b, w, b, ..]
    let (batch, spatial, rest) = (x.shape()[0] / blocks, &x.shape()[1..=m], &x.shape()[m + 1..]);
    let split: Vec<usize> =
        block.iter().copied().chain([batch]).chain(spatial.iter().copied()).chain(rest.iter().copied()).collect();
    let m = m as i64;
    let perm = [m].into_iter().chain((0..m).flat_map(|i| [m + 1 + i, i]));
    let perm: Vec<i64> = perm.chain(2 * m + 1..split.len() as i64).collect();
    let dims = spatial.iter().zip(block).map(|(d, b)| d * b);
    let shape: Vec<usize> = [batch].into_iter().chain(dims).chain(rest.iter().copied()).collect();
    let whole = transpose(&x.reshape(&split)?, &perm)?.reshape(&shape)?;

    let mut begin = vec![0; shape.len()];
    let mut size = vec![-1; shape.len()];
    for (i, crop) in crops.chunks_exact(2).enumerate() {
        let left = shape[i + 1].checked_sub(crop[0]).and_then(|d| d.checked_sub(crop[1]));
        let left = left.ok_or_else(|| KernelError::operands("more is cropped than there is"))?;
        (begin[i + 1], size[i + 1]) = (crop[0] as i64, left as i64);
    }
    slice(&whole, &begin, &size)
}

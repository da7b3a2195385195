//! Operators that put elements elsewhere, whatever they mean.

use super::super::KernelError;
use super::strided::View;
use super::{axis_of, checked_len};
use crate::graph::{MirrorMode, SliceMasks};
use crate::tensor::{DType, Perm, Tensor};

pub(in crate::exec) fn transpose(x: &Tensor, perm: &[i64]) -> Result<Tensor, KernelError> {
    let axes: Vec<usize> = perm.iter().map(|&axis| axis_of(axis, x.rank())).collect::<Result<_, _>>()?;
    let perm = (axes.len() == x.rank()).then(|| Perm::new(axes)).flatten();
    let perm = perm.ok_or_else(|| KernelError::operands(format!("the permutation does not fit {:?}", x.shape())))?;
    if perm.is_identity() {
        return Ok(x.clone());
    }
    match x.dtype().bits() {
        0..8 => Err(KernelError::unsupported(format!("moving elements of {}", x.dtype()))),
        _ => Ok(x.permute(&perm)),
    }
}

/// One of `dims` may be -1; 0 is a literal zero.
/// The same bytes as another type; elements that are split or joined are those of the last axis.
pub(in crate::exec) fn bitcast(x: &Tensor, to: DType) -> Result<Tensor, KernelError> {
    let (from, wanted) = (x.dtype().bits(), to.bits());
    let mut shape = x.shape().to_vec();
    if from > wanted && wanted >= 8 {
        shape.push(from / wanted);
    } else if from < wanted && shape.pop() != wanted.checked_div(from) {
        return Err(KernelError::operands(format!("the last axis does not make {to}")));
    }
    Ok(Tensor::new(to, shape, x.bytes().clone())?)
}

pub(in crate::exec) fn reshape(x: &Tensor, dims: &[i64]) -> Result<Tensor, KernelError> {
    let misfit = || KernelError::operands(format!("{:?} can't be reshaped to {dims:?}", x.shape()));
    let known = dims.iter().filter(|&&d| d != -1).try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
    let known = known.ok_or_else(misfit)?;
    let hole = x.len().checked_div(known).unwrap_or(0);
    let shape: Vec<usize> = dims.iter().map(|&d| usize::try_from(d).unwrap_or(hole)).collect();
    Ok(x.reshape(&shape)?)
}

/// Drops the given axes; all of size 1 where none are given.
pub(in crate::exec) fn squeeze(x: &Tensor, axes: &[i32]) -> Result<Tensor, KernelError> {
    let axes: Vec<usize> = axes.iter().map(|&axis| axis_of(axis.into(), x.rank())).collect::<Result<_, _>>()?;
    let dropped = |axis: usize, dim: usize| if axes.is_empty() { dim == 1 } else { axes.contains(&axis) };
    let kept = x.shape().iter().enumerate().filter(|&(axis, &dim)| !dropped(axis, dim));
    Ok(x.reshape(&kept.map(|(_, &dim)| dim).collect::<Vec<_>>())?)
}

pub(in crate::exec) fn expand_dims(x: &Tensor, axis: i64) -> Result<Tensor, KernelError> {
    let mut shape = x.shape().to_vec();
    shape.insert(axis_of(axis, x.rank() + 1)?, 1);
    Ok(x.reshape(&shape)?)
}

/// Joins along `axis`.
pub(in crate::exec) fn concatenate(parts: &[&Tensor], axis: i64) -> Result<Tensor, KernelError> {
    let Some(first) = parts.first() else { return Err(KernelError::operands("nothing to join")) };
    let axis = axis_of(axis, first.rank())?;
    let mut shape = first.shape().to_vec();
    shape[axis] = 0;
    for part in parts {
        let fits = part.dtype() == first.dtype()
            && part.rank() == first.rank()
            && part.shape().iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
        let length = part.shape().get(axis).and_then(|d| d.checked_add(shape[axis]));
        let (true, Some(length)) = (fits, length) else {
            return Err(KernelError::operands(format!("{part:?} can't be joined to {first:?} along axis {axis}")));
        };
        shape[axis] = length;
    }
    let bits = first.dtype().bits();
    if bits < 8 {
        return Err(KernelError::unsupported(format!("joining {}", first.dtype())));
    }
    let total = checked_len(first.dtype(), &shape)? * bits / 8;
    // Eight-byte words keep every element type aligned.
    let mut words = vec![0u64; total.div_ceil(8)];
    let mut rest = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..total];
    let outer: usize = shape[..axis].iter().product();
    for row in 0..outer {
        for part in parts {
            let chunk = part.bytes().len() / outer;
            let (here, after) = rest.split_at_mut(chunk);
            here.copy_from_slice(&part.bytes()[row * chunk..(row + 1) * chunk]);
            rest = after;
        }
    }
    let bytes = Tensor::vector(words).bytes().slice(..total);
    Ok(Tensor::new(first.dtype(), shape, bytes)?)
}

pub(in crate::exec) fn pack(parts: &[&Tensor], axis: i64) -> Result<Tensor, KernelError> {
    let rank = parts.first().map_or(0, |p| p.rank());
    let axis = axis_of(axis, rank + 1)?;
    let parts: Vec<Tensor> = parts.iter().map(|p| expand_dims(p, axis as i64)).collect::<Result<_, _>>()?;
    concatenate(&parts.iter().collect::<Vec<_>>(), axis as i64)
}

pub(in crate::exec) fn unpack(x: &Tensor, axis: i64, parts: usize) -> Result<Vec<Tensor>, KernelError> {
    let axis = axis_of(axis, x.rank())?;
    let sizes = vec![1; parts];
    let drop = |part: Tensor| squeeze(&part, &[axis as i32]);
    split(x, axis as i64, &sizes)?.into_iter().map(drop).collect()
}

/// Equal parts.
pub(in crate::exec) fn split_evenly(x: &Tensor, axis: i64, parts: usize) -> Result<Vec<Tensor>, KernelError> {
    let dim = x.shape()[axis_of(axis, x.rank())?];
    let size = dim.checked_div(parts).filter(|size| size * parts == dim);
    let size = size.ok_or_else(|| KernelError::operands(format!("{dim} elements do not split into {parts} parts")))?;
    split(x, axis, &vec![size as i64; parts])
}

/// Parts of the given sizes, of which one may be -1.
pub(in crate::exec) fn split(x: &Tensor, axis: i64, sizes: &[i64]) -> Result<Vec<Tensor>, KernelError> {
    let axis = axis_of(axis, x.rank())?;
    let dim = x.shape()[axis];
    let known: i64 = sizes.iter().filter(|&&s| s >= 0).fold(0, |sum: i64, &s| sum.saturating_add(s));
    let rest = usize::try_from(dim as i64 - known);
    let rest = rest.map_err(|_| KernelError::operands(format!("sizes {sizes:?} on an axis of {dim}")))?;
    let mut begin = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in sizes {
        let size = usize::try_from(size).unwrap_or(rest);
        parts.push(View::of(x.shape()).slice(axis, begin, size, 1)?.copy(x)?);
        begin += size;
    }
    if begin != dim {
        return Err(KernelError::operands(format!("sizes {sizes:?} on an axis of {dim}")));
    }
    Ok(parts)
}

/// A size of -1 reaches to the end.
pub(in crate::exec) fn slice(x: &Tensor, begin: &[i64], size: &[i64]) -> Result<Tensor, KernelError> {
    if begin.len() != x.rank() || size.len() != x.rank() {
        return Err(KernelError::operands(format!("a slice of {} axes of {:?}", begin.len(), x.shape())));
    }
    let mut view = View::of(x.shape());
    for (axis, (&begin, &size)) in begin.iter().zip(size).enumerate() {
        let dim = x.shape()[axis];
        let inside = usize::try_from(begin).ok().filter(|&b| b <= dim);
        let begin = inside.ok_or_else(|| KernelError::operands(format!("a slice from {begin} of {dim} elements")))?;
        view = view.slice(axis, begin, usize::try_from(size).unwrap_or(dim - begin), 1)?;
    }
    view.copy(x)
}

/// Where a strided slice of one axis begins, and how many elements it takes.
fn strided_range(dim: usize, begin: Option<i64>, end: Option<i64>, stride: i64) -> (usize, usize) {
    let dim = dim as i64;
    let clamp = |i: i64, low: i64, high: i64| (if i < 0 { i.saturating_add(dim) } else { i }).clamp(low, high);
    let (low, high) = if stride > 0 { (0, dim) } else { (-1, dim - 1) };
    let begin = begin.map_or(if stride > 0 { low } else { high }, |i| clamp(i, low, high));
    let end = end.map_or(if stride > 0 { high } else { low }, |i| clamp(i, low, high));
    let distance = if stride > 0 { end - begin } else { begin - end };
    let count = if distance <= 0 { 0 } else { (distance as u64 - 1) / stride.unsigned_abs() + 1 };
    (usize::try_from(begin).unwrap_or(0), count as usize)
}

pub(in crate::exec) fn strided_slice(
    x: &Tensor,
    [begin, end, strides]: [&[i64]; 3],
    masks: &SliceMasks,
) -> Result<Tensor, KernelError> {
    if masks.ellipsis != 0 || masks.new_axis != 0 || masks.offset {
        return Err(KernelError::unsupported("STRIDED_SLICE with an ellipsis, new-axis or offset mask"));
    }
    if begin.len() > x.rank() || end.len() != begin.len() || strides.len() != begin.len() || strides.contains(&0) {
        return Err(KernelError::operands(format!("slice {begin:?} to {end:?} by {strides:?} of {:?}", x.shape())));
    }
    let bit = |mask: i32, axis: usize| axis < 32 && mask >> axis & 1 == 1;
    let mut view = View::of(x.shape());
    let mut kept: Vec<usize> = Vec::new();
    for (axis, &dim) in x.shape().iter().enumerate() {
        let Some(&stride) = strides.get(axis) else {
            kept.push(dim);
            continue;
        };
        if bit(masks.shrink_axis, axis) {
            // One element, whatever `end` says; a masked begin is the first.
            let at = if bit(masks.begin, axis) { 0 } else { begin[axis] };
            view = view.slice(axis, axis_of(at, dim)?, 1, 1)?;
            continue;
        }
        let at = |mask: i32, bounds: &[i64]| if bit(mask, axis) { None } else { Some(bounds[axis]) };
        let (first, count) = strided_range(dim, at(masks.begin, begin), at(masks.end, end), stride);
        let step = if count > 1 { stride as isize } else { 1 };
        view = view.slice(axis, first, count, step)?;
        kept.push(count);
    }
    Ok(view.copy(x)?.reshape(&kept)?)
}

pub(in crate::exec) fn tile(x: &Tensor, multiples: &[usize]) -> Result<Tensor, KernelError> {
    if multiples.len() != x.rank() {
        return Err(KernelError::operands(format!("{} multiples for {:?}", multiples.len(), x.shape())));
    }
    let mut view = View::of(x.shape());
    let mut shape = Vec::with_capacity(x.rank());
    for (axis, (&dim, &times)) in x.shape().iter().zip(multiples).enumerate() {
        view = view.repeat(2 * axis, times);
        shape.push(dim.saturating_mul(times));
    }
    Ok(view.copy(x)?.reshape(&shape)?)
}

pub(in crate::exec) fn broadcast_to(x: &Tensor, shape: &[usize]) -> Result<Tensor, KernelError> {
    View::of(x.shape()).broadcast(shape)?.copy(x)
}

pub(in crate::exec) fn reverse(x: &Tensor, axes: &[i64]) -> Result<Tensor, KernelError> {
    let mut view = View::of(x.shape());
    for &axis in axes {
        let axis = axis_of(axis, x.rank())?;
        let dim = x.shape()[axis];
        view = view.slice(axis, dim.saturating_sub(1), dim, -1)?;
    }
    view.copy(x)
}

/// `value` in every place.
pub(in crate::exec) fn fill(shape: &[usize], value: &Tensor) -> Result<Tensor, KernelError> {
    broadcast_to(&value.reshape(&[])?, shape)
}

/// Before and after each axis.
fn pad_pairs(x: &Tensor, paddings: &[usize]) -> Result<Vec<(usize, usize)>, KernelError> {
    if paddings.len() != 2 * x.rank() {
        return Err(KernelError::operands(format!("{} paddings for {:?}", paddings.len(), x.shape())));
    }
    Ok(paddings.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Surrounds `x` with `value`; with zeros where that is absent.
pub(in crate::exec) fn pad(x: &Tensor, paddings: &[usize], value: Option<&Tensor>) -> Result<Tensor, KernelError> {
    let zero = || Tensor::zeros(x.dtype(), &[]).ok_or_else(|| KernelError::TooLarge { shape: vec![] });
    let value = match value {
        Some(value) => value.reshape(&[])?,
        None => zero()?,
    };
    // Axis by axis, innermost first: what is copied again and again is then largest last.
    let mut padded = x.clone();
    for (axis, (before, after)) in pad_pairs(x, paddings)?.into_iter().enumerate().rev() {
        if (before, after) == (0, 0) {
            continue;
        }
        let border = |extent: usize| {
            let mut shape = padded.shape().to_vec();
            shape[axis] = extent;
            fill(&shape, &value)
        };
        let (head, tail) = (border(before)?, border(after)?);
        padded = concatenate(&[&head, &padded, &tail], axis as i64)?;
    }
    Ok(padded)
}

pub(in crate::exec) fn mirror_pad(x: &Tensor, paddings: &[usize], mode: MirrorMode) -> Result<Tensor, KernelError> {
    // The mirror stands on the border element, or beside it.
    let skip = match mode {
        MirrorMode::Reflect => 1,
        MirrorMode::Symmetric => 0,
    };
    let mut padded = x.clone();
    for (axis, (before, after)) in pad_pairs(x, paddings)?.into_iter().enumerate() {
        let dim = padded.shape()[axis];
        if before.max(after).saturating_add(skip) > dim {
            return Err(KernelError::operands(format!("a mirror of {} on an axis of {dim}", before.max(after))));
        }
        let mirror = |begin: usize, count: usize| {
            View::of(padded.shape()).slice(axis, begin, count, -1).and_then(|view| view.copy(&padded))
        };
        let head = if before > 0 { Some(mirror(before - 1 + skip, before)?) } else { None };
        let tail = if after > 0 { Some(mirror(dim - 1 - skip, after)?) } else { None };
        let parts: Vec<&Tensor> = head.iter().chain([&padded]).chain(&tail).collect();
        padded = if parts.len() == 1 { padded } else { concatenate(&parts, axis as i64)? };
    }
    Ok(padded)
}

//! Operators that look elements up, or put them where indices say.

use super::super::KernelError;
use super::strided::{View, row_major};
use super::{axis_of, checked_len, no_kernel};
use crate::tensor::{DType, Tensor};

/// A run of equal-sized rows of bytes, in which rows are looked up.
struct Table<'a> {
    bytes: &'a [u8],
    /// Bytes of a row.
    width: usize,
}

impl<'a> Table<'a> {
    /// Rows made of the last axes of `x`, from `axis` on.
    fn new(x: &'a Tensor, axis: usize) -> Result<Table<'a>, KernelError> {
        let bits = x.dtype().bits();
        if bits < 8 {
            return Err(KernelError::unsupported(format!("looking up {}", x.dtype())));
        }
        let width = x.shape()[axis..].iter().product::<usize>() * (bits / 8);
        Ok(Table { bytes: x.bytes(), width })
    }

    fn row(&self, i: usize) -> &'a [u8] {
        &self.bytes[i * self.width..(i + 1) * self.width]
    }
}

/// Bytes of a result, aligned for any element type.
struct Buffer {
    words: Vec<u64>,
    len: usize,
}

impl Buffer {
    fn zeros(dtype: DType, shape: &[usize]) -> Result<Buffer, KernelError> {
        let len = checked_len(dtype, shape)? * dtype.bits() / 8;
        Ok(Buffer { words: vec![0; len.div_ceil(8)], len })
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }

    fn finish(self, dtype: DType, shape: Vec<usize>) -> Result<Tensor, KernelError> {
        let bytes = Tensor::vector(self.words).bytes().slice(..self.len);
        Ok(Tensor::new(dtype, shape, bytes)?)
    }
}

/// Indices as the kernels take them: none may be negative or too large.
fn checked_index(index: i64, dim: usize) -> Result<usize, KernelError> {
    let inside = usize::try_from(index).ok().filter(|&i| i < dim);
    inside.ok_or_else(|| KernelError::operands(format!("index {index} on an axis of {dim}")))
}

pub(in crate::exec) fn gather(x: &Tensor, indices: &Tensor, axis: i64, batch_dims: i32) -> Result<Tensor, KernelError> {
    let axis = axis_of(axis, x.rank())?;
    let batch = usize::try_from(batch_dims)
        .ok()
        .filter(|&b| b <= axis && b <= indices.rank() && x.shape().get(..b) == indices.shape().get(..b));
    let batch = batch.ok_or_else(|| KernelError::operands(format!("batch_dims {batch_dims} with axis {axis}")))?;
    let (before, after) = (&x.shape()[batch..axis], &x.shape()[axis + 1..]);
    let shape = [&x.shape()[..axis], &indices.shape()[batch..], after].concat();
    let dim = x.shape()[axis];
    let picked: Vec<usize> = indices.to_i64s()?.into_iter().map(|i| checked_index(i, dim)).collect::<Result<_, _>>()?;
    let table = Table::new(x, axis + 1)?;
    let mut out = Buffer::zeros(x.dtype(), &shape)?;
    if out.len == 0 {
        return out.finish(x.dtype(), shape);
    }
    let batches: usize = x.shape()[..batch].iter().product();
    let outer: usize = before.iter().product();
    let per_batch = picked.len() / batches;
    let mut rows = out.bytes().chunks_exact_mut(table.width);
    for b in 0..batches {
        for o in 0..outer {
            for &i in &picked[b * per_batch..(b + 1) * per_batch] {
                if let Some(row) = rows.next() {
                    row.copy_from_slice(table.row((b * outer + o) * dim + i));
                }
            }
        }
    }
    out.finish(x.dtype(), shape)
}

/// Row number that each vector of `indices` (along its last axis) stands for.
fn row_numbers(indices: &Tensor, dims: &[usize]) -> Result<Vec<usize>, KernelError> {
    let strides = row_major(dims);
    let numbers = indices.to_i64s()?;
    if dims.is_empty() {
        // Indices of depth 0 all name the whole.
        return Ok(vec![0; indices.shape().split_last().map_or(1, |(_, outer)| outer.iter().product())]);
    }
    let number = |vector: &[i64]| {
        vector.iter().zip(dims).zip(&strides).try_fold(0usize, |sum, ((&i, &dim), &stride)| {
            Ok::<_, KernelError>(sum + checked_index(i, dim)? * stride as usize)
        })
    };
    numbers.chunks_exact(dims.len()).map(number).collect()
}

/// Depth of the indices, which must not be larger than the rank they index.
fn depth_of(indices: &Tensor, rank: usize) -> Result<usize, KernelError> {
    let depth = indices.shape().last().copied().filter(|&d| d <= rank);
    depth.ok_or_else(|| KernelError::operands(format!("indices of shape {:?} into rank {rank}", indices.shape())))
}

pub(in crate::exec) fn gather_nd(x: &Tensor, indices: &Tensor) -> Result<Tensor, KernelError> {
    let depth = depth_of(indices, x.rank())?;
    let shape = [&indices.shape()[..indices.rank() - 1], &x.shape()[depth..]].concat();
    let table = Table::new(x, depth)?;
    let mut out = Buffer::zeros(x.dtype(), &shape)?;
    if out.len > 0 {
        let rows = row_numbers(indices, &x.shape()[..depth])?;
        for (row, i) in out.bytes().chunks_exact_mut(table.width).zip(rows) {
            row.copy_from_slice(table.row(i));
        }
    }
    out.finish(x.dtype(), shape)
}

/// Into zeros; what falls on one place adds up.
pub(in crate::exec) fn scatter_nd(indices: &Tensor, updates: &Tensor, shape: &[usize]) -> Result<Tensor, KernelError> {
    let depth = depth_of(indices, shape.len())?;
    let expected = [&indices.shape()[..indices.rank() - 1], &shape[depth..]].concat();
    if updates.shape() != expected {
        return Err(KernelError::operands(format!("updates of {:?} instead of {expected:?}", updates.shape())));
    }
    let len = checked_len(updates.dtype(), shape)?;
    let width: usize = shape[depth..].iter().product();
    if updates.is_empty() {
        return Tensor::zeros(updates.dtype(), shape).ok_or_else(|| KernelError::TooLarge { shape: shape.to_vec() });
    }
    let rows = row_numbers(indices, &shape[..depth])?;
    fn scatter<T: Copy>(rows: &[usize], width: usize, from: &[T], to: &mut [T], add: impl Fn(T, T) -> T) {
        for (&row, from) in rows.iter().zip(from.chunks_exact(width)) {
            for (to, &from) in to[row * width..].iter_mut().zip(from) {
                *to = add(*to, from);
            }
        }
    }
    if updates.dtype().is_float() {
        let mut out = vec![0.0; len];
        scatter(&rows, width, &updates.to_f32s()?, &mut out, |a, b| a + b);
        Ok(Tensor::from_vec(shape, out).cast(updates.dtype())?)
    } else {
        let mut out = vec![0i64; len];
        scatter(&rows, width, &updates.to_i64s()?, &mut out, i64::wrapping_add);
        Ok(Tensor::from_vec(shape, out).cast(updates.dtype())?)
    }
}

/// `on` where the index says, `off` elsewhere; an index out of range gives `off` alone.
pub(in crate::exec) fn one_hot(
    indices: &Tensor,
    depth: i64,
    on: &Tensor,
    off: &Tensor,
    axis: i32,
) -> Result<Tensor, KernelError> {
    let depth = usize::try_from(depth).map_err(|_| KernelError::operands(format!("a depth of {depth}")))?;
    let rank = indices.rank();
    let axis = if axis == -1 { rank } else { axis_of(axis.into(), rank + 1)? };
    let mut shape = indices.shape().to_vec();
    shape.insert(axis, depth);
    checked_len(DType::Bool, &shape)?;
    let inner: usize = indices.shape()[axis..].iter().product();
    let indices = indices.to_i64s()?;
    let mut hot = vec![false; shape.iter().product()];
    for (i, &index) in indices.iter().enumerate() {
        if let Some(index) = usize::try_from(index).ok().filter(|&index| index < depth) {
            hot[(i / inner * depth + index) * inner + i % inner] = true;
        }
    }
    super::elementwise::select(&Tensor::from_bools(&shape, &hot), &on.reshape(&[])?, &off.reshape(&[])?)
}

/// Coordinates of all elements that are not zero, as `INT64 [n, rank]`.
pub(in crate::exec) fn coordinates(condition: &Tensor) -> Result<Tensor, KernelError> {
    let strides = row_major(condition.shape());
    let values = condition.to_f64s()?;
    let mut found = Vec::new();
    let mut count = 0;
    for (flat, _) in values.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        count += 1;
        let at = |(&stride, &dim): (&isize, &usize)| (flat / stride as usize % dim) as i64;
        found.extend(strides.iter().zip(condition.shape()).map(at));
    }
    Ok(Tensor::from_vec(&[count, condition.rank()], found))
}

/// Rows of `table`.
pub(in crate::exec) fn embedding_lookup(ids: &Tensor, table: &Tensor) -> Result<Tensor, KernelError> {
    let ids = ids.reshape(&[ids.len()])?;
    gather(table, &ids, 0, 0)
}

/// `start`, `start + delta` and so on, up to `limit`.
pub(in crate::exec) fn range(start: &Tensor, limit: &Tensor, delta: &Tensor) -> Result<Tensor, KernelError> {
    fn first(x: &Tensor) -> Result<f64, KernelError> {
        x.to_f64s()?.first().copied().ok_or_else(|| KernelError::operands("an empty operand"))
    }
    let dtype = start.dtype();
    let (from, to, by) = (first(start)?, first(limit)?, first(delta)?);
    let count = ((to - from) / by).ceil().max(0.0);
    if by == 0.0 || !count.is_finite() {
        return Err(KernelError::operands(format!("a range from {from} to {to} by {by}")));
    }
    let count = checked_len(dtype, &[count as usize])?;
    Ok(match dtype {
        // Summed up step by step in the element type, like the kernel.
        DType::F32 => {
            let (from, by) = (from as f32, by as f32);
            Tensor::vector(std::iter::successors(Some(from), |&x| Some(x + by)).take(count).collect())
        }
        dtype if dtype.is_int() => {
            let (start, by) = (start.to_i64s()?[0], delta.to_i64s()?[0]);
            let values = (0..count as i64).map(|i| start.wrapping_add(by.wrapping_mul(i))).collect();
            Tensor::vector::<i64>(values).cast(dtype)?
        }
        dtype => return Err(no_kernel("RANGE", dtype)),
    })
}

/// Extents of `x`.
pub(in crate::exec) fn shape_of(x: &Tensor, to: DType) -> Result<Tensor, KernelError> {
    Ok(Tensor::vector::<i64>(x.shape().iter().map(|&d| d as i64).collect()).cast(to)?)
}

/// Elements of an axis at the given places, in that order.
pub(super) fn take(x: &Tensor, axis: usize, places: &[usize]) -> Result<Tensor, KernelError> {
    let contiguous = places.iter().zip(places.first().copied().unwrap_or(0)..).all(|(&p, i)| p == i);
    if contiguous {
        let begin = places.first().copied().unwrap_or(0);
        return View::of(x.shape()).slice(axis, begin, places.len(), 1)?.copy(x);
    }
    let places = Tensor::vector::<i64>(places.iter().map(|&p| p as i64).collect());
    gather(x, &places, axis as i64, 0)
}

/// The elements of `x` at flat places that `place` tells from each flat index of a result of the given shape.
fn by_places(x: &Tensor, shape: &[usize], place: impl Fn(usize) -> usize) -> Result<Tensor, KernelError> {
    let count = checked_len(x.dtype(), shape)?;
    let places = Tensor::vector::<i64>((0..count).map(|i| place(i) as i64).collect());
    Ok(gather(&x.reshape(&[x.len()])?, &places, 0, 0)?.reshape(shape)?)
}

/// `update` in place of as many elements of `x` from `start` on, which is moved so that they fit.
pub(in crate::exec) fn update_slice(x: &Tensor, update: &Tensor, start: &[i64]) -> Result<Tensor, KernelError> {
    let rank = x.rank();
    let fits = update.rank() == rank && start.len() == rank && update.dtype() == x.dtype();
    if !fits || update.shape().iter().zip(x.shape()).any(|(u, d)| u > d) {
        return Err(KernelError::operands(format!("an update of {:?} for {:?}", update.shape(), x.shape())));
    }
    let rooms = x.shape().iter().zip(update.shape()).map(|(d, u)| (d - u) as i64);
    let start: Vec<usize> = start.iter().zip(rooms).map(|(&s, room)| s.clamp(0, room) as usize).collect();
    let (outer, inner) = (row_major(x.shape()), row_major(update.shape()));
    let place = |i: usize| {
        let mut at = 0;
        for axis in 0..rank {
            let along = (i / outer[axis] as usize % x.shape()[axis]).checked_sub(start[axis]);
            match along.filter(|&a| a < update.shape()[axis]) {
                Some(along) => at += along * inner[axis] as usize,
                None => return i,
            }
        }
        x.len() + at
    };
    let both = [x, update].map(|t| t.reshape(&[t.len()]));
    let [flat, update] = both;
    by_places(&super::movement::concatenate(&[&flat?, &update?], 0)?, x.shape(), place)
}

/// The first elements of `seq_dim` in reverse, as many as `lengths` says for each index of `batch_dim`.
pub(in crate::exec) fn reverse_sequence(
    x: &Tensor,
    lengths: &[i64],
    seq_dim: i64,
    batch_dim: i64,
) -> Result<Tensor, KernelError> {
    let (seq, batch) = (axis_of(seq_dim, x.rank())?, axis_of(batch_dim, x.rank())?);
    let extent = x.shape()[seq];
    let valid = |&&length: &&i64| (0..=extent as i64).contains(&length);
    if lengths.len() != x.shape()[batch] || lengths.iter().filter(valid).count() != lengths.len() {
        return Err(KernelError::operands(format!("lengths {lengths:?} for {:?}", x.shape())));
    }
    let strides = row_major(x.shape());
    let place = |i: usize| {
        let (step, b) = (strides[seq] as usize, i / strides[batch] as usize % x.shape()[batch]);
        let (at, length) = (i / step % extent, lengths[b] as usize);
        if at < length { i - at * step + (length - 1 - at) * step } else { i }
    };
    by_places(x, x.shape(), place)
}

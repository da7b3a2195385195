//! Operators that go along axes: reductions, extrema, running sums.

use std::cmp::Ordering;

use super::super::KernelError;
use super::strided::{Rows, row_major};
use super::{axis_of, checked_len, no_kernel};
use crate::graph::Reduce;
use crate::tensor::{DType, Tensor};

/// Elements of one row are combined in order, into the accumulator of the result they belong to.
fn fold<T: Copy, A: Copy>(x: &[T], shape: &[usize], reduced: &[bool], init: A, f: impl Fn(A, T) -> A) -> Vec<A> {
    let kept: Vec<usize> = shape.iter().zip(reduced).map(|(&d, &r)| if r { 1 } else { d }).collect();
    let mut out = vec![init; kept.iter().product()];
    let to = row_major(&kept).into_iter().zip(reduced).map(|(s, &r)| if r { 0 } else { s }).collect();
    let rows = Rows::new(shape, &[row_major(shape), to]);
    let (n, [_, step]) = (rows.inner, rows.steps);
    rows.each(|[from, to]| {
        let row = &x[from as usize..from as usize + n];
        let to = to as usize;
        if step == 0 {
            out[to] = row.iter().fold(out[to], |a, &x| f(a, x));
        } else {
            out[to..to + n].iter_mut().zip(row).for_each(|(a, &x)| *a = f(*a, x));
        }
    });
    out
}

pub(in crate::exec) fn reduce(kind: Reduce, x: &Tensor, axes: &[i64], keep_dims: bool) -> Result<Tensor, KernelError> {
    let mut reduced = vec![false; x.rank()];
    for &axis in axes {
        reduced[axis_of(axis, x.rank())?] = true;
    }
    let dims = x.shape().iter().zip(&reduced);
    let count: usize = dims.clone().filter(|(_, r)| **r).map(|(d, _)| d).product();
    let shape: Vec<usize> = match keep_dims {
        true => dims.map(|(&d, &r)| if r { 1 } else { d }).collect(),
        false => dims.filter(|(_, r)| !**r).map(|(&d, _)| d).collect(),
    };
    checked_len(x.dtype(), &shape)?;
    match x.dtype() {
        DType::Bool => {
            let x = (x.view::<u8>()?, x.shape());
            let values = match kind {
                Reduce::Any | Reduce::Max | Reduce::Sum => fold(&x.0, x.1, &reduced, false, |a, x| a || x != 0),
                Reduce::All | Reduce::Min | Reduce::Prod => fold(&x.0, x.1, &reduced, true, |a, x| a && x != 0),
                Reduce::Mean => return Err(no_kernel(kind.name(), DType::Bool)),
            };
            Ok(Tensor::from_bools(&shape, &values))
        }
        DType::F32 | DType::F64 => reduce_float(kind, x, &reduced, count, &shape),
        dtype if dtype.is_int() && dtype != DType::U64 => {
            let values = reduce_int(kind, x, &reduced, count)?;
            Ok(Tensor::from_vec(&shape, values).cast(dtype)?)
        }
        dtype => Err(no_kernel(kind.name(), dtype)),
    }
}

/// Sums run in `f64`: their rounding is then no concern of whoever compares results.
fn reduce_float(
    kind: Reduce,
    x: &Tensor,
    reduced: &[bool],
    count: usize,
    shape: &[usize],
) -> Result<Tensor, KernelError> {
    fn go<T: Copy + Into<f64>>(
        x: &[T],
        shape: &[usize],
        reduced: &[bool],
        init: f64,
        f: fn(f64, f64) -> f64,
    ) -> Vec<f64> {
        fold(x, shape, reduced, init, |a, x| f(a, x.into()))
    }
    // What an empty set comes to is a finite number in the kernels.
    let most = if x.dtype() == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
    let (init, f): (f64, fn(f64, f64) -> f64) = match kind {
        Reduce::Sum | Reduce::Mean => (0.0, |a, x| a + x),
        Reduce::Prod => (1.0, |a, x| a * x),
        Reduce::Max => (-most, |a, x| if x > a { x } else { a }),
        Reduce::Min => (most, |a, x| if x < a { x } else { a }),
        Reduce::Any | Reduce::All => return Err(no_kernel(kind.name(), x.dtype())),
    };
    let mut values = match x.dtype() {
        DType::F32 => go(&x.view::<f32>()?, x.shape(), reduced, init, f),
        _ => go(&x.view::<f64>()?, x.shape(), reduced, init, f),
    };
    if kind == Reduce::Mean {
        values.iter_mut().for_each(|v| *v /= count as f64);
    }
    Ok(Tensor::from_vec(shape, values).cast(x.dtype())?)
}

fn reduce_int(kind: Reduce, x: &Tensor, reduced: &[bool], count: usize) -> Result<Vec<i64>, KernelError> {
    let values = x.to_i64s()?;
    let (low, high) = int_range(x.dtype());
    let fold = |init: i64, f: fn(i64, i64) -> i64| fold(&values, x.shape(), reduced, init, f);
    Ok(match kind {
        Reduce::Sum => fold(0, i64::wrapping_add),
        Reduce::Prod => fold(1, i64::wrapping_mul),
        Reduce::Max => fold(low, i64::max),
        Reduce::Min => fold(high, i64::min),
        // Truncated toward zero.
        Reduce::Mean if count > 0 => fold(0, i64::wrapping_add).into_iter().map(|s| s / count as i64).collect(),
        Reduce::Mean => return Err(KernelError::operands("the mean of no integers")),
        Reduce::Any | Reduce::All => return Err(no_kernel(kind.name(), x.dtype())),
    })
}

/// Least and greatest number of an integer type, as far as 64 signed bits hold them.
fn int_range(dtype: DType) -> (i64, i64) {
    let bits = dtype.bits() as u32;
    match dtype {
        DType::U4 | DType::U8 | DType::U16 | DType::U32 => (0, (1 << bits) - 1),
        _ => (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)),
    }
}

/// First place of the greatest element along an axis (or of the least).
pub(in crate::exec) fn arg_extremum(x: &Tensor, axis: i64, wanted: Ordering, to: DType) -> Result<Tensor, KernelError> {
    let axis = axis_of(axis, x.rank())?;
    let (dim, inner) = (x.shape()[axis], x.shape()[axis + 1..].iter().product::<usize>());
    let mut shape = x.shape().to_vec();
    shape.remove(axis);
    let len = checked_len(to, &shape)?;
    if dim == 0 && len > 0 {
        return Err(KernelError::operands("the extremum of nothing"));
    }
    let places = match x.dtype() {
        dtype if dtype.is_float() => extrema(&x.to_f64s()?, len, dim, inner, wanted),
        _ => extrema(&x.to_i64s()?, len, dim, inner, wanted),
    };
    Ok(Tensor::from_vec(&shape, places).cast(to)?)
}

fn extrema<T: PartialOrd>(x: &[T], len: usize, dim: usize, inner: usize, wanted: Ordering) -> Vec<i64> {
    let place = |i: usize| {
        let element = |k: usize| &x[(i / inner * dim + k) * inner + i % inner];
        (1..dim).fold(0, |best, k| if element(k).partial_cmp(element(best)) == Some(wanted) { k } else { best })
    };
    (0..len).map(|i| place(i) as i64).collect()
}

/// The `k` greatest elements of each row, greatest first, the first of equal ones first; and their places.
pub(in crate::exec) fn top_k(x: &Tensor, k: i64) -> Result<Vec<Tensor>, KernelError> {
    let row = x.shape().last().copied().unwrap_or(0);
    let k = usize::try_from(k).ok().filter(|&k| k <= row && x.rank() > 0);
    let k = k.ok_or_else(|| KernelError::operands(format!("the greatest elements of rows of {row}")))?;
    let mut shape = x.shape().to_vec();
    shape.pop();
    shape.push(k);
    let places: Vec<usize> = match x.dtype() {
        dtype if dtype.is_float() => greatest(&x.to_f64s()?, row, k),
        _ => greatest(&x.to_i64s()?, row, k),
    };
    let outer = x.len().checked_div(row).unwrap_or(0);
    let flat = (0..outer).flat_map(|r| std::iter::repeat_n(r * row, k)).zip(&places).map(|(r, p)| (r + p) as i64);
    let flat = Tensor::vector::<i64>(flat.collect());
    let values = super::index::gather(&x.reshape(&[x.len()])?, &flat, 0, 0)?.reshape(&shape)?;
    let places = Tensor::from_vec(&shape, places.into_iter().map(|p| p as i32).collect());
    Ok(vec![values, places])
}

fn greatest<T: PartialOrd>(x: &[T], row: usize, k: usize) -> Vec<usize> {
    let mut places = Vec::new();
    for row in x.chunks_exact(row.max(1)) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].partial_cmp(&row[a]).unwrap_or(Ordering::Equal));
        places.extend_from_slice(&order[..k]);
    }
    places
}

pub(in crate::exec) fn cumsum(x: &Tensor, axis: i64, exclusive: bool, reverse: bool) -> Result<Tensor, KernelError> {
    let axis = axis_of(axis, x.rank())?;
    let (dim, inner) = (x.shape()[axis], x.shape()[axis + 1..].iter().product::<usize>());
    fn running<T: Copy>(
        x: &mut [T],
        dim: usize,
        inner: usize,
        [exclusive, reverse]: [bool; 2],
        add: impl Fn(T, T) -> T,
        zero: T,
    ) {
        for block in x.chunks_exact_mut((dim * inner).max(1)) {
            for column in 0..inner {
                let mut sum = zero;
                for k in 0..dim {
                    let k = if reverse { dim - 1 - k } else { k };
                    let element = &mut block[k * inner + column];
                    let before = sum;
                    sum = add(sum, *element);
                    *element = if exclusive { before } else { sum };
                }
            }
        }
    }
    let flags = [exclusive, reverse];
    match x.dtype() {
        DType::F32 => {
            let mut values = x.view::<f32>()?.into_owned();
            running(&mut values, dim, inner, flags, |a, b| a + b, 0.0);
            Ok(Tensor::from_vec(x.shape(), values))
        }
        DType::F64 => {
            let mut values = x.view::<f64>()?.into_owned();
            running(&mut values, dim, inner, flags, |a, b| a + b, 0.0);
            Ok(Tensor::from_vec(x.shape(), values))
        }
        dtype if dtype.is_int() => {
            let mut values = x.to_i64s()?;
            running(&mut values, dim, inner, flags, i64::wrapping_add, 0);
            Ok(Tensor::from_vec(x.shape(), values).cast(dtype)?)
        }
        dtype => Err(no_kernel("CUMSUM", dtype)),
    }
}

//! Operators that move data or make it from shapes.

use super::{Args, InferError, Inferred, axis_of, broadcast, one};
use crate::graph::{Dim, Shape, SliceMasks, Type};

/// Far beyond what any kernel takes.
const MAX_RANK: usize = 64;

fn extent(n: i64) -> Result<Dim, InferError> {
    let n = usize::try_from(n).map_err(|_| InferError::new(format!("an extent of {n}")))?;
    Ok(Some(n))
}

/// The shape that operand `i` holds as numbers; all unknown where it is not constant.
pub(super) fn shape_from(args: &Args<'_>, i: usize) -> Result<Shape, InferError> {
    if let Some(dims) = args.ints(i) {
        return Ok(Shape(dims.into_iter().map(extent).collect::<Result<_, _>>()?));
    }
    match args.length(i)? {
        // A file may claim any length for a vector that is not there yet.
        Some(rank) if rank > MAX_RANK => Err(InferError::new(format!("a shape of {rank} axes"))),
        Some(rank) => Ok(Shape(vec![None; rank])),
        None => Err(InferError::new("the rank of the result is not known")),
    }
}

pub(super) fn pad(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let rank = x.shape.rank();
    let Some(pads) = args.ints(1) else {
        return one(x.dtype, Shape(vec![None; rank]));
    };
    if pads.len() != 2 * rank {
        return Err(InferError::new(format!("{} pads for an operand of {}", pads.len(), x.shape)));
    }
    if pads.iter().any(|&p| p < 0) {
        return Err(InferError::new(format!("negative pads {pads:?}")));
    }
    let padded = x.shape.dims().iter().zip(pads.chunks_exact(2)).map(|(d, pad)| match d {
        Some(d) => extent((*d as i64).saturating_add(pad[0]).saturating_add(pad[1])),
        None => Ok(None),
    });
    one(x.dtype, Shape(padded.collect::<Result<_, _>>()?))
}

pub(super) fn reshape(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let Some(dims) = args.ints(1) else {
        return one(x.dtype, shape_from(args, 1)?);
    };
    let mut shape = dims.iter().map(|&d| if d == -1 { Ok(None) } else { extent(d) }).collect::<Result<Vec<_>, _>>()?;
    let holes = dims.iter().filter(|&&d| d == -1).count();
    if holes > 1 {
        return Err(InferError::new(format!("more than one -1 in {dims:?}")));
    }
    let known: usize = shape
        .iter()
        .flatten()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .ok_or_else(|| InferError::new("the shape has too many elements"))?;
    if let Some(elements) = x.shape.elements() {
        let misfit = || InferError::new(format!("{} can't be reshaped to {dims:?}", x.shape));
        if holes == 1 {
            if known == 0 || elements % known != 0 {
                return Err(misfit());
            }
            shape.iter_mut().filter(|d| d.is_none()).for_each(|d| *d = Some(elements / known));
        } else if known != elements {
            return Err(misfit());
        }
    }
    one(x.dtype, Shape(shape))
}

pub(super) fn squeeze(args: &Args<'_>, axes: &[i32]) -> Inferred {
    let x = args.ty(0)?;
    let rank = x.shape.rank();
    let mut dropped = vec![false; rank];
    if axes.is_empty() {
        if !x.shape.is_fixed() {
            return Err(InferError::new("which axes have size 1 is not known"));
        }
        x.shape.dims().iter().zip(&mut dropped).for_each(|(d, drop)| *drop = *d == Some(1));
    }
    for &axis in axes {
        let axis = axis_of(axis.into(), rank)?;
        if x.shape.dim(axis).is_some_and(|d| d != 1) {
            return Err(InferError::new(format!("axis {axis} of {} is not 1", x.shape)));
        }
        dropped[axis] = true;
    }
    let kept = x.shape.dims().iter().zip(&dropped).filter(|(_, d)| !**d).map(|(&d, _)| d);
    one(x.dtype, Shape(kept.collect()))
}

pub(super) fn expand_dims(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let axis = args.ints(1).and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| InferError::new("the axis must be constant"))?;
    let mut dims = x.shape.dims().to_vec();
    dims.insert(axis_of(axis, dims.len() + 1)?, Some(1));
    one(x.dtype, Shape(dims))
}

pub(super) fn transpose(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let rank = x.shape.rank();
    let Some(perm) = args.ints(1) else {
        return one(x.dtype, Shape(vec![None; rank]));
    };
    let axes = perm.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let perm = (axes.len() == rank).then(|| crate::tensor::Perm::new(axes)).flatten();
    let perm = perm.ok_or_else(|| InferError::new(format!("the permutation does not fit {}", x.shape)))?;
    one(x.dtype, Shape(perm.apply(x.shape.dims())))
}

pub(super) fn concatenation(args: &Args<'_>, axis: i32) -> Inferred {
    let first = args.ty(0)?;
    let axis = axis_of(axis.into(), first.shape.rank())?;
    let mut dims = first.shape.dims().to_vec();
    for i in 1..args.inputs.len() {
        let part = args.ty(i)?;
        if part.dtype != first.dtype || part.shape.rank() != dims.len() {
            return Err(InferError::new(format!("{part} can't be joined to {first}")));
        }
        for (a, d) in dims.iter_mut().enumerate() {
            let other = part.shape.dim(a);
            *d = match (*d, other) {
                (Some(m), Some(n)) if a == axis => m.checked_add(n),
                (_, _) if a == axis => None,
                (Some(m), Some(n)) if m != n => {
                    return Err(InferError::new(format!("{part} can't be joined to {first} along axis {axis}")));
                }
                (m, n) => m.or(n),
            };
        }
    }
    one(first.dtype, Shape(dims))
}

pub(super) fn split(args: &Args<'_>, parts: usize) -> Inferred {
    let x = args.ty(1)?;
    let axis = args.ints(0).and_then(|a| a.first().copied());
    let Some(axis) = axis else {
        return Ok(vec![Type::new(x.dtype, Shape(vec![None; x.shape.rank()])); parts]);
    };
    let axis = axis_of(axis, x.shape.rank())?;
    let mut dims = x.shape.dims().to_vec();
    if dims[axis].is_some_and(|d| parts == 0 || d % parts != 0) {
        return Err(InferError::new(format!("axis {axis} of {} does not split into {parts} equal parts", x.shape)));
    }
    dims[axis] = dims[axis].map(|d| d / parts);
    Ok(vec![Type::new(x.dtype, Shape(dims)); parts])
}

pub(super) fn split_v(args: &Args<'_>, parts: usize) -> Inferred {
    let x = args.ty(0)?;
    let axis = args.ints(2).and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| InferError::new("the axis must be constant"))?;
    let axis = axis_of(axis, x.shape.rank())?;
    let sizes = match args.ints(1) {
        Some(sizes) if sizes.len() == parts => sizes,
        Some(sizes) => {
            return Err(InferError::new(format!("{} sizes for {parts} parts", sizes.len())));
        }
        None => {
            let mut dims = x.shape.dims().to_vec();
            dims[axis] = None;
            return Ok(vec![Type::new(x.dtype, Shape(dims)); parts]);
        }
    };
    let known = sizes.iter().filter(|&&s| s >= 0).fold(0i64, |sum, &s| sum.saturating_add(s));
    let total = x.shape.dim(axis).map(|d| d as i64);
    let rest = sizes.iter().filter(|&&s| s < 0).count();
    if rest > 1 || total.is_some_and(|t| known > t || (rest == 0 && known != t)) {
        return Err(InferError::new(format!("sizes {sizes:?} do not add up to axis {axis} of {}", x.shape)));
    }
    let part = |&size: &i64| {
        let mut dims = x.shape.dims().to_vec();
        dims[axis] = if size >= 0 { Some(size as usize) } else { total.map(|t| (t - known) as usize) };
        Type::new(x.dtype, Shape(dims))
    };
    Ok(sizes.iter().map(part).collect())
}

pub(super) fn pack(args: &Args<'_>, axis: i32) -> Inferred {
    let first = args.ty(0)?;
    let mut dims = first.shape.dims().to_vec();
    for i in 1..args.inputs.len() {
        let part = args.ty(i)?;
        if part.dtype != first.dtype || !part.shape.agrees_with(&first.shape) {
            return Err(InferError::new(format!("{part} can't be packed with {first}")));
        }
        dims.iter_mut().zip(part.shape.dims()).for_each(|(d, other)| *d = d.or(*other));
    }
    dims.insert(axis_of(axis.into(), dims.len() + 1)?, Some(args.inputs.len()));
    one(first.dtype, Shape(dims))
}

pub(super) fn unpack(args: &Args<'_>, axis: i32, parts: usize) -> Inferred {
    let x = args.ty(0)?;
    let axis = axis_of(axis.into(), x.shape.rank())?;
    let mut dims = x.shape.dims().to_vec();
    if dims.remove(axis).is_some_and(|d| d != parts) {
        return Err(InferError::new(format!("axis {axis} of {} does not unpack into {parts}", x.shape)));
    }
    Ok(vec![Type::new(x.dtype, Shape(dims)); parts])
}

pub(super) fn slice(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let rank = x.shape.rank();
    let (begin, size) = (args.ints(1), args.ints(2));
    for part in [&begin, &size].into_iter().flatten() {
        if part.len() != rank {
            return Err(InferError::new(format!("{} entries for an operand of {}", part.len(), x.shape)));
        }
    }
    let extent_at = |axis: usize| -> Result<Dim, InferError> {
        let total = x.shape.dim(axis).map(|d| d as i64);
        let Some(size) = size.as_ref().map(|s| s[axis]) else {
            return Ok(None);
        };
        let Some(begin) = begin.as_ref().map(|b| b[axis]) else {
            return if size < 0 { Ok(None) } else { extent(size) };
        };
        let end = if size < 0 { total } else { begin.checked_add(size) };
        if begin < 0 || total.zip(end).is_some_and(|(t, e)| e > t || begin > t) {
            return Err(InferError::new(format!("{size} elements from {begin} on axis {axis} of {}", x.shape)));
        }
        end.map_or(Ok(None), |e| extent(e - begin))
    };
    one(x.dtype, Shape((0..rank).map(extent_at).collect::<Result<_, _>>()?))
}

pub(super) fn strided_slice(args: &Args<'_>, masks: &SliceMasks) -> Inferred {
    let x = args.ty(0)?;
    if masks.ellipsis != 0 || masks.new_axis != 0 || masks.offset {
        return Err(InferError::new("ellipsis, new-axis and offset masks are not used here"));
    }
    let rank = x.shape.rank();
    let entries = args.length(1)?.ok_or_else(|| InferError::new("the number of sliced axes is not known"))?;
    if entries > rank {
        return Err(InferError::new(format!("{entries} sliced axes for an operand of {}", x.shape)));
    }
    let (begin, end, strides) = (args.ints(1), args.ints(2), args.ints(3));
    let bit = |mask: i32, axis: usize| axis < 32 && mask >> axis & 1 == 1;
    let mut dims = Vec::new();
    for (axis, &dim) in x.shape.dims().iter().enumerate() {
        if axis >= entries {
            dims.push(dim);
            continue;
        }
        if bit(masks.shrink_axis, axis) {
            continue;
        }
        let at = |v: &Option<Vec<i64>>| v.as_ref().and_then(|v| v.get(axis).copied());
        let sliced = match (dim, at(&begin), at(&end), at(&strides)) {
            (Some(d), Some(b), Some(e), Some(s)) if s != 0 => {
                let b = if bit(masks.begin, axis) { None } else { Some(b) };
                let e = if bit(masks.end, axis) { None } else { Some(e) };
                Some(strided_extent(d as i64, b, e, s))
            }
            (_, _, _, Some(0)) => return Err(InferError::new("a stride of 0")),
            _ => None,
        };
        dims.push(sliced);
    }
    one(x.dtype, Shape(dims))
}

/// How many elements lie from `begin` towards `end`, in the manner of Python's slices.
fn strided_extent(dim: i64, begin: Option<i64>, end: Option<i64>, stride: i64) -> usize {
    let clamp = |i: i64, low: i64, high: i64| (if i < 0 { i + dim } else { i }).clamp(low, high);
    let (count, step) = if stride > 0 {
        let begin = begin.map_or(0, |b| clamp(b, 0, dim));
        let end = end.map_or(dim, |e| clamp(e, 0, dim));
        (end - begin, stride)
    } else {
        let begin = begin.map_or(dim - 1, |b| clamp(b, -1, dim - 1));
        let end = end.map_or(-1, |e| clamp(e, -1, dim - 1));
        (begin - end, stride.saturating_neg())
    };
    if count <= 0 { 0 } else { ((count - 1) / step + 1) as usize }
}

pub(super) fn gather(args: &Args<'_>, axis: i32, batch_dims: i32) -> Inferred {
    let (x, indices) = (args.ty(0)?, args.shape(1)?);
    let axis = axis_of(axis.into(), x.shape.rank())?;
    let batch = usize::try_from(batch_dims).ok().filter(|&b| b <= axis && b <= indices.rank());
    let batch = batch.ok_or_else(|| InferError::new(format!("batch_dims {batch_dims} with axis {axis}")))?;
    let (before, after) = (&x.shape.dims()[..axis], &x.shape.dims()[axis + 1..]);
    let dims = before.iter().chain(&indices.dims()[batch..]).chain(after).copied().collect();
    one(x.dtype, Shape(dims))
}

pub(super) fn gather_nd(args: &Args<'_>) -> Inferred {
    let (x, indices) = (args.ty(0)?, args.shape(1)?);
    let Some((&depth, batch)) = indices.dims().split_last() else {
        return Err(InferError::new("indices must have rank 1 or more"));
    };
    let depth = depth.ok_or_else(|| InferError::new("the depth of the indices is not known"))?;
    if depth > x.shape.rank() {
        return Err(InferError::new(format!("indices of depth {depth} into {}", x.shape)));
    }
    one(x.dtype, Shape(batch.iter().chain(&x.shape.dims()[depth..]).copied().collect()))
}

pub(super) fn tile(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let Some(multiples) = args.ints(1) else {
        return one(x.dtype, Shape(vec![None; x.shape.rank()]));
    };
    if multiples.len() != x.shape.rank() {
        return Err(InferError::new(format!("{} multiples for {}", multiples.len(), x.shape)));
    }
    let tiled = x.shape.dims().iter().zip(&multiples).map(|(d, &m)| match d {
        Some(d) => extent((*d as i64).saturating_mul(m)),
        None => Ok(None),
    });
    one(x.dtype, Shape(tiled.collect::<Result<_, _>>()?))
}

pub(super) fn broadcast_to(args: &Args<'_>) -> Inferred {
    let (x, to) = (args.ty(0)?, shape_from(args, 1)?);
    if to.is_fixed() && !broadcast(&x.shape, &to)?.agrees_with(&to) {
        return Err(InferError::new(format!("{} can't be broadcast to {to}", x.shape)));
    }
    one(x.dtype, to)
}

pub(super) fn range(args: &Args<'_>) -> Inferred {
    let dtype = args.dtype(0)?;
    let number = |i: usize| args.data(i).and_then(|t| t.to_f64s().ok()).and_then(|v| v.first().copied());
    let count = match (number(0), number(1), number(2)) {
        (_, _, Some(0.0)) => return Err(InferError::new("a step of 0")),
        (Some(start), Some(limit), Some(delta)) => Some(((limit - start) / delta).ceil().max(0.0) as usize),
        _ => None,
    };
    one(dtype, Shape(vec![count]))
}

pub(super) fn one_hot(args: &Args<'_>, axis: i32) -> Inferred {
    let indices = args.shape(0)?;
    let depth = args.ints(1).and_then(|d| d.first().copied());
    let depth = depth.map_or(Ok(None), extent)?;
    let mut dims = indices.dims().to_vec();
    let axis = if axis == -1 { dims.len() } else { axis_of(axis.into(), dims.len() + 1)? };
    dims.insert(axis, depth);
    one(args.dtype(2)?, Shape(dims))
}

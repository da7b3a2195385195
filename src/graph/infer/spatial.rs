//! Convolutions, matrix products, pooling, resizing.

use super::{Args, InferError, Inferred, broadcast, one};
use crate::graph::{Dim, Padding, Shape, Window2d, Window3d};
use crate::tensor::DType;

/// Extent after a window of `filter` elements has moved over `input`.
fn windowed(input: Dim, filter: Dim, stride: usize, dilation: usize, padding: Padding) -> Result<Dim, InferError> {
    if stride == 0 || dilation == 0 {
        return Err(InferError::new("strides and dilations must be positive"));
    }
    let Some(input) = input else { return Ok(None) };
    match padding {
        Padding::Same => Ok(Some(input.div_ceil(stride))),
        Padding::Valid => {
            let Some(filter) = filter else {
                return Ok(None);
            };
            let span = filter.saturating_sub(1).checked_mul(dilation).and_then(|s| s.checked_add(1));
            let room = span.and_then(|span| input.checked_sub(span));
            room.map(|room| Some(room / stride + 1)).ok_or_else(|| {
                InferError::new(format!(
                    "a window of {filter} (dilated by {dilation}) is larger than the input of {input}"
                ))
            })
        }
    }
}

/// `a` and `b` are one extent under two names.
fn must_agree(what: &str, a: Dim, b: Dim) -> Result<Dim, InferError> {
    match (a, b) {
        (Some(m), Some(n)) if m != n => Err(InferError::new(format!("{what}: {m} against {n}"))),
        _ => Ok(a.or(b)),
    }
}

fn check_bias(args: &Args<'_>, i: usize, channels: Dim) -> Result<(), InferError> {
    if args.inputs.get(i).copied().flatten().is_some() {
        must_agree("length of the bias against output channels", args.length(i)?, channels)?;
    }
    Ok(())
}

pub(super) fn conv_2d(args: &Args<'_>, window: &Window2d) -> Inferred {
    let (x, w) = (args.shape_of_rank(0, 4)?, args.shape_of_rank(1, 4)?);
    if let (Some(c), Some(per_group), Some(o)) = (x[3], w[3], w[0]) {
        let fits = per_group != 0 && c % per_group == 0 && o % (c / per_group).max(1) == 0;
        if !fits {
            return Err(InferError::new(format!(
                "{c} input channels do not split into groups for a filter of {o} x {per_group}"
            )));
        }
    }
    check_bias(args, 2, w[0])?;
    let h = windowed(x[1], w[1], window.stride[0], window.dilation[0], window.padding)?;
    let wd = windowed(x[2], w[2], window.stride[1], window.dilation[1], window.padding)?;
    one(args.dtype(0)?, Shape(vec![x[0], h, wd, w[0]]))
}

pub(super) fn depthwise_conv_2d(args: &Args<'_>, window: &Window2d, multiplier: usize) -> Inferred {
    let (x, w) = (args.shape_of_rank(0, 4)?, args.shape_of_rank(1, 4)?);
    if let (Some(c), Some(o)) = (x[3], w[3])
        && c.checked_mul(multiplier) != Some(o)
    {
        return Err(InferError::new(format!("{c} channels times multiplier {multiplier} are not the filter's {o}")));
    }
    check_bias(args, 2, w[3])?;
    let h = windowed(x[1], w[1], window.stride[0], window.dilation[0], window.padding)?;
    let wd = windowed(x[2], w[2], window.stride[1], window.dilation[1], window.padding)?;
    one(args.dtype(0)?, Shape(vec![x[0], h, wd, w[3]]))
}

pub(super) fn conv_3d(args: &Args<'_>, window: &Window3d) -> Inferred {
    let (x, w) = (args.shape_of_rank(0, 5)?, args.shape_of_rank(1, 5)?);
    must_agree("input channels against filter", x[4], w[3])?;
    check_bias(args, 2, w[4])?;
    let mut dims = vec![x[0]];
    for axis in 0..3 {
        dims.push(windowed(x[axis + 1], w[axis], window.stride[axis], window.dilation[axis], window.padding)?);
    }
    dims.push(w[4]);
    one(args.dtype(0)?, Shape(dims))
}

/// The result's shape is operand 0; the data is operand 2.
pub(super) fn transpose_conv(args: &Args<'_>, rank: usize) -> Inferred {
    args.shape_of_rank(2, rank)?;
    let filter = args.shape_of_rank(1, rank)?;
    let shape = super::movement::shape_from(args, 0)?;
    if shape.rank() != rank {
        return Err(InferError::new(format!("the output shape {shape} must have rank {rank}")));
    }
    let channels = if rank == 4 { filter[0] } else { filter[3] };
    must_agree("output channels against filter", shape.dim(rank - 1), channels)?;
    check_bias(args, 3, channels)?;
    one(args.dtype(2)?, shape)
}

pub(super) fn fully_connected(args: &Args<'_>, keep_num_dims: bool) -> Inferred {
    let (x, w) = (args.shape(0)?, args.shape_of_rank(1, 2)?);
    check_bias(args, 2, w[0])?;
    if keep_num_dims {
        let Some((last, rest)) = x.dims().split_last() else {
            return Err(InferError::new("a scalar can't be multiplied by a matrix"));
        };
        must_agree("last axis of the operand against the weights", *last, w[1])?;
        let mut dims = rest.to_vec();
        dims.push(w[0]);
        return one(args.dtype(0)?, Shape(dims));
    }
    let rows = match (x.elements(), w[1]) {
        (Some(n), Some(k)) if k > 0 && n % k == 0 => Some(n / k),
        (Some(n), Some(k)) => {
            return Err(InferError::new(format!("{n} elements are no whole rows of {k}")));
        }
        _ => None,
    };
    one(args.dtype(0)?, Shape(vec![rows, w[0]]))
}

pub(super) fn batch_mat_mul(args: &Args<'_>, adj_x: bool, adj_y: bool) -> Inferred {
    let (a, b) = (args.shape(0)?, args.shape(1)?);
    let (&[ref batch_a @ .., a0, a1], &[ref batch_b @ .., b0, b1]) = (a.dims(), b.dims()) else {
        return Err(InferError::new(format!("operands must have rank 2 or more, but are {a} and {b}")));
    };
    let (m, k) = if adj_x { (a1, a0) } else { (a0, a1) };
    let (k2, n) = if adj_y { (b1, b0) } else { (b0, b1) };
    must_agree("inner extents", k, k2)?;
    let Shape(mut dims) = broadcast(&Shape(batch_a.to_vec()), &Shape(batch_b.to_vec()))?;
    dims.extend([m, n]);
    one(args.dtype(0)?, Shape(dims))
}

pub(super) fn embedding_lookup(args: &Args<'_>) -> Inferred {
    let ids = args.length(0)?;
    let table = args.ty(1)?;
    let Some((_, row)) = table.shape.dims().split_first() else {
        return Err(InferError::new("the table must have rows"));
    };
    let dims = std::iter::once(ids).chain(row.iter().copied()).collect();
    // The kernel turns rows of quantized integers into floats.
    let quantized = args.graph.value(args.id(1)?).quant.is_some();
    one(if quantized { DType::F32 } else { table.dtype }, Shape(dims))
}

pub(super) fn pool_2d(args: &Args<'_>, padding: Padding, stride: [usize; 2], filter: [usize; 2]) -> Inferred {
    let x = args.shape_of_rank(0, 4)?;
    let h = windowed(x[1], Some(filter[0]), stride[0], 1, padding)?;
    let w = windowed(x[2], Some(filter[1]), stride[1], 1, padding)?;
    one(args.dtype(0)?, Shape(vec![x[0], h, w, x[3]]))
}

pub(super) fn resize(args: &Args<'_>) -> Inferred {
    let x = args.shape_of_rank(0, 4)?;
    let size = super::movement::shape_from(args, 1)?;
    if size.rank() != 2 {
        return Err(InferError::new(format!("the size must be height and width, but has {} entries", size.rank())));
    }
    one(args.dtype(0)?, Shape(vec![x[0], size.dim(0), size.dim(1), x[3]]))
}

pub(super) fn depth_to_space(args: &Args<'_>, block: usize) -> Inferred {
    let x = args.shape_of_rank(0, 4)?;
    let area = block.checked_mul(block).filter(|&area| area > 0);
    let area = area.ok_or_else(|| InferError::new(format!("block size {block}")))?;
    if x[3].is_some_and(|c| c % area != 0) {
        return Err(InferError::new(format!(
            "{} channels do not split into blocks of {block} x {block}",
            args.shape(0)?
        )));
    }
    let scaled = |d: Dim| d.and_then(|d| d.checked_mul(block));
    one(args.dtype(0)?, Shape(vec![x[0], scaled(x[1]), scaled(x[2]), x[3].map(|c| c / area)]))
}

pub(super) fn space_to_depth(args: &Args<'_>, block: usize) -> Inferred {
    let x = args.shape_of_rank(0, 4)?;
    let fits = block > 0 && [x[1], x[2]].iter().flatten().all(|d| d % block == 0);
    if !fits {
        return Err(InferError::new(format!(
            "height and width of {} do not split into blocks of {block}",
            args.shape(0)?
        )));
    }
    let c = x[3].and_then(|c| c.checked_mul(block)?.checked_mul(block));
    one(args.dtype(0)?, Shape(vec![x[0], x[1].map(|d| d / block), x[2].map(|d| d / block), c]))
}

/// Block sizes and, for each, what is added before and after; where all is constant.
fn blocks(args: &Args<'_>) -> Option<(Vec<i64>, Vec<i64>)> {
    let (block, pads) = (args.ints(1)?, args.ints(2)?);
    (pads.len() == 2 * block.len() && block.iter().all(|&b| b > 0)).then_some((block, pads))
}

pub(super) fn space_to_batch(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let mut dims = x.shape.dims().to_vec();
    let Some((block, pads)) = blocks(args) else {
        return one(x.dtype, Shape(vec![None; dims.len()]));
    };
    if dims.len() <= block.len() {
        return Err(InferError::new(format!("{} blocked axes for an operand of {}", block.len(), x.shape)));
    }
    for (i, &b) in block.iter().enumerate() {
        let padded = dims[i + 1].map(|d| (d as i64).saturating_add(pads[2 * i]).saturating_add(pads[2 * i + 1]));
        if padded.is_some_and(|p| p < 0 || p % b != 0) {
            return Err(InferError::new(format!("axis {} of {} does not split into blocks of {b}", i + 1, x.shape)));
        }
        dims[i + 1] = padded.map(|p| (p / b) as usize);
        dims[0] = dims[0].and_then(|n| n.checked_mul(b as usize));
    }
    one(x.dtype, Shape(dims))
}

pub(super) fn batch_to_space(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let mut dims = x.shape.dims().to_vec();
    let Some((block, crops)) = blocks(args) else {
        return one(x.dtype, Shape(vec![None; dims.len()]));
    };
    if dims.len() <= block.len() {
        return Err(InferError::new(format!("{} blocked axes for an operand of {}", block.len(), x.shape)));
    }
    for (i, &b) in block.iter().enumerate() {
        if dims[0].is_some_and(|n| n as i64 % b != 0) {
            return Err(InferError::new(format!("the batch of {} does not split by {b}", x.shape)));
        }
        dims[0] = dims[0].map(|n| n / b as usize);
        let whole = dims[i + 1].map(|d| (d as i64).saturating_mul(b));
        dims[i + 1] = match whole.map(|d| d.saturating_sub(crops[2 * i]).saturating_sub(crops[2 * i + 1])) {
            Some(d) => Some(usize::try_from(d).map_err(|_| InferError::new("more is cropped than there is"))?),
            None => None,
        };
    }
    one(x.dtype, Shape(dims))
}

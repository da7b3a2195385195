//! The result `Indices` of ONNX `MaxPool`, and `MaxUnpool`, which takes it.

use super::pool::{pad_lowest, round_up, slices};
use super::scatter::{last_updates, updated};
use super::window::{Window, add_height, drop_axis};
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Op, ValueId};
use crate::tensor::{DType, Tensor};

/// Where in the flattened operand each maximum stands: the first of equals.
pub(super) fn indices(cx: &mut Cx<'_>, column_major: bool) -> Result<ValueId, Refusal> {
    let mut x = cx.input(0)?;
    let one_axis = cx.rank(x) == 3;
    let mut window = Window::read(cx, cx.rank(x) - 2, None)?;
    if one_axis {
        window.add_height();
        x = add_height(cx, x)?;
    }
    let ceil = cx.flag_or("ceil_mode", false)?;
    let extents: Vec<usize> = cx.fixed_shape_from(x, 1)?;
    let (channels, spatial) = extents.split_first().ok_or_else(|| Refusal::new("no spatial axes", ""))?;
    let dims: Vec<Option<usize>> = spatial.iter().copied().map(Some).collect();
    let pads = window.explicit(&dims)?;
    let last = cx.channels_last(x)?;
    let end = if ceil { round_up(cx, last, &window, &dims, &pads)? } else { vec![0; dims.len()] };
    // As int32, every element is greater than the padding.
    let wide = if cx.dtype(x).is_int() { cx.as_i32(last)? } else { last };
    let padded = pad_lowest(cx, wide, &pads, &end)?;
    let parts = slices(cx, padded, &window)?;
    let out: Vec<usize> = cx.fixed_shape_from(parts[0], 1)?;
    let axis = cx.rank(padded);
    let parts: Vec<Option<ValueId>> = parts.into_iter().map(Some).collect();
    let stacked = cx.b.emit(Op::Pack { axis: axis as i32 }, &parts)?[0];
    let axis = cx.b.scalar_of(DType::I32, axis as f64)?;
    let which = cx.b.one(Op::ArgMax { to: DType::I32 }, &[stacked, axis])?;

    let strides = strides(spatial, column_major);
    let inside = positions(&window.kernel, &strides, |axis, k| (k * window.dilations[axis]) as i64)?;
    let inside = cx.b.constant(Tensor::vector(inside));
    let inside = cx.b.gather(inside, which, 0)?;
    let begins = &out[..spatial.len()];
    let begin = positions(begins, &strides, |axis, o| (o * window.strides[axis]) as i64 - pads[axis].0 as i64)?;
    let shape: Vec<usize> = [1].iter().chain(begins).chain(&[1]).copied().collect();
    let begin = cx.b.constant(Tensor::from_vec(&shape, begin));
    let in_plane = cx.b.add(inside, begin)?;
    let planes = planes(cx, last, *channels, spatial.iter().product())?;
    let flat = cx.b.add(in_plane, planes)?;
    let flat = cx.b.cast(flat, DType::I64)?;
    let first = cx.channels_first(flat)?;
    if one_axis { drop_axis(cx, first, 2) } else { Ok(first) }
}

/// Elements from one index to the next, per spatial axis.
fn strides(extents: &[usize], column_major: bool) -> Vec<i64> {
    let mut strides = vec![1i64; extents.len()];
    let mut stride = 1i64;
    let order: Vec<usize> =
        if column_major { (0..extents.len()).collect() } else { (0..extents.len()).rev().collect() };
    for axis in order {
        strides[axis] = stride;
        stride = stride.saturating_mul(extents[axis] as i64);
    }
    strides
}

/// For every coordinate of a shape, in row-major order, the sum of what `place` says along each axis times the axis' stride.
fn positions(shape: &[usize], strides: &[i64], place: impl Fn(usize, usize) -> i64) -> Result<Vec<i32>, Refusal> {
    countable(shape)?;
    let mut all = vec![0i64];
    for (axis, &extent) in shape.iter().enumerate() {
        let along = |sum: i64| (0..extent).map(move |i| (axis, i, sum));
        all = all
            .into_iter()
            .flat_map(along)
            .map(|(axis, i, sum)| sum.saturating_add(place(axis, i).saturating_mul(strides[axis])))
            .collect();
    }
    let narrow: Result<Vec<i32>, _> = all.into_iter().map(i32::try_from).collect();
    narrow.map_err(|_| Refusal::new("a position does not fit in 32 bits", "use smaller extents"))
}

/// Where each plane of a channels-last `x` begins when its channels come first, in a shape that broadcasts.
fn planes(cx: &mut Cx<'_>, x: ValueId, channels: usize, size: usize) -> Result<ValueId, Refusal> {
    let mut shape = vec![1; cx.rank(x) - 1];
    shape.push(channels);
    let starts = positions(&[channels], &[1], |_, c| (c as i64).saturating_mul(size as i64))?;
    let starts = cx.b.constant(Tensor::from_vec(&shape, starts));
    let batch = cx.b.scalar_of(DType::I32, channels as f64 * size as f64)?;
    let numbers = cx.numbered(x, 0)?;
    let batches = cx.b.mul(numbers, batch)?;
    Ok(cx.b.add(batches, starts)?)
}

/// Lowers ONNX `MaxUnpool` to `GATHER` from the operand and a zero.
///
/// # Accepts
/// Any number of spatial axes; `output_shape` that is constant, which then is the shape that the indices are of.
/// # Produces
/// `UNSORTED_SEGMENT_MAX` that finds what falls on each element, and `GATHER`.
/// # Refuses
/// An `output_shape` that is fed at run time; unknown extents.
pub(super) fn max_unpool(cx: &mut Cx<'_>) -> Results {
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let extents = cx.fixed_shape(x)?;
    let spatial = extents.len().saturating_sub(2);
    let window = Window::read(cx, spatial, None)?;
    let shape = match cx.known_operand(2, "output_shape")? {
        Some(shape) => shape,
        None => {
            let dims: Vec<Option<usize>> = extents[2..].iter().copied().map(Some).collect();
            let pads = window.explicit(&dims)?;
            let unpooled = |axis: usize| {
                let (before, after) = pads[axis];
                let span = (extents[axis + 2] as i64 - 1).saturating_mul(window.strides[axis] as i64);
                span.saturating_add(window.kernel[axis] as i64).saturating_sub_unsigned((before + after) as u64)
            };
            let given = extents[..2].iter().map(|&d| d as i64);
            given.chain((0..spatial).map(unpooled)).collect()
        }
    };
    let elements =
        shape.iter().try_fold(1i64, |n, &d| n.checked_mul(d).filter(|n| (0..=i64::from(i32::MAX)).contains(n)));
    let elements = elements.filter(|_| shape.len() == extents.len());
    let elements = elements.ok_or_else(|| Refusal::new(format!("the result would be {shape:?}"), "check the model"))?;
    let count = cx.b.scalar_of(DType::I32, elements as f64)?;
    let numbers = cx.narrowed(indices)?;
    let numbers = cx.b.reshape(numbers, &[-1])?;
    let last = last_updates(cx, numbers, count)?;
    let is_given = updated(cx, last)?;
    let values = cx.b.reshape(x, &[-1])?;
    let dtype = cx.dtype(x);
    let zero = Tensor::zeros(dtype, &[1]).ok_or_else(|| super::kernel_type::no_kernel(dtype))?;
    let zero = cx.b.constant(zero);
    let table = cx.b.concat(&[values, zero], 0)?;
    let nothing = cx.extent_of(values, 0)?;
    let places = cx.b.select(is_given, last, nothing)?;
    let flat = cx.gather_at(table, places, 0)?;
    Ok(vec![cx.b.reshape(flat, &shape)?])
}

impl Cx<'_> {
    /// The extents of `x` from axis `first` on, which must be known.
    fn fixed_shape_from(&self, x: ValueId, first: usize) -> Result<Vec<usize>, Refusal> {
        let known: Option<Vec<usize>> = self.shape(x).dims()[first..].iter().copied().collect();
        known.map_or_else(|| self.fixed_shape(x), Ok)
    }
}

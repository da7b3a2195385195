//! The operators that a resize becomes.

use super::NEAREST;
use super::geometry::{Axis, Flags, Method, Mode, Row};
use crate::graph::{Activation, Op, Unary, ValueId};
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Perm, Tensor};

/// Matrices of more elements are not written: weighted sums of gathered elements take their place.
const LARGEST_MATRIX: usize = 1 << 18;

/// Resizes along axes whose extents are known.
pub(super) fn resize(cx: &mut Cx<'_>, x: ValueId, method: &Method, asked: &[Axis], extrapolation: f32) -> Results {
    if let Some(empty) = asked.iter().find(|a| a.output == 0 || a.input == 0) {
        let what = format!("axis {} is resized from {} to {}", empty.axis, empty.input, empty.output);
        return Err(Refusal::new(what, "give every axis at least one element"));
    }
    let rows: Vec<Vec<Row>> = asked.iter().map(|axis| method.rows(axis)).collect::<Result<_, _>>()?;
    let is_identity = |axis: &Axis, rows: &[Row]| {
        axis.input == axis.output && rows.iter().enumerate().all(|(i, row)| row.taps == [(i, 1.0)] && !row.outside)
    };
    let changed: Vec<(&Axis, &Vec<Row>)> =
        asked.iter().zip(&rows).filter(|(axis, rows)| !is_identity(axis, rows)).collect();
    if changed.is_empty() {
        return Ok(vec![x]);
    }
    let axes: Vec<Axis> = changed.iter().map(|(axis, _)| **axis).collect();
    let dtype = cx.dtype(x);
    let resized = match method.mode {
        Mode::Nearest => match flags_on_plane(cx, x, method, &axes) {
            Some(flags) => on_plane(cx, x, &axes, &mut |cx, x, size| nearest(cx, x, flags, size))?,
            None => gather(cx, x, &changed)?,
        },
        Mode::Linear | Mode::Cubic => {
            let float = cx.b.cast(x, DType::F32)?;
            let resized = match Flags::for_axes(method, &axes) {
                Some(flags) => bilinear(cx, float, flags, &axes)?,
                None => interpolate(cx, float, &changed)?,
            };
            // Kernels of antialiasing round, the others cut the fraction off.
            let rounds = method.antialias && dtype.is_int();
            if rounds { cx.b.unary(Unary::Round, resized)? } else { resized }
        }
    };
    let filled = extrapolate(cx, resized, &changed, extrapolation)?;
    Ok(vec![cx.b.cast(filled, dtype)?])
}

/// Flags of the nearest builtin, where the axes are the two of a plane (rank 4, channels first or last) and it takes the type.
fn flags_on_plane(cx: &Cx<'_>, x: ValueId, method: &Method, axes: &[Axis]) -> Option<Flags> {
    let fits = cx.rank(x) == 4 && plane_of(axes).is_some() && NEAREST.contains(&cx.dtype(x));
    if fits { Flags::for_axes(method, axes) } else { None }
}

/// First axis of the plane that holds all axes of an operand of rank 4: 2 for channels first, 1 for channels last.
fn plane_of(axes: &[Axis]) -> Option<usize> {
    let within = |first: usize| axes.iter().all(|a| (first..first + 2).contains(&a.axis));
    [2, 1].into_iter().find(|&first| within(first))
}

type Emit<'f> = &'f mut dyn FnMut(&mut Cx<'_>, ValueId, ValueId) -> Result<ValueId, Refusal>;

/// Emits a builtin over a plane of an operand of rank 4, which it gets channels last, with the size of the result.
fn on_plane(cx: &mut Cx<'_>, x: ValueId, axes: &[Axis], emit: Emit<'_>) -> Result<ValueId, Refusal> {
    let first = plane_of(axes).unwrap_or(2);
    let extent = |axis: usize| axes.iter().find(|a| a.axis == axis).map(|a| a.output as i64);
    let sizes = [first, first + 1].map(|axis| extent(axis).or(cx.dim(x, axis).map(|d| d as i64)));
    let size = cx.vector_of(&sizes, |cx, i| cx.extent_vector(x, first + i))?;
    if first == 1 {
        return emit(cx, x, size);
    }
    let last = cx.channels_last(x)?;
    let resized = emit(cx, last, size)?;
    cx.channels_first(resized)
}

fn nearest(cx: &mut Cx<'_>, x: ValueId, flags: Flags, size: ValueId) -> Result<ValueId, Refusal> {
    let Flags { align_corners, half_pixel_centers } = flags;
    Ok(cx.b.one(Op::ResizeNearest { align_corners, half_pixel_centers }, &[x, size])?)
}

/// `RESIZE_BILINEAR` over two neighbouring axes at a time. Anything but a plane of rank 4 is seen as one: the axes before and those
/// after are merged.
fn bilinear(cx: &mut Cx<'_>, x: ValueId, flags: Flags, axes: &[Axis]) -> Result<ValueId, Refusal> {
    let Flags { align_corners, half_pixel_centers } = flags;
    let op = Op::ResizeBilinear { align_corners, half_pixel_centers };
    if cx.rank(x) == 4 && plane_of(axes).is_some() {
        return on_plane(cx, x, axes, &mut |cx, x, size| Ok(cx.b.one(op.clone(), &[x, size])?));
    }
    let rank = cx.rank(x);
    // Channels last where the channels stay: the kernels are made for it, and neighbours mostly are channels last too.
    let spatial = rank >= 3 && axes.iter().all(|a| a.axis >= 2);
    let perm = if spatial { Perm::to_channels_last(rank) } else { Perm::identity(rank) };
    let mut resized = cx.b.transpose(x, &perm)?;
    let mut axes: Vec<Axis> = axes.iter().map(|a| Axis { axis: perm.position_of(a.axis), ..*a }).collect();
    axes.sort_unstable_by_key(|a| a.axis);
    let mut rest = axes.as_slice();
    while let [first, others @ ..] = rest {
        let second = others.first().filter(|second| second.axis == first.axis + 1);
        rest = if second.is_some() { &others[1..] } else { others };
        resized = bilinear_view(cx, resized, &op, *first, second.copied())?;
    }
    Ok(cx.b.transpose(resized, &perm.inverse())?)
}

/// `x` seen as `[before, height, width, after]`; a single axis is the width.
fn bilinear_view(cx: &mut Cx<'_>, x: ValueId, op: &Op, first: Axis, second: Option<Axis>) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    let (height, width) = match second {
        Some(second) => ((Part::Fixed(first.input), first.output), second),
        None => ((Part::Fixed(1), 1), first),
    };
    let after = width.axis + 1;
    let view = [Part::Axes(0..first.axis), height.0, Part::Fixed(width.input), Part::Axes(after..rank)];
    let plane = cx.reshape_parts(x, &view)?;
    let size = cx.b.ints(&[height.1, width.output])?;
    let resized = cx.b.one(op.clone(), &[plane, size])?;
    let mut dims: Vec<Option<i64>> = cx.shape(x).dims().iter().map(|d| d.map(|d| d as i64)).collect();
    dims[width.axis] = Some(width.output as i64);
    if second.is_some() {
        dims[first.axis] = Some(first.output as i64);
    }
    cx.reshape_to(resized, &dims, |cx, axis| cx.extent_vector(x, axis))
}

/// Nearest elements, by `GATHER` along each axis.
fn gather(cx: &mut Cx<'_>, x: ValueId, changed: &[(&Axis, &Vec<Row>)]) -> Result<ValueId, Refusal> {
    let mut resized = x;
    for (axis, rows) in changed {
        let indices: Vec<i64> = rows.iter().filter_map(|row| row.taps.first()).map(|tap| tap.0 as i64).collect();
        resized = cx.gather_axis(resized, &indices, axis.axis)?;
    }
    Ok(resized)
}

/// Weighted sums of elements, one axis after the other; first those that shrink most.
fn interpolate(cx: &mut Cx<'_>, x: ValueId, changed: &[(&Axis, &Vec<Row>)]) -> Result<ValueId, Refusal> {
    let mut order: Vec<_> = changed.to_vec();
    order.sort_by(|(a, _), (b, _)| (a.output * b.input).cmp(&(b.output * a.input)));
    let mut resized = x;
    for (axis, rows) in order {
        let matrix = axis.input.checked_mul(axis.output).is_some_and(|n| n <= LARGEST_MATRIX);
        resized = if matrix { by_matrix(cx, resized, axis, rows)? } else { by_taps(cx, resized, axis, rows)? };
    }
    Ok(resized)
}

/// `FULLY_CONNECTED` with a constant matrix, along the axis brought to the end.
fn by_matrix(cx: &mut Cx<'_>, x: ValueId, axis: &Axis, rows: &[Row]) -> Result<ValueId, Refusal> {
    let mut matrix = vec![0f32; axis.output * axis.input];
    for (row, weights) in rows.iter().zip(matrix.chunks_exact_mut(axis.input)) {
        for &(i, weight) in row.taps.iter().filter(|_| !row.outside) {
            weights[i] += weight;
        }
    }
    let rank = cx.rank(x);
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis.axis, rank - 1);
    let perm = Perm::new(perm).unwrap_or_else(|| Perm::identity(rank));
    let last = cx.b.transpose(x, &perm)?;
    let matrix = cx.b.constant(Tensor::from_vec(&[axis.output, axis.input], matrix));
    let op = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
    let product = cx.b.one(op, &[last, matrix])?;
    Ok(cx.b.transpose(product, &perm.inverse())?)
}

/// The sum over taps of gathered elements times a weight for each.
fn by_taps(cx: &mut Cx<'_>, x: ValueId, axis: &Axis, rows: &[Row]) -> Result<ValueId, Refusal> {
    let count = rows.iter().map(|row| row.taps.len()).max().unwrap_or(0);
    let mut weights_shape = vec![1; cx.rank(x) - axis.axis];
    weights_shape[0] = axis.output;
    let mut sum = None;
    for tap in 0..count {
        let at = |row: &Row| row.taps.get(tap).copied().filter(|_| !row.outside).unwrap_or((0, 0.0));
        let indices: Vec<i64> = rows.iter().map(|row| at(row).0 as i64).collect();
        let weights: Vec<f32> = rows.iter().map(|row| at(row).1).collect();
        let gathered = cx.gather_axis(x, &indices, axis.axis)?;
        let weights = cx.b.constant(Tensor::from_vec(&weights_shape, weights));
        let weighted = cx.b.mul(gathered, weights)?;
        sum = Some(match sum {
            None => weighted,
            Some(sum) => cx.b.add(sum, weighted)?,
        });
    }
    sum.ok_or_else(|| Refusal::new("no element has any weight", "check the model"))
}

/// Puts the extrapolation value where the source of an element lies outside on any axis.
fn extrapolate(cx: &mut Cx<'_>, x: ValueId, changed: &[(&Axis, &Vec<Row>)], value: f32) -> Result<ValueId, Refusal> {
    let mut outside = None;
    for (axis, rows) in changed.iter().filter(|(_, rows)| rows.iter().any(|row| row.outside)) {
        let mut shape = vec![1; cx.rank(x) - axis.axis];
        shape[0] = axis.output;
        let here = Tensor::from_bools(&shape, &rows.iter().map(|row| row.outside).collect::<Vec<_>>());
        let here = cx.b.constant(here);
        let value = cx.b.scalar_of(cx.dtype(x), value.into())?;
        outside = Some(cx.b.select(here, value, outside.unwrap_or(x))?);
    }
    Ok(outside.unwrap_or(x))
}

//! ONNX `GridSample`.

use super::{Axis, CUBIC, Kernel, LINEAR, NEAREST, Padding, Taps, as_rows, taps, weighted_sum};
use crate::graph::{Binary, Precision, Reduce, ValueId};
use crate::lower::conv::split;
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::DType;

/// Lowers ONNX `GridSample` (also that of `com.microsoft`) to `GATHER`.
///
/// # Accepts
/// Images and volumes, whose extents may be unknown; nearest, linear and cubic; zeros, border and reflection; `align_corners`; grids that
/// are constant or computed. Floats, and with nearest any numbers.
/// # Produces
/// The arithmetic of coordinates, then one `GATHER` of all elements that count, `MUL` by their weights and `SUM`.
/// # Refuses
/// Integers that would have to be interpolated.
pub(in crate::lower) fn grid_sample(cx: &mut Cx<'_>) -> Results {
    let (x, grid) = (cx.input(0)?, cx.input(1)?);
    let kernel = match cx.string_or("mode", "linear")? {
        "nearest" => &NEAREST,
        "linear" | "bilinear" => &LINEAR,
        "cubic" | "bicubic" => &CUBIC,
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute mode")),
    };
    let align_corners = cx.flag_or("align_corners", false)?;
    let padding = match cx.string_or("padding_mode", "zeros")? {
        "zeros" => Padding::Zeros,
        "border" => Padding::Border,
        "reflection" => Padding::Reflection { around_centers: align_corners },
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute padding_mode")),
    };
    let spatial = cx.rank(x).saturating_sub(2);
    if !(1..=3).contains(&spatial) || cx.rank(grid) != spatial + 2 || cx.dim(grid, spatial + 1) != Some(spatial) {
        let what = format!("{} on a grid of {}", cx.shape(x), cx.shape(grid));
        return Err(Refusal::new(what, "one to three spatial axes are supported"));
    }
    let dtype = cx.dtype(x);
    let interpolates = !kernel.weights.is_empty();
    if interpolates && (dtype.is_int() || dtype == DType::Bool) {
        return Err(Refusal::new(format!("{dtype} is interpolated"), "use float32, or mode nearest"));
    }
    let image = if interpolates { cx.in_kernel_type(x, &[DType::F32])? } else { x };
    let grid = cx.in_kernel_type(grid, &[DType::F32])?;

    cx.b.set_precision(Precision::Float);
    let image = as_rows(cx, image)?;
    // Places as [N, P, spatial], in the order of the grid: the last axis of the image first.
    let last = spatial + 1;
    let places = cx.reshape_parts(grid, &[Part::Axes(0..1), Part::Axes(1..last), Part::Axes(last..last + 1)])?;
    let axes = axes(cx, x, spatial)?;
    let at = in_elements(cx, places, &axes, align_corners)?;
    let along_axes = column(cx, &axes)?;
    let taps = taps(cx, at, &along_axes, kernel, padding)?;
    let taps = combined(cx, &taps, spatial, kernel)?;
    let found = cx.gather_in_batch(image, taps.row)?;
    let sampled =
        if interpolates { weighted_sum(cx, found, taps.weight, &[2])? } else { nearest(cx, found, taps.weight)? };
    let y = like_grid(cx, sampled, grid)?;
    let y = cx.channels_first(y)?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

/// The spatial axes of `x`, the last one first.
fn axes(cx: &mut Cx<'_>, x: ValueId, spatial: usize) -> Result<Axis, Refusal> {
    let (mut extents, mut strides) = (Vec::new(), vec![cx.b.ints(&[1])?]);
    for axis in (2..spatial + 2).rev() {
        let extent = cx.extent_vector(x, axis)?;
        strides.push(cx.b.mul(strides[strides.len() - 1], extent)?);
        extents.push(extent);
    }
    strides.pop();
    let (extents, stride) = (cx.b.concat(&extents, 0)?, cx.b.concat(&strides, 0)?);
    let extents = cx.b.cast(extents, DType::F32)?;
    Ok(Axis { last: cx.with_number(Binary::Sub, extents, 1.0)?, stride })
}

/// The axes standing upright, to go with one tap after the other.
fn column(cx: &mut Cx<'_>, axes: &Axis) -> Result<Axis, Refusal> {
    Ok(Axis { last: cx.b.reshape(axes.last, &[-1, 1])?, stride: cx.b.reshape(axes.stride, &[-1, 1])? })
}

/// Places counted in elements, where -1 and 1 are the ends.
fn in_elements(cx: &mut Cx<'_>, places: ValueId, axes: &Axis, align_corners: bool) -> Result<ValueId, Refusal> {
    let from_start = cx.with_number(Binary::Add, places, 1.0)?;
    if align_corners {
        let share = cx.with_number(Binary::Mul, from_start, 0.5)?;
        return Ok(cx.b.mul(share, axes.last)?);
    }
    let extent = cx.with_number(Binary::Add, axes.last, 1.0)?;
    let at = cx.b.mul(from_start, extent)?;
    let at = cx.with_number(Binary::Sub, at, 1.0)?;
    cx.with_number(Binary::Mul, at, 0.5)
}

/// Taps of each axis, `[N, P, spatial, taps]`, as those of all axes together: `[N, P, taps ^ spatial]`.
fn combined(cx: &mut Cx<'_>, taps: &Taps, spatial: usize, kernel: &Kernel) -> Result<Taps, Refusal> {
    let count = kernel.taps.len();
    let mut join = |x: ValueId, each: Binary, all: Reduce| -> Result<ValueId, Refusal> {
        if count == 1 {
            return Ok(cx.b.reduce(all, x, &[2], false)?);
        }
        let mut joined = None;
        for (axis, part) in split(cx, x, 2, spatial)?.into_iter().enumerate() {
            let mut parts = vec![Part::Axes(0..1), Part::Axes(1..2)];
            parts.extend((0..spatial).map(|other| Part::Fixed(if other == axis { count } else { 1 })));
            let part = cx.reshape_parts(part, &parts)?;
            joined = Some(match joined {
                None => part,
                Some(joined) => cx.b.binary(each, joined, part)?,
            });
        }
        let joined = joined.ok_or_else(|| Refusal::new("no spatial axis", ""))?;
        cx.reshape_parts(joined, &[Part::Axes(0..1), Part::Axes(1..2), Part::Fixed(count.pow(spatial as u32))])
    };
    Ok(Taps {
        row: join(taps.row, Binary::Add, Reduce::Sum)?,
        weight: taps.weight.map(|weight| join(weight, Binary::Mul, Reduce::Min)).transpose()?,
    })
}

/// The one element of each place, or 0 where its tap does not count: in the image's own type.
fn nearest(cx: &mut Cx<'_>, found: ValueId, weight: Option<ValueId>) -> Result<ValueId, Refusal> {
    let mut y = found;
    if let Some(weight) = weight {
        let counts = cx.b.cast(weight, DType::Bool)?;
        let counts = crate::lower::window::insert_axis(cx, counts, 3)?;
        let zero = cx.b.scalar_of(cx.dtype(found), 0.0)?;
        y = cx.b.select(counts, found, zero)?;
    }
    // One tap: [N, P, 1, C] as [N, P, C].
    crate::lower::window::drop_axis(cx, y, 2)
}

/// `[N, P, C]` with the spatial axes of the grid in place of `P`.
fn like_grid(cx: &mut Cx<'_>, sampled: ValueId, grid: ValueId) -> Result<ValueId, Refusal> {
    let last = cx.rank(grid) - 1;
    let grid_extents = cx.extents(grid);
    let channels = cx.dim(sampled, 2).map(|c| c as i64);
    let mut dims: Vec<Option<i64>> = grid_extents[..last].iter().map(|n| n.known()).collect();
    dims.push(channels);
    cx.reshape_to(sampled, &dims, |cx, axis| {
        if axis == last { cx.extent_vector(sampled, 2) } else { cx.extent_vector(grid, axis) }
    })
}

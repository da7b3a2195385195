//! ONNX `GridSample`.

use super::{Axes, CUBIC, LINEAR, NEAREST, Padding, as_rows, sampled};
use crate::graph::{Binary, Precision, ValueId};
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

    let precision = if interpolates { Precision::Float } else { Precision::Any };
    cx.b.set_precision(precision);
    let image = as_rows(cx, image)?;
    cx.b.set_precision(Precision::Float);
    // Places as [N, P, spatial], in the order of the grid: the last axis of the image first.
    let last = spatial + 1;
    let places = cx.reshape_parts(grid, &[Part::Axes(0..1), Part::Axes(1..last), Part::Axes(last..last + 1)])?;
    let axes = axes(cx, x, spatial)?;
    let at = in_elements(cx, places, &axes, align_corners)?;
    let sampled = sampled(cx, image, at, &axes, kernel, padding)?;
    cx.b.set_precision(precision);
    let y = like_grid(cx, sampled, grid)?;
    let y = cx.channels_first(y)?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

/// The spatial axes of `x`, the last one first.
fn axes(cx: &mut Cx<'_>, x: ValueId, spatial: usize) -> Result<Axes, Refusal> {
    let (mut extents, mut strides) = (Vec::new(), vec![cx.b.ints(&[1])?]);
    for axis in (2..spatial + 2).rev() {
        let extent = cx.extent_vector(x, axis)?;
        strides.push(cx.b.mul(strides[strides.len() - 1], extent)?);
        extents.push(extent);
    }
    strides.pop();
    let (extents, stride) = (cx.b.concat(&extents, 0)?, cx.b.concat(&strides, 0)?);
    let extents = cx.b.cast(extents, DType::F32)?;
    Ok(Axes { last: cx.with_number(Binary::Sub, extents, 1.0)?, stride })
}

/// Places counted in elements, where -1 and 1 are the ends.
fn in_elements(cx: &mut Cx<'_>, places: ValueId, axes: &Axes, align_corners: bool) -> Result<ValueId, Refusal> {
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

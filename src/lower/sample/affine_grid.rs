//! ONNX `AffineGrid`.

use crate::graph::{Binary, Precision, ValueId};
use crate::lower::conv::{require_float32, split};
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::DType;

/// Lowers ONNX `AffineGrid` to arithmetic.
///
/// # Accepts
/// Two and three spatial axes; `theta` and `size` constant or computed; `align_corners`.
/// # Produces
/// For each axis `MUL → ADD` of its coordinates, a constant where `size` is known, with a column of `theta`.
/// # Refuses
/// A `size` whose length is not known: the rank of the result depends on it.
pub(in crate::lower) fn affine_grid(cx: &mut Cx<'_>) -> Results {
    let (theta, size) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, theta)?;
    let align_corners = cx.flag_or("align_corners", false)?;
    let spatial = cx.entries(size, "size")?.saturating_sub(2);
    if !(2..=3).contains(&spatial) || cx.rank(theta) != 3 {
        let what = format!("theta of {} and a size of {} entries", cx.shape(theta), spatial + 2);
        return Err(Refusal::new(what, "two or three spatial axes are supported"));
    }
    cx.b.set_precision(Precision::Float);
    let size = match cx.known_ints(size) {
        Some(known) => cx.b.ints(&known)?,
        None => cx.as_i32(size)?,
    };
    // Columns of theta as [N, 1, .., 1, spatial]; that of the last axis of the image comes first, the offset last.
    let columns = split(cx, theta, 2, spatial + 1)?;
    let mut upright = vec![Part::Axes(0..1)];
    upright.extend((0..spatial).map(|_| Part::Fixed(1)));
    upright.push(Part::Axes(1..2));
    let mut sum = cx.reshape_parts(columns[spatial], &upright)?;
    for (axis, &column) in (0..spatial).rev().zip(&columns) {
        let extent = cx.b.slice(size, &[axis as i64 + 2], &[1])?;
        let extent = cx.b.reshape(extent, &[])?;
        let at = coordinates(cx, extent, align_corners)?;
        let mut along = vec![1i64; spatial + 1 - axis];
        along[0] = -1;
        let at = cx.b.reshape(at, &along)?;
        let column = cx.reshape_parts(column, &upright)?;
        let product = cx.b.mul(at, column)?;
        sum = cx.b.add(sum, product)?;
    }
    Ok(vec![sum])
}

/// Where the elements of an axis lie between -1 and 1: with `align_corners` the outermost ones on the ends, else half of one inside.
fn coordinates(cx: &mut Cx<'_>, extent: ValueId, align_corners: bool) -> Result<ValueId, Refusal> {
    let i = cx.count_up(extent)?;
    let (i, extent) = (cx.b.cast(i, DType::F32)?, cx.b.cast(extent, DType::F32)?);
    let (offset, steps) = if align_corners {
        let steps = cx.with_number(Binary::Sub, extent, 1.0)?;
        (i, cx.with_number(Binary::Maximum, steps, 1.0)?)
    } else {
        (cx.with_number(Binary::Add, i, 0.5)?, extent)
    };
    let share = cx.b.div(offset, steps)?;
    let doubled = cx.with_number(Binary::Mul, share, 2.0)?;
    cx.with_number(Binary::Sub, doubled, 1.0)
}

//! ONNX `MaxRoiPool`.

use super::roi_align::up_to_largest;
use super::{as_rows, boxes};
use crate::graph::{Binary, Compare, Precision, Reduce, Unary, ValueId};
use crate::lower::conv::require_float32;
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::DType;

/// Lowers ONNX `MaxRoiPool` to `GATHER`.
///
/// # Accepts
/// Boxes that are constant or computed.
/// # Produces
/// The arithmetic of bins, one `GATHER` of all their elements (the largest bin decides how many are taken for each) and `REDUCE_MAX`.
pub(in crate::lower) fn max_roi_pool(cx: &mut Cx<'_>) -> Results {
    let (x, rois) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    if cx.rank(x) != 4 || cx.rank(rois) != 2 || cx.dim(rois, 1) != Some(5) {
        let what = format!("{} with boxes of {}", cx.shape(x), cx.shape(rois));
        return Err(Refusal::new(what, "check the model with onnx.checker"));
    }
    let pooled: Option<Vec<i32>> =
        cx.ints("pooled_shape")?.unwrap_or_default().iter().map(|&n| n.try_into().ok()).collect();
    let Some(&[height, width]) = pooled.as_deref().filter(|p| p.iter().all(|&n| n > 0)) else {
        return Err(Refusal::new("must be two positive numbers", "").about("attribute pooled_shape"));
    };
    countable(&[height as usize, width as usize])?;
    let scale = cx.float_or("spatial_scale", 1.0)?;
    let image = as_rows(cx, x)?;

    cx.b.set_precision(Precision::Float);
    let [images, left, top, right, bottom] = boxes::columns(cx, rois)?;
    let mut corners = [left, top, right, bottom];
    for corner in &mut corners {
        let scaled = cx.with_number(Binary::Mul, *corner, scale.into())?;
        *corner = rounded(cx, scaled)?;
    }
    let [left, top, right, bottom] = corners;
    let y = Bins::of(cx, (top, bottom), height, (x, 2))?;
    let x_ = Bins::of(cx, (left, right), width, (x, 3))?;
    let columns = cx.extent_of(x, 3)?;
    let rows = cx.b.mul(y.position, columns)?;
    let row = boxes::outer(cx, rows, x_.position, Binary::Add)?;
    let found = boxes::gather(cx, image, row, images)?;
    let largest = cx.b.reduce(Reduce::Max, found, &[2, 4], false)?;
    let any = boxes::outer(cx, y.any, x_.any, Binary::LogicalAnd)?;
    let any = cx.b.reshape(any, &[-1, height.into(), width.into(), 1])?;
    let zero = cx.b.scalar(0f32);
    let largest = cx.b.select(any, largest, zero)?;
    Ok(vec![cx.channels_first(largest)?])
}

/// Halves go away from zero.
fn rounded(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let (sign, magnitude) = (cx.b.unary(Unary::Sign, x)?, cx.b.unary(Unary::Abs, x)?);
    let up = cx.with_number(Binary::Add, magnitude, 0.5)?;
    let floor = cx.b.unary(Unary::Floor, up)?;
    Ok(cx.b.mul(sign, floor)?)
}

/// Bins along one axis.
struct Bins {
    /// Elements of each bin, `[boxes, bins, most]`, the last one repeated where there are fewer: `INT32`.
    position: ValueId,
    /// Whether the bin has an element at all, `[boxes, bins, 1]`.
    any: ValueId,
}

impl Bins {
    /// `ends`: the first and the last element of boxes, each `[boxes, 1, 1]`; `along`: the image and its axis.
    fn of(cx: &mut Cx<'_>, ends: (ValueId, ValueId), bins: i32, along: (ValueId, usize)) -> Result<Bins, Refusal> {
        let (first, last) = ends;
        let size = cx.b.sub(last, first)?;
        let size = cx.with_number(Binary::Add, size, 1.0)?;
        let size = cx.with_number(Binary::Maximum, size, 1.0)?;
        let bin = cx.with_number(Binary::Div, size, bins.into())?;
        let extent = cx.extent_of(along.0, along.1)?;
        let extent = cx.b.cast(extent, DType::F32)?;
        let count = cx.b.scalar(bins);
        let i = cx.count_up(count)?;
        let i = cx.b.cast(i, DType::F32)?;
        let i = cx.b.reshape(i, &[-1, 1])?;
        let next = cx.with_number(Binary::Add, i, 1.0)?;
        let mut bound = |i: ValueId, rounding: Unary| -> Result<ValueId, Refusal> {
            let at = cx.b.mul(i, bin)?;
            let at = cx.b.unary(rounding, at)?;
            let at = cx.b.add(at, first)?;
            super::clamp(cx, at, extent)
        };
        let (begin, end) = (bound(i, Unary::Floor)?, bound(next, Unary::Ceil)?);
        let any = cx.b.compare(Compare::Greater, end, begin)?;
        let length = cx.b.sub(end, begin)?;
        let offset = up_to_largest(cx, length)?;
        let offset = cx.b.cast(offset, DType::F32)?;
        let position = cx.b.add(begin, offset)?;
        let end = cx.with_number(Binary::Sub, end, 1.0)?;
        let position = cx.b.binary(Binary::Minimum, position, end)?;
        // A bin without elements takes one that is there, and does not count.
        let last = cx.with_number(Binary::Sub, extent, 1.0)?;
        let position = super::clamp(cx, position, last)?;
        Ok(Bins { position: cx.as_i32(position)?, any })
    }
}

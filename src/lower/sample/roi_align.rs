//! ONNX `RoiAlign`.

use super::{Axes, LINEAR, Padding, as_rows, boxes, clamp, taps, weighted};
use crate::graph::{Binary, Compare, Op, Precision, Reduce, Unary, ValueId};
use crate::lower::conv::require_float32;
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::DType;

/// Lowers ONNX `RoiAlign` to `GATHER`.
///
/// # Accepts
/// Boxes and batch indices that are constant or computed; `avg` and `max`; any `sampling_ratio`. Where it is 0 and the boxes are computed,
/// the number of samples follows from the largest box at run time.
/// # Produces
/// The arithmetic of coordinates, one `GATHER` of all elements that count, `MUL` by their weights, `SUM` or `REDUCE_MAX`.
pub(in crate::lower) fn roi_align(cx: &mut Cx<'_>) -> Results {
    let (x, rois, images) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    require_float32(cx, x)?;
    if cx.rank(x) != 4 || cx.rank(rois) != 2 || cx.rank(images) != 1 || cx.dim(rois, 1) != Some(4) {
        let what = format!("{} with boxes of {}", cx.shape(x), cx.shape(rois));
        return Err(Refusal::new(what, "check the model with onnx.checker"));
    }
    let mean = match cx.string_or("mode", "avg")? {
        "avg" => true,
        "max" => false,
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute mode")),
    };
    let request = Request::read(cx)?;
    cx.b.set_precision(Precision::Float);
    let image = as_rows(cx, x)?;
    let scale = cx.float_or("spatial_scale", 1.0)?;
    let mut corners = cx.with_number(Binary::Mul, rois, scale.into())?;
    if request.half_pixel {
        corners = cx.with_number(Binary::Sub, corners, 0.5)?;
    }
    let [left, top, right, bottom] = boxes::columns(cx, corners)?;
    let width = cx.extent_of(x, 3)?;
    let one = cx.b.scalar(1i32);
    let y = Samples::of(cx, &request, request.pooled[0], (top, bottom), (x, 2), width, mean)?;
    let x_ = Samples::of(cx, &request, request.pooled[1], (left, right), (x, 3), one, mean)?;

    let row = boxes::outer(cx, y.row, x_.row, Binary::Add)?;
    let weight = boxes::outer(cx, y.weight, x_.weight, Binary::Mul)?;
    let found = boxes::gather(cx, image, row, images)?;
    let weighted = weighted(cx, found, Some(weight))?;
    let kind = if mean { Reduce::Sum } else { Reduce::Max };
    let mut pooled = cx.b.reduce(kind, weighted, &[2, 4], false)?;
    // Boxes without a sample are 0, and their sum is.
    let count = match (y.count, x_.count) {
        (Some(y), Some(x)) => Some(cx.b.mul(y, x)?),
        _ => None,
    };
    if let Some(count) = count {
        let count = if mean {
            let count = cx.with_number(Binary::Maximum, count, 1.0)?;
            cx.b.reshape(count, &[-1, 1, 1, 1])?
        } else {
            let some = cx.with_number(Binary::Minimum, count, 1.0)?;
            cx.b.reshape(some, &[-1, 1, 1, 1])?
        };
        pooled = if mean { cx.b.div(pooled, count)? } else { cx.b.mul(pooled, count)? };
    } else if mean {
        let samples = (request.samples * request.samples) as f64;
        pooled = cx.with_number(Binary::Mul, pooled, 1.0 / samples)?;
    }
    Ok(vec![cx.channels_first(pooled)?])
}

/// Attributes.
struct Request {
    /// Height, width.
    pooled: [usize; 2],
    /// Samples along each axis of a bin; 0: as many as the bin is long.
    samples: usize,
    half_pixel: bool,
}

impl Request {
    fn read(cx: &Cx<'_>) -> Result<Request, Refusal> {
        let count = |name: &str, default: i64, least: i64| {
            let given = cx.int_or(name, default)?;
            let found = i32::try_from(given).ok().filter(|&n| i64::from(n) >= least).map(|n| n as usize);
            found.ok_or_else(|| Refusal::new(format!("is {given}"), "").about(format!("attribute {name}")))
        };
        let request = Request {
            pooled: [count("output_height", 1, 1)?, count("output_width", 1, 1)?],
            samples: count("sampling_ratio", 0, 0)?,
            // Before opset 16 nothing was shifted.
            half_pixel: match cx.string_or("coordinate_transformation_mode", "half_pixel")? {
                "half_pixel" => cx.opset() >= 16,
                "output_half_pixel" => false,
                other => {
                    let about = "attribute coordinate_transformation_mode";
                    return Err(Refusal::new(format!("is {other:?}"), "").about(about));
                }
            },
        };
        countable(&[request.pooled[0], request.pooled[1], request.samples.max(1), request.samples.max(1)])?;
        Ok(request)
    }
}

/// Taps along one axis: `[boxes, bins, taps of all samples]`.
struct Samples {
    row: ValueId,
    weight: ValueId,
    /// Samples in a bin of each box, `[boxes, 1, 1]`, where it is not one number for all.
    count: Option<ValueId>,
}

impl Samples {
    /// `ends`: where boxes begin and end, each `[boxes, 1, 1]`; `along`: the image and its axis.
    fn of(
        cx: &mut Cx<'_>,
        request: &Request,
        bins: usize,
        ends: (ValueId, ValueId),
        along: (ValueId, usize),
        stride: ValueId,
        mean: bool,
    ) -> Result<Samples, Refusal> {
        let (start, end) = ends;
        let mut size = cx.b.sub(end, start)?;
        if !request.half_pixel {
            size = cx.with_number(Binary::Maximum, size, 1.0)?;
        }
        let bin = cx.with_number(Binary::Div, size, bins as f64)?;
        let (sample, count) = match request.samples {
            0 => {
                let count = cx.b.unary(Unary::Ceil, bin)?;
                let count = cx.with_number(Binary::Maximum, count, 0.0)?;
                (up_to_largest(cx, count)?, Some(count))
            }
            fixed => {
                let fixed = cx.b.scalar(fixed as i32);
                (cx.count_up(fixed)?, None)
            }
        };
        let mut sample = cx.b.cast(sample, DType::F32)?;
        let mut counts = None;
        if let Some(count) = count {
            let last = cx.with_number(Binary::Sub, count, 1.0)?;
            let last = cx.with_number(Binary::Maximum, last, 0.0)?;
            if mean {
                counts = Some(cx.b.compare(Compare::Less, sample, count)?);
            }
            // Past its last sample a box has that one again, which makes no difference to a maximum.
            sample = cx.b.binary(Binary::Minimum, sample, last)?;
        }
        let divisor = match count {
            Some(count) => cx.with_number(Binary::Maximum, count, 1.0)?,
            None => cx.b.scalar(request.samples as f32),
        };
        // start + bin * i + (sample + 0.5) * bin / count, with i upright.
        let center = cx.with_number(Binary::Add, sample, 0.5)?;
        let step = cx.b.mul(center, bin)?;
        let step = cx.b.div(step, divisor)?;
        let i = cx.b.scalar(bins as i32);
        let i = cx.count_up(i)?;
        let i = cx.b.cast(i, DType::F32)?;
        let i = cx.b.reshape(i, &[-1, 1])?;
        let offset = cx.b.mul(bin, i)?;
        let at = cx.b.add(start, offset)?;
        let at = cx.b.add(at, step)?;
        let (row, weight) = Samples::taps(cx, at, along, stride, counts)?;
        Ok(Samples { row, weight, count })
    }

    /// What lies beyond the edge by more than one element weighs nothing, anything else out there is on the edge.
    fn taps(
        cx: &mut Cx<'_>,
        at: ValueId,
        along: (ValueId, usize),
        stride: ValueId,
        counts: Option<ValueId>,
    ) -> Result<(ValueId, ValueId), Refusal> {
        let extent = cx.extent_of(along.0, along.1)?;
        let extent = cx.b.cast(extent, DType::F32)?;
        let last = cx.with_number(Binary::Sub, extent, 1.0)?;
        let least = cx.b.scalar(-1f32);
        let above = cx.b.compare(Compare::GreaterEqual, at, least)?;
        let below = cx.b.compare(Compare::LessEqual, at, extent)?;
        let mut inside = cx.b.binary(Binary::LogicalAnd, above, below)?;
        if let Some(counts) = counts {
            inside = cx.b.binary(Binary::LogicalAnd, inside, counts)?;
        }
        let inside = cx.b.cast(inside, DType::F32)?;
        let at = clamp(cx, at, last)?;
        let taps = taps(cx, at, &Axes { last, stride }, &LINEAR, Padding::Border)?;
        let inside = crate::lower::window::insert_axis(cx, inside, 3)?;
        let weight = match taps.weight {
            Some(weight) => cx.b.mul(weight, inside)?,
            None => inside,
        };
        let joined = [Part::Axes(0..1), Part::Axes(1..2), Part::Axes(2..4)];
        Ok((cx.reshape_parts(taps.row, &joined)?, cx.reshape_parts(weight, &joined)?))
    }
}

/// `0, 1, ..`, as many as the largest of `counts`.
pub(super) fn up_to_largest(cx: &mut Cx<'_>, counts: ValueId) -> Result<ValueId, Refusal> {
    let axes: Vec<usize> = (0..cx.rank(counts)).collect();
    let axes = cx.b.ints(&axes)?;
    let largest = cx.b.one(Op::Reduce { kind: Reduce::Max, keep_dims: false }, &[counts, axes])?;
    let largest = cx.as_i32(largest)?;
    let largest = cx.with_number(Binary::Maximum, largest, 1.0)?;
    if let Some(known) = cx.known_ints(largest).and_then(|n| n.first().copied()) {
        countable(&[usize::try_from(known).unwrap_or(usize::MAX)])?;
    }
    cx.count_up(largest)
}

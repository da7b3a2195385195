//! ONNX `CenterCropPad`.

use super::by_axis::ByAxis;
use super::pad;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Op, ValueId};

/// Lowers ONNX `CenterCropPad` to `SLICE` and `PAD`.
///
/// # Accepts
/// `axes`; a shape that is constant or fed at run time, and extents that are known or not.
/// # Produces
/// `SLICE` where something is taken away, `PAD` where something is added; both, with amounts computed by `MINIMUM`, `SUB` and `DIV`, where
/// that is only known at run time.
/// # Refuses
/// Amounts that are only known at run time for ranks above 5.
pub(super) fn center_crop_pad(cx: &mut Cx<'_>) -> Results {
    let (x, shape) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(x);
    let axes = cx.ints("axes")?.map_or_else(|| (0..rank as i64).collect(), <[i64]>::to_vec);
    let axes = axes.iter().map(|&axis| cx.axis(axis, x)).collect::<Result<Vec<_>, _>>()?;
    let (Some(wanted), Some(extents)) = (cx.known_ints(shape), cx.shape(x).as_fixed()) else {
        return at_run_time(cx, x, shape, &axes);
    };
    if wanted.len() != axes.len() {
        let what = format!("has {} extents for {} axes", wanted.len(), axes.len());
        return Err(Refusal::new(what, "check the model with onnx.checker").about("operand shape"));
    }
    let (mut begin, mut kept) = (vec![0; rank], extents.clone());
    let mut pads = vec![(0, 0); rank];
    for (&axis, &wanted) in axes.iter().zip(&wanted) {
        let wanted = usize::try_from(wanted)
            .map_err(|_| Refusal::new(format!("has an extent of {wanted}"), "").about("operand shape"))?;
        let (gone, added) = (extents[axis].saturating_sub(wanted), wanted.saturating_sub(extents[axis]));
        (begin[axis], kept[axis]) = (gone / 2, extents[axis] - gone);
        pads[axis] = (added / 2, added - added / 2);
    }
    let mut y = x;
    if kept != extents {
        let signed = |v: &[usize]| v.iter().map(|&n| n as i64).collect::<Vec<_>>();
        y = cx.b.slice(x, &signed(&begin), &signed(&kept))?;
    }
    Ok(vec![pad::with_zeros(cx, y, &pads)?])
}

fn at_run_time(cx: &mut Cx<'_>, x: ValueId, shape: ValueId, axes: &[usize]) -> Results {
    let (rank, extents) = (cx.rank(x), cx.shape_of(x)?);
    let axes = cx.b.ints(axes)?;
    let by_axis = ByAxis::new(cx, axes, rank)?;
    let wanted = by_axis.spread(cx, shape, 0)?;
    let wanted = cx.b.select(by_axis.mask(), wanted, extents)?;
    let kept = cx.b.binary(Binary::Minimum, extents, wanted)?;
    let (gone, added) = (cx.b.sub(extents, kept)?, cx.b.sub(wanted, kept)?);
    let two = cx.b.scalar(2i32);
    let (begin, before) = (cx.b.div(gone, two)?, cx.b.div(added, two)?);
    let after = cx.b.sub(added, before)?;
    let cropped = cx.b.one(Op::Slice, &[x, begin, kept])?;
    let sides = [cx.b.reshape(before, &[1, rank as i64])?, cx.b.reshape(after, &[1, rank as i64])?];
    let sides = cx.b.concat(&sides, 0)?;
    pad::by_run_time_amounts(cx, cropped, sides, None)
}

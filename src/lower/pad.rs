//! ONNX `Pad`.

use super::by_axis::ByAxis;
use super::kernel_type::no_kernel;
use super::reshape::Part;
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Binary, MirrorMode, Op, SliceMasks, Unary, ValueId};
use crate::tensor::{DType, Perm, Tensor};

/// What the kernels of `PAD` and `PADV2` take.
const KERNEL: &[DType] =
    &[DType::F32, DType::F16, DType::BF16, DType::I8, DType::U8, DType::I16, DType::I32, DType::I64, DType::Bool];
/// `PAD` and `PADV2` take no more axes.
const MAX_RANK: usize = 5;

/// Elements added before and after, along one axis. Never both none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Added {
    axis: usize,
    before: usize,
    after: usize,
}

/// Lowers ONNX `Pad` to `PAD`, `PADV2`, `MIRROR_PAD` or `GATHER`.
///
/// # Accepts
/// `constant`, `reflect`, `edge` and `wrap`; amounts and value as attributes or operands (also fed at run time), `axes`; negative
/// amounts; any rank.
/// # Produces
/// `constant`: `PAD`, or `PADV2` where the value is not zero. `reflect`: `MIRROR_PAD`. `edge` and `wrap`: a `GATHER` with constant
/// indices for each axis. Negative amounts: `SLICE` before it. `RESHAPE`s around it for ranks above 5. What is only known at run
/// time is computed there.
/// # Refuses
/// Run-time amounts for `constant` and ranks above 5; types that no kernel has.
pub(super) fn pad(cx: &mut Cx<'_>) -> Results {
    let mode = cx.string_or("mode", "constant")?;
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    // The value is for one mode only.
    cx.ignore_operand(2);
    let given = if cx.opset() < 11 {
        Some((cx.ints("pads")?.map(<[i64]>::to_vec).unwrap_or_default(), None))
    } else {
        let pads = cx.input(1)?;
        let axes = cx.optional(3).filter(|_| cx.opset() >= 18);
        let known_axes = axes.map(|axes| cx.known_ints(axes));
        match (cx.known_ints(pads), known_axes) {
            (Some(amounts), None) => Some((amounts, None)),
            (Some(amounts), Some(Some(axes))) => Some((amounts, Some(axes))),
            _ => None,
        }
    };
    let Some((amounts, axes)) = given else { return at_run_time(cx, x, mode) };
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    let axes = axes.iter().map(|&axis| cx.axis(axis, x)).collect::<Result<Vec<_>, _>>()?;
    if amounts.len() != 2 * axes.len() {
        let what = format!("has {} amounts for {} axes", amounts.len(), axes.len());
        return Err(Refusal::new(what, "check the model with onnx.checker").about("pads"));
    }
    let (before, after) = amounts.split_at(axes.len());
    let (mut x, mut added) = (x, Vec::new());
    for (&axis, (&before, &after)) in axes.iter().zip(before.iter().zip(after)) {
        x = crop(cx, x, axis, before, after)?;
        let (before, after) = (before.max(0) as usize, after.max(0) as usize);
        if before + after > 0 {
            added.push(Added { axis, before, after });
        }
    }
    added.sort_unstable_by_key(|a| a.axis);
    match mode {
        "constant" => {
            let value = value(cx, x)?;
            pad_constant(cx, x, &added, value)
        }
        "reflect" => pad_reflect(cx, x, &added),
        "edge" => pad_by_index(cx, x, &added, Source::Edge),
        "wrap" => pad_by_index(cx, x, &added, Source::Wrap),
        _ => Err(unknown(mode)),
    }
}

/// Takes away what negative amounts stand for.
fn crop(cx: &mut Cx<'_>, x: ValueId, axis: usize, before: i64, after: i64) -> Result<ValueId, Refusal> {
    if before >= 0 && after >= 0 {
        return Ok(x);
    }
    let (first, last) = (before.min(0).unsigned_abs() as usize, after.min(0).unsigned_abs() as usize);
    let Some(extent) = cx.dim(x, axis) else { return crop_open(cx, x, axis, before.min(0), after.min(0)) };
    let left = extent.checked_sub(first).and_then(|n| n.checked_sub(last));
    let left = left.ok_or_else(|| Refusal::new("takes away more than there is", "check the model").about("pads"))?;
    cx.slice_axis(x, axis, first, left)
}

fn crop_open(cx: &mut Cx<'_>, x: ValueId, axis: usize, before: i64, after: i64) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    let all = if rank >= 32 { -1 } else { (1i32 << rank) - 1 };
    let but = |kept: bool| if kept { all & !(1 << axis) } else { all };
    let masks = SliceMasks { begin: but(before < 0), end: but(after < 0), ..SliceMasks::default() };
    let (mut begins, mut ends) = (vec![0; rank], vec![0; rank]);
    (begins[axis], ends[axis]) = (before.saturating_neg(), after);
    let (begin, end, steps) = (cx.b.ints(&begins)?, cx.b.ints(&ends)?, cx.b.ints(&vec![1; rank])?);
    Ok(cx.b.one(Op::StridedSlice(masks), &[x, begin, end, steps])?)
}

/// The scalar to pad with; `None` for zero.
fn value(cx: &mut Cx<'_>, x: ValueId) -> Result<Option<ValueId>, Refusal> {
    let dtype = cx.dtype(x);
    if cx.opset() < 11 {
        let value = cx.float_or("value", 0.0)?;
        return if value == 0.0 { Ok(None) } else { Ok(Some(cx.b.scalar_of(dtype, value.into())?)) };
    }
    let Some(value) = cx.optional(2) else { return Ok(None) };
    if cx.constant(value).is_some_and(|v| v.bytes().iter().all(|&b| b == 0)) {
        return Ok(None);
    }
    Ok(Some(cx.b.reshape(value, &[])?))
}

/// Zeros added before and after, for every axis.
pub(super) fn with_zeros(cx: &mut Cx<'_>, x: ValueId, pads: &[(usize, usize)]) -> Result<ValueId, Refusal> {
    let added = pads.iter().enumerate().map(|(axis, &(before, after))| Added { axis, before, after });
    let added: Vec<Added> = added.filter(|a| a.before + a.after > 0).collect();
    Ok(pad_constant(cx, x, &added, None)?[0])
}

/// `PAD` or `PADV2`, on as few axes as can be: axes that are not padded are merged with their neighbours, and where five still
/// do not do, two axes are padded at a time.
fn pad_constant(cx: &mut Cx<'_>, x: ValueId, added: &[Added], value: Option<ValueId>) -> Results {
    if added.is_empty() {
        return Ok(vec![x]);
    }
    let dtype = cx.dtype(x);
    let mut padded = cx.in_moved_type(x, KERNEL)?;
    let value = value.map(|v| cx.in_moved_type(v, KERNEL)).transpose()?;
    let at_once = if merged(cx.rank(x), added).len() <= MAX_RANK { added.len() } else { 2 };
    for some in added.chunks(at_once) {
        padded = pad_merged(cx, padded, some, value)?;
    }
    Ok(vec![cx.b.cast(padded, dtype)?])
}

/// Axes `start..end` that are one for `PAD`.
fn merged(rank: usize, added: &[Added]) -> Vec<(usize, usize)> {
    let is_padded = |axis: usize| added.iter().any(|a| a.axis == axis);
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for axis in 0..rank {
        match runs.last_mut() {
            Some(run) if !is_padded(axis) && !is_padded(axis - 1) => run.1 += 1,
            _ => runs.push((axis, axis + 1)),
        }
    }
    runs
}

fn pad_merged(cx: &mut Cx<'_>, x: ValueId, added: &[Added], value: Option<ValueId>) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    let amount = |axis: usize| added.iter().find(|a| a.axis == axis).map_or((0, 0), |a| (a.before, a.after));
    let emit = |cx: &mut Cx<'_>, x: ValueId, pads: &[(usize, usize)]| match value {
        None => cx.b.pad(x, pads),
        Some(value) => cx.b.pad_with(x, pads, value),
    };
    if rank <= MAX_RANK {
        let pads: Vec<_> = (0..rank).map(amount).collect();
        return Ok(emit(cx, x, &pads)?);
    }
    let runs = merged(rank, added);
    let parts: Vec<Part> = runs.iter().map(|&(start, end)| Part::Axes(start..end)).collect();
    let collapsed = cx.reshape_parts(x, &parts)?;
    let pads: Vec<_> = runs.iter().map(|&(start, _)| amount(start)).collect();
    let padded = emit(cx, collapsed, &pads)?;
    let grown = |axis: usize| {
        let (before, after) = amount(axis);
        cx.dim(x, axis).map(|d| (d + before + after) as i64)
    };
    let dims: Vec<Option<i64>> = (0..rank).map(grown).collect();
    cx.reshape_to(padded, &dims, |cx, axis| {
        let (before, after) = amount(axis);
        let added = cx.b.ints(&[before + after])?;
        let extent = cx.extent_vector(x, axis)?;
        Ok(cx.b.add(extent, added)?)
    })
}

/// `MIRROR_PAD`, which takes less than the extent on either side; reflection beyond that goes back and forth.
fn pad_reflect(cx: &mut Cx<'_>, x: ValueId, added: &[Added]) -> Results {
    let too_far = |a: &Added| cx.dim(x, a.axis).is_some_and(|extent| a.before.max(a.after) >= extent);
    if added.iter().any(too_far) {
        return pad_by_index(cx, x, added, Source::Reflect);
    }
    if added.is_empty() {
        return Ok(vec![x]);
    }
    let mut flat = vec![0i32; 2 * cx.rank(x)];
    for a in added {
        let narrow =
            |n: usize| i32::try_from(n).map_err(|_| Refusal::new("is too large", "check the model").about("pads"));
        (flat[2 * a.axis], flat[2 * a.axis + 1]) = (narrow(a.before)?, narrow(a.after)?);
    }
    let paddings = cx.b.constant(Tensor::from_vec(&[cx.rank(x), 2], flat));
    Ok(vec![cx.b.one(Op::MirrorPad { mode: MirrorMode::Reflect }, &[x, paddings])?])
}

/// Which element of the operand stands before the first and after the last one.
#[derive(Debug, Clone, Copy)]
enum Source {
    Edge,
    Wrap,
    Reflect,
}

impl Source {
    /// Element of an axis that stands at index `i`, which is negative before the first one.
    fn element(self, i: i64, extent: i64) -> i64 {
        match self {
            Source::Edge => i.clamp(0, extent - 1),
            Source::Wrap => i.rem_euclid(extent),
            Source::Reflect => {
                let period = (2 * (extent - 1)).max(1);
                let i = i.rem_euclid(period);
                i.min(period - i)
            }
        }
    }

    /// [`Source::element`] for a vector of indices and an extent that are only known at run time.
    fn elements(self, cx: &mut Cx<'_>, indices: ValueId, extent: ValueId) -> Result<ValueId, Refusal> {
        let one = cx.b.scalar(1i32);
        let last = cx.b.sub(extent, one)?;
        Ok(match self {
            Source::Edge => {
                let zero = cx.b.scalar(0i32);
                let low = cx.b.binary(Binary::Maximum, indices, zero)?;
                cx.b.binary(Binary::Minimum, low, last)?
            }
            Source::Wrap => cx.b.binary(Binary::FloorMod, indices, extent)?,
            Source::Reflect => {
                let period = cx.b.add(last, last)?;
                let period = cx.b.binary(Binary::Maximum, period, one)?;
                let there = cx.b.binary(Binary::FloorMod, indices, period)?;
                let back = cx.b.sub(period, there)?;
                cx.b.binary(Binary::Minimum, there, back)?
            }
        })
    }
}

fn unknown(mode: &str) -> Refusal {
    Refusal::new(format!("{mode:?} is not known"), "check the model with onnx.checker").about("attribute mode")
}

/// Takes every element of the result from where `source` says.
fn pad_by_index(cx: &mut Cx<'_>, x: ValueId, added: &[Added], source: Source) -> Results {
    let mut padded = x;
    for a in added {
        let Some(extent) = cx.dim(x, a.axis) else {
            let (before, after) = (cx.b.ints(&[a.before])?, cx.b.ints(&[a.after])?);
            let (before, after) = (cx.b.reshape(before, &[])?, cx.b.reshape(after, &[])?);
            padded = pad_axis_at_run_time(cx, padded, a.axis, before, after, source)?;
            continue;
        };
        if extent == 0 {
            return Err(Refusal::new("there is nothing to repeat along an axis of extent 0", "check the model"));
        }
        countable(&[extent.saturating_add(a.before).saturating_add(a.after)])?;
        let range = -(a.before as i64)..(extent + a.after) as i64;
        let indices: Vec<i64> = range.map(|i| source.element(i, extent as i64)).collect();
        padded = cx.gather_axis(padded, &indices, a.axis)?;
    }
    Ok(vec![padded])
}

/// `GATHER` along one axis; amounts are `INT32` scalars, and may be negative.
fn pad_axis_at_run_time(
    cx: &mut Cx<'_>,
    x: ValueId,
    axis: usize,
    before: ValueId,
    after: ValueId,
    source: Source,
) -> Result<ValueId, Refusal> {
    let extent = cx.extent_of(x, axis)?;
    let first = cx.b.unary(Unary::Neg, before)?;
    let limit = cx.b.add(extent, after)?;
    let step = cx.b.scalar(1i32);
    let indices = cx.b.one(Op::Range, &[first, limit, step])?;
    let elements = source.elements(cx, indices, extent)?;
    cx.gather_at(x, elements, axis)
}

/// Amounts or axes that are computed or fed. Negative amounts of mode `constant`, which the kernels reject, can't be told here.
fn at_run_time(cx: &mut Cx<'_>, x: ValueId, mode: &str) -> Results {
    let rank = cx.rank(x);
    let pads = cx.input(1)?;
    let sides = cx.b.reshape(pads, &[2, -1])?;
    let sides = match cx.optional(3).filter(|_| cx.opset() >= 18) {
        None => cx.as_i32(sides)?,
        Some(axes) => {
            let by_axis = ByAxis::new(cx, axes, rank)?;
            let mut rows = Vec::new();
            for side in 0..2 {
                let index = cx.b.scalar(side);
                let entries = cx.b.gather(sides, index, 0)?;
                let row = by_axis.spread(cx, entries, 0)?;
                rows.push(cx.b.reshape(row, &[1, rank as i64])?);
            }
            cx.b.concat(&rows, 0)?
        }
    };
    let source = match mode {
        "constant" => {
            let value = value(cx, x)?;
            return by_run_time_amounts(cx, x, sides, value);
        }
        "edge" => Source::Edge,
        "wrap" => Source::Wrap,
        "reflect" => Source::Reflect,
        _ => return Err(unknown(mode)),
    };
    let flat = cx.b.reshape(sides, &[2 * rank as i64])?;
    let mut padded = x;
    for axis in 0..rank {
        let mut amount = |i: usize| -> Result<ValueId, Refusal> {
            let index = cx.b.scalar(i as i32);
            Ok(cx.b.gather(flat, index, 0)?)
        };
        let (before, after) = (amount(axis)?, amount(rank + axis)?);
        padded = pad_axis_at_run_time(cx, padded, axis, before, after, source)?;
    }
    Ok(vec![padded])
}

/// `PAD` or `PADV2`; `sides` is `INT32 [2, rank]`.
pub(super) fn by_run_time_amounts(cx: &mut Cx<'_>, x: ValueId, sides: ValueId, value: Option<ValueId>) -> Results {
    let (rank, dtype) = (cx.rank(x), cx.dtype(x));
    if rank > MAX_RANK {
        let what = format!("must be constant for ranks above {MAX_RANK}");
        return Err(
            Refusal::new(what, "pin dynamic inputs with --shape so that it can be computed").about("operand pads")
        );
    }
    if !KERNEL.contains(&dtype) {
        return Err(no_kernel(dtype));
    }
    let swap = Perm::new(vec![1, 0]).unwrap_or_else(|| Perm::identity(2));
    let paddings = cx.b.transpose(sides, &swap)?;
    Ok(vec![match value {
        None => cx.b.one(Op::Pad, &[x, paddings])?,
        Some(value) => cx.b.one(Op::PadV2, &[x, paddings, value])?,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_between_padded_ones_are_merged() {
        let added = [2, 5].map(|axis| Added { axis, before: 1, after: 0 });
        assert_eq!(merged(8, &added), [(0, 2), (2, 3), (3, 5), (5, 6), (6, 8)]);
    }
}

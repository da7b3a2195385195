//! ONNX `Pad`.

use super::kernel_type::no_kernel;
use super::reshape::Part;
use super::{Cx, Refusal, Results};
use crate::graph::{MirrorMode, Op, SliceMasks, ValueId};
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
/// `constant`, `reflect`, `edge` and `wrap`; amounts and value as attributes or operands, `axes`, negative amounts; any rank.
/// Amounts and value that are fed at run time, for `constant` and `reflect` up to rank 5.
/// # Produces
/// `constant`: `PAD`, or `PADV2` where the value is not zero. `reflect`: `MIRROR_PAD`. `edge` and `wrap`: a `GATHER` with constant
/// indices for each axis. Negative amounts: `SLICE` before it. `RESHAPE`s around it for ranks above 5.
/// # Refuses
/// Run-time amounts for `edge` and `wrap`; `wrap` along axes of unknown extent; types that no kernel has.
pub(super) fn pad(cx: &mut Cx<'_>) -> Results {
    let mode = cx.string_or("mode", "constant")?;
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    // The value is for one mode only.
    cx.ignore_operand(2);
    let amounts = if cx.opset() < 11 {
        Some(cx.ints("pads")?.map(<[i64]>::to_vec).unwrap_or_default())
    } else {
        let pads = cx.input(1)?;
        cx.known_ints(pads)
    };
    let axes = cx.known_operand(3, "axes")?.filter(|_| cx.opset() >= 18);
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    let axes = axes.iter().map(|&axis| cx.axis(axis, x)).collect::<Result<Vec<_>, _>>()?;
    let Some(amounts) = amounts else { return at_run_time(cx, x, mode, &axes) };
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
        "edge" => pad_by_index(cx, x, &added, |i, extent| i.clamp(0, extent - 1)),
        "wrap" => pad_by_index(cx, x, &added, |i, extent| i.rem_euclid(extent)),
        _ => {
            Err(Refusal::new(format!("{mode:?} is not known"), "check the model with onnx.checker")
                .about("attribute mode"))
        }
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

/// `PAD` or `PADV2`, on as few axes as can be: axes that are not padded are merged with their neighbours, and where five still
/// do not do, two axes are padded at a time.
fn pad_constant(cx: &mut Cx<'_>, x: ValueId, added: &[Added], value: Option<ValueId>) -> Results {
    if added.is_empty() {
        return Ok(vec![x]);
    }
    let dtype = cx.dtype(x);
    let mut padded = cx.in_kernel_type(x, KERNEL)?;
    let value = value.map(|v| cx.in_kernel_type(v, KERNEL)).transpose()?;
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
        return pad_by_index(cx, x, added, |i, extent| {
            let period = (2 * (extent - 1)).max(1);
            let i = i.rem_euclid(period);
            if i < extent { i } else { period - i }
        });
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

/// Takes every element of the result from `source` of its index, which is negative before the first element of the operand.
fn pad_by_index(cx: &mut Cx<'_>, x: ValueId, added: &[Added], source: impl Fn(i64, i64) -> i64) -> Results {
    let mut padded = x;
    for a in added {
        let Some(extent) = cx.dim(x, a.axis) else {
            padded = pad_edge_open(cx, padded, *a)?;
            continue;
        };
        if extent == 0 {
            return Err(Refusal::new("there is nothing to repeat along an axis of extent 0", "check the model"));
        }
        let range = -(a.before as i64)..(extent + a.after) as i64;
        let indices: Vec<i64> = range.map(|i| source(i, extent as i64)).collect();
        padded = cx.gather_axis(padded, &indices, a.axis)?;
    }
    Ok(vec![padded])
}

/// `edge` along an axis of unknown extent: the first and the last element, repeated, joined to what is between.
fn pad_edge_open(cx: &mut Cx<'_>, x: ValueId, added: Added) -> Result<ValueId, Refusal> {
    if cx.string_or("mode", "constant")? != "edge" {
        let what = format!("the elements to repeat depend on axis {} of {}", added.axis, cx.shape(x));
        return Err(Refusal::new(what, "pin the model's dynamic inputs with --shape NAME=.."));
    }
    let repeated = |cx: &mut Cx<'_>, element: ValueId, times: usize| -> Result<ValueId, Refusal> {
        let mut multiples = vec![1; cx.rank(x)];
        multiples[added.axis] = times as i64;
        let multiples = cx.b.ints(&multiples)?;
        Ok(cx.b.one(Op::Tile, &[element, multiples])?)
    };
    let mut parts = vec![x];
    if added.before > 0 {
        let first = cx.slice_axis(x, added.axis, 0, 1)?;
        parts.insert(0, repeated(cx, first, added.before)?);
    }
    if added.after > 0 {
        let last = last_element(cx, x, added.axis)?;
        parts.push(repeated(cx, last, added.after)?);
    }
    Ok(cx.b.concat(&parts, added.axis)?)
}

fn last_element(cx: &mut Cx<'_>, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    let all = if rank >= 32 { -1 } else { (1i32 << rank) - 1 };
    let masks = SliceMasks { begin: all & !(1 << axis), end: all, ..SliceMasks::default() };
    let mut begin = vec![0; rank];
    begin[axis] = -1;
    let (begin, end, steps) = (cx.b.ints(&begin)?, cx.b.ints(&vec![0; rank])?, cx.b.ints(&vec![1; rank])?);
    let last = cx.b.one(Op::StridedSlice(masks), &[x, begin, end, steps])?;
    let mut extents = cx.extents(last);
    extents[axis] = super::known::Number::Known(1);
    Ok(cx.refine(last, &extents))
}

/// `PAD` or `MIRROR_PAD` with amounts that are computed or fed; negative ones, which the kernels reject, can't be told here.
fn at_run_time(cx: &mut Cx<'_>, x: ValueId, mode: &str, axes: &[usize]) -> Results {
    let rank = cx.rank(x);
    let in_order = axes.iter().copied().eq(0..rank);
    if !in_order || rank > MAX_RANK || !matches!(mode, "constant" | "reflect") {
        return Err(Refusal::new(
            format!("must be constant for mode {mode:?}, given axes or ranks above {MAX_RANK}"),
            "pin dynamic inputs with --shape so that it can be computed, or make it an initializer",
        )
        .about("operand pads"));
    }
    let dtype = cx.dtype(x);
    if !KERNEL.contains(&dtype) {
        return Err(no_kernel(dtype));
    }
    let pads = cx.input(1)?;
    let pads = cx.as_i32(pads)?;
    let sides = cx.b.reshape(pads, &[2, rank as i64])?;
    let swap = Perm::new(vec![1, 0]).unwrap_or_else(|| Perm::identity(2));
    let paddings = cx.b.transpose(sides, &swap)?;
    if mode == "reflect" {
        return Ok(vec![cx.b.one(Op::MirrorPad { mode: MirrorMode::Reflect }, &[x, paddings])?]);
    }
    Ok(vec![match value(cx, x)? {
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

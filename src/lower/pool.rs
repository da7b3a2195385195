//! ONNX `MaxPool`, `AveragePool` and `LpPool`.

use super::conv::require_float32;
use super::reduce::{p_power, p_root};
use super::window::{Window, add_height, channels_last_pads, drop_axis};
use super::{Cx, Refusal, Results, countable, pool_indices};
use crate::graph::{Activation, Binary, Dim, Op, Padding, Pool, Precision, SliceMasks, ValueId};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `MaxPool` to `MAX_POOL_2D`.
///
/// # Accepts
/// One to three spatial axes; float32, int8, uint8; any pads, strides, dilations, `ceil_mode`.
/// # Produces
/// `PADV2? → MAX_POOL_2D`, channels last, padded with the lowest number. Three axes or dilation: the largest of strided slices, one
/// for each element of the kernel. `Indices`: `ARG_MAX` over such slices, and constant positions.
/// # Refuses
/// Unknown spatial extents where they matter.
pub(super) fn max_pool(cx: &mut Cx<'_>) -> Results {
    let column_major = cx.flag_or("storage_order", false)?;
    let x = cx.input(0)?;
    let mut results = vec![pool(cx, x, Kind::Max)?];
    if cx.wants_output(1) {
        results.push(pool_indices::indices(cx, column_major)?);
    }
    Ok(results)
}

/// Lowers ONNX `AveragePool` to `AVERAGE_POOL_2D`.
///
/// # Accepts
/// One to three spatial axes; float32; any pads, strides, dilations, `ceil_mode`, `count_include_pad`.
/// # Produces
/// `PAD? → AVERAGE_POOL_2D → MUL?`, channels last; `MUL` by a constant map only where the divisor is not the same everywhere and is
/// not that of `SAME`; `DIV` by the pooled ones of run-time extents. Three axes or dilation: the sum of strided slices.
/// # Refuses
/// Unknown spatial extents where they matter.
pub(super) fn average_pool(cx: &mut Cx<'_>) -> Results {
    let include_pad = cx.flag_or("count_include_pad", false)?;
    let x = cx.input(0)?;
    Ok(vec![pool(cx, x, Kind::Average { include_pad })?])
}

/// Lowers ONNX `LpPool` to a power, the sum of windows, and the root.
///
/// # Accepts
/// One to three spatial axes; float32; any positive `p`, pads, strides, dilations, `ceil_mode`.
/// # Produces
/// `SQUARE`, or `ABS`, or `ABS → POW`; `PAD? → AVERAGE_POOL_2D → MUL` by the size of the kernel; `SQRT` or `POW`. Three axes or dilation:
/// the sum of strided slices.
/// # Refuses
/// Unknown spatial extents where they matter.
pub(super) fn lp_pool(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let p = cx.int_or("p", 2)?;
    cx.b.set_precision(Precision::Float);
    let powers = p_power(cx, x, p)?;
    let sum = pool(cx, powers, Kind::Sum)?;
    Ok(vec![p_root(cx, sum, p)?])
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Max,
    Average { include_pad: bool },
    Sum,
}

fn pool(cx: &mut Cx<'_>, x: ValueId, kind: Kind) -> Result<ValueId, Refusal> {
    let compares = matches!(cx.dtype(x), DType::I8 | DType::U8);
    if kind != Kind::Max || !compares {
        require_float32(cx, x)?;
    }
    let spatial = cx.rank(x).saturating_sub(2);
    if !(1..=3).contains(&spatial) {
        return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "one to three spatial axes are supported"));
    }
    let mut window = Window::read(cx, spatial, None)?;
    let ceil = cx.flag_or("ceil_mode", false)?;
    if spatial == 1 {
        window.add_height();
        let x = add_height(cx, x)?;
        let y = channels_first(cx, x, &window, ceil, kind)?;
        return drop_axis(cx, y, 2);
    }
    channels_first(cx, x, &window, ceil, kind)
}

fn channels_first(cx: &mut Cx<'_>, x: ValueId, window: &Window, ceil: bool, kind: Kind) -> Result<ValueId, Refusal> {
    let extents = cx.shape(x).dims()[2..].to_vec();
    let x = cx.channels_last(x)?;
    let y = channels_last(cx, x, window, &extents, ceil, kind)?;
    cx.channels_first(y)
}

fn channels_last(
    cx: &mut Cx<'_>,
    x: ValueId,
    window: &Window,
    extents: &[Dim],
    ceil: bool,
    kind: Kind,
) -> Result<ValueId, Refusal> {
    let builtin = extents.len() == 2 && window.dilations.iter().all(|&d| d == 1);
    let (padding, _) = window.split(extents)?;
    // SAME leaves the padding out of the divisor, and makes every window that begins inside: nothing is left to round up.
    let same_counts = matches!(kind, Kind::Max | Kind::Average { include_pad: false });
    if builtin && padding == Padding::Same && same_counts {
        return pool_2d(cx, x, window, Padding::Same, kind);
    }
    let pads = window.explicit(extents)?;
    let end = match ceil {
        true => round_up(cx, x, window, extents, &pads)?,
        false => vec![0; extents.len()],
    };
    let padded = match kind {
        Kind::Max => pad_lowest(cx, x, &pads, &end)?,
        Kind::Average { .. } | Kind::Sum => cx.b.pad(x, &channels_last_pads(&with_end(&pads, &end)))?,
    };
    let y =
        if builtin { pool_2d(cx, padded, window, Padding::Valid, kind)? } else { by_slices(cx, padded, window, kind)? };
    match kind {
        Kind::Average { include_pad: false } if builtin && !ceil && extents.contains(&None) => {
            divide_by_share(cx, x, y, window, &pads)
        }
        Kind::Average { include_pad } => correct_divisor(cx, y, window, extents, &pads, &end, include_pad),
        Kind::Sum if builtin => {
            let size = cx.b.scalar(window.kernel.iter().product::<usize>() as f32);
            Ok(cx.b.mul(y, size)?)
        }
        Kind::Max | Kind::Sum => Ok(y),
    }
}

fn with_end(pads: &[(usize, usize)], end: &[usize]) -> Vec<(usize, usize)> {
    pads.iter().zip(end).map(|(&(before, after), &end)| (before, after + end)).collect()
}

/// Padding that no maximum is found in; `x` has its channels last.
pub(super) fn pad_lowest(
    cx: &mut Cx<'_>,
    x: ValueId,
    pads: &[(usize, usize)],
    end: &[usize],
) -> Result<ValueId, Refusal> {
    let lowest = match cx.dtype(x) {
        DType::I8 => cx.b.scalar(i8::MIN),
        DType::U8 => cx.b.scalar(u8::MIN),
        DType::I32 => cx.b.scalar(i32::MIN),
        _ => cx.b.scalar(f32::NEG_INFINITY),
    };
    Ok(cx.b.pad_with(x, &channels_last_pads(&with_end(pads, end)), lowest)?)
}

fn pool_2d(cx: &mut Cx<'_>, x: ValueId, window: &Window, padding: Padding, kind: Kind) -> Result<ValueId, Refusal> {
    let op = Op::Pool2d {
        kind: if kind == Kind::Max { Pool::Max } else { Pool::Average },
        padding,
        stride: [window.strides[0], window.strides[1]],
        filter: [window.kernel[0], window.kernel[1]],
        activation: Activation::None,
    };
    Ok(cx.b.one(op, &[x])?)
}

/// What must be added at the end of each axis so that rounding down gives what `ceil_mode` asks for. A window that would
/// begin in the padding at the end is left out.
pub(super) fn round_up(
    cx: &Cx<'_>,
    x: ValueId,
    window: &Window,
    extents: &[Dim],
    pads: &[(usize, usize)],
) -> Result<Vec<usize>, Refusal> {
    let extra = |axis: usize| {
        let extent = match extents[axis] {
            Some(extent) => extent,
            None => return cx.fixed_shape(x).map(|_| 0),
        };
        let (stride, span) = (window.strides[axis], window.span(axis));
        let padded = extent + pads[axis].0 + pads[axis].1;
        let Some(room) = padded.checked_sub(span) else { return Ok(0) };
        let mut last = room.div_ceil(stride) * stride;
        if last >= extent + pads[axis].0 {
            last -= stride.min(last);
        }
        Ok((last + span).saturating_sub(padded))
    };
    (0..extents.len()).map(extra).collect()
}

/// Kernels of more elements would make files that nobody wants to run.
const MOST_SLICES: usize = 1 << 12;

/// The pool as one strided slice for each element of the kernel, joined element by element.
fn by_slices(cx: &mut Cx<'_>, x: ValueId, window: &Window, kind: Kind) -> Result<ValueId, Refusal> {
    let (join, scale) = match kind {
        Kind::Max => (Binary::Maximum, None),
        Kind::Sum => (Binary::Add, None),
        Kind::Average { .. } => (Binary::Add, Some(1.0 / window.kernel.iter().product::<usize>() as f32)),
    };
    let slices = slices(cx, x, window)?;
    let (&first, others) = slices.split_first().ok_or_else(|| Refusal::new("an empty kernel", ""))?;
    let mut joined = first;
    for &part in others {
        joined = cx.b.binary(join, joined, part)?;
    }
    match scale {
        Some(scale) => {
            let scale = cx.b.scalar(scale);
            Ok(cx.b.mul(joined, scale)?)
        }
        None => Ok(joined),
    }
}

/// For each element of the kernel, in row-major order, the elements of the padded, channels-last `x` that it falls on.
pub(super) fn slices(cx: &mut Cx<'_>, x: ValueId, window: &Window) -> Result<Vec<ValueId>, Refusal> {
    let spatial = window.kernel.len();
    let out: Vec<usize> = (0..spatial)
        .map(|axis| {
            let padded = cx.dim(x, axis + 1).ok_or_else(|| cx.fixed_shape(x).err());
            let padded = padded.map_err(|e| e.unwrap_or_else(|| Refusal::new("an extent is not known", "")))?;
            let room = padded.checked_sub(window.span(axis));
            let room = room.ok_or_else(|| Refusal::new("the kernel is larger than the padded input", ""))?;
            Ok(room / window.strides[axis] + 1)
        })
        .collect::<Result<_, Refusal>>()?;
    let count = countable(&window.kernel)?;
    if count > MOST_SLICES {
        let what = format!("has {count} elements, and each would take operators of its own");
        return Err(Refusal::new(what, "use a smaller kernel").about("attribute kernel_shape"));
    }
    let mut slices = Vec::with_capacity(count);
    for flat in 0..count {
        let mut rest = flat;
        let (mut begin, mut end, mut strides) =
            (vec![0i64; spatial + 2], vec![0i64; spatial + 2], vec![1i64; spatial + 2]);
        for axis in (0..spatial).rev() {
            let offset = rest % window.kernel[axis] * window.dilations[axis];
            rest /= window.kernel[axis];
            begin[axis + 1] = offset as i64;
            end[axis + 1] = (offset + (out[axis] - 1) * window.strides[axis] + 1) as i64;
            strides[axis + 1] = window.strides[axis] as i64;
        }
        // Batch and channels whole.
        let whole = 1 | 1 << (spatial + 1);
        let masks = SliceMasks { begin: whole, end: whole, ..SliceMasks::default() };
        let (begin, end, strides) = (cx.b.ints(&begin)?, cx.b.ints(&end)?, cx.b.ints(&strides)?);
        slices.push(cx.b.one(Op::StridedSlice(masks), &[x, begin, end, strides])?);
    }
    Ok(slices)
}

/// [`correct_divisor`] for extents that are only known at run time: the share of each window that counts is the average of ones
/// that are padded like `x`.
fn divide_by_share(
    cx: &mut Cx<'_>,
    x: ValueId,
    y: ValueId,
    window: &Window,
    pads: &[(usize, usize)],
) -> Result<ValueId, Refusal> {
    if pads.iter().all(|&p| p == (0, 0)) {
        return Ok(y);
    }
    let dims: Vec<Option<i64>> = cx.shape(x).dims().iter().map(|d| d.map(|d| d as i64)).collect();
    let shape = cx.b.one(Op::Shape { to: DType::I32 }, &[x])?;
    let numbers = [Some(1), dims[1], dims[2], Some(1)];
    let shape = cx.vector_of(&numbers, |cx, axis| Ok(cx.b.slice(shape, &[axis as i64], &[1])?))?;
    let one = cx.b.scalar(1f32);
    let ones = cx.b.one(Op::Fill, &[shape, one])?;
    let ones = cx.b.pad(ones, &channels_last_pads(pads))?;
    let precision = cx.b.set_precision(Precision::Float);
    let share = pool_2d(cx, ones, window, Padding::Valid, Kind::Average { include_pad: false })?;
    let y = cx.b.div(y, share)?;
    cx.b.set_precision(precision);
    Ok(y)
}

/// The kernel divided by its size everywhere; ONNX divides by how many elements of the window count.
fn correct_divisor(
    cx: &mut Cx<'_>,
    y: ValueId,
    window: &Window,
    extents: &[Dim],
    pads: &[(usize, usize)],
    end: &[usize],
    include_pad: bool,
) -> Result<ValueId, Refusal> {
    let nothing_out = if include_pad {
        end.iter().all(|&e| e == 0)
    } else {
        pads.iter().all(|&p| p == (0, 0)) && end.iter().all(|&e| e == 0)
    };
    if nothing_out {
        return Ok(y);
    }
    let mut counts: Vec<Vec<usize>> = Vec::new();
    for axis in 0..extents.len() {
        let (extent, out) = extents[axis].zip(cx.dim(y, axis + 1)).ok_or_else(|| {
            Refusal::new(
                "the divisor depends on extents that are not known",
                "pin the model's inputs with --shape NAME=..",
            )
        })?;
        // Positions that count, in coordinates of the padded input.
        let (from, to) = match include_pad {
            true => (0, pads[axis].0 + extent + pads[axis].1),
            false => (pads[axis].0, pads[axis].0 + extent),
        };
        let count = |o: usize| {
            let taps = (0..window.kernel[axis]).map(|k| o * window.strides[axis] + k * window.dilations[axis]);
            taps.filter(|p| (from..to).contains(p)).count()
        };
        countable(&[out, window.kernel[axis]])?;
        counts.push((0..out).map(count).collect());
    }
    countable(&counts.iter().map(Vec::len).collect::<Vec<_>>())?;
    let size = window.kernel.iter().product::<usize>() as f64;
    let shape: Vec<usize> = std::iter::once(1).chain(counts.iter().map(Vec::len)).chain(std::iter::once(1)).collect();
    let mut factors = vec![size];
    for axis in counts {
        factors = factors.iter().flat_map(|f| axis.iter().map(move |&c| f / c.max(1) as f64)).collect();
    }
    let factors = Tensor::from_vec(&shape, factors.into_iter().map(|f| f as f32).collect());
    let factors = cx.b.constant(factors);
    Ok(cx.b.mul(y, factors)?)
}

//! Operators that read an image at places between its elements: `GridSample`, `AffineGrid`, `RoiAlign`, `MaxRoiPool`, `DeformConv`.
//!
//! Owns: the sampler that they share. Images lie flattened as rows of channels, `[images, height * width, channels]`. Along each axis a
//! place becomes a few taps, each a whole-numbered position and a weight; taps of all axes are combined, gathered and summed. `GATHER`
//! aborts the run on an index that is out of range, so every tap is brought inside, and weighs nothing where that is not what was meant.

mod affine_grid;
mod boxes;
mod deform_conv;
mod grid_sample;
mod roi_align;
mod roi_pool;

pub(super) use affine_grid::affine_grid;
pub(super) use deform_conv::deform_conv;
pub(super) use grid_sample::grid_sample;
pub(super) use roi_align::roi_align;
pub(super) use roi_pool::max_roi_pool;

use super::conv::split;
use super::reshape::Part;
use super::window::insert_axis;
use super::{Cx, Refusal};
use crate::graph::{Binary, Compare, Precision, Reduce, Unary, ValueId};
use crate::tensor::{DType, Tensor};

/// Which elements around a place count, and how much.
struct Kernel {
    /// From a place to the whole number that taps are counted from.
    base: Unary,
    taps: &'static [f32],
    /// The weights of the taps as polynomials of the distance from the base: coefficients of the highest power first, one for each tap.
    weights: &'static [&'static [f32]],
}

/// Halves go to the even neighbour, as they do in ONNX Runtime and PyTorch.
const NEAREST: Kernel = Kernel { base: Unary::Round, taps: &[0.0], weights: &[] };

const LINEAR: Kernel = Kernel { base: Unary::Floor, taps: &[0.0, 1.0], weights: &[&[-1.0, 1.0], &[1.0, 0.0]] };

/// The cubic convolution of Keys with -0.75, multiplied out.
const CUBIC: Kernel = Kernel {
    base: Unary::Floor,
    taps: &[-1.0, 0.0, 1.0, 2.0],
    weights: &[&[-0.75, 1.25, -1.25, 0.75], &[1.5, -2.25, 1.5, -0.75], &[-0.75, 0.0, 0.75, 0.0], &[0.0, 1.0, 0.0, 0.0]],
};

/// What stands beyond the edges.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Padding {
    Zeros,
    /// The element at the edge.
    Border,
    /// The image mirrored, around the centers of its outermost elements or around their outer edges.
    Reflection {
        around_centers: bool,
    },
}

/// An axis that is sampled, or vectors of several, which lie along the last axis of the places.
struct Axes {
    /// Position of the last element, `FLOAT32`.
    last: ValueId,
    /// Rows from one element to the next, `INT32`.
    stride: ValueId,
}

/// Taps of places: both have one axis more than the places, with an entry for each tap.
struct Taps {
    /// Row of the flattened image, `INT32`.
    row: ValueId,
    /// `FLOAT32`; `None` where each weighs 1.
    weight: Option<ValueId>,
}

/// The taps of places along an axis, `at` in elements (`FLOAT32`).
fn taps(cx: &mut Cx<'_>, at: ValueId, axis: &Axes, kernel: &Kernel, padding: Padding) -> Result<Taps, Refusal> {
    let rank = cx.rank(at);
    let at = insert_axis(cx, at, rank)?;
    let base = cx.b.unary(kernel.base, at)?;
    let mut tap = base;
    if kernel.taps != [0.0] {
        let taps = cx.b.constant(Tensor::vector(kernel.taps.to_vec()));
        tap = cx.b.add(base, taps)?;
    }
    let mut weight = match kernel.weights {
        [] => None,
        powers => {
            let distance = cx.b.sub(at, base)?;
            Some(polynomial(cx, distance, powers)?)
        }
    };
    let inside = match padding {
        Padding::Reflection { around_centers } => reflected(cx, tap, axis, around_centers)?,
        Padding::Zeros | Padding::Border => tap,
    };
    let inside = clamp(cx, inside, axis.last)?;
    if padding == Padding::Zeros {
        let counts = cx.b.compare(Compare::Equal, inside, tap)?;
        let counts = cx.b.cast(counts, DType::F32)?;
        weight = Some(match weight {
            Some(weight) => cx.b.mul(weight, counts)?,
            None => counts,
        });
    }
    let position = cx.as_i32(inside)?;
    Ok(Taps { row: cx.b.mul(position, axis.stride)?, weight })
}

/// Places so far outside that only padding is near are brought near: beyond the edge all are alike, and infinity has no distance to
/// the next whole number. `MAXIMUM` gives its second operand for NaN.
fn bounded(cx: &mut Cx<'_>, at: ValueId, axes: &Axes, padding: Padding) -> Result<ValueId, Refusal> {
    if let Padding::Reflection { .. } = padding {
        return Ok(at);
    }
    const REACH: f64 = 4.0;
    let before = cx.b.scalar(-REACH as f32);
    let after = cx.with_number(Binary::Add, axes.last, REACH)?;
    let at = cx.b.binary(Binary::Maximum, at, before)?;
    Ok(cx.b.binary(Binary::Minimum, at, after)?)
}

/// `x` within `0..=last`, and 0 for NaN.
fn clamp(cx: &mut Cx<'_>, x: ValueId, last: ValueId) -> Result<ValueId, Refusal> {
    let low = cx.with_number(Binary::Maximum, x, 0.0)?;
    Ok(cx.b.binary(Binary::Minimum, low, last)?)
}

/// Whole-numbered positions folded back at both ends until they are inside. Places between them need no folding of their own: the
/// kernels are symmetric.
fn reflected(cx: &mut Cx<'_>, tap: ValueId, axis: &Axes, around_centers: bool) -> Result<ValueId, Refusal> {
    let (start, beyond) = if around_centers { (0.0, 0.0) } else { (-0.5, 1.0) };
    // An axis of one element has nothing to fold: what is left of it is clamped.
    let range = cx.with_number(Binary::Add, axis.last, beyond)?;
    let range = cx.with_number(Binary::Maximum, range, 1.0)?;
    let period = cx.with_number(Binary::Mul, range, 2.0)?;
    let from_start = if start == 0.0 { tap } else { cx.with_number(Binary::Sub, tap, start)? };
    let distance = cx.b.unary(Unary::Abs, from_start)?;
    let phase = cx.b.binary(Binary::FloorMod, distance, period)?;
    let from_turn = cx.b.sub(phase, range)?;
    let from_turn = cx.b.unary(Unary::Abs, from_turn)?;
    let folded = cx.b.sub(range, from_turn)?;
    if start == 0.0 { Ok(folded) } else { cx.with_number(Binary::Add, folded, start) }
}

/// Horner's rule, with a vector of coefficients for each power.
fn polynomial(cx: &mut Cx<'_>, x: ValueId, powers: &[&[f32]]) -> Result<ValueId, Refusal> {
    let mut sum = None;
    for coefficients in powers {
        let coefficients = cx.b.constant(Tensor::vector(coefficients.to_vec()));
        sum = Some(match sum {
            None => coefficients,
            Some(sum) => {
                let product = cx.b.mul(sum, x)?;
                cx.b.add(product, coefficients)?
            }
        });
    }
    sum.ok_or_else(|| Refusal::new("a polynomial without coefficients", ""))
}

/// `[N,C,spatial..]` as rows of channels, `[N, product of spatial.., C]`.
fn as_rows(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let last = cx.rank(x) - 1;
    let x = cx.channels_last(x)?;
    cx.reshape_parts(x, &[Part::Axes(0..1), Part::Axes(1..last), Part::Axes(last..last + 1)])
}

/// The image, `[images, rows, C]`, at places `[images, P, axes]`: `[images, P, C]`. Rows of one tap are taken in any element type.
fn sampled(
    cx: &mut Cx<'_>,
    image: ValueId,
    at: ValueId,
    axes: &Axes,
    kernel: &Kernel,
    padding: Padding,
) -> Result<ValueId, Refusal> {
    let at = bounded(cx, at, axes, padding)?;
    let count = cx.dim(at, 2).unwrap_or(1);
    let upright = Axes { last: cx.b.reshape(axes.last, &[-1, 1])?, stride: cx.b.reshape(axes.stride, &[-1, 1])? };
    let taps = taps(cx, at, &upright, kernel, padding)?;
    let taps = combined(cx, &taps, count, kernel)?;
    if kernel.taps.len() == 1 {
        // Elements are only chosen: 8 bits hold them as they held the image.
        let before = cx.b.set_precision(Precision::Any);
        let found = cx.gather_in_batch(image, taps.row)?;
        let y = single(cx, found, taps.weight)?;
        cx.b.set_precision(before);
        return Ok(y);
    }
    let found = cx.gather_in_batch(image, taps.row)?;
    let weighted = weighted(cx, found, taps.weight)?;
    Ok(cx.b.reduce(Reduce::Sum, weighted, &[2], false)?)
}

/// Taps along each of several axes, `[images, P, axes, taps]`, as those of all axes together: `[images, P, taps ^ axes]`, or
/// `[images, P]` where there is one.
fn combined(cx: &mut Cx<'_>, taps: &Taps, axes: usize, kernel: &Kernel) -> Result<Taps, Refusal> {
    let count = kernel.taps.len();
    let mut join = |x: ValueId, each: Binary, all: Reduce| -> Result<ValueId, Refusal> {
        if count == 1 {
            return Ok(cx.b.reduce(all, x, &[2, 3], false)?);
        }
        let mut joined = None;
        for (axis, part) in split(cx, x, 2, axes)?.into_iter().enumerate() {
            let mut parts = vec![Part::Axes(0..1), Part::Axes(1..2)];
            parts.extend((0..axes).map(|other| Part::Fixed(if other == axis { count } else { 1 })));
            let part = cx.reshape_parts(part, &parts)?;
            joined = Some(match joined {
                None => part,
                Some(joined) => cx.b.binary(each, joined, part)?,
            });
        }
        let joined = joined.ok_or_else(|| Refusal::new("no spatial axis", ""))?;
        cx.reshape_parts(joined, &[Part::Axes(0..1), Part::Axes(1..2), Part::Fixed(count.pow(axes as u32))])
    };
    Ok(Taps {
        row: join(taps.row, Binary::Add, Reduce::Sum)?,
        weight: taps.weight.map(|weight| join(weight, Binary::Mul, Reduce::Min)).transpose()?,
    })
}

/// The one element of each place, `[images, P, C]`, or 0 where its tap does not count: in the image's own type.
fn single(cx: &mut Cx<'_>, found: ValueId, weight: Option<ValueId>) -> Result<ValueId, Refusal> {
    let Some(weight) = weight else { return Ok(found) };
    let counts = cx.b.cast(weight, DType::Bool)?;
    let counts = insert_axis(cx, counts, 2)?;
    let zero = cx.b.scalar_of(cx.dtype(found), 0.0)?;
    Ok(cx.b.select(counts, found, zero)?)
}

/// Rows that were gathered for taps, each times the weight of its tap.
fn weighted(cx: &mut Cx<'_>, rows: ValueId, weight: Option<ValueId>) -> Result<ValueId, Refusal> {
    let Some(weight) = weight else { return Ok(rows) };
    let rank = cx.rank(weight);
    let weight = insert_axis(cx, weight, rank)?;
    Ok(cx.b.mul(rows, weight)?)
}

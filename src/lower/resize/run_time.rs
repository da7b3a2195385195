//! Resizing where extents, sizes, scales or boxes are only known at run time: by the builtin that does the same for every extent,
//! else by the arithmetic of [`super::geometry`] written out in operators.

use super::geometry::{Axis, Coordinates, Flags, Method, Mode, Rounding};
use super::{NEAREST, Policy, Request, Target, pin};
use crate::graph::{Binary, Compare, Op, Reduce, Unary, ValueId};
use crate::lower::known::Number;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Perm};

/// Extents that a mode is tried on where they are not known: more than a tie or a rounding needs to show.
const TRIED: std::ops::RangeInclusive<usize> = 1..=64;

pub(super) fn resize(cx: &mut Cx<'_>, x: ValueId, request: &Request) -> Results {
    let extents = cx.extents(x);
    let stays = |entry: usize| {
        let keeps_scale = match &request.target {
            Target::Scales(scales) => scales[entry] == 1.0,
            Target::Sizes(_, sizes) => {
                sizes[entry] == extents[request.axes[entry]] && request.policy == Policy::Stretch
            }
            Target::OperandOfScales(_) => false,
        };
        keeps_scale && request.boxes.is_whole(entry)
    };
    let moving: Vec<usize> = (0..request.axes.len()).filter(|&entry| !stays(entry)).collect();
    let resized = match by_builtin(cx, x, request, &moving)? {
        Some(resized) => resized,
        None => by_arithmetic(cx, x, request, &moving)?,
    };
    let mut result = extents;
    for &entry in &moving {
        let extent = &mut result[request.axes[entry]];
        *extent = match &request.target {
            _ if request.policy != Policy::Stretch => Number::Unknown,
            Target::Sizes(_, sizes) => sizes[entry],
            Target::Scales(scales) => match *extent {
                Number::Known(n) => Number::Known((scales[entry] * n as f32) as i64),
                _ => Number::Unknown,
            },
            Target::OperandOfScales(_) => Number::Unknown,
        };
    }
    Ok(vec![cx.refine(resized, &result)])
}

/// The builtin, over the plane of an operand of rank 4, where it takes elements from the same place for every extent.
fn by_builtin(cx: &mut Cx<'_>, x: ValueId, request: &Request, moving: &[usize]) -> Result<Option<ValueId>, Refusal> {
    let method = &request.method;
    let in_plane = |first: usize| moving.iter().all(|&e| (first..first + 2).contains(&request.axes[e]));
    let kernel = if method.mode == Mode::Nearest { NEAREST } else { &[DType::F32] };
    let plane = [2, 1].into_iter().find(|&first| in_plane(first));
    let (Some(first), true) = (plane, cx.rank(x) == 4 && kernel.contains(&cx.dtype(x))) else { return Ok(None) };
    // What is tried below is whole images: boxes are beyond the builtins.
    let crops = !moving.iter().all(|&entry| request.boxes.is_whole(entry));
    if crops || method.antialias || request.policy != Policy::Stretch || moving.is_empty() {
        return Ok(None);
    }
    let mut tried = Vec::new();
    for &entry in moving {
        tried.extend(trials(method, cx.dim(x, request.axes[entry]), &request.target, entry));
    }
    let Some(flags) = Flags::for_axes(method, &tried).filter(|_| !tried.is_empty()) else { return Ok(None) };
    if method.coordinates == Coordinates::PytorchHalfPixel && matches!(request.target, Target::Sizes(..)) {
        cx.note("a size of 1 at run time takes the element in the middle, not the first one");
    }
    let entry_of = |axis: usize| moving.iter().copied().find(|&e| request.axes[e] == axis);
    let mut sides = Vec::new();
    for axis in [first, first + 1] {
        sides.push(match entry_of(axis) {
            Some(entry) => {
                let size = Quantities::of(cx, x, request, entry)?.output;
                cx.b.reshape(size, &[1])?
            }
            None => cx.extent_vector(x, axis)?,
        });
    }
    let size = cx.b.concat(&sides, 0)?;
    let Flags { align_corners, half_pixel_centers } = flags;
    let op = match method.mode {
        Mode::Nearest => Op::ResizeNearest { align_corners, half_pixel_centers },
        Mode::Linear | Mode::Cubic => Op::ResizeBilinear { align_corners, half_pixel_centers },
    };
    if first == 1 {
        return Ok(Some(cx.b.one(op, &[x, size])?));
    }
    let last = cx.channels_last(x)?;
    let resized = cx.b.one(op, &[last, size])?;
    cx.channels_first(resized).map(Some)
}

/// Axes to try a mode on: with the extent and size that are known, and many others in place of those that are not.
fn trials(method: &Method, input: Option<usize>, target: &Target, entry: usize) -> Vec<Axis> {
    let inputs: Vec<usize> = input.map_or(TRIED.collect(), |n| vec![n]);
    let axis = |input: usize, output: usize, scale: f32| Axis { axis: 0, input, output, scale, roi: (0.0, 1.0) };
    match target {
        Target::OperandOfScales(_) => Vec::new(),
        Target::Scales(scales) => {
            let scale = scales[entry];
            inputs.iter().map(|&n| axis(n, (scale * n as f32) as usize, scale)).collect()
        }
        Target::Sizes(_, sizes) => {
            let outputs: Vec<usize> = match sizes[entry].known().and_then(|n| usize::try_from(n).ok()) {
                Some(n) => vec![n],
                // A size of 1 comes from elsewhere in this mode: the user is told.
                None if method.coordinates == Coordinates::PytorchHalfPixel => TRIED.skip(1).collect(),
                None => TRIED.collect(),
            };
            let pairs = inputs.iter().flat_map(|&n| outputs.iter().map(move |&m| (n, m)));
            pairs.map(|(n, m)| axis(n, m, m as f32 / n as f32)).collect()
        }
    }
}

/// What the arithmetic of one axis starts from. Scalars; constants where they are known.
struct Quantities {
    /// Extents as `FLOAT32`.
    before: ValueId,
    after: ValueId,
    /// What `after` was before the fraction was cut off, where it comes from a scale.
    asked: ValueId,
    /// Extent of the result as `INT32`.
    output: ValueId,
    scale: ValueId,
}

impl Quantities {
    fn of(cx: &mut Cx<'_>, x: ValueId, request: &Request, entry: usize) -> Result<Quantities, Refusal> {
        let extent = cx.extent_of(x, request.axes[entry])?;
        let before = cx.b.cast(extent, DType::F32)?;
        let (output, asked, scale) = match &request.target {
            Target::Scales(scales) => {
                let scale = cx.b.scalar(scales[entry]);
                scaled(cx, before, scale)?
            }
            Target::OperandOfScales(operand) => {
                let scale = element(cx, *operand, entry)?;
                scaled(cx, before, scale)?
            }
            Target::Sizes(..) if request.policy != Policy::Stretch => {
                let scale = common_scale(cx, x, request)?;
                let exact = cx.b.mul(before, scale)?;
                let half = cx.b.scalar(0.5f32);
                let rounded = cx.b.add(exact, half)?;
                (cx.b.cast(rounded, DType::I32)?, exact, scale)
            }
            Target::Sizes(operand, sizes) => {
                let size = size_of(cx, *operand, sizes, entry)?;
                let float = cx.b.cast(size, DType::F32)?;
                (size, float, cx.b.div(float, before)?)
            }
        };
        let after = cx.b.cast(output, DType::F32)?;
        Ok(Quantities { before, after, asked, output, scale })
    }
}

/// Extent of a result by its scale, for which the fraction is cut off; the same with its fraction; the scale.
fn scaled(cx: &mut Cx<'_>, before: ValueId, scale: ValueId) -> Result<(ValueId, ValueId, ValueId), Refusal> {
    let exact = cx.b.mul(before, scale)?;
    Ok((cx.b.cast(exact, DType::I32)?, exact, scale))
}

/// One element of a vector, as a scalar.
fn element(cx: &mut Cx<'_>, vector: ValueId, i: usize) -> Result<ValueId, Refusal> {
    let some = cx.b.slice(vector, &[i as i64], &[1])?;
    Ok(cx.b.reshape(some, &[])?)
}

fn size_of(cx: &mut Cx<'_>, operand: ValueId, sizes: &[Number], entry: usize) -> Result<ValueId, Refusal> {
    match sizes[entry] {
        Number::Known(n) => Ok(cx.b.scalar_of(DType::I32, n as f64)?),
        _ => {
            let size = element(cx, operand, entry)?;
            cx.as_i32(size)
        }
    }
}

/// The scale that all axes share, to keep the aspect ratio.
fn common_scale(cx: &mut Cx<'_>, x: ValueId, request: &Request) -> Result<ValueId, Refusal> {
    let Target::Sizes(operand, sizes) = &request.target else { return Err(pin("there are no sizes")) };
    let kind = if request.policy == Policy::NotLarger { Binary::Minimum } else { Binary::Maximum };
    let mut common = None;
    for entry in 0..request.axes.len() {
        let size = size_of(cx, *operand, sizes, entry)?;
        let size = cx.b.cast(size, DType::F32)?;
        let extent = cx.extent_of(x, request.axes[entry])?;
        let extent = cx.b.cast(extent, DType::F32)?;
        let scale = cx.b.div(size, extent)?;
        common = Some(match common {
            None => scale,
            Some(common) => cx.b.binary(kind, common, scale)?,
        });
    }
    common.ok_or_else(|| pin("no axis is resized"))
}

fn by_arithmetic(cx: &mut Cx<'_>, x: ValueId, request: &Request, moving: &[usize]) -> Result<ValueId, Refusal> {
    let method = &request.method;
    let dtype = cx.dtype(x);
    let mut resized = if method.mode == Mode::Nearest { x } else { cx.b.cast(x, DType::F32)? };
    let mut outside = Vec::new();
    for &entry in moving {
        let axis = request.axes[entry];
        // Extents along this axis are those of the operand still.
        let given = Quantities::of(cx, x, request, entry)?;
        let source = source(cx, request, entry, &given)?;
        let last = less(cx, given.before, 1.0)?;
        if method.coordinates == Coordinates::TfCropAndResize {
            outside.push((axis, is_outside(cx, source, last)?));
        }
        resized = match method.mode {
            Mode::Nearest => {
                let at = nearest(cx, method.rounding, source, given.scale, last)?;
                gather(cx, resized, at, axis)?
            }
            Mode::Linear if !method.antialias => linear(cx, resized, axis, source, last)?,
            Mode::Linear | Mode::Cubic => filtered(cx, resized, axis, method, source, &given)?,
        };
    }
    if method.mode != Mode::Nearest && method.antialias && dtype.is_int() {
        resized = cx.b.unary(Unary::Round, resized)?;
    }
    for (axis, mask) in outside {
        let mask = along(cx, mask, axis, cx.rank(x))?;
        let value = cx.b.scalar_of(cx.dtype(resized), request.extrapolation.into())?;
        resized = cx.b.select(mask, value, resized)?;
    }
    Ok(cx.b.cast(resized, dtype)?)
}

/// `x` minus a number.
fn less(cx: &mut Cx<'_>, x: ValueId, number: f32) -> Result<ValueId, Refusal> {
    plus(cx, x, -number)
}

fn plus(cx: &mut Cx<'_>, x: ValueId, number: f32) -> Result<ValueId, Refusal> {
    let number = cx.b.scalar(number);
    Ok(cx.b.add(x, number)?)
}

fn times(cx: &mut Cx<'_>, x: ValueId, number: f32) -> Result<ValueId, Refusal> {
    let number = cx.b.scalar(number);
    Ok(cx.b.mul(x, number)?)
}

/// `0, 1, ..` as `FLOAT32`, up to an `INT32` scalar.
fn count_up(cx: &mut Cx<'_>, limit: ValueId) -> Result<ValueId, Refusal> {
    let (zero, one) = (cx.b.scalar(0i32), cx.b.scalar(1i32));
    let range = cx.b.one(Op::Range, &[zero, limit, one])?;
    Ok(cx.b.cast(range, DType::F32)?)
}

/// [`Coordinates::source`] for every element of the result along one axis: a vector.
fn source(cx: &mut Cx<'_>, request: &Request, entry: usize, given: &Quantities) -> Result<ValueId, Refusal> {
    let i = count_up(cx, given.output)?;
    let Quantities { before, after, scale, .. } = *given;
    let from_centers = |cx: &mut Cx<'_>| -> Result<ValueId, Refusal> {
        let center = plus(cx, i, 0.5)?;
        let source = cx.b.div(center, scale)?;
        less(cx, source, 0.5)
    };
    let single = |cx: &mut Cx<'_>, one: ValueId, more: ValueId| -> Result<ValueId, Refusal> {
        let bound = cx.b.scalar(1f32);
        let is_more = cx.b.compare(Compare::Greater, after, bound)?;
        Ok(cx.b.select(is_more, more, one)?)
    };
    match request.method.coordinates {
        Coordinates::HalfPixel => from_centers(cx),
        Coordinates::PytorchHalfPixel => {
            let (zero, more) = (cx.b.scalar(0f32), from_centers(cx)?);
            single(cx, zero, more)
        }
        Coordinates::HalfPixelSymmetric => {
            let exact = cx.b.mul(scale, before)?;
            let adjustment = cx.b.div(after, exact)?;
            let half = times(cx, before, 0.5)?;
            let moved = cx.b.mul(half, adjustment)?;
            let offset = cx.b.sub(half, moved)?;
            let source = from_centers(cx)?;
            Ok(cx.b.add(source, offset)?)
        }
        Coordinates::Asymmetric => Ok(cx.b.div(i, scale)?),
        Coordinates::AlignCorners => {
            let (last_before, last_after) = (less(cx, before, 1.0)?, less(cx, given.asked, 1.0)?);
            let product = cx.b.mul(i, last_before)?;
            let (zero, more) = (cx.b.scalar(0f32), cx.b.div(product, last_after)?);
            single(cx, zero, more)
        }
        Coordinates::TfHalfPixelForNn => {
            // A scale of 1 keeps every element where it is.
            let center = plus(cx, i, 0.5)?;
            let moved = cx.b.div(center, scale)?;
            let one = cx.b.scalar(1f32);
            let stays = cx.b.compare(Compare::Equal, scale, one)?;
            Ok(cx.b.select(stays, i, moved)?)
        }
        Coordinates::TfCropAndResize => {
            let (begin, end) = request.boxes.bounds(cx, entry)?;
            let (last_before, last_after) = (less(cx, before, 1.0)?, less(cx, after, 1.0)?);
            let first = cx.b.mul(begin, last_before)?;
            let width = cx.b.sub(end, begin)?;
            let along = cx.b.mul(i, width)?;
            let along = cx.b.mul(along, last_before)?;
            let along = cx.b.div(along, last_after)?;
            let more = cx.b.add(first, along)?;
            let both = cx.b.add(begin, end)?;
            let middle = cx.b.mul(both, last_before)?;
            let middle = times(cx, middle, 0.5)?;
            single(cx, middle, more)
        }
    }
}

fn is_outside(cx: &mut Cx<'_>, source: ValueId, last: ValueId) -> Result<ValueId, Refusal> {
    let zero = cx.b.scalar(0f32);
    let before = cx.b.compare(Compare::Less, source, zero)?;
    let after = cx.b.compare(Compare::Greater, source, last)?;
    Ok(cx.b.binary(Binary::LogicalOr, before, after)?)
}

fn clamp(cx: &mut Cx<'_>, x: ValueId, last: ValueId) -> Result<ValueId, Refusal> {
    let zero = cx.b.scalar(0f32);
    let low = cx.b.binary(Binary::Maximum, x, zero)?;
    Ok(cx.b.binary(Binary::Minimum, low, last)?)
}

/// [`Rounding::round`], clamped to the elements that there are.
fn nearest(
    cx: &mut Cx<'_>,
    rounding: Rounding,
    source: ValueId,
    scale: ValueId,
    last: ValueId,
) -> Result<ValueId, Refusal> {
    // From which fraction on it is the next element.
    let from_fraction = |cx: &mut Cx<'_>, least: f32| -> Result<ValueId, Refusal> {
        let floor = cx.b.unary(Unary::Floor, source)?;
        let fraction = cx.b.sub(source, floor)?;
        let least = cx.b.scalar(least);
        let up = cx.b.compare(Compare::GreaterEqual, fraction, least)?;
        let up = cx.b.cast(up, DType::F32)?;
        Ok(cx.b.add(floor, up)?)
    };
    let rounded = match rounding {
        Rounding::PreferFloor => from_fraction(cx, 0.5 + 1e-6)?,
        Rounding::PreferCeil => from_fraction(cx, 0.5 - 1e-6)?,
        Rounding::Floor => cx.b.unary(Unary::Floor, source)?,
        Rounding::Ceil => cx.b.unary(Unary::Ceil, source)?,
        Rounding::OfOpset10 => {
            let (floor, ceil) = (cx.b.unary(Unary::Floor, source)?, cx.b.unary(Unary::Ceil, source)?);
            let one = cx.b.scalar(1f32);
            let shrinks = cx.b.compare(Compare::Less, scale, one)?;
            cx.b.select(shrinks, ceil, floor)?
        }
    };
    clamp(cx, rounded, last)
}

/// Elements at whole-numbered places, given as `FLOAT32`.
fn gather(cx: &mut Cx<'_>, x: ValueId, at: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let indices = cx.as_i32(at)?;
    cx.gather_at(x, indices, axis)
}

/// A vector that lies along `axis` of an operand of the given rank.
fn along(cx: &mut Cx<'_>, vector: ValueId, axis: usize, rank: usize) -> Result<ValueId, Refusal> {
    let mut dims = vec![1; rank - axis];
    dims[0] = -1;
    Ok(cx.b.reshape(vector, &dims)?)
}

/// The two elements around each place, each weighted by how near it is.
fn linear(cx: &mut Cx<'_>, x: ValueId, axis: usize, source: ValueId, last: ValueId) -> Result<ValueId, Refusal> {
    let source = clamp(cx, source, last)?;
    let low = cx.b.unary(Unary::Floor, source)?;
    let share = cx.b.sub(source, low)?;
    let high = plus(cx, low, 1.0)?;
    let high = cx.b.binary(Binary::Minimum, high, last)?;
    let share = along(cx, share, axis, cx.rank(x))?;
    let one = cx.b.scalar(1f32);
    let rest = cx.b.sub(one, share)?;
    let (first, second) = (gather(cx, x, low, axis)?, gather(cx, x, high, axis)?);
    let (first, second) = (cx.b.mul(first, rest)?, cx.b.mul(second, share)?);
    Ok(cx.b.add(first, second)?)
}

/// [`Method::filtered`] as a product with a matrix that is computed at run time.
fn filtered(
    cx: &mut Cx<'_>,
    x: ValueId,
    axis: usize,
    method: &Method,
    source: ValueId,
    given: &Quantities,
) -> Result<ValueId, Refusal> {
    let support = if method.mode == Mode::Linear { 1 } else { 2 };
    let one = cx.b.scalar(1f32);
    let squeeze = if method.antialias { cx.b.binary(Binary::Minimum, given.scale, one)? } else { one };
    // Elements of the operand, and as many beyond its edges as the filter reaches, which count as the edge.
    let reach = match (method.exclude_outside, method.antialias) {
        (true, _) => cx.b.scalar(0i32),
        (false, false) => cx.b.scalar(support),
        (false, true) => {
            let support = cx.b.scalar(support as f32);
            let reach = cx.b.div(support, squeeze)?;
            let reach = cx.b.unary(Unary::Ceil, reach)?;
            cx.as_i32(reach)?
        }
    };
    let extent = cx.as_i32(given.before)?;
    let both = cx.b.add(reach, reach)?;
    let width = cx.b.add(extent, both)?;
    let places = count_up(cx, width)?;
    let reach = cx.b.cast(reach, DType::F32)?;
    let places = cx.b.sub(places, reach)?;
    let rows = cx.b.reshape(source, &[-1, 1])?;
    let distance = cx.b.sub(places, rows)?;
    let distance = cx.b.mul(distance, squeeze)?;
    let distance = cx.b.unary(Unary::Abs, distance)?;
    let weights = if method.mode == Mode::Linear {
        let hat = cx.b.sub(one, distance)?;
        let zero = cx.b.scalar(0f32);
        cx.b.binary(Binary::Maximum, hat, zero)?
    } else {
        cubic(cx, distance, method.cubic_coefficient)?
    };
    let total = cx.b.reduce(Reduce::Sum, weights, &[1], true)?;
    let matrix = cx.b.div(weights, total)?;
    let last = less(cx, given.before, 1.0)?;
    let at = clamp(cx, places, last)?;
    let spread = gather(cx, x, at, axis)?;
    let rank = cx.rank(x);
    if rank == 1 {
        let column = cx.b.reshape(spread, &[-1, 1])?;
        let product = mat_mul(cx, matrix, column, false)?;
        return Ok(cx.b.reshape(product, &[-1])?);
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis, rank - 1);
    let perm = Perm::new(perm).unwrap_or_else(|| Perm::identity(rank));
    let last_axis = cx.b.transpose(spread, &perm)?;
    let product = mat_mul(cx, last_axis, matrix, true)?;
    Ok(cx.b.transpose(product, &perm.inverse())?)
}

fn mat_mul(cx: &mut Cx<'_>, a: ValueId, b: ValueId, adj_y: bool) -> Result<ValueId, Refusal> {
    Ok(cx.b.one(Op::BatchMatMul { adj_x: false, adj_y, asymmetric_inputs: false }, &[a, b])?)
}

/// Cubic convolution (Keys) with coefficient `a`, of distances that are not negative.
fn cubic(cx: &mut Cx<'_>, distance: ValueId, a: f32) -> Result<ValueId, Refusal> {
    // Horner's scheme: coefficients from the highest power down.
    let polynomial = |cx: &mut Cx<'_>, coefficients: [f32; 4]| -> Result<ValueId, Refusal> {
        let [first, rest @ ..] = coefficients;
        let mut value = cx.b.scalar(first);
        for coefficient in rest {
            let product = cx.b.mul(value, distance)?;
            value = plus(cx, product, coefficient)?;
        }
        Ok(value)
    };
    let near = polynomial(cx, [a + 2.0, -(a + 3.0), 0.0, 1.0])?;
    let far = polynomial(cx, [a, -5.0 * a, 8.0 * a, -4.0 * a])?;
    let (one, two, zero) = (cx.b.scalar(1f32), cx.b.scalar(2f32), cx.b.scalar(0f32));
    let is_far = cx.b.compare(Compare::Less, distance, two)?;
    let outer = cx.b.select(is_far, far, zero)?;
    let is_near = cx.b.compare(Compare::LessEqual, distance, one)?;
    Ok(cx.b.select(is_near, near, outer)?)
}

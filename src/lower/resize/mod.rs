//! ONNX `Resize` and its forerunner `Upsample`.

mod emit;
mod geometry;
mod run_time;

use geometry::{Axis, Coordinates, Method, Mode, Rounding, unknown};

use super::known::Number;
use super::{Cx, Refusal, Results};
use crate::graph::ValueId;
use crate::tensor::DType;

/// What the kernel of `RESIZE_NEAREST_NEIGHBOR` takes, in every runtime.
const NEAREST: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I16];

/// Lowers ONNX `Resize` to `RESIZE_BILINEAR`, `RESIZE_NEAREST_NEIGHBOR` or products with matrices.
///
/// # Accepts
/// All modes, coordinate modes, roundings and versions, on any axes of any rank, by sizes or scales; extents, sizes, scales and boxes
/// that are only known at run time, too.
/// # Produces
/// The builtin, channels last, where it takes every element from the same place. Else `GATHER` for nearest, and for the others
/// `FULLY_CONNECTED` with a constant matrix for each axis (weighted sums of `GATHER`s where that would be large). `SELECT_V2`
/// for an extrapolation value. Where numbers are only known at run time, the same by arithmetic on them.
/// # Refuses
/// Axes without elements.
pub(super) fn resize(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if cx.opset() < 11 {
        return of_opset_10(cx, x);
    }
    // Only `tf_crop_and_resize` looks at the region; others carry an empty one or one that means nothing.
    cx.ignore_operand(1);
    // Empty scales stand beside sizes.
    cx.ignore_operand(2);
    let axes = match cx.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| cx.axis(axis, x)).collect::<Result<Vec<_>, _>>()?,
        None => (0..cx.rank(x)).collect(),
    };
    let method = method(cx)?;
    let policy = match cx.string_or("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => Policy::Stretch,
        "not_larger" => Policy::NotLarger,
        "not_smaller" => Policy::NotSmaller,
        other => return Err(unknown(other, "keep_aspect_ratio_policy")),
    };
    let target = target(cx, axes.len())?;
    // The policy speaks of sizes alone.
    let policy = if matches!(target, Target::Sizes(..)) { policy } else { Policy::Stretch };
    let boxes = boxes(cx, &method, axes.len())?;
    let extrapolation = cx.float_or("extrapolation_value", 0.0)?;
    request(cx, x, Request { method, axes, target, policy, boxes, extrapolation })
}

/// Lowers ONNX `Upsample` to `RESIZE_BILINEAR`, `RESIZE_NEAREST_NEIGHBOR` or products with constant matrices.
///
/// # Accepts
/// Both modes on any axes of any rank; scales as attribute or operand, also one fed at run time.
/// # Produces
/// What `Resize` produces.
/// # Refuses
/// Axes without elements.
pub(super) fn upsample(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    of_opset_10(cx, x)
}

fn pin(what: impl Into<String>) -> Refusal {
    Refusal::new(what, "pin the model's dynamic inputs with --shape NAME=..")
}

/// All that a node asks.
struct Request {
    method: Method,
    /// Axes that are resized, in the order of all that follows.
    axes: Vec<usize>,
    target: Target,
    policy: Policy,
    boxes: Boxes,
    extrapolation: f32,
}

/// What the axes are resized to, in the order of the operator's axes.
enum Target {
    Scales(Vec<f32>),
    /// The operand with the sizes, and what is known of them.
    Sizes(ValueId, Vec<Number>),
    /// The operand with scales that are only known at run time.
    OperandOfScales(ValueId),
}

/// `keep_aspect_ratio_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// What `tf_crop_and_resize` cuts out, as parts of the extents.
enum Boxes {
    /// Begin and end on each axis.
    Known(Vec<(f32, f32)>),
    /// The operand: begins, then ends.
    Operand(ValueId, usize),
}

impl Boxes {
    /// True where an axis is taken from begin to end.
    fn is_whole(&self, entry: usize) -> bool {
        matches!(self, Boxes::Known(bounds) if bounds.get(entry) == Some(&(0.0, 1.0)))
    }

    /// Begin and end on one axis as scalars.
    fn bounds(&self, cx: &mut Cx<'_>, entry: usize) -> Result<(ValueId, ValueId), Refusal> {
        match self {
            Boxes::Known(bounds) => {
                let (begin, end) = bounds.get(entry).copied().unwrap_or((0.0, 1.0));
                Ok((cx.b.scalar(begin), cx.b.scalar(end)))
            }
            Boxes::Operand(id, axes) => {
                let mut bound = |i: usize| -> Result<ValueId, Refusal> {
                    let some = cx.b.slice(*id, &[i as i64], &[1])?;
                    let float = cx.b.cast(some, DType::F32)?;
                    Ok(cx.b.reshape(float, &[])?)
                };
                Ok((bound(entry)?, bound(axes + entry)?))
            }
        }
    }
}

/// `Upsample`, and `Resize` in its first version.
fn of_opset_10(cx: &mut Cx<'_>, x: ValueId) -> Results {
    let method = Method {
        mode: mode(cx)?,
        coordinates: Coordinates::Asymmetric,
        rounding: Rounding::OfOpset10,
        cubic_coefficient: -0.75,
        exclude_outside: false,
        antialias: false,
    };
    let axes: Vec<usize> = (0..cx.rank(x)).collect();
    let target = match cx.floats("scales")? {
        Some(scales) => Target::Scales(checked_scales(scales.to_vec(), axes.len())?),
        None => scales(cx, 1, axes.len())?,
    };
    let boxes = Boxes::Known(vec![(0.0, 1.0); axes.len()]);
    request(cx, x, Request { method, axes, target, policy: Policy::Stretch, boxes, extrapolation: 0.0 })
}

fn request(cx: &mut Cx<'_>, x: ValueId, request: Request) -> Results {
    let Some(asked) = asked(cx, x, &request) else { return run_time::resize(cx, x, &request) };
    let asked = match request.policy {
        Policy::Stretch => asked,
        Policy::NotLarger => keep_ratio(asked, f32::min),
        Policy::NotSmaller => keep_ratio(asked, f32::max),
    };
    emit::resize(cx, x, &request.method, &asked, request.extrapolation)
}

fn mode(cx: &Cx<'_>) -> Result<Mode, Refusal> {
    match cx.string_or("mode", "nearest")? {
        "nearest" => Ok(Mode::Nearest),
        "linear" | "bilinear" => Ok(Mode::Linear),
        "cubic" => Ok(Mode::Cubic),
        other => Err(unknown(other, "mode")),
    }
}

fn method(cx: &Cx<'_>) -> Result<Method, Refusal> {
    let mode = mode(cx)?;
    Ok(Method {
        mode,
        coordinates: Coordinates::parse(cx.string_or("coordinate_transformation_mode", "half_pixel")?)?,
        rounding: Rounding::parse(cx.string_or("nearest_mode", "round_prefer_floor")?)?,
        cubic_coefficient: cx.float_or("cubic_coeff_a", -0.75)?,
        exclude_outside: cx.flag_or("exclude_outside", false)?,
        // Antialiasing a nearest element means nothing.
        antialias: cx.flag_or("antialias", false)? && mode != Mode::Nearest,
    })
}

/// `sizes` where it is given and not empty, else `scales`.
fn target(cx: &mut Cx<'_>, axes: usize) -> Result<Target, Refusal> {
    let Some(sizes) = cx.optional(3).filter(|&id| cx.shape(id).elements() != Some(0)) else {
        return scales(cx, 2, axes);
    };
    match cx.numbers(sizes).filter(|n| n.len() == axes) {
        Some(numbers) => Ok(Target::Sizes(sizes, numbers)),
        None => Err(Refusal::new(format!("must be {axes} numbers"), "check the model").about("operand sizes")),
    }
}

/// Scales in operand `i`.
fn scales(cx: &mut Cx<'_>, i: usize, axes: usize) -> Result<Target, Refusal> {
    match cx.optional(i) {
        Some(id) if cx.constant(id).is_none() && cx.shape(id).elements() == Some(axes) => {
            let float = cx.b.cast(id, DType::F32)?;
            Ok(Target::OperandOfScales(float))
        }
        _ => {
            let scales = cx.const_floats(i, "scales")?.unwrap_or_default();
            let scales = scales.iter().map(|&s| s as f32).collect();
            Ok(Target::Scales(checked_scales(scales, axes)?))
        }
    }
}

fn checked_scales(scales: Vec<f32>, axes: usize) -> Result<Vec<f32>, Refusal> {
    if scales.len() != axes || scales.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
        let what = format!("must be {axes} positive numbers, but are {scales:?}");
        return Err(Refusal::new(what, "check the model with onnx.checker").about("scales"));
    }
    Ok(scales)
}

fn boxes(cx: &Cx<'_>, method: &Method, axes: usize) -> Result<Boxes, Refusal> {
    if method.coordinates != Coordinates::TfCropAndResize {
        return Ok(Boxes::Known(vec![(0.0, 1.0); axes]));
    }
    if let Some(id) = cx.optional(1).filter(|&id| cx.constant(id).is_none()) {
        return Ok(Boxes::Operand(id, axes));
    }
    let roi = cx.const_floats(1, "roi")?.unwrap_or_default();
    if roi.len() != 2 * axes {
        let what = format!("must be {} numbers, but is {}", 2 * axes, roi.len());
        return Err(Refusal::new(what, "check the model with onnx.checker").about("operand roi"));
    }
    let (begin, end) = roi.split_at(axes);
    Ok(Boxes::Known(begin.iter().zip(end).map(|(&b, &e)| (b as f32, e as f32)).collect()))
}

/// What is asked of each axis that does not stay as it is, where all of it is known.
fn asked(cx: &mut Cx<'_>, x: ValueId, request: &Request) -> Option<Vec<Axis>> {
    let Boxes::Known(boxes) = &request.boxes else { return None };
    let extents = cx.extents(x);
    let one = |(entry, &axis): (usize, &usize)| {
        let input = cx.dim(x, axis);
        let (output, scale) = match &request.target {
            Target::Scales(scales) => (input.map(|n| (scales[entry] * n as f32) as usize), scales[entry]),
            Target::Sizes(_, sizes) if sizes[entry] == extents[axis] => (input, 1.0),
            Target::Sizes(_, sizes) => {
                let output = usize::try_from(sizes[entry].known()?).ok()?;
                (Some(output), output as f32 / input?.max(1) as f32)
            }
            Target::OperandOfScales(_) => return None,
        };
        // An axis that keeps its scale keeps its elements, whatever the coordinate mode would say.
        let stays = scale == 1.0 && boxes[entry] == (0.0, 1.0) && request.policy == Policy::Stretch;
        if stays {
            Some(None)
        } else {
            Some(Some(Axis { axis, input: input?, output: output?, scale, roi: boxes[entry] }))
        }
    };
    let asked: Option<Vec<Option<Axis>>> = request.axes.iter().enumerate().map(one).collect();
    Some(asked?.into_iter().flatten().collect())
}

/// One scale for all axes, which `choose` picks.
fn keep_ratio(asked: Vec<Axis>, choose: fn(f32, f32) -> f32) -> Vec<Axis> {
    let scale = asked.iter().map(|a| a.scale).reduce(choose).unwrap_or(1.0);
    let scaled = |a: Axis| Axis { scale, output: (scale * a.input as f32).round() as usize, ..a };
    asked.into_iter().map(scaled).collect()
}

//! ONNX `Resize` and its forerunner `Upsample`.

mod emit;
mod geometry;

use geometry::{Axis, Coordinates, Method, Mode, Rounding, unknown};

use super::known::Number;
use super::{Cx, Refusal, Results};
use crate::graph::ValueId;

/// Lowers ONNX `Resize` to `RESIZE_BILINEAR`, `RESIZE_NEAREST_NEIGHBOR` or products with constant matrices.
///
/// # Accepts
/// All modes, coordinate modes, roundings and versions, on any axes of any rank, by sizes or scales. Along axes of unknown extent:
/// whatever a builtin does for every extent, on the two spatial axes of rank 4.
/// # Produces
/// The builtin, channels last, where it takes every element from the same place. Else `GATHER` for nearest, and for the others
/// `FULLY_CONNECTED` with a constant matrix for each axis (weighted sums of `GATHER`s where that would be large). `SELECT_V2`
/// for an extrapolation value.
/// # Refuses
/// Scales, sizes and boxes that are only known at run time, but for sizes with the modes that a builtin has for every extent.
pub(super) fn resize(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if cx.opset() < 11 {
        return of_opset_10(cx, x);
    }
    let method = method(cx)?;
    let policy = cx.string_or("keep_aspect_ratio_policy", "stretch")?;
    let extrapolation = cx.float_or("extrapolation_value", 0.0)?;
    let axes = match cx.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| cx.axis(axis, x)).collect::<Result<Vec<_>, _>>()?,
        None => (0..cx.rank(x)).collect(),
    };
    let roi = boxes(cx, &method, axes.len())?;
    let target = target(cx, axes.len())?;
    let Some(asked) = asked(cx, x, &axes, &target, &roi) else {
        if policy != "stretch" {
            return Err(pin("the extents that keep the aspect ratio depend on those of the operand"));
        }
        return emit::at_run_time(cx, x, &method, &axes, &target);
    };
    let asked = match policy {
        "stretch" => asked,
        "not_larger" => keep_ratio(asked, f32::min)?,
        "not_smaller" => keep_ratio(asked, f32::max)?,
        _ => return Err(unknown(policy, "keep_aspect_ratio_policy")),
    };
    emit::resize(cx, x, &method, &asked, extrapolation)
}

/// Lowers ONNX `Upsample` to `RESIZE_BILINEAR`, `RESIZE_NEAREST_NEIGHBOR` or products with constant matrices.
///
/// # Accepts
/// Both modes on any axes of any rank; scales as attribute or operand.
/// # Produces
/// What `Resize` produces.
/// # Refuses
/// Scales that are only known at run time.
pub(super) fn upsample(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    of_opset_10(cx, x)
}

fn pin(what: impl Into<String>) -> Refusal {
    Refusal::new(what, "pin the model's dynamic inputs with --shape NAME=..")
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
    let scales = match cx.floats("scales")? {
        Some(scales) => scales.to_vec(),
        None => cx.const_floats(1, "scales")?.unwrap_or_default().iter().map(|&s| s as f32).collect(),
    };
    let axes: Vec<usize> = (0..cx.rank(x)).collect();
    let target = Target::Scales(checked_scales(scales, axes.len())?);
    match asked(cx, x, &axes, &target, &vec![(0.0, 1.0); axes.len()]) {
        Some(asked) => emit::resize(cx, x, &method, &asked, 0.0),
        None => emit::at_run_time(cx, x, &method, &axes, &target),
    }
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
    let method = Method {
        mode: mode(cx)?,
        coordinates: Coordinates::parse(cx.string_or("coordinate_transformation_mode", "half_pixel")?)?,
        rounding: Rounding::parse(cx.string_or("nearest_mode", "round_prefer_floor")?)?,
        cubic_coefficient: cx.float_or("cubic_coeff_a", -0.75)?,
        exclude_outside: cx.flag_or("exclude_outside", false)?,
        antialias: cx.flag_or("antialias", false)?,
    };
    // Antialiasing a nearest element means nothing.
    Ok(Method { antialias: method.antialias && method.mode != Mode::Nearest, ..method })
}

/// What the axes are resized to, in the order of the operator's axes.
enum Target {
    Scales(Vec<f32>),
    /// The operand with the sizes, and what is known of them.
    Sizes(ValueId, Vec<Number>),
}

/// `sizes` where it is given and not empty, else `scales`.
fn target(cx: &mut Cx<'_>, axes: usize) -> Result<Target, Refusal> {
    let given = |cx: &Cx<'_>, i: usize| cx.optional(i).filter(|&id| cx.shape(id).elements() != Some(0));
    if let Some(sizes) = given(cx, 3) {
        let numbers = cx.numbers(sizes).filter(|n| n.len() == axes);
        return match numbers {
            Some(numbers) => Ok(Target::Sizes(sizes, numbers)),
            None => Err(Refusal::new(format!("must be {axes} numbers"), "check the model").about("operand sizes")),
        };
    }
    let scales = cx.const_floats(2, "scales")?.unwrap_or_default();
    Ok(Target::Scales(checked_scales(scales.iter().map(|&s| s as f32).collect(), axes)?))
}

fn checked_scales(scales: Vec<f32>, axes: usize) -> Result<Vec<f32>, Refusal> {
    if scales.len() != axes || scales.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
        let what = format!("must be {axes} positive numbers, but are {scales:?}");
        return Err(Refusal::new(what, "check the model with onnx.checker").about("scales"));
    }
    Ok(scales)
}

/// Begin and end on each axis of the box that `tf_crop_and_resize` cuts out.
fn boxes(cx: &Cx<'_>, method: &Method, axes: usize) -> Result<Vec<(f32, f32)>, Refusal> {
    if method.coordinates != Coordinates::TfCropAndResize {
        return Ok(vec![(0.0, 1.0); axes]);
    }
    let roi = cx.const_floats(1, "roi")?.unwrap_or_default();
    if roi.len() != 2 * axes {
        let what = format!("must be {} numbers, but is {}", 2 * axes, roi.len());
        return Err(Refusal::new(what, "check the model with onnx.checker").about("operand roi"));
    }
    let (begin, end) = roi.split_at(axes);
    Ok(begin.iter().zip(end).map(|(&b, &e)| (b as f32, e as f32)).collect())
}

/// What is asked of each axis, where all extents are known.
fn asked(cx: &mut Cx<'_>, x: ValueId, axes: &[usize], target: &Target, roi: &[(f32, f32)]) -> Option<Vec<Axis>> {
    let extents = cx.extents(x);
    let one = |(entry, &axis): (usize, &usize)| {
        let input = cx.dim(x, axis);
        let (output, scale) = match target {
            Target::Scales(scales) => (input.map(|n| (scales[entry] * n as f32) as usize), scales[entry]),
            Target::Sizes(_, sizes) if sizes[entry] == extents[axis] => (input, 1.0),
            Target::Sizes(_, sizes) => {
                let output = usize::try_from(sizes[entry].known()?).ok()?;
                (Some(output), output as f32 / input?.max(1) as f32)
            }
        };
        // An axis that keeps its scale keeps its elements, whatever the coordinate mode would say.
        if scale == 1.0 && roi[entry] == (0.0, 1.0) {
            return Some(None);
        }
        Some(Some(Axis { axis, input: input?, output: output?, scale, roi: roi[entry] }))
    };
    let asked: Option<Vec<Option<Axis>>> = axes.iter().enumerate().map(one).collect();
    Some(asked?.into_iter().flatten().collect())
}

/// One scale for all axes, which `choose` picks.
fn keep_ratio(asked: Vec<Axis>, choose: fn(f32, f32) -> f32) -> Result<Vec<Axis>, Refusal> {
    let scale = asked.iter().map(|a| a.scale).reduce(choose).unwrap_or(1.0);
    let scaled = |a: Axis| Axis { scale, output: (scale * a.input as f32).round() as usize, ..a };
    Ok(asked.into_iter().map(scaled).collect())
}

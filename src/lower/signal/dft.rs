use super::Transform;
use super::run_time::{self, RunTime};
use crate::graph::{Binary, Precision, ValueId};
use crate::lower::conv::require_float32;
use crate::lower::matmul::fully_connected;
use crate::lower::reshape::Part;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{Perm, Tensor};

/// Lowers ONNX `DFT` to `FULLY_CONNECTED`.
///
/// # Accepts
/// float32; real and complex signals of any length along any axis; `inverse`, `onesided`, and both, which gives a real signal; any
/// `dft_length`. The axis, the length and all extents may be known only at run time.
/// # Produces
/// `FULLY_CONNECTED` with a matrix of constants, between reshapes, and transposes where the axis is not the last one of the signal. Where a
/// length is not known the matrix is computed: `RANGE → MUL → FLOOR_MOD → COS`, and `SIN`.
/// # Refuses
/// Known lengths whose matrix would be too large.
pub(in crate::lower) fn dft(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let rank = cx.rank(x);
    let parts = cx.dim(x, rank.saturating_sub(1)).filter(|parts| rank >= 2 && (1..=2).contains(parts));
    let Some(parts) = parts else {
        let what = format!("a signal of {}", cx.shape(x));
        return Err(Refusal::new(what, "its last axis must be 1 (real) or 2 (complex)"));
    };
    let flags = (cx.flag_or("inverse", false)?, cx.flag_or("onesided", false)?);
    cx.b.set_precision(Precision::Float);
    // Opset 20 made the attribute an operand, and the default the last axis of the signal.
    let default = cx.int_or("axis", if cx.opset() < 20 { 1 } else { -2 })?;
    let operand = cx.optional(2);
    let axis = match operand.map(|operand| cx.known_ints(operand)) {
        None => default,
        Some(Some(axis)) => axis.first().copied().unwrap_or(default),
        Some(None) => {
            let operand = cx.input(2)?;
            let (moved, perm) = run_time::with_axis_before_last(cx, x, operand)?;
            let y = at_run_time(cx, moved, flags)?;
            return Ok(vec![run_time::transposed(cx, y, perm)?]);
        }
    };
    let axis = cx.axis(axis, x)?;
    if axis + 1 == rank {
        return Err(Refusal::new("is the axis of real and imaginary parts", "").about("attribute axis"));
    }
    let perm = to_last_but_one(axis, rank);
    let last = cx.b.transpose(x, &perm)?;
    let y = match (cx.dim(x, axis), known_length(cx, cx.dim(x, axis), flags)?) {
        (Some(given), Some(length)) => {
            let transform = Transform { length, inverse: flags.0, one_sided: flags.1 };
            by_constants(cx, last, &transform, given, parts)?
        }
        _ => at_run_time(cx, last, flags)?,
    };
    Ok(vec![cx.b.transpose(y, &perm.inverse())?])
}

/// The transform of real signals along the last axis: `[.., n]` as `[.., n / 2 + 1, 2]`.
pub(in crate::lower) fn half_spectrum(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    require_float32(cx, x)?;
    cx.b.set_precision(Precision::Float);
    let rank = cx.rank(x);
    let length = rank.checked_sub(1).map(|last| cx.dim(x, last));
    let signal = insert_axis(cx, x, rank)?;
    match length {
        None | Some(Some(0)) => Err(Refusal::new(format!("a signal of {}", cx.shape(x)), "use at least one number")),
        Some(None) => at_run_time(cx, signal, (false, true)),
        Some(Some(length)) => {
            by_constants(cx, signal, &Transform { length, inverse: false, one_sided: true }, length, 1)
        }
    }
}

/// The length of the transform of `given` numbers, as far as it is known.
fn known_length(
    cx: &mut Cx<'_>,
    given: Option<usize>,
    (inverse, one_sided): (bool, bool),
) -> Result<Option<usize>, Refusal> {
    let length = match cx.optional(1) {
        // Half a spectrum is taken for that of an even number.
        None if inverse && one_sided => given.map(|n| n.saturating_sub(1) * 2),
        None => given,
        Some(operand) => match cx.known_ints(operand).as_deref() {
            Some(&[length]) => Some(usize::try_from(length).unwrap_or(0)),
            Some(_) => Some(0),
            None => None,
        },
    };
    if length == Some(0) {
        return Err(Refusal::new("is not positive", "check the model with onnx.checker").about("operand dft_length"));
    }
    Ok(length)
}

/// `[.., given, parts]` by a matrix of constants.
fn by_constants(
    cx: &mut Cx<'_>,
    x: ValueId,
    transform: &Transform,
    given: usize,
    parts: usize,
) -> Result<ValueId, Refusal> {
    let (numbers, result_parts) = transform.result();
    let matrix = transform.matrix(given, parts)?.into_iter().map(|x| x as f32).collect();
    let matrix = cx.b.constant(Tensor::from_vec(&[numbers * result_parts, given * parts], matrix));
    let joined = with_last(cx, x, 2, &[given * parts])?;
    let transformed = fully_connected(&mut cx.b, joined, matrix, None)?;
    with_last(cx, transformed, 1, &[numbers, result_parts])
}

/// `[.., given, parts]` by a matrix that is computed.
fn at_run_time(cx: &mut Cx<'_>, x: ValueId, (inverse, one_sided): (bool, bool)) -> Result<ValueId, Refusal> {
    let length = match cx.optional(1) {
        Some(operand) => {
            let length = cx.as_i32(operand)?;
            cx.b.reshape(length, &[])?
        }
        None => {
            let given = cx.extent_of(x, cx.rank(x) - 2)?;
            if inverse && one_sided {
                let others = cx.with_number(Binary::Sub, given, 1.0)?;
                cx.with_number(Binary::Mul, others, 2.0)?
            } else {
                given
            }
        }
    };
    RunTime { length, inverse, one_sided }.apply(cx, x)
}

/// Moves an axis right before the last one.
fn to_last_but_one(axis: usize, rank: usize) -> Perm {
    let mut axes: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
    axes.insert(rank - 2, axis);
    Perm::new(axes).unwrap_or_else(|| Perm::identity(rank))
}

/// `x` with some new axes in place of the `count` last ones.
pub(super) fn with_last(cx: &mut Cx<'_>, x: ValueId, count: usize, new: &[usize]) -> Result<ValueId, Refusal> {
    let kept = cx.rank(x) - count;
    let parts: Vec<Part> =
        (0..kept).map(|axis| Part::Axes(axis..axis + 1)).chain(new.iter().map(|&n| Part::Fixed(n))).collect();
    cx.reshape_parts(x, &parts)
}

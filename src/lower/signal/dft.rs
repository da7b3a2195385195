use super::Transform;
use crate::graph::{Precision, ValueId};
use crate::lower::conv::require_float32;
use crate::lower::matmul::fully_connected;
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{Perm, Tensor};

/// Lowers ONNX `DFT` to `FULLY_CONNECTED`.
///
/// # Accepts
/// float32; real and complex signals of any length along any axis; `inverse`, `onesided`, and both, which gives a real signal; any
/// `dft_length`, where the axis and the length are known. Other extents may be unknown.
/// # Produces
/// `FULLY_CONNECTED` with a matrix of constants, between reshapes, and transposes where the axis is not the last one of the signal.
/// # Refuses
/// A length that is not known; one whose matrix would be too large.
pub(in crate::lower) fn dft(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let rank = cx.rank(x);
    let parts = cx.dim(x, rank.saturating_sub(1)).filter(|parts| rank >= 2 && (1..=2).contains(parts));
    let Some(parts) = parts else {
        return Err(Refusal::new(
            format!("a signal of {}", cx.shape(x)),
            "its last axis must be 1 (real) or 2 (complex)",
        ));
    };
    let axis = match cx.known_operand(2, "axis")?.as_deref() {
        Some(&[axis]) => axis,
        Some(other) => return Err(Refusal::new(format!("is {other:?}"), "").about("operand axis")),
        // Opset 20 made the attribute an operand, and the default the last axis of the signal.
        None => cx.int_or("axis", if cx.opset() < 20 { 1 } else { -2 })?,
    };
    let axis = cx.axis(axis, x)?;
    if axis + 1 == rank {
        return Err(Refusal::new("is the axis of real and imaginary parts", "").about("attribute axis"));
    }
    let Some(given) = cx.dim(x, axis) else { return Err(unknown_length()) };
    let (inverse, one_sided) = (cx.flag_or("inverse", false)?, cx.flag_or("onesided", false)?);
    let length = match cx.known_operand(1, "dft_length")?.as_deref() {
        None if inverse && one_sided => given.saturating_sub(1) * 2,
        None => given,
        Some(&[length]) => usize::try_from(length).unwrap_or(0),
        Some(_) => 0,
    };
    if length == 0 {
        return Err(Refusal::new("is not positive", "check the model with onnx.checker").about("operand dft_length"));
    }
    let transform = Transform { length, inverse, one_sided };
    let (numbers, result_parts) = transform.result();
    let matrix = transform.matrix(given, parts)?.into_iter().map(|x| x as f32).collect();
    let matrix = Tensor::from_vec(&[numbers * result_parts, given * parts], matrix);

    cx.b.set_precision(Precision::Float);
    let perm = to_last_but_one(axis, rank);
    let last = cx.b.transpose(x, &perm)?;
    let joined = with_last(cx, last, 2, &[given * parts])?;
    let matrix = cx.b.constant(matrix);
    let transformed = fully_connected(&mut cx.b, joined, matrix, None)?;
    let y = with_last(cx, transformed, 1, &[numbers, result_parts])?;
    Ok(vec![cx.b.transpose(y, &perm.inverse())?])
}

fn unknown_length() -> Refusal {
    Refusal::new("the length of the signal is not known", "pin the model's inputs with --shape NAME=..")
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

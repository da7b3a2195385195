//! GELU in its forms, and activations that are named in an attribute.

use crate::graph::{Binary, Op, Unary, ValueId};
use crate::lower::activation::{emit_softplus, emit_swish};
use crate::lower::conv::{require_float32, split};
use crate::lower::{Cx, Refusal, Results};

/// Lowers com.microsoft `Gelu` to `GELU`.
///
/// # Accepts
/// float32.
/// # Produces
/// `GELU`.
pub(in crate::lower) fn gelu(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    Ok(vec![cx.b.unary(Unary::Gelu, x)?])
}

/// Lowers com.microsoft `FastGelu` to `GELU`.
///
/// # Accepts
/// float32; a bias or none.
/// # Produces
/// `ADD? → GELU` in the form with the hyperbolic tangent.
pub(in crate::lower) fn fast_gelu(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let x = match cx.optional(1) {
        Some(bias) => cx.b.add(x, bias)?,
        None => x,
    };
    Ok(vec![cx.b.unary(Unary::GeluTanh, x)?])
}

/// Lowers com.microsoft `BiasGelu` to `GELU`.
///
/// # Accepts
/// float32.
/// # Produces
/// `ADD → GELU`.
pub(in crate::lower) fn bias_gelu(cx: &mut Cx<'_>) -> Results {
    let (x, bias) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let x = cx.b.add(x, bias)?;
    Ok(vec![cx.b.unary(Unary::Gelu, x)?])
}

/// Lowers com.microsoft `BiasSplitGelu` to `GELU`.
///
/// # Accepts
/// float32 with a known, even last extent.
/// # Produces
/// `ADD → SPLIT`, then the left half times `GELU` of the right one.
/// # Refuses
/// A last extent that is not known or odd.
pub(in crate::lower) fn bias_split_gelu(cx: &mut Cx<'_>) -> Results {
    let (x, bias) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let x = cx.b.add(x, bias)?;
    let last = cx.rank(x).saturating_sub(1);
    if cx.dim(x, last).is_none_or(|n| n % 2 == 1) {
        return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "pin its last extent to an even number"));
    }
    let halves = split(cx, x, last, 2)?;
    let gate = cx.b.unary(Unary::Gelu, halves[1])?;
    Ok(vec![cx.b.mul(halves[0], gate)?])
}

/// Lowers com.microsoft `QuickGelu` to `MUL` of the operand and a `LOGISTIC`.
///
/// # Accepts
/// float32; any `alpha`.
/// # Produces
/// `MUL? → LOGISTIC → MUL`.
pub(in crate::lower) fn quick_gelu(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let alpha = cx.float_or("alpha", 1.702)?;
    Ok(vec![emit_swish(cx, x, alpha)?])
}

/// The activation `name`, with its parameters in the order in which ONNX Runtime lists them.
pub(super) fn named(cx: &mut Cx<'_>, x: ValueId, name: &str, parameters: &[f32]) -> Result<ValueId, Refusal> {
    let parameter = |i: usize, default: f32| parameters.get(i).copied().unwrap_or(default);
    let unary = [
        ("Gelu", Unary::Gelu),
        ("HardSwish", Unary::HardSwish),
        ("Relu", Unary::Relu),
        ("Sigmoid", Unary::Logistic),
        ("Tanh", Unary::Tanh),
    ];
    if let Some((_, kind)) = unary.iter().find(|(n, _)| *n == name) {
        return Ok(cx.b.unary(*kind, x)?);
    }
    Ok(match name {
        "" | "Identity" => x,
        "LeakyRelu" => cx.b.one(Op::LeakyRelu { alpha: parameter(0, 0.01) }, &[x])?,
        "Clip" => {
            let (low, high) = (cx.b.scalar(parameter(0, f32::MIN)), cx.b.scalar(parameter(1, f32::MAX)));
            let y = cx.b.binary(Binary::Maximum, low, x)?;
            cx.b.binary(Binary::Minimum, high, y)?
        }
        "HardSigmoid" => {
            let (alpha, beta) = (cx.b.scalar(parameter(0, 0.2)), cx.b.scalar(parameter(1, 0.5)));
            let (zero, one) = (cx.b.scalar(0f32), cx.b.scalar(1f32));
            let y = cx.b.mul(x, alpha)?;
            let y = cx.b.add(y, beta)?;
            let y = cx.b.binary(Binary::Maximum, zero, y)?;
            cx.b.binary(Binary::Minimum, one, y)?
        }
        "QuickGelu" => emit_swish(cx, x, parameter(0, 1.702))?,
        "Softplus" => emit_softplus(&mut cx.b, x)?,
        other => {
            let what = format!("is {other:?}, which is not known");
            return Err(Refusal::new(what, "export without fused activations").about("attribute activation"));
        }
    })
}

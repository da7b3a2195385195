//! ONNX operators that are one TFLite operator, element by element.

use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Unary, ValueId};
use crate::tensor::DType;

/// ONNX operators of one operand and their TFLite counterparts, which compute the same.
const UNARY: &[(&str, Unary)] = &[
    ("Abs", Unary::Abs),
    ("Ceil", Unary::Ceil),
    ("Cos", Unary::Cos),
    ("Exp", Unary::Exp),
    ("Floor", Unary::Floor),
    ("HardSwish", Unary::HardSwish),
    ("Log", Unary::Log),
    ("Neg", Unary::Neg),
    ("Relu", Unary::Relu),
    ("Round", Unary::Round),
    ("Sigmoid", Unary::Logistic),
    ("Sign", Unary::Sign),
    ("Sin", Unary::Sin),
    ("Sqrt", Unary::Sqrt),
    ("Tanh", Unary::Tanh),
];

/// Whether TFLite's kernel takes the type as plain numbers.
fn unary_takes(kind: Unary, dtype: DType) -> bool {
    match kind {
        Unary::Abs => matches!(dtype, DType::F32 | DType::I32),
        Unary::Neg => matches!(dtype, DType::F32 | DType::I8 | DType::I16 | DType::I32 | DType::I64),
        Unary::Sign => matches!(dtype, DType::F32 | DType::I32 | DType::F64),
        _ => dtype == DType::F32,
    }
}

/// Lowers ONNX operators of one operand to their TFLite counterpart: `Abs`, `Ceil`, `Cos`, `Exp`, `Floor`, `HardSwish`, `Log`,
/// `Neg`, `Relu`, `Round`, `Sigmoid`, `Sign`, `Sin`, `Sqrt`, `Tanh`.
///
/// # Accepts
/// float32 of any rank; integers where they can be computed in another type without loss.
/// # Produces
/// The operator of the same meaning; `RELU` is fused into the operator before it where that has a fused activation. Small integers are
/// computed as int32, between casts; `Abs` of int64 is `MAXIMUM` of the operand and its negation.
/// # Refuses
/// Types that TFLite can't compute with.
pub(super) fn unary(cx: &mut Cx<'_>) -> Results {
    let found = UNARY.iter().find(|(name, _)| *name == cx.op());
    let (_, kind) = *found.ok_or_else(|| Refusal::new("the operator has no counterpart", ""))?;
    // Old operator sets named operands that may be overwritten.
    cx.ignore(&["consumed_inputs"]);
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    if unary_takes(kind, dtype) {
        return Ok(vec![cx.b.unary(kind, x)?]);
    }
    match (kind, dtype) {
        (Unary::Abs, DType::I64) => {
            let negated = cx.b.unary(Unary::Neg, x)?;
            Ok(vec![cx.b.binary(Binary::Maximum, x, negated)?])
        }
        (
            Unary::Abs | Unary::Neg | Unary::Sign | Unary::Relu,
            DType::I8 | DType::I16 | DType::U8 | DType::U16 | DType::I32,
        ) => {
            let wide = cx.b.cast(x, DType::I32)?;
            let y = match kind {
                Unary::Relu => {
                    let zero = cx.b.scalar(0i32);
                    cx.b.binary(Binary::Maximum, wide, zero)?
                }
                _ => cx.b.unary(kind, wide)?,
            };
            Ok(vec![cx.b.cast(y, dtype)?])
        }
        _ => Err(no_kernel(dtype)),
    }
}

pub(super) fn no_kernel(dtype: DType) -> Refusal {
    Refusal::new(format!("{dtype} operands have no kernel"), "cast the operands to float32")
}

/// ONNX operators of two operands and their TFLite counterparts.
const BINARY: &[(&str, Binary)] = &[
    ("Add", Binary::Add),
    ("Div", Binary::Div),
    ("Max", Binary::Maximum),
    ("Mean", Binary::Add),
    ("Min", Binary::Minimum),
    ("Mul", Binary::Mul),
    ("Sub", Binary::Sub),
    ("Sum", Binary::Add),
];

/// Whether TFLite's kernel takes the type as plain numbers. 8-bit integers without a scale abort the process in most.
fn binary_takes(kind: Binary, dtype: DType) -> bool {
    let common = matches!(dtype, DType::F32 | DType::I32);
    match kind {
        Binary::Add | Binary::Sub | Binary::Mul => common || dtype == DType::I64,
        Binary::Maximum | Binary::Minimum => common || matches!(dtype, DType::I64 | DType::I8 | DType::U8 | DType::I16),
        _ => common,
    }
}

/// `kind` on two operands of any type that can be computed without loss.
pub(super) fn arithmetic(cx: &mut Cx<'_>, kind: Binary, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(a);
    // Constants are computed at once, in whatever type they are.
    let folds = cx.constant(a).is_some() && cx.constant(b).is_some();
    if binary_takes(kind, dtype) || folds {
        return Ok(cx.b.binary(kind, a, b)?);
    }
    // Narrow integers wrap around when they are cast back, as ONNX has them do. Of int64, what is computed from extents is narrow.
    let narrow = matches!(dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16)
        || (dtype == DType::I64 && cx.is_narrow(a) && cx.is_narrow(b));
    if narrow {
        let (a, b) = (cx.b.cast(a, DType::I32)?, cx.b.cast(b, DType::I32)?);
        let y = cx.b.binary(kind, a, b)?;
        return Ok(cx.b.cast(y, dtype)?);
    }
    Err(no_kernel(dtype))
}

/// Lowers ONNX `Add`, `Sub`, `Mul` and `Div` to their TFLite counterparts.
///
/// # Accepts
/// float32 and integers, with broadcasting; `broadcast` and `axis` of opset 6 and before.
/// # Produces
/// `ADD`, `SUB`, `MUL`, `DIV`; narrow integers are computed as int32, between casts.
/// # Refuses
/// Types that TFLite can't compute with, such as `Div` of int64.
pub(super) fn binary(cx: &mut Cx<'_>) -> Results {
    let kind = binary_kind(cx)?;
    cx.ignore(&["consumed_inputs"]);
    let (a, mut b) = (cx.input(0)?, cx.input(1)?);
    if cx.flag_or("broadcast", false)?
        && let Some(axis) = cx.int("axis")?
    {
        // The second operand lies along the axes of the first from `axis` on.
        let axis = cx.axis(axis, a)?;
        let mut dims = cx.fixed_shape(b)?;
        let missing = cx.rank(a).saturating_sub(axis + dims.len());
        dims.extend(std::iter::repeat_n(1, missing));
        let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
        b = cx.b.reshape(b, &dims)?;
    }
    Ok(vec![arithmetic(cx, kind, a, b)?])
}

fn binary_kind(cx: &Cx<'_>) -> Result<Binary, Refusal> {
    let found = BINARY.iter().find(|(name, _)| *name == cx.op());
    found.map(|(_, kind)| *kind).ok_or_else(|| Refusal::new("the operator has no counterpart", ""))
}

/// Lowers ONNX `Max`, `Min`, `Sum` and `Mean` to chains of their TFLite counterparts.
///
/// # Accepts
/// One operand or more, with broadcasting; float32 and integers.
/// # Produces
/// A chain of `MAXIMUM`, `MINIMUM` or `ADD`; `Mean` is multiplied by one over the number of operands.
/// # Refuses
/// Types that TFLite can't compute with.
pub(super) fn variadic(cx: &mut Cx<'_>) -> Results {
    let kind = binary_kind(cx)?;
    cx.ignore(&["consumed_inputs"]);
    let operands = cx.all_inputs()?;
    let (&first, rest) = operands.split_first().ok_or_else(|| Refusal::new("there are no operands", ""))?;
    let mut y = first;
    for &operand in rest {
        y = arithmetic(cx, kind, y, operand)?;
    }
    if cx.op() == "Mean" && operands.len() > 1 {
        let count = cx.b.scalar_of(cx.b.graph.dtype(y), operands.len() as f64)?;
        y = cx.b.div(y, count)?;
    }
    Ok(vec![y])
}

/// Lowers ONNX `Reciprocal` to `DIV`.
///
/// # Accepts
/// float32.
/// # Produces
/// `DIV` of one by the operand.
pub(super) fn reciprocal(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["consumed_inputs"]);
    let x = cx.input(0)?;
    let one = cx.b.scalar_of(cx.dtype(x), 1.0)?;
    Ok(vec![cx.b.div(one, x)?])
}

/// Lowers ONNX `Pow` to `POW`, or to what a constant exponent makes of it.
///
/// # Accepts
/// float32 and int32 bases; exponents of any type of number.
/// # Produces
/// `SQUARE`, `SQRT`, `RSQRT` or `DIV` for the constant exponents 2, 1/2, -1/2 and -1; else `POW`.
/// # Refuses
/// Integer bases other than int32.
pub(super) fn pow(cx: &mut Cx<'_>) -> Results {
    let (x, exponent) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(x);
    if !matches!(dtype, DType::F32 | DType::I32) {
        return Err(no_kernel(dtype));
    }
    let same_shape = cx.rank(exponent) <= cx.rank(x);
    if let (DType::F32, true, Some(constant)) = (dtype, same_shape, cx.b.graph.const_splat(exponent)) {
        let is_scalar = cx.shape(exponent).elements() == Some(1);
        let special = [(2.0, Unary::Square), (0.5, Unary::Sqrt), (-0.5, Unary::Rsqrt)];
        if let (true, Some((_, kind))) = (is_scalar, special.iter().find(|(e, _)| *e == constant)) {
            return Ok(vec![cx.b.unary(*kind, x)?]);
        }
        if is_scalar && constant == -1.0 {
            let one = cx.b.scalar(1f32);
            return Ok(vec![cx.b.div(one, x)?]);
        }
    }
    let exponent = cx.b.cast(exponent, dtype)?;
    Ok(vec![cx.b.binary(Binary::Pow, x, exponent)?])
}

//! ONNX operators that are one TFLite operator, element by element.

use super::cast::cast_to;
use super::conv::require_float32;
use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results, division};
use crate::graph::{Binary, Compare, Unary, ValueId};
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
/// computed as int32, between casts; `Relu` and `Sign` of integers are `MAXIMUM` and `MINIMUM`, `Abs` of int64 is `MAXIMUM` of the
/// operand and its negation.
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
    let y = match (kind, dtype) {
        (Unary::Abs, _) => absolute(cx, x)?,
        (Unary::Relu, DType::I8 | DType::U8 | DType::I16 | DType::I32 | DType::I64) => {
            let zero = cx.b.scalar_of(dtype, 0.0)?;
            cx.b.binary(Binary::Maximum, zero, x)?
        }
        (Unary::Sign, DType::I8 | DType::U8 | DType::I16 | DType::I64) => {
            // The sign of an integer is what is left of it between -1 and 1.
            let (low, high) = (if dtype == DType::U8 { 0.0 } else { -1.0 }, 1.0);
            let (low, high) = (cx.b.scalar_of(dtype, low)?, cx.b.scalar_of(dtype, high)?);
            let y = cx.b.binary(Binary::Minimum, high, x)?;
            cx.b.binary(Binary::Maximum, low, y)?
        }
        (Unary::Relu, DType::U16 | DType::U32 | DType::U64) => x,
        (Unary::Sign, DType::U16 | DType::U32 | DType::U64) => {
            let some = cx.b.cast(x, DType::Bool)?;
            cx.b.cast(some, dtype)?
        }
        // What is a whole number already.
        (Unary::Ceil | Unary::Floor | Unary::Round, _) if dtype.is_int() => x,
        _ => return Err(no_kernel(dtype)),
    };
    Ok(vec![y])
}

/// Magnitudes of any type of number.
pub(super) fn absolute(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(x);
    match dtype {
        DType::F32 | DType::I32 => Ok(cx.b.unary(Unary::Abs, x)?),
        DType::I8 | DType::I16 => {
            let wide = cx.as_i32(x)?;
            let y = cx.b.unary(Unary::Abs, wide)?;
            Ok(cx.b.cast(y, dtype)?)
        }
        DType::I64 => {
            let negated = cx.b.unary(Unary::Neg, x)?;
            Ok(cx.b.binary(Binary::Maximum, x, negated)?)
        }
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => Ok(x),
        _ => Err(no_kernel(dtype)),
    }
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
        Binary::Add | Binary::Sub => common || dtype == DType::I64,
        Binary::Mul => common || matches!(dtype, DType::I64 | DType::U32),
        Binary::Maximum | Binary::Minimum => common || matches!(dtype, DType::I64 | DType::I8 | DType::U8 | DType::I16),
        _ => common,
    }
}

/// Kernels abort the process where they have to broadcast more axes.
const MAX_BROADCAST_RANK: usize = 8;

/// `kind` on two operands of any type that can be computed without loss.
pub(super) fn arithmetic(cx: &mut Cx<'_>, kind: Binary, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(a);
    let (shape, other) = (cx.shape(a), cx.shape(b));
    if shape != other && shape.rank().max(other.rank()) > MAX_BROADCAST_RANK {
        return Err(Refusal::new(format!("{shape} and {other} are broadcast together"), "use 8 axes at most"));
    }
    if binary_takes(kind, dtype) {
        return Ok(cx.b.binary(kind, a, b)?);
    }
    if !dtype.is_int() {
        return Err(no_kernel(dtype));
    }
    let kernel = [DType::I32, DType::I64];
    match kind {
        // Sums and products wrap around when they are cast back, as ONNX has them do.
        Binary::Add | Binary::Sub | Binary::Mul => {
            let (a, b) = (cx.wrapping(a, &kernel)?, cx.wrapping(b, &kernel)?);
            let y = cx.b.binary(kind, a, b)?;
            Ok(cx.b.cast(y, dtype)?)
        }
        Binary::Maximum | Binary::Minimum => {
            let (a, b) = (cx.ordered(a, &kernel)?, cx.ordered(b, &kernel)?);
            let y = cx.b.binary(kind, a, b)?;
            cx.restore_order(y, dtype)
        }
        Binary::Div => quotient(cx, a, b),
        _ => Err(no_kernel(dtype)),
    }
}

fn quotient(cx: &mut Cx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(a);
    let fits = match dtype {
        DType::I64 => cx.is_narrow(a) && cx.is_narrow(b),
        other => !matches!(other, DType::U32 | DType::U64),
    };
    if !fits {
        return division::quotient(cx, a, b);
    }
    let (a, b) = (cx.b.cast(a, DType::I32)?, cx.b.cast(b, DType::I32)?);
    let y = cx.b.div(a, b)?;
    Ok(cx.b.cast(y, dtype)?)
}

/// Lowers ONNX `Add`, `Sub`, `Mul` and `Div` to their TFLite counterparts.
///
/// # Accepts
/// float32 and integers, with broadcasting; `broadcast` and `axis` of opset 6 and before.
/// # Produces
/// `ADD`, `SUB`, `MUL`, `DIV`; narrow and unsigned integers are computed as int32 or int64, between casts. `Div` of 64 bits, or of
/// uint32, is `FLOOR_MOD`, and `DIV` of float32 corrected until it is exact, unless the operands are extents and so fit in int32.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn binary(cx: &mut Cx<'_>) -> Results {
    let kind = binary_kind(cx)?;
    cx.ignore(&["consumed_inputs"]);
    let (a, mut b) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.int("axis")?;
    if let (true, Some(axis)) = (cx.flag_or("broadcast", false)?, axis) {
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
/// One operand or more, with broadcasting; float32 and integers. `Max` and `Min` of computed operands pass NaN from the last of them
/// only, as the kernels do.
/// # Produces
/// A chain of `MAXIMUM`, `MINIMUM` or `ADD`, constants first; `Mean` is multiplied by one over the number of operands.
/// # Refuses
/// Types that TFLite can't compute with.
pub(super) fn variadic(cx: &mut Cx<'_>) -> Results {
    let kind = binary_kind(cx)?;
    cx.ignore(&["consumed_inputs"]);
    let mut operands = cx.all_inputs()?;
    if matches!(kind, Binary::Maximum | Binary::Minimum) {
        // The kernels drop NaN of the first operand and keep that of the second.
        operands.sort_by_key(|&x| cx.constant(x).is_none());
    }
    let (&first, rest) = operands.split_first().ok_or_else(|| Refusal::new("there are no operands", ""))?;
    let mut y = first;
    for &operand in rest {
        y = arithmetic(cx, kind, y, operand)?;
    }
    if cx.op() == "Mean" && operands.len() > 1 {
        let share = cx.b.scalar_of(cx.dtype(y), 1.0 / operands.len() as f64)?;
        y = cx.b.mul(y, share)?;
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
    require_float32(cx, x)?;
    let one = cx.b.scalar(1f32);
    Ok(vec![cx.b.div(one, x)?])
}

/// Lowers ONNX `Pow` to `POW`, or to what a constant exponent makes of it.
///
/// # Accepts
/// float32 and integer bases; exponents of any type of number. The kernel stops where an integer base meets a negative integer exponent.
/// # Produces
/// `SQUARE`, `SQRT`, `RSQRT` or `DIV` for the constant exponents 2, 1/2, -1/2 and -1; else `POW`. Integers are computed as int32, with a
/// note for int64; a fractional exponent takes an integer base through float32.
/// # Refuses
/// Bases of other types.
pub(super) fn pow(cx: &mut Cx<'_>) -> Results {
    let (x, exponent) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(x);
    // An exponent of higher rank makes a result of higher rank.
    let constant = cx.b.graph.const_splat(exponent);
    let constant = constant.filter(|_| cx.shape(exponent).elements() == Some(1) && cx.rank(exponent) <= cx.rank(x));
    match (dtype, constant) {
        (DType::F32, Some(constant)) => {
            let special = [(2.0, Unary::Square), (0.5, Unary::Sqrt), (-0.5, Unary::Rsqrt)];
            if let Some((_, kind)) = special.iter().find(|(e, _)| *e == constant) {
                return Ok(vec![cx.b.unary(*kind, x)?]);
            }
            if constant == -1.0 {
                let one = cx.b.scalar(1f32);
                return Ok(vec![cx.b.div(one, x)?]);
            }
        }
        (DType::I64, Some(2.0)) => return Ok(vec![cx.b.mul(x, x)?]),
        _ => {}
    }
    let whole = constant.map_or(cx.dtype(exponent).is_int(), |e| e >= 0.0 && e.fract() == 0.0);
    let through = match dtype {
        DType::F32 => DType::F32,
        _ if !dtype.is_int() => return Err(no_kernel(dtype)),
        _ if whole => DType::I32,
        _ => DType::F32,
    };
    if matches!(dtype, DType::I64 | DType::U32 | DType::U64) {
        cx.note(format!("{dtype} is raised to a power as {through}: larger numbers lose digits"));
    }
    let (x, exponent) = (cast_to(cx, x, through)?, cast_to(cx, exponent, through)?);
    let y = cx.b.binary(Binary::Pow, x, exponent)?;
    Ok(vec![cast_to(cx, y, dtype)?])
}

/// Lowers ONNX `IsNaN` to `NOT_EQUAL` of the operand with itself.
///
/// # Accepts
/// float32.
/// # Produces
/// `NOT_EQUAL`.
pub(super) fn is_nan(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    Ok(vec![cx.b.compare(Compare::NotEqual, x, x)?])
}

/// Lowers ONNX `IsInf` to `GREATER_EQUAL` or `LESS_EQUAL` with the largest number.
///
/// # Accepts
/// float32; `detect_positive`, `detect_negative`.
/// # Produces
/// `ABS? → GREATER_EQUAL`. The largest finite number counts as infinite: arithmetic kernels make it of infinities.
pub(super) fn is_inf(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let (positive, negative) = (cx.flag_or("detect_positive", true)?, cx.flag_or("detect_negative", true)?);
    let (kind, x, bound) = match (positive, negative) {
        (true, true) => (Compare::GreaterEqual, cx.b.unary(Unary::Abs, x)?, f32::MAX),
        (true, false) => (Compare::GreaterEqual, x, f32::MAX),
        (false, true) => (Compare::LessEqual, x, f32::MIN),
        // Nothing is below that: false everywhere.
        (false, false) => (Compare::Less, x, f32::NEG_INFINITY),
    };
    let bound = cx.b.scalar(bound);
    Ok(vec![cx.b.compare(kind, x, bound)?])
}

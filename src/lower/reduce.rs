//! ONNX `Reduce*`, `CumSum`, `ArgMax`, `ArgMin` and global pools.

use super::by_axis::ByAxis;
use super::elementwise::{self, arithmetic};
use super::kernel_type::no_kernel;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, Precision, Reduce, Unary, ValueId};
use crate::tensor::DType;

/// Lowers the ONNX reductions `ReduceSum`, `ReduceMean`, `ReduceMax`, `ReduceMin`, `ReduceProd`, `ReduceL1`, `ReduceL2`,
/// `ReduceSumSquare`, `ReduceLogSum`, `ReduceLogSumExp`.
///
/// # Accepts
/// float32 and integers; axes as attribute or operand, constant or not; `noop_with_empty_axes`.
/// # Produces
/// `SUM`, `MEAN`, `REDUCE_MAX`, `REDUCE_MIN` or `REDUCE_PROD`, with `ABS`, `SQUARE`, `SQRT`, `EXP`, `LOG` around it as the operator asks;
/// `ReduceLogSumExp` takes the maximum out first.
/// # Refuses
/// Axes computed at run time without `keepdims`.
pub(super) fn reduce(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let keep_dims = cx.flag_or("keepdims", true)?;
    let axes = axes(cx, x)?;
    let dtype = cx.dtype(x);
    let y = match (cx.op(), dtype) {
        ("ReduceSum", _) => emit(cx, Reduce::Sum, x, axes, keep_dims)?,
        ("ReduceMean", _) => emit(cx, Reduce::Mean, x, axes, keep_dims)?,
        ("ReduceMax", DType::Bool) => emit(cx, Reduce::Any, x, axes, keep_dims)?,
        ("ReduceMin", DType::Bool) => emit(cx, Reduce::All, x, axes, keep_dims)?,
        ("ReduceMax", _) => emit(cx, Reduce::Max, x, axes, keep_dims)?,
        ("ReduceMin", _) => emit(cx, Reduce::Min, x, axes, keep_dims)?,
        ("ReduceProd", _) => emit(cx, Reduce::Prod, x, axes, keep_dims)?,
        ("ReduceL1", _) => {
            let x = elementwise::absolute(cx, x)?;
            emit(cx, Reduce::Sum, x, axes, keep_dims)?
        }
        ("ReduceSumSquare", _) => {
            let x = square(cx, x)?;
            emit(cx, Reduce::Sum, x, axes, keep_dims)?
        }
        ("ReduceL2", DType::F32) => {
            let before = cx.b.set_precision(Precision::Float);
            let x = square(cx, x)?;
            let y = emit(cx, Reduce::Sum, x, axes, keep_dims)?;
            let y = cx.b.unary(Unary::Sqrt, y)?;
            cx.b.set_precision(before);
            y
        }
        ("ReduceLogSum", DType::F32) => {
            cx.b.set_precision(Precision::Float);
            let y = emit(cx, Reduce::Sum, x, axes, keep_dims)?;
            cx.b.unary(Unary::Log, y)?
        }
        ("ReduceLogSumExp", DType::F32) => log_sum_exp(cx, x, axes, keep_dims)?,
        _ => return Err(no_kernel(dtype)),
    };
    Ok(vec![y])
}

/// Which axes go.
#[derive(Clone, Copy)]
enum Axes {
    /// None: the operand passes through the reduction.
    Nothing,
    /// `INT32` vector.
    These(ValueId),
}

fn axes(cx: &mut Cx<'_>, x: ValueId) -> Result<Axes, Refusal> {
    let rank = cx.rank(x);
    let noop = cx.flag_or("noop_with_empty_axes", false)?;
    let operand = cx.optional(1).filter(|&operand| cx.shape(operand).elements() != Some(0));
    if let Some(operand) = operand
        && cx.constant(operand).is_none()
    {
        if cx.shape(operand).elements().is_some() || noop {
            return Ok(Axes::These(cx.as_i32(operand)?));
        }
        return Ok(Axes::These(listed_or_all(cx, operand, rank)?));
    }
    let listed = match (cx.ints("axes")?, operand) {
        (Some(axes), _) => Some(axes.to_vec()),
        (None, Some(_)) => cx.const_ints(1, "axes")?,
        (None, None) => None,
    };
    let listed = listed.filter(|axes| !axes.is_empty());
    let axes: Vec<usize> = match listed {
        Some(axes) => axes.iter().map(|&a| cx.axis(a, x)).collect::<Result<_, _>>()?,
        None if noop => return Ok(Axes::Nothing),
        None => (0..rank).collect(),
    };
    if axes.is_empty() {
        return Ok(Axes::Nothing);
    }
    Ok(Axes::These(cx.b.ints(&axes)?))
}

/// The axes in `operand`, of which it is only known at run time how many there are; all axes where there are none.
fn listed_or_all(cx: &mut Cx<'_>, operand: ValueId, rank: usize) -> Result<ValueId, Refusal> {
    let mask = ByAxis::new(cx, operand, rank)?.mask();
    let some = cx.b.reduce(Reduce::Any, mask, &[0], false)?;
    let none = cx.b.unary(Unary::LogicalNot, some)?;
    let reduced = cx.b.binary(Binary::LogicalOr, mask, none)?;
    let axes = cx.b.one(Op::Where, &[reduced])?;
    let axes = cx.b.cast(axes, DType::I32)?;
    Ok(cx.b.reshape(axes, &[-1])?)
}

fn emit(cx: &mut Cx<'_>, kind: Reduce, x: ValueId, axes: Axes, keep_dims: bool) -> Result<ValueId, Refusal> {
    let Axes::These(axes) = axes else { return Ok(x) };
    let dtype = cx.dtype(x);
    let is_empty = cx.shape(x).dims().contains(&Some(0));
    let numbers = [DType::F32, DType::I32, DType::I64];
    let x = match kind {
        Reduce::Any | Reduce::All => cx.in_kernel_type(x, &[DType::Bool])?,
        Reduce::Sum | Reduce::Prod => cx.wrapping(x, &numbers)?,
        Reduce::Mean => cx.in_kernel_type(x, &numbers)?,
        Reduce::Max | Reduce::Min => cx.ordered(x, &numbers)?,
    };
    let known: Option<Vec<usize>> =
        cx.b.graph.const_ints(axes).map(|axes| axes.into_iter().filter_map(|a| usize::try_from(a).ok()).collect());
    let y = match known {
        Some(axes) => cx.b.reduce(kind, x, &axes, keep_dims)?,
        None => cx.b.one(Op::Reduce { kind, keep_dims }, &[x, axes])?,
    };
    let y = if is_empty { of_nothing(cx, kind, y)? } else { y };
    match kind {
        Reduce::Max | Reduce::Min => cx.restore_order(y, dtype),
        _ => Ok(cx.b.cast(y, dtype)?),
    }
}

/// The greatest or least of no floats at all, which `y` came to, is infinite: kernels give the largest finite number.
fn of_nothing(cx: &mut Cx<'_>, kind: Reduce, y: ValueId) -> Result<ValueId, Refusal> {
    let value = match (kind, cx.dtype(y)) {
        (Reduce::Max, DType::F32) => f32::NEG_INFINITY,
        (Reduce::Min, DType::F32) => f32::INFINITY,
        _ => return Ok(y),
    };
    let (shape, value) = (cx.shape_of(y)?, cx.b.scalar(value));
    Ok(cx.b.one(Op::Fill, &[shape, value])?)
}

fn square(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    if cx.dtype(x) == DType::F32 { Ok(cx.b.unary(Unary::Square, x)?) } else { arithmetic(cx, Binary::Mul, x, x) }
}

/// `log(sum(exp(x - m))) + m` with `m` the maximum, so that nothing overflows.
fn log_sum_exp(cx: &mut Cx<'_>, x: ValueId, axes: Axes, keep_dims: bool) -> Result<ValueId, Refusal> {
    let Axes::These(_) = axes else { return Ok(x) };
    let before = cx.b.set_precision(Precision::Float);
    let max = emit(cx, Reduce::Max, x, axes, true)?;
    // A row of -inf has no finite maximum: shift it by the lowest number instead.
    let lowest = cx.b.scalar(f32::MIN);
    let max = cx.b.binary(Binary::Maximum, lowest, max)?;
    let shifted = cx.b.sub(x, max)?;
    let exp = cx.b.unary(Unary::Exp, shifted)?;
    let sum = emit(cx, Reduce::Sum, exp, axes, true)?;
    let log = cx.b.unary(Unary::Log, sum)?;
    let mut y = cx.b.add(log, max)?;
    cx.b.set_precision(before);
    if !keep_dims {
        // Every reduced axis has size 1 now.
        y = emit(cx, Reduce::Max, y, axes, false)?;
    }
    Ok(y)
}

/// Lowers ONNX `GlobalAveragePool`, `GlobalMaxPool` and `GlobalLpPool` to reductions over the spatial axes.
///
/// # Accepts
/// float32 of rank 3 and more; any positive `p`.
/// # Produces
/// `MEAN`, `REDUCE_MAX`, or for `GlobalLpPool` `SQUARE → SUM → SQRT` (`p = 2`), `ABS → SUM` (`p = 1`), `ABS → POW → SUM → POW`.
pub(super) fn global_pool(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    super::conv::require_float32(cx, x)?;
    let axes: Vec<usize> = (2..cx.rank(x)).collect();
    Ok(vec![match cx.op() {
        "GlobalLpPool" => {
            let p = cx.int_or("p", 2)?;
            p_norm(cx, x, &axes, p)?
        }
        _ if axes.is_empty() => x,
        "GlobalMaxPool" => cx.b.reduce(Reduce::Max, x, &axes, true)?,
        _ => cx.b.reduce(Reduce::Mean, x, &axes, true)?,
    }])
}

/// `(Σ |x|^p)^(1/p)` over `axes`, which are kept; stays float.
pub(super) fn p_norm(cx: &mut Cx<'_>, x: ValueId, axes: &[usize], p: i64) -> Result<ValueId, Refusal> {
    let before = cx.b.set_precision(Precision::Float);
    let powers = p_power(cx, x, p)?;
    let sum = cx.b.reduce(Reduce::Sum, powers, axes, true)?;
    let y = p_root(cx, sum, p)?;
    cx.b.set_precision(before);
    Ok(y)
}

/// `|x|^p`.
pub(super) fn p_power(cx: &mut Cx<'_>, x: ValueId, p: i64) -> Result<ValueId, Refusal> {
    match p {
        ..1 => Err(Refusal::new(format!("is {p}"), "use a positive p").about("attribute p")),
        1 => Ok(cx.b.unary(Unary::Abs, x)?),
        2 => Ok(cx.b.unary(Unary::Square, x)?),
        _ => {
            let magnitude = cx.b.unary(Unary::Abs, x)?;
            cx.with_number(Binary::Pow, magnitude, p as f64)
        }
    }
}

/// `x^(1/p)`.
pub(super) fn p_root(cx: &mut Cx<'_>, x: ValueId, p: i64) -> Result<ValueId, Refusal> {
    match p {
        1 => Ok(x),
        2 => Ok(cx.b.unary(Unary::Sqrt, x)?),
        _ => cx.with_number(Binary::Pow, x, 1.0 / p as f64),
    }
}

/// Lowers ONNX `CumSum` to `CUMSUM`.
///
/// # Accepts
/// float32 and integers; `exclusive`, `reverse`; an axis that is constant or not.
/// # Produces
/// `CUMSUM`; integers without a kernel are summed as int32 or int64, between casts.
/// # Refuses
/// Scalars.
pub(super) fn cum_sum(cx: &mut Cx<'_>) -> Results {
    let (x, axis) = (cx.input(0)?, cx.input(1)?);
    let op = Op::Cumsum { exclusive: cx.flag_or("exclusive", false)?, reverse: cx.flag_or("reverse", false)? };
    if cx.rank(x) == 0 {
        return Err(Refusal::new("a scalar has no axis", "check the model with onnx.checker"));
    }
    let dtype = cx.dtype(x);
    let axis = match cx.const_ints(1, "axis") {
        Ok(Some(axis)) => {
            let axis = axis.first().copied().unwrap_or_default();
            let axis = cx.axis(axis, x).map_err(|r| r.about("operand axis"))?;
            cx.b.scalar(axis as i32)
        }
        _ => {
            let axis = cx.as_i32(axis)?;
            cx.b.reshape(axis, &[])?
        }
    };
    let x = cx.wrapping(x, &[DType::F32, DType::I32, DType::I64])?;
    let y = cx.b.one(op, &[x, axis])?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

/// Lowers ONNX `ArgMax` and `ArgMin` to `ARG_MAX` and `ARG_MIN`.
///
/// # Accepts
/// Numbers; `keepdims`, `select_last_index`.
/// # Produces
/// `ARG_MAX` or `ARG_MIN` with int64 results, on the reversed operand where the last of equals is asked for. 64-bit operands, and uint32,
/// are `REDUCE_MAX` or `REDUCE_MIN` first: `ARG_MAX` then finds what is equal to that.
/// # Refuses
/// Integers below 8 bits.
pub(super) fn arg_extremum(cx: &mut Cx<'_>) -> Results {
    let mut x = cx.input(0)?;
    let axis = cx.axis(cx.int_or("axis", 0)?, x)?;
    let keep_dims = cx.flag_or("keepdims", true)?;
    let last = cx.flag_or("select_last_index", false)?;
    let mut marks = false;
    x = match cx.dtype(x) {
        DType::I64 if cx.is_narrow(x) => cx.as_i32(x)?,
        DType::I64 | DType::U32 | DType::U64 => {
            marks = true;
            marked(cx, x, axis)?
        }
        _ => cx.in_kernel_type(x, &[DType::F32, DType::I8, DType::U8, DType::I32])?,
    };
    if last {
        let axes = cx.b.ints(&[axis])?;
        x = cx.b.one(Op::Reverse, &[x, axes])?;
    }
    let operand = cx.b.scalar(axis as i32);
    let is_max = cx.op() == "ArgMax" || marks;
    let op = if is_max { Op::ArgMax { to: DType::I64 } } else { Op::ArgMin { to: DType::I64 } };
    let mut y = cx.b.one(op, &[x, operand])?;
    if last {
        let (extent, one) = (cx.extent_of(x, axis)?, cx.b.scalar(1i32));
        let top = cx.b.sub(extent, one)?;
        let top = cx.b.cast(top, DType::I64)?;
        y = cx.b.sub(top, y)?;
    }
    if keep_dims {
        y = super::window::insert_axis(cx, y, axis)?;
    }
    Ok(vec![y])
}

/// 1 where the extreme elements along an axis stand, and 0 elsewhere.
fn marked(cx: &mut Cx<'_>, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let kind = if cx.op() == "ArgMax" { Reduce::Max } else { Reduce::Min };
    let x = cx.ordered(x, &[DType::I64])?;
    let extreme = cx.b.reduce(kind, x, &[axis], true)?;
    let equal = cx.b.compare(Compare::Equal, x, extreme)?;
    cx.as_i32(equal)
}

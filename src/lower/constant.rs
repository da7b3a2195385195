//! ONNX operators that make values from nothing but attributes and shapes: `Constant`, `ConstantOfShape`, `EyeLike`, `Range`.

use super::cast::cast_to;
use super::kernel_type::no_kernel;
use super::known::Number;
use super::trilu::beside_diagonal;
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Compare, Op};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `Constant` to a constant.
///
/// # Accepts
/// `value`, `value_float`, `value_floats`, `value_int`, `value_ints`, `sparse_value`.
/// # Produces
/// A constant.
/// # Refuses
/// Strings.
pub(super) fn constant(cx: &mut Cx<'_>) -> Results {
    let data = if cx.has("value") {
        cx.tensor("value")?.cloned()
    } else if cx.has("value_float") {
        cx.float("value_float")?.map(Tensor::scalar)
    } else if cx.has("value_floats") {
        cx.floats("value_floats")?.map(|v| Tensor::vector(v.to_vec()))
    } else if cx.has("value_int") {
        cx.int("value_int")?.map(Tensor::scalar)
    } else if cx.has("value_ints") {
        cx.ints("value_ints")?.map(|v| Tensor::vector(v.to_vec()))
    } else if cx.has("sparse_value") {
        cx.tensor("sparse_value")?.cloned()
    } else {
        return Err(Refusal::new(
            "the constant is no tensor of numbers: TFLite graphs don't compute with strings",
            "take strings out of the model",
        ));
    };
    let data = data.ok_or_else(|| Refusal::new("the constant has no value", "check the model with onnx.checker"))?;
    Ok(vec![cx.b.constant(data)])
}

/// What the kernel of `FILL` takes.
const FILL: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U64,
    DType::Bool,
];

/// Lowers ONNX `ConstantOfShape` to a constant or `FILL`.
///
/// # Accepts
/// Shapes that are constant, computed from other shapes, or fed at run time; any value.
/// # Produces
/// `FILL`, folded to a constant where the shape is known.
/// # Refuses
/// A shape operand whose length is not known: the rank of the result would be dynamic.
pub(super) fn constant_of_shape(cx: &mut Cx<'_>) -> Results {
    let value = match cx.tensor("value")? {
        Some(value) => value.reshape(&[]).map_err(|_| {
            Refusal::new("must be one element", "check the model with onnx.checker").about("attribute value")
        })?,
        None => Tensor::scalar(0f32),
    };
    if !FILL.contains(&value.dtype()) {
        return Err(no_kernel(value.dtype()).about("attribute value"));
    }
    let shape = cx.input(0)?;
    let dims = match cx.known_ints(shape) {
        Some(dims) => cx.b.ints(&dims)?,
        None => cx.as_i32(shape)?,
    };
    let numbers = cx.numbers(shape);
    let value = cx.b.constant(value);
    let filled = cx.b.one(Op::Fill, &[dims, value])?;
    Ok(vec![cx.refine(filled, &numbers.unwrap_or_default())])
}

/// Lowers ONNX `EyeLike` to a constant, or `EQUAL`.
///
/// # Accepts
/// `dtype`, `k`; extents that are known or not.
/// # Produces
/// A constant; `RANGE → EQUAL → CAST` where it is large or an extent is not known.
pub(super) fn eye_like(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let dtype = match cx.int("dtype")? {
        Some(number) => element_type(number)?,
        None => cx.dtype(x),
    };
    if cx.rank(x) != 2 {
        return Err(Refusal::new("the operand must have rank 2", "check the model with onnx.checker"));
    }
    let offset = cx.b.scalar(cx.int_or("k", 0)?);
    let extents = [cx.extent_of(x, 0)?, cx.extent_of(x, 1)?];
    let diagonal = beside_diagonal(cx, extents, offset, Compare::Equal)?;
    Ok(vec![cast_to(cx, diagonal, dtype)?])
}

/// The element type that an attribute gives by number.
pub(super) fn element_type(number: i64) -> Result<DType, Refusal> {
    let dtype = i32::try_from(number).ok().and_then(onnx::dtype);
    dtype.ok_or_else(|| {
        Refusal::new(format!("element type number {number} is none that TFLite has"), "use float32 or int32")
    })
}

/// Lowers ONNX `Range` to `RANGE`.
///
/// # Accepts
/// Constant and run-time bounds of any plain number type.
/// # Produces
/// A constant where the bounds are, else `RANGE`.
/// # Refuses
/// A step of 0, and types that no kernel has.
pub(super) fn range(cx: &mut Cx<'_>) -> Results {
    let bounds = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
    let dtype = cx.dtype(bounds[0]);
    if let [Some(start), Some(limit), Some(delta)] = bounds.map(|b| cx.known_ints(b).filter(|_| dtype.is_int())) {
        return Ok(vec![cx.b.constant(counted(dtype, &start, &limit, &delta)?)]);
    }
    let mut operands = Vec::new();
    for bound in bounds {
        let scalar = cx.b.reshape(bound, &[])?;
        operands.push(cx.in_kernel_type(scalar, &[DType::F32, DType::I32, DType::I64])?);
    }
    let range = cx.b.one(Op::Range, &operands)?;
    // A range from 0 by 1 has as many elements as its limit says.
    let numbers = bounds.map(|b| cx.numbers(b).and_then(|n| n.first().copied()));
    if let [Some(Number::Known(0)), Some(limit @ Number::Extent(_)), Some(Number::Known(1))] = numbers {
        cx.set_extents(range, vec![limit]);
    }
    Ok(vec![cx.b.cast(range, dtype)?])
}

fn counted(dtype: DType, start: &[i64], limit: &[i64], delta: &[i64]) -> Result<Tensor, Refusal> {
    let (&[start], &[limit], &[delta]) = (start, limit, delta) else {
        return Err(Refusal::new("bounds must be scalars", "check the model with onnx.checker"));
    };
    if delta == 0 {
        return Err(Refusal::new("is 0", "check the model with onnx.checker").about("operand delta"));
    }
    let distance = if delta > 0 { limit.saturating_sub(start) } else { start.saturating_sub(limit) };
    let count = if distance <= 0 { 0 } else { (distance - 1) / delta.saturating_abs() + 1 };
    countable(&[usize::try_from(count).unwrap_or(usize::MAX)])?;
    let values: Vec<i64> = (0..count).map(|i| start + i * delta).collect();
    Tensor::vector(values).cast(dtype).map_err(|_| no_kernel(dtype))
}

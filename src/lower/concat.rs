//! ONNX `Concat`.

use super::{Cx, Refusal, Results};
use crate::tensor::DType;

/// What the kernel of `CONCATENATION` joins.
const KERNEL: &[DType] =
    &[DType::F32, DType::I4, DType::I8, DType::U8, DType::I16, DType::I32, DType::U32, DType::I64, DType::Bool];

/// Lowers ONNX `Concat` to `CONCATENATION`.
///
/// # Accepts
/// Any number of operands, any axis.
/// # Produces
/// `CONCATENATION`; a single operand is passed on.
/// # Refuses
/// Nothing.
pub(super) fn concat(cx: &mut Cx<'_>) -> Results {
    let parts = cx.all_inputs()?;
    let Some(&first) = parts.first() else {
        return Err(Refusal::new("there are no operands", "check the model with onnx.checker"));
    };
    let Some(axis) = cx.int("axis")? else {
        return Err(Refusal::new("is missing", "check the model with onnx.checker").about("attribute axis"));
    };
    let axis = cx.axis(axis, first)?;
    if parts.len() == 1 {
        return Ok(parts);
    }
    let dtype = cx.dtype(first);
    let parts = parts.into_iter().map(|part| cx.in_moved_type(part, KERNEL)).collect::<Result<Vec<_>, _>>()?;
    let joined = cx.b.concat(&parts, axis)?;
    Ok(vec![cx.b.cast(joined, dtype)?])
}

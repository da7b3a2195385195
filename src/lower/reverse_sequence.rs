//! ONNX `ReverseSequence`.

use super::{Cx, Refusal, Results};
use crate::graph::Op;
use crate::tensor::DType;

/// What the kernel of `REVERSE_SEQUENCE` takes.
const KERNEL: &[DType] = &[DType::F32, DType::U8, DType::I16, DType::I32, DType::I64];

/// Lowers ONNX `ReverseSequence` to `REVERSE_SEQUENCE`.
///
/// # Accepts
/// Either order of `batch_axis` and `time_axis`; lengths that are constant or fed at run time.
/// # Produces
/// `REVERSE_SEQUENCE`, between casts for types that its kernel lacks.
/// # Refuses
/// uint64.
pub(super) fn reverse_sequence(cx: &mut Cx<'_>) -> Results {
    let (x, lengths) = (cx.input(0)?, cx.input(1)?);
    let batch = cx.axis(cx.int_or("batch_axis", 1)?, x).map_err(|r| r.about("attribute batch_axis"))?;
    let time = cx.axis(cx.int_or("time_axis", 0)?, x).map_err(|r| r.about("attribute time_axis"))?;
    if batch == time {
        return Err(
            Refusal::new("is the batch's too", "check the model with onnx.checker").about("attribute time_axis")
        );
    }
    let dtype = cx.dtype(x);
    let carried = cx.in_kernel_type(x, KERNEL)?;
    let op = Op::ReverseSequence { seq_dim: time as i32, batch_dim: batch as i32 };
    let y = cx.b.one(op, &[carried, lengths])?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

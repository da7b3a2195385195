//! Element types that a kernel lacks: the operator runs in another type that holds all their values.

use super::{Cx, Refusal};
use crate::graph::ValueId;
use crate::tensor::DType;

/// The type that values of `dtype` are computed in throughout, where only some kernels of interpreters take `dtype` itself. No lowering
/// meets a value that has one.
pub(super) fn carrier(dtype: DType) -> Option<DType> {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F64).then_some(DType::F32)
}

/// Types that hold every value of `dtype`, cheapest first.
fn carriers(dtype: DType) -> &'static [DType] {
    match dtype {
        DType::Bool => &[DType::I8, DType::I32, DType::F32],
        DType::I4 => &[DType::F32],
        DType::I8 | DType::U8 | DType::I16 | DType::U16 => &[DType::I32, DType::F32],
        DType::I32 | DType::U32 => &[DType::I64],
        _ => &[],
    }
}

impl Cx<'_> {
    /// `x`, cast where `kernel` does not list its type. The result is to be cast back to what `x` was.
    pub fn in_kernel_type(&mut self, x: ValueId, kernel: &[DType]) -> Result<ValueId, Refusal> {
        let dtype = self.dtype(x);
        if kernel.contains(&dtype) {
            return Ok(x);
        }
        match carriers(dtype).iter().find(|c| kernel.contains(c)) {
            Some(&carrier) => Ok(self.b.cast(x, carrier)?),
            None => Err(no_kernel(dtype)),
        }
    }
}

/// The refusal of an element type that no kernel has.
pub(super) fn no_kernel(dtype: DType) -> Refusal {
    let hint = match dtype {
        DType::I64 | DType::U64 => "use int32",
        _ => "use float32 or int32",
    };
    Refusal::new(format!("TFLite has no kernel for {dtype} here"), hint)
}

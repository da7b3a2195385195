//! Element types that a kernel lacks: the operator runs in another type, from which its results can be had back.

use super::{Cx, Refusal};
use crate::graph::{Op, ValueId};
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
        DType::I8 | DType::U8 | DType::I16 | DType::U16 => &[DType::I32, DType::F32, DType::I64],
        DType::I32 | DType::U32 => &[DType::I64],
        _ => &[],
    }
}

/// Types that `dtype` can be converted to and back, if not as the same numbers: cheapest first.
fn reversible(dtype: DType) -> &'static [DType] {
    match dtype {
        DType::U32 => &[DType::I32, DType::I64],
        DType::U64 => &[DType::I64],
        _ => carriers(dtype),
    }
}

impl Cx<'_> {
    /// `x`, cast where `kernel` does not list its type, with the same values. The result is to be cast back to what `x` was.
    pub fn in_kernel_type(&mut self, x: ValueId, kernel: &[DType]) -> Result<ValueId, Refusal> {
        self.in_one_of(x, kernel, carriers)
    }

    /// `x`, cast where `kernel` does not list its type, for kernels that pass elements on and don't look at them. The result is to be
    /// cast back to what `x` was.
    pub fn in_moved_type(&mut self, x: ValueId, kernel: &[DType]) -> Result<ValueId, Refusal> {
        self.in_one_of(x, kernel, reversible)
    }

    fn in_one_of(
        &mut self,
        x: ValueId,
        kernel: &[DType],
        others: fn(DType) -> &'static [DType],
    ) -> Result<ValueId, Refusal> {
        let dtype = self.dtype(x);
        if kernel.contains(&dtype) {
            return Ok(x);
        }
        match others(dtype).iter().find(|other| kernel.contains(other)) {
            Some(&other) => Ok(self.b.cast(x, other)?),
            None => Err(no_kernel(dtype)),
        }
    }

    /// Integers for sums and products, which are right when the result is cast back: both wrap around. What `kernel` does not list is
    /// `INT32` or `INT64`, where numbers past the largest come out negative.
    pub fn wrapping(&mut self, x: ValueId, kernel: &[DType]) -> Result<ValueId, Refusal> {
        let dtype = self.dtype(x);
        if kernel.contains(&dtype) || !dtype.is_int() {
            return self.in_kernel_type(x, kernel);
        }
        Ok(self.b.cast(x, if dtype == DType::U64 { DType::I64 } else { DType::I32 })?)
    }

    /// `x` in a type that `kernel` lists, where greater numbers are greater still. [`Cx::restore_order`] gives the numbers back.
    pub fn ordered(&mut self, x: ValueId, kernel: &[DType]) -> Result<ValueId, Refusal> {
        if self.dtype(x) != DType::U64 {
            return self.in_kernel_type(x, kernel);
        }
        let bits = self.b.cast(x, DType::I64)?;
        self.with_flipped_sign(bits)
    }

    /// What [`Cx::ordered`] made of `dtype` as `dtype` again.
    pub fn restore_order(&mut self, x: ValueId, dtype: DType) -> Result<ValueId, Refusal> {
        let x = if dtype == DType::U64 { self.with_flipped_sign(x)? } else { x };
        Ok(self.b.cast(x, dtype)?)
    }

    /// `INT64` in which the order of the numbers is that of the bits without a sign; its own inverse.
    pub fn with_flipped_sign(&mut self, bits: ValueId) -> Result<ValueId, Refusal> {
        let top = self.b.scalar(i64::MIN);
        Ok(self.b.add(bits, top)?)
    }

    /// The halves of 64-bit integers as `INT32`, in a new last axis; the lower comes first.
    pub fn halves(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        Ok(self.b.one(Op::Bitcast { to: DType::I32 }, &[x])?)
    }

    /// 64-bit integers from their halves.
    pub fn join_halves(&mut self, x: ValueId, to: DType) -> Result<ValueId, Refusal> {
        Ok(self.b.one(Op::Bitcast { to }, &[x])?)
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

//! How real numbers are stored.

use super::super::range::Params;
use crate::graph::{Graph, Quant, ValueId};
use crate::tensor::DType;

/// An integer type with one scale and zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    pub dtype: DType,
    pub params: Params,
}

impl Form {
    pub(super) fn int8(params: Params) -> Form {
        Form { dtype: DType::I8, params }
    }

    /// How `id` is stored, if integer kernels may take it.
    pub(super) fn of(graph: &Graph, id: ValueId) -> Option<Form> {
        let value = graph.value(id);
        let (scale, zero_point) = value.quant.as_ref()?.as_per_tensor()?;
        let params = Params { scale, zero_point: i32::try_from(zero_point).ok()? };
        matches!(value.ty.dtype, DType::I8 | DType::I16).then_some(Form { dtype: value.ty.dtype, params })
    }

    pub(super) fn scale(self) -> f64 {
        f64::from(self.params.scale)
    }

    pub(super) fn quant(self) -> Quant {
        self.params.into()
    }

    /// Least and greatest integer.
    pub(super) fn limits(self) -> (f64, f64) {
        match self.dtype {
            DType::I16 => (-32768.0, 32767.0),
            _ => (-128.0, 127.0),
        }
    }

    /// The nearest integer, and whether it stands for `x` itself.
    pub(super) fn store(self, x: f32) -> (f64, bool) {
        let (low, high) = self.limits();
        let zero_point = f64::from(self.params.zero_point);
        let exact = f64::from(x) / self.scale() + zero_point;
        let stored = exact.round_ties_even().clamp(low, high);
        // Numbers that came from integers are `float32` products.
        (stored, (exact - stored).abs() < 1e-3)
    }
}

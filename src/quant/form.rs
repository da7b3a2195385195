//! How real numbers are stored: integer types with a scale and a zero point.

use super::range::{Params, Range};
use crate::graph::{Graph, Quant, ValueId};
use crate::tensor::DType;

/// Which integers the activations of an operator are asked to be. The later ones are the stricter: a float value that several
/// operators round follows the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Grid {
    #[default]
    Int8,
    /// 8 bits with zero point 0.
    SymmetricInt8,
    /// 16 bits, whose kernels all want zero point 0.
    Int16,
}

impl Grid {
    pub(super) fn dtype(self) -> DType {
        match self {
            Grid::Int8 | Grid::SymmetricInt8 => DType::I8,
            Grid::Int16 => DType::I16,
        }
    }

    /// The finest form that covers `range` and zero.
    pub(super) fn form(self, range: Range) -> Form {
        match self {
            Grid::Int8 => Form::int8(Params::asymmetric(range)),
            Grid::SymmetricInt8 => Form::int8(Params::symmetric(range)),
            Grid::Int16 => Form::int16(Params::symmetric_16(range).scale),
        }
    }

    /// The form for values of which calibration has seen `range`. Of 16 bits, three are left for what it has not seen: rounding stays
    /// below what weights of 8 bits lose, and samples seldom show the extremes.
    pub(super) fn form_of_seen(self, range: Range) -> Form {
        match self {
            Grid::Int8 | Grid::SymmetricInt8 => self.form(range),
            Grid::Int16 => self.form(Range { min: range.min * 8.0, max: range.max * 8.0 }),
        }
    }

    /// The same with zero point 0.
    pub(super) fn symmetric(self) -> Grid {
        self.max(Grid::SymmetricInt8)
    }

    /// How many of its numbers there are for each that 8 bits have.
    pub(super) fn finer(self) -> f32 {
        if self == Grid::Int16 { 256.0 } else { 1.0 }
    }
}

/// An integer type with one scale and zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    pub dtype: DType,
    pub params: Params,
}

impl Form {
    pub(super) const fn int8(params: Params) -> Form {
        Form { dtype: DType::I8, params }
    }

    pub(super) const fn int16(scale: f32) -> Form {
        Form { dtype: DType::I16, params: Params::new(scale, 0) }
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

    /// With a scale no finer than `floor`.
    pub(super) fn at_least(self, floor: f32) -> Form {
        Form { params: Params { scale: self.params.scale.max(floor), ..self.params }, ..self }
    }

    /// Least and greatest integer.
    pub(super) fn limits(self) -> (f64, f64) {
        match self.dtype {
            DType::I16 => (-32768.0, 32767.0),
            DType::U8 => (0.0, 255.0),
            _ => (-128.0, 127.0),
        }
    }

    /// What the limits stand for.
    pub(super) fn range(self) -> Range {
        let real = |stored: f64| ((stored - f64::from(self.params.zero_point)) * self.scale()) as f32;
        let (low, high) = self.limits();
        Range { min: real(low), max: real(high) }
    }

    /// The nearest integer, ties to even before the zero point is added, and whether it stands for `x` itself. Infinities go to
    /// the limits.
    pub(super) fn store(self, x: f32) -> (f64, bool) {
        let (low, high) = self.limits();
        let zero_point = f64::from(self.params.zero_point);
        let steps = f64::from(x) / self.scale();
        let stored = (steps.round_ties_even() + zero_point).clamp(low, high);
        let exact = steps + zero_point;
        // Numbers that came from integers are `float32` products.
        (stored, (exact - stored).abs() < 1e-3 + exact.abs() * 1e-6)
    }
}

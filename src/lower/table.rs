//! THE TABLE: every ONNX operator that is accepted, and the function that lowers it.

use super::{Cx, Results, batch_normalization, elementwise};

/// One accepted operator.
pub struct Row {
    /// Empty for the standard operators.
    pub domain: &'static str,
    pub op: &'static str,
    pub(super) lower: fn(&mut Cx<'_>) -> Results,
}

const fn std(op: &'static str, lower: fn(&mut Cx<'_>) -> Results) -> Row {
    Row { domain: "", op, lower }
}

/// Sorted by domain and name.
pub const TABLE: &[Row] =
    &[std("BatchNormalization", batch_normalization::batch_normalization), std("Relu", elementwise::relu)];

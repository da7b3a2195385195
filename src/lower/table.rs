//! THE TABLE: every ONNX operator that is accepted, and the function that lowers it.

use super::{Cx, Results, batch_normalization, conv, conv_transpose, elementwise, matmul, pool};

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
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    std("AveragePool", pool::average_pool),
    std("BatchNormalization", batch_normalization::batch_normalization),
    std("Conv", conv::conv),
    std("ConvTranspose", conv_transpose::conv_transpose),
    std("Gemm", matmul::gemm),
    std("MatMul", matmul::mat_mul),
    std("MaxPool", pool::max_pool),
    std("Relu", elementwise::relu),
];

//! THE TABLE: every ONNX operator that is accepted, and the function that lowers it.

use super::{
    Cx, Results, activation, batch_normalization, conv, conv_transpose, elementwise, erf, matmul, normalization, pool,
    reduce, softmax,
};

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

/// An operator that [`super::patterns`] puts together.
const fn own(op: &'static str, lower: fn(&mut Cx<'_>) -> Results) -> Row {
    Row { domain: "litesmith", op, lower }
}

/// Sorted by domain and name.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    std("Abs", elementwise::unary),
    std("Add", elementwise::binary),
    std("ArgMax", reduce::arg_extremum),
    std("ArgMin", reduce::arg_extremum),
    std("AveragePool", pool::average_pool),
    std("BatchNormalization", batch_normalization::batch_normalization),
    std("Ceil", elementwise::unary),
    std("Clip", activation::clip),
    std("Conv", conv::conv),
    std("ConvTranspose", conv_transpose::conv_transpose),
    std("Cos", elementwise::unary),
    std("Div", elementwise::binary),
    std("Elu", activation::elu),
    std("Erf", erf::erf),
    std("Exp", elementwise::unary),
    std("Floor", elementwise::unary),
    std("Gelu", activation::gelu),
    std("Gemm", matmul::gemm),
    std("GlobalAveragePool", reduce::global_pool),
    std("GlobalMaxPool", reduce::global_pool),
    std("GroupNormalization", normalization::group_normalization),
    std("HardSigmoid", activation::hard_sigmoid),
    std("HardSwish", elementwise::unary),
    std("InstanceNormalization", normalization::instance_normalization),
    std("LayerNormalization", normalization::layer_normalization),
    std("LeakyRelu", activation::leaky_relu),
    std("Log", elementwise::unary),
    std("LogSoftmax", softmax::log_softmax),
    std("MatMul", matmul::mat_mul),
    std("Max", elementwise::variadic),
    std("MaxPool", pool::max_pool),
    std("Mean", elementwise::variadic),
    std("Min", elementwise::variadic),
    std("Mul", elementwise::binary),
    std("Neg", elementwise::unary),
    std("PRelu", activation::p_relu),
    std("Pow", elementwise::pow),
    std("Reciprocal", elementwise::reciprocal),
    std("ReduceL1", reduce::reduce),
    std("ReduceL2", reduce::reduce),
    std("ReduceLogSum", reduce::reduce),
    std("ReduceLogSumExp", reduce::reduce),
    std("ReduceMax", reduce::reduce),
    std("ReduceMean", reduce::reduce),
    std("ReduceMin", reduce::reduce),
    std("ReduceProd", reduce::reduce),
    std("ReduceSum", reduce::reduce),
    std("ReduceSumSquare", reduce::reduce),
    std("Relu", elementwise::unary),
    std("Round", elementwise::unary),
    std("Sigmoid", elementwise::unary),
    std("Sign", elementwise::unary),
    std("Sin", elementwise::unary),
    std("Softmax", softmax::softmax),
    std("Softplus", activation::softplus),
    std("Sqrt", elementwise::unary),
    std("Sub", elementwise::binary),
    std("Sum", elementwise::variadic),
    std("Swish", activation::swish),
    std("Tanh", elementwise::unary),
    own("Gelu", activation::gelu),
    own("Normalization", normalization::recognized),
];

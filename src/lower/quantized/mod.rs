//! ONNX operators on quantized values: `QuantizeLinear` and `DequantizeLinear`, and the operators that take integers with their
//! scales.
//!
//! There is one form only: `DEQUANTIZE → operator on float32 → QUANTIZE`. Operators that ONNX defines on integers with scales
//! (`QLinearConv`) are lowered to it, and so are those that only move integers about, once these stand for real numbers. Whatever
//! is left as it is so computes the right numbers; what becomes of it on integers is decided later, over TFLite operators.
//!
//! A value with a scale (`quant`) is only ever made by `QUANTIZE` or an input of the graph, and only taken by `DEQUANTIZE`.

mod arithmetic;
mod dynamic;
mod gather;
mod grid;
mod linear;
mod operators;
mod stored;

pub(super) use dynamic::dynamic_quantize_linear;
pub(super) use gather::gather_block_quantized;
pub(super) use linear::{dequantize_linear, quantize_linear};
pub(super) use operators::{
    conv_integer, dynamic_quantize_conv, dynamic_quantize_lstm, dynamic_quantize_mat_mul, mat_mul_integer,
    mat_mul_integer_to_float, q_gemm, q_linear_average_pool, q_linear_binary, q_linear_concat, q_linear_conv,
    q_linear_global_average_pool, q_linear_mat_mul, q_linear_reduce_mean, q_linear_unary, q_linear_where,
};
pub(super) use stored::restored;

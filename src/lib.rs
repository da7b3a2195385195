//! litesmith converts ONNX models to float and quantized `.tflite` files.

pub mod graph;
pub mod lower;
pub mod onnx;
pub mod passes;
pub mod schema;
pub mod tensor;

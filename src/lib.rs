//! litesmith converts ONNX models to float and quantized `.tflite` files.

pub mod exec;
pub mod graph;
pub mod schema;
pub mod tensor;

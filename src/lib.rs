//! litesmith converts ONNX models to float and quantized `.tflite` files.

pub mod graph;
pub mod layout;
pub mod schema;
pub mod tensor;

//! litesmith converts ONNX models to float and quantized `.tflite` files.

pub mod exec;
pub mod graph;
pub mod lower;
pub mod onnx;
pub mod options;
pub mod progress;
pub mod quant;
pub mod runtime;
pub mod samples;
pub mod schema;
pub mod tensor;
pub mod tflite;
pub mod verify;

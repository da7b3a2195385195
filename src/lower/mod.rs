//! From ONNX operators to TFLite operators.
//!
//! Owns: the table of ONNX operators and, for each, what it becomes. The one room that sees both [`crate::onnx`] and [`crate::graph`].
//! A lowering is right with every optimisation off: spatial operators stand between transposes, nothing is guessed from shapes.
//! What can't be expressed is refused by name, and lowering goes on, so that one run finds everything.

mod activation;
mod batch_normalization;
mod conv;
mod conv_transpose;
mod cx;
mod driver;
mod elementwise;
mod erf;
mod integer;
mod matmul;
mod normalization;
mod patterns;
mod pool;
mod reduce;
mod softmax;
mod table;
mod trigonometry;
mod window;

pub use driver::{Lowered, Note, Problem, lower};
pub use table::{Row, TABLE};

pub(crate) use cx::{Cx, Refusal, Results};

//! Runs what a graph means: single operators on constants ([`Evaluator`]), whole float graphs on samples ([`Runner`]).
//!
//! Owns: how each TFLite operator is computed. `kernel` is the table of all operators; most are computed directly on tensors
//! (`reference`), convolutions and matrix products by tract (`dense`). Nodes run one by one, so every value of a graph can be
//! looked at, means what TFLite's kernel computes, and is gone after its last use; nothing is fused across nodes. Knows nothing
//! of ONNX or of files.

mod control;
mod dense;
mod error;
mod evaluate;
mod kernel;
mod operand;
mod reference;
mod runner;

pub use error::{ExecError, KernelError};
pub use evaluate::Evaluator;
pub use runner::Runner;

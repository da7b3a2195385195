//! LiteRT in the process: loads a LiteRT library at run time and runs `.tflite` models with it.
//!
//! Owns finding the library, its C interface, and a loaded model ready to run. Knows bytes, names, dims and
//! LiteRT element types; must not know the graph, ONNX, or how a `.tflite` file is made. It imports nothing
//! of the crate.
//!
//! ```no_run
//! # use litesmith::runtime::{ElementType, Input, Library, Options, Session};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let library = Library::find(None)?;
//! let mut session = Session::new(&library, std::fs::read("model.tflite")?, &Options::default())?;
//! let image = vec![0u8; 4 * 224 * 224 * 3];
//! let outputs = session.run(&[Input {
//!     name: "image",
//!     element_type: ElementType::Float32,
//!     dims: &[1, 224, 224, 3],
//!     bytes: &image,
//! }])?;
//! # Ok(()) }
//! ```
//!
//! The library is the one inside the Python package `ai-edge-litert`. It is no dependency of this crate:
//! whoever does not have it gets [`RuntimeError::NotFound`], which says how to get it.
//!
//! What comes out is, bit for bit, what the package's Python `Interpreter` gives with the same kernels and threads.
//! Its limits, as of LiteRT 2.3:
//!
//! - outputs whose shape depends on the data are refused with [`RuntimeError::Unsupported`];
//! - inputs and outputs with no elements, or with more than 8 dims, are refused;
//! - with XNNPACK, outputs that follow from constants alone, such as a `DEQUANTIZE` of weights, are zeros.
//!
//! A model is code to LiteRT: one that passes its checks can still crash the process.
//!
//! Floor by floor: `ffi` declares the C functions, `handle` gives their objects an owner; `locate` and `library` find
//! and open; `prepare` loads a model, `explain` asks why that failed; `session` runs, `profile`
//! reads what kernels took. Unsafe code lives in these
//! files alone.

mod element;
mod error;
mod explain;
mod ffi;
mod handle;
mod library;
mod locate;
mod prepare;
mod profile;
mod session;

pub use element::ElementType;
pub use error::{BadInput, RuntimeError};
pub use library::Library;
pub use profile::KernelTime;
pub use session::{Input, Kernels, Options, Output, Session, TensorInfo};

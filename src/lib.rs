//! litesmith converts ONNX models to float and quantized `.tflite` files, which LiteRT, TFLite and TFLite Micro load.
//!
//! ```no_run
//! use litesmith::{Converter, Quantize};
//!
//! let converted = Converter::new().quantize(Quantize::Int8).calibration("samples/").convert_file("model.onnx")?;
//! println!("{}", converted.report);
//! converted.save("model.tflite")?;
//! # Ok::<(), litesmith::Error>(())
//! ```
//!
//! [`Converter`] is the way in; [`verify`] compares a file with the model it came from. The rooms below are public so that tools
//! can be built on them; ARCHITECTURE.md tells how they fit together.

pub mod bench;
pub mod cli;
mod convert;
mod error;
pub mod exec;
pub mod graph;
pub mod layout;
pub mod lower;
pub mod onnx;
mod options;
pub mod page;
pub mod passes;
mod progress;
pub mod quant;
mod report;
pub mod runtime;
pub mod samples;
pub mod schema;
pub mod survey;
pub mod target;
pub mod tensor;
pub mod tflite;
pub mod verify;

pub use convert::{Collect, Collected, Converted, Converter};
pub use error::{Error, Problems};
pub use options::{Calibration, ChannelsLast, Float64, Options, RangeSource, Search};
pub use progress::{NoProgress, Progress};
pub use quant::{
    CalibrationStatistics, Goal, Granularity, IoType, IoTypes, Quantize, RangeTable, Recipe, WeightOptions,
};
pub use report::{Bytes, CalibrationReport, Report};
pub use target::Target;

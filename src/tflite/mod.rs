//! The `.tflite` file: [`graph::Model`](crate::graph::Model) to bytes and back.
//!
//! Owns: which options, operator version and minimum runtime each operator is written with ([`versions`]), where constant
//! data lie in a file, what of a file made elsewhere the graph can hold, and how a file reaches the disk. Sees `graph`,
//! `tensor` and `schema`; knows nothing of ONNX, of how operators are run, or of why a graph looks as it does.
//!
//! [`write`] and [`read`] are inverse: `read(write(m)) == normalized(m)`, where [`normalized`] leaves out what a file can't
//! hold (origins, unused values). Operators that the graph doesn't model come back as [`Op::Opaque`](crate::graph::Op::Opaque)
//! and are written again as they were. A graph that one `IF` or `WHILE` alone runs lies inside that node; in the file it is a
//! subgraph like any other.

mod attachment;
mod buffers;
mod check;
mod codes;
mod inspect;
mod metadata;
mod normalize;
mod read;
mod read_options;
mod regions;
mod runtimes;
mod save;
mod sparse;
mod versions;
mod write;
mod write_options;

pub use check::{CheckError, check};
pub use inspect::{
    InspectedGraph, InspectedMetadata, InspectedOperator, InspectedQuantization, InspectedSignature, InspectedTensor,
    Inspection, Role, inspect,
};
pub use metadata::{Runtime, drop_positional_metadata};
pub use normalize::normalized;
pub use read::{ReadError, read};
pub use runtimes::is_released;
pub use save::{SaveError, save};
pub use versions::of as operator_version;
pub use write::{WriteError, WriteOptions, Written, write};

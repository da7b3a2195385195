//! What can go wrong between here and LiteRT.

use std::fmt;
use std::path::PathBuf;

use super::ElementType;

/// Error of the LiteRT runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No LiteRT library was found. `tried` lists the places in the order they were looked at.
    #[error(
        "no LiteRT library found (looked at: {}); install it with `pip install ai-edge-litert`, or point to \
         it with `--runtime PATH` or the environment variable LITESMITH_LITERT",
        list(tried)
    )]
    NotFound { tried: Vec<String> },

    /// A file is there but is not a library that this process can load, or not LiteRT's.
    #[error("cannot load {} as a LiteRT library: {reason}", path.display())]
    Load { path: PathBuf, reason: String },

    /// The library is LiteRT's, but of a version whose C interface is not known here.
    #[error(
        "LiteRT library {} is of an unknown version: {reason}; try `pip install -U ai-edge-litert`",
        path.display()
    )]
    UnknownVersion { path: PathBuf, reason: String },

    /// A LiteRT call refused. `detail` is LiteRT's own explanation, as far as it gave one.
    #[error("{call} returned {code} ({}){}", status_name(*code), detail_text(detail))]
    Status { call: &'static str, code: i32, detail: Option<String> },

    /// The model has a tensor at its border that cannot be handed over as bytes.
    #[error("cannot run this model: {0}")]
    Unsupported(String),

    /// An input that the model does not accept.
    #[error("input {name:?}: {reason}")]
    BadInput { name: String, reason: BadInput },
}

/// What is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    #[error("the model has no input of this name; it has {}", list(known))]
    UnknownName { known: Vec<String> },

    #[error("the model needs it, and it was not given")]
    Missing,

    #[error("given more than once")]
    Repeated,

    #[error("element type is {given:?}, the model takes {expected:?}")]
    ElementType { given: ElementType, expected: ElementType },

    /// `expected` has -1 where any extent is accepted.
    #[error("dims are {given:?}, the model takes {expected:?}")]
    Dims { given: Vec<usize>, expected: Vec<i32> },

    #[error("{given} bytes given, dims {dims:?} take {expected}")]
    Size { given: usize, expected: usize, dims: Vec<usize> },
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".into(),
        items => items.join(", "),
    }
}

fn detail_text(detail: &Option<String>) -> impl fmt::Display {
    match detail {
        Some(text) => format!(": {text}"),
        None => String::new(),
    }
}

/// `LiteRtStatus` in words.
fn status_name(code: i32) -> &'static str {
    match code {
        0 => "ok",
        1 => "invalid argument",
        2 => "out of memory",
        3 => "runtime failure",
        4 => "missing input tensor",
        5 => "unsupported",
        6 => "not found",
        7 => "timeout",
        8 => "wrong version",
        10 => "already exists",
        100 => "cancelled",
        500 => "file i/o",
        501 => "invalid flatbuffer",
        502 => "dynamic loading",
        503 => "serialization",
        504 => "compilation",
        1000 => "index out of bounds",
        1001 => "invalid type",
        1002 => "invalid graph",
        1003 => "graph modification",
        1500 => "invalid tool configuration",
        2000 | 2001 => "legalization",
        3000 | 3001 => "transformation",
        4000 => "unsupported runtime version",
        4001 => "unsupported compiler version",
        4002 => "incompatible byte code version",
        5000 => "unsupported shape inference",
        5001 => "shape inference failed",
        _ => "unknown status",
    }
}

//! Errors of the Rust crate as exceptions of `litesmith._errors`, with their fields.

use litesmith::Error;
use litesmith::lower::Problem;
use litesmith::onnx::ReadError;
use litesmith::runtime::RuntimeError;
use litesmith::verify::VerifyError;
use pyo3::exceptions::{PyFileNotFoundError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// The exception of this name, with a message.
pub fn raise(py: Python<'_>, name: &str, message: impl std::fmt::Display) -> PyErr {
    made(py, name, &message.to_string(), None)
}

fn made(py: Python<'_>, name: &str, message: &str, problems: Option<Bound<'_, PyList>>) -> PyErr {
    let exception = || {
        let class = py.import("litesmith._errors")?.getattr(name)?;
        match problems {
            Some(problems) => class.call1((message, problems)),
            None => class.call1((message,)),
        }
    };
    exception().map_or_else(|error| error, PyErr::from_value)
}

pub fn of_conversion(py: Python<'_>, error: &Error) -> PyErr {
    let name = match error {
        Error::Unsupported(problems) => {
            let fields: PyResult<Vec<_>> = problems.0.iter().map(|p| fields(py, p)).collect();
            let list = fields.and_then(|fields| PyList::new(py, fields));
            return list.map_or_else(|e| e, |list| made(py, "UnsupportedError", &error.to_string(), Some(list)));
        }
        Error::Read(ReadError::Io { source, .. }) => return of_io(source, &error.to_string()),
        Error::File { error: source, .. } => return of_io(source, &error.to_string()),
        Error::Read(_) | Error::ReadFile(_) => "ModelError",
        Error::Options(_) => "OptionsError",
        Error::Sample(_) | Error::Observe { .. } | Error::Statistics { .. } => "CalibrationError",
        Error::Save(_) => return PyOSError::new_err(error.to_string()),
        Error::Internal { .. } => "InternalError",
        _ => "ConversionError",
    };
    raise(py, name, error)
}

fn of_io(source: &std::io::Error, message: &str) -> PyErr {
    match source.kind() {
        std::io::ErrorKind::NotFound => PyFileNotFoundError::new_err(message.to_string()),
        _ => PyOSError::new_err(message.to_string()),
    }
}

fn fields<'py>(py: Python<'py>, problem: &Problem) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("node", &problem.node)?;
    fields.set_item("index", problem.index)?;
    fields.set_item("op", &problem.op)?;
    fields.set_item("opset", problem.opset)?;
    fields.set_item("attribute", &problem.attribute)?;
    fields.set_item("what", &problem.what)?;
    fields.set_item("hint", &problem.hint)?;
    Ok(fields)
}

pub fn of_runtime(py: Python<'_>, error: &RuntimeError) -> PyErr {
    let name = match error {
        RuntimeError::BadInput { .. } => "OptionsError",
        RuntimeError::NotFound { .. } | RuntimeError::Load { .. } | RuntimeError::UnknownVersion { .. } => {
            "RuntimeUnavailable"
        }
        _ => "RunError",
    };
    raise(py, name, error)
}

pub fn of_verification(py: Python<'_>, error: &VerifyError) -> PyErr {
    match error {
        VerifyError::Runtime(runtime) => of_runtime(py, runtime),
        VerifyError::File { source, .. } => of_io(source, &error.to_string()),
        VerifyError::Model { .. } => raise(py, "ModelError", error),
        VerifyError::Sample(_) => raise(py, "CalibrationError", error),
        _ => raise(py, "VerificationError", error),
    }
}

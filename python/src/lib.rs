//! The native half of the Python package: hands what Python has to the Rust crate, and what comes out back.
//!
//! Arguments are checked and results are dressed up in `litesmith/*.py`; nothing of the conversion is here.

mod array;
mod error;
mod model;
mod session;
mod statistics;
mod work;

use pyo3::prelude::*;

#[pymodule]
mod _litesmith {
    use std::ffi::OsString;
    use std::process::ExitCode;

    use litesmith::lower::OPERATORS;
    use litesmith::quant::RECIPES;
    use pyo3::prelude::*;
    use pyo3::types::PyDict;

    #[pymodule_export]
    use super::model::{Converted, check, convert, inspect, quantize, recipe, verify};
    #[pymodule_export]
    use super::session::Session;
    #[pymodule_export]
    use super::statistics::{Statistics, calibrate};

    /// Runs the `litesmith` command; the first argument is its name.
    #[pyfunction]
    fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        let code = py.detach(|| litesmith::cli::run(arguments));
        // The command has no other codes; the type does not tell its number.
        [(ExitCode::SUCCESS, 0), (ExitCode::from(2), 2)].iter().find(|(c, _)| *c == code).map_or(1, |(_, n)| *n)
    }

    /// What the table of operators holds.
    #[pyfunction]
    fn operators(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
        let row = |operator: &litesmith::lower::Documented| {
            let row = PyDict::new(py);
            row.set_item("domain", operator.domain)?;
            row.set_item("op", operator.op)?;
            row.set_item("versions", operator.versions().to_vec())?;
            row.set_item("accepts", operator.accepts)?;
            row.set_item("produces", operator.produces)?;
            row.set_item("refuses", operator.refuses)?;
            Ok(row)
        };
        OPERATORS.iter().map(row).collect()
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("recipes", RECIPES.to_vec())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

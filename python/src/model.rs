//! Conversion, inspection and verification.

use std::path::PathBuf;

use bytes::Bytes;
use litesmith::verify::{self as compare, VerifyReport};
use litesmith::{Calibration, Converter, Error, Options, Recipe, tflite};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::{array, error, work};

/// A model as Python has it: a file, or bytes, which are not copied.
#[derive(FromPyObject)]
pub enum Source {
    #[pyo3(transparent)]
    Bytes(PyBackedBytes),
    #[pyo3(transparent)]
    Path(PathBuf),
}

/// Calibration samples: a path, or arrays by name or in order.
#[derive(FromPyObject)]
pub enum Given<'py> {
    #[pyo3(transparent)]
    Path(PathBuf),
    #[pyo3(transparent)]
    Named(Vec<Vec<(String, Bound<'py, PyUntypedArray>)>>),
    #[pyo3(transparent)]
    Ordered(Vec<Vec<Bound<'py, PyUntypedArray>>>),
}

impl Given<'_> {
    fn calibration(&self) -> PyResult<Calibration> {
        Ok(match self {
            Given::Path(path) => Calibration::Path(path.clone()),
            Given::Named(samples) => {
                let named = |(name, array): &(String, _)| Ok((name.clone(), array::tensor(array)?));
                let sample = |arrays: &Vec<_>| arrays.iter().map(named).collect::<PyResult<_>>();
                Calibration::Named(samples.iter().map(sample).collect::<PyResult<_>>()?)
            }
            Given::Ordered(samples) => {
                let sample = |arrays: &Vec<_>| arrays.iter().map(array::tensor).collect::<PyResult<_>>();
                Calibration::Tensors(samples.iter().map(sample).collect::<PyResult<_>>()?)
            }
        })
    }
}

/// A finished conversion.
#[pyclass(frozen)]
pub struct Converted {
    converted: litesmith::Converted,
}

#[pymethods]
impl Converted {
    /// Writes the file, in the place of what was there once it is complete.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.converted.save(path)).map_err(|e| error::of_conversion(py, &e))
    }

    /// The file in memory.
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.converted.bytes()).map_err(|e| error::of_conversion(py, &e))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The summary as text.
    fn summary(&self) -> String {
        self.converted.report.to_string()
    }

    /// The summary as JSON.
    fn report(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.converted.report).map_err(|e| error::raise(py, "InternalError", e))
    }
}

/// Converts with options as JSON.
#[pyfunction]
pub fn convert(
    py: Python<'_>,
    source: Source,
    options: &str,
    calibration: Option<Given<'_>>,
    listener: Option<Bound<'_, PyAny>>,
) -> PyResult<Converted> {
    let mut options = Options::from_json(options).map_err(|e| error::of_conversion(py, &e))?;
    options.calibration = calibration.map(|given| given.calibration()).transpose()?;
    let result = work::run(py, listener.as_ref(), move |state| -> Result<_, Error> {
        let converter = Converter::with_options(options).progress(state);
        match source {
            Source::Path(path) => converter.convert_file(path),
            Source::Bytes(bytes) => converter.convert_bytes(Bytes::from_owner(bytes)),
        }
    })?;
    result.map(|converted| Converted { converted }).map_err(|e| error::of_conversion(py, &e))
}

/// A recipe, given by name or as its text, as TOML.
#[pyfunction]
pub fn recipe(py: Python<'_>, text: &str) -> PyResult<String> {
    let recipe = Recipe::named(text).unwrap_or_else(|| Recipe::parse(text));
    recipe.and_then(|recipe| recipe.to_toml()).map_err(|e| error::raise(py, "OptionsError", format!("recipe: {e}")))
}

/// What a `.tflite` file holds, as text and as JSON.
#[pyfunction]
pub fn inspect(py: Python<'_>, file: PyBackedBytes) -> PyResult<(String, String)> {
    let inspected = py.detach(|| tflite::inspect(Bytes::from_owner(file)));
    let inspected = inspected.map_err(|e| error::raise(py, "ModelError", e))?;
    let json = serde_json::to_string(&inspected).map_err(|e| error::raise(py, "InternalError", e))?;
    Ok((inspected.to_string(), json))
}

/// Compares a file with the ONNX model that it was made from: name, dB, largest difference, elements and mismatches of each output, the
/// number of samples, and the library that ran them.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "Python names the parts")]
pub fn verify(
    py: Python<'_>,
    file: PathBuf,
    against: PathBuf,
    inputs: Option<PathBuf>,
    expected: Option<PathBuf>,
    runtime: Option<PathBuf>,
    xnnpack: bool,
) -> PyResult<(Vec<(String, f64, f64, u64, u64)>, usize, String)> {
    let options = compare::Options { against, inputs, expected, runtime, plain_kernels: !xnnpack, made_up: 4 };
    let found = work::run(py, None, move |_| compare::verify(&file, &options))?;
    let VerifyReport { samples, outputs, runtime, accuracy: _ } = found.map_err(|e| error::of_verification(py, &e))?;
    let row = |o: compare::OutputReport| {
        let d = o.difference;
        (o.name, d.db(), d.max_abs, d.elements, d.mismatched)
    };
    Ok((outputs.into_iter().map(row).collect(), samples, runtime))
}

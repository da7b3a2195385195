//! Conversion, inspection and verification.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use litesmith::target::CArray;
use litesmith::verify::{self as compare, VerifyReport};
use litesmith::{Calibration, Converter, Error, Options, RangeSource, Recipe, Target, tflite};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::statistics::Statistics;
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
    pub fn calibration(&self) -> PyResult<Calibration> {
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

/// Where ranges come from without samples: statistics, or a file of them or of another program's table.
#[derive(FromPyObject)]
pub enum Ranges<'py> {
    #[pyo3(transparent)]
    Statistics(PyRef<'py, Statistics>),
    #[pyo3(transparent)]
    Path(PathBuf),
}

impl Ranges<'_> {
    fn load(self) -> Result<RangeSource, Error> {
        match self {
            Ranges::Statistics(statistics) => Ok(RangeSource::Statistics(Arc::new(statistics.collected.clone()))),
            Ranges::Path(path) => RangeSource::load(path),
        }
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

    /// The rules that stand for what a search found, as TOML.
    fn recipe(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let toml = self.converted.report.found.as_ref().map(Recipe::to_toml).transpose();
        toml.map_err(|e| error::raise(py, "InternalError", e))
    }

    /// Writes what each operator loses, as a page or as JSON.
    fn save_account(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.converted.save_account(path)).map_err(|e| error::of_conversion(py, &e))
    }

    /// Header and source of a C array.
    fn c_array(&self, py: Python<'_>, name: &str) -> PyResult<(String, String)> {
        let bytes = self.converted.bytes().map_err(|e| error::of_conversion(py, &e))?;
        let array = CArray::new(&bytes, name).map_err(|e| error::raise(py, "InternalError", e))?;
        Ok((array.header, array.source))
    }
}

/// Converts with options as JSON.
#[pyfunction]
pub fn convert(
    py: Python<'_>,
    source: Source,
    options: &str,
    calibration: Option<Given<'_>>,
    statistics: Option<Ranges<'_>>,
    evaluate: Option<Given<'_>>,
    listener: Option<Bound<'_, PyAny>>,
) -> PyResult<Converted> {
    let seen = Seen { calibration, statistics, evaluate };
    run(py, options, seen, listener, |converter| match source {
        Source::Path(path) => converter.convert_file(path),
        Source::Bytes(bytes) => converter.convert_bytes(Bytes::from_owner(bytes)),
    })
}

/// Quantizes a `.tflite` file with options as JSON.
#[pyfunction]
pub fn quantize(
    py: Python<'_>,
    source: Source,
    options: &str,
    calibration: Option<Given<'_>>,
    statistics: Option<Ranges<'_>>,
    evaluate: Option<Given<'_>>,
    listener: Option<Bound<'_, PyAny>>,
) -> PyResult<Converted> {
    let seen = Seen { calibration, statistics, evaluate };
    run(py, options, seen, listener, |converter| match source {
        Source::Path(path) => converter.quantize_file(path),
        Source::Bytes(bytes) => converter.quantize_bytes(Bytes::from_owner(bytes)),
    })
}

/// What quantization goes by.
struct Seen<'py> {
    calibration: Option<Given<'py>>,
    statistics: Option<Ranges<'py>>,
    evaluate: Option<Given<'py>>,
}

fn run(
    py: Python<'_>,
    options: &str,
    seen: Seen<'_>,
    listener: Option<Bound<'_, PyAny>>,
    convert: impl FnOnce(Converter) -> Result<litesmith::Converted, Error> + Send + 'static,
) -> PyResult<Converted> {
    let mut options = Options::from_json(options).map_err(|e| error::of_conversion(py, &e))?;
    options.calibration = seen.calibration.map(|given| given.calibration()).transpose()?;
    let ranges = seen.statistics.map(Ranges::load).transpose();
    options.statistics = ranges.map_err(|e| error::of_conversion(py, &e))?;
    if let Some(search) = &mut options.search {
        search.evaluate = seen.evaluate.map(|given| given.calibration()).transpose()?;
    } else if seen.evaluate.is_some() {
        return Err(error::raise(py, "OptionsError", "evaluate is for a search: give min_sqnr or max_drop, too"));
    }
    let work = move |state: Arc<work::State>| convert(Converter::with_options(options).progress(state));
    let result = work::run(py, listener.as_ref(), work)?;
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

/// What a runtime or an accelerator takes of a `.tflite` file, as text and as JSON.
#[pyfunction]
pub fn check(py: Python<'_>, file: PyBackedBytes, target: &str) -> PyResult<(String, String)> {
    let Some(target) = Target::ALL.into_iter().find(|known| known.name() == target) else {
        let known: Vec<&str> = Target::ALL.iter().map(|target| target.name()).collect();
        let what = format!("target {target:?} is none of {}", known.join(", "));
        return Err(error::raise(py, "OptionsError", what));
    };
    let fit = py.detach(|| litesmith::target::check_file(&Bytes::from_owner(file), target));
    let fit = fit.map_err(|e| error::raise(py, "ModelError", e))?;
    let json = serde_json::to_string(&fit).map_err(|e| error::raise(py, "InternalError", e))?;
    Ok((fit.to_string(), json))
}

/// Name, dB, largest difference, elements and mismatches of an output.
type Difference = (String, f64, f64, u64, u64);

/// Outputs, samples, the library that ran them; and where there were labels: how many, those that the file and the model get right.
type Verification = (Vec<Difference>, usize, String, Option<(u64, u64, u64)>);

/// Compares a file with the ONNX model that it was made from.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python names the arguments")]
pub fn verify(
    py: Python<'_>,
    file: PathBuf,
    against: PathBuf,
    inputs: Option<PathBuf>,
    labels: Option<Vec<i64>>,
    expected: Option<PathBuf>,
    runtime: Option<PathBuf>,
    xnnpack: bool,
) -> PyResult<Verification> {
    let options = compare::Options { against, inputs, labels, expected, runtime, plain_kernels: !xnnpack, made_up: 4 };
    let found = work::run(py, None, move |_| compare::verify(&file, &options))?;
    let VerifyReport { samples, outputs, runtime, accuracy } = found.map_err(|e| error::of_verification(py, &e))?;
    let row = |o: compare::OutputReport| {
        let d = o.difference;
        (o.name, d.db(), d.max_abs, d.elements, d.mismatched)
    };
    let accuracy = accuracy.map(|a| (a.samples, a.file, a.model));
    Ok((outputs.into_iter().map(row).collect(), samples, runtime, accuracy))
}

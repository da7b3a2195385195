//! Statistics of calibration: collected, merged, kept.

use std::path::PathBuf;

use bytes::Bytes;
use litesmith::samples::Shard;
use litesmith::{CalibrationStatistics, Collect, Converter, Options};
use pyo3::prelude::*;

use crate::model::{Given, Source};
use crate::{error, work};

/// What calibration saw of the values of a model.
#[pyclass(frozen)]
pub struct Statistics {
    pub collected: CalibrationStatistics,
}

#[pymethods]
impl Statistics {
    /// Reads what `text` gave.
    #[staticmethod]
    fn parse(py: Python<'_>, text: &str) -> PyResult<Statistics> {
        let collected = CalibrationStatistics::from_json(text);
        Ok(Statistics { collected: collected.map_err(|e| error::of_conversion(py, &e.into()))? })
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Statistics> {
        let collected = py.detach(|| CalibrationStatistics::load(path));
        Ok(Statistics { collected: collected.map_err(|e| error::of_conversion(py, &e))? })
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.collected.save(path)).map_err(|e| error::of_conversion(py, &e))
    }

    /// All of it as text.
    fn text(&self) -> String {
        self.collected.to_json()
    }

    fn samples(&self) -> u64 {
        self.collected.samples()
    }

    /// Names of the values that were seen.
    fn values(&self) -> Vec<&str> {
        self.collected.values().keys().map(String::as_str).collect()
    }

    /// What was seen on both sides.
    fn merge(&self, py: Python<'_>, other: &Statistics) -> PyResult<Statistics> {
        let merged = self.collected.clone().merge(other.collected.clone());
        Ok(Statistics { collected: merged.map_err(|e| error::of_conversion(py, &e.into()))? })
    }

    fn equals(&self, other: &Statistics) -> bool {
        self.collected == other.collected
    }
}

/// Collects statistics of a model, of ONNX or a `.tflite` file, with options as JSON.
#[pyfunction]
pub fn calibrate(
    py: Python<'_>,
    source: Source,
    options: &str,
    samples: Given<'_>,
    shard: Option<(usize, usize)>,
    checkpoint: Option<PathBuf>,
    listener: Option<Bound<'_, PyAny>>,
) -> PyResult<Statistics> {
    let mut options = Options::from_json(options).map_err(|e| error::of_conversion(py, &e))?;
    options.calibration = Some(samples.calibration()?);
    let wrong = || error::raise(py, "OptionsError", "a shard is a number and the number of parts: (1, 4) to (4, 4)");
    let shard = shard.map(|(number, parts)| Shard::new(number, parts).ok_or_else(wrong)).transpose()?;
    let collect = Collect { shard: shard.unwrap_or_default(), checkpoint };
    let collected = work::run(py, listener.as_ref(), move |state| {
        let converter = Converter::with_options(options).progress(state);
        match source {
            Source::Path(path) => converter.calibrate_file(path, &collect),
            Source::Bytes(bytes) => converter.calibrate_bytes(Bytes::from_owner(bytes), &collect),
        }
    })?;
    Ok(Statistics { collected: collected.map_err(|e| error::of_conversion(py, &e))?.statistics })
}

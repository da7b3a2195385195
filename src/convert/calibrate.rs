//! Calibration: samples are run, or what was seen of them is taken from where it was kept.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Converter;
use crate::error::Error;
use crate::exec::Runner;
use crate::graph::{Graph, Value};
use crate::onnx;
use crate::options::{Calibration, RangeSource};
use crate::progress::Progress;
use crate::quant::{self, CalibrationStatistics, Observations, ObserveError, RangeTable, StatisticsError, Widened};
use crate::report::{CalibrationReport, Report};
use crate::samples::{InputSpec, Samples, Shard};
use crate::tensor::Tensor;
use crate::tflite;

/// How statistics are collected.
#[derive(Debug, Clone, Default)]
pub struct Collect {
    /// Which of the samples count.
    pub shard: Shard,
    /// Where to keep, every few seconds, what was seen so far. A later run on the same model and samples goes on from there, to the same
    /// result. Whoever has saved the result may remove it.
    pub checkpoint: Option<PathBuf>,
}

/// What was collected.
#[derive(Debug, Clone)]
pub struct Collected {
    pub statistics: CalibrationStatistics,
    /// Samples that were seen before an interruption, and not run again.
    pub resumed: usize,
}

/// Between two checkpoints, but for the last samples.
const CHECKPOINT: Duration = Duration::from_secs(3);

/// What a search holds out at a time is one of so many parts: few samples need as many as can be, with many it says little.
const FOLDS: usize = 4;

/// Files of statistics are smaller.
const MOST_BYTES: u64 = 1 << 30;

impl CalibrationStatistics {
    /// Reads a file of [`CalibrationStatistics::save`].
    ///
    /// # Errors
    /// Where it can't be read, or is something else.
    pub fn load(path: impl AsRef<Path>) -> Result<CalibrationStatistics, Error> {
        let path = path.as_ref();
        CalibrationStatistics::from_json(&read(path)?)
            .map_err(|error| Error::Statistics { path: Some(path.into()), error })
    }

    /// Writes a file: to a temporary one first, which then takes the place of what was at `path`.
    ///
    /// # Errors
    /// Where it can't be written; what was at `path` is untouched then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(tflite::save(path.as_ref(), self.to_json().as_bytes())?)
    }
}

impl RangeSource {
    /// Reads a file of [`CalibrationStatistics::save`], or a calibration table of ONNX Runtime ([`RangeTable::parse`]).
    ///
    /// # Errors
    /// Where it can't be read, or is neither.
    pub fn load(path: impl AsRef<Path>) -> Result<RangeSource, Error> {
        let path = path.as_ref();
        let text = read(path)?;
        let fail = |error| Error::Statistics { path: Some(path.into()), error };
        if CalibrationStatistics::is_meant(&text) {
            return Ok(RangeSource::Statistics(Arc::new(CalibrationStatistics::from_json(&text).map_err(fail)?)));
        }
        let table = RangeTable::parse(&text).map_err(|what| fail(StatisticsError::Table(what)))?;
        Ok(RangeSource::Table(Arc::new(table)))
    }
}

/// The text of a file of statistics.
fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| Error::File { path: path.into(), error })?;
    let no_text = |_| Error::Statistics { path: Some(path.into()), error: StatisticsError::Format("no text".into()) };
    String::from_utf8(bytes).map_err(no_text)
}

impl Converter {
    /// Collects statistics of the values of a model on calibration samples, for [`Converter::statistics`]. The model is an ONNX one or a
    /// `.tflite` file, and is not quantized; all options that change its float graph must be those of the conversion.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn calibrate_file(&self, path: impl AsRef<Path>, collect: &Collect) -> Result<Collected, Error> {
        self.progress.stage("read");
        let path = path.as_ref();
        let mut start = [0; 8];
        let begins = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        if begins.is_ok() && is_tflite(&start) {
            let bytes = std::fs::read(path).map_err(|error| Error::File { path: path.into(), error })?;
            return self.calibrate_bytes(bytes, collect);
        }
        self.calibrate(onnx::read_file(path)?, collect)
    }

    /// [`Converter::calibrate_file`] for a model in memory.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn calibrate_bytes(&self, model: impl Into<Bytes>, collect: &Collect) -> Result<Collected, Error> {
        let model = model.into();
        if !is_tflite(&model) {
            return self.calibrate(onnx::read_bytes(model)?, collect);
        }
        let model = tflite::read(model)?;
        let graph = model.graphs.first();
        self.of_file(&model).collect(graph.ok_or_else(|| Error::Options("the file holds no graph".into()))?, collect)
    }

    fn calibrate(&self, model: onnx::Model, collect: &Collect) -> Result<Collected, Error> {
        let graph = self.graph(model, &mut Report::default())?;
        self.collect(&graph, collect)
    }

    /// Ranges of the values, of the statistics that are given or else of the samples; and the [folds](quant::Search::folds) of a search
    /// on these samples.
    pub(super) fn statistics_of(
        &self,
        graph: &Graph,
        report: &mut Report,
    ) -> Result<(quant::Statistics, Vec<quant::Statistics>), Error> {
        let parts = match &self.options.statistics {
            Some(RangeSource::Table(table)) => {
                let (statistics, found) = table.statistics(graph);
                if found.found == 0 {
                    let what =
                        "the calibration table has no value of this model: its names must be those of the ONNX model";
                    return Err(Error::Options(what.into()));
                }
                report.calibration = Some(CalibrationReport { table: Some(found), ..CalibrationReport::default() });
                return Ok((statistics, Vec::new()));
            }
            Some(RangeSource::Statistics(given)) => vec![given.observations(graph)?],
            None => {
                let held_out = self.options.search.as_ref().is_some_and(|search| search.evaluate.is_none());
                let run = self.run(graph, Shard::ALL)?;
                run.observe(0..run.len(), if held_out { FOLDS.min(run.len()) } else { 1 })?
            }
        };
        let method = self.options.calibration_method;
        let without = |fold: usize| {
            let others = parts.iter().enumerate().filter(|(part, _)| *part != fold).map(|(_, seen)| seen.clone());
            Observations::of_all(others).statistics(method)
        };
        let folds = if parts.len() > 1 { (0..parts.len()).map(without).collect() } else { Vec::new() };
        let seen = Observations::of_all(parts);
        let chosen = seen.statistics(method);
        let widened = Widened::of(&seen, &chosen);
        report.calibration = Some(CalibrationReport { samples: seen.samples as u64, widened, table: None });
        Ok((chosen, folds))
    }

    /// Ranges of the values of a graph that was changed.
    pub(super) fn observe(&self, graph: &Graph) -> Result<quant::Statistics, Error> {
        let run = self.run(graph, Shard::ALL)?;
        Ok(Observations::of_all(run.observe(0..run.len(), 1)?).statistics(self.options.calibration_method))
    }

    fn collect(&self, graph: &Graph, collect: &Collect) -> Result<Collected, Error> {
        let run = self.run(graph, collect.shard)?;
        let (seen, resumed) = match collect.checkpoint.as_deref() {
            None => (Observations::of_all(run.observe(0..run.len(), 1)?), 0),
            Some(path) => run.resume(&Checkpoint { path, samples: run.samples.0.identity() })?,
        };
        self.progress.finish();
        Ok(Collected { statistics: CalibrationStatistics::new(graph, &seen), resumed })
    }

    fn run<'a>(&'a self, graph: &'a Graph, shard: Shard) -> Result<Run<'a>, Error> {
        if graph.inputs.is_empty() {
            return Err(Error::Options("the model has no inputs: there is nothing to calibrate".into()));
        }
        let samples = self.samples(graph, self.options.calibration.as_ref())?.shard(shard);
        let runner = Runner::new(graph).map_err(|e| Error::Options(format!("calibration can't run: {e}")))?;
        self.progress.stage("calibrate");
        self.progress.total(samples.len());
        if samples.is_empty() {
            return Err(Error::observe(ObserveError::NoSamples, &samples));
        }
        Ok(Run { graph, runner, samples: Loaded(samples, &*self.progress) })
    }

    /// Samples for the inputs of `graph`, by the names that the graph or a signature has for them.
    pub(super) fn samples(&self, graph: &Graph, source: Option<&Calibration>) -> Result<Samples, Error> {
        let named = |name: &dyn Fn(&str) -> String| -> Vec<InputSpec> {
            let inputs = graph.inputs.iter().map(|&id| graph.value(id));
            let spec = |value: &Value| InputSpec {
                name: name(&value.name),
                dtype: value.ty.dtype,
                dims: value.ty.shape.dims().to_vec(),
            };
            inputs.map(spec).collect()
        };
        let open = |inputs: Vec<InputSpec>| match source {
            Some(Calibration::Path(path)) => Ok(Samples::open(path, inputs)?.with_images(self.options.images.clone())),
            Some(Calibration::Tensors(tensors)) => Ok(Samples::from_tensors(tensors.clone(), inputs)),
            Some(Calibration::Named(samples)) => Ok(Samples::from_arrays(samples.clone(), inputs)),
            None => Err(Error::Options("no calibration samples are given".into())),
        };
        let by_name = open(named(&str::to_string));
        let fits = |samples: &Result<Samples, Error>| samples.as_ref().is_ok_and(|s| s.is_empty() || s.get(0).is_ok());
        if fits(&by_name) || self.ports.is_empty() {
            return by_name;
        }
        let by_port = open(named(&|name: &str| self.ports.get(name).cloned().unwrap_or_else(|| name.into())));
        if fits(&by_port) { by_port } else { by_name }
    }
}

/// A float graph about to be run on samples.
struct Run<'a> {
    graph: &'a Graph,
    runner: Runner,
    samples: Loaded<'a>,
}

impl Run<'_> {
    /// How many samples there are.
    fn len(&self) -> usize {
        self.samples.0.len()
    }

    /// What samples show, [dealt](quant::observe_dealt) to parts.
    fn observe(&self, which: Range<usize>, parts: usize) -> Result<Vec<Observations>, Error> {
        let Loaded(samples, progress) = &self.samples;
        quant::observe_dealt(self.graph, &self.runner, &self.samples, which, parts, &|| progress.advance())
            .map_err(|error| Error::observe(error, samples))
    }

    /// What all samples show, and how many of them an interrupted run saw.
    fn resume(&self, checkpoint: &Checkpoint<'_>) -> Result<(Observations, usize), Error> {
        let count = self.len();
        let mut seen = checkpoint.load(self.graph).filter(|seen| seen.samples <= count).unwrap_or_default();
        let resumed = seen.samples;
        (0..resumed).for_each(|_| self.samples.1.advance());
        let mut saved = Instant::now();
        // As many samples at a time as take about as long as a checkpoint may be old.
        let mut part = rayon::current_num_threads();
        while seen.samples < count {
            let start = Instant::now();
            let next = seen.samples..count.min(seen.samples.saturating_add(part));
            seen = seen.merge(Observations::of_all(self.observe(next, 1)?));
            if start.elapsed() < CHECKPOINT / 3 {
                part = part.saturating_mul(2);
            }
            if saved.elapsed() >= CHECKPOINT {
                checkpoint.save(self.graph, &seen)?;
                saved = Instant::now();
            }
        }
        Ok((seen, resumed))
    }
}

/// Where an interrupted run goes on.
struct Checkpoint<'a> {
    path: &'a Path,
    /// Which samples it is about.
    samples: String,
}

impl Checkpoint<'_> {
    /// What was seen of the first samples. `None` where there is no such file, or one of another model, of other samples or damaged.
    fn load(&self, graph: &Graph) -> Option<Observations> {
        let text = read(self.path).ok()?;
        let (samples, statistics) = text.split_once('\n')?;
        let statistics = CalibrationStatistics::from_json(statistics).ok().filter(|_| samples == self.samples)?;
        statistics.observations(graph).ok()
    }

    fn save(&self, graph: &Graph, seen: &Observations) -> Result<(), Error> {
        let statistics = CalibrationStatistics::new(graph, seen).to_json();
        Ok(tflite::save(self.path, format!("{}\n{statistics}", self.samples).as_bytes())?)
    }
}

fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(b"TFL3")
}

/// Samples from files, as calibration asks for them.
pub(super) struct Loaded<'a>(pub Samples, pub &'a dyn Progress);

impl quant::Samples for Loaded<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn load(&self, index: usize) -> Result<Vec<Tensor>, String> {
        if self.1.cancelled() {
            return Err("cancelled".into());
        }
        self.0.get(index).map_err(|e| e.to_string())
    }
}

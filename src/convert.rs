//! The whole flow, one line a stage.

mod alike;
mod calibrate;
mod file;
mod search;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use calibrate::{Collect, Collected};

use self::calibrate::Loaded;
use crate::error::{Error, Problems};
use crate::exec::{Evaluator, Runner};
use crate::graph::{Execute, Graph, Model, verify};
use crate::options::{Calibration, ChannelsLast, Float64, Options, RangeSource};
use crate::progress::{NoProgress, Progress};
use crate::quant::{CalibrationStatistics, Choice, Choices, Quantize, RangeTable, Repairs};
use crate::report::Report;
use crate::samples::Images;
use crate::target::{Misfit, Target};
use crate::tensor::DType;
use crate::{layout, lower, onnx, passes, quant, target, tflite};

/// A finished conversion.
#[derive(Debug, Clone)]
pub struct Converted {
    model: Model,
    written: tflite::Written,
    pub report: Report,
}

impl Converted {
    /// The `.tflite` file in memory, compared with what was to be written.
    ///
    /// # Errors
    /// Where they differ, which is a fault of this program.
    pub fn bytes(&self) -> Result<Bytes, Error> {
        let bytes = self.written.to_bytes();
        let read_back = |e: tflite::CheckError| Error::Internal { stage: "read back", what: e.to_string() };
        tflite::check(&self.model, &bytes).map_err(read_back)?;
        Ok(bytes)
    }

    /// Writes the file: to a temporary one first, which then takes the place of what was at `path`. Needs no memory for it.
    ///
    /// # Errors
    /// Where it can't be written, or is not what was to be written; what was at `path` is untouched then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(self.written.save(&self.model, path.as_ref())?)
    }

    /// Writes what each operator loses to quantization: a page where `path` ends in `.html`, else JSON.
    ///
    /// # Errors
    /// Where it can't be written, or nothing was compared: see [`Converter::account`].
    pub fn save_account(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let Some(account) = &self.report.account else {
            return Err(Error::Options("the quantized model was not compared with the float one: ask for it".into()));
        };
        let page = path.as_ref().extension().is_some_and(|e| e == "html");
        let json = || serde_json::to_string_pretty(account).map(|json| json + "\n");
        let text = if page { Ok(account.to_html()) } else { json() };
        let text = text.map_err(|e| Error::Internal { stage: "report", what: e.to_string() })?;
        Ok(tflite::save(path.as_ref(), text.as_bytes())?)
    }
}

/// Converts ONNX models to `.tflite`.
///
/// ```no_run
/// use litesmith::{Converter, Quantize};
///
/// let converted = Converter::new().quantize(Quantize::Int8).calibration("samples/").convert_file("model.onnx")?;
/// converted.save("model.tflite")?;
/// # Ok::<(), litesmith::Error>(())
/// ```
#[derive(Clone)]
pub struct Converter {
    options: Options,
    progress: Arc<dyn Progress>,
    /// Other names that samples may have for inputs, by name of the input.
    ports: BTreeMap<String, String>,
}

impl Default for Converter {
    fn default() -> Converter {
        Converter::new()
    }
}

impl Converter {
    /// Float, with the model's own shapes and layouts.
    pub fn new() -> Converter {
        Converter::with_options(Options::default())
    }

    pub fn with_options(options: Options) -> Converter {
        Converter { options, progress: Arc::new(NoProgress), ports: BTreeMap::new() }
    }

    pub fn quantize(mut self, quantize: Quantize) -> Converter {
        self.options.quantize = quantize;
        self
    }

    /// The integers of weights: 8 bits for each output channel unless told otherwise.
    pub fn weights(mut self, weights: quant::WeightOptions) -> Converter {
        self.options.weights = weights;
        self
    }

    /// Rules that say for some of the operators what else becomes of them.
    pub fn recipe(mut self, recipe: quant::Recipe) -> Converter {
        self.options.recipe = Some(recipe);
        self
    }

    /// Zero points of 0 for activations of 8 bits too.
    pub fn symmetric(mut self, symmetric: bool) -> Converter {
        self.options.symmetric = symmetric;
        self
    }

    /// What inputs and outputs are stored as; float32 unless told otherwise.
    pub fn io_types(mut self, types: quant::IoTypes) -> Converter {
        self.options.io_types = types;
        self
    }

    /// Samples for [`Quantize::Int8`] and [`Quantize::Int16x8`]: a folder of `.npz` (arrays named after the inputs) or `.npy` files or
    /// pictures, or one `.npz` whose arrays are stacked along their first axis.
    pub fn calibration(mut self, path: impl AsRef<Path>) -> Converter {
        self.options.calibration = Some(Calibration::Path(path.as_ref().to_path_buf()));
        self
    }

    /// How pictures among the samples become numbers.
    pub fn images(mut self, images: Images) -> Converter {
        self.options.images = images;
        self
    }

    /// What calibration saw, of another process or an earlier one: no samples are needed then, but by what compares on them (repairs,
    /// searches, the account).
    pub fn statistics(mut self, statistics: CalibrationStatistics) -> Converter {
        self.options.statistics = Some(RangeSource::Statistics(Arc::new(statistics)));
        self
    }

    /// Ranges that another program found, in place of samples.
    pub fn range_table(mut self, table: RangeTable) -> Converter {
        self.options.statistics = Some(RangeSource::Table(Arc::new(table)));
        self
    }

    /// What the file is made for.
    pub fn target(mut self, target: Target) -> Converter {
        self.options.target = target;
        self
    }

    /// Changes of weights and biases that make the model quantize better.
    pub fn repair(mut self, repairs: Repairs) -> Converter {
        self.options.repairs = repairs;
        self
    }

    /// Compares the quantized model with the float one, operator by operator, on some of the calibration samples.
    pub fn account(mut self) -> Converter {
        self.options.account = true;
        self
    }

    /// Fixes the extents of an input.
    pub fn shape(mut self, input: impl Into<String>, dims: &[usize]) -> Converter {
        self.options.shapes.insert(input.into(), dims.to_vec());
        self
    }

    /// Fixes the size of the batch: of dynamic extents of inputs whose name contains "batch", or else stand first.
    pub fn batch(mut self, size: usize) -> Converter {
        self.options.batch = Some(size);
        self
    }

    /// Converts the part of a model that leads from these values, which become the inputs, in order.
    pub fn inputs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Converter {
        self.options.inputs = names.into_iter().map(Into::into).collect();
        self
    }

    /// Converts the part of a model that leads to these values, which become the outputs, in order.
    pub fn outputs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Converter {
        self.options.outputs = names.into_iter().map(Into::into).collect();
        self
    }

    /// Writes an operator (`Op`, or `domain::Op` where it is not ONNX's own domain) as a custom one of that name, for a kernel of
    /// your own.
    pub fn allow_custom(mut self, operator: impl Into<String>) -> Converter {
        self.options.allow_custom.insert(operator.into());
        self
    }

    pub fn channels_last(mut self, which: ChannelsLast) -> Converter {
        self.options.channels_last = which;
        self
    }

    pub fn float64(mut self, float64: Float64) -> Converter {
        self.options.float64 = float64;
        self
    }

    /// Who is told how far the conversion is.
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Converter {
        self.progress = progress;
        self
    }

    /// Converts a model file, with external data from beside it.
    ///
    /// # Errors
    /// See [`Error`]; unsupported operators are all listed at once.
    pub fn convert_file(&self, path: impl AsRef<Path>) -> Result<Converted, Error> {
        self.progress.stage("read");
        let size = std::fs::metadata(path.as_ref()).map_or(0, |m| m.len());
        self.convert(onnx::read_file(path.as_ref())?, size)
    }

    /// Converts a model in memory, which can have no external data.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn convert_bytes(&self, model: impl Into<Bytes>) -> Result<Converted, Error> {
        self.progress.stage("read");
        let model = model.into();
        let size = model.len() as u64;
        self.convert(onnx::read_bytes(model)?, size)
    }

    fn convert(&self, model: onnx::Model, source_bytes: u64) -> Result<Converted, Error> {
        self.options.agree().map_err(Error::Options)?;
        let mut report = Report::of_source(&model, source_bytes);
        let plain = self.plain_graph(&model)?;
        let mut graph = self.graph(model, &mut report)?;
        self.with_names_of(plain.as_ref(), &graph).quantize_main(&mut graph, &mut report)?;
        match self.options.passes {
            true => quant::store_weights(&mut graph),
            false => quant::forget_weights(&mut graph),
        }
        report.add_passes(passes::run(&mut graph, &Evaluator, passes::ALWAYS).map_err(Error::infer("passes"))?);
        self.set_io_types(&mut graph)?;
        let mut model = Model::single(graph);
        model.description = format!("litesmith {}", env!("CARGO_PKG_VERSION"));
        self.finish(model, report)
    }

    /// The graph that is quantized, and before that calibrated.
    fn graph(&self, mut model: onnx::Model, report: &mut Report) -> Result<Graph, Error> {
        self.options.suit_target().map_err(Error::Options)?;
        self.cut(&mut model)?;
        model.pin_shapes(&self.options.shapes).map_err(Error::Options)?;
        if let Some(batch) = self.options.batch {
            model.pin_batch(batch).map_err(Error::Options)?;
        }
        if self.options.float64 == Float64::Cast {
            model.redeclare(DType::F64, DType::F32);
        }
        let mut graph = self.float_graph(model, report)?;
        self.refuse(&target::refused(&graph, self.options.target))?;
        if self.options.passes {
            report.quantization = quant::import(&mut graph);
        }
        Ok(graph)
    }

    fn set_io_types(&self, graph: &mut Graph) -> Result<(), Error> {
        quant::set_io_types(graph, &self.options.io_types)
            .map_err(|problems| Error::Options(format!("--io-type can't be had:\n  {}", problems.join("\n  "))))
    }

    /// A model that is as it should be, and the file that it makes.
    fn finish(&self, model: Model, mut report: Report) -> Result<Converted, Error> {
        self.progress.stage("write");
        let found = verify(&model);
        if !found.is_empty() {
            return Err(Error::violations("verify", &found));
        }
        report.add_result(&model);
        self.fit(&model, &mut report)?;
        let written = tflite::write(&model, &tflite::WriteOptions::default())?;
        report.file_bytes = written.file_len();
        self.progress.finish();
        Ok(Converted { model, written, report })
    }

    /// What the target takes of the result, for the report; where it runs files alone, it has to take all.
    fn fit(&self, model: &Model, report: &mut Report) -> Result<(), Error> {
        let target = self.options.target;
        if target == Target::Litert {
            return Ok(());
        }
        let fit = target::check(model, target);
        if target.runs_all() {
            self.refuse(&fit.left)?;
        }
        if target.integers_only() && fit.taken == 0 {
            let what = format!("{target} computes with integers alone: use --quantize int8 --calibration FOLDER");
            return Err(Error::Options(what));
        }
        report.target = Some(fit);
        Ok(())
    }

    fn refuse(&self, left: &[Misfit]) -> Result<(), Error> {
        match left {
            [] => Ok(()),
            left => Err(Error::Target { target: self.options.target, left: left.to_vec() }),
        }
    }

    /// Leaves what is between the inputs and outputs that were asked for.
    fn cut(&self, model: &mut onnx::Model) -> Result<(), Error> {
        let Options { inputs, outputs, shapes, .. } = &self.options;
        if inputs.is_empty() && outputs.is_empty() {
            return Ok(());
        }
        let undeclared = model.undeclared(inputs);
        if !undeclared.is_empty() {
            let inferred = lower::infer_types(model.clone(), &undeclared, &Evaluator);
            model.graph.value_info.extend(inferred.into_iter().map(|info| (info.name.clone(), info)));
        }
        model.cut(inputs, outputs, shapes).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(|p| format!("\n  {p}")).collect();
            Error::Options(format!("the model can't be cut:{}", problems.concat()))
        })
    }

    /// From ONNX to the float graph that is written or quantized.
    fn float_graph(&self, model: onnx::Model, report: &mut Report) -> Result<Graph, Error> {
        let evaluate = &Evaluator;
        self.progress.stage("lower");
        let unused: Vec<String> =
            self.options.allow_custom.iter().filter(|op| !model.has_operator(op)).cloned().collect();
        let unroll = self.options.unroll.or(self.options.target.unroll());
        let options = lower::Options { unroll, custom: self.options.allow_custom.clone() };
        let lowered = lower::lower(model, options, evaluate);
        let lowered = lowered.map_err(|problems| Error::Unsupported(Problems(problems)))?;
        report.notes.extend(unused.iter().map(|op| format!("--allow-custom {op}: the model has no such operator")));
        report.notes.extend(lowered.notes.iter().map(|n| format!("{} {:?}: {}", n.op, n.node, n.what)));
        let mut graph = lowered.graph;
        let run_passes = |graph: &mut Graph, which, report: &mut Report| -> Result<(), Error> {
            if self.options.passes {
                report.add_passes(passes::run(graph, evaluate, which).map_err(Error::infer("passes"))?);
            }
            Ok(())
        };
        self.progress.stage("optimize");
        run_passes(&mut graph, passes::BEFORE_LAYOUT, report)?;
        layout::channels_last(&mut graph, &channels_last(&self.options.channels_last))
            .map_err(|e| Error::Options(e.to_string()))?;
        if self.options.layout {
            layout::optimize(&mut graph).map_err(Error::infer("layout"))?;
        }
        run_passes(&mut graph, passes::AFTER_LAYOUT, report)?;
        let adapted = target::adapt(&mut graph, self.options.target, evaluate).map_err(Error::infer("target"))?;
        report.add_passes(vec![("adapt_to_target", adapted)]);
        Ok(graph)
    }

    /// Quantizes the graph that samples are for, and compares with what it was where that is asked for.
    fn quantize_main(&self, graph: &mut Graph, report: &mut Report) -> Result<(), Error> {
        let float = self.options.account.then(|| graph.clone());
        let repaired = self.quantize_graph(graph, report)?;
        if let Some(float) = float {
            report.account = Some(self.noise(&repaired.unwrap_or(float), graph)?);
        }
        Ok(())
    }

    /// After repairs, gives the float graph whose values are those of the quantized one, but for noise.
    fn quantize_graph(&self, graph: &mut Graph, report: &mut Report) -> Result<Option<Graph>, Error> {
        let mut choices = self.choices(graph, report);
        let mut repaired = None;
        if choices.any(Quantize::needs_calibration) {
            let (mut statistics, folds) = self.statistics_of(graph, report)?;
            // First of the two, so that the recipe that stands for a search gives what the search gave, repairs and all.
            if let Some(search) = &self.options.search {
                choices = self.search(search, graph, &statistics, &folds, choices, report)?;
            }
            if self.options.repairs != Repairs::None {
                self.progress.stage("repair");
                let samples = self.samples(graph, self.options.calibration.as_ref())?;
                let workshop =
                    Workshop { converter: self, choices: &choices, samples: Loaded(samples, &*self.progress) };
                let (float, made) = quant::repair(graph, &mut statistics, &self.options.repairs, &workshop)?;
                (repaired, report.repairs) = (Some(float), made);
            }
            self.quantize_integer(graph, &statistics, &choices, report)?;
        }
        if choices.any(Quantize::changes_weights) {
            self.progress.stage("quantize");
            report.weights = Some(quant::quantize_weights(graph, &choices)?);
        }
        Ok(repaired)
    }

    /// What is asked of operators that no rule speaks of.
    fn default_choice(&self) -> Choice {
        let Options { quantize, weights, symmetric, .. } = self.options;
        Choice { quantize, weights, symmetric }
    }

    /// What is asked of each operator.
    fn choices(&self, graph: &Graph, report: &mut Report) -> Choices {
        let default = self.default_choice();
        let Some(recipe) = &self.options.recipe else { return Choices::all(default) };
        let (choices, followed) = recipe.choices(graph, default);
        report.recipe = Some(followed);
        choices
    }

    fn quantize_integer(
        &self,
        graph: &mut Graph,
        statistics: &quant::Statistics,
        choices: &Choices,
        report: &mut Report,
    ) -> Result<(), Error> {
        self.progress.stage("quantize");
        let mut quantized = quant::quantize_integer(graph, statistics, choices, self.integer_options())?;
        if let Some(imported) = &report.quantization {
            quantized.int8 += imported.int8;
            quantized.int16 += imported.int16;
        }
        report.quantization = Some(quantized);
        Ok(())
    }

    fn integer_options(&self) -> quant::IntegerOptions {
        quant::IntegerOptions { every_kernel: self.options.target.integers_only() }
    }

    /// What quantization costs, on a few of the calibration samples.
    fn noise(&self, float: &Graph, quantized: &Graph) -> Result<quant::Account, Error> {
        /// Enough to see which operators are noisy.
        const SAMPLES: usize = 16;
        self.progress.stage("account");
        let samples = Loaded(self.samples(float, self.options.calibration.as_ref())?, &*self.progress);
        let which = quant::spread(samples.0.len(), SAMPLES);
        quant::account(float, quantized, &simulate, &samples, &which, quant::Detail::Operators)
            .map_err(|error| Error::observe(error, &samples.0))
    }
}

/// Where models are repaired.
struct Workshop<'a> {
    converter: &'a Converter,
    choices: &'a Choices,
    samples: Loaded<'a>,
}

impl quant::Workshop for Workshop<'_> {
    type Error = Error;

    fn samples(&self) -> &dyn quant::Samples {
        &self.samples
    }

    fn observe(&self, graph: &Graph) -> Result<quant::Statistics, Error> {
        self.converter.observe(graph)
    }

    fn quantize(&self, graph: &Graph, statistics: &quant::Statistics) -> Result<Graph, Error> {
        let mut quantized = graph.clone();
        quant::quantize_integer(&mut quantized, statistics, self.choices, self.converter.integer_options())?;
        Ok(quantized)
    }

    fn simulate(&self, graph: &Graph) -> Result<Box<dyn Execute>, String> {
        simulate(graph)
    }

    fn failed(&self, error: quant::ObserveError) -> Error {
        Error::observe(error, &self.samples.0)
    }
}

/// Runs graphs as their integers would be, for `quant`.
fn simulate(graph: &Graph) -> Result<Box<dyn Execute>, String> {
    Runner::new(graph).map(|runner| Box::new(runner) as Box<dyn Execute>).map_err(|e| e.to_string())
}

fn channels_last(which: &ChannelsLast) -> layout::ChannelsLast {
    match which {
        ChannelsLast::Keep => layout::ChannelsLast::Names(Default::default()),
        ChannelsLast::All => layout::ChannelsLast::All,
        ChannelsLast::Names(names) => layout::ChannelsLast::Names(names.iter().cloned().collect()),
    }
}

//! Is a `.tflite` file right? Runs it in LiteRT and compares with the ONNX model, run by tract, or with stored outputs.
//!
//! Owns: the comparison and its measures. Runs files as they are: nothing of the conversion is used, so that a fault there can't hide here.

mod measure;
mod source;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use measure::{Accuracy, Difference, OutputReport};
pub use source::SourceError;

use crate::onnx;
use crate::runtime::{ElementType, Input, Kernels, Library, Options as RunOptions, RuntimeError, Session};
use crate::samples::{InputSpec, SampleError, Samples, made_up};
use crate::tensor::{DType, Perm, Tensor, TensorError};
use source::Source;

/// What is compared with what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The ONNX model that the file was made from.
    pub against: PathBuf,
    /// Samples to run; made up where there are none.
    pub inputs: Option<PathBuf>,
    /// The class of each sample, where `inputs` does not hold them.
    pub labels: Option<Vec<i64>>,
    /// Stored outputs instead of running the ONNX model: one `.npz` for each sample, in the same order.
    pub expected: Option<PathBuf>,
    /// The LiteRT library.
    pub runtime: Option<PathBuf>,
    /// Run without XNNPACK.
    pub plain_kernels: bool,
    /// Samples to make up where none are given.
    pub made_up: usize,
}

/// What the comparison found.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    pub samples: usize,
    pub outputs: Vec<OutputReport>,
    /// Where the samples came with labels.
    pub accuracy: Option<Accuracy>,
    /// LiteRT library that was used.
    pub runtime: String,
}

impl VerifyReport {
    /// SQNR of the worst output in dB; infinite where all are equal.
    pub fn worst_db(&self) -> f64 {
        self.outputs.iter().map(|o| o.difference.db()).fold(f64::INFINITY, f64::min)
    }
}

/// Why a file could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("can't read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Model { path: PathBuf, source: onnx::ReadError },
    /// No library, or one that does not run samples.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// LiteRT does not take the file.
    #[error("{}: {source}", path.display())]
    Load { path: PathBuf, source: RuntimeError },
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error("{0}")]
    Mismatch(String),
}

/// Runs both sides on every sample.
///
/// # Errors
/// Where one side can't be run, or inputs and outputs have other names or shapes than the model's.
pub fn verify(file: &Path, options: &Options) -> Result<VerifyReport, VerifyError> {
    let library = Library::find(options.runtime.as_deref())?;
    let bytes = std::fs::read(file).map_err(|source| VerifyError::File { path: file.into(), source })?;
    let kernels = Kernels::with_xnnpack(!options.plain_kernels);
    let session = Session::new(&library, bytes, &RunOptions { kernels, ..Default::default() });
    let mut session = session.map_err(|source| VerifyError::Load { path: file.into(), source })?;
    let against = &options.against;
    let model = onnx::read_file(against).map_err(|source| VerifyError::Model { path: against.clone(), source })?;
    let specs = input_specs(&model, &session)?;
    let (samples, labels) = match &options.inputs {
        Some(path) => Samples::open_labelled(path, specs)?,
        None => (Samples::from_tensors(made_up(&specs, options.made_up), specs), None),
    };
    let labels = options.labels.clone().or(labels);
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != samples.len()) {
        let what = format!("{} labels for {} samples", labels.len(), samples.len());
        return Err(VerifyError::Mismatch(what));
    }
    let names: Vec<String> = model.graph.outputs.iter().map(|o| o.name.clone()).collect();
    let input_names: Vec<String> = model.input_infos().map(|i| i.name.clone()).collect();
    let mut source = Source::open(&options.against, options.expected.as_deref(), &model)?;
    let mut reports: Vec<OutputReport> = names.iter().map(|name| OutputReport::new(name)).collect();
    let mut accuracy = labels.as_ref().map(|_| Accuracy::default());
    for i in 0..samples.len() {
        let inputs = samples.get(i)?;
        let expected = source.outputs(i, &inputs)?;
        if expected.len() != names.len() {
            let what = format!("{} outputs to compare with, but the model has {}", expected.len(), names.len());
            return Err(VerifyError::Mismatch(what));
        }
        let actual = run(&mut session, &input_names, &inputs)?;
        let label = labels.as_ref().and_then(|labels| labels.get(i));
        let mut labelled = accuracy.as_mut().zip(label);
        for ((name, report), expected) in names.iter().zip(&mut reports).zip(&expected) {
            let found = actual.iter().find(|(n, _)| n == name).map(|(_, t)| t);
            let found = found.ok_or_else(|| VerifyError::Mismatch(format!("the file has no output {name:?}")))?;
            let found = as_channels_first(found, expected.shape(), name)?;
            report.difference.add(expected, &found)?;
            // The first output is the one that labels are for.
            if let Some((accuracy, &label)) = labelled.take() {
                accuracy.add(label, expected, &found)?;
            }
        }
    }
    Ok(VerifyReport {
        samples: samples.len(),
        outputs: reports,
        accuracy,
        runtime: library.path().display().to_string(),
    })
}

/// What a sample must hold: the model's inputs, with extents that the file fixes.
fn input_specs(model: &onnx::Model, session: &Session) -> Result<Vec<InputSpec>, VerifyError> {
    let spec = |input: &onnx::ValueInfo| {
        let info = session.inputs().iter().find(|i| i.name == input.name);
        let info = info.ok_or_else(|| VerifyError::Mismatch(format!("the file has no input {:?}", input.name)))?;
        let in_file: Vec<Option<usize>> = info.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let declared: Vec<Option<usize>> = match &input.shape {
            Some(dims) => dims.iter().map(|d| if let onnx::Dim::Fixed(n) = d { Some(*n) } else { None }).collect(),
            None => in_file.clone(),
        };
        let first = Perm::to_channels_first(in_file.len());
        let agrees = |dims: &[Option<usize>]| {
            dims.len() == declared.len()
                && dims.iter().zip(&declared).all(|(a, b)| a.is_none() || b.is_none() || a == b)
        };
        let dims = if agrees(&in_file) { in_file.clone() } else { first.apply(&in_file) };
        if !agrees(&dims) {
            let what = format!("input {:?} has dims {in_file:?} in the file and {declared:?} in the model", input.name);
            return Err(VerifyError::Mismatch(what));
        }
        let dims = dims.iter().zip(&declared).map(|(a, b)| a.or(*b)).collect();
        let dtype =
            input.dtype.ok_or_else(|| VerifyError::Mismatch(format!("input {:?} holds no numbers", input.name)))?;
        Ok(InputSpec { name: input.name.clone(), dtype, dims })
    };
    model.input_infos().map(spec).collect()
}

fn run(session: &mut Session, names: &[String], inputs: &[Tensor]) -> Result<Vec<(String, Tensor)>, VerifyError> {
    let mut fitted = Vec::with_capacity(inputs.len());
    for (name, tensor) in names.iter().zip(inputs) {
        let info = session.inputs().iter().find(|i| i.name == *name);
        let dims = info.map(|i| i.dims.clone()).unwrap_or_default();
        let fits = |shape: &[usize]| {
            shape.len() == dims.len() && shape.iter().zip(&dims).all(|(&n, &d)| d < 0 || usize::try_from(d) == Ok(n))
        };
        let last = Perm::to_channels_last(tensor.rank());
        fitted.push(if !fits(tensor.shape()) && fits(&last.apply(tensor.shape())) {
            tensor.permute(&last)
        } else {
            tensor.clone()
        });
    }
    let mut feed = Vec::with_capacity(fitted.len());
    for (name, tensor) in names.iter().zip(&fitted) {
        let element_type = element_type(tensor.dtype());
        feed.push(Input { name, element_type, dims: tensor.shape(), bytes: tensor.bytes() });
    }
    let outputs = session.run(&feed)?;
    let tensor = |o: crate::runtime::Output| Ok((o.name, Tensor::new(dtype(o.element_type), o.dims, o.bytes.into())?));
    outputs.into_iter().map(tensor).collect()
}

/// An output in the model's layout, where the file has it channels-last.
fn as_channels_first(found: &Tensor, wanted: &[usize], name: &str) -> Result<Tensor, VerifyError> {
    let first = Perm::to_channels_first(found.rank());
    if found.shape() == wanted {
        Ok(found.clone())
    } else if found.rank() == wanted.len() && first.apply(found.shape()) == wanted {
        Ok(found.permute(&first))
    } else {
        let what = format!("output {name:?} has shape {:?}, but should have {wanted:?}", found.shape());
        Err(VerifyError::Mismatch(what))
    }
}

/// Both sides number the types as the TFLite schema does.
const TYPES: &[(DType, ElementType)] = &[
    (DType::F32, ElementType::Float32),
    (DType::F16, ElementType::Float16),
    (DType::BF16, ElementType::BFloat16),
    (DType::F64, ElementType::Float64),
    (DType::I2, ElementType::Int2),
    (DType::I4, ElementType::Int4),
    (DType::I8, ElementType::Int8),
    (DType::I16, ElementType::Int16),
    (DType::I32, ElementType::Int32),
    (DType::I64, ElementType::Int64),
    (DType::U4, ElementType::UInt4),
    (DType::U8, ElementType::UInt8),
    (DType::U16, ElementType::UInt16),
    (DType::U32, ElementType::UInt32),
    (DType::U64, ElementType::UInt64),
    (DType::Bool, ElementType::Bool),
    (DType::C64, ElementType::Complex64),
    (DType::C128, ElementType::Complex128),
    (DType::F8E4M3FN, ElementType::Float8E4M3Fn),
    (DType::F8E5M2, ElementType::Float8E5M2),
    (DType::String, ElementType::String),
    (DType::Resource, ElementType::Resource),
    (DType::Variant, ElementType::Variant),
];

/// The runtime's name for an element type.
pub fn element_type(dtype: DType) -> ElementType {
    TYPES.iter().find(|(d, _)| *d == dtype).map_or(ElementType::Variant, |(_, e)| *e)
}

/// The element type that the runtime names.
pub fn dtype(element_type: ElementType) -> DType {
    TYPES.iter().find(|(_, e)| *e == element_type).map_or(DType::Variant, |(d, _)| *d)
}

//! What the outputs should be: the ONNX model run by tract as it stands in its file, or outputs that someone stored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tract_onnx::prelude::{
    Datum, DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TVec, TractResult,
    TypedRunnableModel,
};
use tract_onnx::tract_core::prelude::Tensor as TractTensor;

use crate::onnx;
use crate::samples::{read_npz, sample_files};
use crate::tensor::{DType, Tensor};

/// Why there is nothing to compare with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("tract can't run {}: {what}; give outputs that another runtime stored with --expected DIR", path.display())]
    Tract { path: PathBuf, what: String },
    #[error("{}: {what}", path.display())]
    Expected { path: PathBuf, what: String },
}

pub(super) enum Source {
    Onnx(Box<OnnxModel>),
    Stored { files: Vec<PathBuf>, outputs: Vec<String> },
}

pub(super) struct OnnxModel {
    path: PathBuf,
    model: InferenceModel,
    /// Prepared for inputs of these shapes.
    plan: Option<(Vec<Vec<usize>>, std::sync::Arc<TypedRunnableModel>)>,
    /// tract's simplifications compute models with quantization steps wrongly.
    simplify: bool,
}

impl Source {
    pub fn open(path: &Path, expected: Option<&Path>, model: &onnx::Model) -> Result<Source, SourceError> {
        if let Some(folder) = expected {
            let files =
                sample_files(folder).map_err(|e| SourceError::Expected { path: folder.into(), what: e.to_string() })?;
            let outputs = model.graph.outputs.iter().map(|o| o.name.clone()).collect();
            return Ok(Source::Stored { files, outputs });
        }
        let simplify = !model.graph.nodes.iter().any(|n| n.op.ends_with("QuantizeLinear"));
        let inference = guarded(path, || tract_onnx::onnx().model_for_path(path))?;
        Ok(Source::Onnx(Box::new(OnnxModel { path: path.into(), model: inference, plan: None, simplify })))
    }

    /// Outputs for sample `i`, in the order of the model.
    pub fn outputs(&mut self, i: usize, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
        match self {
            Source::Onnx(model) => model.run(inputs),
            Source::Stored { files, outputs } => {
                let Some(path) = files.get(i) else {
                    let path = files.first().cloned().unwrap_or_default();
                    return Err(SourceError::Expected { path, what: format!("no stored outputs for sample {i}") });
                };
                let fail = |what: String| SourceError::Expected { path: path.clone(), what };
                let arrays = read_npz(path).map_err(fail)?;
                let output =
                    |name: &String| arrays.get(name).cloned().ok_or_else(|| fail(format!("holds no output {name:?}")));
                outputs.iter().map(output).collect()
            }
        }
    }
}

/// tract gives errors for most of what it can't do, and panics on the rest.
fn guarded<T>(path: &Path, f: impl FnOnce() -> TractResult<T>) -> Result<T, SourceError> {
    let fail = |what: String| SourceError::Tract { path: path.into(), what };
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(fail(format!("{e:#}").replace('\n', " "))),
        Err(_) => Err(fail("it gave up with a panic".into())),
    }
}

impl OnnxModel {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
        let plan = match &self.plan {
            Some((prepared, plan)) if *prepared == shapes => plan.clone(),
            _ => {
                let (model, simplify) = (self.model.clone(), self.simplify);
                let plan = guarded(&self.path, || prepare(model, inputs, simplify))?;
                self.plan = Some((shapes, plan.clone()));
                plan
            }
        };
        guarded(&self.path, || {
            let feed = inputs.iter().map(|t| Ok(to_tract(t)?.into())).collect::<TractResult<TVec<_>>>()?;
            plan.run(feed)?.iter().map(|t| from_tract(t)).collect()
        })
    }
}

fn prepare(
    mut model: InferenceModel,
    inputs: &[Tensor],
    simplify: bool,
) -> TractResult<std::sync::Arc<TypedRunnableModel>> {
    for (i, tensor) in inputs.iter().enumerate() {
        let fact = InferenceFact::dt_shape(datum_type(tensor.dtype())?, tensor.shape());
        model = model.with_input_fact(i, fact)?;
    }
    // Declared output shapes may contradict inputs that were dynamic.
    for i in 0..model.output_outlets()?.len() {
        model = model.with_output_fact(i, InferenceFact::default())?;
    }
    if simplify { model.into_optimized()?.into_runnable() } else { model.into_typed()?.into_runnable() }
}

const TYPES: &[(DType, DatumType)] = &[
    (DType::F32, DatumType::F32),
    (DType::F16, DatumType::F16),
    (DType::F64, DatumType::F64),
    (DType::I8, DatumType::I8),
    (DType::I16, DatumType::I16),
    (DType::I32, DatumType::I32),
    (DType::I64, DatumType::I64),
    (DType::U8, DatumType::U8),
    (DType::U16, DatumType::U16),
    (DType::U32, DatumType::U32),
    (DType::U64, DatumType::U64),
    (DType::Bool, DatumType::Bool),
];

fn datum_type(dtype: DType) -> TractResult<DatumType> {
    let found = TYPES.iter().find(|(d, _)| *d == dtype).map(|(_, t)| *t);
    found.ok_or_else(|| anyhow::anyhow!("{dtype} inputs are not supported"))
}

fn to_tract(tensor: &Tensor) -> TractResult<TractTensor> {
    let mut copy = TractTensor::zero_dt(datum_type(tensor.dtype())?, tensor.shape())?;
    copy.as_bytes_mut().copy_from_slice(tensor.bytes());
    Ok(copy)
}

fn from_tract(tensor: &TractTensor) -> TractResult<Tensor> {
    let datum_type = tensor.datum_type();
    if datum_type == tract_onnx::prelude::TDim::datum_type() {
        return from_tract(tensor.cast_to::<i64>()?.as_ref());
    }
    let found = TYPES.iter().find(|(_, t)| *t == datum_type.unquantized()).map(|(d, _)| *d);
    let dtype = found.ok_or_else(|| anyhow::anyhow!("{datum_type:?} outputs are not supported"))?;
    let bytes = bytes::Bytes::copy_from_slice(tensor.as_bytes());
    Ok(Tensor::new(dtype, tensor.shape().to_vec(), bytes)?)
}

//! Everything that can stand in the way of a conversion.

use std::fmt;
use std::path::PathBuf;

use crate::graph::{InferError, Violation};
use crate::lower::Problem;
use crate::onnx::ReadError;
use crate::quant::{ObserveError, QuantError, SearchError, StatisticsError};
use crate::samples::{SampleError, Samples};
use crate::target::{Misfit, Target, write_misfits};
use crate::tflite::{self, SaveError, WriteError};

/// Why a model was not converted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    /// A `.tflite` file that can't be read.
    #[error(transparent)]
    ReadFile(#[from] tflite::ReadError),
    /// A setting that does not fit the model or another setting.
    #[error("{0}")]
    Options(String),
    #[error("{0}")]
    Unsupported(Problems),
    /// Operators that the target has no kernel for, in what would have been written.
    #[error("{}", misfits(*target, left))]
    Target { target: Target, left: Vec<Misfit> },
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// `sample` is the file of the sample that is meant, or its number, where it is one sample that is meant.
    #[error("{error}{}", sample.as_ref().map(|s| format!(" (sample {s})")).unwrap_or_default())]
    Observe { error: ObserveError, sample: Option<String> },
    /// Calibration statistics that can't be used, and their file.
    #[error("{}{error}", path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default())]
    Statistics { path: Option<PathBuf>, error: StatisticsError },
    #[error(transparent)]
    Quantize(#[from] QuantError),
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A fault of this program and not of the model.
    #[error("internal error in stage {stage}: {what}; please report it with the model")]
    Internal { stage: &'static str, what: String },
}

impl Error {
    pub(crate) fn observe(error: ObserveError, samples: &Samples) -> Error {
        let named = matches!(error, ObserveError::Load { .. });
        let sample = error.sample().filter(|&i| i < samples.len() && !named).map(|i| samples.name(i));
        Error::Observe { error, sample }
    }

    pub(crate) fn infer(stage: &'static str) -> impl Fn(InferError) -> Error {
        move |e| Error::Internal { stage, what: e.message }
    }

    pub(crate) fn violations(stage: &'static str, found: &[Violation]) -> Error {
        let what: Vec<String> = found.iter().map(Violation::to_string).collect();
        Error::Internal { stage, what: what.join("; ") }
    }
}

impl From<StatisticsError> for Error {
    fn from(error: StatisticsError) -> Error {
        Error::Statistics { path: None, error }
    }
}

fn misfits(target: Target, left: &[Misfit]) -> String {
    let mut text = format!("{target} can't run the model:\n");
    // Writing to a string never fails.
    let _ = write_misfits(&mut text, left);
    text.trim_end().to_string()
}

/// All nodes of a model that can't be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// Grouped by operator and reason: a model seldom has one node of a kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<(&Problem, Vec<&str>)> = Vec::new();
        for problem in &self.0 {
            let same = |p: &Problem| {
                p.index.is_some() && (&p.op, &p.attribute, &p.what) == (&problem.op, &problem.attribute, &problem.what)
            };
            match groups.iter_mut().find(|(first, _)| same(first)) {
                Some((_, more)) => more.push(&problem.node),
                None => groups.push((problem, Vec::new())),
            }
        }
        write!(
            f,
            "the model can't be converted, {} problem{}:",
            self.0.len(),
            if self.0.len() == 1 { "" } else { "s" }
        )?;
        for (first, more) in groups {
            write!(f, "\n  {first}")?;
            if !more.is_empty() {
                let shown: Vec<String> = more.iter().take(5).map(|n| format!("{n:?}")).collect();
                let rest = if more.len() > shown.len() { ", …" } else { "" };
                write!(f, "\n    and {} more: {}{rest}", more.len(), shown.join(", "))?;
            }
        }
        Ok(())
    }
}

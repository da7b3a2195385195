//! A model converted in several ways, side by side: how large, how exact, how fast.
//!
//! Owns: which measures are taken of each way, and the page that shows them. The measures themselves are those of the rooms that it uses:
//! the report of the conversion, `verify`, `bench`, the account of `quant`.

mod page;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::bench::{self, Timing};
use crate::verify::{self, VerifyReport};
use crate::{Calibration, Converter, Error, Options, Progress, Quantize, Report};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Request {
    /// Ways to convert, in order.
    pub modes: Vec<Quantize>,
    /// What holds for all of them.
    pub options: Options,
    /// Samples for the modes that compute in integers, and for the account of each operator.
    pub calibration: Option<PathBuf>,
    /// Samples to compare on, perhaps with labels; those of calibration where there are none.
    pub test: Option<PathBuf>,
    /// The LiteRT library.
    pub runtime: Option<PathBuf>,
    pub threads: usize,
    /// How long the runs of one file take together, at least.
    pub time: Duration,
}

/// A model in several modes.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// The ONNX model's file.
    pub model: String,
    pub modes: Vec<Mode>,
    pub threads: usize,
    /// LiteRT library that was used, and its version.
    pub runtime: Option<(String, Option<String>)>,
    /// What was not measured, and why.
    pub missing: Vec<String>,
}

/// The model, converted in one way.
#[derive(Debug, Clone, Serialize)]
pub struct Mode {
    /// `float`, or what `--quantize` calls it.
    pub name: &'static str,
    /// What the conversion says.
    pub report: Report,
    /// In LiteRT, beside the ONNX model.
    pub verified: Option<VerifyReport>,
    pub timing: Option<Timing>,
}

/// `float` is how a mode without quantization is called here.
pub fn name(quantize: Quantize) -> &'static str {
    if quantize == Quantize::None { "float" } else { quantize.name() }
}

impl Survey {
    /// Converts `model` in every mode into `folder`, and measures the files.
    ///
    /// # Errors
    /// Where a conversion fails. Where LiteRT is not found, or a side of the comparison can't be run, the survey says so instead.
    pub fn of(model: &Path, folder: &Path, request: &Request, progress: &Arc<dyn Progress>) -> Result<Survey, Error> {
        let mut survey = Survey {
            model: model.file_name().unwrap_or(model.as_os_str()).to_string_lossy().into_owned(),
            modes: Vec::new(),
            threads: request.threads,
            runtime: None,
            missing: Vec::new(),
        };
        let mut files = Vec::new();
        for &quantize in &request.modes {
            let name = name(quantize);
            let file = folder.join(format!("{name}.tflite"));
            let converter = Converter::with_options(request.options_of(quantize)).progress(progress.clone());
            let converted = converter.convert_file(model)?;
            converted.save(&file)?;
            survey.modes.push(Mode { name, report: converted.report, verified: None, timing: None });
            files.push(file);
        }
        progress.stage("verify");
        for (mode, file) in survey.modes.iter_mut().zip(&files) {
            match verify::verify(file, &request.comparison(model)) {
                Ok(report) => mode.verified = Some(report),
                Err(error) => survey.missing.push(format!("{} was not compared: {error}", mode.name)),
            }
        }
        progress.stage("bench");
        match bench::bench(&files, &request.timing()) {
            Ok(report) => {
                survey.runtime = Some((report.runtime, report.runtime_version));
                let timings = report.timings.into_iter().map(Some);
                survey.modes.iter_mut().zip(timings).for_each(|(mode, timing)| mode.timing = timing);
            }
            Err(error) => survey.missing.push(format!("no time was measured: {error}")),
        }
        progress.finish();
        survey.missing.dedup_by(|a, b| a == b);
        Ok(survey)
    }

    /// One page of HTML that needs nothing else.
    pub fn to_html(&self) -> String {
        page::page(self)
    }
}

impl Request {
    fn options_of(&self, quantize: Quantize) -> Options {
        let samples = self.calibration.clone().filter(|_| quantize != Quantize::None);
        let calibration = samples.map(Calibration::Path);
        Options { quantize, account: calibration.is_some(), calibration, ..self.options.clone() }
    }

    fn comparison(&self, model: &Path) -> verify::Options {
        verify::Options {
            against: model.into(),
            inputs: self.test.clone().or(self.calibration.clone()),
            labels: None,
            expected: None,
            runtime: self.runtime.clone(),
            plain_kernels: false,
            made_up: 4,
        }
    }

    fn timing(&self) -> bench::Options {
        bench::Options {
            threads: vec![self.threads],
            xnnpack: vec![true],
            time: self.time,
            profile: false,
            shapes: self.options.shapes.clone(),
            runtime: self.runtime.clone(),
        }
    }
}

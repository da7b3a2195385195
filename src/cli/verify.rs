use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::quantization::labels;
use super::stdio::{self, Spooled};
use crate::verify::{Options, VerifyReport, verify};

/// Run a .tflite file in LiteRT and compare it with the ONNX model it was made from
#[derive(clap::Args)]
pub struct Args {
    /// The .tflite file; - for standard input
    file: PathBuf,
    /// The ONNX model
    #[arg(long, value_name = "MODEL")]
    against: PathBuf,
    /// Samples to run, as for `convert --calibration`; one .npz may also hold labels, an array of integers, to count how many are told
    /// right [default: made up numbers]
    #[arg(long, value_name = "PATH")]
    inputs: Option<PathBuf>,
    /// The class of each sample, where --inputs does not hold them: an .npy file, or the array "labels" of an .npz file
    #[arg(long, value_name = "FILE", requires = "inputs")]
    labels: Option<PathBuf>,
    /// Outputs that another runtime stored, one .npz for each sample, instead of running the ONNX model
    #[arg(long, value_name = "PATH")]
    expected: Option<PathBuf>,
    /// The LiteRT library (libLiteRt.so) [default: LITESMITH_LITERT, else the Python package ai-edge-litert]
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
    /// Signal-to-noise ratio in dB that every output must reach [default: 60, for files with int8 operators 15]
    #[arg(long, value_name = "DB")]
    min_sqnr: Option<f64>,
    /// Percent of the labels that the file may tell wrong beyond those of the ONNX model; --min-sqnr counts only where it is given, too
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    max_drop: Option<f64>,
    /// Use LiteRT's built-in kernels without XNNPACK
    #[arg(long)]
    no_xnnpack: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What a float conversion reaches with room to spare, and what a usable quantized one does.
const FLOAT_DB: f64 = 60.0;
const QUANTIZED_DB: f64 = 15.0;

pub fn run(args: &Args) -> Result<ExitCode> {
    let options = Options {
        against: args.against.clone(),
        inputs: args.inputs.clone(),
        labels: args.labels.as_deref().map(labels).transpose()?,
        expected: args.expected.clone(),
        runtime: args.runtime.clone(),
        plain_kernels: args.no_xnnpack,
        made_up: 4,
    };
    // Reads the file first: what is damaged had better not reach a runtime that takes much on trust.
    let file = Spooled::new(&args.file)?;
    let usual = if is_quantized(args, file.path())? { QUANTIZED_DB } else { FLOAT_DB };
    let report = verify(file.path(), &options)?;
    let bounds = Bounds { db: args.min_sqnr.or(args.max_drop.is_none().then_some(usual)), drop: args.max_drop };
    let good = bounds.hold(&report)?;
    if args.json {
        super::print(&(serde_json::to_string_pretty(&report)? + "\n"));
    } else {
        for output in &report.outputs {
            super::print(&format!("{output}\n"));
        }
        if let Some(accuracy) = &report.accuracy {
            super::print(&format!("{accuracy}\n"));
        }
        let verdict = if good { "ok" } else { "FAILED" };
        super::print(&format!("{verdict}: {} samples, {bounds}\n", report.samples));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a file has to reach.
struct Bounds {
    /// Signal to noise of every output.
    db: Option<f64>,
    /// Percent of labels lost.
    drop: Option<f64>,
}

impl Bounds {
    fn hold(&self, report: &VerifyReport) -> Result<bool> {
        let close = self.db.is_none_or(|db| report.worst_db() >= db);
        let (Some(most), accuracy) = (self.drop, report.accuracy) else { return Ok(close) };
        let accuracy =
            accuracy.context("--max-drop counts labels: give them with --labels, or in the .npz of --inputs")?;
        Ok(close && accuracy.drop() <= most)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(db) = self.db {
            write!(f, "every output must reach {db} dB")?;
        }
        if let Some(drop) = self.drop {
            let and = if self.db.is_some() { ", and " } else { "" };
            write!(f, "{and}no more than {drop} % of the labels may be lost")?;
        }
        Ok(())
    }
}

/// Whether results of operators in the file are quantized.
fn is_quantized(args: &Args, file: &Path) -> Result<bool> {
    let name = || stdio::shown(&args.file);
    let bytes = std::fs::read(file).with_context(name)?;
    let model = crate::tflite::read(bytes.into()).with_context(name)?;
    let result = |graph: &crate::graph::Graph| {
        graph.nodes.iter().flat_map(|n| &n.outputs).any(|&id| graph.value(id).quant.is_some())
    };
    Ok(model.graphs.iter().any(result))
}

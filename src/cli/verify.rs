use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::verify::{Options, verify};

/// Run a .tflite file in LiteRT and compare it with the ONNX model it was made from
#[derive(clap::Args)]
pub struct Args {
    /// The .tflite file
    file: PathBuf,
    /// The ONNX model
    #[arg(long, value_name = "MODEL")]
    against: PathBuf,
    /// Samples to run, as for `convert --calibration`; one .npz may also hold labels, an array of integers, to count how many are told
    /// right [default: made up numbers]
    #[arg(long, value_name = "PATH")]
    inputs: Option<PathBuf>,
    /// Outputs that another runtime stored, one .npz for each sample, instead of running the ONNX model
    #[arg(long, value_name = "PATH")]
    expected: Option<PathBuf>,
    /// The LiteRT library (libLiteRt.so) [default: LITESMITH_LITERT, else the Python package ai-edge-litert]
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
    /// Signal-to-noise ratio in dB that every output must reach [default: 60, for files with int8 operators 15]
    #[arg(long, value_name = "DB")]
    min_sqnr: Option<f64>,
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
        expected: args.expected.clone(),
        runtime: args.runtime.clone(),
        plain_kernels: args.no_xnnpack,
        made_up: 4,
    };
    // Reads the file first: what is damaged had better not reach a runtime that takes much on trust.
    let usual = if is_quantized(args)? { QUANTIZED_DB } else { FLOAT_DB };
    let report = verify(&args.file, &options)?;
    let bound = args.min_sqnr.unwrap_or(usual);
    let good = report.worst_db() >= bound;
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
        super::print(&format!("{verdict}: {} samples, every output must reach {bound} dB\n", report.samples));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether results of operators in the file are quantized.
fn is_quantized(args: &Args) -> Result<bool> {
    let bytes = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    let model = crate::tflite::read(bytes.into()).with_context(|| args.file.display().to_string())?;
    let result = |graph: &crate::graph::Graph| {
        graph.nodes.iter().flat_map(|n| &n.outputs).any(|&id| graph.value(id).quant.is_some())
    };
    Ok(model.graphs.iter().any(result))
}

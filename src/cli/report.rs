use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::progress::Bar;
use super::shaping::parse_shape;
use crate::survey::{self, Request, Survey};
use crate::{Options, Progress, Quantize, tflite};

/// Convert a model in several modes and show them side by side: size, exactness, time, errors of single operators
#[derive(clap::Args)]
pub struct Args {
    /// The ONNX model
    model: PathBuf,
    /// Modes to convert in: float, float16, dynamic, weights, int8, int16x8 [default: float,float16,dynamic, and int8 with --calibration]
    #[arg(long, value_name = "MODE,MODE", value_delimiter = ',', value_parser = parse_mode)]
    modes: Vec<Quantize>,
    /// Samples for int8 and int16x8, and for the error of each operator: as for `convert --calibration`
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
    /// Samples to compare on; one .npz may also hold labels, an array of integers, for accuracy [default: those of --calibration]
    #[arg(long, value_name = "PATH")]
    test: Option<PathBuf>,
    /// Where to write the page; the same as JSON where it ends in .json [default: the model's name with .html]
    #[arg(short, long, value_name = "FILE.html|.json")]
    output: Option<PathBuf>,
    /// Keep the converted files in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Fix the shape of a dynamic input
    #[arg(long = "shape", value_name = "NAME=1,3,224,224", value_parser = parse_shape)]
    shapes: Vec<(String, Vec<usize>)>,
    /// Fix the size of the batch
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Threads to time with
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long to run each file, at least
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// The LiteRT library (libLiteRt.so) [default: LITESMITH_LITERT, else the Python package ai-edge-litert]
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
    /// Print the result as JSON, too
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let output = args.output.clone().unwrap_or_else(|| args.model.with_extension("html"));
    let request = request(args)?;
    let temporary;
    let folder = match &args.keep {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            folder.as_path()
        }
        None => {
            temporary = tempfile::tempdir()?;
            temporary.path()
        }
    };
    let progress: Arc<dyn Progress> = Arc::new(Bar::new());
    let survey =
        Survey::of(&args.model, folder, &request, &progress).with_context(|| args.model.display().to_string())?;
    let json = serde_json::to_string_pretty(&survey)? + "\n";
    let as_json = output.extension().is_some_and(|e| e == "json");
    tflite::save(&output, if as_json { json.clone() } else { survey.to_html() }.as_bytes())?;
    for missing in &survey.missing {
        eprintln!("missing: {missing}");
    }
    super::print(&if args.json { json } else { format!("written     {}\n", output.display()) });
    Ok(ExitCode::SUCCESS)
}

fn request(args: &Args) -> Result<Request> {
    let Ok(time) = Duration::try_from_secs_f64(args.seconds) else {
        bail!("--seconds {}: expected a number of seconds", args.seconds);
    };
    if args.threads == 0 {
        bail!("--threads 0: a model runs on 1 thread or more");
    }
    let mut modes = args.modes.clone();
    if modes.is_empty() {
        modes = vec![Quantize::None, Quantize::Float16, Quantize::Dynamic];
        modes.extend(args.calibration.is_some().then_some(Quantize::Int8));
    }
    let shapes = args.shapes.iter().cloned().collect();
    let options = Options { shapes, batch: args.batch, ..Options::default() };
    let Args { calibration, test, runtime, threads, .. } = args;
    let (calibration, test, runtime) = (calibration.clone(), test.clone(), runtime.clone());
    Ok(Request { modes, options, calibration, test, runtime, threads: *threads, time })
}

fn parse_mode(text: &str) -> Result<Quantize, &'static str> {
    let all =
        [Quantize::None, Quantize::Float16, Quantize::Dynamic, Quantize::Weights, Quantize::Int8, Quantize::Int16x8];
    let found = all.into_iter().find(|mode| survey::name(*mode) == text);
    found.ok_or("expected float, float16, dynamic, weights, int8 or int16x8")
}

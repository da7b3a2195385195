use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::progress::Bar;
use crate::onnx::ReadError;
use crate::{Calibration, ChannelsLast, Converter, Error, Float64, Options, Quantize};

/// Convert an ONNX model to .tflite
#[derive(clap::Args)]
pub struct Args {
    /// The ONNX model
    model: PathBuf,
    /// Where to write the result [default: the model's name with .tflite]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How numbers are stored and computed
    #[arg(long, value_enum, default_value = "none")]
    quantize: Scheme,
    /// Samples for int8: a folder of .npz (arrays named after the inputs) or .npy files, or one .npz stacked along the first axis
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
    /// Fix the shape of a dynamic input
    #[arg(long = "shape", value_name = "NAME=1,3,224,224", value_parser = parse_shape)]
    shapes: Vec<(String, Vec<usize>)>,
    /// Give an input or output channels-last (NHWC) shape; `all` for every one
    #[arg(long, value_name = "NAME|all")]
    channels_last: Vec<String>,
    /// Float64 inputs and outputs: all is computed in float32 inside
    #[arg(long, value_enum, default_value = "keep")]
    float64: Double,
    /// Write out loops of up to so many steps; longer ones become WHILE
    #[arg(long, value_name = "STEPS", default_value_t = 16)]
    unroll: usize,
    /// Print no summary
    #[arg(short, long)]
    quiet: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Leave out all rewrites, to find faults
    #[arg(long, hide = true)]
    no_passes: bool,
    /// Leave every transpose where lowering put it, to find faults
    #[arg(long, hide = true)]
    no_layout: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scheme {
    /// Float32 as in the model
    None,
    /// 8-bit integers, float32 inputs and outputs
    Int8,
}

#[derive(Clone, Copy, ValueEnum)]
enum Double {
    /// They stay float64, converted at the border
    Keep,
    /// They become float32
    Cast,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let output = args.output.clone().unwrap_or_else(|| args.model.with_extension("tflite"));
    if same_file(&output, &args.model) {
        bail!("the output would overwrite the model: name another with -o");
    }
    let options = options(args)?;
    let converter = Converter::with_options(options).progress(Arc::new(Bar::new()));
    let converted = converter.convert_file(&args.model).map_err(|error| match error {
        named @ Error::Read(ReadError::Io { .. }) => named.into(),
        error => anyhow::Error::new(error).context(args.model.display().to_string()),
    })?;
    converted.save(&output)?;
    if args.json {
        super::print(&(serde_json::to_string_pretty(&converted.report)? + "\n"));
    } else if !args.quiet {
        super::print(&format!("{}written     {}\n", converted.report, output.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn options(args: &Args) -> Result<Options> {
    if args.calibration.is_some() && matches!(args.quantize, Scheme::None) {
        bail!("--calibration is for a quantized result: add --quantize int8");
    }
    let mut options = Options { passes: !args.no_passes, layout: !args.no_layout, ..Options::default() };
    options.quantize = match args.quantize {
        Scheme::None => Quantize::None,
        Scheme::Int8 => Quantize::Int8,
    };
    options.unroll = args.unroll;
    options.calibration = args.calibration.clone().map(Calibration::Path);
    for (name, dims) in &args.shapes {
        if options.shapes.insert(name.clone(), dims.clone()).is_some() {
            bail!("--shape is given twice for {name:?}");
        }
    }
    options.channels_last = match args.channels_last.as_slice() {
        [] => ChannelsLast::Keep,
        names if names.iter().any(|n| n == "all") => ChannelsLast::All,
        names => ChannelsLast::Names(names.to_vec()),
    };
    options.float64 = match args.float64 {
        Double::Keep => Float64::Keep,
        Double::Cast => Float64::Cast,
    };
    Ok(options)
}

/// Whether both paths lead to one file, however they are written; a link counts as what it leads to.
fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// `NAME=1,3,224,224`; the name may hold `=` itself, and no extents at all make a scalar.
fn parse_shape(text: &str) -> Result<(String, Vec<usize>), &'static str> {
    let (name, dims) = text.rsplit_once('=').ok_or("expected NAME=1,3,224,224")?;
    let extents = dims.split(',').filter(|_| !dims.is_empty());
    let extents: Result<Vec<usize>, _> = extents.map(|d| d.trim().parse()).collect();
    Ok((name.to_string(), extents.map_err(|_| "extents must be whole numbers, as in NAME=1,3,224,224")?))
}

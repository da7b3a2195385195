use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::progress::Bar;
use super::quantization::{Finish, Quantization};
use super::stdio;
use crate::onnx::ReadError;
use crate::target::{CArray, Target};
use crate::tflite;
use crate::{ChannelsLast, Converted, Converter, Error, Float64, Options};

/// Convert an ONNX model to .tflite
#[derive(clap::Args)]
pub struct Args {
    /// The ONNX model; - for standard input
    model: PathBuf,
    /// What is to run the file: what it lacks is written otherwise, or refused; the summary names what is left to a CPU
    #[arg(long, value_enum, default_value = "litert")]
    target: Target,
    /// Write more files beside the result
    #[arg(long, value_enum)]
    emit: Option<Emit>,
    #[command(flatten)]
    quantization: Quantization,
    /// Fix the shape of a dynamic input
    #[arg(long = "shape", value_name = "NAME=1,3,224,224", value_parser = parse_shape)]
    shapes: Vec<(String, Vec<usize>)>,
    /// Fix the size of the batch: of dynamic extents of inputs whose name contains "batch", or else stand first
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Begin at these values of the model instead of at its inputs
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    inputs: Vec<String>,
    /// End at these values of the model instead of at its outputs
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    outputs: Vec<String>,
    /// Write this operator (Op or domain::Op) as a custom one of that name, for a kernel of your own; may be repeated
    #[arg(long, value_name = "OP")]
    allow_custom: Vec<String>,
    /// Give an input or output channels-last (NHWC) shape; `all` for every one
    #[arg(long, value_name = "NAME|all")]
    channels_last: Vec<String>,
    /// Float64 inputs and outputs: all is computed in float32 inside
    #[arg(long, value_enum, default_value = "keep")]
    float64: Double,
    /// Write out loops of up to so many steps, longer ones become WHILE [default: 16; 64 in LSTM, GRU and RNN]
    #[arg(long, value_name = "STEPS")]
    unroll: Option<usize>,
    #[command(flatten)]
    finish: Finish,
    /// Leave out all rewrites, to find faults
    #[arg(long, hide = true)]
    no_passes: bool,
    /// Leave every transpose where lowering put it, to find faults
    #[arg(long, hide = true)]
    no_layout: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Double {
    /// They stay float64, converted at the border
    Keep,
    /// They become float32
    Cast,
}

#[derive(Clone, Copy, ValueEnum)]
enum Emit {
    /// A C header and source with the file as an array, for firmware
    CArray,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let output = args.finish.output(&args.model, &args.model.with_extension("tflite"))?;
    if args.emit.is_some() && stdio::is_dash(&output) {
        bail!("--emit writes beside the result: name a file with -o");
    }
    let options = options(args)?;
    let converter = Converter::with_options(options).progress(Arc::new(Bar::new()));
    let converted = if stdio::is_dash(&args.model) {
        converter.convert_bytes(stdio::read(&args.model)?)
    } else {
        converter.convert_file(&args.model)
    };
    let converted = converted.map_err(|error| match error {
        named @ Error::Read(ReadError::Io { .. }) => named.into(),
        error => anyhow::Error::new(error).context(stdio::shown(&args.model)),
    })?;
    args.finish.save(&converted, &output)?;
    args.quantization.write(&converted, &output)?;
    match args.emit {
        Some(Emit::CArray) => write_c_array(&converted, &output)?,
        None => {}
    }
    args.finish.print(&converted, &output)
}

fn options(args: &Args) -> Result<Options> {
    let mut options = Options { passes: !args.no_passes, layout: !args.no_layout, ..Options::default() };
    args.quantization.apply(&mut options)?;
    options.target = args.target;
    options.unroll = args.unroll;
    for (name, dims) in &args.shapes {
        if options.shapes.insert(name.clone(), dims.clone()).is_some() {
            bail!("--shape is given twice for {name:?}");
        }
    }
    options.batch = args.batch;
    options.inputs.clone_from(&args.inputs);
    options.outputs.clone_from(&args.outputs);
    options.allow_custom = args.allow_custom.iter().map(|op| custom_name(op)).collect();
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

/// Writes the header and the source beside `output`, named after it.
fn write_c_array(converted: &Converted, output: &Path) -> Result<()> {
    let stem = output.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let array = CArray::new(&converted.bytes()?, &stem)?;
    for (ending, text) in [("h", &array.header), ("c", &array.source)] {
        let path = output.with_file_name(format!("{}.{ending}", array.name));
        tflite::save(&path, text.as_bytes())?;
    }
    Ok(())
}

/// ONNX's own domain has two names, and is left out.
fn custom_name(op: &str) -> String {
    op.strip_prefix("ai.onnx::").or(op.strip_prefix("::")).unwrap_or(op).to_string()
}

/// `NAME=1,3,224,224`; the name may hold `=` itself, and no extents at all make a scalar.
pub(super) fn parse_shape(text: &str) -> Result<(String, Vec<usize>), &'static str> {
    let (name, dims) = text.rsplit_once('=').ok_or("expected NAME=1,3,224,224")?;
    let extents = dims.split(',').filter(|_| !dims.is_empty());
    let extents: Result<Vec<usize>, _> = extents.map(|d| d.trim().parse()).collect();
    Ok((name.to_string(), extents.map_err(|_| "extents must be whole numbers, as in NAME=1,3,224,224")?))
}

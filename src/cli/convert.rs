use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::progress::Bar;
use crate::onnx::ReadError;
use crate::quant::{self, Repair, Repairs};
use crate::{Calibration, ChannelsLast, Converter, Error, Float64, Granularity, Options, Quantize, WeightOptions};

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
    /// Bits of the weights; operators that take no 4 get 8
    #[arg(long, value_name = "8|4", value_parser = clap::value_parser!(u8).range(4..=8))]
    weight_bits: Option<u8>,
    /// Which weights share a scale: those of an output channel or the whole tensor
    #[arg(long, value_enum)]
    granularity: Option<Grain>,
    /// One scale for so many 4-bit weights, in matrix products and embeddings, for dynamic and weights
    #[arg(long, value_name = "32|64|128|256")]
    block_size: Option<usize>,
    /// Zero points of 0 for the activations of int8 too
    #[arg(long)]
    symmetric: bool,
    /// Samples for int8 and int16x8: a folder of .npz (arrays named after the inputs) or .npy files, or one .npz stacked along the first axis
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
    /// How ranges follow from what calibration saw [default: minmax]
    #[arg(long, value_enum, value_name = "METHOD")]
    calibration_method: Option<Method>,
    /// Percent of the elements that --calibration-method percentile keeps [default: 99.999]
    #[arg(long, value_name = "PERCENT")]
    percentile: Option<f64>,
    /// Change weights and biases so that the model quantizes better: auto keeps what helps on samples it has not seen, or a list of
    /// equalize, smooth, clip, round, bias
    #[arg(long, value_name = "auto|none|LIST", default_value = "none", value_parser = parse_repairs)]
    repair: Repairs,
    /// Compare the quantized model with the float one on up to 16 of the samples, and write what each operator loses
    #[arg(long, value_name = "FILE.json|.html", value_parser = parse_report)]
    report: Option<PathBuf>,
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
    /// Weights in float16, computed in float32
    Float16,
    /// Weights as integers, multiplied with data that is quantized as it comes (dynamic range)
    Dynamic,
    /// Weights as integers, computed in float32
    Weights,
    /// 8-bit integers, float32 inputs and outputs
    Int8,
    /// 16-bit integers with 8-bit weights, float32 inputs and outputs
    Int16x8,
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    /// All that was seen
    Minmax,
    /// The mean over samples of their least and greatest elements
    Average,
    /// All but the rarest elements
    Percentile,
    /// Where 8 bits tell most about the distribution (Kullback-Leibler divergence)
    Entropy,
    /// Where the mean of squared errors is least
    Mse,
}

#[derive(Clone, Copy, ValueEnum)]
enum Grain {
    Channel,
    Tensor,
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
    if let (Some(path), Some(account)) = (&args.report, &converted.report.account) {
        let page = path.extension().is_some_and(|e| e == "html");
        let text = if page { account.to_html() } else { serde_json::to_string_pretty(account)? + "\n" };
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    if args.json {
        super::print(&(serde_json::to_string_pretty(&converted.report)? + "\n"));
    } else if !args.quiet {
        super::print(&format!("{}written     {}\n", converted.report, output.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn options(args: &Args) -> Result<Options> {
    if args.report.is_some() && (args.calibration.is_none() || matches!(args.quantize, Scheme::None)) {
        bail!("--report compares a quantized model with the float one on samples: add --quantize and --calibration");
    }
    let integers = matches!(args.quantize, Scheme::Int8 | Scheme::Int16x8);
    if args.calibration.is_some() && args.report.is_none() && !integers {
        bail!("--calibration is for a result that computes in integers: add --quantize int8 or int16x8");
    }
    let mut options = Options { passes: !args.no_passes, layout: !args.no_layout, ..Options::default() };
    options.quantize = match args.quantize {
        Scheme::None => Quantize::None,
        Scheme::Float16 => Quantize::Float16,
        Scheme::Dynamic => Quantize::Dynamic,
        Scheme::Weights => Quantize::Weights,
        Scheme::Int8 => Quantize::Int8,
        Scheme::Int16x8 => Quantize::Int16x8,
    };
    if args.symmetric && options.quantize != Quantize::Int8 {
        bail!("--symmetric is for --quantize int8: others have zero points of 0 alone, or none");
    }
    options.symmetric = args.symmetric;
    options.account = args.report.is_some();
    if args.repair != Repairs::None && !options.quantize.needs_calibration() {
        bail!("--repair is for a result that computes in integers: add --quantize int8");
    }
    options.repairs = args.repair.clone();
    options.unroll = args.unroll;
    options.weights = weights(args)?;
    options.calibration = args.calibration.clone().map(Calibration::Path);
    options.calibration_method = method(args)?;
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

fn method(args: &Args) -> Result<quant::Method> {
    if (args.calibration_method.is_some() || args.percentile.is_some()) && args.calibration.is_none() {
        bail!("--calibration-method and --percentile are about calibration samples: give --calibration too");
    }
    if args.percentile.is_some() && !matches!(args.calibration_method, Some(Method::Percentile)) {
        bail!("--percentile is for --calibration-method percentile");
    }
    let percent = args.percentile.unwrap_or(99.999);
    if !(percent > 50.0 && percent <= 100.0) {
        bail!("--percentile {percent}: it must be more than 50 and no more than 100");
    }
    Ok(match args.calibration_method {
        None => quant::Method::default(),
        Some(Method::Minmax) => quant::Method::MinMax,
        Some(Method::Average) => quant::Method::Average,
        Some(Method::Percentile) => quant::Method::Percentile(percent),
        Some(Method::Entropy) => quant::Method::Entropy,
        Some(Method::Mse) => quant::Method::Mse,
    })
}

fn weights(args: &Args) -> Result<WeightOptions> {
    let given = args.weight_bits.is_some() || args.granularity.is_some() || args.block_size.is_some();
    if given && matches!(args.quantize, Scheme::None | Scheme::Float16) {
        bail!("--weight-bits, --granularity and --block-size are for weights that become integers: add --quantize");
    }
    if args.block_size.is_some() && !matches!(args.quantize, Scheme::Dynamic | Scheme::Weights) {
        bail!("--block-size is for --quantize dynamic and weights: integers have no kernel for it");
    }
    let bits = args.weight_bits.unwrap_or(if args.block_size.is_some() { 4 } else { 8 });
    if !matches!(bits, 4 | 8) {
        bail!("--weight-bits {bits}: weights have 8 or 4 bits");
    }
    if let Some(size) = args.block_size {
        if bits == 8 {
            bail!("--block-size is for 4-bit weights: runtimes have no kernel for blocks of 8-bit ones");
        }
        if !matches!(size, 32 | 64 | 128 | 256) {
            bail!("--block-size {size}: blocks have 32, 64, 128 or 256 weights");
        }
    }
    let granularity = match args.granularity {
        Some(Grain::Tensor) => Granularity::Tensor,
        Some(Grain::Channel) | None => Granularity::Channel,
    };
    Ok(WeightOptions { bits, granularity, block_size: args.block_size })
}

/// ONNX's own domain has two names, and is left out.
fn custom_name(op: &str) -> String {
    op.strip_prefix("ai.onnx::").or(op.strip_prefix("::")).unwrap_or(op).to_string()
}

/// Whether both paths lead to one file, however they are written; a link counts as what it leads to.
fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// `auto`, `none`, or names.
fn parse_repairs(text: &str) -> Result<Repairs, String> {
    let known = |name: &str| Repair::ALL.into_iter().find(|repair| repair.name() == name);
    match text {
        "none" => Ok(Repairs::None),
        "auto" => Ok(Repairs::Auto),
        list => {
            let names: Vec<&str> = Repair::ALL.iter().map(|repair| repair.name()).collect();
            let wrong = |name| format!("{name:?} is none of auto, none, {}", names.join(", "));
            let each = list.split(',').map(|name| known(name.trim()).ok_or_else(|| wrong(name)));
            each.collect::<Result<_, _>>().map(Repairs::These)
        }
    }
}

/// A file whose name says what is to be written into it.
fn parse_report(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    let known = path.extension().is_some_and(|e| e == "json" || e == "html");
    if known { Ok(path) } else { Err("expected a file that ends in .json or .html") }
}

/// `NAME=1,3,224,224`; the name may hold `=` itself, and no extents at all make a scalar.
fn parse_shape(text: &str) -> Result<(String, Vec<usize>), &'static str> {
    let (name, dims) = text.rsplit_once('=').ok_or("expected NAME=1,3,224,224")?;
    let extents = dims.split(',').filter(|_| !dims.is_empty());
    let extents: Result<Vec<usize>, _> = extents.map(|d| d.trim().parse()).collect();
    Ok((name.to_string(), extents.map_err(|_| "extents must be whole numbers, as in NAME=1,3,224,224")?))
}

//! What changes the float graph, whether it is written, quantized or calibrated.

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::target::Target;
use crate::{ChannelsLast, Float64, Options};

#[derive(clap::Args)]
pub struct Shaping {
    /// What is to run the file: what it lacks is written otherwise, or refused; the summary names what is left to a CPU
    #[arg(long, value_enum, default_value = "litert")]
    target: Target,
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

impl Shaping {
    /// Puts into `options` what was asked for.
    pub fn apply(&self, options: &mut Options) -> Result<()> {
        (options.passes, options.layout) = (!self.no_passes, !self.no_layout);
        options.target = self.target;
        options.unroll = self.unroll;
        for (name, dims) in &self.shapes {
            if options.shapes.insert(name.clone(), dims.clone()).is_some() {
                bail!("--shape is given twice for {name:?}");
            }
        }
        options.batch = self.batch;
        options.inputs.clone_from(&self.inputs);
        options.outputs.clone_from(&self.outputs);
        options.allow_custom = self.allow_custom.iter().map(|op| custom_name(op)).collect();
        options.channels_last = match self.channels_last.as_slice() {
            [] => ChannelsLast::Keep,
            names if names.iter().any(|n| n == "all") => ChannelsLast::All,
            names => ChannelsLast::Names(names.to_vec()),
        };
        options.float64 = match self.float64 {
            Double::Keep => Float64::Keep,
            Double::Cast => Float64::Cast,
        };
        Ok(())
    }
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

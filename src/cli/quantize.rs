use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::progress::Bar;
use super::quantization::{Finish, Quantization};
use super::stdio;
use crate::{Converter, Options, Quantize};

/// Quantize a .tflite file; samples may name inputs as the graph or as its signature does
#[derive(clap::Args)]
pub struct Args {
    /// The .tflite file; - for standard input
    model: PathBuf,
    #[command(flatten)]
    quantization: Quantization,
    #[command(flatten)]
    finish: Finish,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let output = args.finish.output(&args.model, &beside(&args.model))?;
    let mut options = Options::default();
    args.quantization.apply(&mut options)?;
    if options.quantize == Quantize::None && options.recipe.is_none() {
        bail!("say how to quantize: --quantize SCHEME or --recipe FILE");
    }
    let converter = Converter::with_options(options).progress(Arc::new(Bar::new()));
    let converted = if stdio::is_dash(&args.model) {
        converter.quantize_bytes(stdio::read(&args.model)?)
    } else {
        converter.quantize_file(&args.model)
    };
    let converted = converted.map_err(|error| stdio::about(&args.model, error))?;
    args.finish.save(&converted, &output)?;
    args.quantization.write(&converted, &output)?;
    args.finish.print(&converted, &output)
}

/// `model_quantized.tflite`
fn beside(model: &Path) -> PathBuf {
    let name = model.file_stem().unwrap_or_default().to_string_lossy();
    model.with_file_name(format!("{name}_quantized.tflite"))
}

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::progress::Bar;
use super::quantization::{Finish, Quantization};
use super::shaping::Shaping;
use super::stdio;
use crate::target::CArray;
use crate::tflite;
use crate::{Converted, Converter, Options};

/// Convert an ONNX model to .tflite
#[derive(clap::Args)]
pub struct Args {
    /// The ONNX model; - for standard input
    model: PathBuf,
    /// Write more files beside the result
    #[arg(long, value_enum)]
    emit: Option<Emit>,
    #[command(flatten)]
    quantization: Quantization,
    #[command(flatten)]
    shaping: Shaping,
    #[command(flatten)]
    finish: Finish,
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
    let mut options = Options::default();
    args.shaping.apply(&mut options)?;
    args.quantization.apply(&mut options)?;
    let converter = Converter::with_options(options).progress(Arc::new(Bar::new()));
    let converted = if stdio::is_dash(&args.model) {
        converter.convert_bytes(stdio::read(&args.model)?)
    } else {
        converter.convert_file(&args.model)
    };
    let converted = converted.map_err(|error| stdio::about(&args.model, error))?;
    args.finish.save(&converted, &output)?;
    args.quantization.write(&converted, &output)?;
    match args.emit {
        Some(Emit::CArray) => write_c_array(&converted, &output)?,
        None => {}
    }
    args.finish.print(&converted, &output)
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

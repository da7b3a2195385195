use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::tflite;

/// Show what a .tflite file holds: operators, tensors, shapes, types, scales, bytes by type
#[derive(clap::Args)]
pub struct Args {
    /// The .tflite file
    file: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let name = || args.file.display().to_string();
    let bytes = std::fs::read(&args.file).with_context(name)?;
    let inspection = tflite::inspect(bytes.into()).with_context(name)?;
    let text = if args.json { serde_json::to_string_pretty(&inspection)? + "\n" } else { inspection.to_string() };
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::stdio;
use crate::tflite;

/// Show what a .tflite file holds: operators, tensors, shapes, types, scales, bytes by type
#[derive(clap::Args)]
pub struct Args {
    /// The .tflite file; - for standard input
    file: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let bytes = stdio::read(&args.file)?;
    let inspection = tflite::inspect(bytes).with_context(|| stdio::shown(&args.file))?;
    let text = if args.json { serde_json::to_string_pretty(&inspection)? + "\n" } else { inspection.to_string() };
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

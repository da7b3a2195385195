use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::stdio;
use crate::target::{self, Target};

/// Tell which operators of a .tflite file a runtime or an accelerator does not take, and what to change; exit code 1 where some are
#[derive(clap::Args)]
pub struct Args {
    /// The .tflite file; - for standard input
    file: PathBuf,
    /// What is to run it
    #[arg(long, value_enum)]
    target: Target,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let bytes = stdio::read(&args.file)?;
    let fit = target::check_file(&bytes, args.target).with_context(|| stdio::shown(&args.file))?;
    let text = if args.json { serde_json::to_string_pretty(&fit)? + "\n" } else { fit.to_string() };
    super::print(&text);
    Ok(if fit.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ValueEnum for Target {
    fn value_variants<'a>() -> &'a [Target] {
        &Target::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()).help(self.what()))
    }
}

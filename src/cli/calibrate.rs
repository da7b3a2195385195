use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::images::Pictures;
use super::progress::Bar;
use super::quantization::same_file;
use super::shaping::Shaping;
use super::stdio;
use crate::samples::Shard;
use crate::{Calibration, CalibrationStatistics, Collect, Converter, Options};

/// Collect calibration statistics in a file, for convert --stats; parts of the samples may run elsewhere and be merged
#[derive(clap::Args)]
pub struct Args {
    /// The ONNX model, or the .tflite file that is to be quantized; - for standard input
    #[arg(required_unless_present = "merge")]
    model: Option<PathBuf>,
    /// Samples: a folder of .npz (arrays named after the inputs) or .npy files or pictures, or one .npz stacked along the first axis
    #[arg(long, visible_alias = "calibration", value_name = "PATH", required_unless_present = "merge")]
    samples: Option<PathBuf>,
    /// Part I of N of the samples: every N-th one from the I-th on, 1/N to N/N
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Merge files of statistics, as if all their samples had been run at once
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["model", "samples", "shard"], requires = "output")]
    merge: Vec<PathBuf>,
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    shaping: Shaping,
    /// Where to write the statistics [default: the model's name with .stats.json]; a run that is interrupted goes on from FILE.part; - for
    /// standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print no summary
    #[arg(short, long)]
    quiet: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let model = args.model.as_deref().unwrap_or(Path::new(""));
    let usual = if stdio::is_dash(model) { model.into() } else { model.with_extension("stats.json") };
    let output = args.output.clone().unwrap_or(usual);
    let streamed = stdio::is_dash(&output);
    if !streamed && same_file(&output, model) {
        bail!("the output would overwrite the model: name another with -o");
    }
    let part = checkpoint(&output).filter(|_| !streamed);
    let (statistics, resumed) =
        if args.merge.is_empty() { collect(args, model, part.clone())? } else { (merge(args)?, 0) };
    if streamed {
        stdio::write(statistics.to_json().as_bytes())?;
    } else {
        statistics.save(&output)?;
    }
    // What is not there need not be removed.
    let _ = part.map(std::fs::remove_file);
    let (samples, values) = (statistics.samples(), statistics.values().len());
    let summary = if args.json {
        let summary = serde_json::json!({ "samples": samples, "resumed": resumed, "values": values });
        serde_json::to_string_pretty(&summary)? + "\n"
    } else if args.quiet {
        String::new()
    } else {
        let before = if resumed > 0 { format!(", {resumed} of them before an interruption") } else { String::new() };
        let place = stdio::place(&output);
        format!("samples     {samples}{before}\nvalues      {values}\nwritten     {place}\n")
    };
    stdio::tell(&output, &summary);
    Ok(ExitCode::SUCCESS)
}

fn collect(args: &Args, model: &Path, checkpoint: Option<PathBuf>) -> Result<(CalibrationStatistics, usize)> {
    let mut options = Options { calibration: args.samples.clone().map(Calibration::Path), ..Options::default() };
    args.shaping.apply(&mut options)?;
    args.pictures.apply(&mut options)?;
    let collect = Collect { shard: args.shard.unwrap_or_default(), checkpoint };
    let converter = Converter::with_options(options).progress(Arc::new(Bar::new()));
    let collected = if stdio::is_dash(model) {
        converter.calibrate_bytes(stdio::read(model)?, &collect)
    } else {
        converter.calibrate_file(model, &collect)
    };
    let collected = collected.map_err(|error| stdio::about(model, error))?;
    Ok((collected.statistics, collected.resumed))
}

fn merge(args: &Args) -> Result<CalibrationStatistics> {
    let mut all: Option<CalibrationStatistics> = None;
    for path in &args.merge {
        let part = CalibrationStatistics::load(path)?;
        all = Some(match all {
            None => part,
            Some(all) => all.merge(part).with_context(|| path.display().to_string())?,
        });
    }
    all.context("there is nothing to merge")
}

/// `stats.json.part`
fn checkpoint(output: &Path) -> Option<PathBuf> {
    let mut name = output.file_name()?.to_os_string();
    name.push(".part");
    Some(output.with_file_name(name))
}

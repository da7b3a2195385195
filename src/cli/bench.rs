use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::shaping::parse_shape;
use crate::Bytes;
use crate::bench::{Options, Report, Timing, bench};
use crate::runtime::KernelTime;

/// Time .tflite files in LiteRT, side by side
#[derive(clap::Args)]
pub struct Args {
    /// The .tflite files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Numbers of threads to run each file with
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1")]
    threads: Vec<usize>,
    /// Run each file with XNNPACK, with LiteRT's built-in kernels alone, or both: on,off
    #[arg(long, value_enum, value_name = "on,off", value_delimiter = ',', default_value = "on")]
    xnnpack: Vec<Switch>,
    /// How long to run each, at least
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Tell what single kernels take, too, in runs of their own
    #[arg(long)]
    profile: bool,
    /// Extents of an input that a file leaves open [default: 1]
    #[arg(long = "shape", value_name = "NAME=1,3,224,224", value_parser = parse_shape)]
    shapes: Vec<(String, Vec<usize>)>,
    /// The LiteRT library (libLiteRt.so) [default: LITESMITH_LITERT, else the Python package ai-edge-litert]
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if args.threads.contains(&0) {
        bail!("--threads 0: a model runs on 1 thread or more");
    }
    let Ok(time) = Duration::try_from_secs_f64(args.seconds) else {
        bail!("--seconds {}: expected a number of seconds", args.seconds);
    };
    let shapes: BTreeMap<String, Vec<usize>> = args.shapes.iter().cloned().collect();
    let xnnpack = args.xnnpack.iter().map(|s| *s == Switch::On).collect();
    let Args { threads, profile, runtime, .. } = args;
    let (threads, runtime) = (threads.clone(), runtime.clone());
    let options = Options { threads, xnnpack, time, profile: *profile, shapes, runtime };
    let report = bench(&args.files, &options)?;
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { table(&report, args.files.len()) };
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// One line for each way of running a file; `files` of them make a group.
fn table(report: &Report, files: usize) -> String {
    let name = |t: &Timing| t.file.display().to_string();
    let width = report.timings.iter().map(|t| name(t).chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!(
        "{:width$}  {:>9}  threads  XNNPACK  {:>10}  {:>20}  {:>8}  {:>6}  {:>9}\n",
        "file", "size", "median", "10 % .. 90 %", "to first", "runs", "memory"
    );
    for group in report.timings.chunks(files.max(1)) {
        let first = group.first().map_or(0.0, |t| t.milliseconds.median);
        for t in group {
            let m = &t.milliseconds;
            text += &format!(
                "{:width$}  {:>9}  {:>7}  {:>7}  {:>7.3} ms  {:>20}  {:>7.2}x  {:>6}  {:>9}\n",
                name(t),
                Bytes(t.file_bytes).to_string(),
                t.threads,
                if t.xnnpack { "on" } else { "off" },
                m.median,
                format!("{:.3} .. {:.3} ms", m.p10, m.p90),
                m.median / first,
                m.count,
                t.memory_bytes.map_or("?".into(), |bytes| Bytes(bytes).to_string()),
            );
        }
    }
    for timing in &report.timings {
        text += &profile(timing);
    }
    let version = report.runtime_version.as_deref().map(|v| format!(" ({v})")).unwrap_or_default();
    text + &format!("runtime {}{version}\n", report.runtime)
}

/// What each kernel of a file took, the longest first.
fn profile(timing: &Timing) -> String {
    let Some(kernels) = &timing.profile else { return String::new() };
    let total: f64 = kernels.iter().map(|kernel| kernel.microseconds).sum();
    let xnnpack = if timing.xnnpack { "XNNPACK" } else { "built-in kernels" };
    let mut text =
        format!("\n{}, {} threads, {xnnpack}: {total:.1} us in kernels\n", timing.file.display(), timing.threads);
    let mut slowest: Vec<&KernelTime> = kernels.iter().collect();
    slowest.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    for kernel in slowest {
        let share = 100.0 * kernel.microseconds / total.max(f64::MIN_POSITIVE);
        let calls = if kernel.calls == 1.0 { String::new() } else { format!(", {} calls", kernel.calls) };
        let KernelTime { name, index, microseconds, .. } = kernel;
        text += &format!("  {share:>5.1} %  {microseconds:>10.2} us  {index:>5}  {name}{calls}\n");
    }
    text
}

//! The `litesmith` command. One file a subcommand.
//!
//! Exit codes are those of `EXIT_CODES`, whichever the subcommand. Standard output holds what was asked for; reasons of failures, progress
//! and, where a file goes to standard output, summaries are on standard error.

mod bench;
mod calibrate;
mod check;
mod completions;
mod convert;
mod doctor;
mod images;
mod inspect;
mod man;
mod ops;
mod progress;
mod quantization;
mod quantize;
mod report;
mod shaping;
mod stdio;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Converts ONNX models to float and quantized .tflite files
#[derive(Parser)]
#[command(name = "litesmith", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Args),
    Calibrate(Box<calibrate::Args>),
    Check(check::Args),
    Completions(completions::Args),
    Convert(Box<convert::Args>),
    Doctor(doctor::Args),
    Inspect(inspect::Args),
    Man(man::Args),
    Ops(ops::Args),
    Quantize(Box<quantize::Args>),
    Report(report::Args),
    Verify(verify::Args),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and what was checked is as it has to be
  1  failed, or a check did not pass; standard error or the output tells why
  2  the command line is wrong";

/// What the command line is made of; every subcommand tells the exit codes.
fn command() -> clap::Command {
    let told = |command: clap::Command| match command.get_after_long_help().map(ToString::to_string) {
        Some(more) => command.after_long_help(format!("{more}\n\n{EXIT_CODES}")).after_help(EXIT_CODES),
        None => command.after_help(EXIT_CODES),
    };
    told(Cli::command().mut_subcommands(told))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs a command line, its first argument being the name of the command.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Of help that nobody reads there is nothing to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Bench(args) => bench::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Ops(args) => ops::run(&args),
        Command::Quantize(args) => quantize::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", message(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, but for those that it tells itself.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Prints to standard output; a reader that went away ends the output, not the program with a panic.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

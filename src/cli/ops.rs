use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::lower::TABLE;

/// List the ONNX operators that are converted
#[derive(clap::Args)]
pub struct Args {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Operator {
    domain: &'static str,
    op: &'static str,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    // The standard operators have a domain without a name in files; people know it by this one.
    let domain = |domain: &'static str| if domain.is_empty() { "ai.onnx" } else { domain };
    let operators: Vec<Operator> =
        TABLE.iter().map(|row| Operator { domain: domain(row.domain), op: row.op }).collect();
    let text = if args.json {
        serde_json::to_string_pretty(&operators)? + "\n"
    } else {
        let width = operators.iter().map(|o| o.domain.len()).max().unwrap_or(0);
        operators.iter().map(|o| format!("{:width$}  {}\n", o.domain, o.op)).collect()
    };
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

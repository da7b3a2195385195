use std::process::ExitCode;

use anyhow::Result;
use clap_complete::Shell;
use serde_json::json;

/// Print a script that completes commands and options in a shell
#[derive(clap::Args)]
#[command(after_long_help = "\
For the shell that runs:
  bash        litesmith completions bash > ~/.local/share/bash-completion/completions/litesmith
  zsh         litesmith completions zsh > \"${fpath[1]}/_litesmith\"
  fish        litesmith completions fish > ~/.config/fish/completions/litesmith.fish
  powershell  litesmith completions powershell >> $PROFILE")]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "litesmith", &mut script);
    let script = String::from_utf8(script)?;
    let json = || serde_json::to_string_pretty(&json!({ "shell": args.shell.to_string(), "script": script }));
    super::print(&if args.json { json()? + "\n" } else { script });
    Ok(ExitCode::SUCCESS)
}

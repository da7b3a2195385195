use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap_mangen::Man;

use crate::tflite;

/// Print the manual page, or write those of all commands
#[derive(clap::Args)]
pub struct Args {
    /// Write litesmith.1 and a page for each command into this folder, as in ~/.local/share/man/man1
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Print as JSON: the pages by name
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let pages = pages()?;
    if let Some(folder) = &args.output {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for (name, page) in &pages {
            tflite::save(&folder.join(name), page.as_bytes())?;
        }
    }
    let text = match (args.json, &args.output) {
        (true, _) => serde_json::to_string_pretty(&pages)? + "\n",
        (false, Some(folder)) => format!("written     {} pages into {}\n", pages.len(), folder.display()),
        (false, None) => pages.get("litesmith.1").cloned().unwrap_or_default(),
    };
    super::print(&text);
    Ok(ExitCode::SUCCESS)
}

/// Pages by file name.
fn pages() -> Result<BTreeMap<String, String>> {
    let mut program = super::command().disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let pages = std::iter::once(&program).chain(commands).map(|command| {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_string();
        let mut page = Vec::new();
        Man::new(command.clone()).render(&mut page)?;
        Ok((format!("{name}.1"), String::from_utf8(page)?))
    });
    pages.collect()
}

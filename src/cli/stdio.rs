//! `-`: standard input and standard output where a command takes files.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tempfile::NamedTempFile;

use crate::Error;
use crate::onnx::ReadError;

pub fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What a path is called in messages.
pub fn shown(path: &Path) -> String {
    if is_dash(path) { "standard input".into() } else { path.display().to_string() }
}

/// What a path of a result is called in messages.
pub fn place(output: &Path) -> String {
    if is_dash(output) { "standard output".into() } else { output.display().to_string() }
}

/// Prints a summary of what went to `output`: to standard error, where the result itself went to standard output.
pub fn tell(output: &Path, summary: &str) {
    if is_dash(output) { eprint!("{summary}") } else { super::print(summary) }
}

/// An error about a model, with its name where it does not tell that itself.
pub fn about(model: &Path, error: Error) -> anyhow::Error {
    match error {
        named @ (Error::Read(ReadError::Io { .. }) | Error::File { .. }) => named.into(),
        error => anyhow::Error::new(error).context(shown(model)),
    }
}

/// The content of a file, or of standard input.
pub fn read(path: &Path) -> Result<Bytes> {
    let read = || -> Result<Bytes> {
        if !is_dash(path) {
            return Ok(std::fs::read(path)?.into());
        }
        let mut stdin = std::io::stdin().lock();
        if stdin.is_terminal() {
            bail!("it is a terminal: send a file there, as in `litesmith ... - < FILE`");
        }
        let mut bytes = Vec::new();
        stdin.read_to_end(&mut bytes)?;
        Ok(bytes.into())
    };
    read().with_context(|| shown(path))
}

/// Writes to standard output what is no text.
pub fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        bail!("standard output is a terminal: name a file with -o, or send it elsewhere");
    }
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.context("standard output")
}

/// A file with what a path leads to, where only a file will do.
pub struct Spooled {
    path: PathBuf,
    _temporary: Option<NamedTempFile>,
}

impl Spooled {
    pub fn new(path: &Path) -> Result<Spooled> {
        if !is_dash(path) {
            return Ok(Spooled { path: path.into(), _temporary: None });
        }
        let mut file = NamedTempFile::new()?;
        file.write_all(&read(path)?)?;
        Ok(Spooled { path: file.path().into(), _temporary: Some(file) })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

//! The built program, run as users run it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What became of one run.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {}", self.stdout))
    }
}

pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_litesmith"))
}

/// Runs the program; no input may make it panic, crash or hang.
pub fn litesmith<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    run(command().args(args))
}

pub fn run(command: &mut Command) -> Ran {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("the program can be started");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!ran.stderr.contains("panicked"), "{command:?} panicked:\n{}", ran.stderr);
    assert!(ran.code.is_some(), "{command:?} crashed: {}\n{}", output.status, ran.stderr);
    assert!(start.elapsed() < Duration::from_secs(300), "{command:?} took {:?}", start.elapsed());
    ran
}

/// A folder with a model in it, and with a result of an earlier conversion that a failing one must leave alone.
pub struct Desk {
    pub folder: tempfile::TempDir,
}

const OLD: &[u8] = b"what an earlier conversion wrote";

impl Desk {
    pub fn new(model: impl AsRef<[u8]>) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.onnx"), model).unwrap();
        std::fs::write(folder.path().join("model.tflite"), OLD).unwrap();
        Desk { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `litesmith convert model.onnx` with further arguments, in the folder.
    pub fn convert(&self, args: &[&str]) -> Ran {
        run(command().current_dir(self.folder.path()).args(["convert", "model.onnx"]).args(args))
    }

    /// A conversion that must fail with one error and leave the folder as it was; returns the message.
    pub fn refused(&self, args: &[&str]) -> String {
        let before = contents(self.folder.path());
        let ran = self.convert(args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}: a failed run says nothing on standard output");
        assert_eq!(contents(self.folder.path()), before, "{args:?}: a failed run changes no file");
        is_clear(&ran.stderr)
    }
}

/// The text of an error message without its prefix.
pub fn is_clear(stderr: &str) -> String {
    // LiteRT says which delegate it made, once a process, and can't be told not to.
    let said = stderr.strip_prefix("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n").unwrap_or(stderr);
    let message = said.strip_prefix("error: ").unwrap_or_else(|| panic!("no error message: {stderr:?}"));
    assert!(!message.contains("internal error"), "{message}");
    message.trim_end().to_string()
}

/// All that must stand in a message.
#[track_caller]
pub fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
        }
    }
    found
}

//! ONNX Runtime, in a Python process that serves one model after another.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use litesmith::onnx;
use litesmith::tensor::Tensor;

use crate::common::interpreter;

pub struct Oracle {
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Oracle {
    /// `None`, with a line that says so, where the environment's Python has no ONNX Runtime.
    pub fn start() -> Option<Oracle> {
        let has_it = Command::new(interpreter()).args(["-c", "import onnx, onnxruntime"]).output();
        if !has_it.is_ok_and(|o| o.status.success()) {
            println!("skipped: no Python package onnxruntime (pip install -r tests/requirements.txt)");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/random_graphs/oracle.py");
        let mut command = Command::new(interpreter());
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let (to, from) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        Some(Oracle { child, to, from })
    }

    /// Outputs of a model by name; `inputs` is a model whose initializers they are.
    ///
    /// # Errors
    /// What ONNX Runtime says against the model.
    pub fn run(&mut self, model: &[u8], inputs: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
        let to = self.to.as_mut().expect("the process runs");
        for message in [model, inputs] {
            to.write_all(&(message.len() as u32).to_le_bytes()).expect("the process listens");
            to.write_all(message).expect("the process listens");
        }
        to.flush().expect("the process listens");
        let mut length = [0; 4];
        self.from.read_exact(&mut length).expect("the process answers");
        let mut answer = vec![0; u32::from_le_bytes(length) as usize];
        self.from.read_exact(&mut answer).expect("the process answers");
        let answer = onnx::read_bytes(answer).map_err(|e| e.to_string())?.graph;
        match answer.name.strip_prefix("error: ") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer.initializers.into_iter().collect()),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // Without a listener the process ends by itself.
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;
use serde::Serialize;

use crate::exec::Evaluator;
use crate::graph::{Builder, Graph, Model, Type, Unary};
use crate::runtime::{ElementType, Input, Kernels, Library, Options, Session};
use crate::tensor::Tensor;
use crate::tflite;

/// Look for what commands need on this machine; exit code 1 where LiteRT can't be used
#[derive(clap::Args)]
pub struct Args {
    /// The LiteRT library (libLiteRt.so) [default: LITESMITH_LITERT, else the Python package ai-edge-litert]
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Everything that was looked at.
#[derive(Serialize)]
struct Diagnosis {
    version: &'static str,
    /// Whether every command works.
    healthy: bool,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    state: State,
    /// What was found, or what is wrong.
    what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Not there, and nothing but convenience or speed is lost.
    Optional,
    /// Some commands fail.
    Missing,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let mut findings = vec![machine()];
    findings.extend(litert(args.runtime.as_deref()));
    findings.extend(python());
    let healthy = findings.iter().all(|finding| finding.state != State::Missing);
    let diagnosis = Diagnosis { version: env!("CARGO_PKG_VERSION"), healthy, findings };
    super::print(&if args.json { serde_json::to_string_pretty(&diagnosis)? + "\n" } else { text(&diagnosis) });
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text = format!("litesmith {}\n", diagnosis.version);
    for finding in &diagnosis.findings {
        let mark = match finding.state {
            State::Ok => "ok",
            State::Optional => "--",
            State::Missing => "MISSING",
        };
        let _ = writeln!(text, "{mark:<8}{:<12}{}", finding.name, finding.what);
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "{:20}{hint}", "");
        }
    }
    text + if diagnosis.healthy { "every command works\n" } else { "convert, quantize, inspect, check and ops work\n" }
}

fn ok(name: &'static str, what: String) -> Finding {
    Finding { name, state: State::Ok, what, hint: None }
}

fn lacking(name: &'static str, state: State, what: String, hint: impl Into<String>) -> Finding {
    Finding { name, state, what, hint: Some(hint.into()) }
}

/// What the processor has for 8-bit integers: without it, a float model may well be the faster one.
fn machine() -> Finding {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let what = format!("{} {}, {threads} threads", std::env::consts::OS, std::env::consts::ARCH);
    match dot_products() {
        Some((true, how)) => ok("processor", format!("{what}, integer dot products ({how})")),
        Some((false, how)) => lacking(
            "processor",
            State::Optional,
            format!("{what}, no integer dot products ({how})"),
            "int8 may run no faster than float here: measure on the device that the model is for",
        ),
        None => ok("processor", what),
    }
}

/// Whether there are instructions for products of 8-bit integers, and their names.
fn dot_products() -> Option<(bool, &'static str)> {
    #[cfg(target_arch = "x86_64")]
    {
        let has = std::is_x86_feature_detected!("avx512vnni") || std::is_x86_feature_detected!("avxvnni");
        Some((has, "VNNI"))
    }
    #[cfg(target_arch = "aarch64")]
    {
        Some((std::arch::is_aarch64_feature_detected!("dotprod"), "dotprod"))
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    None
}

/// The library, and whether it runs a model with and without XNNPACK.
fn litert(explicit: Option<&Path>) -> Vec<Finding> {
    let library = match Library::find(explicit) {
        Ok(library) => library,
        Err(error) => {
            let hint = "verify, bench and the times of report need it: pip install ai-edge-litert";
            return vec![lacking("LiteRT", State::Missing, error.to_string(), hint)];
        }
    };
    let version = library.version().unwrap_or("of unknown version");
    let mut findings = vec![ok("LiteRT", format!("{version}: {}", library.path().display()))];
    for (name, kernels) in [("kernels", Kernels::Builtin), ("XNNPACK", Kernels::Xnnpack)] {
        findings.push(match try_out(&library, kernels) {
            Ok(()) => ok(name, "runs a model".into()),
            Err(what) => {
                let hint = "this LiteRT does not work here: pip install --force-reinstall ai-edge-litert";
                lacking(name, State::Missing, what, hint)
            }
        });
    }
    findings
}

/// Runs `RELU` on two numbers.
fn try_out(library: &Library, kernels: Kernels) -> Result<(), String> {
    let x = Tensor::from_vec(&[1, 2], vec![-1f32, 2.0]);
    let file = relu(Type::of(&x))?;
    let mut session =
        Session::new(library, file, &Options { kernels, ..Default::default() }).map_err(|e| e.to_string())?;
    let input = Input { name: "x", element_type: ElementType::Float32, dims: x.shape(), bytes: x.bytes() };
    let outputs = session.run(&[input]).map_err(|e| e.to_string())?;
    let expected = Tensor::from_vec(&[1, 2], vec![0f32, 2.0]);
    let right = outputs.first().is_some_and(|output| output.bytes == *expected.bytes());
    if right { Ok(()) } else { Err("it computes wrongly".into()) }
}

fn relu(ty: Type) -> Result<bytes::Bytes, String> {
    let mut graph = Graph::default();
    let x = graph.add_input("x", ty);
    let y = Builder::new(&mut graph, &Evaluator).unary(Unary::Relu, x).map_err(|e| e.message)?;
    graph.outputs.push(y);
    let written = tflite::write(&Model::single(graph), &tflite::WriteOptions::default());
    written.map(|written| written.to_bytes()).map_err(|e| e.to_string())
}

/// Packages that are of use from Python, and what they are for.
const PACKAGES: &[(&str, &str)] = &[
    (
        "litesmith",
        "conversion from Python wants it: install the wheel that `pip wheel ./python` makes of litesmith's sources",
    ),
    ("numpy", "the Python package wants it: pip install numpy"),
    ("ai-edge-litert", "run and verify want it: pip install ai-edge-litert"),
    ("tqdm", "shows how far calibration is in Python: pip install tqdm"),
];

/// Prints the interpreter, its version, and the versions of packages, empty where there are none. The current folder is not searched.
const ASK: &str = "import sys; sys.path = [p for p in sys.path if p]; import importlib.metadata as m
print(sys.executable); print('.'.join(map(str, sys.version_info[:3])))
for name in sys.argv[1:]:
    try: print(m.version(name))
    except m.PackageNotFoundError: print()";

fn python() -> Vec<Finding> {
    let environment = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().find_map(std::env::var_os).map(PathBuf::from);
    let interpreter = match &environment {
        Some(prefix) if cfg!(windows) => prefix.join("Scripts").join("python.exe"),
        Some(prefix) => prefix.join("bin").join("python"),
        None => "python3".into(),
    };
    let names = PACKAGES.iter().map(|(name, _)| name);
    let asked = Command::new(&interpreter).args(["-c", ASK]).args(names).stdin(Stdio::null()).output();
    let answer = asked.ok().filter(|output| output.status.success()).and_then(|o| String::from_utf8(o.stdout).ok());
    let Some(answer) = answer else {
        let what = format!("{} does not run", interpreter.display());
        let hint = "only needed for the Python package: python3 -m venv .venv, and activate it";
        return vec![lacking("Python", State::Optional, what, hint)];
    };
    let mut lines = answer.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (executable, version) = (line(), line());
    let kind = if environment.is_some() { ", a virtual environment" } else { "" };
    let mut findings = vec![ok("Python", format!("{version}: {executable}{kind}"))];
    for (name, hint) in PACKAGES {
        let version = line();
        findings.push(if version.is_empty() {
            lacking("  package", State::Optional, format!("{name}: not installed"), *hint)
        } else {
            ok("  package", format!("{name} {version}"))
        });
    }
    findings
}

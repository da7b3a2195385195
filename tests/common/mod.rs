//! What the tests share: where models are, how a file is run in LiteRT, what counts as equal.
#![allow(dead_code)] // Each test file uses its part.

pub mod case;
pub mod command;
pub mod onnx;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use indexmap::IndexMap;
use litesmith::runtime::{Input, Kernels, Library, Options, RuntimeError, Session};
use litesmith::tensor::Tensor;
use litesmith::verify::{dtype, element_type};

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The collection of public models that may lie beside the project; tests that want it say so and pass without it.
pub fn shared_models() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models");
    if !path.is_dir() {
        println!("skipped: no ../shared/models beside the project");
        return None;
    }
    Some(path)
}

/// The environment's Python.
pub fn interpreter() -> PathBuf {
    match std::env::var_os("VIRTUAL_ENV") {
        Some(environment) => Path::new(&environment).join("bin/python"),
        None => PathBuf::from("python3"),
    }
}

/// LiteRT, where there is one.
pub fn litert() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| Library::find(None).ok()).as_ref();
    if library.is_none() {
        println!("skipped in LiteRT: no library found (pip install ai-edge-litert)");
    }
    library
}

/// Why a file was not run.
#[derive(Debug)]
pub enum LitertError {
    /// The library's interface has no way to hand over tensors without elements or of shapes that depend on the data.
    CannotShow,
    Failed(String),
}

impl std::fmt::Display for LitertError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LitertError::CannotShow => f.write_str("the library's interface can't hand over its tensors"),
            LitertError::Failed(why) => f.write_str(why),
        }
    }
}

impl From<RuntimeError> for LitertError {
    fn from(e: RuntimeError) -> LitertError {
        match e {
            RuntimeError::Unsupported(_) => LitertError::CannotShow,
            other => LitertError::Failed(other.to_string()),
        }
    }
}

/// Outputs by name of one run of a `.tflite` file.
pub fn run_litert(
    library: &Library,
    file: &[u8],
    kernels: Kernels,
    inputs: &IndexMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>, LitertError> {
    let options = Options { kernels, ..Default::default() };
    let mut session = Session::new(library, file.to_vec(), &options)?;
    let wanted: Vec<String> = session.inputs().iter().map(|i| i.name.clone()).collect();
    let mut feed = Vec::new();
    for name in &wanted {
        let tensor = inputs.get(name).ok_or_else(|| LitertError::Failed(format!("no data for input {name:?}")))?;
        feed.push(Input {
            name,
            element_type: element_type(tensor.dtype()),
            dims: tensor.shape(),
            bytes: tensor.bytes(),
        });
    }
    let outputs = session.run(&feed)?;
    let tensor = |o: litesmith::runtime::Output| {
        let tensor = Tensor::new(dtype(o.element_type), o.dims, o.bytes.into());
        let tensor = tensor.map_err(|e| LitertError::Failed(e.to_string()))?;
        Ok((o.name, tensor))
    };
    outputs.into_iter().map(tensor).collect()
}

/// Relative and absolute tolerance of a comparison.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub relative: f64,
    pub absolute: f64,
    /// By how much integers may differ.
    pub whole: f64,
}

impl Tolerance {
    /// float32 computed in another order.
    pub const FLOAT: Tolerance = Tolerance { relative: 1e-4, absolute: 1e-5, whole: 0.0 };
    /// float16 somewhere on the way: half of the last of its 11 bits, with room for a few steps.
    pub const HALF: Tolerance = Tolerance { relative: 2e-3, absolute: 2e-3, whole: 0.0 };
    /// Results in steps of 1/16, which kernels on integers may round to the next.
    pub const STEP: Tolerance = Tolerance { relative: 0.0, absolute: 1.01 / 16.0, whole: 1.0 };
}

/// What differs between what should be and what is, if anything does.
pub fn difference(expected: &Tensor, found: &Tensor, tolerance: Tolerance) -> Option<String> {
    if expected.dtype() != found.dtype() || expected.shape() != found.shape() {
        return Some(format!("is {found:?}, should be {expected:?}"));
    }
    let (Ok(e), Ok(f)) = (expected.to_f64s(), found.to_f64s()) else {
        return (expected.bytes() != found.bytes()).then(|| "bytes differ".to_string());
    };
    let exact = !expected.dtype().is_float();
    let equal = |e: f64, f: f64| {
        if e.is_nan() || f.is_nan() {
            return e.is_nan() && f.is_nan();
        }
        let allowed = if exact { tolerance.whole } else { tolerance.absolute + tolerance.relative * e.abs() };
        e == f || (e - f).abs() <= allowed
    };
    let wrong = e.iter().zip(&f).filter(|(e, f)| !equal(**e, **f)).count();
    let first = e.iter().zip(&f).position(|(e, f)| !equal(*e, *f))?;
    Some(format!("{wrong} of {} elements differ, the first at {first}: {} for {}", e.len(), f[first], e[first]))
}

/// Expected failures: `name: reason` a line.
pub fn expected_failures(file: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let entry = |line: &str| line.split_once(": ").map(|(name, reason)| (name.to_string(), reason.to_string()));
    text.lines().filter(|l| !l.starts_with('#')).filter_map(entry).collect()
}

/// Numbers that look random and are the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        // xorshift64*, from Vigna, "An experimental exploration of Marsaglia's xorshift generators".
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n as u64) as usize
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

//! How fast are `.tflite` files? Runs several in LiteRT, side by side.
//!
//! Owns: what is timed, in which order, and what is said of the times. Files take turns, so that a machine that gets hot or busy slows
//! all of them. Knows bytes and the runtime, not what is in a file.

mod memory;
mod spread;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use spread::Spread;

use crate::runtime::{Input, KernelTime, Kernels, Library, Options as RunOptions, RuntimeError, Session};
use crate::samples::{InputSpec, made_up};
use crate::tensor::Tensor;
use crate::verify::{dtype, element_type};

/// What is timed, and for how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Every file is run with each of these numbers of threads.
    pub threads: Vec<usize>,
    /// Every file is run with XNNPACK, without it, or both.
    pub xnnpack: Vec<bool>,
    /// How long the runs of one file that count take together, at least.
    pub time: Duration,
    /// Whether to tell what single kernels take, in runs of their own.
    pub profile: bool,
    /// Extents of inputs that a file leaves open; 1 where nothing is said.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// The LiteRT library.
    pub runtime: Option<PathBuf>,
}

/// What one file took, run in one way.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    pub file: PathBuf,
    pub file_bytes: u64,
    pub threads: usize,
    pub xnnpack: bool,
    /// Milliseconds of one run; copying of inputs and outputs is not part of it.
    pub milliseconds: Spread,
    /// Milliseconds from the file's bytes to the end of the first run.
    pub start_milliseconds: f64,
    /// Memory that loading and the first run took and kept; `None` where the system doesn't tell. The first file also bears what the
    /// runtime takes once.
    pub memory_bytes: Option<u64>,
    /// What single kernels took, in the order in which they ran; recording makes runs slower, so these are not those of `milliseconds`.
    pub profile: Option<Vec<KernelTime>>,
}

/// What was measured, and with what.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub timings: Vec<Timing>,
    /// LiteRT library that was used.
    pub runtime: String,
    pub runtime_version: Option<String>,
}

/// Why nothing was timed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("can't read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("{}: {source}", path.display())]
    Run { path: PathBuf, source: RuntimeError },
    #[error("{}: input {name:?} has type {element_type}, of which no data can be made up", path.display())]
    Input { path: PathBuf, name: String, element_type: &'static str },
    #[error("{}: --shape {name:?}: {what}", path.display())]
    Shape { path: PathBuf, name: String, what: String },
}

/// Runs of one file that count, at least; and at most, for the smallest models.
const RUNS: std::ops::RangeInclusive<usize> = 5..=100_000;

/// How long a file runs before the next one does.
const TURN: Duration = Duration::from_millis(100);

/// Times every file in every way.
///
/// # Errors
/// Where a file can't be read or run.
pub fn bench(files: &[PathBuf], options: &Options) -> Result<Report, BenchError> {
    let library = Library::find(options.runtime.as_deref())?;
    let mut candidates = Vec::new();
    for &threads in &options.threads {
        for &xnnpack in &options.xnnpack {
            for file in files {
                candidates.push(Candidate::load(&library, file, threads, xnnpack, &options.shapes)?);
            }
        }
    }
    let wants_more = |c: &Candidate| {
        let enough = c.taken >= options.time && c.times.len() >= *RUNS.start();
        !enough && c.times.len() < *RUNS.end()
    };
    while candidates.iter().any(wants_more) {
        for candidate in candidates.iter_mut().filter(|c| wants_more(c)) {
            candidate.turn()?;
        }
    }
    if options.profile {
        for candidate in &mut candidates {
            candidate.profile(&library, options.time)?;
        }
    }
    let timings = candidates.into_iter().map(Candidate::timing).collect();
    let runtime_version = library.version().map(str::to_string);
    Ok(Report { timings, runtime: library.path().display().to_string(), runtime_version })
}

/// A file that is run in one way.
struct Candidate {
    session: Session,
    inputs: Vec<(String, Tensor)>,
    times: Vec<Duration>,
    taken: Duration,
    timing: Timing,
}

impl Candidate {
    fn load(
        library: &Library,
        path: &Path,
        threads: usize,
        xnnpack: bool,
        shapes: &BTreeMap<String, Vec<usize>>,
    ) -> Result<Candidate, BenchError> {
        let bytes = std::fs::read(path).map_err(|source| BenchError::File { path: path.into(), source })?;
        let file_bytes = bytes.len() as u64;
        let kernels = Kernels::with_xnnpack(xnnpack);
        let (before, start) = (memory::resident(), Instant::now());
        let session = Session::new(library, bytes, &RunOptions { threads, kernels, profile: false });
        let session = session.map_err(|source| BenchError::Run { path: path.into(), source })?;
        let inputs = inputs(path, &session, shapes)?;
        let timing = Timing {
            file: path.into(),
            file_bytes,
            threads,
            xnnpack,
            milliseconds: Spread::default(),
            start_milliseconds: 0.0,
            memory_bytes: None,
            profile: None,
        };
        let mut candidate = Candidate { session, inputs, times: Vec::new(), taken: Duration::ZERO, timing };
        candidate.run(1, 0)?;
        candidate.timing.start_milliseconds = milliseconds(start.elapsed());
        candidate.timing.memory_bytes =
            memory::resident().zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(candidate)
    }

    /// Runs until the turn is over. The first run finds caches that others have used, and threads that sleep: it does not count, but
    /// where it takes a turn by itself, caches are no matter.
    fn turn(&mut self) -> Result<(), BenchError> {
        let start = Instant::now();
        let first = self.run(0, 1)?;
        if start.elapsed() >= TURN {
            self.count(first);
            return Ok(());
        }
        while start.elapsed() < TURN {
            let left = TURN.saturating_sub(start.elapsed());
            let one = self.times.last().or(first.first()).copied().unwrap_or(TURN).max(Duration::from_nanos(100));
            let runs = (left.as_nanos() / one.as_nanos()).clamp(1, 1000) as usize;
            let times = self.run(0, runs)?;
            self.count(times);
        }
        Ok(())
    }

    fn count(&mut self, times: Vec<Duration>) {
        self.taken += times.iter().sum::<Duration>();
        self.times.extend(times);
    }

    /// Runs that are recorded, for about as long as those that are timed.
    fn profile(&mut self, library: &Library, time: Duration) -> Result<(), BenchError> {
        let path = self.timing.file.clone();
        let bytes = std::fs::read(&path).map_err(|source| BenchError::File { path: path.clone(), source })?;
        let kernels = Kernels::with_xnnpack(self.timing.xnnpack);
        let options = RunOptions { threads: self.timing.threads, kernels, profile: true };
        let one = self.taken.as_secs_f64() / self.times.len().max(1) as f64;
        let runs = (time.as_secs_f64() / one.max(1e-7)) as usize;
        let session = Session::new(library, bytes, &options);
        let profile =
            session.and_then(|mut session| session.profile(&feed(&self.inputs), runs.clamp(*RUNS.start(), 10_000)));
        self.timing.profile = Some(profile.map_err(|source| BenchError::Run { path, source })?);
        Ok(())
    }

    fn run(&mut self, warmup: usize, runs: usize) -> Result<Vec<Duration>, BenchError> {
        let times = self.session.time(&feed(&self.inputs), warmup, runs);
        times.map_err(|source| BenchError::Run { path: self.timing.file.clone(), source })
    }

    fn timing(self) -> Timing {
        let times = self.times.into_iter().map(milliseconds).collect();
        Timing { milliseconds: Spread::of(times), ..self.timing }
    }
}

fn feed(inputs: &[(String, Tensor)]) -> Vec<Input<'_>> {
    let input = |i: usize| {
        let (name, tensor) = &inputs[i];
        Input { name, element_type: element_type(tensor.dtype()), dims: tensor.shape(), bytes: tensor.bytes() }
    };
    (0..inputs.len()).map(input).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Made up data for every input.
fn inputs(
    path: &Path,
    session: &Session,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<Vec<(String, Tensor)>, BenchError> {
    let infos = session.inputs();
    let wrong = |name: &str, what: String| BenchError::Shape { path: path.into(), name: name.into(), what };
    if let Some(name) = shapes.keys().find(|name| !infos.iter().any(|i| i.name == **name)) {
        let names: Vec<&str> = infos.iter().map(|i| i.name.as_str()).collect();
        return Err(wrong(name, format!("there is no such input; there are {names:?}")));
    }
    let mut inputs = Vec::with_capacity(infos.len());
    for info in infos {
        let declared: Vec<Option<usize>> = info.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let dims = match shapes.get(&info.name) {
            Some(shape) => {
                let fits = |(n, d): (&usize, &Option<usize>)| d.is_none_or(|d| d == *n);
                if shape.len() != declared.len() || !shape.iter().zip(&declared).all(fits) {
                    return Err(wrong(&info.name, format!("the file has {:?}", info.dims)));
                }
                shape.iter().map(|&n| Some(n)).collect()
            }
            None => declared,
        };
        let spec = InputSpec { name: info.name.clone(), dtype: dtype(info.element_type), dims };
        let made = made_up(std::slice::from_ref(&spec), 1).into_iter().flatten().next();
        let tensor = made.ok_or_else(|| BenchError::Input {
            path: path.into(),
            name: info.name.clone(),
            element_type: spec.dtype.name(),
        })?;
        inputs.push((spec.name, tensor));
    }
    Ok(inputs)
}

//! Runs a float graph on samples and keeps what quantization needs to know of every value.
//!
//! ```text
//! extremes     one pass over the elements of a tensor
//! histogram    how often numbers of each size were seen
//! exact        sums without rounding
//! seen         all that is kept of a value, and how it merges   -> Observations
//! statistics   the range that was chosen for each value         -> Statistics
//! identity     which graph it is of
//! stored       all that is kept, to be written to a file        -> CalibrationStatistics
//! ```
//!
//! Keeps no tensors: memory is that of one run for each thread, and of a histogram for each value. What is kept merges exactly and
//! in any order, so the bytes of the result depend neither on the number of threads nor on how samples were dealt to machines.

mod exact;
mod extremes;
mod histogram;
mod identity;
mod seen;
mod statistics;
mod stored;

pub use exact::ExactSum;
pub use histogram::Histogram;
pub use seen::{Bounds, Observations, Seen};
pub use statistics::{Observed, Statistics};
pub use stored::{CalibrationStatistics, StatisticsError};

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use self::extremes::{Extremes, lowest_row_maximum};
use super::range::{Range, stands_for_infinity};
use super::spec::{Sees, bounds, sees};
use crate::graph::{Execute, Graph, Type, ValueId};
use crate::tensor::{DType, Tensor};

/// Where samples come from: loaded when their turn comes, from several threads.
pub trait Samples: Sync {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One tensor for each input of the graph, in order.
    ///
    /// # Errors
    /// A sentence that says why there is no such sample.
    fn load(&self, index: usize) -> Result<Vec<Tensor>, String>;
}

impl Samples for Vec<Vec<Tensor>> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn load(&self, index: usize) -> Result<Vec<Tensor>, String> {
        Ok(self[index].clone())
    }
}

/// Why samples gave no statistics.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ObserveError {
    #[error("there are no calibration samples; give at least one")]
    NoSamples,
    #[error("calibration sample {sample}: {message}")]
    Load { sample: usize, message: String },
    #[error("calibration sample {sample} has {actual} tensors, but the model has {expected} inputs")]
    Count { sample: usize, expected: usize, actual: usize },
    #[error("calibration sample {sample} has {actual} for input {input:?}, which is {expected}")]
    Input { sample: usize, input: String, expected: Type, actual: Type },
    #[error("calibration sample {sample} could not be run: {message}")]
    Run { sample: usize, message: String },
    /// The first value in the order of computation that is not a number, or infinite though nothing it comes from is.
    #[error("calibration sample {sample} makes {what} in {value:?}{}", .origin.as_ref().map(|o| format!(", computed by {o}")).unwrap_or_default())]
    NotFinite {
        sample: usize,
        /// `NaN` or `infinity`.
        what: &'static str,
        value: String,
        /// Operator and name of the node of the source model, where there is one.
        origin: Option<String>,
    },
}

impl ObserveError {
    /// The number of the sample that is meant.
    pub fn sample(&self) -> Option<usize> {
        match self {
            ObserveError::NoSamples => None,
            ObserveError::Load { sample, .. }
            | ObserveError::Count { sample, .. }
            | ObserveError::Input { sample, .. }
            | ObserveError::Run { sample, .. }
            | ObserveError::NotFinite { sample, .. } => Some(*sample),
        }
    }
}

/// Runs `graph` on every sample, in parallel, and calls `progress` after each.
///
/// # Errors
/// Where there is no sample, or one does not fit, does not run, or drives a value out of the finite numbers. With several bad
/// samples it is always the first that is named.
pub fn observe(
    graph: &Graph,
    executor: &dyn Execute,
    samples: &dyn Samples,
    progress: &(dyn Fn() + Sync),
) -> Result<Observations, ObserveError> {
    if samples.is_empty() {
        return Err(ObserveError::NoSamples);
    }
    let parts = observe_dealt(graph, executor, samples, 0..samples.len(), 1, progress)?;
    Ok(Observations::of_all(parts))
}

/// As [`observe`], on some of the samples, dealt to so many parts: sample `i` counts in part `i % parts` alone. Parts merge to what the
/// whole would give.
///
/// # Errors
/// As [`observe`] has.
pub fn observe_dealt(
    graph: &Graph,
    executor: &dyn Execute,
    samples: &dyn Samples,
    which: std::ops::Range<usize>,
    parts: usize,
    progress: &(dyn Fn() + Sync),
) -> Result<Vec<Observations>, ObserveError> {
    type Outcome = Result<Vec<Observations>, (usize, ObserveError)>;
    let observer = Observer::new(graph);
    let parts = parts.max(1);
    // Samples past one that failed need not run; those before it must, for one of them may fail too.
    let failed = AtomicUsize::new(usize::MAX);
    let one = |seen: Outcome, sample: usize| {
        if sample > failed.load(Ordering::Relaxed) {
            return seen;
        }
        let mut seen = seen?;
        match observer.run(executor, samples, sample, &mut seen[sample % parts]) {
            Ok(()) => progress(),
            Err(error) => {
                failed.fetch_min(sample, Ordering::Relaxed);
                return Err((sample, error));
            }
        }
        Ok(seen)
    };
    let nothing = || Ok(vec![Observations::default(); parts]);
    let merged = which.into_par_iter().fold(nothing, one).reduce(nothing, |a: Outcome, b| match (a, b) {
        (Ok(a), Ok(b)) => Ok(a.into_iter().zip(b).map(|(a, b)| a.merge(b)).collect()),
        (Err(a), Err(b)) => Err(if a.0 <= b.0 { a } else { b }),
        (Err(e), Ok(_)) | (Ok(_), Err(e)) => Err(e),
    });
    merged.map_err(|(_, error)| error)
}

/// What must be known of a graph to look at its values.
struct Observer<'a> {
    graph: &'a Graph,
    producers: Vec<Option<usize>>,
    /// Where each value must lie.
    bounds: Vec<Range>,
    /// Values whose rows a softmax compares.
    logits: FxHashSet<ValueId>,
    /// Constants with an infinite element.
    infinite: FxHashSet<ValueId>,
}

impl<'a> Observer<'a> {
    fn new(graph: &'a Graph) -> Observer<'a> {
        let mut logits = FxHashSet::default();
        for node in &graph.nodes {
            for (i, input) in node.inputs.iter().enumerate() {
                if let (Some(id), Sees::Logits) = (input, sees(&node.op, i)) {
                    logits.insert(*id);
                }
            }
        }
        let holds_infinity = |data: &Tensor| data.to_f32s().is_ok_and(|v| v.iter().any(|x| x.is_infinite()));
        let values = graph.values.iter().enumerate();
        let infinite = values
            .filter(|(_, v)| v.data.as_ref().is_some_and(|data| data.dtype().is_float() && holds_infinity(data)))
            .map(|(i, _)| ValueId(i as u32))
            .collect();
        Observer { graph, producers: graph.producers(), bounds: bounds(graph), logits, infinite }
    }

    /// Runs one sample and adds what it shows to `seen`.
    fn run(
        &self,
        executor: &dyn Execute,
        samples: &dyn Samples,
        sample: usize,
        seen: &mut Observations,
    ) -> Result<(), ObserveError> {
        let inputs = samples.load(sample).map_err(|message| ObserveError::Load { sample, message })?;
        self.check_inputs(&inputs, sample)?;
        seen.samples += 1;
        let mut infinite = self.infinite.clone();
        let mut error = None;
        let result = executor.execute(&inputs, &mut |id, tensor| {
            if error.is_none() && matches!(tensor.dtype(), DType::F32) {
                error = self.look(id, tensor, seen, &mut infinite).err();
            }
        });
        if let Some((what, id)) = error {
            let value = self.graph.value(id).name.clone();
            return Err(ObserveError::NotFinite { sample, what, value, origin: self.origin(id) });
        }
        result.map_err(|message| ObserveError::Run { sample, message })
    }

    fn check_inputs(&self, inputs: &[Tensor], sample: usize) -> Result<(), ObserveError> {
        let (expected, actual) = (self.graph.inputs.len(), inputs.len());
        if expected != actual {
            return Err(ObserveError::Count { sample, expected, actual });
        }
        for (&id, tensor) in self.graph.inputs.iter().zip(inputs) {
            let (value, actual) = (self.graph.value(id), Type::of(tensor));
            if value.ty.dtype != actual.dtype || !value.ty.shape.agrees_with(&actual.shape) {
                let (input, expected) = (value.name.clone(), value.ty.clone());
                return Err(ObserveError::Input { sample, input, expected, actual });
            }
        }
        Ok(())
    }

    /// Takes in a value. `infinite` gathers the values with infinite elements: what is computed from them may be
    /// infinite too, as masks before a softmax are.
    fn look(
        &self,
        id: ValueId,
        tensor: &Tensor,
        seen: &mut Observations,
        infinite: &mut FxHashSet<ValueId>,
    ) -> Result<(), (&'static str, ValueId)> {
        let Ok(values) = tensor.view::<f32>() else { return Ok(()) };
        let extremes = Extremes::of(&values);
        if extremes.nan {
            return Err(("NaN", id));
        }
        if extremes.infinite {
            let producer = self.producers.get(id.0 as usize).copied().flatten();
            let operands = producer.map(|node| self.graph.nodes[node].inputs.as_slice()).unwrap_or_default();
            if !operands.iter().flatten().any(|operand| infinite.contains(operand)) {
                return Err(("infinity", id));
            }
            infinite.insert(id);
        }
        let name = || Seen::new(&self.graph.value(id).name, self.bounds[id.0 as usize]);
        let value = seen.values.entry(id.0).or_insert_with(name);
        let range = if extremes.infinite { Range::of(&values) } else { extremes.range };
        value.add(range);
        if self.logits.contains(&id) {
            value.lower_row_maximum(lowest_row_maximum(&values, tensor.shape().last().copied().unwrap_or(1)));
        }
        let masked = range.is_some_and(|range| stands_for_infinity(range.min) || stands_for_infinity(range.max));
        if let Some(moderate) = if masked { Range::of_moderate(&values) } else { range } {
            value.histogram.add(&values, moderate);
        }
        Ok(())
    }

    fn origin(&self, id: ValueId) -> Option<String> {
        let node = &self.graph.nodes[self.producers.get(id.0 as usize).copied().flatten()?];
        Some(match self.graph.origin(node) {
            Some(origin) => format!("{} {:?}", origin.op, origin.name),
            None => node.op.name().to_string(),
        })
    }
}

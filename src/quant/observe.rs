//! Runs a float graph on samples and keeps what quantization needs to know of every value.
//!
//! Keeps extremes, not tensors: memory is that of one run for each thread. Extremes merge exactly and in any order, so the bytes
//! of the result depend neither on the number of threads nor on how samples were dealt to machines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::range::Range;
use super::spec::{Sees, sees};
use crate::graph::{Execute, Graph, Type, ValueId};
use crate::tensor::{DType, Tensor};

/// What was seen of one value over all samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Name of the value, to recognize the graph by.
    pub name: String,
    /// Hull of the finite elements; `None` where none was finite.
    pub range: Option<Range>,
    /// The lowest among the maxima of rows along the last axis. Kept for operands of a softmax only; rows that are
    /// masked as a whole don't count.
    pub lowest_row_maximum: Option<f32>,
}

/// What was seen of every float value that depends on the inputs, by index of the value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    pub samples: usize,
    pub values: BTreeMap<u32, Observed>,
}

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
) -> Result<Statistics, ObserveError> {
    if samples.is_empty() {
        return Err(ObserveError::NoSamples);
    }
    let observer = Observer::new(graph);
    // Samples past one that failed need not run; those before it must, for one of them may fail too.
    let failed = AtomicUsize::new(usize::MAX);
    let one = |sample: usize| {
        if sample > failed.load(Ordering::Relaxed) {
            return Ok(Statistics::default());
        }
        let result = observer.run(executor, samples, sample);
        match &result {
            Ok(_) => progress(),
            Err(_) => {
                failed.fetch_min(sample, Ordering::Relaxed);
            }
        }
        result.map_err(|error| (sample, error))
    };
    let merged = (0..samples.len()).into_par_iter().map(one).reduce(
        || Ok(Statistics::default()),
        |a, b| match (a, b) {
            (Ok(a), Ok(b)) => Ok(a.merge(b)),
            (Err(a), Err(b)) => Err(if a.0 <= b.0 { a } else { b }),
            (Err(e), Ok(_)) | (Ok(_), Err(e)) => Err(e),
        },
    );
    merged.map_err(|(_, error)| error)
}

impl Statistics {
    /// What was seen on both sides; the same in whatever order and grouping.
    #[must_use]
    pub fn merge(mut self, other: Statistics) -> Statistics {
        self.samples += other.samples;
        for (id, theirs) in other.values {
            match self.values.get_mut(&id) {
                None => drop(self.values.insert(id, theirs)),
                Some(ours) => {
                    ours.range = either(ours.range, theirs.range, Range::hull);
                    let lowest = either(ours.lowest_row_maximum, theirs.lowest_row_maximum, f32::min);
                    ours.lowest_row_maximum = lowest;
                }
            }
        }
        self
    }

    pub fn get(&self, id: ValueId) -> Option<&Observed> {
        self.values.get(&id.0)
    }

    /// The name of a value that these statistics and `graph` do not agree on.
    pub fn disagreement(&self, graph: &Graph) -> Option<&str> {
        let differs =
            |(id, seen): &(&u32, &Observed)| graph.values.get(**id as usize).is_none_or(|v| v.name != seen.name);
        self.values.iter().find(differs).map(|(_, seen)| seen.name.as_str())
    }
}

fn either<T>(a: Option<T>, b: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

/// What must be known of a graph to look at its values.
struct Observer<'a> {
    graph: &'a Graph,
    producers: Vec<Option<usize>>,
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
        Observer { graph, producers: graph.producers(), logits, infinite }
    }

    fn run(&self, executor: &dyn Execute, samples: &dyn Samples, sample: usize) -> Result<Statistics, ObserveError> {
        let inputs = samples.load(sample).map_err(|message| ObserveError::Load { sample, message })?;
        self.check_inputs(&inputs, sample)?;
        let mut seen = Statistics { samples: 1, values: BTreeMap::new() };
        let mut infinite = self.infinite.clone();
        let mut error = None;
        let result = executor.execute(&inputs, &mut |id, tensor| {
            if error.is_none() && matches!(tensor.dtype(), DType::F32) {
                error = self.look(id, tensor, &mut seen, &mut infinite).err();
            }
        });
        if let Some((what, id)) = error {
            let value = self.graph.value(id).name.clone();
            return Err(ObserveError::NotFinite { sample, what, value, origin: self.origin(id) });
        }
        result.map_err(|message| ObserveError::Run { sample, message })?;
        Ok(seen)
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

    /// Notes the extremes of a value. `infinite` gathers the values with infinite elements: what is computed from them may be
    /// infinite too, as masks before a softmax are.
    fn look(
        &self,
        id: ValueId,
        tensor: &Tensor,
        seen: &mut Statistics,
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
        let lowest_row_maximum = match self.logits.contains(&id) {
            true => lowest_row_maximum(&values, tensor.shape().last().copied().unwrap_or(1)),
            false => None,
        };
        let name = self.graph.value(id).name.clone();
        let range = if extremes.infinite { Range::of(&values) } else { extremes.range };
        let now =
            Statistics { samples: 0, values: BTreeMap::from([(id.0, Observed { name, range, lowest_row_maximum })]) };
        *seen = std::mem::take(seen).merge(now);
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

/// One pass over the elements.
struct Extremes {
    /// Sound where nothing is infinite or NaN.
    range: Option<Range>,
    nan: bool,
    infinite: bool,
}

impl Extremes {
    /// Sixteen lanes of minima and maxima, which the compiler keeps in vector registers.
    fn of(values: &[f32]) -> Extremes {
        const LANES: usize = 16;
        let (mut min, mut max, mut sum) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], [0f32; LANES]);
        let chunks = values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (lane, &x) in chunk.iter().enumerate() {
                min[lane] = if x < min[lane] { x } else { min[lane] };
                max[lane] = if x > max[lane] { x } else { max[lane] };
                // Zero times a number is zero, and NaN for what is no finite number.
                sum[lane] += x * 0.0;
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            min[lane] = if x < min[lane] { x } else { min[lane] };
            max[lane] = if x > max[lane] { x } else { max[lane] };
            sum[lane] += x * 0.0;
        }
        let (min, max) =
            (min.into_iter().fold(f32::INFINITY, f32::min), max.into_iter().fold(f32::NEG_INFINITY, f32::max));
        let all_finite = !sum.iter().any(|s| s.is_nan());
        let nan = !all_finite && values.iter().any(|x| x.is_nan());
        let range = (min <= max).then_some(Range { min: min + 0.0, max: max + 0.0 });
        Extremes { range, nan, infinite: !all_finite && values.iter().any(|x| x.is_infinite()) }
    }
}

/// A row whose largest element is below this is masked as a whole: nobody reads its softmax.
const MASKED: f32 = -1e3;

fn lowest_row_maximum(values: &[f32], row: usize) -> Option<f32> {
    let maxima = values.chunks_exact(row.max(1)).map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    maxima.filter(|&max| max > MASKED).reduce(f32::min).map(|x| x + 0.0)
}

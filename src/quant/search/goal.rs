//! What is asked of the outputs, and how far a quantized graph holds it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{FEW, Search, SearchError};
use crate::graph::{Graph, ValueId};
use crate::quant::account::{Simulate, decibels, reals, spread};
use crate::quant::observe::ObserveError;
use crate::tensor::Tensor;

/// How good the outputs must be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Signal to noise of every output against the float graph, in dB.
    Sqnr(f64),
    /// Percent of the samples that may be classified wrong beyond those that the float graph gets wrong.
    Drop(f64),
}

/// Interpreters differ from the simulation by a step here and there.
const MARGIN: f64 = 0.2;

impl Goal {
    pub(super) fn holds(&self, score: &Score) -> bool {
        match self {
            Goal::Sqnr(least) => score.sqnr >= least + MARGIN,
            Goal::Drop(most) => score.drop.is_some_and(|drop| drop <= *most),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::Sqnr(least) => write!(f, "{least} dB"),
            Goal::Drop(most) => write!(f, "a drop of {most} %"),
        }
    }
}

/// How good the outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Signal to noise of the worst output over all samples, in dB.
    pub sqnr: f64,
    /// Percent of the samples that are classified wrong beyond those of the float graph, where there are labels.
    pub drop: Option<f64>,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} dB", self.sqnr)?;
        match self.drop {
            Some(drop) => write!(f, ", drop {drop:.2} %"),
            None => Ok(()),
        }
    }
}

/// Makes the graph that is compared, by the statistics of one of the folds.
pub(super) type Quantized<'a> = &'a dyn Fn(usize) -> Result<Graph, SearchError>;

/// Samples, and what the float graph makes of them.
pub(super) struct Judge<'a> {
    samples: Vec<Sample>,
    /// Whether elements of each output are to be equal, and not near.
    exact: Vec<bool>,
    labels: &'a [i64],
    /// Samples that the float graph classifies right.
    right: usize,
}

#[derive(Clone)]
struct Sample {
    /// See [`Search::folds`].
    fold: usize,
    inputs: Vec<Tensor>,
    /// Reals of each output; `None` where it depends on no input.
    outputs: Vec<Option<Vec<f32>>>,
    classes: Vec<i64>,
}

/// Signal and noise of each output, and how many samples are classified right.
struct Sums {
    signal: Vec<f64>,
    noise: Vec<f64>,
    right: usize,
}

/// Samples that signal to noise is measured on; accuracy takes all.
const ENOUGH: usize = 32;

impl<'a> Judge<'a> {
    pub(super) fn new(search: &Search<'a>) -> Result<Judge<'a>, SearchError> {
        let all = search.samples.len();
        let which = if search.labels.is_empty() { spread(all, ENOUGH) } else { (0..all).collect() };
        let runs = (search.simulate)(search.graph).map_err(|message| ObserveError::Run { sample: 0, message })?;
        let graph = search.graph;
        let exact: Vec<bool> = graph.outputs.iter().map(|&id| !graph.dtype(id).is_float()).collect();
        let load = |&sample: &usize| -> Result<Sample, SearchError> {
            let inputs = search.samples.load(sample).map_err(|message| ObserveError::Load { sample, message })?;
            let (outputs, classes) = run(graph, runs.as_ref(), &inputs, sample)?;
            Ok(Sample { fold: search.fold(sample), inputs, outputs, classes })
        };
        let samples: Vec<Sample> = which.par_iter().map(load).collect::<Result<_, _>>()?;
        let classified: usize = samples.iter().map(|sample| sample.classes.len()).sum();
        if !search.labels.is_empty() && classified != search.labels.len() {
            let what = format!("{} labels for {classified} rows of the first output", search.labels.len());
            return Err(SearchError::Labels(what));
        }
        let right = right(search.labels, samples.iter().flat_map(|sample| &sample.classes));
        Ok(Judge { samples, exact, labels: search.labels, right })
    }

    /// Some of the samples alone, without labels.
    pub(super) fn few(&self) -> Judge<'static> {
        let which = spread(self.samples.len(), FEW);
        let samples = which.into_iter().map(|i| self.samples[i].clone()).collect();
        Judge { samples, exact: self.exact.clone(), labels: &[], right: 0 }
    }

    /// `quantized` makes the graph for one of the folds.
    pub(super) fn score(&self, quantized: Quantized<'_>, simulate: Simulate<'_>) -> Result<Score, SearchError> {
        let sums = self.compare(quantized, simulate)?;
        let count = self.labels.len();
        let drop = (count > 0).then(|| (self.right as f64 - sums.right as f64) * 100.0 / count as f64);
        Ok(Score { sqnr: decibels(1.0, worst(&sums)), drop })
    }

    /// Noise over signal, of the worst output.
    pub(super) fn noise(&self, quantized: Quantized<'_>, simulate: Simulate<'_>) -> Result<f64, SearchError> {
        Ok(worst(&self.compare(quantized, simulate)?))
    }

    fn compare(&self, quantized: Quantized<'_>, simulate: Simulate<'_>) -> Result<Sums, SearchError> {
        let mut graphs: BTreeMap<usize, Graph> = BTreeMap::new();
        for fold in self.samples.iter().map(|sample| sample.fold) {
            if let Entry::Vacant(entry) = graphs.entry(fold) {
                entry.insert(quantized(fold)?);
            }
        }
        let runs = |(&fold, graph)| match simulate(graph) {
            Ok(runs) => Ok((fold, (graph, runs))),
            Err(message) => Err(ObserveError::Run { sample: 0, message }),
        };
        let runs: BTreeMap<usize, (&Graph, _)> = graphs.iter().map(runs).collect::<Result<_, _>>()?;
        let one = |(i, sample): (usize, &Sample)| -> Result<_, SearchError> {
            let (graph, runs) = &runs[&sample.fold];
            let (outputs, classes) = run(graph, runs.as_ref(), &sample.inputs, i)?;
            let pairs = sample.outputs.iter().zip(&outputs).zip(&self.exact);
            let sums: Vec<(f64, f64)> = pairs.map(|((float, found), exact)| compared(float, found, *exact)).collect();
            Ok((sums, classes))
        };
        // Sums of floats depend on their order: that of the samples, whoever is first.
        let found: Vec<_> = self.samples.par_iter().enumerate().map(one).collect::<Result<_, SearchError>>()?;
        let outputs = self.exact.len();
        let mut sums = Sums { signal: vec![0.0; outputs], noise: vec![0.0; outputs], right: 0 };
        for (of_sample, _) in &found {
            for (i, (signal, noise)) in of_sample.iter().enumerate() {
                sums.signal[i] += signal;
                sums.noise[i] += noise;
            }
        }
        sums.right = right(self.labels, found.iter().flat_map(|(_, classes)| classes));
        Ok(sums)
    }
}

/// How many classes are what the labels say.
fn right<'c>(labels: &[i64], classes: impl Iterator<Item = &'c i64>) -> usize {
    labels.iter().zip(classes).filter(|(label, class)| label == class).count()
}

type Outputs = (Vec<Option<Vec<f32>>>, Vec<i64>);

/// Outputs as reals, and the class of each row of the first one.
fn run(
    graph: &Graph,
    runs: &dyn crate::graph::Execute,
    inputs: &[Tensor],
    sample: usize,
) -> Result<Outputs, ObserveError> {
    let mut outputs: Vec<Option<Vec<f32>>> = vec![None; graph.outputs.len()];
    let mut classes = Vec::new();
    let mut look = |id: ValueId, tensor: &Tensor| {
        for (i, _) in graph.outputs.iter().enumerate().filter(|(_, output)| **output == id) {
            outputs[i] = reals(tensor, graph.value(id).quant.as_ref());
            if i == 0 {
                classes = classes_of(tensor, outputs[i].as_deref().unwrap_or(&[]));
            }
        }
    };
    runs.execute(inputs, &mut look).map_err(|message| ObserveError::Run { sample, message })?;
    Ok((outputs, classes))
}

/// The largest element of each row; integers are classes themselves.
fn classes_of(tensor: &Tensor, values: &[f32]) -> Vec<i64> {
    if !tensor.dtype().is_float() && tensor.rank() <= 1 {
        return values.iter().map(|&x| x as i64).collect();
    }
    let row = tensor.shape().last().copied().unwrap_or(1).max(1);
    let largest = |row: &[f32]| {
        let best =
            row.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, &x)| if x > best.1 { (i, x) } else { best });
        best.0 as i64
    };
    values.chunks_exact(row).map(largest).collect()
}

/// Signal and noise of one output.
fn compared(float: &Option<Vec<f32>>, found: &Option<Vec<f32>>, exact: bool) -> (f64, f64) {
    let (Some(float), Some(found)) = (float, found) else { return (0.0, 0.0) };
    if float.len() != found.len() {
        return (0.0, f64::INFINITY);
    }
    if exact {
        return (float.len() as f64, float.iter().zip(found).filter(|(x, q)| x != q).count() as f64);
    }
    let pairs = float.iter().zip(found).filter(|(x, _)| x.is_finite());
    let sums = pairs.fold((0.0, 0.0), |(signal, noise), (&x, &q)| {
        let (x, q) = (f64::from(x), f64::from(q));
        (signal + x * x, noise + (x - q) * (x - q))
    });
    if sums.1.is_nan() { (sums.0, f64::INFINITY) } else { sums }
}

fn worst(sums: &Sums) -> f64 {
    let ratio = |(signal, noise): (&f64, &f64)| if *noise == 0.0 { 0.0 } else { noise / signal };
    sums.signal.iter().zip(&sums.noise).map(ratio).fold(0.0, f64::max)
}

//! What quantization costs, operator by operator: the quantized graph beside the float graph that it comes from, on samples.
//!
//! ```text
//! beside   both graphs, and every quantized node alone on float operands, as one graph   -> Beside
//! measure  sums of signal and noise while that graph runs                                -> Sums, one a place
//! cause    what is the likely reason                                                     -> Cause
//! page     the account as a page to look at
//! ```
//!
//! As the graphs run side by side, node by node, memory is that of one run of each, whatever the number of samples is. Knows
//! nothing of how a graph is run: who wants an account hands in what makes an executor ([`Simulate`]).

mod beside;
mod cause;
mod measure;
mod page;

use rayon::prelude::*;
use serde::Serialize;

use super::observe::{ObserveError, Samples};
use super::range::Range;
use crate::graph::{Execute, Graph, Origin};
use beside::{Beside, Place};
use measure::Sums;

pub use cause::Cause;
pub(super) use measure::{decibels, reals};

/// Makes what runs a graph; a quantized one as its integers would be. An error is a sentence.
pub type Simulate<'a> = &'a (dyn Fn(&Graph) -> Result<Box<dyn Execute>, String> + Sync);

/// Signal to noise where there is no noise at all, in dB.
pub const NO_NOISE: f64 = 200.0;

/// Noise of a quantized graph against the float graph that it comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Account {
    /// How many samples it is an account of.
    pub samples: usize,
    /// Outputs of the graph, in order.
    pub outputs: Vec<OutputNoise>,
    /// Results of operators, in the order of computation.
    pub operators: Vec<OperatorNoise>,
}

/// Noise of one output of the graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputNoise {
    pub name: String,
    /// Signal to noise over all samples, in dB; of integers, one over the share that differs.
    pub sqnr: f64,
}

/// Noise of one operator's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorNoise {
    /// Node of the source model, where there is one.
    pub origin: Option<Origin>,
    /// The builtin's name.
    pub op: &'static str,
    /// Name of the result.
    pub value: String,
    /// How the result is stored.
    pub dtype: &'static str,
    /// Signal to noise of the result in the quantized graph, in dB; of what its users can tell apart.
    pub sqnr: f64,
    /// The node's own part: signal to noise, in dB, of the node alone on the float graph's operands, rounded as it takes them.
    /// `None` where it adds no noise.
    pub own: Option<f64>,
    /// What the float graph's result was, as far as its users can tell it apart.
    pub seen: Range,
    /// What the stored integers can hold; `None` for floats.
    pub stored: Option<Range>,
    /// Share of the elements that the stored integers can't hold.
    pub clipped: f64,
    pub cause: Cause,
}

impl Account {
    /// The worst output's signal to noise in dB; [`NO_NOISE`] where there is no output.
    pub fn worst(&self) -> f64 {
        self.outputs.iter().map(|output| output.sqnr).fold(NO_NOISE, f64::min)
    }

    /// Mean of the outputs' signal to noise in dB; [`NO_NOISE`] where there is no output.
    pub fn mean(&self) -> f64 {
        match self.outputs.len() {
            0 => NO_NOISE,
            n => self.outputs.iter().map(|output| output.sqnr).sum::<f64>() / n as f64,
        }
    }

    /// Operators, the noisiest first.
    pub fn by_noise(&self) -> Vec<&OperatorNoise> {
        let mut operators: Vec<&OperatorNoise> = self.operators.iter().collect();
        operators.sort_by(|a, b| a.sqnr.total_cmp(&b.sqnr));
        operators
    }

    /// One page of HTML that needs nothing else.
    pub fn to_html(&self) -> String {
        page::page(self)
    }

    /// The operators as a part of a page; the table of them may be folded up.
    pub fn operators_html(&self, unfolded: bool) -> String {
        page::operators(self, unfolded)
    }
}

/// How much an account says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The outputs alone.
    Outputs,
    /// Every operator, with its own part and the likely cause.
    Operators,
}

/// Samples of `of` at even distances, at most `most`.
pub fn spread(of: usize, most: usize) -> Vec<usize> {
    let count = of.min(most);
    (0..count).map(|i| i * of / count).collect()
}

/// Runs `quantized` beside the graph `float` that it was made of, on the samples with these numbers. Values are matched by id and
/// name, outputs by their order.
///
/// # Errors
/// Where a sample can't be loaded, or a graph can't be run.
pub fn account(
    float: &Graph,
    quantized: &Graph,
    simulate: Simulate<'_>,
    samples: &dyn Samples,
    which: &[usize],
    detail: Detail,
) -> Result<Account, ObserveError> {
    let beside = Beside::new(float, quantized, detail);
    let runs = simulate(&beside.graph).map_err(|message| ObserveError::Run { sample: 0, message })?;
    let one = |&sample: &usize| -> Result<Vec<Sums>, ObserveError> {
        let inputs = samples.load(sample).map_err(|message| ObserveError::Load { sample, message })?;
        measure::measure(&beside, runs.as_ref(), &inputs).map_err(|message| ObserveError::Run { sample, message })
    };
    // Sums of floats depend on their order: that of the samples, whoever is first.
    let of_samples: Vec<Vec<Sums>> = which.par_iter().map(one).collect::<Result<_, _>>()?;
    let mut sums = vec![Sums::default(); beside.places.len()];
    of_samples.into_iter().flatten().zip((0..sums.len()).cycle()).for_each(|(more, i)| sums[i].add(more));
    let mut account = Account { samples: which.len(), ..Account::default() };
    for (place, sums) in beside.places.iter().zip(&sums) {
        match place.node {
            None => {
                let name = float.value(place.float).name.clone();
                account.outputs.push(OutputNoise { name, sqnr: sums.sqnr() });
            }
            Some(_) => account.operators.extend(operator(float, quantized, place, sums)),
        }
    }
    Ok(account)
}

/// `None` for what was not computed while samples ran: it depends on constants alone.
fn operator(float: &Graph, quantized: &Graph, place: &Place, sums: &Sums) -> Option<OperatorNoise> {
    let node = quantized.nodes.get(place.node?)?;
    let seen = sums.range?;
    Some(OperatorNoise {
        origin: quantized.origin(node).cloned(),
        op: node.op.name(),
        value: float.value(place.float).name.clone(),
        dtype: quantized.dtype(place.stored).name(),
        sqnr: sums.sqnr(),
        own: sums.own(),
        seen,
        stored: place.range,
        clipped: sums.clipped_share(),
        cause: cause::cause(quantized, node, place, sums),
    })
}

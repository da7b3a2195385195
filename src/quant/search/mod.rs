//! The search for a mixed precision: which operators must not be 8-bit integers for the outputs to be as good as is asked.
//!
//! 1. Quantizes the whole graph. Where that is good enough, there is nothing to search.
//! 2. Quantizes each operator alone and sums up what noise that makes at the outputs.
//! 3. Lifts the operators that make most noise for the arithmetic they do, as few of them as hold what was asked; how few is found
//!    by halving, each time with the whole graph simulated.
//! 4. Tries to bring back those that do most of the arithmetic.
//!
//! Noise of operators adds up only roughly, so that it decides on the order alone: every answer was simulated. Knows nothing of
//! how a graph is run ([`Simulate`]).

mod goal;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use goal::Judge;
pub use goal::{Goal, Score};

use super::account::{Simulate, decibels};
use super::choice::{Choice, Choices, Quantize};
use super::observe::{ObserveError, Samples, Statistics};
use super::{IntegerOptions, QuantError, QuantReport, quantize_integer};
use crate::graph::{Graph, Node, Origin, multiply_adds};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    Quantize(#[from] QuantError),
    #[error("{0}")]
    Labels(String),
    #[error("{goal} is not reached even with all operators as {fallback}: {reached}")]
    NotReached { goal: Goal, fallback: &'static str, reached: Score },
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchReport {
    pub goal: Goal,
    /// Of the whole graph in what was asked for first.
    pub before: Score,
    /// Of the answer, simulated.
    pub reached: Score,
    /// Share of the multiplications that stay 8-bit integers, from 0 to 1; as the float graph has them.
    pub kept: f64,
    /// What lifted operators are.
    pub fallback: &'static str,
    /// Operators that are not 8-bit integers now, those first that made most noise.
    pub lifted: Vec<Lifted>,
    /// Graphs that were simulated.
    pub tried: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lifted {
    pub origin: Option<Origin>,
    pub op: &'static str,
    /// Name of the first result.
    pub value: String,
    /// Signal to noise of the worst output where this operator alone is quantized, in dB.
    pub alone: f64,
    /// Share of the graph's multiplications, from 0 to 1.
    pub share: f64,
}

/// What is searched, and with what means.
pub struct Search<'a> {
    pub graph: &'a Graph,
    pub statistics: &'a Statistics,
    /// What samples are judged by: number `i` by `folds[i % folds.len()]`, all by `statistics` where there are no folds. Where samples are
    /// those of calibration, ranges that fit a sample because it had a part in them would say little about the next one; so each fold
    /// leaves out the samples it judges.
    pub folds: &'a [Statistics],
    /// What is asked of each operator where nothing is lifted.
    pub choices: &'a Choices,
    /// What lifted operators become.
    pub fallback: Choice,
    pub options: IntegerOptions,
    pub goal: Goal,
    pub simulate: Simulate<'a>,
    /// What the goal is measured on.
    pub samples: &'a dyn Samples,
    /// The class of each sample, for [`Goal::Drop`].
    pub labels: &'a [i64],
}

/// An operator that may be lifted: all nodes that have one name for their first result.
struct Unit {
    nodes: Vec<usize>,
    macs: u64,
    /// Noise of each output over its signal, where this alone is quantized.
    noise: f64,
}

/// Samples that the noise of single operators is measured on.
const FEW: usize = 2;
/// How often operators are brought back and the whole simulated again, at most.
const RETURNS: usize = 24;

impl Search<'_> {
    /// # Errors
    /// Where samples or graphs can't be run, labels don't fit, or nothing reaches the goal.
    pub fn run(&self) -> Result<(Choices, SearchReport), SearchError> {
        let judge = Judge::new(self)?;
        let mut tried = 1;
        let before = self.score(&judge, self.choices)?;
        let mut units = self.units(&self.report(self.choices)?);
        let mut lifted: BTreeSet<usize> = BTreeSet::new();
        let mut reached = before;
        if !self.goal.holds(&before) {
            self.measure_alone(&judge, &mut units)?;
            tried += units.len();
            self.sort(&mut units);
            let fewest = self.fewest(&judge, &units, &mut tried)?;
            lifted = (0..fewest).collect();
            reached = self.bring_back(&judge, &units, &mut lifted, &mut tried)?;
        }
        let choices = self.lift(&units, &lifted);
        let total = self.graph.nodes.iter().map(|node| multiply_adds(self.graph, node)).sum::<u64>().max(1) as f64;
        let found = SearchReport {
            goal: self.goal,
            before,
            reached,
            kept: self.kept(&choices, &self.report(&choices)?) as f64 / total,
            fallback: self.fallback.quantize.name(),
            lifted: lifted.iter().map(|&i| self.lifted(&units[i], total)).collect(),
            tried,
        };
        Ok((choices, found))
    }

    /// Which fold judges a sample.
    fn fold(&self, sample: usize) -> usize {
        sample % self.folds.len().max(1)
    }

    fn judging(&self, fold: usize) -> &Statistics {
        self.folds.get(fold).unwrap_or(self.statistics)
    }

    /// Everything that became 8-bit integers, by name of the first result.
    fn units(&self, report: &QuantReport) -> Vec<Unit> {
        let float: BTreeSet<&str> = report.float.iter().map(|node| node.value.as_str()).collect();
        let mut by_name: BTreeMap<&str, Unit> = BTreeMap::new();
        for (i, node) in self.graph.nodes.iter().enumerate() {
            let Some(&result) = node.outputs.first() else { continue };
            let name = self.graph.value(result).name.as_str();
            if self.choices.of(node).quantize == Quantize::Int8 && !float.contains(name) {
                let unit = by_name.entry(name).or_insert(Unit { nodes: Vec::new(), macs: 0, noise: 0.0 });
                unit.nodes.push(i);
                unit.macs = unit.macs.saturating_add(multiply_adds(self.graph, node));
            }
        }
        by_name.into_values().collect()
    }

    /// Quantizes each unit alone, with every conversion that this takes.
    fn measure_alone(&self, judge: &Judge<'_>, units: &mut [Unit]) -> Result<(), SearchError> {
        let judge = judge.few();
        units.par_iter_mut().try_for_each(|unit| {
            let mut choices = Choices::all(Quantize::None);
            self.choose(&mut choices, unit, |node| self.choices.of(node));
            let options = IntegerOptions { every_kernel: true };
            let by_fold = |fold: usize| Ok(self.quantized(self.judging(fold), &choices, options)?.0);
            unit.noise = judge.noise(&by_fold, self.simulate)?;
            Ok(())
        })
    }

    /// Those first that make most noise for what they do. An operator that multiplies nothing has its price too: conversions.
    fn sort(&self, units: &mut [Unit]) {
        let total = units.iter().map(|unit| unit.macs).sum::<u64>().max(1) as f64;
        let each = 0.5 / units.len().max(1) as f64;
        let gain = |unit: &Unit| unit.noise / (unit.macs as f64 / total + each);
        units.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    }

    /// How many of the units, from the first on, must be lifted.
    fn fewest(&self, judge: &Judge<'_>, units: &[Unit], tried: &mut usize) -> Result<usize, SearchError> {
        let mut holds = |count: usize| -> Result<Score, SearchError> {
            *tried += 1;
            self.score(judge, &self.lift(units, &(0..count).collect()))
        };
        // Most answers are small: double first, halve then.
        let (mut too_few, mut enough) = (0, 1.min(units.len()));
        loop {
            let reached = holds(enough)?;
            if self.goal.holds(&reached) {
                break;
            }
            if enough == units.len() {
                let fallback = self.fallback.quantize.name();
                return Err(SearchError::NotReached { goal: self.goal, fallback, reached });
            }
            too_few = enough;
            enough = (enough * 2).min(units.len());
        }
        while enough - too_few > 1 {
            let middle = too_few.midpoint(enough);
            if self.goal.holds(&holds(middle)?) { enough = middle } else { too_few = middle }
        }
        Ok(enough)
    }

    /// Takes units out of `lifted` again that the goal holds without, those that do most first.
    fn bring_back(
        &self,
        judge: &Judge<'_>,
        units: &[Unit],
        lifted: &mut BTreeSet<usize>,
        tried: &mut usize,
    ) -> Result<Score, SearchError> {
        let mut reached = self.score(judge, &self.lift(units, lifted))?;
        let mut candidates: Vec<usize> = lifted.iter().copied().collect();
        candidates.sort_by_key(|&i| (std::cmp::Reverse(units[i].macs), std::cmp::Reverse(i)));
        for unit in candidates.into_iter().take(RETURNS) {
            lifted.remove(&unit);
            *tried += 1;
            let score = self.score(judge, &self.lift(units, lifted))?;
            if self.goal.holds(&score) {
                reached = score;
            } else {
                lifted.insert(unit);
            }
        }
        Ok(reached)
    }

    fn lift(&self, units: &[Unit], lifted: &BTreeSet<usize>) -> Choices {
        let mut choices = self.choices.clone();
        lifted.iter().for_each(|&i| self.choose(&mut choices, &units[i], |_| self.fallback));
        choices
    }

    fn choose(&self, choices: &mut Choices, unit: &Unit, choice: impl Fn(&Node) -> Choice) {
        for node in unit.nodes.iter().map(|&i| &self.graph.nodes[i]) {
            node.outputs.first().into_iter().for_each(|&id| choices.set(id, choice(node)));
        }
    }

    fn quantized(
        &self,
        statistics: &Statistics,
        choices: &Choices,
        options: IntegerOptions,
    ) -> Result<(Graph, QuantReport), SearchError> {
        let mut graph = self.graph.clone();
        let report = quantize_integer(&mut graph, statistics, choices, options)?;
        Ok((graph, report))
    }

    /// What becomes of each operator where all samples count.
    fn report(&self, choices: &Choices) -> Result<QuantReport, SearchError> {
        Ok(self.quantized(self.statistics, choices, self.options)?.1)
    }

    fn score(&self, judge: &Judge<'_>, choices: &Choices) -> Result<Score, SearchError> {
        judge.score(&|fold| Ok(self.quantized(self.judging(fold), choices, self.options)?.0), self.simulate)
    }

    /// Multiplications of nodes that are 8-bit integers.
    fn kept(&self, choices: &Choices, report: &QuantReport) -> u64 {
        let float: BTreeSet<&str> = report.float.iter().map(|node| node.value.as_str()).collect();
        let is_int8 = |node: &&Node| {
            let name = node.outputs.first().map(|&id| self.graph.value(id).name.as_str());
            choices.of(node).quantize == Quantize::Int8 && name.is_some_and(|name| !float.contains(name))
        };
        self.graph.nodes.iter().filter(is_int8).map(|node| multiply_adds(self.graph, node)).sum()
    }

    fn lifted(&self, unit: &Unit, total: f64) -> Lifted {
        let node = unit.nodes.first().map(|&i| &self.graph.nodes[i]);
        let result = node.and_then(|node| node.outputs.first());
        Lifted {
            origin: node.and_then(|node| self.graph.origin(node)).cloned(),
            op: node.map_or("", |node| node.op.name()),
            value: result.map(|&id| self.graph.value(id).name.clone()).unwrap_or_default(),
            alone: decibels(1.0, unit.noise),
            share: unit.macs as f64 / total,
        }
    }
}

//! Quantization after training: a float graph and statistics of its values become a graph on integers.
//!
//! ```text
//! observe    runs the float graph on samples                          -> Observations
//! calibrate  chooses a range for each value                           -> Statistics
//! choice     what is asked of each operator                           -> Choices
//! recipe     rules for that, and how they are written
//! prepare    writes operators without an integer kernel as ones that have one
//! spec       what each operator's kernel asks for                     -> Treatment, one a node
//! relevant   which part of each range its users can tell apart        -> Range, one a value
//! precision  which nodes are worth computing in integers              -> Decision, one a node
//! propagate  which values share a scale, and which                    -> Form, one a value
//! materialize, insert    constants as integers; QUANTIZE and DEQUANTIZE at the borders
//! search     which operators must not be 8-bit integers for a goal to be reached
//! account    what it costs, operator by operator, on samples          -> Account
//! boundary   inputs and outputs as integers, where that is asked for
//! ```
//!
//! A model that comes quantized has its scales already: [`import`] puts integer kernels between the conversions that it has.
//! [`weights`] is the other way: weights alone become smaller, and nothing is observed.
//!
//! Owns: how real numbers become integers, and where. Operators are named in [`spec`] alone (and in [`prepare`], which rewrites
//! them); the solver reads tables. Knows nothing of ONNX, of files, or of how a graph is run ([`Execute`] is handed in).
//!
//! [`Execute`]: crate::graph::Execute

mod account;
mod boundary;
mod calibrate;
mod choice;
mod cut;
mod form;
mod import;
mod insert;
mod materialize;
mod observe;
mod precision;
mod prepare;
mod propagate;
mod range;
mod recipe;
mod relevant;
mod repair;
mod report;
mod search;
mod spec;
mod weights;

#[cfg(test)]
mod tests;

pub use account::{Account, Cause, Detail, OperatorNoise, OutputNoise, Simulate, account, spread};
pub use boundary::{IoType, IoTypes, set_io_types};
pub use calibrate::{Method, RangeTable, TableReport, Widened};
pub use choice::{Choice, Choices, Quantize};
pub use import::{forget_weights, import, store_weights};
pub use insert::Conversions;
pub use observe::{
    Bounds, CalibrationStatistics, ExactSum, Histogram, Observations, ObserveError, Observed, Samples, Seen,
    Statistics, StatisticsError, observe, observe_dealt,
};
pub use range::{Params, Range};
pub use recipe::{NAMES as RECIPES, Pattern, Recipe, RecipeReport, Rule, RuleReport};
pub use repair::{Repair, Repaired, Repairs, Workshop, repair};
pub use report::{CutRange, FloatNode, QuantReport, RaisedScale};
pub use search::{Goal, Lifted, Score, Search, SearchError, SearchReport};
pub use spec::{IntegerForm, IntegerKernel, integer_kernels};
pub use weights::{Granularity, KeptWeights, StoredWeights, WeightOptions, WeightReport, quantize_weights};

use crate::graph::{Graph, Node, Op};
use form::Grid;
use precision::Decision;
use relevant::Relevant;
use spec::{Asked, Treatment};

/// What a user may ask of full-integer quantization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IntegerOptions {
    /// Use every integer kernel that computes what it should, even those whose results 8 bits hold badly: for hardware without
    /// floats.
    pub every_kernel: bool,
}

/// Why a graph was not quantized.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantError {
    #[error("the statistics hold no values; calibrate with at least one sample")]
    NoStatistics,
    #[error("the statistics are of another graph: value {value:?} is not the same here; calibrate again")]
    OtherGraph { value: String },
    #[error("constant of {place:?} can't be quantized: {message}")]
    Constant { place: String, message: String },
}

/// Quantizes the nodes of a float graph that are chosen for integers: activations of 8 or 16 bits with one scale each, weights of
/// convolutions and matrix products with one scale for each output channel or for all, biases in the width of the accumulator. Inputs
/// and outputs of the graph stay float.
///
/// # Errors
/// Where the statistics don't belong to the graph, or weights are not finite. The graph is as it was then, but for operators
/// written as others.
pub fn quantize_integer(
    graph: &mut Graph,
    statistics: &Statistics,
    choices: &Choices,
    options: IntegerOptions,
) -> Result<QuantReport, QuantError> {
    if statistics.values.is_empty() {
        return Err(QuantError::NoStatistics);
    }
    if let Some(value) = statistics.disagreement(graph) {
        return Err(QuantError::OtherGraph { value: value.into() });
    }
    let (mut statistics, mut choices) = (statistics.clone(), choices.clone());
    prepare::prepare(graph, &mut statistics, &mut choices);
    let (plans, mut report) = solve(graph, &statistics, &choices, options)?;
    let inserted = insert::insert(graph, plans);
    report.conversions = inserted.map_err(|(place, message)| QuantError::Constant { place, message })?;
    Ok(report)
}

/// Decides on everything; changes nothing.
fn solve(
    graph: &Graph,
    statistics: &Statistics,
    choices: &Choices,
    options: IntegerOptions,
) -> Result<(Vec<insert::Plan>, QuantReport), QuantError> {
    let relevant = Relevant::new(graph, statistics);
    let treatments = graph.nodes.iter().map(|node| treatment(graph, node, choices.of(node))).collect();
    let decisions = precision::decide(graph, statistics, &relevant, treatments, options.every_kernel);
    let scales = propagate::propagate(graph, &decisions, &relevant);
    let mut report = QuantReport::default();
    let mut plans = Vec::with_capacity(graph.nodes.len());
    for (node, decision) in graph.nodes.iter().zip(&decisions) {
        let value = || node.outputs.first().map(|&id| graph.value(id).name.clone()).unwrap_or_default();
        let plan = insert::plan(graph, node, decision, &scales);
        let plan = plan.map_err(|message| QuantError::Constant { place: value(), message })?;
        match (decision, &plan) {
            (Decision::Float(_), _) if matches!(node.op, Op::Quantize { .. } | Op::Dequantize) => {}
            (Decision::Float(reason), _) => report.float.push(FloatNode {
                origin: graph.origin(node).cloned(),
                op: node.op.name(),
                value: value(),
                reason: reason.clone(),
            }),
            (Decision::Integer(rule), insert::Plan::Integer { channels, .. }) => {
                match rule.grid {
                    Grid::Int8 | Grid::SymmetricInt8 => report.int8 += 1,
                    Grid::Int16 => report.int16 += 1,
                }
                if let Some(channels) = channels.as_ref().filter(|c| !c.raised.is_empty()) {
                    report.raised.push(RaisedScale { value: value(), channels: channels.raised.clone() });
                }
            }
            _ => {}
        }
        plans.push(plan);
    }
    let cut = relevant.cut().map(|(id, seen, kept)| CutRange { value: graph.value(id).name.clone(), seen, kept });
    report.cut = cut.collect();
    Ok((plans, report))
}

/// The row of a node, given what it was chosen for.
fn treatment(graph: &Graph, node: &Node, choice: Choice) -> Treatment {
    let asked = choice.grid().map(|grid| Asked { grid, weights: choice.weights });
    match (spec::treatment(graph, node, asked.unwrap_or_default()), asked) {
        (Treatment::Integer(_), None) => Treatment::Float("it is not chosen for integers"),
        (treatment, _) => treatment,
    }
}

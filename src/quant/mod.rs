//! Quantization after training: a float graph and statistics of its values become a graph on integers.
//!
//! ```text
//! observe    runs the float graph on samples                          -> Statistics
//! choice     what is asked of each operator                           -> Choices
//! prepare    writes operators without an int8 kernel as ones that have one
//! spec       what each operator's kernel asks for                     -> Treatment, one a node
//! relevant   which part of each range its users can tell apart        -> Range, one a value
//! precision  which nodes are worth computing in int8                  -> Decision, one a node
//! propagate  which values share a scale, and which                    -> Params, one a value
//! materialize, insert    constants as integers; QUANTIZE and DEQUANTIZE at the borders
//! account    what it costs, operator by operator, on samples          -> Account
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
mod choice;
mod cut;
mod import;
mod insert;
mod materialize;
mod observe;
mod precision;
mod prepare;
mod propagate;
mod range;
mod relevant;
mod repair;
mod report;
mod spec;
mod weights;

#[cfg(test)]
mod tests;

pub use account::{Account, Cause, Detail, OperatorNoise, OutputNoise, Simulate, account, spread};
pub use choice::{Choice, Choices, Quantize};
pub use import::{forget_weights, import, store_weights};
pub use insert::Conversions;
pub use observe::{ObserveError, Observed, Samples, Statistics, observe};
pub use range::{Params, Range};
pub use repair::{Repair, Repaired, Repairs, Workshop, repair};
pub use report::{CutRange, FloatNode, QuantReport, RaisedScale};
pub use weights::{Granularity, KeptWeights, StoredWeights, WeightOptions, WeightReport, quantize_weights};

use crate::graph::{Graph, Op};
use precision::Decision;
use relevant::Relevant;
use spec::Treatment;

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

/// Quantizes the nodes of a float graph that are chosen for int8: activations with one scale each, weights of convolutions and matrix products with one scale
/// for each output channel, biases in 32 bits. Inputs and outputs of the graph stay float.
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
    let mut statistics = statistics.clone();
    prepare::prepare(graph, &mut statistics);
    let (plans, mut report) = solve(graph, &statistics, choices, options)?;
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
    let treatments = graph.nodes.iter().map(|node| asked(choices.of(node), spec::treatment(graph, node))).collect();
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
            (Decision::Int8(_), insert::Plan::Int8 { channels, .. }) => {
                report.int8 += 1;
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

/// What becomes of a node that has a row in the table, given what it was chosen for.
fn asked(choice: Choice, treatment: Treatment) -> Treatment {
    match treatment {
        Treatment::Int8(_) if choice.quantize != Quantize::Int8 => Treatment::Float("it is not chosen for int8"),
        treatment => treatment,
    }
}

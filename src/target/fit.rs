//! A model against a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::rule::{At, Rule};
use super::{Row, Table, Target};
use crate::graph::{Graph, Model, Op, Origin, Value, multiply_adds};
use crate::tensor::DType;
use crate::tflite;

/// What a target takes of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    pub target: &'static str,
    /// Where the facts are from, and of when.
    pub source: &'static str,
    /// All operators, those inside loops and branches included.
    pub operators: usize,
    /// Operators that the target takes.
    pub taken: usize,
    /// Multiply-adds of convolutions and matrix products, loops counted once.
    pub multiply_adds: u64,
    pub taken_multiply_adds: u64,
    /// Operators that are not taken, in the order of execution.
    pub left: Vec<Misfit>,
}

/// An operator that a target does not take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Misfit {
    /// The builtin's name; of the custom operator where it is one.
    pub operator: String,
    pub version: i32,
    /// Name of its first result.
    pub result: String,
    /// The ONNX node that it came from, where that is known.
    pub origin: Option<Origin>,
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub what: String,
    /// What a user may change.
    pub change: String,
}

impl Problem {
    fn new(what: impl Into<String>, change: impl Into<String>) -> Problem {
        Problem { what: what.into(), change: change.into() }
    }
}

/// Compares a file with a target's table.
///
/// # Errors
/// Where the file can't be read.
pub fn check_file(bytes: &Bytes, target: Target) -> Result<Fit, tflite::ReadError> {
    let model = tflite::read(bytes.clone())?;
    let inspection = tflite::inspect(bytes.clone())?;
    let versions: Vec<i32> =
        inspection.graphs.first().map(|graph| graph.operators.iter().map(|o| o.version).collect()).unwrap_or_default();
    Ok(compare(&model, target, &versions))
}

/// Compares a model with a target's table, as it would be written.
pub fn check(model: &Model, target: Target) -> Fit {
    compare(model, target, &[])
}

/// Operators of a float graph that keep a target from running the model alone, whatever will be quantized: those without a kernel,
/// and those whose shapes are not known. Empty for targets that leave what they don't take to a CPU.
pub fn refused(graph: &Graph, target: Target) -> Vec<Misfit> {
    let Some(table) = target.table().filter(|_| target.runs_all()) else { return Vec::new() };
    let mut refused = Vec::new();
    for graph in graph.with_regions() {
        for node in &graph.nodes {
            let at = At { graph, node, version: tflite::operator_version(graph, node) };
            let mut problems: Vec<Problem> = table.every.iter().filter_map(|rule| problem(rule, &at)).collect();
            problems.extend(table.row(name(&node.op)).is_none().then(|| no_kernel(table)));
            if !problems.is_empty() {
                refused.push(misfit(&at, problems));
            }
        }
    }
    refused
}

/// `versions` are those in the file, for the first graph; where there are none, those that would be written.
fn compare(model: &Model, target: Target, versions: &[i32]) -> Fit {
    let mut fit = Fit {
        target: target.name(),
        source: target.table().map_or("", |table| table.source),
        operators: 0,
        taken: 0,
        multiply_adds: 0,
        taken_multiply_adds: 0,
        left: Vec::new(),
    };
    let mut cut_off = false;
    for (number, main) in model.graphs.iter().enumerate() {
        for (depth, graph) in main.with_regions().into_iter().enumerate() {
            let inner = number > 0 || depth > 0;
            let known = if inner || versions.len() != graph.nodes.len() { &[] } else { versions };
            for (index, node) in graph.nodes.iter().enumerate() {
                let version = known.get(index).copied().unwrap_or_else(|| tflite::operator_version(graph, node));
                let at = At { graph, node, version };
                let work = multiply_adds(at.graph, at.node);
                fit.operators += 1;
                fit.multiply_adds = fit.multiply_adds.saturating_add(work);
                let problems = problems(&at, target, inner, cut_off);
                if problems.is_empty() {
                    fit.taken += 1;
                    fit.taken_multiply_adds = fit.taken_multiply_adds.saturating_add(work);
                    continue;
                }
                // Conversions of inputs stand in front of the piece that the target runs.
                cut_off |=
                    target.table().is_some_and(|table| table.one_piece) && !matches!(node.op, Op::Quantize { .. });
                fit.left.push(misfit(&at, problems));
            }
        }
    }
    fit
}

fn problems(at: &At<'_>, target: Target, inner: bool, cut_off: bool) -> Vec<Problem> {
    let Some(table) = target.table() else { return litert(at) };
    if inner && !target.runs_all() {
        return vec![Problem::new("it is inside a loop or a branch", "write loops out with --unroll STEPS")];
    }
    if target.integers_only() && converts_floats(at) {
        return vec![Problem::new(
            "it converts between floats and integers",
            "give and take integers, or let the CPU convert",
        )];
    }
    let mut problems: Vec<Problem> = match table.row(name(&at.node.op)) {
        Some(row) => broken(table, row, at),
        None => vec![no_kernel(table)],
    };
    if problems.is_empty() && cut_off {
        let what = "it follows an operator that is left, and one piece from the start of the model is taken";
        problems
            .push(Problem::new(what, "make the operators before it fit, or end the model before them with --outputs"));
    }
    problems
}

/// A conversion at the border of what is quantized.
fn converts_floats(at: &At<'_>) -> bool {
    let float = |value: Option<&Value>| value.is_some_and(|value| value.ty.dtype == DType::F32);
    match at.node.op {
        Op::Quantize { .. } => float(at.operand(0)),
        Op::Dequantize => float(at.result()),
        _ => false,
    }
}

/// LiteRT has a kernel for every version of a builtin that some release knows.
fn litert(at: &At<'_>) -> Vec<Problem> {
    match &at.node.op {
        Op::Opaque(opaque) if opaque.custom_code.is_some() => {
            vec![Problem::new("it is a custom operator", "register a kernel of that name with the interpreter")]
        }
        _ if tflite::is_released(at.node, at.version) => Vec::new(),
        _ => vec![Problem::new(
            format!("no known release has version {} of it", at.version),
            "make the file for an older runtime",
        )],
    }
}

fn broken(table: &Table, row: &Row, at: &At<'_>) -> Vec<Problem> {
    let rules = table.every.iter().chain(row.rules.iter().copied().flatten());
    rules.filter_map(|rule| problem(rule, at)).collect()
}

fn problem(rule: &Rule, at: &At<'_>) -> Option<Problem> {
    rule.broken(at).map(|(what, change)| Problem { what, change })
}

fn no_kernel(table: &Table) -> Problem {
    Problem::new("there is no kernel for it", table.without)
}

fn misfit(at: &At<'_>, problems: Vec<Problem>) -> Misfit {
    Misfit {
        operator: name(&at.node.op).into(),
        version: at.version,
        result: at.result().map(|value| value.name.clone()).unwrap_or_default(),
        origin: at.graph.origin(at.node).cloned(),
        problems,
    }
}

/// The builtin's name; of the custom operator where it is one.
pub(super) fn name(op: &Op) -> &str {
    match op {
        Op::Opaque(opaque) => opaque.custom_code.as_deref().unwrap_or_else(|| op.name()),
        _ => op.name(),
    }
}

impl Fit {
    /// True where the target takes every operator.
    pub fn is_whole(&self) -> bool {
        self.left.is_empty()
    }
}

impl fmt::Display for Fit {
    /// Operators that are left, grouped by what is wrong with them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target      {}: takes {} of {} operators", self.target, self.taken, self.operators)?;
        if self.multiply_adds > 0 {
            let share = 100.0 * self.taken_multiply_adds as f64 / self.multiply_adds as f64;
            write!(f, ", {share:.1} % of {} multiply-adds", self.multiply_adds)?;
        }
        writeln!(f)?;
        write_misfits(f, &self.left)
    }
}

/// Operator, what is wrong, what to change.
type Group<'a> = (&'a str, String, &'a str);

/// One line for each operator and problem, with the names of the nodes that have it.
pub(crate) fn write_misfits(f: &mut impl fmt::Write, left: &[Misfit]) -> fmt::Result {
    const SHOWN: usize = 3;
    let mut groups: Vec<(Group<'_>, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<Group<'_>, usize> = BTreeMap::new();
    for misfit in left {
        for problem in &misfit.problems {
            let key = (misfit.operator.as_str(), general(&problem.what), problem.change.as_str());
            let at = *places.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            let name = misfit.origin.as_ref().map_or(&misfit.result, |origin| &origin.name);
            if let Some((_, names)) = groups.get_mut(at)
                && names.last() != Some(&name.as_str())
            {
                names.push(name);
            }
        }
    }
    for ((operator, what, change), names) in groups {
        let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
        let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
        writeln!(f, "  left      {operator} {}{more}: {what}; {change}", shown.join(", "))?;
    }
    Ok(())
}

/// A problem without the names of values, so that those of one kind fall together.
fn general(what: &str) -> String {
    what.split('"').step_by(2).collect::<Vec<_>>().join("").replace("  ", " ")
}

/// Names of all operators of a model, sorted, each once.
pub(super) fn operators(model: &Model) -> Vec<String> {
    let graphs = model.graphs.iter().flat_map(Graph::with_regions);
    let names: BTreeSet<&str> = graphs.flat_map(|graph| &graph.nodes).map(|node| name(&node.op)).collect();
    names.into_iter().map(String::from).collect()
}

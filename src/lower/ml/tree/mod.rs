//! Ensembles of decision trees: every row walks down all trees at once, one level with each step.
//!
//! Nodes lie in one table, the two children of a node side by side, and a leaf is its own child: so a step is the same for all, and the
//! number of steps is the depth of the deepest tree.

mod read;
mod table;

use super::{Labels, PostTransform, does_not_fit, features};
use crate::graph::{Binary, Compare, Precision, Reduce, ValueId};
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Tensor};
use read::Ensemble;
use table::Table;

/// How the leaves that a row reaches become one number for each target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Lowers ONNX `TreeEnsembleRegressor` of `ai.onnx.ml` to one `GATHER` and comparison for each level.
///
/// # Accepts
/// Numbers; every mode of nodes, missing values, each `aggregate_function` and `post_transform`, base values.
/// # Produces
/// For each level `GATHER → LESS_EQUAL → CAST → ADD`; at the end `GATHER` of the leaves, and `SUM`, `REDUCE_MIN` or `REDUCE_MAX`.
/// # Refuses
/// Trees that are none: with loops, or with nodes that are not there; more than 1024 levels.
pub(in crate::lower) fn tree_ensemble_regressor(cx: &mut Cx<'_>) -> Results {
    let aggregate = match cx.string_or("aggregate_function", "SUM")? {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute aggregate_function")),
    };
    let targets = targets(cx)?;
    let ensemble = read::by_ids(cx, "target")?;
    let base = read::numbers(cx, "base_values")?.filter(|b| !b.is_empty());
    let transform = PostTransform::read(cx)?;
    let scores = scores(cx, &ensemble, targets, aggregate)?;
    let scores = match base {
        Some(base) if base.len() == targets || base.len() == 1 => based(cx, scores, &base)?,
        Some(_) => return Err(does_not_fit("base_values")),
        None => scores,
    };
    Ok(vec![transform.apply(cx, scores)?])
}

/// Lowers ONNX `TreeEnsemble` of `ai.onnx.ml` to one `GATHER` and comparison for each level.
///
/// # Accepts
/// float32; every mode of nodes, membership of sets included, missing values, each `aggregate_function` and `post_transform`.
/// # Produces
/// As `TreeEnsembleRegressor`; where there are sets, `EQUAL → REDUCE_ANY` beside each comparison.
/// # Refuses
/// Trees that are none: with loops, or with nodes that are not there; more than 1024 levels.
pub(in crate::lower) fn tree_ensemble(cx: &mut Cx<'_>) -> Results {
    let aggregate = match cx.int_or("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(Refusal::new(format!("is {other}"), "").about("attribute aggregate_function")),
    };
    let transform = match cx.int_or("post_transform", 0)? {
        0 => PostTransform::None,
        1 => PostTransform::Softmax,
        2 => PostTransform::Logistic,
        3 => PostTransform::SoftmaxZero,
        4 => PostTransform::Probit,
        other => return Err(Refusal::new(format!("is {other}"), "").about("attribute post_transform")),
    };
    let targets = targets(cx)?;
    let ensemble = read::by_positions(cx)?;
    let dtype = cx.dtype(cx.input(0)?);
    let scores = scores(cx, &ensemble, targets, aggregate)?;
    let y = transform.apply(cx, scores)?;
    Ok(vec![cx.b.cast(y, dtype)?])
}

/// Lowers ONNX `TreeEnsembleClassifier` of `ai.onnx.ml` to one `GATHER` and comparison for each level.
///
/// # Accepts
/// Numbers; every mode of nodes, missing values, each `post_transform`, base values; weights of one class of two; labels that are integers,
/// or strings where only the scores are asked for.
/// # Produces
/// As `TreeEnsembleRegressor`, and `ARG_MAX → GATHER` of the labels.
/// # Refuses
/// Trees that are none; labels that are strings, where they are asked for.
pub(in crate::lower) fn tree_ensemble_classifier(cx: &mut Cx<'_>) -> Results {
    let labels = Labels::read(cx, "classlabels_int64s", "classlabels_strings")?;
    let mut ensemble = read::by_ids(cx, "class")?;
    let base = read::numbers(cx, "base_values")?.filter(|b| !b.is_empty());
    let transform = PostTransform::read(cx)?;
    let classes = ensemble.targets();
    if labels.count() == 2 && classes.len() == 1 {
        ensemble.retarget(0);
        let mixed = ensemble.weights().any(|w| w < 0.0);
        let mut score = scores(cx, &ensemble, 1, Aggregate::Sum)?;
        if let Some(base) = base {
            let &[base] = base.as_slice() else { return Err(does_not_fit("base_values")) };
            score = based(cx, score, &[base])?;
        }
        let label = labels.of_second(cx, score, if mixed { 0.0 } else { 0.5 })?;
        return Ok(vec![label, transform.apply_to_second(cx, score, mixed)?]);
    }
    let mut scores = scores(cx, &ensemble, labels.count(), Aggregate::Sum)?;
    if let Some(base) = base {
        if base.len() != labels.count() {
            return Err(does_not_fit("base_values"));
        }
        scores = based(cx, scores, &base)?;
    }
    let label = labels.of_largest(cx, scores)?;
    Ok(vec![label, transform.apply(cx, scores)?])
}

fn targets(cx: &Cx<'_>) -> Result<usize, Refusal> {
    let targets = cx.int_or("n_targets", 1)?;
    usize::try_from(targets).ok().filter(|&n| n > 0).ok_or_else(|| does_not_fit("n_targets"))
}

fn based(cx: &mut Cx<'_>, scores: ValueId, base: &[f32]) -> Result<ValueId, Refusal> {
    let base = super::vector(cx, base);
    Ok(cx.b.add(scores, base)?)
}

/// What the trees give for each row, `[N, targets]`.
fn scores(cx: &mut Cx<'_>, ensemble: &Ensemble, targets: usize, aggregate: Aggregate) -> Result<ValueId, Refusal> {
    let table = Table::of(ensemble)?;
    let leaves = table.leaves(targets, aggregate)?;
    let x = features(cx)?;
    if let Some(features) = cx.dim(x, 1).filter(|&n| table.feature.iter().any(|&f| f as usize >= n)) {
        let what = format!("asks for a feature past the {features} that there are");
        return Err(Refusal::new(what, "check the model with onnx.checker").about("attribute nodes_featureids"));
    }
    cx.b.set_precision(Precision::Float);
    let reached = table.walk(cx, x)?;
    let leaves = cx.b.constant(leaves);
    let found = cx.gather_at(leaves, reached, 0)?;
    let (kind, missing) = match aggregate {
        Aggregate::Sum | Aggregate::Average => (Reduce::Sum, None),
        Aggregate::Min => (Reduce::Min, Some(f32::MAX)),
        Aggregate::Max => (Reduce::Max, Some(f32::MIN)),
    };
    let mut scores = cx.b.reduce(kind, found, &[1], false)?;
    if aggregate == Aggregate::Average {
        scores = cx.with_number(Binary::Mul, scores, 1.0 / table.trees as f64)?;
    }
    if let Some(missing) = missing {
        // A target that no leaf had anything for is 0.
        let missing = cx.b.scalar(missing);
        let none = cx.b.compare(Compare::Equal, scores, missing)?;
        let zero = cx.b.scalar(0f32);
        scores = cx.b.select(none, zero, scores)?;
    }
    Ok(scores)
}

impl Table<'_> {
    /// The leaf that each row, `[N, F]`, reaches in each tree: `[N, trees]`, `INT32`.
    fn walk(&self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        let feature = cx.b.constant(Tensor::vector(self.feature.clone()));
        let threshold = cx.b.constant(Tensor::vector(self.threshold.clone()));
        let child = cx.b.constant(Tensor::vector(self.child.clone()));
        let flags = |cx: &mut Cx<'_>, flags: &[bool]| cx.b.constant(Tensor::from_bools(&[flags.len()], flags));
        let equal = self.equal.contains(&true).then(|| flags(cx, &self.equal));
        let nan = self.corrects_nan().then(|| flags(cx, &self.nan_goes_up));
        let members = self.members().map(|members| cx.b.constant(members));
        let roots: Vec<i32> = (0..self.trees as i32).collect();
        let mut node = cx.b.constant(Tensor::vector(roots));
        for level in 0..self.depth.max(1) {
            let at = |cx: &mut Cx<'_>, table: ValueId| cx.b.gather(table, node, 0);
            let wanted = at(cx, feature)?;
            // All rows begin at the roots; from there each goes its own way.
            let value = if level == 0 { cx.b.gather(x, wanted, 1)? } else { cx.gather_in_batch(x, wanted)? };
            let bound = at(cx, threshold)?;
            let mut up = cx.b.compare(Compare::LessEqual, value, bound)?;
            if let Some(equal) = equal {
                let (is, equal) = (cx.b.compare(Compare::Equal, value, bound)?, at(cx, equal)?);
                up = cx.b.select(equal, is, up)?;
            }
            if let Some(members) = members {
                let members = at(cx, members)?;
                let rank = cx.rank(value);
                let each = crate::lower::window::insert_axis(cx, value, rank)?;
                let is = cx.b.compare(Compare::Equal, each, members)?;
                let is = cx.b.reduce(Reduce::Any, is, &[rank], false)?;
                up = cx.b.binary(Binary::LogicalOr, up, is)?;
            }
            if let Some(nan) = nan {
                let (is_nan, goes) = (cx.b.compare(Compare::NotEqual, value, value)?, at(cx, nan)?);
                up = cx.b.select(is_nan, goes, up)?;
            }
            let step = cx.b.cast(up, DType::I32)?;
            let first = at(cx, child)?;
            node = cx.b.add(first, step)?;
        }
        Ok(node)
    }
}

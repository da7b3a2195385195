use super::{Labels, PostTransform, does_not_fit, features, floats, vector};
use crate::graph::{Precision, ValueId};
use crate::lower::matmul::fully_connected;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::Tensor;

/// Lowers ONNX `LinearRegressor` of `ai.onnx.ml` to `FULLY_CONNECTED`.
///
/// # Accepts
/// Numbers; any number of targets; each `post_transform`.
/// # Produces
/// `FULLY_CONNECTED`, and what the transform of the scores takes.
pub(in crate::lower) fn linear_regressor(cx: &mut Cx<'_>) -> Results {
    let targets = usize::try_from(cx.int_or("targets", 1)?).ok().filter(|&n| n > 0);
    let targets = targets.ok_or_else(|| does_not_fit("targets"))?;
    let transform = PostTransform::read(cx)?;
    let x = features(cx)?;
    let intercepts = cx.floats("intercepts")?.filter(|v| !v.is_empty());
    let scores = scores(cx, x, targets, intercepts)?;
    Ok(vec![transform.apply(cx, scores)?])
}

/// Lowers ONNX `LinearClassifier` of `ai.onnx.ml` to `FULLY_CONNECTED` and `ARG_MAX`.
///
/// # Accepts
/// Numbers; labels that are integers, or strings where only the scores are asked for; each `post_transform`; one score for two classes.
/// # Produces
/// `FULLY_CONNECTED`, `ARG_MAX → GATHER` of the labels, and what the transform of the scores takes.
/// # Refuses
/// Labels that are strings, where they are asked for.
pub(in crate::lower) fn linear_classifier(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["multi_class"]);
    let labels = Labels::read(cx, "classlabels_ints", "classlabels_strings")?;
    let transform = PostTransform::read(cx)?;
    let intercepts = floats(cx, "intercepts")?;
    let x = features(cx)?;
    let scores = scores(cx, x, intercepts.len(), Some(intercepts))?;
    cx.b.set_precision(Precision::Float);
    if intercepts.len() == 1 && labels.count() == 2 {
        let label = labels.of_second(cx, scores, 0.0)?;
        return Ok(vec![label, transform.apply_to_second(cx, scores, false)?]);
    }
    let label = labels.of_largest(cx, scores)?;
    Ok(vec![label, transform.apply(cx, scores)?])
}

/// `[N, F]` by the attribute `coefficients`: `[N, rows]`.
fn scores(cx: &mut Cx<'_>, x: ValueId, rows: usize, intercepts: Option<&[f32]>) -> Result<ValueId, Refusal> {
    let coefficients = floats(cx, "coefficients")?;
    let columns = coefficients.len().checked_div(rows).unwrap_or(0);
    let fits = columns * rows == coefficients.len() && intercepts.is_none_or(|i| i.len() == rows);
    if !fits || columns == 0 {
        return Err(does_not_fit("coefficients"));
    }
    let weights = cx.b.constant(Tensor::from_vec(&[rows, columns], coefficients.to_vec()));
    let bias = intercepts.map(|intercepts| vector(cx, intercepts));
    Ok(fully_connected(&mut cx.b, x, weights, bias)?)
}

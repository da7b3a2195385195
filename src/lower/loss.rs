//! ONNX `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`.

use super::conv::require_float32;
use super::softmax::log_softmax_over;
use super::window::insert_axis;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, Precision, Reduce, Unary, ValueId};
use crate::tensor::DType;

/// Lowers ONNX `NegativeLogLikelihoodLoss` to a choice by `ONE_HOT`.
///
/// # Accepts
/// float32 of any rank; targets that are constant or computed; weights; each `reduction`; `ignore_index`.
/// # Produces
/// `ONE_HOT → SELECT_V2 → SUM → NEG` over the classes, then `MUL` by the weights, `MEAN` or `SUM`.
pub(super) fn negative_log_likelihood_loss(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    cx.b.set_precision(Precision::Float);
    Ok(vec![loss(cx, x)?])
}

/// Lowers ONNX `SoftmaxCrossEntropyLoss` to `LOG_SOFTMAX` and a choice by `ONE_HOT`.
///
/// # Accepts
/// float32 of any rank; labels that are constant or computed; weights; each `reduction`; `ignore_index`; the result `log_prob`.
/// # Produces
/// `LOG_SOFTMAX` over the classes, then as `NegativeLogLikelihoodLoss`.
pub(super) fn softmax_cross_entropy_loss(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    if cx.rank(x) < 2 {
        return Err(Refusal::new(format!("scores of {}", cx.shape(x)), "check the model with onnx.checker"));
    }
    cx.b.set_precision(Precision::Float);
    let log_prob = log_softmax_over(cx, x, 1)?;
    Ok(vec![loss(cx, log_prob)?, log_prob])
}

/// The loss of log probabilities `[N, C, ..]`, with targets `[N, ..]` and weights `[C]` as operands.
fn loss(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let (target, weight) = (cx.input(1)?, cx.optional(2));
    let (reduction, ignored) = (cx.string_or("reduction", "mean")?, cx.int("ignore_index")?);
    if cx.rank(x) < 2 || cx.rank(target) + 1 != cx.rank(x) {
        let what = format!("{} with targets of {}", cx.shape(x), cx.shape(target));
        return Err(Refusal::new(what, "check the model with onnx.checker"));
    }
    let hot = is_target(cx, x, target, ignored)?;
    let found = chosen(cx, hot, x)?;
    let mut loss = cx.b.unary(Unary::Neg, found)?;
    let weight = match weight {
        Some(weight) => {
            let mut upright = vec![-1i64];
            upright.extend(std::iter::repeat_n(1, cx.rank(x) - 2));
            let weight = cx.b.reshape(weight, &upright)?;
            let weight = chosen(cx, hot, weight)?;
            loss = cx.b.mul(loss, weight)?;
            Some(weight)
        }
        None if ignored.is_some() && reduction == "mean" => {
            let counts = cx.b.reduce(Reduce::Any, hot, &[1], false)?;
            Some(cx.b.cast(counts, DType::F32)?)
        }
        None => None,
    };
    let axes: Vec<usize> = (0..cx.rank(loss)).collect();
    match (reduction, weight) {
        ("none", _) => Ok(loss),
        ("sum", _) => Ok(cx.b.reduce(Reduce::Sum, loss, &axes, false)?),
        ("mean", None) => Ok(cx.b.reduce(Reduce::Mean, loss, &axes, false)?),
        ("mean", Some(weight)) => {
            let sum = cx.b.reduce(Reduce::Sum, loss, &axes, false)?;
            let of = cx.b.reduce(Reduce::Sum, weight, &axes, false)?;
            Ok(cx.b.div(sum, of)?)
        }
        (other, _) => Err(Refusal::new(format!("is {other:?}"), "").about("attribute reduction")),
    }
}

/// True for the class that is the target, `[N, C, ..]`. Where the target is no class, or the one to be ignored, it is true nowhere.
fn is_target(cx: &mut Cx<'_>, x: ValueId, target: ValueId, ignored: Option<i64>) -> Result<ValueId, Refusal> {
    let classes = cx.extent_of(x, 1)?;
    let narrow = cx.narrowed(target)?;
    let (on, off) = (
        cx.b.constant(crate::tensor::Tensor::from_bools(&[], &[true])),
        cx.b.constant(crate::tensor::Tensor::from_bools(&[], &[false])),
    );
    let hot = cx.b.one(Op::OneHot { axis: 1 }, &[narrow, classes, on, off])?;
    let among = |ignored: i64| cx.dim(x, 1).is_none_or(|n| (0..n as i64).contains(&ignored));
    let Some(ignored) = ignored.filter(|&i| among(i)) else { return Ok(hot) };
    let ignored = cx.b.scalar_of(DType::I32, ignored as f64)?;
    let counts = cx.b.compare(Compare::NotEqual, narrow, ignored)?;
    let counts = insert_axis(cx, counts, 1)?;
    Ok(cx.b.binary(Binary::LogicalAnd, hot, counts)?)
}

/// What `x` has at the class that is the target, or 0.
fn chosen(cx: &mut Cx<'_>, hot: ValueId, x: ValueId) -> Result<ValueId, Refusal> {
    let zero = cx.b.scalar(0f32);
    let masked = cx.b.select(hot, x, zero)?;
    Ok(cx.b.reduce(Reduce::Sum, masked, &[1], false)?)
}

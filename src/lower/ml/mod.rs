//! Operators of `ai.onnx.ml` on numbers. What TFLite can't hold, strings and maps, is refused.
//!
//! Owns: those operators, and what they share: scores of classes become probabilities and labels here. Where the definition leaves
//! something open, ONNX Runtime is followed.

mod encode;
mod linear;
mod scale;
mod svm;
mod tree;

pub(super) use encode::{array_feature_extractor, label_encoder, one_hot_encoder};
pub(super) use linear::{linear_classifier, linear_regressor};
pub(super) use scale::{binarizer, feature_vectorizer, imputer, normalizer, scaler};
pub(super) use svm::svm_regressor;
pub(super) use tree::{tree_ensemble, tree_ensemble_classifier, tree_ensemble_regressor};

use super::window::insert_axis;
use super::{Cx, Refusal};
use crate::graph::{Binary, Compare, Op, Reduce, Unary, ValueId};
use crate::tensor::{DType, Tensor};

/// Numbers as float32, in which all of these operators compute.
fn as_float(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    Ok(cx.b.cast(x, DType::F32)?)
}

/// Operand 0 as float32 rows of features, `[N, F]`: a vector is one row.
fn features(cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
    let x = cx.input(0)?;
    let x = as_float(cx, x)?;
    match cx.rank(x) {
        1 => insert_axis(cx, x, 0),
        2 => Ok(x),
        _ => Err(Refusal::new(format!("features of {}", cx.shape(x)), "they must be rows of numbers")),
    }
}

/// A list of floats as a constant vector.
fn vector(cx: &mut Cx<'_>, numbers: &[f32]) -> ValueId {
    cx.b.constant(Tensor::vector(numbers.to_vec()))
}

/// An attribute that is a list of floats.
fn floats<'a>(cx: &Cx<'a>, name: &str) -> Result<&'a [f32], Refusal> {
    let missing = || Refusal::new("is missing", "check the model with onnx.checker").about(format!("attribute {name}"));
    cx.floats(name)?.ok_or_else(missing)
}

fn does_not_fit(name: &str) -> Refusal {
    Refusal::new("does not fit the other attributes", "check the model with onnx.checker")
        .about(format!("attribute {name}"))
}

/// What becomes of scores at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PostTransform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    fn read(cx: &Cx<'_>) -> Result<PostTransform, Refusal> {
        match cx.string_or("post_transform", "NONE")? {
            "NONE" => Ok(PostTransform::None),
            "SOFTMAX" => Ok(PostTransform::Softmax),
            "LOGISTIC" => Ok(PostTransform::Logistic),
            "SOFTMAX_ZERO" => Ok(PostTransform::SoftmaxZero),
            "PROBIT" => Ok(PostTransform::Probit),
            other => Err(Refusal::new(format!("is {other:?}"), "").about("attribute post_transform")),
        }
    }

    /// Scores, `[N, classes]`.
    fn apply(self, cx: &mut Cx<'_>, scores: ValueId) -> Result<ValueId, Refusal> {
        match self {
            PostTransform::None => Ok(scores),
            PostTransform::Softmax => Ok(cx.b.one(Op::Softmax { beta: 1.0 }, &[scores])?),
            PostTransform::Logistic => Ok(cx.b.unary(Unary::Logistic, scores)?),
            PostTransform::SoftmaxZero => softmax_zero(cx, scores),
            PostTransform::Probit => probit(cx, scores),
        }
    }

    /// Scores of the second of two classes, `[N, 1]`, as those of both. `opposite`: what the first class has is the negative, else the
    /// rest to 1.
    fn apply_to_second(self, cx: &mut Cx<'_>, score: ValueId, opposite: bool) -> Result<ValueId, Refusal> {
        let negative = cx.b.unary(Unary::Neg, score)?;
        if self == PostTransform::Probit {
            let what = "is PROBIT for one score of two classes, which is not defined";
            return Err(Refusal::new(what, "give each class a score").about("attribute post_transform"));
        }
        if self == PostTransform::Logistic {
            let both = cx.b.concat(&[negative, score], 1)?;
            return self.apply(cx, both);
        }
        let first = if opposite { negative } else { cx.with_number(Binary::Add, negative, 1.0)? };
        Ok(cx.b.concat(&[first, score], 1)?)
    }
}

/// `SOFTMAX` over the scores that are not 0. Those next to 0 have a share as small.
fn softmax_zero(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let max = cx.b.reduce(Reduce::Max, x, &[1], true)?;
    let shifted = cx.b.sub(x, max)?;
    let power = cx.b.unary(Unary::Exp, shifted)?;
    let magnitude = cx.b.unary(Unary::Abs, x)?;
    let least = cx.b.scalar(1e-7f32);
    let counts = cx.b.compare(Compare::Greater, magnitude, least)?;
    let zero = cx.b.scalar(0f32);
    let counted = cx.b.select(counts, power, zero)?;
    let sum = cx.b.reduce(Reduce::Sum, counted, &[1], true)?;
    let lowered = cx.b.unary(Unary::Neg, max)?;
    let lowered = cx.b.unary(Unary::Exp, lowered)?;
    let small = cx.b.mul(x, lowered)?;
    let parts = cx.b.select(counts, power, small)?;
    Ok(cx.b.div(parts, sum)?)
}

/// The inverse of the normal distribution, by the approximation of the error function that ONNX Runtime takes.
fn probit(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    const A: f64 = 0.147;
    let doubled = cx.with_number(Binary::Mul, x, 2.0)?;
    let x = cx.with_number(Binary::Sub, doubled, 1.0)?;
    let sign = cx.b.unary(Unary::Sign, x)?;
    let one = cx.b.scalar(1f32);
    let (below, above) = (cx.b.sub(one, x)?, cx.b.add(one, x)?);
    let product = cx.b.mul(below, above)?;
    let log = cx.b.unary(Unary::Log, product)?;
    let half = cx.with_number(Binary::Mul, log, 0.5)?;
    let v = cx.with_number(Binary::Add, half, 2.0 / (std::f64::consts::PI * A))?;
    let scaled = cx.with_number(Binary::Mul, log, 1.0 / A)?;
    let square = cx.b.unary(Unary::Square, v)?;
    let inner = cx.b.sub(square, scaled)?;
    let root = cx.b.unary(Unary::Sqrt, inner)?;
    let outer = cx.b.sub(root, v)?;
    let root = cx.b.unary(Unary::Sqrt, outer)?;
    let signed = cx.b.mul(root, sign)?;
    cx.with_number(Binary::Mul, signed, std::f64::consts::SQRT_2)
}

/// The labels of classes, where they are numbers.
struct Labels(Option<Vec<i64>>, usize);

impl Labels {
    /// `names`: the attributes for labels that are integers, and strings. How many there are is known of strings too.
    fn read(cx: &Cx<'_>, integers: &str, strings: &str) -> Result<Labels, Refusal> {
        let integers = cx.ints(integers)?.filter(|labels| !labels.is_empty());
        let names = cx.strings(strings)?.unwrap_or_default();
        let count = integers.map_or(names.len(), <[i64]>::len);
        if integers.is_none() && cx.wants_output(0) {
            let what = "the labels are strings, which TFLite graphs don't compute with";
            let hint = "make the scores the only output of the model, or train with labels that are integers";
            return Err(Refusal::new(what, hint).about(format!("attribute {strings}")));
        }
        Ok(Labels(integers.map(<[i64]>::to_vec), count))
    }

    fn count(&self) -> usize {
        self.1
    }

    /// The label at an index of class, `[N]`. Labels that nobody can see are those of the classes themselves.
    fn at(&self, cx: &mut Cx<'_>, index: ValueId) -> Result<ValueId, Refusal> {
        match &self.0 {
            Some(labels) => {
                let labels = cx.b.constant(Tensor::vector(labels.clone()));
                cx.gather_at(labels, index, 0)
            }
            None => Ok(cx.b.cast(index, DType::I64)?),
        }
    }

    /// The label of the largest score of each row, `[N, classes]`.
    fn of_largest(&self, cx: &mut Cx<'_>, scores: ValueId) -> Result<ValueId, Refusal> {
        if self.0.as_ref().is_some_and(|labels| cx.dim(scores, 1) != Some(labels.len())) {
            return Err(does_not_fit("classlabels"));
        }
        let axis = cx.b.scalar(1i32);
        let index = cx.b.one(Op::ArgMax { to: DType::I32 }, &[scores, axis])?;
        self.at(cx, index)
    }

    /// The second label where a score, `[N, 1]`, is above a bound, else the first.
    fn of_second(&self, cx: &mut Cx<'_>, score: ValueId, bound: f32) -> Result<ValueId, Refusal> {
        let bound = cx.b.scalar(bound);
        let second = cx.b.compare(Compare::Greater, score, bound)?;
        let index = cx.as_i32(second)?;
        let index = cx.b.reshape(index, &[-1])?;
        self.at(cx, index)
    }
}

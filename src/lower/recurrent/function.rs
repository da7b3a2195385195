//! The activation functions that a recurrent layer may name.

use super::super::activation::{
    emit_hard_sigmoid, emit_softplus, emit_softsign, emit_thresholded_relu, exponential_linear,
};
use super::super::{Cx, Refusal};
use super::Kind;
use crate::graph::{Builder, InferError, Op, Unary, ValueId};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Function {
    Sigmoid,
    Tanh,
    Relu,
    Softsign,
    Softplus,
    Affine { alpha: f32, beta: f32 },
    LeakyRelu { alpha: f32 },
    ThresholdedRelu { alpha: f32 },
    ScaledTanh { alpha: f32, beta: f32 },
    HardSigmoid { alpha: f32, beta: f32 },
    Elu { alpha: f32 },
}

impl Function {
    pub fn emit(self, b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, InferError> {
        match self {
            Function::Sigmoid => b.unary(Unary::Logistic, x),
            Function::Tanh => b.unary(Unary::Tanh, x),
            Function::Relu => b.unary(Unary::Relu, x),
            Function::Softsign => emit_softsign(b, x),
            Function::Softplus => emit_softplus(b, x),
            Function::Affine { alpha, beta } => {
                let (alpha, beta) = (b.scalar(alpha), b.scalar(beta));
                let y = b.mul(x, alpha)?;
                b.add(y, beta)
            }
            Function::LeakyRelu { alpha } => b.one(Op::LeakyRelu { alpha }, &[x]),
            Function::ThresholdedRelu { alpha } => emit_thresholded_relu(b, x, alpha),
            Function::ScaledTanh { alpha, beta } => {
                let (alpha, beta) = (b.scalar(alpha), b.scalar(beta));
                let y = b.mul(x, beta)?;
                let y = b.unary(Unary::Tanh, y)?;
                b.mul(y, alpha)
            }
            Function::HardSigmoid { alpha, beta } => emit_hard_sigmoid(b, x, alpha, beta),
            Function::Elu { alpha } => exponential_linear(b, x, alpha, 1.0),
        }
    }
}

/// The functions of the cell, for each direction: as named, or the cell's own. `activation_alpha` and `activation_beta` list the numbers
/// of those functions that take one, in order; what they leave out is as the operator of that name has it.
pub(super) fn functions(cx: &Cx<'_>, kind: Kind, directions: usize) -> Result<Vec<Vec<Function>>, Refusal> {
    let own = kind.functions();
    let names: Vec<&str> = match cx.strings("activations")? {
        Some(names) if !names.is_empty() => names.iter().map(String::as_str).collect(),
        _ => own.repeat(directions),
    };
    if names.len() != own.len() * directions {
        let what = format!("names {} functions for {directions} directions of {}", names.len(), own.len());
        return Err(Refusal::new(what, "check the model with onnx.checker").about("attribute activations"));
    }
    let mut alphas = cx.floats("activation_alpha")?.unwrap_or_default().iter().copied();
    let mut betas = cx.floats("activation_beta")?.unwrap_or_default().iter().copied();
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        all.push(function(name, &mut alphas, &mut betas)?);
    }
    Ok(all.chunks(own.len()).map(<[Function]>::to_vec).collect())
}

fn function(
    name: &str,
    alphas: &mut impl Iterator<Item = f32>,
    betas: &mut impl Iterator<Item = f32>,
) -> Result<Function, Refusal> {
    let given = |number: Option<f32>, attribute: &str| {
        let what = format!("{name} has no default");
        number.ok_or_else(|| Refusal::new(what, "give its number").about(format!("attribute {attribute}")))
    };
    Ok(match name.to_ascii_lowercase().as_str() {
        "sigmoid" => Function::Sigmoid,
        "tanh" => Function::Tanh,
        "relu" => Function::Relu,
        "softsign" => Function::Softsign,
        "softplus" => Function::Softplus,
        "affine" => Function::Affine {
            alpha: given(alphas.next(), "activation_alpha")?,
            beta: given(betas.next(), "activation_beta")?,
        },
        "leakyrelu" => Function::LeakyRelu { alpha: alphas.next().unwrap_or(0.01) },
        "thresholdedrelu" => Function::ThresholdedRelu { alpha: alphas.next().unwrap_or(1.0) },
        "scaledtanh" => Function::ScaledTanh {
            alpha: given(alphas.next(), "activation_alpha")?,
            beta: given(betas.next(), "activation_beta")?,
        },
        "hardsigmoid" => {
            Function::HardSigmoid { alpha: alphas.next().unwrap_or(0.2), beta: betas.next().unwrap_or(0.5) }
        }
        "elu" => Function::Elu { alpha: alphas.next().unwrap_or(1.0) },
        _ => {
            let what = format!("{name:?} is no activation function of ONNX");
            return Err(Refusal::new(what, "check the model with onnx.checker").about("attribute activations"));
        }
    })
}

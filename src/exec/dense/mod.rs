//! Convolutions and matrix products, by tract: one small optimized model for each node.
//!
//! Owns: how operands become tract's, what is prepared once for a node (packed weights above all) and kept for its next run.
//! Measured on the layers of MobileNetV2, single models that read and write channels last take as long as tract's own run of the
//! whole ONNX model, so nothing is gained by giving tract more than a node at a time.

mod conv;
mod matmul;
mod transpose_conv;

use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::prelude as tract;
use tract_onnx::tract_core::prelude::{
    DatumExt, IntoTensor, OutletId, SpecialOps, TDim, TValue, TVec, TractResult, TypedModel, TypedSimplePlan,
};

pub(super) use conv::{conv_2d, conv_3d, depthwise_conv_2d};
pub(super) use matmul::{batch_mat_mul, fully_connected};
pub(super) use transpose_conv::{transpose_conv_2d, transpose_conv_3d};

use super::KernelError;
use super::operand::{Operand, native_of};
use super::reference::scalar::{Limits, limits};
use crate::tensor::{DType, Tensor};

type Plan = Arc<TypedSimplePlan>;

/// What was prepared for one node, for operands of the shapes it was last given.
#[derive(Debug, Default)]
pub(super) struct Prepared(Mutex<Option<(Vec<Vec<usize>>, Plan)>>);

/// An operand of a model of one node.
enum Argument<'a> {
    /// Handed over at each run.
    Given(Operand),
    /// Handed over at each run, with as many rows as it happens to have: what is prepared serves any number.
    Rows(Operand),
    /// Part of the model, and packed with it.
    Fixed(Box<dyn Fn() -> Result<Tensor, KernelError> + 'a>),
}

impl<'a> Argument<'a> {
    /// Weights in another order: put there only once where they are constant.
    fn weights(
        operand: &'a Operand,
        arrange: impl Fn(&Tensor) -> Result<Tensor, KernelError> + 'a,
    ) -> Result<Argument<'a>, KernelError> {
        if operand.constant {
            Ok(Argument::Fixed(Box::new(move || arrange(&operand.tensor))))
        } else {
            Ok(Argument::Given(arrange(&operand.tensor)?.into()))
        }
    }

    /// The bias of `channels` numbers along the last of `rank` axes; zeros where the operator has none.
    fn bias(operand: Option<&'a Operand>, channels: usize, rank: usize) -> Result<Argument<'a>, KernelError> {
        let mut shape = vec![1; rank - 1];
        shape.push(channels);
        match operand {
            Some(operand) if operand.tensor.len() == channels => {
                Argument::weights(operand, move |bias| Ok(bias.reshape(&shape)?))
            }
            Some(operand) => {
                let what = format!("a bias of shape {:?} for {channels} channels", operand.tensor.shape());
                Err(KernelError::operands(what))
            }
            None => Ok(Argument::Fixed(Box::new(move || Ok(Tensor::from_vec(&shape, vec![0f32; channels]))))),
        }
    }
}

fn engine(error: impl std::fmt::Display) -> KernelError {
    KernelError::Engine(format!("{error:#}"))
}

fn only_floats(op: &str, operands: &[&Tensor]) -> Result<(), KernelError> {
    match operands.iter().find(|t| t.dtype() != DType::F32) {
        Some(other) => Err(KernelError::unsupported(format!("{op} on {}", other.dtype()))),
        None => Ok(()),
    }
}

/// Runs the model that `wire` makes of the arguments.
fn run(
    prepared: &Prepared,
    arguments: &[Argument<'_>],
    wire: impl FnOnce(&mut TypedModel, &[OutletId]) -> TractResult<OutletId>,
) -> Result<tract::Tensor, KernelError> {
    let (mut shapes, mut values) = (Vec::new(), TVec::new());
    for argument in arguments {
        let (operand, known) = match argument {
            Argument::Given(operand) => (operand, operand.tensor.shape()),
            Argument::Rows(operand) => (operand, operand.tensor.shape().get(1..).unwrap_or_default()),
            Argument::Fixed(_) => continue,
        };
        shapes.push(known.to_vec());
        values.push(TValue::from_const(operand.to_native()?));
    }
    let plan = {
        let mut last = prepared.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((key, plan)) if *key == shapes => plan.clone(),
            _ => {
                let plan = plan(arguments, wire)?;
                *last = Some((shapes, plan.clone()));
                plan
            }
        }
    };
    let result = plan.run(values).map_err(engine)?.into_iter().next();
    result.map(IntoTensor::into_tensor).ok_or_else(|| KernelError::Engine("no result".into()))
}

fn plan(
    arguments: &[Argument<'_>],
    wire: impl FnOnce(&mut TypedModel, &[OutletId]) -> TractResult<OutletId>,
) -> Result<Plan, KernelError> {
    let mut model = TypedModel::default();
    let mut outlets = Vec::with_capacity(arguments.len());
    for (i, argument) in arguments.iter().enumerate() {
        let name = format!("operand{i}");
        outlets.push(match argument {
            Argument::Given(operand) => model.add_source(name, f32::fact(operand.tensor.shape())),
            Argument::Rows(operand) => {
                let mut dims: Vec<TDim> = operand.tensor.shape().iter().map(|&d| d.into()).collect();
                dims.iter_mut().take(1).for_each(|rows| *rows = model.symbols.sym("rows").into());
                model.add_source(name, f32::fact(&dims))
            }
            Argument::Fixed(make) => model.add_const(name, native_of(&make()?)?),
        });
    }
    let outlets: Vec<OutletId> = outlets.into_iter().collect::<TractResult<_>>().map_err(engine)?;
    let optimized = || -> TractResult<Plan> {
        let result = wire(&mut model, &outlets)?;
        model.select_output_outlets(&[result])?;
        TypedSimplePlan::new(model.into_optimized()?)
    };
    optimized().map_err(engine)
}

/// A fused activation.
fn wire_limits(model: &mut TypedModel, (low, high): Limits, mut x: OutletId) -> TractResult<OutletId> {
    let rank = model.outlet_fact(x)?.rank();
    for (name, bound, op) in [("low", low, math::max()), ("high", high, math::min())] {
        if bound.is_finite() {
            let bound = tract::tensor0(bound as f32).broadcast_into_rank(rank)?;
            let bound = model.add_const(format!("{name}.bound"), bound)?;
            x = model.wire_node(name, op, &[x, bound])?[0];
        }
    }
    Ok(x)
}

/// A result without elements, or one that is a sum of nothing.
fn empty(shape: &[usize]) -> Result<Operand, KernelError> {
    let zeros = Tensor::zeros(DType::F32, shape).filter(Tensor::is_empty);
    Ok(zeros.ok_or_else(|| KernelError::unsupported("a sum over an axis without elements"))?.into())
}

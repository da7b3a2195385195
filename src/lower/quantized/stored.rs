//! What operators see of values that are stored as integers with a scale.

use super::grid::{Along, Linear};
use crate::graph::{Builder, InferError, Op, Precision, Quant, Unary, ValueId};
use crate::lower::{Cx, Refusal};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// What a node does with operands that have a scale.
enum Takes {
    /// It has scales as operands of its own.
    Stored,
    /// It moves elements about, or picks some of them: the same is done to the real numbers.
    Reals,
    /// It computes with the integers as they are.
    Integers,
}

fn takes(node: &onnx::Node) -> Takes {
    match (node.domain.as_str(), node.op.as_str()) {
        ("" | "com.microsoft", "DequantizeLinear" | "ConvInteger" | "MatMulInteger") => Takes::Stored,
        ("", "QLinearConv" | "QLinearMatMul") => Takes::Stored,
        ("com.microsoft", op) if op.starts_with("QLinear") || op.starts_with("MatMulInteger") => Takes::Stored,
        ("com.microsoft", "QGemm" | "DynamicQuantizeMatMul") => Takes::Stored,
        (
            "",
            "Concat" | "DepthToSpace" | "Expand" | "Flatten" | "Gather" | "GatherElements" | "GatherND"
            | "GlobalMaxPool" | "Identity" | "Max" | "MaxPool" | "Min" | "Reshape" | "Slice" | "SpaceToDepth" | "Split"
            | "Squeeze" | "Tile" | "Transpose" | "Unsqueeze" | "Where",
        ) => Takes::Reals,
        _ => Takes::Integers,
    }
}

/// What the results of a node are to be stored with, where it was given real numbers.
pub(in crate::lower) struct Restored {
    dtype: DType,
    quant: Quant,
}

/// The operands of `node` as its lowering takes them, and what is to be done with the results then.
pub(in crate::lower) fn restored(
    b: &mut Builder<'_>,
    node: &onnx::Node,
    operands: &mut [Option<ValueId>],
) -> Result<Option<Restored>, Refusal> {
    let stored = operands.iter().flatten().copied().find(|&id| b.graph.value(id).is_stored_as_integers());
    let Some(stored) = stored else { return Ok(None) };
    match takes(node) {
        Takes::Stored => return Ok(None),
        Takes::Reals => {
            let (dtype, quant) = (b.graph.dtype(stored), b.graph.value(stored).quant.clone());
            let Some(quant) = quant.filter(|quant| are_alike(b, operands, dtype, quant)) else {
                return integers(b, operands).map(|()| None);
            };
            for operand in operands.iter_mut().flatten() {
                if b.graph.dtype(*operand) == dtype {
                    *operand = real(b, *operand, &quant)?;
                }
            }
            return Ok(Some(Restored { dtype, quant }));
        }
        Takes::Integers => integers(b, operands)?,
    }
    Ok(None)
}

/// True where all operands of the type have one scale, or are constants that can be given it.
fn are_alike(b: &Builder<'_>, operands: &[Option<ValueId>], dtype: DType, quant: &Quant) -> bool {
    let alike = |id: &ValueId| {
        let value = b.graph.value(*id);
        value.ty.dtype != dtype
            || value.quant.as_ref() == Some(quant)
            || (value.data.is_some() && value.quant.is_none())
    };
    operands.iter().flatten().all(alike)
}

fn integers(b: &mut Builder<'_>, operands: &mut [Option<ValueId>]) -> Result<(), Refusal> {
    for operand in operands.iter_mut().flatten() {
        *operand = stored_integers(b, *operand)?;
    }
    Ok(())
}

/// The real numbers that `x` stands for.
fn real(b: &mut Builder<'_>, x: ValueId, quant: &Quant) -> Result<ValueId, InferError> {
    let (Some(data), Some((scale, zero_point))) = (b.graph.constant(x), quant.as_per_tensor()) else {
        return b.one(Op::Dequantize, &[x]);
    };
    let integers = data.to_i64s().map_err(|e| InferError::new(e.to_string()))?;
    let reals = integers.into_iter().map(|q| scale * q.wrapping_sub(zero_point) as f32).collect();
    let reals = Tensor::from_vec(data.shape(), reals);
    Ok(b.constant(reals))
}

/// The integers themselves, without a scale: all arithmetic on them is plain then.
fn stored_integers(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, InferError> {
    let value = b.graph.value(x);
    let per_tensor = value.quant.as_ref().filter(|_| value.is_stored_as_integers()).and_then(Quant::as_per_tensor);
    let Some((scale, zero_point)) = per_tensor else { return Ok(x) };
    let dtype = value.ty.dtype;
    let before = b.set_precision(Precision::Float);
    let real = b.one(Op::Dequantize, &[x])?;
    let scale = b.scalar(scale);
    let steps = b.div(real, scale)?;
    let mut whole = b.unary(Unary::Round, steps)?;
    if zero_point != 0 {
        let zero_point = b.scalar(zero_point as f32);
        whole = b.add(whole, zero_point)?;
    }
    b.set_precision(before);
    b.cast(whole, dtype)
}

impl Cx<'_> {
    /// The integers of `x`, without a scale.
    pub(super) fn stored_integers(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        Ok(stored_integers(&mut self.b, x)?)
    }

    /// Results of a lowering that was given real numbers, stored as the operands were.
    pub(in crate::lower) fn store(
        &mut self,
        results: Vec<ValueId>,
        as_before: &Restored,
    ) -> Result<Vec<ValueId>, Refusal> {
        let Restored { dtype, quant } = as_before;
        let Some((scale, zero_point)) = quant.as_per_tensor() else { return Ok(results) };
        let mut stored = Vec::with_capacity(results.len());
        for result in results {
            if self.dtype(result) != DType::F32 {
                stored.push(result);
                continue;
            }
            let linear = Linear {
                scale: self.b.scalar(scale),
                zero_point: Some(self.b.scalar_of(*dtype, zero_point as f64)?),
                along: Along::Tensor,
            };
            stored.push(self.quantized(result, linear, *dtype)?);
        }
        Ok(stored)
    }
}

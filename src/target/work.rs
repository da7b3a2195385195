//! How much an operator has to multiply.

use super::role::Role;
use super::rule::{At, product};
use crate::graph::Op;

/// Products of data and weights, or of two data, that are added up; 0 for operators without, and where shapes are unknown.
pub(super) fn multiply_adds(at: &At<'_>) -> u64 {
    let elements = |role| at.first(role).and_then(|value| value.ty.shape.elements());
    let each = match &at.node.op {
        // For each result: one row of the weights.
        Op::Conv2d { .. } | Op::FullyConnected { .. } => {
            let (Some(weights), Some(dims)) = (elements(Role::Weights), at.dims(Role::Weights)) else { return 0 };
            weights.checked_div(dims.first().copied().unwrap_or(0))
        }
        Op::DepthwiseConv2d { .. } => {
            let Some(dims) = at.dims(Role::Weights) else { return 0 };
            dims.get(1).zip(dims.get(2)).map(|(&height, &width)| product([height, width]))
        }
        // For each operand's element: one window of each output channel.
        Op::TransposeConv { .. } | Op::Conv3dTranspose { .. } => {
            let (Some(weights), Some(data)) = (elements(Role::Weights), elements(Role::Data)) else { return 0 };
            let channels = at.dims(Role::Data).and_then(|dims| dims.last().copied()).unwrap_or(0);
            return weights.checked_div(channels).map_or(0, |each| product([each, data]) as u64);
        }
        Op::Conv3d { .. } => {
            let (Some(weights), Some(dims)) = (elements(Role::Weights), at.dims(Role::Weights)) else { return 0 };
            weights.checked_div(dims.last().copied().unwrap_or(0))
        }
        Op::BatchMatMul { adj_x, .. } => at.dims(Role::Data).and_then(|dims| {
            let from_end = if *adj_x { 2 } else { 1 };
            dims.len().checked_sub(from_end).and_then(|axis| dims.get(axis).copied())
        }),
        _ => return 0,
    };
    each.zip(elements(Role::Result)).map_or(0, |(each, results)| product([each, results]) as u64)
}

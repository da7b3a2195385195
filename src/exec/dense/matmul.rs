//! `FULLY_CONNECTED` and `BATCH_MATMUL`.

use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::prelude::{Datum, OutletId, SpecialOps, TractResult, TypedModel};

use super::super::operand::{Operand, Operands};
use super::super::reference::movement;
use super::{Argument, KernelError, Prepared, empty, limits, only_floats, run, wire_limits};
use crate::graph::Activation;

/// Wires a product over the axes that `expression` names.
pub(super) fn wire_product(model: &mut TypedModel, expression: &str, operands: &[OutletId]) -> TractResult<OutletId> {
    let product = EinSum::new(expression.parse()?, f32::datum_type());
    Ok(model.wire_node("product", product, operands)?[0])
}

/// The same data as rows of `k` elements; shared where they are rows already.
pub(super) fn as_rows(x: &Operand, rows: usize, k: usize) -> Result<Operand, KernelError> {
    if x.tensor.shape() == [rows, k] { Ok(x.clone()) } else { Ok(x.tensor.reshape(&[rows, k])?.into()) }
}

pub(in crate::exec) fn fully_connected(
    x: Operands<'_>,
    keep_num_dims: bool,
    activation: Activation,
    prepared: &Prepared,
) -> Result<Operand, KernelError> {
    let (data, weights, bias) = (x.operand(0)?, x.operand(1)?, x.optional(2));
    only_floats("FULLY_CONNECTED", &[&data.tensor, &weights.tensor])?;
    let limits = limits(activation)?;
    let misfit = || {
        let (data, weights) = (data.tensor.shape(), weights.tensor.shape());
        KernelError::operands(format!("weights of shape {weights:?} for data of shape {data:?}"))
    };
    let &[n, k] = weights.tensor.shape() else { return Err(misfit()) };
    let rows = data.tensor.len().checked_div(k).filter(|rows| rows * k == data.tensor.len()).ok_or_else(misfit)?;
    let shape = match (keep_num_dims, data.tensor.shape()) {
        (true, [outer @ .., last]) if *last == k => [outer, &[n]].concat(),
        (true, _) => return Err(misfit()),
        (false, _) => vec![rows, n],
    };
    if rows == 0 || n == 0 {
        return empty(&shape);
    }
    let arguments = [
        Argument::Rows(as_rows(data, rows, k)?),
        Argument::weights(weights, |weights| Ok(weights.clone()))?,
        Argument::bias(bias, n, 2)?,
    ];
    let result = run(prepared, &arguments, |model, operands| {
        let &[data, weights, bias] = operands else { return Ok(operands[0]) };
        let product = wire_product(model, "mk,nk->mn", &[data, weights])?;
        let sum = model.wire_node("sum", math::add(), &[product, bias])?[0];
        wire_limits(model, limits, sum)
    })?;
    Operand::from_native(result, &shape)
}

pub(in crate::exec) fn batch_mat_mul(
    x: Operands<'_>,
    adj_x: bool,
    adj_y: bool,
    prepared: &Prepared,
) -> Result<Operand, KernelError> {
    let (a, b) = (x.operand(0)?, x.operand(1)?);
    only_floats("BATCH_MATMUL", &[&a.tensor, &b.tensor])?;
    let misfit = || {
        let (a, b) = (a.tensor.shape(), b.tensor.shape());
        KernelError::operands(format!("a product of shapes {a:?} and {b:?}"))
    };
    let (&[ref batch_a @ .., a0, a1], &[ref batch_b @ .., b0, b1]) = (a.tensor.shape(), b.tensor.shape()) else {
        return Err(misfit());
    };
    let (m, k) = if adj_x { (a1, a0) } else { (a0, a1) };
    let (k2, n) = if adj_y { (b1, b0) } else { (b0, b1) };
    if k != k2 {
        return Err(misfit());
    }
    let batch = super::super::reference::broadcast_shape(batch_a, batch_b)?;
    let shape = [&batch[..], &[m, n]].concat();
    if shape.contains(&0) || k == 0 {
        return empty(&shape);
    }
    let count: usize = batch.iter().product();
    if batch_b.iter().all(|&d| d == 1) && !adj_x {
        // One matrix for the whole batch: its rows are those of one large matrix.
        let arguments =
            [Argument::Rows(as_rows(a, count * m, k)?), Argument::weights(b, |b| Ok(b.reshape(&[b0, b1])?))?];
        let expression = if adj_y { "mk,nk->mn" } else { "mk,kn->mn" };
        let result = run(prepared, &arguments, |model, operands| wire_product(model, expression, operands))?;
        return Operand::from_native(result, &shape);
    }
    let (batch, all_a, all_b) = (&batch, [count, a0, a1], [count, b0, b1]);
    let spread = |t: &crate::tensor::Tensor, own: &[usize], to: [usize; 3]| {
        let whole = [&batch[..], &to[1..]].concat();
        let same = own == &batch[..];
        let whole = if same { t.clone() } else { movement::broadcast_to(t, &whole)? };
        Ok::<_, KernelError>(whole.reshape(&to)?)
    };
    let arguments = [
        Argument::Given(spread(&a.tensor, batch_a, all_a)?.into()),
        Argument::weights(b, |b| spread(b, batch_b, all_b))?,
    ];
    let left = if adj_x { "bkm" } else { "bmk" };
    let right = if adj_y { "bnk" } else { "bkn" };
    let expression = format!("{left},{right}->bmn");
    let result = run(prepared, &arguments, |model, operands| wire_product(model, &expression, operands))?;
    Operand::from_native(result, &shape)
}

//! ONNX `MatMul` and `Gemm`.

use super::conv::{perm, require_float32};
use super::elementwise::arithmetic;
use super::window::{drop_axis, insert_axis};
use super::{Cx, Refusal, Results, integer_matmul};
use crate::graph::{Activation, Binary, Builder, InferError, Op, ValueId};
use crate::tensor::{Perm, Tensor};

/// `x [..,K]` by weights `[N,K]`.
pub(super) fn fully_connected(
    b: &mut Builder<'_>,
    x: ValueId,
    w: ValueId,
    bias: Option<ValueId>,
) -> Result<ValueId, InferError> {
    let op = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
    Ok(b.emit(op, &[Some(x), Some(w), bias])?[0])
}

/// Lowers ONNX `MatMul` to `FULLY_CONNECTED` or `BATCH_MATMUL`.
///
/// # Accepts
/// float32 and integers of 32 and 64 bits; operands of any rank, vectors included; batch axes that broadcast.
/// # Produces
/// `FULLY_CONNECTED` where the right operand is a constant matrix; else `BATCH_MATMUL`, with batch axes merged, and broadcast before where
/// they differ, if there are more than three. Integers, for which there is no kernel, are `MUL → SUM` of all pairs of elements.
/// # Refuses
/// Matrices of integers with more than 2^26 pairs.
pub(super) fn mat_mul(cx: &mut Cx<'_>) -> Results {
    let (mut a, mut b) = (cx.input(0)?, cx.input(1)?);
    let is_int = integer_matmul::takes(cx.dtype(a));
    if !is_int {
        require_float32(cx, a)?;
    }
    // A vector is a row on the left and a column on the right; the axis goes again at the end.
    let (vector_a, vector_b) = (cx.rank(a) == 1, cx.rank(b) == 1);
    if cx.rank(a) == 0 || cx.rank(b) == 0 {
        return Err(Refusal::new("a scalar operand", "check the model with onnx.checker"));
    }
    if vector_a {
        a = insert_axis(cx, a, 0)?;
    }
    if vector_b {
        b = insert_axis(cx, b, 1)?;
    }
    let mut y = if is_int {
        integer_matmul::product(cx, a, b)?
    } else if cx.rank(b) == 2 && cx.constant(b).is_some() {
        let w = cx.b.transpose(b, &perm(&[1, 0]))?;
        fully_connected(&mut cx.b, a, w, None)?
    } else {
        batched(cx, a, b)?
    };
    if vector_b {
        let last = cx.rank(y) - 1;
        y = drop_axis(cx, y, last)?;
    }
    if vector_a {
        let row = cx.rank(y) - if vector_b { 1 } else { 2 };
        y = drop_axis(cx, y, row)?;
    }
    Ok(vec![y])
}

/// Kernels take at most three batch axes: more are merged into one.
fn batched(cx: &mut Cx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    const MOST: usize = 5;
    let op = Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false };
    if cx.rank(a).max(cx.rank(b)) <= MOST {
        return Ok(cx.b.one(op, &[a, b])?);
    }
    let (shape_a, shape_b) = (cx.fixed_shape(a)?, cx.fixed_shape(b)?);
    let (batch_a, matrix_a) = shape_a.split_at(shape_a.len() - 2);
    let (batch_b, matrix_b) = shape_b.split_at(shape_b.len() - 2);
    let batch = broadcast(batch_a, batch_b).ok_or_else(|| {
        Refusal::new(
            format!("batch axes {batch_a:?} and {batch_b:?} don't broadcast"),
            "check the model with onnx.checker",
        )
    })?;
    let mut merged = |x: ValueId, own: &[usize], matrix: &[usize]| -> Result<ValueId, Refusal> {
        let full: Vec<usize> = batch.iter().chain(matrix).copied().collect();
        let whole = if own == batch { x } else { broadcast_to(cx, x, &full)? };
        let rows = [batch.iter().product::<usize>() as i64, matrix[0] as i64, matrix[1] as i64];
        Ok(cx.b.reshape(whole, &rows)?)
    };
    let (a, b) = (merged(a, batch_a, matrix_a)?, merged(b, batch_b, matrix_b)?);
    let y = cx.b.one(op, &[a, b])?;
    let full: Vec<i64> = batch.iter().chain([&matrix_a[0], &matrix_b[1]]).map(|&d| d as i64).collect();
    Ok(cx.b.reshape(y, &full)?)
}

fn broadcast_to(cx: &mut Cx<'_>, x: ValueId, dims: &[usize]) -> Result<ValueId, Refusal> {
    let dims = cx.b.ints(dims)?;
    Ok(cx.b.one(Op::BroadcastTo, &[x, dims])?)
}

/// Extents of two shapes aligned at their last axes; `None` where they contradict each other.
fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], axis: usize| (axis + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    let dim = |axis: usize| match (at(a, axis), at(b, axis)) {
        (1, n) | (n, 1) => Some(n),
        (m, n) => (m == n).then_some(m),
    };
    (0..rank).map(dim).collect()
}

/// Lowers ONNX `Gemm` to `FULLY_CONNECTED`.
///
/// # Accepts
/// float32 and integers of 32 and 64 bits; any `alpha`, `beta`, `transA`, `transB`; C absent or of any shape that broadcasts.
/// # Produces
/// `TRANSPOSE? → FULLY_CONNECTED`, with `alpha` in constant weights and C as the bias where it is one row; else `→ MUL? → ADD?`.
/// B computed at run time becomes `BATCH_MATMUL`. Integers are multiplied as in `MatMul`.
/// # Refuses
/// Matrices of integers with more than 2^26 pairs of elements, or with an `alpha` or `beta` that is no whole number.
pub(super) fn gemm(cx: &mut Cx<'_>) -> Results {
    let (mut a, mut b) = (cx.input(0)?, cx.input(1)?);
    let is_int = integer_matmul::takes(cx.dtype(a));
    if !is_int {
        require_float32(cx, a)?;
    }
    let (alpha, beta) = (cx.float_or("alpha", 1.0)?, cx.float_or("beta", 1.0)?);
    let (trans_a, trans_b) = (cx.flag_or("transA", false)?, cx.flag_or("transB", false)?);
    // Before opset 7, broadcasting of C was switched on by an attribute.
    cx.ignore(&["broadcast"]);
    if cx.rank(a) != 2 || cx.rank(b) != 2 {
        return Err(Refusal::new(format!("operands of {} and {}", cx.shape(a), cx.shape(b)), "they must be matrices"));
    }
    if trans_a {
        a = cx.b.transpose(a, &perm(&[1, 0]))?;
    }
    if is_int {
        if trans_b {
            b = cx.b.transpose(b, &perm(&[1, 0]))?;
        }
        let y = integer_matmul::product(cx, a, b)?;
        let y = integer_matmul::scaled(cx, y, alpha, "alpha")?;
        return match cx.optional(2).filter(|_| beta != 0.0) {
            Some(c) => {
                let c = integer_matmul::scaled(cx, c, beta, "beta")?;
                Ok(vec![arithmetic(cx, Binary::Add, y, c)?])
            }
            None => Ok(vec![y]),
        };
    }
    let c = match cx.optional(2) {
        Some(c) if beta != 0.0 => Some(scaled(cx, c, beta)?),
        _ => None,
    };
    if cx.constant(b).is_some() {
        let w = if trans_b { b } else { cx.b.transpose(b, &Perm::identity(2).then(&perm(&[1, 0])))? };
        let w = scaled(cx, w, alpha)?;
        let row = match c {
            Some(c) => bias_row(cx, c, w)?,
            None => None,
        };
        let y = fully_connected(&mut cx.b, a, w, row)?;
        return match c {
            Some(c) if row.is_none() => Ok(vec![cx.b.add(y, c)?]),
            _ => Ok(vec![y]),
        };
    }
    let op = Op::BatchMatMul { adj_x: false, adj_y: trans_b, asymmetric_inputs: false };
    let y = cx.b.one(op, &[a, b])?;
    let y = scaled(cx, y, alpha)?;
    match c {
        Some(c) => Ok(vec![cx.b.add(y, c)?]),
        None => Ok(vec![y]),
    }
}

pub(super) fn scaled(cx: &mut Cx<'_>, x: ValueId, factor: f32) -> Result<ValueId, Refusal> {
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = cx.b.scalar(factor);
    Ok(cx.b.mul(x, factor)?)
}

/// `c` as a bias for weights `[N, K]`, where it is one constant row or one constant number.
fn bias_row(cx: &mut Cx<'_>, c: ValueId, w: ValueId) -> Result<Option<ValueId>, Refusal> {
    let Some(n) = cx.dim(w, 0) else { return Ok(None) };
    let Some(data) = cx.constant(c).cloned() else { return Ok(None) };
    let one_row = data.rank() < 2 || data.shape()[0] == 1;
    if !one_row || data.rank() > 2 {
        return Ok(None);
    }
    if data.len() == n {
        return Ok(Some(cx.b.reshape(c, &[n as i64])?));
    }
    match data.to_f32s() {
        Ok(values) if values.len() == 1 => Ok(Some(cx.b.constant(Tensor::vector(vec![values[0]; n])))),
        _ => Ok(None),
    }
}

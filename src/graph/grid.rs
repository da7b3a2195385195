//! Constants of `FLOAT32` whose numbers came from integers, and what becomes of that when they are moved about.

use super::{Evaluate, Op, Quant, Type};
use crate::tensor::{DType, Tensor};

/// The grids that the results of `op` lie on, if it only moves the elements of its one constant on a grid.
pub(super) fn carried(
    op: &Op,
    operands: &[Option<&Tensor>],
    grids: &[Option<&Quant>],
    types: &[Type],
    evaluate: &dyn Evaluate,
) -> Vec<Option<Quant>> {
    let nothing = vec![None; types.len()];
    let moved = grids.iter().position(Option::is_some).filter(|_| moves(op));
    let Some((i, Some(grid), Some(data))) = moved.map(|i| (i, grids[i], operands[i])) else { return nothing };
    let Quant::Affine { scale, zero_point, axis } = grid else { return nothing };
    if grid.as_per_tensor().is_some() {
        return vec![Some(grid.clone()); types.len()];
    }
    // Every element is replaced by its index along the axis: where those go, the axis goes.
    let shape = data.shape();
    let Some(run) = shape.get(axis + 1..).map(|inner| inner.iter().product::<usize>().max(1)) else { return nothing };
    let index = Tensor::from_vec(shape, (0..data.len()).map(|flat| (flat / run % scale.len()) as f32).collect());
    let mut operands = operands.to_vec();
    operands[i] = Some(&index);
    let Some(results) = evaluate.evaluate(op, &operands, types) else { return nothing };
    let of_axis = |indices: &Tensor| {
        let (axis, found) = constant_along_all_but_one(indices)?;
        let scale = found.iter().map(|&i| scale.get(i).copied()).collect::<Option<Vec<f32>>>()?;
        let zero_point = found.iter().map(|&i| zero_point.get(i).copied()).collect::<Option<Vec<i64>>>()?;
        Some(Quant::Affine { scale, zero_point, axis })
    };
    results.iter().map(of_axis).collect()
}

/// True where every element of the result is one of the first operand that is no index.
fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape
            | Op::Squeeze { .. }
            | Op::ExpandDims
            | Op::Transpose
            | Op::Slice
            | Op::StridedSlice(_)
            | Op::Reverse
            | Op::Split { .. }
            | Op::SplitV { .. }
            | Op::Unpack { .. }
            | Op::Gather { .. }
            | Op::Tile
            | Op::BroadcastTo
    )
}

/// The axis along which alone `indices` changes, and its numbers there; the first such axis where it is all one number.
fn constant_along_all_but_one(indices: &Tensor) -> Option<(usize, Vec<usize>)> {
    let values = indices.view::<f32>().ok()?;
    let shape = indices.shape();
    let mut run = 1;
    let mut found = None;
    for axis in (0..shape.len()).rev() {
        let extent = shape[axis];
        let along: Vec<f32> = (0..extent).map(|i| values.get(i * run).copied()).collect::<Option<_>>()?;
        if values.iter().enumerate().all(|(flat, value)| *value == along[flat / run % extent]) {
            found = Some((axis, along.into_iter().map(|i| i as usize).collect()));
        }
        run *= extent;
    }
    found.filter(|_| indices.dtype() == DType::F32 && !values.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_is_found_by_where_its_indices_went() {
        let indices = Tensor::from_vec(&[2, 3, 1], vec![0f32, 1.0, 2.0, 0.0, 1.0, 2.0]);
        assert_eq!(constant_along_all_but_one(&indices), Some((1, vec![0, 1, 2])));
        let mixed = Tensor::from_vec(&[2, 2], vec![0f32, 1.0, 1.0, 0.0]);
        assert_eq!(constant_along_all_but_one(&mixed), None);
    }
}

//! Operators that multiply by constants and add constants, channel by channel.

use super::pattern::{keeps_shape, operand_of, with_f32_constant};
use crate::graph::{Activation, Binary, Graph, Node, Unary, ValueId};
use crate::tensor::Tensor;

/// `activation(scale * x + shift)`: the factors are one number for all channels, or one for each along the last axis of `x`.
pub(super) struct Affine {
    pub x: ValueId,
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
    pub activation: Activation,
}

impl Affine {
    /// `node` in this form, where it is `float32`, has it and has finite factors.
    pub fn of(graph: &Graph, node: &Node) -> Option<Affine> {
        let (one, zero) = (vec![1.0], vec![0.0]);
        if let Some(x) = operand_of(node, Unary::Neg).filter(|&x| super::pattern::is_f32(graph, x)) {
            return Some(Affine { x, scale: vec![-1.0], shift: zero, activation: Activation::None });
        }
        let found = with_f32_constant(graph, node)?;
        let c = per_channel(found.constant)?;
        let map = |f: fn(f64) -> f64| c.iter().map(|&c| f(c)).collect();
        let (scale, shift) = match (found.kind, found.reversed) {
            (Binary::Mul, _) => (c, zero),
            (Binary::Div, false) => (map(|c| 1.0 / c), zero),
            (Binary::Add, _) => (one, c),
            (Binary::Sub, false) => (one, map(|c| -c)),
            (Binary::Sub, true) => (vec![-1.0], c),
            _ => return None,
        };
        let finite = scale.iter().chain(&shift).all(|f| f.is_finite());
        finite.then_some(Affine { x: found.x, scale, shift, activation: found.activation })
    }

    /// One number for all channels, not one for each.
    pub fn is_uniform(&self) -> bool {
        self.scale.len() == 1 && self.shift.len() == 1
    }
}

/// The elements of a constant that varies along its last axis at most.
fn per_channel(constant: &Tensor) -> Option<Vec<f64>> {
    let leading = constant.shape().split_last().map_or(&[][..], |(_, leading)| leading);
    if leading.iter().all(|&d| d == 1) { constant.to_f64s().ok().filter(|c| !c.is_empty()) } else { None }
}

/// The factor of channel `i`.
pub(super) fn factor(factors: &[f64], i: usize) -> f64 {
    match factors {
        [all] => *all,
        each => each[i],
    }
}

/// `f(a, b)` for `float32` constants under broadcasting, rounded once. `None` where the result would be larger than both, or holds
/// a number that `accept` refuses.
pub(super) fn combine(
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(f64, f64) -> f64,
    accept: impl Fn(f32) -> bool,
) -> Option<Tensor> {
    let rank = a.rank().max(b.rank());
    let extended = |t: &Tensor| [vec![1; rank - t.rank()], t.shape().to_vec()].concat();
    let (dims_a, dims_b) = (extended(a), extended(b));
    let shape: Vec<usize> = dims_a.iter().zip(&dims_b).map(|(&a, &b)| if a == 1 { b } else { a }).collect();
    let fits = |dims: &[usize]| keeps_shape(&shape.as_slice().into(), dims);
    let len = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    if !fits(&dims_a) || !fits(&dims_b) || len > a.len().max(b.len()) {
        return None;
    }
    let (values_a, values_b) = (a.to_f64s().ok()?, b.to_f64s().ok()?);
    let index = |dims: &[usize], mut flat: usize| {
        let (mut index, mut stride) = (0, 1);
        for (&dim, &own) in shape.iter().zip(dims).rev() {
            index += if own == 1 { 0 } else { flat % dim * stride };
            stride *= own;
            flat /= dim;
        }
        index
    };
    let values: Vec<f32> =
        (0..len).map(|i| f(values_a[index(&dims_a, i)], values_b[index(&dims_b, i)]) as f32).collect();
    values.iter().all(|&v| accept(v)).then(|| Tensor::from_vec(&shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_combine_under_broadcasting() {
        let column = Tensor::from_vec(&[2, 1], vec![1.0f32, 10.0]);
        let matrix = Tensor::from_vec(&[2, 3], vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let sum = combine(&column, &matrix, |a, b| a + b, f32::is_finite).unwrap();
        assert_eq!(sum, Tensor::from_vec(&[2, 3], vec![1.0f32, 2.0, 3.0, 13.0, 14.0, 15.0]));
        let row = Tensor::vector(vec![1.0f32, 2.0, 3.0]);
        assert_eq!(combine(&column, &row, |a, b| a + b, f32::is_finite), None, "larger than both");
        let other = Tensor::vector(vec![1.0f32, 2.0]);
        assert_eq!(combine(&matrix, &other, |a, b| a + b, f32::is_finite), None, "shapes that don't broadcast");
        let scalar = Tensor::scalar(2.0f32);
        assert_eq!(combine(&scalar, &scalar, |a, b| a * b, f32::is_finite), Some(Tensor::scalar(4.0f32)));
    }
}

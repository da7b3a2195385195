//! The operators that bring memory from one layout to another: at most one `TRANSPOSE`, and a `RESHAPE` where shapes ask for it.

use super::memory::{Moves, refine};
use super::nest::MAX_RANK;
use super::view::expressible;
use crate::graph::Dim;
use crate::tensor::Perm;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Reshape(Vec<Dim>),
    Transpose(Perm),
}

impl Step {
    pub(super) fn dims(&self, from: &[Dim]) -> Vec<Dim> {
        match self {
            Step::Reshape(dims) => dims.clone(),
            Step::Transpose(perm) => perm.apply(from),
        }
    }
}

/// The shortest way from shape `from` to shape `to` that makes `moves`. `None` where it would need a `RESHAPE` to a shape that is
/// only known at run time.
pub(super) fn steps(moves: &Moves, from: &[Dim], to: &[Dim]) -> Option<Vec<Step>> {
    if moves.none() && from == to {
        return Some(Vec::new());
    }
    if moves.none() && expressible(to) {
        return Some(vec![Step::Reshape(to.to_vec())]);
    }
    let ways = [reshape_last(moves, from, to), reshape_first(moves, from, to), reshape_twice(moves, from, to)];
    let rank = |way: &[Step]| way.iter().map(|s| if let Step::Transpose(p) = s { p.rank() } else { 0 }).max();
    ways.into_iter().flatten().min_by_key(|way| (rank(way) > Some(MAX_RANK), way.len()))
}

/// Transposes the axes as they are.
fn reshape_last(moves: &Moves, from: &[Dim], to: &[Dim]) -> Option<Vec<Step>> {
    let perm = whole_axes(moves, from, to)?;
    let transposed = perm.apply(from);
    let mut way = vec![Step::Transpose(perm)];
    if transposed != to {
        way.push(expressible(to).then(|| Step::Reshape(to.to_vec()))?);
    }
    Some(way)
}

/// Transposes such axes as give the shape wanted.
fn reshape_first(moves: &Moves, from: &[Dim], to: &[Dim]) -> Option<Vec<Step>> {
    let perm = whole_axes(&moves.inverse()?, to, from)?;
    let before = perm.apply(to);
    let transpose = Step::Transpose(perm.inverse());
    if before == from {
        return Some(vec![transpose]);
    }
    expressible(&before).then(|| vec![Step::Reshape(before), transpose])
}

/// Transposes as few axes as can be.
fn reshape_twice(moves: &Moves, from: &[Dim], to: &[Dim]) -> Option<Vec<Step>> {
    let transpose = Step::Transpose(Perm::new(moves.order.clone())?);
    let (before, after) = (moves.sizes.clone(), transpose.dims(&moves.sizes));
    if !expressible(&before) || !expressible(to) {
        return None;
    }
    let mut way = Vec::with_capacity(3);
    if before != from {
        way.push(Step::Reshape(before));
    }
    way.push(transpose);
    if after != to {
        way.push(Step::Reshape(to.to_vec()));
    }
    Some(way)
}

/// `moves` as a permutation of the axes of `from`, each of which goes as a whole. Axes of size 1 go where `to` has them.
fn whole_axes(moves: &Moves, from: &[Dim], to: &[Dim]) -> Option<Perm> {
    let pieces = refine(&moves.sizes, from)?;
    let mut axes = Vec::with_capacity(from.len());
    for &moved in &moves.order {
        axes.extend(pieces.iter().filter(|p| p.x == Some(moved)).map(|p| p.y));
    }
    let mut ones: Vec<usize> = (0..from.len()).filter(|&axis| from[axis] == Some(1)).rev().collect();
    let many = to.iter().filter(|d| **d != Some(1)).copied();
    let alike = many.eq(axes.iter().map(|&axis| from[axis])) && to.len() == from.len();
    let axes: Vec<usize> = if alike {
        let mut many = axes.into_iter();
        to.iter().map(|d| if *d == Some(1) { ones.pop() } else { many.next() }).collect::<Option<_>>()?
    } else {
        ones.into_iter().rev().chain(axes).collect()
    };
    // An axis that is named twice would have to be divided.
    Perm::new(axes).filter(|perm| perm.rank() == from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(dims: &[usize]) -> Vec<Dim> {
        dims.iter().copied().map(Some).collect()
    }

    fn way(sizes: &[usize], order: &[usize], from: &[usize], to: &[usize]) -> Vec<Step> {
        let moves = Moves { sizes: known(sizes), order: order.to_vec() };
        steps(&moves, &known(from), &known(to)).unwrap()
    }

    fn transpose(axes: &[usize]) -> Step {
        Step::Transpose(Perm::new(axes.to_vec()).unwrap())
    }

    #[test]
    fn plain_transposes_need_no_reshape() {
        assert_eq!(way(&[2, 15, 8], &[0, 2, 1], &[2, 3, 5, 8], &[2, 8, 3, 5]), [transpose(&[0, 3, 1, 2])]);
        assert_eq!(way(&[15, 8], &[1, 0], &[1, 3, 5, 8], &[1, 8, 3, 5]), [transpose(&[0, 3, 1, 2])]);
        assert_eq!(way(&[15, 8], &[1, 0], &[15, 1, 8], &[1, 8, 15]), [transpose(&[1, 2, 0])]);
    }

    #[test]
    fn one_reshape_where_one_side_has_the_axes() {
        let flat = [transpose(&[0, 3, 1, 2]), Step::Reshape(known(&[2, 120]))];
        assert_eq!(way(&[2, 15, 8], &[0, 2, 1], &[2, 3, 5, 8], &[2, 120]), flat);
        let unflat = [Step::Reshape(known(&[2, 3, 5, 8])), transpose(&[0, 3, 1, 2])];
        assert_eq!(way(&[2, 15, 8], &[0, 2, 1], &[2, 120], &[2, 8, 3, 5]), unflat);
    }

    #[test]
    fn a_channel_shuffle_takes_three_axes() {
        let shuffle = [Step::Reshape(known(&[30, 2, 4])), transpose(&[0, 2, 1]), Step::Reshape(known(&[2, 3, 5, 8]))];
        assert_eq!(way(&[30, 2, 4], &[0, 2, 1], &[2, 3, 5, 8], &[2, 3, 5, 8]), shuffle);
    }

    #[test]
    fn only_size_one_moves() {
        assert_eq!(way(&[8], &[0], &[1, 1, 1, 8], &[1, 8, 1, 1]), [Step::Reshape(known(&[1, 8, 1, 1]))]);
        let moves = Moves { sizes: vec![None, None], order: vec![0, 1] };
        let (from, to) = ([None, Some(1), None], [None, None, Some(1)]);
        assert_eq!(steps(&moves, &from, &to).unwrap(), [transpose(&[0, 2, 1])], "no RESHAPE can say that");
    }
}

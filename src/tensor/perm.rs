/// A permutation of axes, in the convention of ONNX `Transpose` and TFLite `TRANSPOSE`: axis `i` of the result is
/// axis `perm[i]` of the operand.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Perm(Vec<usize>);

impl Perm {
    /// `None` unless `axes` holds each of `0..axes.len()` once.
    pub fn new(axes: Vec<usize>) -> Option<Perm> {
        let mut seen = vec![false; axes.len()];
        for &axis in &axes {
            if std::mem::replace(seen.get_mut(axis)?, true) {
                return None;
            }
        }
        Some(Perm(axes))
    }

    /// Leaves every axis where it is.
    pub fn identity(rank: usize) -> Perm {
        Perm((0..rank).collect())
    }

    /// `[N, C, spatial..]` to `[N, spatial.., C]`.
    pub fn to_channels_last(rank: usize) -> Perm {
        if rank < 3 {
            return Perm::identity(rank);
        }
        Perm(std::iter::once(0).chain(2..rank).chain(std::iter::once(1)).collect())
    }

    /// `[N, spatial.., C]` to `[N, C, spatial..]`.
    pub fn to_channels_first(rank: usize) -> Perm {
        Perm::to_channels_last(rank).inverse()
    }

    pub fn axes(&self) -> &[usize] {
        &self.0
    }

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    pub fn is_identity(&self) -> bool {
        self.0.iter().enumerate().all(|(i, &axis)| i == axis)
    }

    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Perm {
        let mut inverse = vec![0; self.0.len()];
        for (i, &axis) in self.0.iter().enumerate() {
            inverse[axis] = i;
        }
        Perm(inverse)
    }

    /// This permutation, then `next`: `x.transpose(self).transpose(next) == x.transpose(self.then(next))`.
    ///
    /// # Panics
    /// Where the ranks differ.
    pub fn then(&self, next: &Perm) -> Perm {
        assert_eq!(self.rank(), next.rank(), "permutations of different rank");
        Perm(next.0.iter().map(|&axis| self.0[axis]).collect())
    }

    /// Where axis `axis` of the operand ends up in the result.
    ///
    /// # Panics
    /// Where `axis` is not below the rank.
    pub fn position_of(&self, axis: usize) -> usize {
        self.0.iter().position(|&a| a == axis).expect("axis below the rank of the permutation")
    }

    /// Reorders one item per axis as a transpose reorders the shape.
    ///
    /// # Panics
    /// Where `items` has another length than the permutation.
    pub fn apply<T: Clone>(&self, items: &[T]) -> Vec<T> {
        assert_eq!(self.rank(), items.len(), "one item per axis");
        self.0.iter().map(|&axis| items[axis].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn then_matches_two_transposes() {
        let p = Perm::new(vec![2, 0, 1]).unwrap();
        let q = Perm::new(vec![1, 0, 2]).unwrap();
        let shape = [3, 5, 7];
        assert_eq!(q.apply(&p.apply(&shape)), p.then(&q).apply(&shape));
        assert!(p.then(&p.inverse()).is_identity());
    }

    #[test]
    fn only_permutations_are_made() {
        assert_eq!(Perm::new(vec![0, 0]), None);
        assert_eq!(Perm::new(vec![1, 2]), None);
    }

    #[test]
    fn channels_last_and_back() {
        assert_eq!(Perm::to_channels_last(4).axes(), [0, 2, 3, 1]);
        assert_eq!(Perm::to_channels_first(4).axes(), [0, 3, 1, 2]);
        assert_eq!(Perm::to_channels_last(3).axes(), [0, 2, 1]);
    }
}

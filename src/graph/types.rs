use std::fmt;

use crate::tensor::{DType, Tensor};

/// Extent of one axis; `None` where it is only known at run time.
pub type Dim = Option<usize>;

/// Extents of a value. The rank is always known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    pub fn fixed(dims: &[usize]) -> Shape {
        Shape(dims.iter().map(|&d| Some(d)).collect())
    }

    pub fn scalar() -> Shape {
        Shape(Vec::new())
    }

    pub fn rank(&self) -> usize {
        self.0.len()
    }

    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// Extent of `axis`, where it is known.
    pub fn dim(&self, axis: usize) -> Dim {
        self.0.get(axis).copied().flatten()
    }

    /// All extents, where all are known.
    pub fn as_fixed(&self) -> Option<Vec<usize>> {
        self.0.iter().copied().collect()
    }

    pub fn is_fixed(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// Number of elements, where it is known and can be counted.
    pub fn elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| n.checked_mul((*d)?))
    }

    /// True where the two can be one and the same at run time.
    pub fn agrees_with(&self, other: &Shape) -> bool {
        self.rank() == other.rank() && self.0.iter().zip(&other.0).all(|(a, b)| a.is_none() || b.is_none() || a == b)
    }

    /// The extents that both have; `None` where the ranks differ.
    pub fn common(&self, other: &Shape) -> Option<Shape> {
        let pairs = self.0.iter().zip(&other.0);
        (self.rank() == other.rank()).then(|| Shape(pairs.map(|(a, b)| a.filter(|_| a == b)).collect()))
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Shape {
        Shape::fixed(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match dim {
                Some(d) => write!(f, "{d}")?,
                None => f.write_str("?")?,
            }
        }
        f.write_str("]")
    }
}

/// Element type and shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Type {
    pub dtype: DType,
    pub shape: Shape,
}

impl Type {
    pub fn new(dtype: DType, shape: Shape) -> Type {
        Type { dtype, shape }
    }

    pub fn of(tensor: &Tensor) -> Type {
        Type { dtype: tensor.dtype(), shape: Shape::fixed(tensor.shape()) }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

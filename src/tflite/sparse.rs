//! Sparse constants of files made elsewhere, to the dense ones that a graph holds.
//!
//! The format stores a tensor level by level: first the axes in `traversal_order`, of which those past the rank walk inside of
//! blocks. A level is dense, or lists for each position of the level above which of its indices are there.

use bytes::Bytes;

use crate::schema::{DimensionMetadata, DimensionType, SparseIndexVector, SparsityParameters};

/// A dense constant may be this many times as large as what it is made of: a file of a few bytes must not claim gigabytes.
const LARGEST_GROWTH: usize = 1000;

/// Twice the highest rank of any kernel.
const MOST_LEVELS: usize = 16;

/// One level of the walk.
enum Level {
    Dense {
        size: usize,
    },
    /// `indices[segments[p]..segments[p + 1]]` are the indices below position `p` of the level above.
    Listed {
        segments: Vec<usize>,
        indices: Vec<usize>,
    },
}

/// How the index of a level moves through the dense tensor.
struct Step {
    /// Elements from one index to the next.
    stride: usize,
    /// How many indices there are.
    extent: usize,
}

struct Walk<'a> {
    levels: Vec<Level>,
    steps: Vec<Step>,
    element: usize,
    values: &'a [u8],
    /// Bytes of `values` that are placed.
    taken: usize,
    dense: Vec<u8>,
}

/// The dense bytes of a tensor of `shape`, with elements of `element` bytes; zero where nothing is stored.
///
/// # Errors
/// What is wrong with the parameters.
pub(super) fn densified(
    shape: &[usize],
    element: usize,
    parameters: &SparsityParameters,
    values: &[u8],
) -> Result<Bytes, String> {
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let len = elements.and_then(|n| n.checked_mul(element));
    let len = len.filter(|&len| len / LARGEST_GROWTH <= values.len().saturating_add(LARGEST_GROWTH));
    let len = len.ok_or("is sparse beyond all measure")?;
    let levels: Option<Vec<Level>> = parameters.dim_metadata.iter().flatten().map(level).collect();
    let levels = levels.ok_or("has sparse levels that can't be followed")?;
    let steps = steps(shape, parameters, &levels).ok_or("has sparse levels that don't fit its shape")?;
    if len == 0 {
        return Ok(Bytes::new());
    }
    let mut walk = Walk { levels, steps, element, values, taken: 0, dense: vec![0; len] };
    let whole = walk.descend(0, 0, 0).is_some() && walk.taken == values.len();
    if whole { Ok(walk.dense.into()) } else { Err("has sparse levels that don't fit its data".into()) }
}

fn level(metadata: &DimensionMetadata) -> Option<Level> {
    match metadata.format {
        DimensionType::DENSE => Some(Level::Dense { size: usize::try_from(metadata.dense_size).ok()? }),
        DimensionType::SPARSE_CSR => Some(Level::Listed {
            segments: numbers(&metadata.array_segments)?,
            indices: numbers(&metadata.array_indices)?,
        }),
        _ => None,
    }
}

fn numbers(vector: &SparseIndexVector) -> Option<Vec<usize>> {
    match vector {
        SparseIndexVector::None => None,
        SparseIndexVector::Int32Vector(v) => v.values.iter().flatten().map(|&n| usize::try_from(n).ok()).collect(),
        SparseIndexVector::Uint16Vector(v) => Some(v.values.iter().flatten().map(|&n| n.into()).collect()),
        SparseIndexVector::Uint8Vector(v) => Some(v.values.iter().flat_map(|v| v.iter()).map(|&n| n.into()).collect()),
    }
}

fn steps(shape: &[usize], parameters: &SparsityParameters, levels: &[Level]) -> Option<Vec<Step>> {
    let rank = shape.len();
    let natural = |n: &i32| usize::try_from(*n).ok();
    let order: Vec<usize> = parameters.traversal_order.iter().flatten().map(natural).collect::<Option<_>>()?;
    let blocked: Vec<usize> = parameters.block_map.iter().flatten().map(natural).collect::<Option<_>>()?;
    let mut seen = vec![false; order.len()];
    let is_permutation =
        order.iter().all(|&axis| seen.get_mut(axis).is_some_and(|seen| !std::mem::replace(seen, true)));
    if order.len() > MOST_LEVELS
        || order.len() != levels.len()
        || order.len() != rank + blocked.len()
        || !is_permutation
    {
        return None;
    }
    let mut of_axis = vec![1usize; rank];
    for axis in (1..rank).rev() {
        of_axis[axis - 1] = of_axis[axis].checked_mul(shape[axis])?;
    }
    // A step along an axis that is blocked leads past a whole block; a step inside of the block past one index.
    let mut block_size = vec![1usize; rank];
    for (&axis, level) in order.iter().zip(levels) {
        if let Some(inner) = axis.checked_sub(rank) {
            let Level::Dense { size } = level else { return None };
            let size_of = block_size.get_mut(*blocked.get(inner)?)?;
            *size_of = size_of.checked_mul(*size)?;
        }
    }
    let step = |(&axis, level): (&usize, &Level)| match (axis.checked_sub(rank), level) {
        (Some(inner), Level::Dense { size }) => {
            Some(Step { stride: *of_axis.get(*blocked.get(inner)?)?, extent: *size })
        }
        (Some(_), Level::Listed { .. }) => None,
        (None, _) => {
            let block = (*block_size.get(axis)?).max(1);
            Some(Step { stride: of_axis.get(axis)?.checked_mul(block)?, extent: shape.get(axis)?.div_ceil(block) })
        }
    };
    order.iter().zip(levels).map(step).collect()
}

impl Walk<'_> {
    /// Places what is stored below `position` of the level above `level`, from element `at` of the dense tensor on. `None` where
    /// that leads out of either.
    fn descend(&mut self, level: usize, position: usize, at: usize) -> Option<()> {
        let Some(&Step { stride, extent }) = self.steps.get(level) else { return self.place(at) };
        let range = match self.levels.get(level)? {
            Level::Dense { size } => 0..*size,
            Level::Listed { segments, .. } => *segments.get(position)?..*segments.get(position + 1)?,
        };
        for i in range {
            let (index, below) = match self.levels.get(level)? {
                Level::Dense { size } => (i, position.checked_mul(*size)?.checked_add(i)?),
                Level::Listed { indices, .. } => (*indices.get(i)?, i),
            };
            let inside = index < extent;
            inside.then(|| self.descend(level + 1, below, index.checked_mul(stride)?.checked_add(at)?))??;
        }
        Some(())
    }

    fn place(&mut self, at: usize) -> Option<()> {
        let end = self.taken.checked_add(self.element)?;
        let value = self.values.get(self.taken..end)?;
        let start = at.checked_mul(self.element)?;
        self.dense.get_mut(start..start.checked_add(self.element)?)?.copy_from_slice(value);
        self.taken = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Int32Vector, Uint8Vector};

    fn dense(size: i32) -> DimensionMetadata {
        DimensionMetadata { format: DimensionType::DENSE, dense_size: size, ..DimensionMetadata::default() }
    }

    fn listed(segments: &[i32], indices: &'static [u8]) -> DimensionMetadata {
        DimensionMetadata {
            format: DimensionType::SPARSE_CSR,
            array_segments: Int32Vector { values: Some(segments.to_vec()) }.into(),
            array_indices: Uint8Vector { values: Some(Bytes::from_static(indices)) }.into(),
            ..DimensionMetadata::default()
        }
    }

    #[test]
    fn rows_of_listed_columns() {
        let parameters = SparsityParameters {
            traversal_order: Some(vec![0, 1]),
            block_map: None,
            dim_metadata: Some(vec![dense(3), listed(&[0, 2, 2, 3], &[0, 3, 1])]),
        };
        let bytes = densified(&[3, 4], 1, &parameters, &[7, 8, 9]).unwrap();
        assert_eq!(bytes[..], [7, 0, 0, 8, 0, 0, 0, 0, 0, 9, 0, 0]);
    }

    #[test]
    fn blocks_of_two_by_two() {
        let parameters = SparsityParameters {
            traversal_order: Some(vec![0, 1, 2, 3]),
            block_map: Some(vec![0, 1]),
            dim_metadata: Some(vec![dense(2), listed(&[0, 1, 2], &[1, 0]), dense(2), dense(2)]),
        };
        let bytes = densified(&[4, 4], 1, &parameters, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(bytes[..], [0, 0, 1, 2, 0, 0, 3, 4, 5, 6, 0, 0, 7, 8, 0, 0]);
    }

    #[test]
    fn columns_first() {
        let parameters = SparsityParameters {
            traversal_order: Some(vec![1, 0]),
            block_map: None,
            dim_metadata: Some(vec![dense(2), listed(&[0, 1, 3], &[2, 0, 1])]),
        };
        let bytes = densified(&[3, 2], 2, &parameters, &[1, 0, 2, 0, 3, 0]).unwrap();
        assert_eq!(bytes[..], [0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn levels_that_lead_astray_are_refused() {
        let with = |order: &[i32], levels| SparsityParameters {
            traversal_order: Some(order.to_vec()),
            block_map: None,
            dim_metadata: Some(levels),
        };
        for parameters in [
            with(&[0, 0], vec![dense(3), dense(4)]),
            with(&[0], vec![dense(3)]),
            with(&[0, -1], vec![dense(3), dense(4)]),
            with(&[0, 1], vec![dense(3), dense(5)]),
            with(&[0, 1], vec![dense(i32::MAX), dense(4)]),
            with(&[0, 1], vec![dense(3), listed(&[0, 2, 2], &[0, 3, 1])]),
            with(&[0, 1], vec![dense(3), listed(&[0, 2, 2, 3], &[0, 9, 1])]),
            with(&[0, 1], vec![dense(3), listed(&[0, 2, 2, 4], &[0, 3, 1])]),
            with(&[0, 1], vec![dense(3), listed(&[-1, 2, 2, 3], &[0, 3, 1])]),
        ] {
            assert!(densified(&[3, 4], 1, &parameters, &[7, 8, 9]).is_err(), "{parameters:?}");
        }
        let huge = with(&[0, 1], vec![dense(1 << 20), listed(&[0], &[])]);
        assert!(densified(&[1 << 20, 1 << 30], 1, &huge, &[]).is_err());
    }
}

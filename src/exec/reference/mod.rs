//! Operators computed directly on tensors.
//!
//! Owns: what each operator means, element by element, as TFLite's kernels have it. Shapes are taken from the operands as they
//! are, so nothing here cares whether extents were known in advance. Knows nothing of graphs, nodes or tract.

pub(super) mod blocks;
pub(super) mod detection;
pub(super) mod elementwise;
pub(super) mod index;
pub(super) mod movement;
pub(super) mod normalize;
pub(super) mod pool;
pub(super) mod quantize;
pub(super) mod reduce;
pub(super) mod resize;
pub(super) mod scalar;
pub(super) mod segment;
mod strided;
pub(super) mod sweep;

use super::KernelError;
use crate::tensor::{DType, Tensor, normalize_axis};

/// Results past this size are refused: no shape that a file holds may exhaust the memory.
const MAX_BYTES: usize = 1 << 33;

/// Number of elements of a tensor, checked before memory is taken for it. Where there are none because of one extent, the others
/// must still be such that they can be multiplied.
pub(super) fn checked_len(dtype: DType, shape: &[usize]) -> Result<usize, KernelError> {
    let most = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    match most.and_then(|n| dtype.byte_len(n)) {
        Some(bytes) if bytes <= MAX_BYTES => Ok(shape.iter().product()),
        _ => Err(KernelError::TooLarge { shape: shape.to_vec() }),
    }
}

fn axis_of(axis: i64, rank: usize) -> Result<usize, KernelError> {
    normalize_axis(axis, rank).ok_or_else(|| KernelError::operands(format!("axis {axis} is outside rank {rank}")))
}

fn no_kernel(op: &str, dtype: DType) -> KernelError {
    KernelError::unsupported(format!("{op} on {dtype}"))
}

/// Height, width and so on of a channels-last tensor.
fn dims_of<const RANK: usize>(x: &Tensor) -> Result<[usize; RANK], KernelError> {
    x.shape().try_into().map_err(|_| KernelError::operands(format!("rank {RANK} is needed, but not {:?}", x.shape())))
}

/// Computes 16-bit floats in `FLOAT32`, and everything else as it is.
pub(super) fn widened(
    operands: &[&Tensor],
    compute: impl Fn(&[&Tensor]) -> Result<Tensor, KernelError>,
) -> Result<Tensor, KernelError> {
    let half = operands.first().map(|t| t.dtype()).filter(|d| matches!(d, DType::F16 | DType::BF16));
    let Some(half) = half.filter(|half| operands.iter().all(|t| t.dtype() == *half)) else { return compute(operands) };
    let wide: Vec<Tensor> = operands.iter().map(|t| t.cast(DType::F32)).collect::<Result<_, _>>()?;
    let result = compute(&wide.iter().collect::<Vec<_>>())?;
    Ok(if result.dtype() == DType::F32 { result.cast(half)? } else { result })
}

/// Shape of operands that are broadcast against each other.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, KernelError> {
    Ok(strided::broadcast([a, b])?.0)
}

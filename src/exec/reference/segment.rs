//! Operators that bring equal things together: segments, distinct elements.

use super::super::KernelError;
use super::{checked_len, no_kernel};
use crate::graph::Segment;
use crate::tensor::{DType, Element, Tensor};

/// Rows of `x` joined by the number that `ids` gives them, into `count` rows. Negative numbers drop a row.
pub(in crate::exec) fn unsorted(kind: Segment, x: &Tensor, ids: &Tensor, count: i64) -> Result<Tensor, KernelError> {
    let count = usize::try_from(count).map_err(|_| KernelError::operands(format!("{count} segments")))?;
    if x.shape().get(..ids.rank()) != Some(ids.shape()) {
        return Err(KernelError::operands(format!("segment numbers of {:?} for {:?}", ids.shape(), x.shape())));
    }
    let shape = [&[count], &x.shape()[ids.rank()..]].concat();
    checked_len(x.dtype(), &shape)?;
    let ids = ids.to_i64s()?;
    if let Some(id) = ids.iter().find(|&&id| id >= count as i64) {
        return Err(KernelError::operands(format!("segment {id} of {count}")));
    }
    match x.dtype() {
        DType::F32 => joined::<f32>(
            x,
            &ids,
            &shape,
            match kind {
                Segment::Sum => (0.0, |a, b| a + b),
                Segment::Prod => (1.0, |a, b| a * b),
                Segment::Max => (f32::MIN, |a, b| if a < b { b } else { a }),
                Segment::Min => (f32::MAX, |a, b| if b < a { b } else { a }),
            },
        ),
        DType::I32 => joined::<i32>(
            x,
            &ids,
            &shape,
            match kind {
                Segment::Sum => (0, i32::wrapping_add),
                Segment::Prod => (1, i32::wrapping_mul),
                Segment::Max => (i32::MIN, i32::max),
                Segment::Min => (i32::MAX, i32::min),
            },
        ),
        dtype => Err(no_kernel(kind.name(), dtype)),
    }
}

fn joined<T: Element>(
    x: &Tensor,
    ids: &[i64],
    shape: &[usize],
    (empty, join): (T, fn(T, T) -> T),
) -> Result<Tensor, KernelError> {
    let width: usize = shape[1..].iter().product();
    let mut out = vec![empty; shape.iter().product()];
    let values = x.view::<T>()?;
    for (row, &id) in values.chunks_exact(width.max(1)).zip(ids) {
        let Ok(id) = usize::try_from(id) else { continue };
        for (to, &from) in out[id * width..].iter_mut().zip(row) {
            *to = join(*to, from);
        }
    }
    Ok(Tensor::from_vec(shape, out))
}

/// The distinct elements of a vector in the order of first appearance, and where each element stands among them.
pub(in crate::exec) fn unique(x: &Tensor, to: DType) -> Result<Vec<Tensor>, KernelError> {
    let elements: Vec<u64> = match x.dtype() {
        dtype if dtype.is_float() => x.to_f64s()?.into_iter().map(|v| (v + 0.0).to_bits()).collect(),
        _ => x.to_i64s()?.into_iter().map(i64::cast_unsigned).collect(),
    };
    let mut numbers = std::collections::HashMap::new();
    let mut firsts = Vec::new();
    let mut places = Vec::with_capacity(elements.len());
    for (i, element) in elements.into_iter().enumerate() {
        let number = *numbers.entry(element).or_insert_with(|| {
            firsts.push(i as i64);
            firsts.len() as i64 - 1
        });
        places.push(number);
    }
    let firsts = Tensor::vector(firsts);
    Ok(vec![super::index::gather(x, &firsts, 0, 0)?, Tensor::vector(places).cast(to)?])
}

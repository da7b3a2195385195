//! ONNX `Split`.

use super::known::Number;
use super::{Cx, Refusal, Results};
use crate::graph::{Op, ValueId};
use crate::tensor::DType;

/// What the kernels of `SPLIT` and `SPLIT_V` take.
const KERNEL: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I16, DType::I32, DType::I64];

/// Lowers ONNX `Split` to `SPLIT` or `SPLIT_V`.
///
/// # Accepts
/// Sizes as attribute or operand (also one fed at run time), equal parts, `num_outputs` with a shorter last part.
/// # Produces
/// `SPLIT` for equal parts, `SPLIT_V` for others, a `SLICE` for each part of types without a kernel.
/// # Refuses
/// float64 and uint64 along an axis of unknown extent.
pub(super) fn split(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let axis = cx.int_or("axis", 0)?;
    let axis = cx.axis(axis, x)?;
    let parts = cx.output_count();
    if let Some(n) = cx.int("num_outputs")?.filter(|&n| n != parts as i64) {
        return Err(Refusal::new(format!("is {n} for {parts} outputs"), "check the model with onnx.checker")
            .about("attribute num_outputs"));
    }
    let given = if cx.opset() < 13 { cx.ints("split")?.map(<[i64]>::to_vec) } else { None };
    let sizes = match given {
        Some(sizes) => Some(sizes),
        None => match cx.optional(1).filter(|_| cx.opset() >= 13) {
            Some(operand) => match cx.known_ints(operand) {
                Some(sizes) => Some(sizes),
                None => {
                    let numbers = cx.numbers(operand).unwrap_or_default();
                    let sizes = cx.as_i32(operand)?;
                    return at_run_time(cx, x, sizes, &numbers, axis, parts);
                }
            },
            None => None,
        },
    };
    let sizes = match (sizes, cx.dim(x, axis)) {
        (Some(sizes), _) => Some(sizes),
        // Only the last part may be smaller, from opset 18 on.
        (None, Some(total)) => Some(even_sizes(total, parts)),
        (None, None) if cx.opset() < 18 => None,
        (None, None) => {
            let sizes = even_sizes_at_run_time(cx, x, axis, parts)?;
            return at_run_time(cx, x, sizes, &[], axis, parts);
        }
    };
    if let [_] = sizes.as_deref().unwrap_or_default() {
        return Ok(vec![x]);
    }
    let equal = sizes.as_ref().is_none_or(|s| s.windows(2).all(|pair| pair[0] == pair[1]));
    let sizes = sizes.unwrap_or_default();
    if !KERNEL.contains(&cx.dtype(x)) && !sizes.is_empty() {
        return slices(cx, x, &sizes, axis);
    }
    let axis = cx.b.scalar(axis as i32);
    if equal {
        return Ok(cx.b.emit(Op::Split { parts }, &[Some(axis), Some(x)])?);
    }
    let sizes = cx.b.ints(&sizes)?;
    Ok(cx.b.emit(Op::SplitV { parts }, &[Some(x), Some(sizes), Some(axis)])?)
}

/// Parts of `total / parts`, rounded up; the last one takes what is left.
fn even_sizes(total: usize, parts: usize) -> Vec<i64> {
    let size = total.div_ceil(parts.max(1));
    (0..parts).map(|i| total.saturating_sub(i * size).min(size) as i64).collect()
}

/// [`even_sizes`] of an extent that is only known at run time.
fn even_sizes_at_run_time(cx: &mut Cx<'_>, x: ValueId, axis: usize, parts: usize) -> Result<ValueId, Refusal> {
    let total = cx.extent_vector(x, axis)?;
    let (round_up, count) = (cx.b.ints(&[parts.saturating_sub(1)])?, cx.b.ints(&[parts])?);
    let rounded = cx.b.add(total, round_up)?;
    let size = cx.b.div(rounded, count)?;
    let others = cx.b.mul(size, round_up)?;
    let last = cx.b.sub(total, others)?;
    let mut sizes = vec![size; parts];
    sizes[parts.saturating_sub(1)] = last;
    Ok(cx.b.concat(&sizes, 0)?)
}

fn at_run_time(cx: &mut Cx<'_>, x: ValueId, sizes: ValueId, numbers: &[Number], axis: usize, parts: usize) -> Results {
    let dtype = cx.dtype(x);
    let x = cx.in_moved_type(x, KERNEL)?;
    let axis_operand = cx.b.scalar(axis as i32);
    let pieces = cx.b.emit(Op::SplitV { parts }, &[Some(x), Some(sizes), Some(axis_operand)])?;
    let rank = cx.rank(x);
    pieces
        .into_iter()
        .enumerate()
        .map(|(i, piece)| {
            let mut extents = vec![Number::Unknown; rank];
            extents[axis] = numbers.get(i).copied().unwrap_or(Number::Unknown);
            let piece = cx.refine(piece, &extents);
            Ok(cx.b.cast(piece, dtype)?)
        })
        .collect()
}

fn slices(cx: &mut Cx<'_>, x: ValueId, sizes: &[i64], axis: usize) -> Results {
    let rank = cx.rank(x);
    let mut start = 0;
    sizes
        .iter()
        .map(|&part| {
            let (mut begin, mut size) = (vec![0; rank], vec![-1; rank]);
            (begin[axis], size[axis]) = (start, part);
            start += part;
            Ok(cx.b.slice(x, &begin, &size)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_takes_the_rest() {
        assert_eq!(even_sizes(7, 3), [3, 3, 1]);
        assert_eq!(even_sizes(10, 4), [3, 3, 3, 1]);
        assert_eq!(even_sizes(6, 3), [2, 2, 2]);
    }
}

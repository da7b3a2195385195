//! ONNX `Unique`.
//!
//! Everything follows from two things: for each element (or slice), which element is the first that equals it, and the number of its
//! group in the order asked for.

use super::nonzero::places;
use super::reshape::Part;
use super::top_k::extremes;
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Binary, Compare, Op, Reduce, Segment, ValueId};
use crate::tensor::{DType, Perm};

/// Lowers ONNX `Unique` to `TOPK_V2`, `WHERE` and `GATHER`.
///
/// # Accepts
/// Any axis or none; sorted or in the order of appearance; all four results.
/// # Produces
/// `TOPK_V2 → NOT_EQUAL → CUMSUM` for sorted elements, `UNIQUE` for unsorted ones, comparisons of all slices with all others along an axis; then `WHERE → GATHER`
/// and `SCATTER_ND`.
/// # Refuses
/// Slices of unknown extents, or too many to compare each with all others; types that no kernel compares.
pub(super) fn unique(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let sorted = cx.flag_or("sorted", true)?;
    let groups = match cx.int("axis")? {
        Some(axis) => {
            let axis = cx.axis(axis, x)?;
            let groups = of_slices(cx, x, axis, sorted)?;
            let y = cx.gather_at(x, groups.firsts, axis)?;
            (y, groups)
        }
        None => {
            let flat = cx.b.reshape(x, &[-1])?;
            let groups = if sorted { of_sorted(cx, flat)? } else { of_unsorted(cx, flat)? };
            let y = cx.gather_at(flat, groups.firsts, 0)?;
            (y, groups)
        }
    };
    let (y, groups) = groups;
    let mut results = vec![y];
    for i in [groups.firsts, groups.numbers, groups.counts] {
        results.push(cx.b.cast(i, DType::I64)?);
    }
    Ok(results)
}

/// The distinct elements of a vector, the number of each element among them, and how many each one stands for.
pub(super) fn in_order_of_appearance(cx: &mut Cx<'_>, x: ValueId) -> Results {
    let groups = of_unsorted(cx, x)?;
    let mut results = vec![cx.gather_at(x, groups.firsts, 0)?];
    for i in [groups.numbers, groups.counts] {
        results.push(cx.b.cast(i, DType::I64)?);
    }
    Ok(results)
}

/// Types that are compared: kernels take those of 8 bits for quantized ones.
const COMPARED: &[DType] = &[DType::F32, DType::I32, DType::I64];

/// Groups of equals; `INT32`.
struct Groups {
    /// `[groups]`: the first element of each.
    firsts: ValueId,
    /// `[elements]`: the group of each.
    numbers: ValueId,
    /// `[groups]`: how many elements each has.
    counts: ValueId,
}

impl Groups {
    /// What follows from the numbers of the groups and how many (a scalar) there are.
    fn of(cx: &mut Cx<'_>, numbers: ValueId, count: ValueId) -> Result<Groups, Refusal> {
        let order = cx.numbered(numbers, 0)?;
        let firsts = cx.b.one(Op::UnsortedSegment(Segment::Min), &[order, numbers, count])?;
        let zeros = cx.b.sub(order, order)?;
        let one = cx.b.scalar(1i32);
        let ones = cx.b.add(zeros, one)?;
        let counts = cx.b.one(Op::UnsortedSegment(Segment::Sum), &[ones, numbers, count])?;
        Ok(Groups { firsts, numbers, counts })
    }
}

/// Elements in order of size: a group begins where one differs from the one before.
fn of_sorted(cx: &mut Cx<'_>, x: ValueId) -> Result<Groups, Refusal> {
    let x = cx.ordered(x, COMPARED)?;
    let count = cx.extent_of(x, 0)?;
    let (values, order) = extremes(cx, x, count, false)?;
    let zero = cx.b.scalar(0i32);
    // The first one has itself before it, and so is of group 0.
    let own = cx.numbered(values, 0)?;
    let one = cx.b.scalar(1i32);
    let before = cx.b.sub(own, one)?;
    let before = cx.b.binary(Binary::Maximum, before, zero)?;
    let previous = cx.b.gather(values, before, 0)?;
    let begins = cx.b.compare(Compare::NotEqual, values, previous)?;
    let begins = cx.as_i32(begins)?;
    let ranks = cx.b.one(Op::Cumsum { exclusive: false, reverse: false }, &[begins, zero])?;
    let last = cx.b.reduce(Reduce::Max, ranks, &[0], false)?;
    let groups = cx.b.add(last, one)?;
    // Back to where the elements were.
    let column = cx.b.reshape(order, &[-1, 1])?;
    let shape = cx.shape_of(x)?;
    let numbers = cx.b.one(Op::ScatterNd, &[column, ranks, shape])?;
    Groups::of(cx, numbers, groups)
}

fn of_unsorted(cx: &mut Cx<'_>, x: ValueId) -> Result<Groups, Refusal> {
    const KERNEL: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I16, DType::I32, DType::I64];
    let x = cx.in_kernel_type(x, KERNEL)?;
    let &[values, numbers] = cx.b.emit(Op::Unique { to: DType::I32 }, &[Some(x)])?.as_slice() else {
        return Err(Refusal::new("UNIQUE has two results", ""));
    };
    let count = cx.extent_of(values, 0)?;
    Groups::of(cx, numbers, count)
}

/// Slices along an axis, each compared with all others: the first element that differs decides.
fn of_slices(cx: &mut Cx<'_>, x: ValueId, axis: usize, sorted: bool) -> Result<Groups, Refusal> {
    let rank = cx.rank(x);
    let order: Vec<usize> = [axis].into_iter().chain((0..rank).filter(|&a| a != axis)).collect();
    let order = Perm::new(order).unwrap_or_else(|| Perm::identity(rank));
    let rows = cx.b.transpose(x, &order)?;
    let rows = cx.reshape_parts(rows, &[Part::Axes(0..1), Part::Axes(1..rank)])?;
    let extents = cx.fixed_shape(rows)?;
    let &[count, width] = extents.as_slice() else { return Err(Refusal::new("no rows", "")) };
    countable(&[count, count, width])?;
    let rows = cx.ordered(rows, COMPARED)?;
    let (count, width) = (count as i64, width as i64);
    let one_side = cx.b.reshape(rows, &[count, 1, width])?;
    let other_side = cx.b.reshape(rows, &[1, count, width])?;
    let less = cx.b.compare(Compare::Less, one_side, other_side)?;
    let differ = cx.b.compare(Compare::NotEqual, one_side, other_side)?;
    // Of the elements that differ, only the first one counts.
    let differ = cx.as_i32(differ)?;
    let two = cx.b.scalar(2i32);
    let before = cx.b.one(Op::Cumsum { exclusive: true, reverse: false }, &[differ, two])?;
    let zero = cx.b.scalar(0i32);
    let undecided = cx.b.compare(Compare::Equal, before, zero)?;
    let decides = cx.b.binary(Binary::LogicalAnd, less, undecided)?;
    let is_less = cx.b.reduce(Reduce::Any, decides, &[2], false)?;
    let differences = cx.b.reduce(Reduce::Sum, differ, &[2], false)?;
    let is_equal = cx.b.compare(Compare::Equal, differences, zero)?;

    // The first slice that equals each one; one that is its own is the first of a group.
    let equal = cx.as_i32(is_equal)?;
    let one = cx.b.scalar(1i32);
    let first = cx.b.one(Op::ArgMax { to: DType::I32 }, &[equal, one])?;
    let own = cx.numbered(first, 0)?;
    let is_first = cx.b.compare(Compare::Equal, first, own)?;
    let leading = cx.as_i32(is_first)?;
    let numbers = if sorted {
        // As many groups come before as have slices that are less.
        let less = cx.as_i32(is_less)?;
        let column = cx.b.reshape(leading, &[-1, 1])?;
        let less = cx.b.mul(less, column)?;
        cx.b.reduce(Reduce::Sum, less, &[0], false)?
    } else {
        let before = cx.b.one(Op::Cumsum { exclusive: true, reverse: false }, &[leading, zero])?;
        cx.b.gather(before, first, 0)?
    };
    let leaders = places(cx, is_first)?;
    let groups = cx.extent_of(leaders, 0)?;
    Groups::of(cx, numbers, groups)
}

//! ONNX `ScatterElements`, `Scatter` and `ScatterND`.
//!
//! Whatever is scattered is seen as rows: the operand as rows, the updates as rows, and for each update the number of the row it
//! falls on.

use super::gather::{depth_of, flat_positions, flat_rows};
use super::kernel_type::no_kernel;
use super::reshape::Part;
use super::top_k::extremes;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, Segment, ValueId};
use crate::tensor::DType;

/// What becomes of an element and the updates that fall on it.
#[derive(Clone, Copy, PartialEq)]
enum Reduction {
    /// The last update, as in ONNX Runtime: the definition leaves it open which.
    None,
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    fn read(cx: &Cx<'_>) -> Result<Reduction, Refusal> {
        Ok(match cx.string_or("reduction", "none")? {
            "none" => Reduction::None,
            "add" => Reduction::Add,
            "mul" => Reduction::Mul,
            "max" => Reduction::Max,
            "min" => Reduction::Min,
            other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute reduction")),
        })
    }
}

/// Lowers ONNX `ScatterElements`, and `Scatter` before it, to `GATHER` from operand and updates.
///
/// # Accepts
/// Constant and run-time indices, which may count from the end and repeat; any axis; every `reduction`; extents that are known or not.
/// # Produces
/// As `ScatterND`, on the flattened operand.
/// # Refuses
/// `mul` of int64; types that no kernel has.
pub(super) fn scatter_elements(cx: &mut Cx<'_>) -> Results {
    let (x, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let axis = cx.axis(cx.int_or("axis", 0)?, x)?;
    let reduction = Reduction::read(cx)?;
    if cx.shape(indices).elements() == Some(0) {
        return Ok(vec![x]);
    }
    let positions = flat_positions(cx, x, indices, axis)?;
    let rows = Rows {
        of: cx.b.reshape(x, &[-1, 1])?,
        numbers: cx.b.reshape(positions, &[-1])?,
        updates: cx.b.reshape(updates, &[-1, 1])?,
    };
    let scattered = rows.scatter(cx, reduction)?;
    Ok(vec![shaped_like(cx, scattered, x)?])
}

/// Lowers ONNX `ScatterND` to `GATHER` from operand and updates.
///
/// # Accepts
/// Constant and run-time indices, which may count from the end and repeat; every `reduction`; extents that are known or not.
/// # Produces
/// `CONCATENATION → GATHER` for `none`, with places that `UNSORTED_SEGMENT_MAX` finds for indices that are not constant: the last of the
/// updates that fall on one place is taken. `SCATTER_ND → ADD` for `add`; `UNSORTED_SEGMENT_PROD → MUL` and so on for the others.
/// # Refuses
/// `mul` of int64; types that no kernel has.
pub(super) fn scatter_nd(cx: &mut Cx<'_>) -> Results {
    let (x, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let reduction = Reduction::read(cx)?;
    let (depth, rank) = (depth_of(cx, x, indices)?, cx.rank(x));
    let last = cx.rank(indices) - 1;
    if cx.rank(updates) != last + rank - depth {
        let what = format!("{} does not fit {} and {}", cx.shape(updates), cx.shape(x), cx.shape(indices));
        return Err(Refusal::new(what, "check the model with onnx.checker").about("operand updates"));
    }
    if cx.shape(updates).elements() == Some(0) {
        return Ok(vec![x]);
    }
    let rows = Rows {
        of: cx.reshape_parts(x, &[Part::Axes(0..depth), Part::Axes(depth..rank)])?,
        numbers: flat_rows(cx, x, indices)?,
        updates: cx.reshape_parts(updates, &[Part::Axes(0..last), Part::Axes(last..cx.rank(updates))])?,
    };
    let scattered = rows.scatter(cx, reduction)?;
    Ok(vec![shaped_like(cx, scattered, x)?])
}

fn shaped_like(cx: &mut Cx<'_>, x: ValueId, like: ValueId) -> Result<ValueId, Refusal> {
    let dims: Vec<Option<i64>> = cx.shape(like).dims().iter().map(|d| d.map(|d| d as i64)).collect();
    cx.reshape_to(x, &dims, |cx, axis| cx.extent_vector(like, axis))
}

/// An operand, and updates for some of its rows.
struct Rows {
    /// `[rows, width]`
    of: ValueId,
    /// `INT32 [updates]`, which row each update is for.
    numbers: ValueId,
    /// `[updates, width]`
    updates: ValueId,
}

impl Rows {
    fn scatter(&self, cx: &mut Cx<'_>, reduction: Reduction) -> Result<ValueId, Refusal> {
        let dtype = cx.dtype(self.of);
        if cx.dtype(self.updates) != dtype {
            return Err(Refusal::new(format!("operand is {dtype}, updates are not"), "check the model"));
        }
        if reduction == Reduction::None {
            return self.replace(cx);
        }
        let kernel: &[DType] = match reduction {
            Reduction::Mul => &[DType::F32, DType::I32],
            _ => &[DType::F32, DType::I32, DType::I64],
        };
        let wide = Rows {
            of: cx.in_kernel_type(self.of, kernel)?,
            numbers: self.numbers,
            updates: cx.in_kernel_type(self.updates, kernel)?,
        };
        let y = match reduction {
            Reduction::None | Reduction::Add => wide.add(cx)?,
            Reduction::Mul => {
                let product = wide.joined(cx, Segment::Prod)?;
                cx.b.mul(wide.of, product)?
            }
            Reduction::Max => wide.extremum(cx, true)?,
            Reduction::Min => wide.extremum(cx, false)?,
        };
        Ok(cx.b.cast(y, dtype)?)
    }

    /// The last update of each row, or what was there.
    fn replace(&self, cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
        let count = cx.extent_of(self.of, 0)?;
        let last = last_updates(cx, self.numbers, count)?;
        let own = cx.numbered(last, 0)?;
        let behind = cx.b.add(last, count)?;
        let is_updated = updated(cx, last)?;
        let places = cx.b.select(is_updated, behind, own)?;
        let both = cx.b.concat(&[self.of, self.updates], 0)?;
        cx.gather_at(both, places, 0)
    }

    fn add(&self, cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
        let column = cx.b.reshape(self.numbers, &[-1, 1])?;
        let shape = cx.shape_of(self.of)?;
        let sum = cx.b.one(Op::ScatterNd, &[column, self.updates, shape])?;
        Ok(cx.b.add(self.of, sum)?)
    }

    /// The updates of each row as one; where a row has none, what the kernel of [`Segment`] puts there.
    fn joined(&self, cx: &mut Cx<'_>, kind: Segment) -> Result<ValueId, Refusal> {
        let count = cx.extent_of(self.of, 0)?;
        Ok(cx.b.one(Op::UnsortedSegment(kind), &[self.updates, self.numbers, count])?)
    }

    fn extremum(&self, cx: &mut Cx<'_>, largest: bool) -> Result<ValueId, Refusal> {
        let (kind, join) = if largest { (Segment::Max, Binary::Maximum) } else { (Segment::Min, Binary::Minimum) };
        match cx.dtype(self.of) {
            // No 64-bit kernel joins segments: in order of size, the last update of each element is the one.
            DType::I64 => {
                let sorted = self.sorted_elements(cx, largest)?;
                let best = sorted.replace(cx)?;
                let best = shaped_like(cx, best, self.of)?;
                Ok(cx.b.binary(join, self.of, best)?)
            }
            DType::I32 => {
                let best = self.joined(cx, kind)?;
                Ok(cx.b.binary(join, self.of, best)?)
            }
            DType::F32 => {
                // The kernel's number for no updates is finite; infinite elements without updates stay.
                let best = self.joined(cx, kind)?;
                let best = cx.b.binary(join, self.of, best)?;
                let count = cx.extent_of(self.of, 0)?;
                let last = last_updates(cx, self.numbers, count)?;
                let is_updated = updated(cx, last)?;
                let is_updated = cx.b.reshape(is_updated, &[-1, 1])?;
                Ok(cx.b.select(is_updated, best, self.of)?)
            }
            other => Err(no_kernel(other)),
        }
    }

    /// Each element as a row of its own, the updates in rising order (falling, for the smallest to come last).
    fn sorted_elements(&self, cx: &mut Cx<'_>, rising: bool) -> Result<Rows, Refusal> {
        let width = cx.extent_of(self.of, 1)?;
        let starts = cx.b.mul(self.numbers, width)?;
        let starts = cx.b.reshape(starts, &[-1, 1])?;
        let columns = cx.numbered(self.updates, 1)?;
        let numbers = cx.b.add(starts, columns)?;
        let (numbers, updates) = (cx.b.reshape(numbers, &[-1])?, cx.b.reshape(self.updates, &[-1])?);
        let count = cx.extent_of(updates, 0)?;
        let (updates, order) = extremes(cx, updates, count, !rising)?;
        Ok(Rows {
            of: cx.b.reshape(self.of, &[-1, 1])?,
            numbers: cx.b.gather(numbers, order, 0)?,
            updates: cx.b.reshape(updates, &[-1, 1])?,
        })
    }
}

/// For each of `count` rows, the last of the updates that fall on it, and a negative number where there is none: an `INT32` vector.
pub(super) fn last_updates(cx: &mut Cx<'_>, numbers: ValueId, count: ValueId) -> Result<ValueId, Refusal> {
    let order = cx.numbered(numbers, 0)?;
    Ok(cx.b.one(Op::UnsortedSegment(Segment::Max), &[order, numbers, count])?)
}

/// Which of [`last_updates`] there are.
pub(super) fn updated(cx: &mut Cx<'_>, last: ValueId) -> Result<ValueId, Refusal> {
    let zero = cx.b.scalar(0i32);
    Ok(cx.b.compare(Compare::GreaterEqual, last, zero)?)
}

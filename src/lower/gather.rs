//! ONNX `Gather`, `GatherElements`, `GatherND`.

use super::{Cx, Refusal, Results, countable};
use crate::graph::{Compare, Op, ValueId};
use crate::tensor::{DType, Tensor};

/// What the kernel of `GATHER` takes. That of `GATHER_ND` has no `I4`, which is never its operand here.
const KERNEL: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::Bool,
    DType::I4,
];

/// Lowers ONNX `Gather` to `GATHER`.
///
/// # Accepts
/// Constant and run-time indices, which may count from the end.
/// # Produces
/// `GATHER`; `LESS → ADD → SELECT_V2` before it for run-time indices that may be negative.
/// # Refuses
/// Constant indices that are out of range.
pub(super) fn gather(cx: &mut Cx<'_>) -> Results {
    let axis = cx.int_or("axis", 0)?;
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(axis, x)?;
    let extent = cx.dim(x, axis);
    let indices = match (cx.known_ints(indices), extent) {
        (Some(ints), Some(extent)) => {
            let shape = cx.fixed_shape(indices)?;
            let ints = ints.iter().map(|&i| from_start(i, extent)).collect::<Result<Vec<_>, _>>()?;
            cx.b.constant(Tensor::from_vec(&shape, ints))
        }
        _ => {
            let extent = cx.extent_of(x, axis)?;
            non_negative(cx, indices, extent)?
        }
    };
    Ok(vec![cx.gather_at(x, indices, axis)?])
}

/// Index `i` along an axis of `extent` elements, from the start.
fn from_start(i: i64, extent: usize) -> Result<i32, Refusal> {
    let from_start = if i < 0 { i.saturating_add(extent as i64) } else { i };
    let valid = i32::try_from(from_start).ok().filter(|&i| (0..extent as i64).contains(&i.into()));
    valid.ok_or_else(|| {
        Refusal::new(format!("index {i} is outside an extent of {extent}"), "check the model").about("operand indices")
    })
}

/// Run-time indices with `extent` (a scalar, or one number for each of the last axis) added to those that count from the end.
pub(super) fn non_negative(cx: &mut Cx<'_>, indices: ValueId, extent: ValueId) -> Result<ValueId, Refusal> {
    if cx.is_natural(indices) {
        return Ok(indices);
    }
    let dtype = cx.dtype(indices);
    let extent = cx.b.cast(extent, dtype)?;
    let zero = cx.b.scalar_of(dtype, 0.0)?;
    let counts_from_end = cx.b.compare(Compare::Less, indices, zero)?;
    let shifted = cx.b.add(indices, extent)?;
    Ok(cx.b.select(counts_from_end, shifted, indices)?)
}

impl Cx<'_> {
    /// Elements of `x` along `axis` at constant indices, which are in range. Nothing where that is all of them in order.
    pub fn gather_axis(&mut self, x: ValueId, indices: &[i64], axis: usize) -> Result<ValueId, Refusal> {
        let in_order = indices.iter().copied().eq(0..indices.len() as i64);
        if in_order && self.dim(x, axis) == Some(indices.len()) {
            return Ok(x);
        }
        let indices = self.b.ints(indices)?;
        self.gather_at(x, indices, axis)
    }

    /// `GATHER`, in a type that its kernel takes.
    pub fn gather_at(&mut self, x: ValueId, indices: ValueId, axis: usize) -> Result<ValueId, Refusal> {
        let dtype = self.dtype(x);
        let carried = self.in_moved_type(x, KERNEL)?;
        let gathered = self.b.gather(carried, indices, axis)?;
        Ok(self.b.cast(gathered, dtype)?)
    }

    /// Extent of one axis as an `INT32` scalar; a constant where it is known.
    pub fn extent_of(&mut self, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
        match self.dim(x, axis) {
            Some(n) => Ok(self.b.scalar_of(DType::I32, n as f64)?),
            None => {
                let shape = self.b.one(Op::Shape { to: DType::I32 }, &[x])?;
                let axis = self.b.scalar(axis as i32);
                Ok(self.b.gather(shape, axis, 0)?)
            }
        }
    }
}

/// Lowers ONNX `GatherElements` to `GATHER` on the flattened operand.
///
/// # Accepts
/// Constant and run-time indices, which may count from the end; the first extent may be unknown.
/// # Produces
/// `RESHAPE → GATHER`; `MUL → ADD` that make flat positions of run-time indices, with a `RANGE` for a first axis of unknown extent.
/// # Refuses
/// Operands or indices with other unknown extents.
pub(super) fn gather_elements(cx: &mut Cx<'_>) -> Results {
    let axis = cx.int_or("axis", 0)?;
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(axis, x)?;
    if cx.rank(x) != cx.rank(indices) {
        return Err(Refusal::new("operand and indices differ in rank", "check the model with onnx.checker"));
    }
    let strides = strides(&extents_but_first(cx, x)?);
    let taken = extents_but_first(cx, indices)?;
    // Where in the flattened operand an index points by its own position: by all coordinates but the one on `axis`.
    let place = |coordinates: &[usize]| -> usize {
        coordinates.iter().zip(&strides).enumerate().map(|(a, (c, s))| if a == axis { 0 } else { c * s }).sum()
    };
    let places: Vec<i64> = grid(&taken).iter().map(|c| place(c) as i64).collect();
    let mut places = cx.b.constant(index_tensor(&taken, places)?);
    if axis != 0 && cx.dim(indices, 0).is_none() {
        let rows = row_starts(cx, indices, strides[0])?;
        places = cx.b.add(places, rows)?;
    }
    if let (Some(extent), Some(ints)) = (cx.dim(x, axis), cx.known_ints(indices)) {
        ints.iter().try_for_each(|&i| from_start(i, extent).map(drop))?;
    }
    let extent = cx.extent_of(x, axis)?;
    let from_start = non_negative(cx, indices, extent)?;
    let from_start = cx.as_i32(from_start)?;
    let stride = cx.b.scalar_of(DType::I32, strides[axis] as f64)?;
    let scaled = cx.b.mul(from_start, stride)?;
    let flat = cx.b.add(scaled, places)?;
    let flattened = cx.b.reshape(x, &[-1])?;
    Ok(vec![cx.gather_at(flattened, flat, 0)?])
}

/// All extents of `x`, of which the first stands as 1 where it is not known.
fn extents_but_first(cx: &Cx<'_>, x: ValueId) -> Result<Vec<usize>, Refusal> {
    let dims = cx.shape(x).dims().iter().enumerate();
    let known: Option<Vec<usize>> = dims.map(|(axis, d)| d.or((axis == 0).then_some(1))).collect();
    known.map_or_else(|| cx.fixed_shape(x), Ok)
}

/// Where each row of `x` starts, `stride` apart, as a column that broadcasts along the other axes.
fn row_starts(cx: &mut Cx<'_>, x: ValueId, stride: usize) -> Result<ValueId, Refusal> {
    let (zero, one) = (cx.b.scalar(0i32), cx.b.scalar(1i32));
    let count = cx.extent_of(x, 0)?;
    let rows = cx.b.one(Op::Range, &[zero, count, one])?;
    let stride = cx.b.scalar_of(DType::I32, stride as f64)?;
    let starts = cx.b.mul(rows, stride)?;
    let mut column = vec![1; cx.rank(x)];
    column[0] = -1;
    Ok(cx.b.reshape(starts, &column)?)
}

fn index_tensor(shape: &[usize], values: Vec<i64>) -> Result<Tensor, Refusal> {
    let narrow: Result<Vec<i32>, _> = values.into_iter().map(i32::try_from).collect();
    let narrow = narrow.map_err(|_| Refusal::new("a position does not fit in 32 bits", "split the operand up"))?;
    Ok(Tensor::from_vec(shape, narrow))
}

/// Elements from one index to the next, per axis.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// All coordinates of a shape, in row-major order.
fn grid(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::with_capacity(shape.len())];
    for &extent in shape {
        all = all.iter().flat_map(|c| (0..extent).map(move |i| [c.as_slice(), &[i]].concat())).collect();
    }
    all
}

/// Lowers ONNX `GatherND` to `GATHER_ND`.
///
/// # Accepts
/// Constant and run-time indices, which may count from the end; `batch_dims`.
/// # Produces
/// `GATHER_ND`; with batch axes, their coordinates are joined to the indices by `CONCATENATION`.
/// # Refuses
/// Indices of unknown depth; batch axes with indices of unknown extents.
pub(super) fn gather_nd(cx: &mut Cx<'_>) -> Results {
    let batch = cx.int_or("batch_dims", 0)?;
    let (x, given) = (cx.input(0)?, cx.input(1)?);
    let indices = given;
    let (rank, indices_rank) = (cx.rank(x), cx.rank(indices));
    let Some(depth) = indices_rank.checked_sub(1).and_then(|last| cx.dim(indices, last)) else {
        return Err(Refusal::new(
            "the depth of the indices is not known",
            "pin the model's dynamic inputs with --shape",
        ));
    };
    let batch = usize::try_from(batch).ok().filter(|b| b + depth <= rank && *b < indices_rank);
    let batch = batch.ok_or_else(|| {
        Refusal::new(format!("does not fit {} and {}", cx.shape(x), cx.shape(indices)), "")
            .about("attribute batch_dims")
    })?;
    let extents: Vec<Option<i64>> = (batch..batch + depth).map(|axis| cx.dim(x, axis).map(|d| d as i64)).collect();
    let extents = cx.vector_of(&extents, |cx, i| cx.extent_vector(x, batch + i))?;
    let indices = non_negative(cx, indices, extents)?;
    let mut indices = cx.as_i32(indices)?;
    if batch > 0 {
        let mut shape = cx.fixed_shape(given)?;
        shape.pop();
        countable(&shape)?;
        let coordinates = grid(&shape).iter().flat_map(|c| c[..batch].iter().map(|&i| i as i64)).collect();
        shape.push(batch);
        let coordinates = cx.b.constant(index_tensor(&shape, coordinates)?);
        indices = cx.b.concat(&[coordinates, indices], shape.len() - 1)?;
    }
    let dtype = cx.dtype(x);
    let x = cx.in_moved_type(x, KERNEL)?;
    let gathered = cx.b.one(Op::GatherNd, &[x, indices])?;
    Ok(vec![cx.b.cast(gathered, dtype)?])
}

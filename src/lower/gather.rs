//! ONNX `Gather`, `GatherElements`, `GatherND`.

use super::known::Number;
use super::{Cx, Refusal, Results};
use crate::graph::{Compare, Op, Reduce, ValueId};
use crate::tensor::{DType, Tensor};

/// What the kernel of `GATHER` takes. That of `GATHER_ND` has no `I4`, which is never its operand here.
pub(super) const KERNEL: &[DType] = &[
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

    /// Rows of each entry of a batch, `[N, rows, ..]`, at indices into that entry alone, `[N, ..]`.
    pub fn gather_in_batch(&mut self, x: ValueId, indices: ValueId) -> Result<ValueId, Refusal> {
        let dtype = self.dtype(x);
        let carried = self.in_kernel_type(x, KERNEL)?;
        let gathered = self.b.one(Op::Gather { axis: 1, batch_dims: 1 }, &[carried, indices])?;
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
/// Constant and run-time indices, which may count from the end; extents that are known or not.
/// # Produces
/// `RESHAPE → GATHER`; `MUL → ADD` that make flat positions of indices and of the `RANGE`s they stand on, folded where they are constant.
pub(super) fn gather_elements(cx: &mut Cx<'_>) -> Results {
    let axis = cx.int_or("axis", 0)?;
    let (x, indices) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.axis(axis, x)?;
    let flat = flat_positions(cx, x, indices, axis)?;
    let flattened = cx.b.reshape(x, &[-1])?;
    Ok(vec![cx.gather_at(flattened, flat, 0)?])
}

/// Where in the flattened `x` each of `indices` points, which stand for the coordinate on `axis`; the other coordinates are those of
/// the index itself. `INT32`.
pub(super) fn flat_positions(cx: &mut Cx<'_>, x: ValueId, indices: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    if rank != cx.rank(indices) {
        return Err(Refusal::new("operand and indices differ in rank", "check the model with onnx.checker"));
    }
    if let (Some(extent), Some(ints)) = (cx.dim(x, axis), cx.known_ints(indices)) {
        ints.iter().try_for_each(|&i| from_start(i, extent).map(drop))?;
    }
    let extent = cx.extent_of(x, axis)?;
    let from_start = non_negative(cx, indices, extent)?;
    let from_start = cx.as_i32(from_start)?;
    let stride = stride_of(cx, x, axis, rank)?;
    // Coordinates that are constant come first, so that they fold.
    let mut places: Option<ValueId> = None;
    for other in (0..rank).filter(|&other| other != axis) {
        if cx.dim(indices, other) == Some(1) {
            continue;
        }
        let stride = stride_of(cx, x, other, rank)?;
        let numbers = cx.numbered(indices, other)?;
        let starts = cx.b.mul(numbers, stride)?;
        places = Some(match places {
            Some(places) => cx.b.add(places, starts)?,
            None => starts,
        });
    }
    let scaled = if cx.constant(stride).is_some_and(|s| s.to_i64s().is_ok_and(|s| s == [1])) {
        from_start
    } else {
        cx.b.mul(from_start, stride)?
    };
    Ok(match places {
        Some(places) => cx.b.add(scaled, places)?,
        None => scaled,
    })
}

/// Elements of `x` from one index of `axis` to the next, the axes from `end` on being taken for one element; an `INT32` scalar.
fn stride_of(cx: &mut Cx<'_>, x: ValueId, axis: usize, end: usize) -> Result<ValueId, Refusal> {
    let known = (axis + 1..end).try_fold(1usize, |n, a| n.checked_mul(cx.dim(x, a)?));
    if let Some(known) = known {
        return Ok(cx.b.scalar_of(DType::I32, known as f64)?);
    }
    let shape = cx.shape_of(x)?;
    let inner = cx.b.slice(shape, &[axis as i64 + 1], &[(end - axis - 1) as i64])?;
    Ok(cx.b.reduce(Reduce::Prod, inner, &[0], false)?)
}

impl Cx<'_> {
    /// 0, 1, 2 and so on along `axis` of `x`, in a shape that broadcasts along the other axes. `INT32`.
    pub fn numbered(&mut self, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
        let (zero, one) = (self.b.scalar(0i32), self.b.scalar(1i32));
        let count = self.extent_of(x, axis)?;
        let numbers = self.b.one(Op::Range, &[zero, count, one])?;
        let mut column = vec![1; self.rank(x)];
        column[axis] = -1;
        if self.dim(x, axis) == Some(0) {
            column[axis] = 0;
        }
        Ok(self.b.reshape(numbers, &column)?)
    }
}

/// Row numbers that the vectors of `indices`, along its last axis, point to, when the first axes of `x` are flattened to rows: an
/// `INT32` vector.
pub(super) fn flat_rows(cx: &mut Cx<'_>, x: ValueId, indices: ValueId) -> Result<ValueId, Refusal> {
    let depth = depth_of(cx, x, indices)?;
    if let (Some(ints), Some(extents)) = (cx.known_ints(indices), cx.shape(x).as_fixed()) {
        for (i, &index) in ints.iter().enumerate() {
            from_start(index, extents[i % depth])?;
        }
    }
    let mut rows = from_start_each(cx, x, indices, 0, depth)?;
    if depth > 1 {
        let mut strides = Vec::new();
        for axis in 0..depth {
            let stride = stride_of(cx, x, axis, depth)?;
            strides.push(cx.b.reshape(stride, &[1])?);
        }
        let strides = cx.b.concat(&strides, 0)?;
        rows = cx.b.mul(rows, strides)?;
        let last = cx.rank(indices) - 1;
        rows = cx.b.reduce(Reduce::Sum, rows, &[last], false)?;
    }
    Ok(cx.b.reshape(rows, &[-1])?)
}

/// How many axes of `x` the vectors of `indices` name.
pub(super) fn depth_of(cx: &Cx<'_>, x: ValueId, indices: ValueId) -> Result<usize, Refusal> {
    let depth = cx.rank(indices).checked_sub(1).and_then(|last| cx.dim(indices, last)).ok_or_else(|| {
        Refusal::new("the depth of the indices is not known", "pin the model's dynamic inputs with --shape")
    })?;
    if depth == 0 || depth > cx.rank(x) {
        let what = format!("indices of depth {depth} into {}", cx.shape(x));
        return Err(Refusal::new(what, "check the model with onnx.checker"));
    }
    Ok(depth)
}

/// Vectors of indices, `INT32`, into the axes of `x` from `first` on, counted from the start.
fn from_start_each(
    cx: &mut Cx<'_>,
    x: ValueId,
    indices: ValueId,
    first: usize,
    depth: usize,
) -> Result<ValueId, Refusal> {
    let extents: Vec<Option<i64>> = (first..first + depth).map(|axis| cx.dim(x, axis).map(|d| d as i64)).collect();
    let extents = cx.vector_of(&extents, |cx, i| cx.extent_vector(x, first + i))?;
    let indices = non_negative(cx, indices, extents)?;
    cx.as_i32(indices)
}

/// Lowers ONNX `GatherND` to `GATHER_ND`.
///
/// # Accepts
/// Constant and run-time indices, which may count from the end; `batch_dims`.
/// # Produces
/// `GATHER_ND`; with batch axes, their coordinates are joined to the indices by `CONCATENATION`.
/// # Refuses
/// Indices of unknown depth.
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
    let mut indices = from_start_each(cx, x, given, batch, depth)?;
    if batch > 0 {
        let dims: Vec<Option<i64>> = cx.shape(given).dims().iter().map(|d| d.map(|d| d as i64)).collect();
        let dims: Vec<Option<i64>> = dims[..indices_rank - 1].iter().copied().chain([Some(1)]).collect();
        let shape = cx.vector_of(&dims, |cx, axis| cx.extent_vector(given, axis))?;
        let mut parts = Vec::new();
        for axis in 0..batch {
            let numbers = cx.numbered(given, axis)?;
            let everywhere = cx.b.one(Op::BroadcastTo, &[numbers, shape])?;
            let known: Vec<Number> = dims.iter().map(|d| d.map_or(Number::Unknown, Number::Known)).collect();
            parts.push(cx.refine(everywhere, &known));
        }
        parts.push(indices);
        indices = cx.b.concat(&parts, indices_rank - 1)?;
    }
    let dtype = cx.dtype(x);
    let x = cx.in_moved_type(x, KERNEL)?;
    let gathered = cx.b.one(Op::GatherNd, &[x, indices])?;
    Ok(vec![cx.b.cast(gathered, dtype)?])
}

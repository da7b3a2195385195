//! ONNX operators that only change the shape: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`. And [`Cx::reshape_parts`], which
//! the decompositions of other operators reshape with.

use std::ops::Range;

use super::by_axis::ByAxis;
use super::known::Number;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, Reduce, Unary, ValueId};
use crate::tensor::DType;

/// One extent of a new shape, told from the old one.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Fixed(usize),
    /// Product of the extents of some axes that follow one another.
    Axes(Range<usize>),
}

/// Lowers ONNX `Reshape` to `RESHAPE`.
///
/// # Accepts
/// Any shape operand of known length: constant, computed from other shapes, or fed at run time; 0 and -1 in it, `allowzero`.
/// # Produces
/// `RESHAPE` with a constant target where at most one extent is not known, else with a target that is computed at run time.
/// # Refuses
/// A shape operand whose length is not known: the rank of the result would be dynamic.
pub(super) fn reshape(cx: &mut Cx<'_>) -> Results {
    let zero_is_zero = cx.flag_or("allowzero", false)?;
    let (x, target) = (cx.input(0)?, cx.input(1)?);
    let Some(mut dims) = cx.numbers(target) else {
        return Err(Refusal::new("the rank of the result is not known", "pin the model's dynamic inputs with --shape")
            .about("operand shape"));
    };
    let old = cx.extents(x);
    if !zero_is_zero {
        for (axis, dim) in dims.iter_mut().enumerate().filter(|(_, dim)| **dim == Number::Known(0)) {
            *dim = *old.get(axis).ok_or_else(|| {
                Refusal::new(format!("0 copies axis {axis} of {}, which there is not", cx.shape(x)), "")
                    .about("operand shape")
            })?;
        }
    }
    infer_remaining(&mut dims, &old);
    if dims.iter().filter(|d| extent(**d).is_none()).count() <= 1 {
        let dims: Vec<i64> = dims.iter().map(|d| extent(*d).unwrap_or(-1)).collect();
        return Ok(vec![cx.b.reshape(x, &dims)?]);
    }
    let may_copy = |cx: &mut Cx<'_>| {
        let given = cx.numbers(target).unwrap_or_default();
        !zero_is_zero && given.iter().any(|n| matches!(n, Number::Known(0) | Number::Unknown))
    };
    let mut shape = cx.as_i32(target)?;
    if may_copy(cx) {
        shape = copy_where_zero(cx, shape, x, dims.len())?;
    }
    let reshaped = cx.b.one(Op::Reshape, &[x, shape])?;
    dims.iter_mut().filter(|d| extent(**d).is_none()).for_each(|d| *d = Number::Unknown);
    Ok(vec![cx.refine(reshaped, &dims)])
}

/// The number as an extent that is known.
fn extent(n: Number) -> Option<i64> {
    n.known().filter(|n| *n >= 0)
}

/// Replaces the -1 by what is left of the old extents when those that the new shape names are taken away.
fn infer_remaining(dims: &mut [Number], old: &[Number]) {
    let Some(hole) = dims.iter().position(|d| *d == Number::Known(-1)) else { return };
    let mut left: Vec<Number> = old.iter().copied().filter(|n| n.known().is_none()).collect();
    let (mut new_product, old_product) = (Some(1i64), product(old));
    for (_, dim) in dims.iter().enumerate().filter(|(axis, _)| *axis != hole) {
        match dim {
            Number::Known(n) => new_product = new_product.and_then(|p| p.checked_mul(*n)),
            other => match left.iter().position(|l| l == other && *other != Number::Unknown) {
                Some(found) => drop(left.swap_remove(found)),
                None => return,
            },
        }
    }
    let (Some(new_product), Some(old_product)) = (new_product, old_product) else { return };
    match left.as_slice() {
        [] if new_product > 0 && old_product % new_product == 0 => {
            dims[hole] = Number::Known(old_product / new_product);
        }
        [symbol] if new_product == old_product => dims[hole] = *symbol,
        _ => {}
    }
}

fn product(numbers: &[Number]) -> Option<i64> {
    numbers.iter().filter_map(|n| n.known()).try_fold(1i64, |p, n| p.checked_mul(n))
}

/// `shape` with the extents of `x` in place of zeros: to `RESHAPE`, 0 is an extent of 0.
fn copy_where_zero(cx: &mut Cx<'_>, shape: ValueId, x: ValueId, len: usize) -> Result<ValueId, Refusal> {
    let mut old = cx.b.one(Op::Shape { to: DType::I32 }, &[x])?;
    let rank = cx.rank(x);
    if rank > len {
        old = cx.b.slice(old, &[0], &[len as i64])?;
    } else if rank < len {
        let rest = cx.b.ints(&vec![1i64; len - rank])?;
        old = cx.b.concat(&[old, rest], 0)?;
    }
    let zero = cx.b.scalar(0i32);
    let is_zero = cx.b.compare(Compare::Equal, shape, zero)?;
    Ok(cx.b.select(is_zero, old, shape)?)
}

/// Lowers ONNX `Flatten` to `RESHAPE`.
///
/// # Accepts
/// Any rank and axis.
/// # Produces
/// `RESHAPE`; its target is computed at run time where neither side of the axis is known.
/// # Refuses
/// Nothing.
pub(super) fn flatten(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let axis = cx.int_or("axis", 1)?;
    // The axis may be the rank itself: all axes come before it.
    let axis = if axis == rank as i64 { rank } else { cx.axis_in(axis, rank)? };
    Ok(vec![cx.reshape_parts(x, &[Part::Axes(0..axis), Part::Axes(axis..rank)])?])
}

/// Lowers ONNX `Squeeze` to `RESHAPE`.
///
/// # Accepts
/// Axes as attribute or operand (also one fed at run time), in any order; without axes, operands of known shape.
/// # Produces
/// `RESHAPE`, or `SQUEEZE` where more than one extent is not known.
/// # Refuses
/// No axes, with unknown extents: the rank of the result would be dynamic.
pub(super) fn squeeze(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if let Some(axes) = run_time_axes(cx) {
        return squeeze_at_run_time(cx, x, axes);
    }
    let axes = match axes(cx)? {
        Some(axes) => axes.into_iter().map(|axis| cx.axis(axis, x)).collect::<Result<Vec<_>, _>>()?,
        None => {
            let dims = cx.shape(x).as_fixed().ok_or_else(|| {
                let what =
                    format!("which axes of {} have extent 1, so the rank of the result, is not known", cx.shape(x));
                Refusal::new(what, "give Squeeze its axes, or pin the model's dynamic inputs with --shape NAME=..")
            })?;
            (0..dims.len()).filter(|&axis| dims[axis] == 1).collect()
        }
    };
    if let Some(axis) = axes.iter().find(|&&axis| cx.dim(x, axis).is_some_and(|d| d != 1)) {
        let what = format!("axis {axis} of {} is not 1", cx.shape(x));
        return Err(Refusal::new(what, "check the model with onnx.checker and shape inference"));
    }
    let kept = (0..cx.rank(x)).filter(|axis| !axes.contains(axis));
    let dims: Vec<i64> = kept.map(|axis| cx.dim(x, axis).map_or(-1, |d| d as i64)).collect();
    if dims.iter().filter(|&&d| d < 0).count() <= 1 {
        return Ok(vec![cx.b.reshape(x, &dims)?]);
    }
    let axes = axes.iter().map(|&axis| axis as i32).collect();
    Ok(vec![cx.b.one(Op::Squeeze { axes }, &[x])?])
}

/// Lowers ONNX `Unsqueeze` to `RESHAPE`.
///
/// # Accepts
/// Axes as attribute or operand (also one fed at run time), in any order.
/// # Produces
/// `RESHAPE`, or `EXPAND_DIMS` for each axis where more than one extent is not known.
/// # Refuses
/// Axes of unknown number: the rank of the result would be dynamic.
pub(super) fn unsqueeze(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    if let Some(axes) = run_time_axes(cx) {
        return unsqueeze_at_run_time(cx, x, axes);
    }
    let axes = axes(cx)?.ok_or_else(|| Refusal::new("axes are missing", "check the model with onnx.checker"))?;
    let rank = cx.rank(x) + axes.len();
    let mut axes = axes.into_iter().map(|axis| cx.axis_in(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::new(format!("axes {axes:?} repeat"), "check the model with onnx.checker"));
    }
    let mut dims: Vec<i64> = cx.shape(x).dims().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    if dims.iter().filter(|&&d| d < 0).count() <= 1 {
        axes.iter().for_each(|&axis| dims.insert(axis, 1));
        return Ok(vec![cx.b.reshape(x, &dims)?]);
    }
    let mut expanded = x;
    for axis in axes {
        let axis = cx.b.scalar(axis as i32);
        expanded = cx.b.one(Op::ExpandDims, &[expanded, axis])?;
    }
    Ok(vec![expanded])
}

/// `axes` of `Squeeze` and `Unsqueeze`: an attribute before opset 13, an operand since.
fn axes(cx: &mut Cx<'_>) -> Result<Option<Vec<i64>>, Refusal> {
    if cx.opset() < 13 { Ok(cx.ints("axes")?.map(<[i64]>::to_vec)) } else { cx.known_operand(1, "axes") }
}

/// The operand with the axes of `Squeeze` and `Unsqueeze`, where they are only known at run time.
fn run_time_axes(cx: &mut Cx<'_>) -> Option<ValueId> {
    let operand = cx.optional(1).filter(|_| cx.opset() >= 13)?;
    if cx.known_ints(operand).is_some() { None } else { Some(operand) }
}

/// Keeps the extents of the axes that have no entry.
fn squeeze_at_run_time(cx: &mut Cx<'_>, x: ValueId, axes: ValueId) -> Results {
    let rank = cx.rank(x);
    let left = rank.saturating_sub(cx.entries(axes, "axes")?);
    let gone = ByAxis::new(cx, axes, rank)?.mask();
    let stays = cx.b.unary(Unary::LogicalNot, gone)?;
    let kept = cx.b.one(Op::Where, &[stays])?;
    let kept = cx.b.reshape(kept, &[left as i64])?;
    let shape = cx.shape_of(x)?;
    let target = cx.b.gather(shape, kept, 0)?;
    Ok(vec![cx.b.one(Op::Reshape, &[x, target])?])
}

/// Puts 1 on the axes that have an entry, and the extents there were on the others, in their order.
fn unsqueeze_at_run_time(cx: &mut Cx<'_>, x: ValueId, axes: ValueId) -> Results {
    let added = cx.entries(axes, "axes")?;
    let (old, rank) = (cx.rank(x), cx.rank(x) + added);
    if old == 0 {
        return Ok(vec![cx.b.reshape(x, &vec![1; rank])?]);
    }
    let is_new = ByAxis::new(cx, axes, rank)?.mask();
    let stays = cx.b.unary(Unary::LogicalNot, is_new)?;
    let stays = cx.as_i32(stays)?;
    let axis = cx.b.scalar(0i32);
    let before = cx.b.one(Op::Cumsum { exclusive: true, reverse: false }, &[stays, axis])?;
    let last = cx.b.scalar_of(DType::I32, (old - 1) as f64)?;
    let before = cx.b.binary(Binary::Minimum, before, last)?;
    let shape = cx.shape_of(x)?;
    let moved = cx.b.gather(shape, before, 0)?;
    let one = cx.b.scalar(1i32);
    let target = cx.b.select(is_new, one, moved)?;
    Ok(vec![cx.b.one(Op::Reshape, &[x, target])?])
}

impl Cx<'_> {
    /// `x` under a shape that is told from its own. The target is computed at run time where it has to be.
    pub fn reshape_parts(&mut self, x: ValueId, parts: &[Part]) -> Result<ValueId, Refusal> {
        let shape = self.shape(x).clone();
        let known = |part: &Part| match part {
            Part::Fixed(n) => Some(*n),
            Part::Axes(axes) => axes.clone().try_fold(1usize, |n, axis| n.checked_mul(shape.dim(axis)?)),
        };
        let dims: Vec<Option<i64>> = parts.iter().map(|part| known(part).map(|n| n as i64)).collect();
        self.reshape_to(x, &dims, |cx, i| {
            let Part::Axes(axes) = &parts[i] else { return Err(Refusal::new("a fixed extent is known", "")) };
            let extents = cx.b.one(Op::Shape { to: DType::I32 }, &[x])?;
            let some = cx.b.slice(extents, &[axes.start as i64], &[axes.len() as i64])?;
            Ok(if axes.len() == 1 { some } else { cx.b.reduce(Reduce::Prod, some, &[0], true)? })
        })
    }

    /// `x` under a shape of which one extent may be unknown; where there are more, `unknown` computes each as a vector of one.
    pub fn reshape_to(
        &mut self,
        x: ValueId,
        dims: &[Option<i64>],
        unknown: impl FnMut(&mut Self, usize) -> Result<ValueId, Refusal>,
    ) -> Result<ValueId, Refusal> {
        if dims.iter().filter(|d| d.is_none()).count() <= 1 {
            let dims: Vec<i64> = dims.iter().map(|d| d.unwrap_or(-1)).collect();
            return Ok(self.b.reshape(x, &dims)?);
        }
        let target = self.vector_of(dims, unknown)?;
        let reshaped = self.b.one(Op::Reshape, &[x, target])?;
        let known: Vec<Number> = dims.iter().map(|d| d.map_or(Number::Unknown, Number::Known)).collect();
        Ok(self.refine(reshaped, &known))
    }

    /// Extent of one axis as an `INT32` vector of one element; a constant where it is known.
    pub fn extent_vector(&mut self, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
        match self.dim(x, axis) {
            Some(n) => Ok(self.b.ints(&[n])?),
            None => {
                let shape = self.b.one(Op::Shape { to: DType::I32 }, &[x])?;
                Ok(self.b.slice(shape, &[axis as i64], &[1])?)
            }
        }
    }

    /// The extents of `x` as an `INT32` vector; a constant where they are known.
    pub fn shape_of(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        match self.shape(x).as_fixed() {
            Some(dims) => Ok(self.b.ints(&dims)?),
            None => Ok(self.b.one(Op::Shape { to: DType::I32 }, &[x])?),
        }
    }

    /// A vector of the numbers that are known, and of what `unknown` computes (as vectors of one element) for the others.
    pub fn vector_of(
        &mut self,
        numbers: &[Option<i64>],
        mut unknown: impl FnMut(&mut Self, usize) -> Result<ValueId, Refusal>,
    ) -> Result<ValueId, Refusal> {
        let mut pieces = Vec::new();
        let mut run: Vec<i64> = Vec::new();
        for (i, number) in numbers.iter().enumerate() {
            match number {
                Some(n) => run.push(*n),
                None => {
                    if !run.is_empty() {
                        pieces.push(self.b.ints(&std::mem::take(&mut run))?);
                    }
                    pieces.push(unknown(self, i)?);
                }
            }
        }
        if !run.is_empty() || pieces.is_empty() {
            pieces.push(self.b.ints(&run)?);
        }
        if let [only] = pieces[..] { Ok(only) } else { Ok(self.b.concat(&pieces, 0)?) }
    }
}

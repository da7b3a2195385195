//! The transform where its length, or that of the signal, is only known at run time: the matrix is computed then.

use crate::graph::{Binary, Compare, Op, Unary, ValueId};
use crate::lower::conv::split;
use crate::lower::known::Number;
use crate::lower::matmul::fully_connected;
use crate::lower::{Cx, Refusal};
use crate::tensor::{DType, Perm};

/// A transform of `length` numbers, an `INT32` scalar; the flags are those of [`super::Transform`].
pub(super) struct RunTime {
    pub length: ValueId,
    pub inverse: bool,
    pub one_sided: bool,
}

impl RunTime {
    /// `[.., given, parts]` as `[.., result, parts]`.
    pub fn apply(&self, cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
        let rank = cx.rank(x);
        let given = cx.extent_of(x, rank - 2)?;
        let (cos, sin) = self.matrices(cx, given)?;
        let turn = swap(rank, rank - 2, rank - 1);
        let rows = cx.b.transpose(x, &turn)?;
        let by_cos = fully_connected(&mut cx.b, rows, cos, None)?;
        let by_sin = fully_connected(&mut cx.b, rows, sin, None)?;
        let parts = cx.dim(x, rank - 1).unwrap_or(1);
        let (p, q) = (split(cx, by_cos, rank - 2, parts)?, split(cx, by_sin, rank - 2, parts)?);
        // (re + i im)(cos - i sin), or + i sin for the inverse.
        let (to_real, to_imaginary) =
            if self.inverse { (Binary::Sub, Binary::Add) } else { (Binary::Add, Binary::Sub) };
        let real = if parts == 2 { cx.b.binary(to_real, p[0], q[1])? } else { p[0] };
        if self.inverse && self.one_sided {
            return Ok(cx.b.transpose(real, &turn)?);
        }
        let imaginary = match (parts, self.inverse) {
            (2, _) => cx.b.binary(to_imaginary, p[1], q[0])?,
            (_, true) => q[0],
            (_, false) => cx.b.unary(Unary::Neg, q[0])?,
        };
        let both = cx.b.concat(&[real, imaginary], rank - 2)?;
        Ok(cx.b.transpose(both, &turn)?)
    }

    /// Cosines and sines, `[result, given]`, with what each number of the operand counts for.
    fn matrices(&self, cx: &mut Cx<'_>, given: ValueId) -> Result<(ValueId, ValueId), Refusal> {
        let half = cx.with_number(Binary::FloorDiv, self.length, 2.0)?;
        let count = match (self.one_sided, self.inverse) {
            (true, false) => cx.with_number(Binary::Add, half, 1.0)?,
            _ => self.length,
        };
        let (from, to) = (cx.count_up(given)?, cx.count_up(count)?);
        let to = cx.b.reshape(to, &[-1, 1])?;
        let product = cx.b.mul(to, from)?;
        let phase = cx.b.binary(Binary::FloorMod, product, self.length)?;
        let phase = cx.b.cast(phase, DType::F32)?;
        let length = cx.b.cast(self.length, DType::F32)?;
        let turn = cx.with_number(Binary::Mul, phase, std::f64::consts::TAU)?;
        let angle = cx.b.div(turn, length)?;
        let factor = self.factor(cx, from, half, length)?;
        let (cos, sin) = (cx.b.unary(Unary::Cos, angle)?, cx.b.unary(Unary::Sin, angle)?);
        Ok((cx.b.mul(cos, factor)?, cx.b.mul(sin, factor)?))
    }

    /// As `Transform::factor`, for all numbers `from` of the operand.
    fn factor(&self, cx: &mut Cx<'_>, from: ValueId, half: ValueId, length: ValueId) -> Result<ValueId, Refusal> {
        if !(self.one_sided && self.inverse) {
            let counts = cx.b.compare(Compare::Less, from, self.length)?;
            let counts = cx.b.cast(counts, DType::F32)?;
            return Ok(if self.inverse { cx.b.div(counts, length)? } else { counts });
        }
        let counts = cx.b.compare(Compare::LessEqual, from, half)?;
        let twice = cx.with_number(Binary::Mul, from, 2.0)?;
        let mirror = cx.b.sub(self.length, twice)?;
        let zero = cx.b.scalar(0i32);
        // The first number, and the one in the middle of an even length, have no mirror image.
        let first = cx.b.compare(Compare::Equal, from, zero)?;
        let middle = cx.b.compare(Compare::Equal, mirror, zero)?;
        let alone = cx.b.binary(Binary::LogicalOr, first, middle)?;
        let (one, two) = (cx.b.scalar(1f32), cx.b.scalar(2f32));
        let factor = cx.b.select(alone, one, two)?;
        let counts = cx.b.cast(counts, DType::F32)?;
        let factor = cx.b.mul(factor, counts)?;
        Ok(cx.b.div(factor, length)?)
    }
}

/// Exchanges two axes.
pub(super) fn swap(rank: usize, a: usize, b: usize) -> Perm {
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(a, b);
    Perm::new(axes).unwrap_or_else(|| Perm::identity(rank))
}

/// `x` with the axis that an operand names exchanged with the one before the last, and the permutation, which is its own inverse.
pub(super) fn with_axis_before_last(cx: &mut Cx<'_>, x: ValueId, axis: ValueId) -> Result<(ValueId, ValueId), Refusal> {
    let rank = cx.rank(x);
    let axis = cx.as_i32(axis)?;
    let axis = cx.b.reshape(axis, &[])?;
    let axis = cx.with_number(Binary::FloorMod, axis, rank as f64)?;
    let all: Vec<usize> = (0..rank).collect();
    let all = cx.b.ints(&all)?;
    let target = cx.b.scalar(rank as i32 - 2);
    let is_target = cx.b.compare(Compare::Equal, all, target)?;
    let is_axis = cx.b.compare(Compare::Equal, all, axis)?;
    let perm = cx.b.select(is_target, axis, all)?;
    let perm = cx.b.select(is_axis, target, perm)?;
    Ok((transposed(cx, x, perm)?, perm))
}

/// `TRANSPOSE` by a permutation that leaves the last axis where it is.
pub(super) fn transposed(cx: &mut Cx<'_>, x: ValueId, perm: ValueId) -> Result<ValueId, Refusal> {
    let last = cx.rank(x) - 1;
    let parts = cx.dim(x, last).map_or(Number::Unknown, |n| Number::Known(n as i64));
    let moved = cx.b.one(Op::Transpose, &[x, perm])?;
    let mut extents = vec![Number::Unknown; last];
    extents.push(parts);
    Ok(cx.refine(moved, &extents))
}

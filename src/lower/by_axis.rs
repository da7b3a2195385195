//! Operands with an entry for some axes, which stand in another operand that is only known at run time: brought to vectors with an
//! entry for every axis.

use super::{Cx, Refusal};
use crate::graph::{Binary, Compare, Op, Reduce, ValueId};
use crate::tensor::DType;

/// Which entry goes to which axis.
pub(super) struct ByAxis {
    /// `[entries, rank]`, 1 where the entry is of the axis.
    hot: ValueId,
    /// `[rank]`, true where there is an entry.
    mask: ValueId,
}

impl ByAxis {
    /// `axes` may count from the end of `rank`.
    pub fn new(cx: &mut Cx<'_>, axes: ValueId, rank: usize) -> Result<ByAxis, Refusal> {
        let axes = cx.as_i32(axes)?;
        let depth = cx.b.scalar_of(DType::I32, rank as f64)?;
        let from_start = cx.b.binary(Binary::FloorMod, axes, depth)?;
        let (on, off) = (cx.b.scalar(1i32), cx.b.scalar(0i32));
        let hot = cx.b.one(Op::OneHot { axis: -1 }, &[from_start, depth, on, off])?;
        let count = cx.b.reduce(Reduce::Sum, hot, &[0], false)?;
        let mask = cx.b.compare(Compare::Greater, count, off)?;
        Ok(ByAxis { hot, mask })
    }

    /// An `INT32` vector of the entries, and of `other` on axes without one.
    pub fn spread(&self, cx: &mut Cx<'_>, entries: ValueId, other: i32) -> Result<ValueId, Refusal> {
        let entries = cx.narrowed(entries)?;
        let column = cx.b.reshape(entries, &[-1, 1])?;
        let placed = cx.b.mul(self.hot, column)?;
        let summed = cx.b.reduce(Reduce::Sum, placed, &[0], false)?;
        let other = cx.b.scalar(other);
        Ok(cx.b.select(self.mask, summed, other)?)
    }

    /// True for the axes that have an entry.
    pub fn mask(&self) -> ValueId {
        self.mask
    }
}

impl Cx<'_> {
    /// Integers as `INT32`. The largest ones of 64 bits, which stand for "as far as there is something", become the largest of 32.
    pub fn narrowed(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let mut narrow = x;
        if self.dtype(x) == DType::I64 && !self.is_narrow(x) {
            for (kind, limit) in [(Binary::Minimum, i32::MAX), (Binary::Maximum, i32::MIN)] {
                let limit = self.b.scalar(i64::from(limit));
                narrow = self.b.binary(kind, narrow, limit)?;
            }
        }
        self.as_i32(narrow)
    }

    /// Length of a vector, which must be known: the rank of a result depends on it.
    pub fn entries(&self, x: ValueId, name: &str) -> Result<usize, Refusal> {
        self.shape(x).elements().ok_or_else(|| {
            let what = "how many entries there are, and so the rank of the result, is not known";
            Refusal::new(what, "pin the model's dynamic inputs with --shape NAME=..").about(format!("operand {name}"))
        })
    }
}

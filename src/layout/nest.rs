//! Operators as loop nests: which axes of operands and results run together, and in which orders they may run.
//!
//! `CONV_2D` is a nest over batch, row, column, input and output channel; `REDUCE_MAX` one over the axes of its operand, some of
//! which its result lacks. An *order* of the loops (a [`Layout`] whose "axes" are loops) says at once how every operand and every
//! result lies in memory, so that moving a layout forward or backward through an operator is the same thing: take the order from
//! one of its values, and give it to the others.

use super::memory::{Layout, Part};
use super::view::expressible;
use crate::graph::{Dim, Quant};

/// What an operator does along a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bind {
    /// The same for each index by itself: the loop may be divided, and its factors may run anywhere.
    Free,
    /// The same whatever the order of the indices, but as one axis: factors must stay together, and may be swapped.
    Bag,
    /// Something that depends on the index: the loop is one axis of its own.
    Whole,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Loop {
    /// Extent, for loops that are not [`Bind::Whole`].
    pub size: Dim,
    pub bind: Bind,
}

/// The loops that the axes of a value run over.
#[derive(Debug, Clone)]
pub(super) struct Axes {
    pub loops: Vec<usize>,
    /// How many of `loops` the value lacks at its front: it is broadcast along them.
    pub missing: usize,
}

impl Axes {
    pub(super) fn all(loops: impl IntoIterator<Item = usize>) -> Axes {
        Axes { loops: loops.into_iter().collect(), missing: 0 }
    }
}

/// What an operand is to the nest.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// An operand that is used as it is.
    Rows,
    /// Axes in the order of the loops.
    Follows(Axes),
    /// Axes in an order of its own; only factors within an axis follow the loop given for it.
    Weights(Vec<Option<usize>>),
}

#[derive(Debug, Clone)]
pub(super) enum Order {
    Any,
    /// These run innermost, in this order.
    Innermost(Vec<usize>),
    /// All others run in the order of their numbers, then these.
    Fixed(Vec<usize>),
    /// Row, inner and column loop of a matrix product, innermost. With `swaps`, the operands may be exchanged to transpose the
    /// result.
    MatMul {
        m: usize,
        k: usize,
        n: usize,
        swaps: bool,
    },
}

/// XNNPACK takes no more, and general kernels of higher ranks are slow.
pub(super) const MAX_RANK: usize = 6;

#[derive(Debug, Clone)]
pub(super) struct Nest {
    pub loops: Vec<Loop>,
    pub operands: Vec<Role>,
    /// `None` for a result that is the same in any order.
    pub results: Vec<Option<Axes>>,
    pub order: Order,
    /// Element by element: shapes do not matter, as long as they are equal.
    pub pointwise: bool,
    /// The highest rank that may arise.
    pub max_rank: usize,
}

/// Where a value is put by an order of the loops.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub layout: Layout,
    /// Shape in memory.
    pub dims: Vec<Dim>,
    /// Loop of each axis in memory.
    pub loops: Vec<usize>,
    /// Axis of the value of each axis in memory; `None` for those it is broadcast along.
    axes: Vec<Option<usize>>,
}

impl Placed {
    /// The same elements in the same order, under another shape.
    pub(super) fn under(&self, dims: &[Dim]) -> Placed {
        Placed { dims: dims.to_vec(), ..self.clone() }
    }

    /// True where the value, placed by the same order as `other`, is broadcast along no axis of that.
    pub(super) fn covers(&self, other: &Placed) -> bool {
        fn many(placed: &Placed) -> impl Iterator<Item = (Dim, usize)> {
            placed.dims.iter().copied().zip(placed.loops.iter().copied()).filter(|(size, _)| *size != Some(1))
        }
        many(self).eq(many(other))
    }

    /// The shape for an operand that is broadcast along axes of the result, where the result has not its own shape but `shape`, which
    /// differs from that by axes of size 1. At least `rank` axes.
    pub(super) fn spread(&self, result: &Placed, shape: &[Dim], rank: usize) -> Option<Vec<Dim>> {
        let lacking = result.dims.len().checked_sub(self.dims.len())?;
        let own = std::iter::repeat_n(Some(1), lacking).chain(self.dims.iter().copied());
        let mut many = result.dims.iter().copied().zip(own).filter(|(size, _)| *size != Some(1));
        let mut dims = Vec::with_capacity(shape.len());
        for size in shape {
            if *size == Some(1) {
                dims.push(Some(1));
            } else {
                let (of_result, own) = many.next()?;
                (of_result == *size).then(|| dims.push(own))?;
            }
        }
        let spare = dims.iter().take_while(|d| **d == Some(1)).count().min(dims.len().saturating_sub(rank));
        dims.drain(..spare);
        (many.next().is_none() && (expressible(&dims) || dims == self.dims)).then_some(dims)
    }

    /// Axis in memory that runs over a [`Bind::Whole`] loop.
    pub(super) fn position(&self, of: usize) -> Option<usize> {
        self.loops.iter().position(|&l| l == of)
    }

    /// Quantization of the value where it is placed so; `None` where that can't be said.
    pub(super) fn quant(&self, quant: Option<&Quant>, dims: &[Dim]) -> Option<Option<Quant>> {
        match quant {
            None => Some(None),
            Some(quant) if quant.as_per_tensor().is_some() => Some(Some(quant.clone())),
            Some(Quant::Affine { scale, zero_point, axis }) => {
                let whole = self.layout.parts().iter().filter(|p| p.axis == *axis).count() == 1;
                let axis = self.axes.iter().position(|a| *a == Some(*axis)).filter(|_| whole)?;
                Some(Some(Quant::Affine { scale: scale.clone(), zero_point: zero_point.clone(), axis }))
            }
            Some(Quant::Blockwise { .. }) => (self.layout.is_rows() && self.dims == dims).then(|| quant.cloned()),
        }
    }
}

impl Nest {
    /// A node that takes and gives every value as it is.
    pub(super) fn rows(operands: usize, results: usize) -> Nest {
        Nest {
            loops: Vec::new(),
            operands: vec![Role::Rows; operands],
            results: vec![None; results],
            order: Order::Any,
            pointwise: false,
            max_rank: MAX_RANK,
        }
    }

    /// The order of loops in which the value of the given axes lies as `layout`, or as nearly so as the operator allows. Loops that
    /// the value lacks are divided as they are in `base`.
    pub(super) fn order_from(
        &self,
        axes: &Axes,
        dims: &[Dim],
        layout: &Layout,
        base: Option<&Layout>,
    ) -> Option<Layout> {
        if axes.loops.len() != axes.missing + dims.len() {
            return None;
        }
        let mut parts = Vec::with_capacity(self.loops.len());
        for part in layout.parts() {
            let at = *axes.loops.get(axes.missing + part.axis)?;
            let Loop { size, bind } = *self.loops.get(at)?;
            let divided = layout.parts().iter().filter(|p| p.axis == part.axis).count() > 1;
            if divided && bind != Bind::Whole && (size.is_none() || size != dims[part.axis]) {
                return None;
            }
            parts.push(Part { axis: at, part: part.part, size: if divided { part.size } else { size } });
        }
        Some(self.admissible(parts, base))
    }

    /// The admissible order that is nearest to the given one, which need not name every loop.
    fn admissible(&self, mut parts: Vec<Part>, base: Option<&Layout>) -> Layout {
        for (axis, l) in self.loops.iter().enumerate() {
            let places: Vec<usize> = (0..parts.len()).filter(|&i| parts[i].axis == axis).collect();
            let together = places.windows(2).all(|w| w[0] + 1 == w[1]);
            match places.last() {
                // Beside the loop before it.
                None => {
                    let before = parts.iter().rposition(|p| p.axis + 1 == axis).map_or(0, |i| i + 1);
                    let mut own: Vec<Part> =
                        base.into_iter().flat_map(Layout::parts).filter(|p| p.axis == axis).copied().collect();
                    if own.is_empty() {
                        own.push(Part { axis, part: 0, size: l.size });
                    }
                    parts.splice(before..before, own);
                }
                Some(&last) if (l.bind == Bind::Whole && places.len() > 1) || (l.bind == Bind::Bag && !together) => {
                    parts[last] = Part { axis, part: 0, size: l.size };
                    let mut index = 0;
                    parts.retain(|p| {
                        index += 1;
                        p.axis != axis || index == last + 1
                    });
                }
                Some(_) => {}
            }
        }
        let count = self.loops.len();
        match &self.order {
            Order::Any => {}
            Order::Innermost(inner) => {
                parts.sort_by_key(|p| inner.iter().position(|&l| l == p.axis).map_or(0, |i| i + 1))
            }
            Order::Fixed(inner) => {
                parts.sort_by_key(|p| inner.iter().position(|&l| l == p.axis).map_or(p.axis, |i| count + i));
            }
            &Order::MatMul { m, k, n, swaps } => {
                let inner = matmul_order(&parts, m, k, n, swaps);
                parts.sort_by_key(|p| inner.iter().position(|&l| l == p.axis).map_or(0, |i| i + 1));
            }
        }
        Layout::from_parts(&parts)
    }

    /// Where an operand or result that follows the loops is put. `None` where kernels or types don't allow it.
    pub(super) fn place(&self, order: &Layout, axes: &Axes, dims: &[Dim]) -> Option<Placed> {
        if axes.loops.len() != axes.missing + dims.len() {
            return None;
        }
        let mut placed = Placed { layout: Layout::rows(&[]), dims: Vec::new(), loops: Vec::new(), axes: Vec::new() };
        let mut parts = Vec::new();
        for part in order.parts() {
            let Some(at) = axes.loops.iter().position(|&l| l == part.axis) else { continue };
            let axis = at.checked_sub(axes.missing);
            let divided = order.parts().iter().filter(|p| p.axis == part.axis).count() > 1;
            let mut size = Some(1);
            if let Some(axis) = axis {
                size = dims[axis];
                if divided && size != Some(1) {
                    if size.is_none() || size != self.loops[part.axis].size {
                        return None;
                    }
                    size = part.size;
                }
                if dims[axis] != Some(1) || part.part == 0 {
                    parts.push(Part { axis, part: part.part, size });
                }
            }
            let bag = divided && self.loops[part.axis].bind == Bind::Bag;
            if bag && placed.loops.last() == Some(&part.axis) {
                continue;
            }
            placed.dims.push(if bag { axis.map_or(Some(1), |axis| dims[axis]) } else { size });
            placed.loops.push(part.axis);
            placed.axes.push(axis);
        }
        // Axes of size 1 that the value lacks need not be written at its front.
        let spare = placed.axes.iter().take_while(|axis| axis.is_none()).count();
        placed.dims.drain(..spare);
        placed.loops.drain(..spare);
        placed.axes.drain(..spare);
        placed.layout = Layout::from_parts(&parts);
        let reshaped = placed.dims.len() != dims.len() || parts.len() != dims.len();
        let fits = placed.dims.len() <= self.max_rank && (!reshaped || expressible(dims));
        fits.then_some(placed)
    }

    /// Where an operand in [`Role::Weights`] is put.
    pub(super) fn place_weights(&self, order: &Layout, axes: &[Option<usize>], dims: &[Dim]) -> Option<Placed> {
        if axes.len() != dims.len() {
            return None;
        }
        let mut parts = Vec::new();
        for (axis, of) in axes.iter().enumerate() {
            let factors: Vec<&Part> = order.parts().iter().filter(|p| Some(p.axis) == *of).collect();
            match (factors.as_slice(), of) {
                ([] | [_], _) | (_, None) => parts.push(Part { axis, part: 0, size: dims[axis] }),
                (factors, Some(of)) if self.loops[*of].size == dims[axis] && dims[axis].is_some() => {
                    parts.extend(factors.iter().map(|p| Part { axis, ..**p }));
                }
                _ => return None,
            }
        }
        let layout = Layout::from_parts(&parts);
        let axes = (0..dims.len()).map(Some).collect();
        Some(Placed { layout, dims: dims.to_vec(), loops: Vec::new(), axes })
    }
}

/// The order of the three loops of a matrix product that is nearest to that of `parts`, of those that need no `adj_x`: XNNPACK has
/// none, and other kernels transpose the operand first.
fn matmul_order(parts: &[Part], m: usize, k: usize, n: usize, swaps: bool) -> [usize; 3] {
    let mut order = [m, k, n];
    order.sort_by_key(|&l| parts.iter().position(|p| p.axis == l));
    if order[0] == k {
        order.swap(0, 1);
    }
    if order[0] == n && !swaps { [m, k, n] } else { order }
}

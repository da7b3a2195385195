//! Walking tensors by strides: the one loop behind data movement, broadcasting and reductions.

use super::super::KernelError;
use super::checked_len;
use crate::tensor::{Element, Tensor};

/// Elements from one index to the next, per axis.
pub(super) fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].wrapping_mul(shape[axis] as isize);
    }
    strides
}

/// Visits all indices of `shape` in row-major order, with the offset of each along `N` sets of strides.
pub(super) fn walk<const N: usize>(shape: &[usize], strides: &[Vec<isize>; N], mut visit: impl FnMut([isize; N])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    let mut at = [0isize; N];
    loop {
        visit(at);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                at.iter_mut().zip(strides).for_each(|(at, strides)| *at += strides[axis]);
                break;
            }
            index[axis] = 0;
            let back = shape[axis] as isize - 1;
            at.iter_mut().zip(strides).for_each(|(at, strides)| *at -= strides[axis] * back);
        }
    }
}

/// The same walk over as few axes as possible: axes of size 1 are dropped, axes that continue each other joined.
pub(super) fn collapse<const N: usize>(shape: &[usize], strides: &[Vec<isize>; N]) -> (Vec<usize>, [Vec<isize>; N]) {
    let mut dims: Vec<usize> = Vec::new();
    let mut joined: [Vec<isize>; N] = std::array::from_fn(|_| Vec::new());
    for (axis, &dim) in shape.iter().enumerate().filter(|(_, dim)| **dim != 1) {
        let continues = |n: usize| joined[n].last() == Some(&(strides[n][axis] * dim as isize));
        if !dims.is_empty() && (0..N).all(continues) {
            dims.last_mut().into_iter().for_each(|d| *d *= dim);
            (0..N).for_each(|n| joined[n].last_mut().into_iter().for_each(|s| *s = strides[n][axis]));
        } else {
            dims.push(dim);
            (0..N).for_each(|n| joined[n].push(strides[n][axis]));
        }
    }
    (dims, joined)
}

/// A walk in rows: all but the innermost axis, and how far each of `N` operands moves along that one.
pub(super) struct Rows<const N: usize> {
    shape: Vec<usize>,
    strides: [Vec<isize>; N],
    /// Length of a row.
    pub inner: usize,
    pub steps: [isize; N],
}

impl<const N: usize> Rows<N> {
    pub fn new(shape: &[usize], strides: &[Vec<isize>; N]) -> Rows<N> {
        let (mut shape, mut strides) = collapse(shape, strides);
        let inner = shape.pop().unwrap_or(1);
        let steps = std::array::from_fn(|n| strides[n].pop().unwrap_or(0));
        Rows { shape, strides, inner, steps }
    }

    /// The operands' offsets at the start of each row.
    pub fn each(&self, visit: impl FnMut([isize; N])) {
        if self.inner > 0 {
            walk(&self.shape, &self.strides, visit);
        }
    }
}

/// Shape of operands that are broadcast against each other, aligned at their last axes, and each one's strides over it.
pub(super) fn broadcast<const N: usize>(shapes: [&[usize]; N]) -> Result<(Vec<usize>, [Vec<isize>; N]), KernelError> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut shape = vec![1; rank];
    for operand in shapes {
        for (dim, &d) in shape[rank - operand.len()..].iter_mut().zip(operand) {
            *dim = match (*dim, d) {
                (m, 1) => m,
                (1, n) => n,
                (m, n) if m == n => m,
                _ => return Err(KernelError::operands(format!("shapes {shapes:?} can't be broadcast together"))),
            };
        }
    }
    let strides = shapes.map(|operand| {
        let mut strides = vec![0; rank - operand.len()];
        strides.extend(row_major(operand).into_iter().zip(operand).map(|(s, &d)| if d == 1 { 0 } else { s }));
        strides
    });
    Ok((shape, strides))
}

/// Which elements of a tensor stand where in another: axis `i` has `shape[i]` of them, `strides[i]` elements apart.
#[derive(Debug, Clone)]
pub(super) struct View {
    shape: Vec<usize>,
    strides: Vec<isize>,
    offset: isize,
}

impl View {
    /// All elements, as they are.
    pub fn of(shape: &[usize]) -> View {
        View { shape: shape.to_vec(), strides: row_major(shape), offset: 0 }
    }

    /// `count` elements of an axis from `begin` on, every `step`th; negative steps go backwards.
    pub fn slice(mut self, axis: usize, begin: usize, count: usize, step: isize) -> Result<View, KernelError> {
        let dim = self.shape[axis];
        let last = (count as isize).checked_sub(1).and_then(|n| n.checked_mul(step)?.checked_add(begin as isize));
        let inside = count == 0 || (begin < dim && last.is_some_and(|last| (0..dim as isize).contains(&last)));
        if !inside {
            let what = format!("{count} elements from {begin} by {step} on axis {axis} of {dim}");
            return Err(KernelError::operands(what));
        }
        if count > 0 {
            self.offset += begin as isize * self.strides[axis];
        }
        self.shape[axis] = count;
        self.strides[axis] = self.strides[axis].wrapping_mul(step);
        Ok(self)
    }

    /// A new axis that repeats what stands behind it `count` times.
    pub fn repeat(mut self, axis: usize, count: usize) -> View {
        self.shape.insert(axis, count);
        self.strides.insert(axis, 0);
        self
    }

    /// The shape `to`, into which this one is broadcast.
    pub fn broadcast(mut self, to: &[usize]) -> Result<View, KernelError> {
        let missing = to.len().checked_sub(self.shape.len());
        let fits = missing.is_some_and(|m| self.shape.iter().zip(&to[m..]).all(|(&d, &t)| d == t || d == 1));
        let Some(missing) = missing.filter(|_| fits) else {
            return Err(KernelError::operands(format!("{:?} can't be broadcast to {to:?}", self.shape)));
        };
        let strides = self.shape.iter().zip(&self.strides).map(|(&d, &s)| if d == 1 { 0 } else { s });
        self.strides = std::iter::repeat_n(0, missing).chain(strides).collect();
        self.shape = to.to_vec();
        Ok(self)
    }

    /// The elements of `x` in this order, under this shape.
    pub fn copy(&self, x: &Tensor) -> Result<Tensor, KernelError> {
        match x.dtype().bits() {
            8 => self.copy_words::<u8>(x),
            16 => self.copy_words::<u16>(x),
            32 => self.copy_words::<u32>(x),
            64 => self.copy_words::<u64>(x),
            _ => Err(KernelError::unsupported(format!("moving elements of {}", x.dtype()))),
        }
    }

    /// Moves elements as words of their width, whatever they mean.
    fn copy_words<W: Element>(&self, x: &Tensor) -> Result<Tensor, KernelError> {
        let words = x.reinterpret(W::DTYPE)?;
        let source = words.view::<W>()?;
        let mut out = Vec::with_capacity(checked_len(x.dtype(), &self.shape)?);
        let rows = Rows::new(&self.shape, std::array::from_ref(&self.strides));
        let ([step], inner) = (rows.steps, rows.inner);
        rows.each(|[row]| {
            let start = (self.offset + row) as usize;
            match step {
                1 => out.extend_from_slice(&source[start..start + inner]),
                0 => out.extend(std::iter::repeat_n(source[start], inner)),
                _ => out.extend((0..inner as isize).map(|i| source[(start as isize + i * step) as usize])),
            }
        });
        Ok(Tensor::from_vec(&self.shape, out).reinterpret(x.dtype())?)
    }
}

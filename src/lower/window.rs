//! What convolutions and pools share: kernel, strides, dilations and the many ways to say padding.

use super::{Cx, Refusal};
use crate::graph::{Dim, Padding, ValueId};

/// Attributes of a sliding window over the spatial axes.
pub(super) struct Window {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub pads: Pads,
}

/// Padding as the attributes state it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pads {
    /// Before and after, for each spatial axis.
    Explicit(Vec<(usize, usize)>),
    /// As much as makes the result `ceil(input / stride)`, the odd element at the end.
    SameUpper,
    /// The same with the odd element at the beginning.
    SameLower,
}

impl Window {
    /// Reads `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad`. `kernel` is the shape that the weights give.
    pub fn read(cx: &Cx<'_>, spatial: usize, kernel: Option<Vec<usize>>) -> Result<Window, Refusal> {
        let declared = positive(cx, "kernel_shape", spatial)?;
        let kernel = match (declared, kernel) {
            (Some(declared), Some(weights)) if declared != weights => {
                let what = format!("is {declared:?}, but the weights are {weights:?}");
                return Err(Refusal::new(what, "check the model with onnx.checker").about("attribute kernel_shape"));
            }
            (Some(kernel), _) | (None, Some(kernel)) => kernel,
            (None, None) => return Err(Refusal::new("is missing", "").about("attribute kernel_shape")),
        };
        let strides = positive(cx, "strides", spatial)?.unwrap_or_else(|| vec![1; spatial]);
        let dilations = positive(cx, "dilations", spatial)?.unwrap_or_else(|| vec![1; spatial]);
        Ok(Window { kernel, strides, dilations, pads: pads(cx, spatial)? })
    }

    /// Elements that the dilated kernel spans on a spatial axis.
    pub fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1).saturating_mul(self.dilations[axis]).saturating_add(1)
    }

    /// `(before, after)` of `SAME` for an input of `extent`, the odd element at the end.
    fn same(&self, axis: usize, extent: usize) -> (usize, usize) {
        let stride = self.strides[axis];
        let out = extent.div_ceil(stride);
        let total = (out.saturating_sub(1) * stride + self.span(axis)).saturating_sub(extent);
        (total / 2, total - total / 2)
    }

    /// Padding in numbers, for spatial extents that are known where they matter.
    pub fn explicit(&self, extents: &[Dim]) -> Result<Vec<(usize, usize)>, Refusal> {
        let upper = match &self.pads {
            Pads::Explicit(pads) => return Ok(pads.clone()),
            Pads::SameUpper => true,
            Pads::SameLower => false,
        };
        let pad = |(axis, extent): (usize, &Dim)| {
            // A stride of 1 pads alike for every extent.
            let extent = extent.or((self.strides[axis] == 1).then_some(self.span(axis)));
            let extent = extent.ok_or_else(|| {
                Refusal::new("needs the spatial extents", "pin the model's inputs with --shape NAME=..")
                    .about("attribute auto_pad")
            })?;
            let (less, more) = self.same(axis, extent);
            Ok(if upper { (less, more) } else { (more, less) })
        };
        extents.iter().enumerate().map(pad).collect()
    }

    /// How a TFLite operator with only `SAME` and `VALID` can do it, and what must be padded before.
    pub fn split(&self, extents: &[Dim]) -> Result<(Padding, Vec<(usize, usize)>), Refusal> {
        let none = vec![(0, 0); extents.len()];
        if self.pads == Pads::SameUpper {
            return Ok((Padding::Same, none));
        }
        let pads = self.explicit(extents)?;
        if pads == none {
            return Ok((Padding::Valid, none));
        }
        let known: Option<Vec<usize>> = extents.iter().copied().collect();
        let is_same = known.is_some_and(|known| known.iter().enumerate().all(|(a, &n)| self.same(a, n) == pads[a]));
        Ok(if is_same { (Padding::Same, none) } else { (Padding::Valid, pads) })
    }
}

fn pads(cx: &Cx<'_>, spatial: usize) -> Result<Pads, Refusal> {
    let explicit = cx.ints("pads")?;
    match cx.string_or("auto_pad", "NOTSET")? {
        "NOTSET" => {}
        "VALID" => return Ok(Pads::Explicit(vec![(0, 0); spatial])),
        "SAME_UPPER" => return Ok(Pads::SameUpper),
        "SAME_LOWER" => return Ok(Pads::SameLower),
        other => return Err(Refusal::new(format!("is {other:?}"), "").about("attribute auto_pad")),
    }
    let Some(explicit) = explicit else { return Ok(Pads::Explicit(vec![(0, 0); spatial])) };
    let bad = || {
        Refusal::new(format!("is {explicit:?} for {spatial} spatial axes"), "negative pads: use Slice")
            .about("attribute pads")
    };
    if explicit.len() != 2 * spatial {
        return Err(bad());
    }
    let pad = |i: usize| natural(explicit[i]).ok_or_else(bad);
    Ok(Pads::Explicit((0..spatial).map(|i| Ok((pad(i)?, pad(i + spatial)?))).collect::<Result<_, Refusal>>()?))
}

/// An attribute as a count of elements, of which TFLite has 31 bits.
fn natural(number: i64) -> Option<usize> {
    i32::try_from(number).ok().and_then(|n| usize::try_from(n).ok())
}

/// A list of positive integers, one for each spatial axis.
fn positive(cx: &Cx<'_>, name: &str, spatial: usize) -> Result<Option<Vec<usize>>, Refusal> {
    let Some(values) = cx.ints(name)? else { return Ok(None) };
    let numbers: Option<Vec<usize>> = values.iter().map(|&v| natural(v).filter(|&v| v > 0)).collect();
    match numbers {
        Some(numbers) if numbers.len() == spatial => Ok(Some(numbers)),
        _ => {
            Err(Refusal::new(format!("is {values:?} for {spatial} spatial axes"), "")
                .about(format!("attribute {name}")))
        }
    }
}

/// `pads` of the spatial axes as pads of all axes of a channels-last value.
pub(super) fn channels_last_pads(pads: &[(usize, usize)]) -> Vec<(usize, usize)> {
    std::iter::once((0, 0)).chain(pads.iter().copied()).chain(std::iter::once((0, 0))).collect()
}

/// `[N, C, L]` as `[N, C, 1, L]`, so that one-dimensional operators run on two-dimensional kernels.
pub(super) fn add_height(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    insert_axis(cx, x, 2)
}

/// A new axis of size 1.
pub(super) fn insert_axis(cx: &mut Cx<'_>, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let mut dims = cx.shape(x).dims().to_vec();
    dims.insert(axis, Some(1));
    if dims.iter().filter(|d| d.is_none()).count() <= 1 {
        let dims: Vec<i64> = dims.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
        return Ok(cx.b.reshape(x, &dims)?);
    }
    let axis = cx.b.scalar(axis as i32);
    Ok(cx.b.one(crate::graph::Op::ExpandDims, &[x, axis])?)
}

/// Drops an axis of size 1.
pub(super) fn drop_axis(cx: &mut Cx<'_>, x: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let mut dims = cx.shape(x).dims().to_vec();
    dims.remove(axis);
    if dims.iter().filter(|d| d.is_none()).count() <= 1 {
        let dims: Vec<i64> = dims.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
        return Ok(cx.b.reshape(x, &dims)?);
    }
    Ok(cx.b.one(crate::graph::Op::Squeeze { axes: vec![axis as i32] }, &[x])?)
}

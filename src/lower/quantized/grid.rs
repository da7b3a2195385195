//! Scales and zero points that are constant.

use crate::graph::Quant;
use crate::graph::ValueId;
use crate::lower::{Cx, Refusal, countable};
use crate::tensor::{DType, Tensor};

/// Along what a scale changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Along {
    Tensor,
    Axis(usize),
    /// One scale for each run of so many elements of the axis.
    Blocks {
        axis: usize,
        size: usize,
    },
    /// As arithmetic broadcasts it: `QLinearMatMul` has scales of any shape.
    Broadcast,
}

/// Scale and zero point as operands.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    pub scale: ValueId,
    pub zero_point: Option<ValueId>,
    pub along: Along,
}

/// A constant scale and zero point.
pub(super) struct Grid {
    pub scale: Vec<f32>,
    pub zero_point: Vec<i64>,
    along: Along,
}

impl Linear {
    /// The data, where both are constant.
    pub(super) fn grid(&self, cx: &Cx<'_>) -> Option<Grid> {
        let scale = cx.constant(self.scale)?.to_f32s().ok()?;
        let zero_point = match self.zero_point {
            Some(id) => cx.constant(id)?.to_i64s().ok()?,
            None => vec![0],
        };
        let spread = |n: usize| zero_point.len() == n || zero_point.len() == 1;
        let zero_point = match scale.len() {
            n if zero_point.len() == n => zero_point,
            n if spread(n) => vec![*zero_point.first()?; n],
            _ => return None,
        };
        (!scale.is_empty()).then_some(Grid { scale, zero_point, along: self.along })
    }
}

impl Grid {
    /// The one pair for the whole tensor, where interpreters take it.
    pub(super) fn per_tensor(&self) -> Option<(f32, i64)> {
        match (self.along, self.scale.as_slice(), self.zero_point.as_slice()) {
            (Along::Tensor, [scale], [zero_point]) if scale.is_normal() && *scale > 0.0 => Some((*scale, *zero_point)),
            _ => None,
        }
    }

    /// Calls `compute` for every element of a tensor, with its flat index, scale and zero point. `None` where they don't fit it.
    pub(super) fn map<T>(&self, shape: &[usize], compute: impl Fn(usize, f32, i64) -> T) -> Option<Vec<T>> {
        let elements: usize = shape.iter().product();
        let inner = |axis: usize| shape.get(axis + 1..).map(|inner| inner.iter().product::<usize>().max(1));
        let pair: Box<dyn Fn(usize) -> usize> = match self.along {
            Along::Tensor => Box::new(|_| 0),
            Along::Axis(axis) => {
                let (run, extent) = (inner(axis)?, *shape.get(axis)?);
                if extent != self.scale.len() {
                    return None;
                }
                Box::new(move |flat| flat / run % extent)
            }
            Along::Blocks { axis, size } => {
                let (run, extent) = (inner(axis)?, *shape.get(axis)?);
                let blocks = extent.div_ceil(size);
                let fits = elements.checked_div(extent.max(1))?.checked_mul(blocks) == Some(self.scale.len());
                if !fits {
                    return None;
                }
                Box::new(move |flat| {
                    let (outer, rest) = (flat / (run * extent), flat % (run * extent));
                    (outer * blocks + rest / run / size) * run + rest % run
                })
            }
            Along::Broadcast => return None,
        };
        let element = |flat| {
            let i = pair(flat);
            Some(compute(flat, *self.scale.get(i)?, *self.zero_point.get(i)?))
        };
        (0..elements).map(element).collect()
    }

    /// What stands on a constant that came from integers of `dtype`, if they fit in 8 bits. Unsigned bytes are told of as the signed
    /// ones 128 below them.
    pub(super) fn quant(&self, dtype: DType) -> Option<Quant> {
        let shift = match dtype {
            DType::I8 | DType::I4 | DType::U4 | DType::I2 => 0,
            DType::U8 => -128,
            _ => return None,
        };
        let axis = match self.along {
            Along::Tensor => 0,
            Along::Axis(axis) => axis,
            Along::Blocks { .. } | Along::Broadcast => return None,
        };
        if !self.scale.iter().all(|s| s.is_finite() && *s >= 0.0) {
            return None;
        }
        // A channel of zeros takes any scale, and interpreters take none of zero.
        let largest = self.scale.iter().copied().fold(0.0, f32::max);
        let sane = |s: f32| if s.is_normal() { s } else { largest };
        let scale = self.scale.iter().map(|&s| sane(s)).collect();
        let zero_point = self.zero_point.iter().map(|z| z + shift).collect();
        largest.is_normal().then_some(Quant::Affine { scale, zero_point, axis })
    }
}

impl Cx<'_> {
    /// A scale or zero point in a shape that broadcasts to `x`.
    pub(super) fn spread_over(&mut self, id: ValueId, x: ValueId, along: Along) -> Result<ValueId, Refusal> {
        let rank = self.rank(x);
        match along {
            _ if self.shape(id).elements() == Some(1) => Ok(self.b.reshape(id, &[])?),
            Along::Tensor | Along::Broadcast => Ok(id),
            Along::Axis(axis) => {
                let mut dims = vec![1i64; rank];
                if let (Some(dim), 1) = (dims.get_mut(axis), self.rank(id)) {
                    *dim = -1;
                    return Ok(self.b.reshape(id, &dims)?);
                }
                Ok(id)
            }
            Along::Blocks { axis, size } => self.repeat_blocks(id, x, axis, size),
        }
    }

    /// Every element of `id` `size` times along `axis`, and no more of them than `x` has.
    fn repeat_blocks(&mut self, id: ValueId, x: ValueId, axis: usize, size: usize) -> Result<ValueId, Refusal> {
        let extent = self.dim(x, axis).filter(|_| self.rank(id) == self.rank(x));
        let fits =
            |extent: &usize| self.dim(id, axis).is_none_or(|n| n.checked_mul(size).is_some_and(|n| n >= *extent));
        let Some(extent) = extent.filter(fits) else {
            let what = format!("scales of {} for {} in blocks of {size}", self.shape(id), self.shape(x));
            return Err(Refusal::new(what, "check the model with onnx.checker").about("attribute block_size"));
        };
        countable(&[extent])?;
        let indices = self.b.constant(Tensor::vector((0..extent).map(|i| (i / size) as i32).collect()));
        Ok(self.b.gather(id, indices, axis)?)
    }
}

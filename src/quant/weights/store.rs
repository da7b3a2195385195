//! Real numbers as `FLOAT16` and as small integers.

use half::{bf16, f16};

use super::super::materialize::{bounds, extents};
use super::super::range::Params;
use crate::graph::{Quant, ValueId};
use crate::tensor::{DType, Tensor};

/// A constant in its new form.
pub(super) enum Stored {
    Float(Tensor),
    Integers {
        data: Tensor,
        scale: Vec<f32>,
        axis: usize,
    },
    /// One scale for each run of `size` elements of a row; `scales` is `FLOAT16`, a row for each row.
    Blocks {
        data: Tensor,
        scales: Tensor,
        size: usize,
    },
}

impl Stored {
    pub(super) fn data(&self) -> &Tensor {
        match self {
            Stored::Float(data) | Stored::Integers { data, .. } | Stored::Blocks { data, .. } => data,
        }
    }

    /// The data and what it means; `add` puts a tensor of scales into the graph.
    pub(super) fn into_parts(self, add: impl FnOnce(Tensor) -> ValueId) -> (Tensor, Option<Quant>) {
        match self {
            Stored::Float(data) => (data, None),
            Stored::Integers { data, scale, axis } => {
                let zero_point = vec![0; scale.len()];
                (data, Some(Quant::Affine { scale, zero_point, axis }))
            }
            Stored::Blocks { data, scales, size } => {
                (data, Some(Quant::Blockwise { scales: add(scales), zero_points: None, block_size: size }))
            }
        }
    }
}

/// # Errors
/// Where numbers are too large for `FLOAT16`, or all of them so small that they would lose their digits: a sentence.
pub(super) fn float16(data: &Tensor) -> Result<Stored, String> {
    let values = data.view::<f32>().map_err(|e| e.to_string())?;
    let largest = values.iter().filter(|x| x.is_finite()).fold(0f32, |m, x| m.max(x.abs()));
    if largest > f16::MAX.to_f32() {
        return Err(format!("holds {largest:e}, and float16 ends at 65504"));
    }
    if largest > 0.0 && largest < f16::MIN_POSITIVE.to_f32() {
        return Err(format!("holds nothing above {largest:e}, where float16 has few digits"));
    }
    let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
    Ok(Stored::Float(Tensor::from_vec(data.shape(), halves)))
}

/// Which weights share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scales {
    /// Those of each channel.
    Each,
    /// All.
    One,
    /// All, and the scale is written for each channel.
    Repeated,
}

/// Symmetric integers of `bits` bits; channels lie along `axis`.
///
/// # Errors
/// Where numbers are not finite.
pub(super) fn integers(data: &Tensor, bits: u8, axis: usize, scales: Scales) -> Result<Stored, String> {
    let values = finite(data)?;
    let extents = extents(data.shape(), axis)?;
    let (channels, inner) = if scales == Scales::Each { extents } else { (1, values.len()) };
    let mut scale = scales_of(&values, channels, inner, bits);
    let mut stored = Vec::with_capacity(values.len());
    for (i, run) in values.chunks_exact(inner.max(1)).enumerate() {
        stored.extend(run.iter().map(|&w| rounded(w, scale[i % channels], bits)));
    }
    if scales == Scales::Repeated {
        scale = vec![scale[0]; extents.0];
    }
    Ok(Stored::Integers { data: packed(data.shape(), stored, bits), scale, axis })
}

/// For each channel, the scale of symmetric integers that loses least; `inner` neighbours share one.
pub(in crate::quant) fn scales_of(values: &[f32], channels: usize, inner: usize, bits: u8) -> Vec<f32> {
    let runs = || values.chunks_exact(inner.max(1)).enumerate().map(|(i, run)| (i % channels, run));
    let bounds = bounds(values, channels, inner);
    // The candidate that loses least so far and what it loses.
    let mut best: Vec<(f64, f32)> = vec![(f64::INFINITY, 0.0); channels];
    for &share in shares(bits) {
        let scales: Vec<f32> = bounds.iter().map(|&b| Params::sane(f64::from(b) * share / most(bits))).collect();
        let mut lost = vec![0f64; channels];
        for (channel, run) in runs().filter(|_| shares(bits).len() > 1) {
            lost[channel] += loss(run, scales[channel], bits);
        }
        for (best, found) in best.iter_mut().zip(lost.into_iter().zip(scales)) {
            if found.0 < best.0 {
                *best = found;
            }
        }
    }
    best.into_iter().map(|(_, scale)| scale).collect()
}

/// Symmetric integers of 4 bits with one scale for each run of `size` elements of a row. Scales have the 8 leading bits that
/// kernels keep of them.
///
/// # Errors
/// Where numbers are not finite, or scales leave `FLOAT16`.
pub(super) fn blocks(data: &Tensor, size: usize) -> Result<Stored, String> {
    let values = finite(data)?;
    let mut scales = Vec::with_capacity(values.len() / size);
    let mut stored = Vec::with_capacity(values.len());
    for run in values.chunks_exact(size) {
        let bound = run.iter().fold(0f32, |bound, w| bound.max(w.abs()));
        let candidate = |share: &f64| f16::from_f32(bf16::from_f32(scale_of(bound, *share)).to_f32());
        let loses = |scale: &f16| loss(run, scale.to_f32(), 4);
        let scale = shares(4).iter().map(candidate).filter(|s| s.is_normal());
        let Some(scale) = scale.min_by(|a, b| loses(a).total_cmp(&loses(b))) else {
            return Err(format!("needs scales for numbers of {bound:e}, which float16 does not hold"));
        };
        scales.push(scale);
        stored.extend(run.iter().map(|&w| rounded(w, scale.to_f32(), 4)));
    }
    let rows = data.shape().first().copied().unwrap_or(1);
    let scales = Tensor::from_vec(&[rows, scales.len() / rows.max(1)], scales);
    Ok(Stored::Blocks { data: packed(data.shape(), stored, 4), scales, size })
}

fn scale_of(bound: f32, share: f64) -> f32 {
    if bound == 0.0 { 1.0 } else { (f64::from(bound) * share / most(4)) as f32 }
}

/// Shares of the largest weight that may be the largest number stored: with 15 numbers, cutting the few largest weights can make
/// all others better by more than is lost; with 255 it seldom does.
fn shares(bits: u8) -> &'static [f64] {
    if bits == 4 { &[1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65] } else { &[1.0] }
}

/// Sum of the squared differences that storing makes.
fn loss(run: &[f32], scale: f32, bits: u8) -> f64 {
    let difference = |&w: &f32| f64::from(w) - f64::from(rounded(w, scale, bits)) * f64::from(scale);
    run.iter().map(difference).map(|d| d * d).sum()
}

fn finite(data: &Tensor) -> Result<std::borrow::Cow<'_, [f32]>, String> {
    let values = data.view::<f32>().map_err(|e| e.to_string())?;
    if values.iter().all(|x| x.is_finite()) { Ok(values) } else { Err("holds infinities or NaN".into()) }
}

/// The largest number of a symmetric form: its negative is the smallest.
pub(in crate::quant) fn most(bits: u8) -> f64 {
    if bits == 4 { 7.0 } else { 127.0 }
}

fn rounded(w: f32, scale: f32, bits: u8) -> i8 {
    (f64::from(w) / f64::from(scale)).round_ties_even().clamp(-most(bits), most(bits)) as i8
}

/// As `INT8`, or two to a byte as `INT4`, the first in the low bits.
pub(in crate::quant) fn packed(shape: &[usize], values: Vec<i8>, bits: u8) -> Tensor {
    if bits != 4 {
        return Tensor::from_vec(shape, values);
    }
    Tensor::of_nibbles(DType::I4, shape, values.into_iter().map(|v| v as u8))
}

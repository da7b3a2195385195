//! Writes constants as the integers that kernels want: weights, biases, second operands.

use super::form::Form;
use super::range::Params;
use super::weights::{Granularity, most, packed, scales_of};
use crate::graph::Quant;
use crate::tensor::{DType, Tensor};

/// A bias leaves half of the accumulator to the products that are added to it: of 32 bits, or of the 40 that kernels of 16-bit
/// activations have at least.
fn largest_bias(data: Form) -> f64 {
    if data.dtype == DType::I16 { (1u64 << 38) as f64 } else { (1u32 << 30) as f64 }
}

/// Channels whose weights are smaller than the layer's largest by more than this get no finer scale: next to the others, they
/// round to nothing in the common scale of the result.
const FINEST_CHANNEL: f64 = 1.0 / (1u32 << 24) as f64;

/// How the weights of a layer are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Storage {
    /// Holds the output channels.
    pub axis: usize,
    pub bits: u8,
    pub granularity: Granularity,
}

/// Scales of a layer's weights: one for each output channel, or for all.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Channels {
    pub(super) storage: Storage,
    pub(super) scales: Vec<f32>,
    /// Channels whose scale was raised so that the bias fits into 32 bits.
    pub(super) raised: Vec<usize>,
}

impl Channels {
    /// The finest scales that hold all weights (of 4 bits, those that lose least) and all biases; these come with the form of the
    /// data.
    ///
    /// # Errors
    /// Where the weights have no such axis, or weights or bias are not finite.
    pub(super) fn of(weights: &Tensor, storage: Storage, bias: Option<(&Tensor, Form)>) -> Result<Channels, String> {
        let values = weights.to_f32s().map_err(|e| e.to_string())?;
        let (bias, data) = match bias {
            Some((bias, data)) => (bias.to_f32s().map_err(|e| e.to_string())?, data),
            None => (Vec::new(), Form::int16(1.0)),
        };
        if !values.iter().chain(&bias).all(|x| x.is_finite()) {
            return Err("weights or bias hold infinities or NaN".into());
        }
        let mut scales = finest(&values, weights.shape(), storage)?;
        let mut raised = Vec::new();
        for (channel, b) in bias.iter().enumerate() {
            let needed = f64::from(b.abs()) / (data.scale() * largest_bias(data));
            let Some(scale) = scales.get_mut(if storage.granularity == Granularity::Tensor { 0 } else { channel })
            else {
                break;
            };
            if f64::from(*scale) < needed {
                *scale = Params::sane(needed);
                raised.push(channel);
            }
        }
        Ok(Channels { storage, scales, raised })
    }

    /// With the scales of a grid that the weights lie on already, but for channels whose bias asks for larger ones.
    pub(super) fn on_grid(mut self, grid: &Quant, weights: &Tensor) -> Channels {
        let (Quant::Affine { scale, zero_point, axis }, Ok(values)) = (grid, weights.to_f32s()) else { return self };
        let Ok((channels, inner)) = runs(weights.shape(), self.storage) else { return self };
        let same = scale.len() == self.scales.len() && (scale.len() == 1 || *axis == self.storage.axis);
        let most = most(self.storage.bits) as f32 * 1.0001;
        let holds = bounds(&values, channels, inner).iter().zip(scale).all(|(bound, scale)| *bound <= most * scale);
        if same && holds && zero_point.iter().all(|&z| z == 0) {
            for (channel, (own, &grid)) in self.scales.iter_mut().zip(scale).enumerate() {
                let raised = match self.storage.granularity {
                    Granularity::Channel => self.raised.contains(&channel),
                    Granularity::Tensor => !self.raised.is_empty(),
                };
                *own = if raised { own.max(grid) } else { grid };
            }
        }
        self
    }

    /// The weights as `INT8` in -127..=127, or as `INT4` in -7..=7.
    pub(super) fn quantize(&self, weights: &Tensor) -> Result<Tensor, String> {
        let values = weights.view::<f32>().map_err(|e| e.to_string())?;
        let (_, inner) = runs(weights.shape(), self.storage)?;
        let most = most(self.storage.bits);
        let mut stored = Vec::with_capacity(values.len());
        for (run, values) in values.chunks_exact(inner.max(1)).enumerate() {
            let scale = f64::from(self.scales[run % self.scales.len()]);
            stored.extend(values.iter().map(|&w| (f64::from(w) / scale).round_ties_even().clamp(-most, most) as i8));
        }
        Ok(packed(weights.shape(), stored, self.storage.bits))
    }

    pub(super) fn quant(&self) -> Quant {
        Quant::Affine { scale: self.scales.clone(), zero_point: vec![0; self.scales.len()], axis: self.storage.axis }
    }

    /// Bias as `INT32`, or `INT64` beside data of 16 bits, with the scales that the kernel's accumulator has: exactly the
    /// `float32` products.
    pub(super) fn bias(&self, bias: &Tensor, data: Form) -> Result<(Tensor, Quant), String> {
        let values = bias.to_f32s().map_err(|e| e.to_string())?;
        let scale: Vec<f32> = self.scales.iter().map(|w| data.params.scale * w).collect();
        let each = values.iter().zip(scale.iter().cycle());
        let rounded = each.map(|(&b, &s)| (f64::from(b) / f64::from(s)).round_ties_even());
        let stored = match data.dtype {
            DType::I16 => Tensor::from_vec(bias.shape(), rounded.map(|b| b as i64).collect()),
            _ => Tensor::from_vec(bias.shape(), rounded.map(|b| b as i32).collect()),
        };
        let zero_point = vec![0; scale.len()];
        Ok((stored, Quant::Affine { scale, zero_point, axis: 0 }))
    }
}

/// The scales that weights alone want.
fn finest(values: &[f32], shape: &[usize], storage: Storage) -> Result<Vec<f32>, String> {
    let (channels, inner) = runs(shape, storage)?;
    let bounds = bounds(values, channels, inner);
    let scales = scales_of(values, channels, inner, storage.bits);
    let largest = scales.iter().zip(&bounds).filter(|(_, b)| **b > 0.0).map(|(s, _)| *s).fold(0.0, f32::max);
    let largest = if largest == 0.0 { Params::sane(0.0) } else { largest };
    let floor = (f64::from(largest) * FINEST_CHANNEL) as f32;
    // A channel of zeros takes any scale; the largest leaves most room to its bias.
    let scales = scales.into_iter().zip(&bounds).map(|(s, b)| if *b == 0.0 { largest } else { s.max(floor) });
    Ok(scales.map(|s| Params::sane(s.into())).collect())
}

/// How many scales there are, and how many neighbours in memory share one.
fn runs(shape: &[usize], storage: Storage) -> Result<(usize, usize), String> {
    let (channels, inner) = extents(shape, storage.axis)?;
    Ok(match storage.granularity {
        Granularity::Channel => (channels, inner),
        Granularity::Tensor => (1, shape.iter().product()),
    })
}

/// The largest magnitude in each channel; `inner` neighbours share one.
pub(super) fn bounds(values: &[f32], channels: usize, inner: usize) -> Vec<f32> {
    let mut bounds = vec![0f32; channels];
    for (run, values) in values.chunks_exact(inner.max(1)).enumerate() {
        let bound = &mut bounds[run % channels];
        *bound = values.iter().fold(*bound, |bound, w| bound.max(w.abs()));
    }
    bounds
}

/// Extent of `axis`, and how many neighbours in memory share an index of it.
pub(super) fn extents(shape: &[usize], axis: usize) -> Result<(usize, usize), String> {
    match shape.get(axis..) {
        Some([channels, inner @ ..]) if *channels > 0 => Ok((*channels, inner.iter().product())),
        _ => Err(format!("weights of shape {shape:?} have no channels on axis {axis}")),
    }
}

/// A constant as integers with one scale for the whole tensor.
pub(super) fn per_tensor(data: &Tensor, form: Form) -> Result<Tensor, String> {
    let values = data.to_f32s().map_err(|e| e.to_string())?;
    let stored = Tensor::from_vec(data.shape(), values.into_iter().map(|x| form.store(x).0).collect());
    stored.cast(form.dtype).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(axis: usize) -> Storage {
        Storage { axis, bits: 8, granularity: Granularity::Channel }
    }

    fn data(scale: f32) -> Form {
        Form::int8(Params::new(scale, 0))
    }

    fn channels(weights: &[f32], bias: &[f32], x: f32) -> Channels {
        let rows = bias.len();
        let weights = Tensor::from_vec(&[rows, weights.len() / rows], weights.to_vec());
        Channels::of(&weights, storage(0), Some((&Tensor::vector(bias.to_vec()), data(x)))).unwrap()
    }

    #[test]
    fn every_channel_uses_its_whole_range() {
        let weights = Tensor::from_vec(&[1, 1, 2, 2], vec![1.27f32, -0.1, 0.0, 0.05]);
        let of = Channels::of(&weights, storage(3), None).unwrap();
        assert_eq!(of.quantize(&weights).unwrap().to_i64s().unwrap(), [127, -127, 0, 64]);
        assert_eq!(of.scales[0], 0.01);
    }

    #[test]
    fn a_channel_of_zeros_has_a_scale_and_an_exact_bias() {
        let of = channels(&[0.0, 0.0, 1.27, 0.3], &[5.0, 0.0], 0.1);
        assert_eq!(of.scales[0], of.scales[1]);
        let (bias, quant) = of.bias(&Tensor::vector(vec![5.0f32, 0.0]), data(0.1)).unwrap();
        let Quant::Affine { scale, .. } = quant else { unreachable!() };
        assert_eq!(scale[0], 0.1f32 * of.scales[0]);
        assert!((bias.to_f64s().unwrap()[0] * f64::from(scale[0]) - 5.0).abs() < 1e-3);
        let all_zero = channels(&[0.0, 0.0], &[0.0], 1e-12);
        assert!(all_zero.scales[0].is_normal());
    }

    #[test]
    fn a_bias_past_32_bits_raises_the_scale_of_its_channel_alone() {
        let of = channels(&[1e-6, -1e-6, 1e-6, 1e-6], &[1e4, 1e-6], 1e-4);
        assert_eq!(of.raised, [0]);
        let (bias, _) = of.bias(&Tensor::vector(vec![1e4f32, 1e-6]), data(1e-4)).unwrap();
        let stored = bias.to_f64s().unwrap()[0];
        assert!((stored / largest_bias(data(1e-4)) - 1.0).abs() < 1e-6, "{stored}");
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let weights = Tensor::from_vec(&[1, 2], vec![f32::NAN, 1.0]);
        assert!(Channels::of(&weights, storage(0), None).is_err());
        let weights = Tensor::from_vec(&[1, 1], vec![1.0f32]);
        assert!(Channels::of(&weights, storage(0), Some((&Tensor::vector(vec![f32::INFINITY]), data(1.0)))).is_err());
    }
}

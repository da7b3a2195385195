//! Writes constants as the integers that kernels want: weights, biases, second operands.

use super::range::Params;
use crate::graph::Quant;
use crate::tensor::Tensor;

/// An int32 bias leaves half of the accumulator to the products that are added to it.
const LARGEST_BIAS: f64 = (1u32 << 30) as f64;

/// Channels whose weights are smaller than the layer's largest by more than this get no finer scale: next to the others, they
/// round to nothing in the common scale of the result.
const FINEST_CHANNEL: f64 = 1.0 / (1u32 << 24) as f64;

/// Scales of a layer's weights, one for each output channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Channels {
    pub(super) axis: usize,
    pub(super) scales: Vec<f32>,
    /// Channels whose scale was raised so that the bias fits into 32 bits.
    pub(super) raised: Vec<usize>,
}

impl Channels {
    /// The finest scales that hold all weights in ±127 and all biases in 32 bits, with `x` the scale of the data.
    ///
    /// # Errors
    /// Where the weights have no such axis, or weights or bias are not finite.
    pub(super) fn of(weights: &Tensor, axis: usize, bias: Option<&Tensor>, x: f32) -> Result<Channels, String> {
        let values = weights.to_f32s().map_err(|e| e.to_string())?;
        let bias = bias.map(|b| b.to_f32s().map_err(|e| e.to_string())).transpose()?.unwrap_or_default();
        if !values.iter().chain(&bias).all(|x| x.is_finite()) {
            return Err("weights or bias hold infinities or NaN".into());
        }
        let (channels, inner) = extents(weights.shape(), axis)?;
        let bounds = bounds(&values, channels, inner);
        let largest = bounds.iter().copied().fold(0.0, f32::max);
        let finest = f64::from(Params::sane(f64::from(largest) / 127.0)) * FINEST_CHANNEL;
        // A channel of zeros takes any scale; the largest leaves most room to its bias.
        let bounds = bounds.iter().map(|&b| f64::from(if b == 0.0 { largest } else { b }));
        let mut scales: Vec<f32> = bounds.map(|b| Params::sane((b / 127.0).max(finest))).collect();
        let mut raised = Vec::new();
        for (channel, (scale, b)) in scales.iter_mut().zip(&bias).enumerate() {
            let needed = f64::from(b.abs()) / (f64::from(x) * LARGEST_BIAS);
            if f64::from(*scale) < needed {
                *scale = Params::sane(needed);
                raised.push(channel);
            }
        }
        Ok(Channels { axis, scales, raised })
    }

    /// With the scales of a grid that the weights lie on already, but for channels whose bias asks for larger ones.
    pub(super) fn on_grid(mut self, grid: &Quant, weights: &Tensor) -> Channels {
        let (Quant::Affine { scale, zero_point, axis }, Ok(values)) = (grid, weights.to_f32s()) else { return self };
        let same = scale.len() == self.scales.len() && (scale.len() == 1 || *axis == self.axis);
        let Ok((channels, inner)) = extents(weights.shape(), self.axis) else { return self };
        let bounds = bounds(&values, channels, inner);
        let holds = bounds.iter().zip(scale.iter().cycle()).all(|(bound, scale)| *bound <= 127.01 * scale);
        if same && holds && zero_point.iter().all(|&z| z == 0) {
            let raised = &self.raised;
            for (channel, (own, &grid)) in self.scales.iter_mut().zip(scale).enumerate() {
                *own = if raised.contains(&channel) { own.max(grid) } else { grid };
            }
        }
        self
    }

    /// The weights as `INT8` in -127..=127.
    pub(super) fn quantize(&self, weights: &Tensor) -> Result<Tensor, String> {
        let values = weights.view::<f32>().map_err(|e| e.to_string())?;
        let (channels, inner) = extents(weights.shape(), self.axis)?;
        let mut stored = Vec::with_capacity(values.len());
        for (run, values) in values.chunks_exact(inner.max(1)).enumerate() {
            let scale = f64::from(self.scales[run % channels]);
            stored.extend(values.iter().map(|&w| (f64::from(w) / scale).round_ties_even().clamp(-127.0, 127.0) as i8));
        }
        Ok(Tensor::from_vec(weights.shape(), stored))
    }

    pub(super) fn quant(&self) -> Quant {
        Quant::Affine { scale: self.scales.clone(), zero_point: vec![0; self.scales.len()], axis: self.axis }
    }

    /// Bias as `INT32`, with the scales that the kernel's accumulator has: exactly the `float32` products.
    pub(super) fn bias(&self, bias: &Tensor, x: f32) -> Result<(Tensor, Quant), String> {
        let values = bias.to_f32s().map_err(|e| e.to_string())?;
        let scale: Vec<f32> = self.scales.iter().map(|w| x * w).collect();
        let rounded = values.iter().zip(&scale).map(|(&b, &s)| (f64::from(b) / f64::from(s)).round_ties_even() as i32);
        let stored = Tensor::from_vec(bias.shape(), rounded.collect());
        let zero_point = vec![0; scale.len()];
        Ok((stored, Quant::Affine { scale, zero_point, axis: 0 }))
    }
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

/// A constant as `INT8` with one scale for the whole tensor.
pub(super) fn per_tensor(data: &Tensor, params: Params) -> Result<Tensor, String> {
    let values = data.to_f32s().map_err(|e| e.to_string())?;
    Ok(Tensor::from_vec(data.shape(), values.into_iter().map(|x| params.quantize(x)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(weights: &[f32], bias: &[f32], x: f32) -> Channels {
        let rows = bias.len();
        let weights = Tensor::from_vec(&[rows, weights.len() / rows], weights.to_vec());
        Channels::of(&weights, 0, Some(&Tensor::vector(bias.to_vec())), x).unwrap()
    }

    #[test]
    fn every_channel_uses_its_whole_range() {
        let weights = Tensor::from_vec(&[1, 1, 2, 2], vec![1.27f32, -0.1, 0.0, 0.05]);
        let of = Channels::of(&weights, 3, None, 1.0).unwrap();
        assert_eq!(of.quantize(&weights).unwrap().to_i64s().unwrap(), [127, -127, 0, 64]);
        assert_eq!(of.scales[0], 0.01);
    }

    #[test]
    fn a_channel_of_zeros_has_a_scale_and_an_exact_bias() {
        let of = channels(&[0.0, 0.0, 1.27, 0.3], &[5.0, 0.0], 0.1);
        assert_eq!(of.scales[0], of.scales[1]);
        let (bias, quant) = of.bias(&Tensor::vector(vec![5.0f32, 0.0]), 0.1).unwrap();
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
        let (bias, _) = of.bias(&Tensor::vector(vec![1e4f32, 1e-6]), 1e-4).unwrap();
        let stored = bias.to_f64s().unwrap()[0];
        assert!((stored / LARGEST_BIAS - 1.0).abs() < 1e-6, "{stored}");
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        let weights = Tensor::from_vec(&[1, 2], vec![f32::NAN, 1.0]);
        assert!(Channels::of(&weights, 0, None, 1.0).is_err());
        let weights = Tensor::from_vec(&[1, 1], vec![1.0f32]);
        assert!(Channels::of(&weights, 0, Some(&Tensor::vector(vec![f32::INFINITY])), 1.0).is_err());
    }
}

//! Why a result is as noisy as it is: the likely reason, not a proof.

use serde::Serialize;

use super::beside::Place;
use super::measure::Sums;
use crate::graph::{Graph, Node, Quant};
use crate::quant::materialize::{bounds, extents};
use crate::quant::range::Range;

/// The likely reason for the noise of a result.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// The node rounds little: its operands bring the noise.
    Operands,
    /// It is computed in float; what noise there is comes with the operands.
    Float,
    /// The stored integers can't hold this share of the numbers.
    Clipped { share: f64 },
    /// The integers are so many times coarser than the result alone would have them: their scale is a kernel's, or shared.
    CoarseScale { times: f32 },
    /// Channels of the weights differ so many times in size under one scale, or a large bias raised a channel's scale so much.
    WeightSpread { times: f32 },
    /// The largest numbers are so many times what all but one in a thousand are.
    Outliers { times: f32 },
    /// None of these: eight bits round.
    Rounding,
}

/// Parts of noise below the whole by this much, in dB, are no cause of it.
const NEGLIGIBLE: f64 = 6.0;
const MANY_CLIPPED: f64 = 1e-3;
const MUCH_COARSER: f32 = 2.5;
const WIDE_SPREAD: f32 = 16.0;
const FAR_OUT: f32 = 4.0;

pub(super) fn cause(quantized: &Graph, node: &Node, place: &Place, sums: &Sums) -> Cause {
    let Some(own) = sums.own() else { return Cause::Float };
    if own > sums.sqnr() + NEGLIGIBLE {
        return Cause::Operands;
    }
    let seen = sums.range.unwrap_or(Range { min: 0.0, max: 0.0 }).with_zero();
    let coarser = place.range.map_or(1.0, |held| (held.max - held.min) / (seen.max - seen.min).max(f32::MIN_POSITIVE));
    let spread = node.inputs.iter().flatten().filter_map(|&id| {
        let value = quantized.value(id);
        weight_spread(value.data.as_ref()?.to_f32s().ok()?, value.data.as_ref()?.shape(), value.quant.as_ref()?)
    });
    let spread = spread.fold(1.0, f32::max);
    let outliers = seen.max.max(-seen.min) / sums.usual.max(f32::MIN_POSITIVE);
    if sums.clipped_share() > MANY_CLIPPED {
        Cause::Clipped { share: sums.clipped_share() }
    } else if coarser > MUCH_COARSER {
        Cause::CoarseScale { times: coarser }
    } else if spread > WIDE_SPREAD {
        Cause::WeightSpread { times: spread }
    } else if outliers > FAR_OUT {
        Cause::Outliers { times: outliers }
    } else {
        Cause::Rounding
    }
}

/// How many times less than its 8 bits the smallest channel of stored weights uses. Channels of zeros don't count.
fn weight_spread(stored: Vec<f32>, shape: &[usize], quant: &Quant) -> Option<f32> {
    let Quant::Affine { scale, axis, .. } = quant else { return None };
    let axis = if scale.len() > 1 { *axis } else { 0 };
    let (channels, inner) = extents(shape, axis).ok().filter(|_| shape.len() > 1)?;
    let used = bounds(&stored, channels, inner).into_iter().filter(|&bound| bound > 0.0);
    used.reduce(f32::min).map(|least| 127.0 / least)
}

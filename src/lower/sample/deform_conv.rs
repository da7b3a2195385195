//! ONNX `DeformConv`.

use super::{Axes, LINEAR, Padding, as_rows, sampled};
use crate::graph::{Activation, Op, Padding as GraphPadding, Precision, ValueId, Window2d};
use crate::lower::conv::{bias, perm, require_float32};
use crate::lower::reshape::Part;
use crate::lower::window::{Window, insert_axis};
use crate::lower::{Cx, Refusal, Results, countable};
use crate::tensor::Tensor;

/// Lowers ONNX `DeformConv` to `GATHER` and `CONV_2D`.
///
/// # Accepts
/// Two spatial axes; float32; groups, groups of offsets, a mask, strides, dilations and pads; weights constant or computed.
/// # Produces
/// The elements that each element of the kernel sees, sampled as `GridSample` does it, then `CONV_2D` with a kernel of one element.
/// # Refuses
/// Unknown extents, that of the batch aside.
pub(in crate::lower) fn deform_conv(cx: &mut Cx<'_>) -> Results {
    let (x, w, offset) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    require_float32(cx, x)?;
    if [x, w, offset].iter().any(|&operand| cx.rank(operand) != 4) {
        return Err(Refusal::new(format!("an operand of {}", cx.shape(x)), "two spatial axes are supported"));
    }
    let weights = cx.fixed_shape(w)?;
    let window = Window::read(cx, 2, Some(weights[2..].to_vec()))?;
    let taps = countable(&window.kernel)?;
    let groups = Groups::read(cx, x, &weights)?;
    let bias = bias(cx, 3, Some(weights[0]))?;
    let known = |x: ValueId, axis: usize| cx.dim(x, axis).map_or_else(|| cx.fixed_shape(x).map(|_| 0), Ok);
    let (height, width) = (known(x, 2)?, known(x, 3)?);
    let pads = window.explicit(&[Some(height), Some(width)])?;
    let out: Vec<usize> =
        (0..2).map(|axis| out_extent(&window, axis, [height, width][axis], pads[axis])).collect::<Result<_, _>>()?;
    let positions = countable(&[taps, out[0], out[1], 2])? / 2;

    let before = cx.b.set_precision(Precision::Float);
    // Groups of offsets are images of their own, with their share of the channels.
    let per_group = groups.channels / groups.offset;
    let image = cx.b.reshape(x, &[-1, per_group as i64, height as i64, width as i64])?;
    let image = as_rows(cx, image)?;
    // [N, groups * taps * (y, x), h, w] as [N * groups, taps * h * w, (y, x)].
    let offset = cx.b.reshape(offset, &[-1, taps as i64, 2, (out[0] * out[1]) as i64])?;
    let offset = cx.b.transpose(offset, &perm(&[0, 1, 3, 2]))?;
    let offset = cx.b.reshape(offset, &[-1, positions as i64, 2])?;
    let undeformed = cx.b.constant(undeformed(&window, &pads, &out));
    let at = cx.b.add(offset, undeformed)?;
    let last = cx.b.constant(Tensor::vector(vec![(height as f32) - 1.0, (width as f32) - 1.0]));
    let axes = Axes { last, stride: cx.b.ints(&[width, 1])? };
    let mut seen = sampled(cx, image, at, &axes, &LINEAR, Padding::Zeros)?;
    if let Some(mask) = cx.optional(4) {
        let mask = cx.b.reshape(mask, &[-1, positions as i64])?;
        let mask = insert_axis(cx, mask, 2)?;
        seen = cx.b.mul(seen, mask)?;
    }
    cx.b.set_precision(before);
    // [N * groups, taps * h * w, C / groups] as [N, h, w, C * taps], in the order that weights have.
    let split = [groups.offset, taps, out[0] * out[1], per_group].map(|n| n as i64);
    let seen = cx.b.reshape(seen, &[-1, split[0], split[1], split[2], split[3]])?;
    let seen = cx.b.transpose(seen, &perm(&[0, 3, 1, 4, 2]))?;
    let columns = (groups.channels * taps) as i64;
    let seen = cx.b.reshape(seen, &[-1, out[0] as i64, out[1] as i64, columns])?;
    let w = cx.reshape_parts(w, &[Part::Axes(0..1), Part::Fixed(1), Part::Fixed(1), Part::Axes(1..4)])?;
    let window = Window2d { padding: GraphPadding::Valid, stride: [1, 1], dilation: [1, 1] };
    let y = cx.b.one(Op::Conv2d { window, activation: Activation::None }, &[seen, w, bias])?;
    Ok(vec![cx.channels_first(y)?])
}

struct Groups {
    channels: usize,
    /// Groups of channels that share offsets.
    offset: usize,
}

impl Groups {
    fn read(cx: &Cx<'_>, x: ValueId, weights: &[usize]) -> Result<Groups, Refusal> {
        let read = |name: &str| {
            let given = cx.int_or(name, 1)?;
            let found = usize::try_from(given).ok().filter(|&n| n > 0);
            found.ok_or_else(|| Refusal::new(format!("is {given}"), "").about(format!("attribute {name}")))
        };
        let (group, offset) = (read("group")?, read("offset_group")?);
        let channels = weights[1].checked_mul(group).filter(|&c| cx.dim(x, 1).is_none_or(|n| n == c) && c > 0);
        match channels.filter(|c| c.is_multiple_of(offset) && weights[0].is_multiple_of(group)) {
            Some(channels) => Ok(Groups { channels, offset }),
            None => {
                let what = format!("is {group} for {} and weights of {weights:?}", cx.shape(x));
                Err(Refusal::new(what, "check the model with onnx.checker").about("attribute group"))
            }
        }
    }
}

fn out_extent(window: &Window, axis: usize, extent: usize, pads: (usize, usize)) -> Result<usize, Refusal> {
    let room = (extent + pads.0 + pads.1).checked_sub(window.span(axis));
    let room = room.ok_or_else(|| Refusal::new("the kernel is larger than the padded input", ""))?;
    Ok(room / window.strides[axis] + 1)
}

/// Where the elements of the kernel fall without offsets, in elements of the input: `[taps * h * w, (y, x)]`.
fn undeformed(window: &Window, pads: &[(usize, usize)], out: &[usize]) -> Tensor {
    let at = |axis: usize, o: usize, k: usize| {
        (o * window.strides[axis] + k * window.dilations[axis]) as f32 - pads[axis].0 as f32
    };
    let mut places = Vec::with_capacity(window.kernel[0] * window.kernel[1] * out[0] * out[1] * 2);
    for ky in 0..window.kernel[0] {
        for kx in 0..window.kernel[1] {
            for y in 0..out[0] {
                places.extend((0..out[1]).flat_map(|x| [at(0, y, ky), at(1, x, kx)]));
            }
        }
    }
    Tensor::from_vec(&[places.len() / 2, 2], places)
}

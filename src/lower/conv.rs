//! ONNX `Conv`.

use super::window::{Window, add_height, channels_last_pads, drop_axis};
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Activation, Op, ValueId, Window2d, Window3d};
use crate::tensor::{DType, Perm, Tensor};

/// Lowers ONNX `Conv` to `CONV_2D`, `DEPTHWISE_CONV_2D` or `CONV_3D`.
///
/// # Accepts
/// One, two or three spatial axes; float32; any groups, strides, dilations and pads; weights and bias constant or computed.
/// # Produces
/// `PAD? → CONV_2D`, channels last, with padding written as `SAME` where it is that. One spatial axis runs as a height of 1. As many
/// groups as channels become `DEPTHWISE_CONV_2D`; groups in three dimensions are convolved one by one.
/// # Refuses
/// More than three spatial axes; `auto_pad = SAME_LOWER` with strides over unknown extents.
pub(super) fn conv(cx: &mut Cx<'_>) -> Results {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let spatial = cx.rank(x).saturating_sub(2);
    if !(1..=3).contains(&spatial) || cx.rank(w) != spatial + 2 {
        let what = format!("{} by weights of {}", cx.shape(x), cx.shape(w));
        return Err(Refusal::new(what, "one to three spatial axes are supported"));
    }
    let kernel: Vec<usize> = cx.fixed_shape(w)?[2..].to_vec();
    let mut window = Window::read(cx, spatial, Some(kernel))?;
    let group = group(cx, x, w)?;
    let bias = bias(cx, 2, cx.dim(w, 0))?;
    match spatial {
        1 => {
            window.add_height();
            let (x, w) = (add_height(cx, x)?, add_height(cx, w)?);
            let y = conv_2d(cx, x, w, bias, &window, group)?;
            Ok(vec![drop_axis(cx, y, 2)?])
        }
        2 => Ok(vec![conv_2d(cx, x, w, bias, &window, group)?]),
        _ => Ok(vec![conv_3d(cx, x, w, bias, &window, group)?]),
    }
}

impl Window {
    /// The window of one spatial axis as one over height 1 and that axis.
    pub(super) fn add_height(&mut self) {
        use super::window::Pads;
        self.kernel.insert(0, 1);
        self.strides.insert(0, 1);
        self.dilations.insert(0, 1);
        if let Pads::Explicit(pads) = &mut self.pads {
            pads.insert(0, (0, 0));
        }
    }
}

pub(super) fn require_float32(cx: &Cx<'_>, x: ValueId) -> Result<(), Refusal> {
    match cx.dtype(x) {
        DType::F32 => Ok(()),
        other => Err(Refusal::new(format!("{other} operands have no kernel"), "convert the model to float32")),
    }
}

/// The attribute `group`, checked against the channels.
fn group(cx: &Cx<'_>, x: ValueId, w: ValueId) -> Result<usize, Refusal> {
    let group = cx.int_or("group", 1)?;
    let fits = |group: usize| {
        let channels =
            cx.dim(x, 1).zip(cx.dim(w, 1)).is_none_or(|(c, per_group)| per_group.checked_mul(group) == Some(c));
        channels && cx.dim(w, 0).is_none_or(|o| o % group == 0)
    };
    let found = usize::try_from(group).ok().filter(|&g| g > 0 && fits(g));
    found.ok_or_else(|| {
        let what = format!("is {group} for an input of {} and weights of {}", cx.shape(x), cx.shape(w));
        Refusal::new(what, "check the model with onnx.checker").about("attribute group")
    })
}

/// The bias operand `i`, or zeros: kernels want one.
pub(super) fn bias(cx: &mut Cx<'_>, i: usize, channels: Option<usize>) -> Result<ValueId, Refusal> {
    if let Some(bias) = cx.optional(i) {
        return Ok(bias);
    }
    let channels = channels.ok_or_else(|| Refusal::new("the number of output channels is not known", ""))?;
    countable(&[channels])?;
    Ok(cx.b.constant(Tensor::from_vec(&[channels], vec![0f32; channels])))
}

/// Takes and gives channels-first values.
pub(super) fn conv_2d(
    cx: &mut Cx<'_>,
    x: ValueId,
    w: ValueId,
    bias: ValueId,
    window: &Window,
    group: usize,
) -> Result<ValueId, Refusal> {
    let (padding, pads) = window.split(&cx.shape(x).dims()[2..])?;
    let channels = cx.dim(x, 1).or(cx.dim(w, 1).map(|c| c * group));
    let window = Window2d {
        padding,
        stride: [window.strides[0], window.strides[1]],
        dilation: [window.dilations[0], window.dilations[1]],
    };
    let x = cx.channels_last(x)?;
    let x = cx.b.pad(x, &channels_last_pads(&pads))?;
    let activation = Activation::None;
    let depthwise = group > 1 && channels == Some(group);
    let y = if depthwise {
        // [C * m, 1, kh, kw] to [1, kh, kw, C * m]; output channel c * m + k on both sides.
        let w = cx.b.transpose(w, &perm(&[1, 2, 3, 0]))?;
        let multiplier = cx.dim(w, 3).map_or(1, |o| o / group);
        cx.b.one(Op::DepthwiseConv2d { window, multiplier, activation }, &[x, w, bias])?
    } else {
        let w = cx.b.transpose(w, &perm(&[0, 2, 3, 1]))?;
        cx.b.one(Op::Conv2d { window, activation }, &[x, w, bias])?
    };
    cx.channels_first(y)
}

/// A permutation written out in the code.
pub(super) fn perm(axes: &[usize]) -> Perm {
    Perm::new(axes.to_vec()).unwrap_or_else(|| unreachable!("{axes:?} is a permutation"))
}

fn conv_3d(
    cx: &mut Cx<'_>,
    x: ValueId,
    w: ValueId,
    bias: ValueId,
    window: &Window,
    group: usize,
) -> Result<ValueId, Refusal> {
    let (padding, pads) = window.split(&cx.shape(x).dims()[2..])?;
    let triple = |v: &[usize]| [v[0], v[1], v[2]];
    let window = Window3d { padding, stride: triple(&window.strides), dilation: triple(&window.dilations) };
    let op = Op::Conv3d { window, activation: Activation::None };
    let x = cx.channels_last(x)?;
    let x = cx.b.pad(x, &channels_last_pads(&pads))?;
    // [O, I, kd, kh, kw] to [kd, kh, kw, I, O].
    let w = cx.b.transpose(w, &perm(&[2, 3, 4, 1, 0]))?;
    let y = if group == 1 {
        cx.b.one(op, &[x, w, bias])?
    } else {
        // The kernel knows no groups.
        let (xs, ws) = (split(cx, x, 4, group)?, split(cx, w, 4, group)?);
        let biases = split(cx, bias, 0, group)?;
        let mut parts = Vec::with_capacity(group);
        for ((x, w), bias) in xs.into_iter().zip(ws).zip(biases) {
            parts.push(cx.b.one(op.clone(), &[x, w, bias])?);
        }
        cx.b.concat(&parts, 4)?
    };
    cx.channels_first(y)
}

/// Equal parts of `x` along `axis`.
pub(super) fn split(cx: &mut Cx<'_>, x: ValueId, axis: usize, parts: usize) -> Result<Vec<ValueId>, Refusal> {
    if parts == 1 {
        return Ok(vec![x]);
    }
    let axis = cx.b.scalar(axis as i32);
    Ok(cx.b.emit(Op::Split { parts }, &[Some(axis), Some(x)])?)
}

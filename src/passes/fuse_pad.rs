//! `fuse_pad`: padding before a convolution or a maximum becomes the operator's own `SAME`.
//!
//! Matches: `PAD` (or `PADV2` with 0) of height and width before `CONV_2D` or `DEPTHWISE_CONV_2D` with `VALID`, and `PADV2` with
//! the lowest number (or -∞) before `MAX_POOL_2D` with `VALID`, where the amounts are what `SAME` comes to for the height and width
//! that the operand has; `float32`.
//!
//! Not: other amounts (PyTorch's symmetric padding of a convolution with stride 2, mostly), unknown heights and widths, padded
//! batches or channels; `AVERAGE_POOL_2D`, which leaves padding out of its mean.
//!
//! Equal: `SAME` pads convolutions with zeros, and leaves what is outside out of a maximum; every window has an element inside.

use super::pattern::{Replaced, number, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, Padding, Pool, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

/// A window over height and width.
pub(super) struct Window {
    pub filter: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let graph = cx.graph();
    let pooled = matches!(node.op, Op::Pool2d { .. });
    let Some(window) = valid_window(graph, node) else { return Ok(None) };
    let padded = node.input(0).and_then(|x| Some((cx.producer(x)?, x)));
    let Some((x, pads)) = padded.and_then(|(pad, _)| constant_padding(graph, pad, pooled)) else { return Ok(None) };
    let shape = graph.shape(x);
    let same = |axis: usize| {
        let i = axis - 1;
        Some(same_padding(shape.dim(axis)?, window.filter[i], window.stride[i], window.dilation[i]))
    };
    let equal = pads.len() == 4 && pads[0] == (0, 0) && pads[3] == (0, 0);
    if !equal || same(1) != Some(pads[1]) || same(2) != Some(pads[2]) {
        return Ok(None);
    }
    let mut op = node.op.clone();
    if let Op::Conv2d { window, .. } | Op::DepthwiseConv2d { window, .. } = &mut op {
        window.padding = Padding::Same;
    } else if let Op::Pool2d { padding, .. } = &mut op {
        *padding = Padding::Same;
    }
    let mut inputs = node.inputs.clone();
    inputs[0] = Some(x);
    Ok(Some(cx.b.emit(op, &inputs)?))
}

/// The window of an operator that pads nothing.
pub(super) fn valid_window(graph: &Graph, node: &Node) -> Option<Window> {
    match &node.op {
        Op::Conv2d { window, .. } | Op::DepthwiseConv2d { window, .. } if window.padding == Padding::Valid => {
            let shape = graph.shape(node.input(1)?);
            Some(Window { filter: [shape.dim(1)?, shape.dim(2)?], stride: window.stride, dilation: window.dilation })
        }
        Op::Pool2d { kind: Pool::Max, padding: Padding::Valid, stride, filter, .. } => {
            Some(Window { filter: *filter, stride: *stride, dilation: [1, 1] })
        }
        _ => None,
    }
}

/// The operand of a `PAD` or `PADV2`, and what is added before and after each axis: zeros, or the lowest number.
pub(super) fn constant_padding(graph: &Graph, pad: &Node, with_lowest: bool) -> Option<(ValueId, Vec<(usize, usize)>)> {
    let zero = match pad.op {
        Op::Pad => true,
        Op::PadV2 => match number(graph, pad.input(2)?)? {
            0.0 => true,
            value if value <= f32::MIN.into() => false,
            _ => return None,
        },
        _ => return None,
    };
    if zero == with_lowest {
        return None;
    }
    let pads: Result<Vec<usize>, _> = graph.const_ints(pad.input(1)?)?.into_iter().map(usize::try_from).collect();
    Some((pad.input(0)?, pads.ok()?.chunks_exact(2).map(|pad| (pad[0], pad[1])).collect()))
}

/// What `SAME` adds before and after an axis.
fn same_padding(input: usize, filter: usize, stride: usize, dilation: usize) -> (usize, usize) {
    let span = filter.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
    let steps = input.div_ceil(stride.max(1)).saturating_sub(1).saturating_mul(stride);
    let total = steps.saturating_add(span).saturating_sub(input);
    (total / 2, total - total / 2)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, check, conv_2d, unchanged};
    use super::run;
    use crate::graph::{Activation, Op, Padding, Pool, Window2d};

    const IMAGE: &str = "f32[1,5,6,2]";

    fn max_pool(padding: Padding) -> Op {
        Op::Pool2d { kind: Pool::Max, padding, stride: [2, 2], filter: [3, 3], activation: Activation::None }
    }

    #[test]
    fn convolutions_pad_themselves() {
        check(
            run,
            &[IMAGE],
            |b, x| {
                let x = b.pad(x[0], &[(0, 0), (1, 1), (0, 1), (0, 0)])?;
                b.conv(conv_2d(Padding::Valid), x, &[3, 3, 2, 2])
            },
            |b, x| b.conv(conv_2d(Padding::Same), x[0], &[3, 3, 2, 2]),
        );
        let strided = |padding| Op::DepthwiseConv2d {
            window: Window2d { padding, stride: [2, 2], dilation: [1, 1] },
            multiplier: 1,
            activation: Activation::Relu6,
        };
        // 5 rows with stride 2 take one on either side, 6 columns one at the end.
        check(
            run,
            &[IMAGE],
            |b, x| {
                let zero = b.scalar(0.0f32);
                let x = b.pad_with(x[0], &[(0, 0), (1, 1), (0, 1), (0, 0)], zero)?;
                b.conv(strided(Padding::Valid), x, &[1, 3, 3, 2])
            },
            |b, x| b.conv(strided(Padding::Same), x[0], &[1, 3, 3, 2]),
        );
        let dilated = |padding| Op::Conv2d {
            window: Window2d { padding, stride: [1, 1], dilation: [2, 2] },
            activation: Activation::None,
        };
        check(
            run,
            &[IMAGE],
            |b, x| {
                let x = b.pad(x[0], &[(0, 0), (2, 2), (2, 2), (0, 0)])?;
                b.conv(dilated(Padding::Valid), x, &[3, 3, 3, 2])
            },
            |b, x| b.conv(dilated(Padding::Same), x[0], &[3, 3, 3, 2]),
        );
    }

    #[test]
    fn maxima_leave_out_what_is_lowest() {
        for lowest in [f32::NEG_INFINITY, f32::MIN] {
            check(
                run,
                &[IMAGE],
                |b, x| {
                    let lowest = b.scalar(lowest);
                    let x = b.pad_with(x[0], &[(0, 0), (1, 1), (0, 1), (0, 0)], lowest)?;
                    b.one(max_pool(Padding::Valid), &[x])
                },
                |b, x| b.one(max_pool(Padding::Same), x),
            );
        }
    }

    #[test]
    fn every_convolution_of_a_padded_value_takes_it() {
        let net = |padded: bool| {
            Net::new(&[IMAGE], |b, x| {
                let (x, padding) = if padded {
                    (b.pad(x[0], &[(0, 0), (1, 1), (1, 1), (0, 0)])?, Padding::Valid)
                } else {
                    (x[0], Padding::Same)
                };
                let y = b.conv(conv_2d(padding), x, &[3, 3, 3, 2])?;
                Ok(vec![y, b.conv(conv_2d(padding), x, &[1, 3, 3, 2])?])
            })
        };
        net(true).becomes(run, &net(false));
    }

    #[test]
    fn leaves_other_amounts_values_and_operators() {
        let conv = conv_2d(Padding::Valid);
        for pads in [(0, 2), (2, 0), (1, 2), (0, 1)] {
            unchanged(run, &[IMAGE], |b, x| {
                let x = b.pad(x[0], &[(0, 0), pads, (1, 1), (0, 0)])?;
                b.conv(conv.clone(), x, &[3, 3, 3, 2])
            });
        }
        // Symmetric with stride 2 and an even extent.
        unchanged(run, &[IMAGE], |b, x| {
            let x = b.pad(x[0], &[(0, 0), (1, 1), (1, 1), (0, 0)])?;
            let window = Window2d { padding: Padding::Valid, stride: [2, 2], dilation: [1, 1] };
            b.conv(Op::Conv2d { window, activation: Activation::None }, x, &[3, 3, 3, 2])
        });
        unchanged(run, &[IMAGE], |b, x| {
            let one = b.scalar(1.0f32);
            let x = b.pad_with(x[0], &[(0, 0), (1, 1), (1, 1), (0, 0)], one)?;
            b.conv(conv.clone(), x, &[3, 3, 3, 2])
        });
        unchanged(run, &[IMAGE], |b, x| {
            let x = b.pad(x[0], &[(0, 0), (1, 1), (1, 1), (0, 1)])?;
            b.conv(conv.clone(), x, &[3, 3, 3, 3])
        });
        unchanged(run, &["f32[1,?,6,2]"], |b, x| {
            let x = b.pad(x[0], &[(0, 0), (1, 1), (1, 1), (0, 0)])?;
            b.conv(conv.clone(), x, &[3, 3, 3, 2])
        });
        // Zeros take part in a maximum, and padding in an average.
        unchanged(run, &[IMAGE], |b, x| {
            let x = b.pad(x[0], &[(0, 0), (1, 1), (0, 1), (0, 0)])?;
            b.one(max_pool(Padding::Valid), &[x])
        });
        unchanged(run, &[IMAGE], |b, x| {
            let x = b.pad(x[0], &[(0, 0), (1, 1), (0, 1), (0, 0)])?;
            let op = Op::Pool2d {
                kind: Pool::Average,
                padding: Padding::Valid,
                stride: [2, 2],
                filter: [3, 3],
                activation: Activation::None,
            };
            b.one(op, &[x])
        });
        // Padding that is there already adds up, which SAME can't say.
        unchanged(run, &[IMAGE], |b, x| {
            let x = b.pad(x[0], &[(0, 0), (1, 1), (1, 1), (0, 0)])?;
            b.conv(conv_2d(Padding::Same), x, &[3, 3, 3, 2])
        });
    }
}

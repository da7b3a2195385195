//! `fold_input_scale_into_conv`: a multiplication or addition before a convolution or matrix product goes into its weights and
//! bias.
//!
//! Matches: `MUL`, `DIV`, `ADD`, `SUB` with a constant (one number, or one for each channel) or `NEG`, whose `float32` result feeds
//! convolutions and matrix products with constant weights and nothing else: one, or several, as a normalization feeds queries,
//! keys and values.
//!
//! Makes: the same operator on the operand as it was, with other weights; where something was added, with another bias (a new
//! one where there was none). Weights that others use are copied, unless they are large.
//!
//! Not: an addition before an operator that pads (the padding stays zero, whatever is added to the rest) or before a transposed
//! convolution (results near the border come from fewer inputs); a scale or addition with an activation.
//!
//! Equal up to rounding, as a convolution is linear, and zero padding stays zero under every factor.

use super::affine::Affine;
use super::pattern::{Replaced, sweep};
use super::weights::Layer;
use crate::graph::{Activation, Evaluate, Graph, InferError, Node, RewriteCx};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    let for_layers_only = for_layers_only(graph);
    sweep(graph, evaluate, |cx, node| replace(cx, node, &for_layers_only))
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node, for_layers_only: &[bool]) -> Replaced {
    let Some(mut layer) = Layer::of(cx.graph(), node) else { return Ok(None) };
    let mut folded = false;
    while fold(cx, &mut layer, for_layers_only).is_some() {
        folded = true;
    }
    if folded { Ok(layer.emit(cx)?.map(|value| vec![value])) } else { Ok(None) }
}

/// Makes `layer` take the operand of the scale or addition whose result it takes now.
fn fold(cx: &RewriteCx<'_>, layer: &mut Layer, for_layers_only: &[bool]) -> Option<()> {
    let graph = cx.graph();
    let x = layer.data()?;
    let goes = cx.uses(x) == 1 || for_layers_only.get(x.0 as usize) == Some(&true);
    let affine = Affine::of(graph, cx.producer(x).filter(|_| goes)?).filter(|a| a.activation == Activation::None)?;
    let channels = graph.shape(x).dims().last().copied().flatten()?;
    let fits = |factors: &[f64]| factors.len() == 1 || factors.len() == channels;
    let pads_shift = affine.shift != [0.0] && !layer.never_sees_padding(graph);
    if pads_shift || !fits(&affine.scale) || !fits(&affine.shift) {
        return None;
    }
    layer.absorb_input(cx, &affine, channels)
}

/// For each value whether all its uses are as operands of layers that can take in whatever scales it or is added to it.
fn for_layers_only(graph: &Graph) -> Vec<bool> {
    let mut open = graph.use_counts();
    for node in &graph.nodes {
        let layer = Layer::of(graph, node).filter(|layer| layer.has_weights() && layer.never_sees_padding(graph));
        if let Some(x) = layer.and_then(|layer| layer.data()) {
            open[x.0 as usize] = open[x.0 as usize].saturating_sub(1);
        }
    }
    open.into_iter().map(|uses| uses == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, NetBuilder, check, conv_2d, fully_connected, unchanged, window};
    use super::run;
    use crate::graph::{Activation, InferError, Op, Padding, Unary, ValueId};

    const IMAGE: &str = "f32[1,4,4,2]";

    fn scaled(b: &mut NetBuilder<'_>, x: ValueId) -> Result<ValueId, InferError> {
        let scale = b.floats(&[1, 1, 1, 2], vec![2.0, -4.0]);
        b.mul(x, scale)
    }

    fn shifted(b: &mut NetBuilder<'_>, x: ValueId) -> Result<ValueId, InferError> {
        let shift = b.floats(&[2], vec![10.0, 100.0]);
        b.add(x, shift)
    }

    #[test]
    fn scales_go_into_weights_whatever_the_padding() {
        check(
            run,
            &[IMAGE],
            |b, x| {
                let x = scaled(b, x[0])?;
                let (filter, bias) = (b.floats(&[1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]), b.floats(&[1], vec![5.0]));
                b.one(conv_2d(Padding::Same), &[x, filter, bias])
            },
            |b, x| {
                let (filter, bias) = (b.floats(&[1, 1, 2, 2], vec![2.0, -8.0, 6.0, -16.0]), b.floats(&[1], vec![5.0]));
                b.one(conv_2d(Padding::Same), &[x[0], filter, bias])
            },
        );
        let op = Op::DepthwiseConv2d { window: window(Padding::Same), multiplier: 2, activation: Activation::Relu };
        check(
            run,
            &[IMAGE],
            |b, x| {
                let x = scaled(b, x[0])?;
                let (filter, bias) = (b.floats(&[1, 1, 1, 4], vec![1.0, 2.0, 3.0, 4.0]), b.floats(&[4], vec![5.0; 4]));
                b.one(op.clone(), &[x, filter, bias])
            },
            |b, x| {
                let (filter, bias) =
                    (b.floats(&[1, 1, 1, 4], vec![2.0, 4.0, -12.0, -16.0]), b.floats(&[4], vec![5.0; 4]));
                b.one(op.clone(), &[x[0], filter, bias])
            },
        );
        let op = Op::TransposeConv { padding: Padding::Same, stride: [1, 1], activation: Activation::None };
        check(
            run,
            &[IMAGE],
            |b, x| {
                let x = scaled(b, x[0])?;
                let (shape, filter) = (b.ints(&[1, 4, 4, 1])?, b.floats(&[1, 1, 1, 2], vec![1.0, 2.0]));
                b.one(op.clone(), &[shape, filter, x])
            },
            |b, x| {
                let (shape, filter) = (b.ints(&[1, 4, 4, 1])?, b.floats(&[1, 1, 1, 2], vec![2.0, -8.0]));
                b.one(op.clone(), &[shape, filter, x[0]])
            },
        );
    }

    #[test]
    fn groups_see_their_own_channels() {
        // Two groups of two channels each, one output for each group.
        check(
            run,
            &["f32[1,1,1,4]"],
            |b, x| {
                let factors = b.floats(&[4], vec![1.0, 2.0, 3.0, 4.0]);
                let x = b.mul(x[0], factors)?;
                let (filter, bias) = (b.floats(&[2, 1, 1, 2], vec![1.0; 4]), b.floats(&[2], vec![0.0; 2]));
                b.one(conv_2d(Padding::Valid), &[x, filter, bias])
            },
            |b, x| {
                let filter = b.floats(&[2, 1, 1, 2], vec![1.0, 2.0, 3.0, 4.0]);
                let bias = b.floats(&[2], vec![0.0; 2]);
                b.one(conv_2d(Padding::Valid), &[x[0], filter, bias])
            },
        );
    }

    #[test]
    fn shifts_go_into_the_bias_where_nothing_is_padded() {
        check(
            run,
            &[IMAGE],
            |b, x| {
                let x = scaled(b, x[0])?;
                let x = shifted(b, x)?;
                let (filter, bias) = (b.floats(&[1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]), b.floats(&[1], vec![5.0]));
                b.one(conv_2d(Padding::Valid), &[x, filter, bias])
            },
            |b, x| {
                // (1 + 3) * 10 + (2 + 4) * 100 + 5
                let bias = b.floats(&[1], vec![645.0]);
                let filter = b.floats(&[1, 1, 2, 2], vec![2.0, -8.0, 6.0, -16.0]);
                b.one(conv_2d(Padding::Valid), &[x[0], filter, bias])
            },
        );
        check(
            run,
            &["f32[?,2]"],
            |b, x| {
                let x = shifted(b, x[0])?;
                let filter = b.floats(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]);
                b.one(fully_connected(), &[x, filter])
            },
            |b, x| {
                let (filter, bias) = (b.floats(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]), b.floats(&[2], vec![210.0, 430.0]));
                b.one(fully_connected(), &[x[0], filter, bias])
            },
        );
        // A window of one element pads nothing.
        check(
            run,
            &[IMAGE],
            |b, x| {
                let x = shifted(b, x[0])?;
                let (filter, bias) = (b.floats(&[1, 1, 1, 2], vec![1.0, 2.0]), b.floats(&[1], vec![0.0]));
                b.one(conv_2d(Padding::Same), &[x, filter, bias])
            },
            |b, x| {
                let (filter, bias) = (b.floats(&[1, 1, 1, 2], vec![1.0, 2.0]), b.floats(&[1], vec![210.0]));
                b.one(conv_2d(Padding::Same), &[x[0], filter, bias])
            },
        );
    }

    #[test]
    fn several_layers_take_in_what_they_share() {
        let net = |folded: bool| {
            Net::new(&["f32[?,2]"], |b, x| {
                let x = if folded {
                    x[0]
                } else {
                    let scale = b.floats(&[2], vec![2.0, -4.0]);
                    let x = b.mul(x[0], scale)?;
                    shifted(b, x)?
                };
                let mut layer = |filter: [f32; 2], bias: f32| {
                    let inputs = [x, b.floats(&[1, 2], filter.to_vec()), b.floats(&[1], vec![bias])];
                    b.one(fully_connected(), &inputs)
                };
                if folded {
                    Ok(vec![layer([2.0, -8.0], 210.0)?, layer([6.0, -16.0], 431.0)?])
                } else {
                    Ok(vec![layer([1.0, 2.0], 0.0)?, layer([3.0, 4.0], 1.0)?])
                }
            })
        };
        net(false).becomes(run, &net(true));
    }

    #[test]
    fn leaves_padded_shifts_activations_and_other_uses() {
        unchanged(run, &[IMAGE], |b, x| {
            let x = shifted(b, x[0])?;
            b.conv(conv_2d(Padding::Same), x, &[1, 2, 2, 2])
        });
        unchanged(run, &[IMAGE], |b, x| {
            let x = shifted(b, x[0])?;
            let (shape, filter) = (b.ints(&[1, 5, 5, 1])?, b.weights(&[1, 2, 2, 2]));
            let op = Op::TransposeConv { padding: Padding::Valid, stride: [1, 1], activation: Activation::None };
            b.one(op, &[shape, filter, x])
        });
        unchanged(run, &["f32[3,2]"], |b, x| {
            let factors = b.floats(&[2], vec![1.0, 2.0]);
            let x = b.one(Op::Binary(crate::graph::Binary::Mul, Activation::Relu), &[x[0], factors])?;
            b.conv(fully_connected(), x, &[2, 2])
        });
        unchanged(run, &["f32[3,2]"], |b, x| {
            let factors = b.floats(&[2], vec![1.0, 2.0]);
            let x = b.mul(x[0], factors)?;
            let y = b.conv(fully_connected(), x, &[2, 2])?;
            b.add(x, y)
        });
        // Rows of the operand that are split into several rows for the product.
        unchanged(run, &["f32[3,4]"], |b, x| {
            let factors = b.floats(&[4], vec![1.0, 2.0, 3.0, 4.0]);
            let (x, filter) = (b.mul(x[0], factors)?, b.weights(&[2, 2]));
            let op =
                Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
            b.one(op, &[x, filter])
        });
        // A factor for each row of the operand.
        unchanged(run, &["f32[2,2]"], |b, x| {
            let factors = b.floats(&[2, 1], vec![1.0, 2.0]);
            let x = b.mul(x[0], factors)?;
            b.conv(fully_connected(), x, &[2, 2])
        });
        unchanged(run, &["f32[2,2]"], |b, x| {
            let x = b.unary(Unary::Abs, x[0])?;
            b.conv(fully_connected(), x, &[2, 2])
        });
    }
}

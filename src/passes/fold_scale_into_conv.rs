//! `fold_scale_into_conv`: a multiplication or addition after a convolution or matrix product goes into its weights and bias.
//!
//! Matches: `MUL`, `DIV`, `ADD`, `SUB` with a constant (one number, or one for each output channel) or `NEG`, on the result of
//! `CONV_2D`, `DEPTHWISE_CONV_2D`, `TRANSPOSE_CONV`, `CONV_3D`, `CONV_3D_TRANSPOSE` or `FULLY_CONNECTED` in `float32` that has no
//! activation and whose result has no other use. A `RESHAPE` that keeps the last axis may stand between; for a single number also
//! any `RESHAPE` or `TRANSPOSE`; and for a factor a `BATCH_MATMUL`: that by which attention scales its scores goes into the weights
//! of its queries.
//!
//! Makes: the same operator with other weights and another bias (a new one where there was none), and with the activation of what
//! it took in. Weights that others use are copied, unless they are large.
//!
//! Not: where weights or bias are computed, where a product is too large for `float32`, or where the scale must stay float and the
//! layer need not.
//!
//! Equal up to rounding, as a convolution is linear: products and sums are made in double precision and rounded once.

use super::affine::Affine;
use super::pattern::{Between, Replaced, emit_path, may_absorb, sweep};
use super::weights::Layer;
use crate::graph::{Activation, Evaluate, Graph, InferError, Node, Op, RewriteCx, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some(affine) = Affine::of(cx.graph(), node) else { return Ok(None) };
    let Some(Found { mut layer, path }) = layer_above(cx, &affine, affine.x) else { return Ok(None) };
    if !may_absorb(layer.node(), node) || layer.scale_outputs(cx, &affine.scale).is_none() {
        return Ok(None);
    }
    layer.shift_outputs(&affine.shift);
    layer.set_activation(affine.activation);
    let Some(value) = layer.emit(cx)? else { return Ok(None) };
    Ok(Some(vec![emit_path(cx, value, &path)?]))
}

/// A layer, and what stands between it and the scale, in order.
struct Found {
    layer: Layer,
    path: Vec<Between>,
}

/// The layer that `value` comes from, where what `affine` does to `value` may be done to the layer's result instead.
fn layer_above(cx: &RewriteCx<'_>, affine: &Affine, value: ValueId) -> Option<Found> {
    let graph = cx.graph();
    let last_axis = |id: ValueId| graph.shape(id).dims().last().copied().flatten();
    let keeps_last_axis = |x: ValueId| last_axis(x).is_some() && last_axis(x) == last_axis(value);
    let node = cx.sole_producer(value)?;
    let operands = match node.op {
        Op::Reshape if affine.is_uniform() || keeps_last_axis(node.input(0)?) => 0..1,
        Op::Transpose if affine.is_uniform() => 0..1,
        Op::BatchMatMul { .. } if affine.is_uniform() && affine.shift == [0.0] => 0..2,
        _ => {
            let layer = Layer::of(graph, node)?;
            let fits = |factors: &[f64]| factors.len() == 1 || factors.len() == layer.channels();
            let open = node.op.activation() == Some(Activation::None);
            return (open && fits(&affine.scale) && fits(&affine.shift)).then_some(Found { layer, path: Vec::new() });
        }
    };
    let mut operands = operands.filter_map(|i| Some((i, layer_above(cx, affine, node.input(i)?)?)));
    let (operand, mut found) = operands.next()?;
    found.path.push(Between { node: node.clone(), operand });
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, NetBuilder, check, conv_2d, fully_connected, unchanged, window};
    use super::run;
    use crate::graph::{Activation, Binary, InferError, Op, Padding, Precision, Unary, ValueId, Window3d};
    use crate::tensor::Tensor;

    const IMAGE: &str = "f32[1,4,4,2]";

    /// The weights and the bias of 2 channels of an operator whose output channels are the last axis of the filter (or the first),
    /// scaled by 2 and -3, and shifted by 0.5 and 1.
    fn folded(b: &mut NetBuilder<'_>, shape: &[usize], last: bool) -> (ValueId, ValueId) {
        let id = b.weights(shape);
        let weights = b.graph.constant(id).unwrap().to_f32s().unwrap();
        let len = weights.len();
        let channel = |i: usize| if last { i % 2 } else { i / (len / 2) };
        let scaled = weights.iter().enumerate().map(|(i, w)| w * [2.0, -3.0][channel(i)]).collect();
        (b.floats(shape, scaled), b.floats(&[2], vec![0.5, 1.0]))
    }

    /// `y * [2, -3] + [0.5, 1]`, as batch normalization is lowered.
    fn scale_and_shift(b: &mut NetBuilder<'_>, y: ValueId) -> Result<ValueId, InferError> {
        let scale = b.floats(&[1, 1, 2], vec![2.0, -3.0]);
        let shift = b.floats(&[2], vec![0.5, 1.0]);
        let y = b.mul(y, scale)?;
        b.one(Op::Binary(Binary::Add, Activation::Relu), &[shift, y])
    }

    #[test]
    fn convolutions_take_scale_and_shift() {
        let conv = |activation| Op::Conv2d { window: window(Padding::Same), activation };
        check(
            run,
            &[IMAGE],
            |b, x| {
                let y = b.conv(conv(Activation::None), x[0], &[2, 3, 3, 2])?;
                scale_and_shift(b, y)
            },
            |b, x| {
                let (filter, bias) = folded(b, &[2, 3, 3, 2], false);
                b.one(conv(Activation::Relu), &[x[0], filter, bias])
            },
        );
        let depthwise = |activation| Op::DepthwiseConv2d { window: window(Padding::Same), multiplier: 1, activation };
        check(
            run,
            &[IMAGE],
            |b, x| {
                let y = b.conv(depthwise(Activation::None), x[0], &[1, 3, 3, 2])?;
                scale_and_shift(b, y)
            },
            |b, x| {
                let (filter, bias) = folded(b, &[1, 3, 3, 2], true);
                b.one(depthwise(Activation::Relu), &[x[0], filter, bias])
            },
        );
        let window = Window3d { padding: Padding::Valid, stride: [1; 3], dilation: [1; 3] };
        let conv_3d = |activation| Op::Conv3d { window, activation };
        check(
            run,
            &["f32[1,2,2,2,3]"],
            |b, x| {
                let y = b.conv(conv_3d(Activation::None), x[0], &[1, 2, 2, 3, 2])?;
                scale_and_shift(b, y)
            },
            |b, x| {
                let (filter, bias) = folded(b, &[1, 2, 2, 3, 2], true);
                b.one(conv_3d(Activation::Relu), &[x[0], filter, bias])
            },
        );
    }

    #[test]
    fn transposed_convolutions_gain_a_bias() {
        let conv = |activation| Op::TransposeConv { padding: Padding::Valid, stride: [2, 2], activation };
        check(
            run,
            &["f32[1,2,2,3]"],
            |b, x| {
                let (shape, filter) = (b.ints(&[1, 4, 4, 2])?, b.weights(&[2, 2, 2, 3]));
                let y = b.one(conv(Activation::None), &[shape, filter, x[0]])?;
                scale_and_shift(b, y)
            },
            |b, x| {
                let shape = b.ints(&[1, 4, 4, 2])?;
                let (filter, bias) = folded(b, &[2, 2, 2, 3], false);
                b.one(conv(Activation::Relu), &[shape, filter, x[0], bias])
            },
        );
        let window = Window3d { padding: Padding::Valid, stride: [2; 3], dilation: [1; 3] };
        let conv = |activation| Op::Conv3dTranspose { window, activation };
        check(
            run,
            &["f32[1,1,1,1,2]"],
            |b, x| {
                let (shape, filter) = (b.ints(&[1, 1, 1, 1, 2])?, b.floats(&[1, 1, 1, 2, 2], vec![1.0, 2.0, 3.0, 4.0]));
                let y = b.one(conv(Activation::None), &[shape, filter, x[0]])?;
                scale_and_shift(b, y)
            },
            |b, x| {
                let shape = b.ints(&[1, 1, 1, 1, 2])?;
                let filter = b.floats(&[1, 1, 1, 2, 2], vec![2.0, 4.0, -9.0, -12.0]);
                let bias = b.floats(&[2], vec![0.5, 1.0]);
                b.one(conv(Activation::Relu), &[shape, filter, x[0], bias])
            },
        );
    }

    #[test]
    fn matrix_products_take_every_kind() {
        let filter = [1.0f32, 2.0, 3.0, 4.0];
        let layer = |b: &mut NetBuilder<'_>, x: ValueId, factor: f32, bias: Option<[f32; 2]>| {
            let mut inputs = vec![x, b.floats(&[2, 2], filter.iter().map(|w| w * factor).collect())];
            inputs.extend(bias.map(|bias| b.floats(&[2], bias.to_vec())));
            b.one(fully_connected(), &inputs)
        };
        type Step = fn(&mut NetBuilder<'_>, ValueId, ValueId) -> Result<ValueId, InferError>;
        let steps: [(Step, f32, Option<[f32; 2]>); 6] = [
            (|b, y, c| b.mul(c, y), 4.0, None),
            (|b, y, c| b.div(y, c), 0.25, None),
            (|b, y, c| b.add(y, c), 1.0, Some([4.0, 4.0])),
            (|b, y, c| b.sub(y, c), 1.0, Some([-4.0, -4.0])),
            (|b, y, c| b.sub(c, y), -1.0, Some([4.0, 4.0])),
            (|b, y, _| b.unary(Unary::Neg, y), -1.0, None),
        ];
        for (step, factor, bias) in steps {
            check(
                run,
                &["f32[?,3,2]"],
                |b, x| {
                    let y = layer(b, x[0], 1.0, None)?;
                    let c = b.scalar(4.0f32);
                    step(b, y, c)
                },
                |b, x| layer(b, x[0], factor, bias),
            );
        }
    }

    #[test]
    fn one_number_goes_through_reshapes_and_transposes() {
        check(
            run,
            &["f32[1,2,4]"],
            |b, x| {
                let y = b.conv(fully_connected(), x[0], &[4, 4])?;
                let y = b.reshape(y, &[1, 2, 2, 2])?;
                let y = b.transpose(y, &crate::tensor::Perm::new(vec![0, 2, 1, 3]).unwrap())?;
                let half = b.scalar(0.5f32);
                b.mul(y, half)
            },
            |b, x| {
                let id = b.weights(&[4, 4]);
                let half = b.graph.constant(id).unwrap().to_f32s().unwrap().iter().map(|w| w * 0.5).collect();
                let (filter, bias) = (b.floats(&[4, 4], half), b.floats(&[4], vec![0.0; 4]));
                let y = b.one(fully_connected(), &[x[0], filter, bias])?;
                let y = b.reshape(y, &[1, 2, 2, 2])?;
                b.transpose(y, &crate::tensor::Perm::new(vec![0, 2, 1, 3]).unwrap())
            },
        );
        // One number for each channel goes through a reshape that keeps the last axis, and through no other.
        check(
            run,
            &["f32[1,1,4,2]"],
            |b, x| {
                let y = b.conv(conv_2d(Padding::Valid), x[0], &[2, 1, 3, 2])?;
                let y = b.reshape(y, &[1, 2, 2])?;
                let shift = b.floats(&[2], vec![0.5, 1.0]);
                b.add(y, shift)
            },
            |b, x| {
                let (filter, bias) = (b.weights(&[2, 1, 3, 2]), b.floats(&[2], vec![0.5, 1.0]));
                let y = b.one(conv_2d(Padding::Valid), &[x[0], filter, bias])?;
                b.reshape(y, &[1, 2, 2])
            },
        );
        unchanged(run, &["f32[1,1,4,2]"], |b, x| {
            let y = b.conv(conv_2d(Padding::Valid), x[0], &[2, 1, 3, 2])?;
            let y = b.reshape(y, &[1, 4])?;
            let shift = b.floats(&[4], vec![0.5, 1.0, 2.0, 3.0]);
            b.add(y, shift)
        });
    }

    #[test]
    fn the_scale_of_attention_goes_into_its_queries_or_keys() {
        let product = Op::BatchMatMul { adj_x: false, adj_y: true, asymmetric_inputs: false };
        for queries in [true, false] {
            let net = |scaled: bool| {
                Net::new(&["f32[3,2]", "f32[4,2]"], |b, x| {
                    let factor = if scaled { 0.5 } else { 1.0 };
                    let filter = b.floats(&[2, 2], [1.0, 2.0, 3.0, 4.0].map(|w: f32| w * factor).to_vec());
                    let layer = b.one(fully_connected(), &[x[if queries { 0 } else { 1 }], filter])?;
                    let operands = if queries { [layer, x[1]] } else { [x[0], layer] };
                    let scores = b.one(product.clone(), &operands)?;
                    let half = b.scalar(0.5f32);
                    Ok(vec![if scaled { scores } else { b.mul(scores, half)? }])
                })
            };
            net(false).becomes(run, &net(true));
        }
        // What is added to a product is added to neither operand.
        unchanged(run, &["f32[3,2]", "f32[4,2]"], |b, x| {
            let layer = b.conv(fully_connected(), x[0], &[2, 2])?;
            let scores = b.one(product.clone(), &[layer, x[1]])?;
            let half = b.scalar(0.5f32);
            b.add(scores, half)
        });
    }

    #[test]
    fn large_shared_weights_are_not_copied() {
        let net = |outputs: usize| {
            Net::new(&["f32[2]"], |b, x| {
                let filter = b.weights(&[outputs, 2]);
                let op =
                    Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
                let scaled = b.one(op.clone(), &[x[0], filter])?;
                let half = b.scalar(0.5f32);
                let y = b.unary(Unary::Tanh, x[0])?;
                Ok(vec![b.mul(scaled, half)?, b.one(op, &[y, filter])?])
            })
        };
        assert_eq!(net(8).after(run).0, 1);
        assert_eq!(net(1 << 17).after(run).0, 0);
    }

    #[test]
    fn leaves_what_is_not_linear_or_not_alone() {
        let half = |b: &mut NetBuilder<'_>| b.scalar(0.5f32);
        // An activation in between.
        unchanged(run, &[IMAGE], |b, x| {
            let op = Op::Conv2d { window: window(Padding::Same), activation: Activation::Relu };
            let y = b.conv(op, x[0], &[2, 1, 1, 2])?;
            let half = half(b);
            b.mul(y, half)
        });
        // Another use, as an operand and as an output.
        unchanged(run, &[IMAGE], |b, x| {
            let y = b.conv(conv_2d(Padding::Same), x[0], &[2, 1, 1, 2])?;
            let half = half(b);
            let z = b.mul(y, half)?;
            b.sub(y, z)
        });
        Net::new(&[IMAGE], |b, x| {
            let y = b.conv(conv_2d(Padding::Same), x[0], &[2, 1, 1, 2])?;
            let half = half(b);
            Ok(vec![y, b.mul(y, half)?])
        })
        .unchanged_by(run);
        // A number for each pixel; a constant that makes the result larger.
        unchanged(run, &[IMAGE], |b, x| {
            let y = b.conv(conv_2d(Padding::Same), x[0], &[2, 1, 1, 2])?;
            let mask = b.weights(&[4, 4, 1]);
            b.mul(y, mask)
        });
        unchanged(run, &["f32[1,4,4,2]"], |b, x| {
            let y = b.conv(conv_2d(Padding::Same), x[0], &[1, 1, 1, 2])?;
            let scale = b.floats(&[2], vec![2.0, 3.0]);
            b.mul(y, scale)
        });
        // Weights that are computed; infinite factors; a constant divided by the result.
        unchanged(run, &["f32[3,2]", "f32[2,2]"], |b, x| {
            let y = b.one(fully_connected(), x)?;
            let half = half(b);
            b.mul(y, half)
        });
        unchanged(run, &[IMAGE], |b, x| {
            let y = b.conv(conv_2d(Padding::Same), x[0], &[2, 1, 1, 2])?;
            let zero = b.scalar(0.0f32);
            b.div(y, zero)
        });
        unchanged(run, &[IMAGE], |b, x| {
            let y = b.conv(conv_2d(Padding::Same), x[0], &[2, 1, 1, 2])?;
            let half = half(b);
            b.div(half, y)
        });
        // One may be quantized, the other not.
        unchanged(run, &[IMAGE], |b, x| {
            let y = b.conv(conv_2d(Padding::Same), x[0], &[2, 1, 1, 2])?;
            let half = half(b);
            b.set_precision(Precision::Float);
            b.mul(y, half)
        });
    }

    #[test]
    fn a_bias_is_enough_where_only_something_is_added() {
        check(
            run,
            &["f32[3,2]", "f32[2,2]"],
            |b, x| {
                let y = b.one(fully_connected(), x)?;
                let shift = b.floats(&[1, 2], vec![0.5, 1.0]);
                b.add(y, shift)
            },
            |b, x| {
                let bias = b.constant(Tensor::vector(vec![0.5f32, 1.0]));
                b.one(fully_connected(), &[x[0], x[1], bias])
            },
        );
    }
}

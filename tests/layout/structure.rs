//! How many transposes are left of the architectures of the field.

use litesmith::graph::{Binary, Dim, Op, Quant, Reduce, Unary, ValueId};
use litesmith::tensor::{DType, Perm, Tensor};

use crate::support::{Net, count, float_graph, graph, known, optimized, transposes};

/// All transposes but those named are gone.
fn assert_left(graph: &litesmith::graph::Graph, left: usize) -> litesmith::graph::Graph {
    let (after, _) = optimized(graph);
    assert_eq!(transposes(&after), left, "{after}");
    after
}

fn inverted_residual(net: &mut Net<'_>, x: ValueId) -> ValueId {
    let channels = net.dims(x)[1];
    let y = net.conv_bn_relu(x, 3 * channels, 1, 1);
    let y = net.depthwise(y, 1);
    let y = net.batch_norm(y);
    let y = net.relu(y);
    let y = net.conv(y, channels, 1, 1);
    let y = net.batch_norm(y);
    net.b.add(x, y).unwrap()
}

#[test]
fn inverted_residuals_and_a_classifier() {
    let before = float_graph(&[1, 3, 16, 16], |net, x| {
        let mut x = net.conv_bn_relu(x, 4, 3, 2);
        for _ in 0..3 {
            x = inverted_residual(net, x);
        }
        let x = net.global_pool(x);
        let x = net.reshape(x, &[1, 4]);
        net.dense(x, 5)
    });
    let after = assert_left(&before, 1);
    assert!(count(&after, "RESHAPE") <= 1, "{after}");
}

#[test]
fn squeeze_and_excitation() {
    let before = float_graph(&[1, 4, 8, 8], |net, x| {
        let x = net.conv(x, 6, 3, 1);
        let s = net.global_pool(x);
        let s = net.conv_bn_relu(s, 2, 1, 1);
        let s = net.conv(s, 6, 1, 1);
        let s = net.b.unary(Unary::Relu0To1, s).unwrap();
        let x = net.b.mul(x, s).unwrap();
        let x = net.conv(x, 4, 1, 1);
        net.global_pool(x)
    });
    let after = assert_left(&before, 1);
    assert_eq!(count(&after, "RESHAPE"), 1, "for the output alone\n{after}");
}

#[test]
fn squeeze_and_excitation_with_dense_layers() {
    let before = float_graph(&[1, 4, 8, 8], |net, x| {
        let x = net.conv(x, 6, 3, 1);
        let s = net.b.reduce(Reduce::Max, x, &[2, 3], false).unwrap();
        let s = net.dense(s, 3);
        let s = net.relu(s);
        let s = net.dense(s, 6);
        let s = net.reshape(s, &[1, 6, 1, 1]);
        let x = net.b.mul(x, s).unwrap();
        let x = net.conv(x, 4, 1, 1);
        net.global_pool(x)
    });
    assert_left(&before, 1);
}

#[test]
fn channel_shuffles_go_into_filters() {
    let before = float_graph(&[1, 4, 8, 8], |net, x| {
        let x = net.conv(x, 6, 3, 1);
        let parts = net.b.ints(&[1]).unwrap();
        let halves = net.b.emit(Op::Split { parts: 2 }, &[Some(parts), Some(x)]);
        let halves = halves.unwrap();
        let y = net.conv_bn_relu(halves[1], 3, 3, 1);
        let x = net.b.concat(&[halves[0], y], 1).unwrap();
        let x = net.reshape(x, &[1, 2, 3, 8, 8]);
        let x = net.transpose(x, &[0, 2, 1, 3, 4]);
        let x = net.reshape(x, &[1, 6, 8, 8]);
        let x = net.depthwise(x, 1);
        let x = net.conv(x, 3, 1, 1);
        net.global_pool(x)
    });
    // The filters are shuffled instead of the data.
    assert_left(&before, 1);
    let split_after = float_graph(&[1, 4, 8, 8], |net, x| {
        let x = net.depthwise(x, 1);
        let x = net.reshape(x, &[1, 2, 2, 8, 8]);
        let x = net.transpose(x, &[0, 2, 1, 3, 4]);
        let x = net.reshape(x, &[1, 4, 8, 8]);
        let axis = net.b.scalar(1i32);
        let halves = net.b.emit(Op::Split { parts: 2 }, &[Some(axis), Some(x)]).unwrap();
        let y = net.conv(halves[0], 2, 3, 1);
        let y = net.b.add(y, halves[1]).unwrap();
        net.global_pool(y)
    });
    // Here too, back through the depthwise filter to the input.
    assert_left(&split_after, 1);
}

#[test]
fn unet() {
    let before = float_graph(&[1, 3, 16, 16], |net, x| {
        let a = net.conv_bn_relu(x, 4, 3, 1);
        let b = net.max_pool(a);
        let b = net.conv_bn_relu(b, 8, 3, 1);
        let c = net.max_pool(b);
        let c = net.conv_bn_relu(c, 8, 3, 1);
        let c = net.upsample(c);
        let b = net.b.concat(&[b, c], 1).unwrap();
        let b = net.conv_bn_relu(b, 4, 3, 1);
        let b = net.upsample(b);
        let a = net.b.concat(&[a, b], 1).unwrap();
        net.conv(a, 2, 1, 1)
    });
    let after = assert_left(&before, 2);
    assert_eq!(after.nodes.last().unwrap().op, Op::Transpose);
}

#[test]
fn anchor_heads() {
    let head = |net: &mut Net<'_>, x: ValueId| {
        let size = net.dims(x)[2] as i64;
        let x = net.conv(x, 3 * 7, 1, 1);
        let x = net.reshape(x, &[1, 3, 7, size, size]);
        let x = net.transpose(x, &[0, 1, 3, 4, 2]);
        let x = net.b.unary(Unary::Relu0To1, x).unwrap();
        let grid = net.weights(&[1, 1, size as usize, size as usize, 2]);
        let xy = net.b.slice(x, &[0; 5], &[1, 3, size, size, 2]).unwrap();
        let xy = net.b.add(xy, grid).unwrap();
        let rest = net.b.slice(x, &[0, 0, 0, 0, 2], &[1, 3, size, size, 5]).unwrap();
        let x = net.b.concat(&[xy, rest], 4).unwrap();
        net.reshape(x, &[1, 3 * size * size, 7])
    };
    let before = float_graph(&[1, 3, 8, 8], |net, x| {
        let x = net.conv_bn_relu(x, 4, 3, 1);
        let y = net.conv_bn_relu(x, 4, 3, 2);
        let heads = [head(net, x), head(net, y)];
        net.b.concat(&heads, 1).unwrap()
    });
    // One at the input, and one for each head, whose places come before its anchors.
    assert_left(&before, 3);
}

#[test]
fn distribution_focal_head() {
    let before = float_graph(&[1, 4, 4, 4], |net, x| {
        let x = net.conv_bn_relu(x, 8, 3, 1);
        let y = net.conv_bn_relu(x, 8, 3, 2);
        let heads = [x, y].map(|x| {
            let places = (net.dims(x)[2] * net.dims(x)[3]) as i64;
            let x = net.conv(x, 4 * 5 + 3, 1, 1);
            net.reshape(x, &[1, 23, places])
        });
        let x = net.b.concat(&heads, 2).unwrap();
        let places = 16 + 4;
        let box_ = net.b.slice(x, &[0, 0, 0], &[1, 20, places]).unwrap();
        let class = net.b.slice(x, &[0, 20, 0], &[1, 3, places]).unwrap();
        let class = net.b.unary(Unary::Relu0To1, class).unwrap();
        let box_ = net.reshape(box_, &[1, 4, 5, places]);
        let box_ = net.transpose(box_, &[0, 2, 1, 3]);
        let box_ = net.conv(box_, 1, 1, 1);
        let box_ = net.reshape(box_, &[1, 4, places]);
        let anchors = net.weights(&[1, 4, places as usize]);
        let box_ = net.b.add(box_, anchors).unwrap();
        net.b.concat(&[box_, class], 1).unwrap()
    });
    // Input and output: in between all is places by channels.
    assert_left(&before, 2);
}

#[test]
fn flatten_and_dense() {
    let before = float_graph(&[2, 3, 8, 8], |net, x| {
        let x = net.conv_bn_relu(x, 4, 3, 2);
        let x = net.reshape(x, &[2, 64]);
        let x = net.relu(x);
        let scale = net.weights(&[64]);
        let x = net.b.mul(x, scale).unwrap();
        let x = net.dense(x, 6);
        net.dense(x, 3)
    });
    assert_left(&before, 1);
}

#[test]
fn dense_and_unflatten() {
    let before = float_graph(&[2, 5], |net, x| {
        let x = net.dense(x, 64);
        let x = net.relu(x);
        let x = net.reshape(x, &[2, 4, 4, 4]);
        let x = net.upsample(x);
        let x = net.conv_bn_relu(x, 3, 3, 1);
        net.conv(x, 1, 3, 1)
    });
    let after = assert_left(&before, 0);
    assert_eq!(count(&after, "RESHAPE"), 2, "of one channel, only the shape changes\n{after}");
}

#[test]
fn group_normalization() {
    let before = float_graph(&[1, 3, 4, 4], |net, x| {
        let x = net.conv(x, 6, 3, 1);
        let grouped = net.reshape(x, &[1, 2, 48]);
        let greatest = net.b.reduce(Reduce::Max, grouped, &[2], true).unwrap();
        let centered = net.b.sub(grouped, greatest).unwrap();
        let square = net.b.unary(Unary::Square, centered).unwrap();
        let least = net.b.reduce(Reduce::Min, square, &[2], true).unwrap();
        let x = net.b.mul(centered, least).unwrap();
        let x = net.reshape(x, &[1, 6, 4, 4]);
        let x = net.batch_norm(x);
        let x = net.conv(x, 3, 3, 1);
        net.global_pool(x)
    });
    assert_left(&before, 1);
}

#[test]
fn a_channel_shuffle_is_one_transpose() {
    let before = float_graph(&[1, 4, 8, 8], |net, x| {
        let x = net.conv(x, 4, 3, 1);
        let y = net.max_pool(x);
        let y = net.upsample(y);
        let x = net.b.concat(&[x, y], 1).unwrap();
        let x = net.reshape(x, &[1, 2, 4, 8, 8]);
        let x = net.transpose(x, &[0, 2, 1, 3, 4]);
        let x = net.reshape(x, &[1, 8, 8, 8]);
        let axis = net.b.scalar(1i32);
        let halves = net.b.emit(Op::Split { parts: 2 }, &[Some(axis), Some(x)]).unwrap();
        let y = net.conv(halves[0], 4, 1, 1);
        let y = net.b.add(y, halves[1]).unwrap();
        net.global_pool(y)
    });
    let after = assert_left(&before, 2);
    let shuffle = after.nodes.iter().rfind(|n| n.op == Op::Transpose).unwrap();
    assert_eq!(after.const_ints(shuffle.input(1).unwrap()).unwrap().len(), 3, "of as few axes as can be\n{after}");
}

#[test]
fn layer_normalization_over_channels() {
    let before = float_graph(&[1, 3, 4, 4], |net, x| {
        let x = net.conv(x, 6, 3, 1);
        let last = net.transpose(x, &[0, 2, 3, 1]);
        let greatest = net.b.reduce(Reduce::Max, last, &[3], true).unwrap();
        let y = net.b.sub(last, greatest).unwrap();
        let y = net.dense(y, 6);
        let y = net.relu(y);
        let y = net.transpose(y, &[0, 3, 1, 2]);
        let x = net.b.add(x, y).unwrap();
        let x = net.conv(x, 2, 1, 1);
        net.global_pool(x)
    });
    assert_left(&before, 1);
}

#[test]
fn instance_normalization_with_residuals() {
    let before = float_graph(&[1, 3, 8, 8], |net, x| {
        let norm = |net: &mut Net<'_>, x: ValueId| {
            let greatest = net.b.reduce(Reduce::Max, x, &[2, 3], true).unwrap();
            let centered = net.b.sub(x, greatest).unwrap();
            let square = net.b.unary(Unary::Square, centered).unwrap();
            let least = net.b.reduce(Reduce::Min, square, &[2, 3], true).unwrap();
            let x = net.b.mul(centered, least).unwrap();
            net.batch_norm(x)
        };
        let x = net.conv(x, 4, 3, 1);
        let mut x = norm(net, x);
        for _ in 0..4 {
            let y = net.conv(x, 4, 3, 1);
            let y = norm(net, y);
            x = net.b.add(x, y).unwrap();
            x = net.b.binary(Binary::Minimum, x, y).unwrap();
        }
        net.global_pool(x)
    });
    assert_left(&before, 1);
}

/// Queries, keys and values by one product; keys transposed as exporters do.
fn attention(net: &mut Net<'_>, x: ValueId, heads: i64) -> ValueId {
    let (tokens, width) = (net.dims(x)[1] as i64, net.dims(x)[2] as i64);
    let split = |net: &mut Net<'_>, x: ValueId, axes: &[usize]| {
        let x = net.dense(x, width as usize);
        let x = net.reshape(x, &[1, tokens, heads, width / heads]);
        net.transpose(x, axes)
    };
    let q = split(net, x, &[0, 2, 1, 3]);
    let k = split(net, x, &[0, 2, 3, 1]);
    let v = split(net, x, &[0, 2, 1, 3]);
    let scores = net.matmul(q, k);
    let scores = net.relu(scores);
    let y = net.matmul(scores, v);
    let y = net.transpose(y, &[0, 2, 1, 3]);
    let y = net.reshape(y, &[1, tokens, width]);
    net.dense(y, width as usize)
}

#[test]
fn attention_gets_no_worse() {
    let before = float_graph(&[1, 6, 8], |net, x| {
        let y = attention(net, x, 2);
        let x = net.b.add(x, y).unwrap();
        attention(net, x, 4)
    });
    assert_left(&before, 8);
}

#[test]
fn attention_with_one_product_keeps_its_one_transpose() {
    let before = float_graph(&[1, 6, 8], |net, x| {
        let x = net.dense(x, 24);
        let x = net.reshape(x, &[1, 6, 3, 2, 4]);
        let x = net.transpose(x, &[2, 0, 3, 1, 4]);
        let parts = net.b.emit(Op::Unpack { axis: 0, parts: 3 }, &[Some(x)]).unwrap();
        let k = net.transpose(parts[1], &[0, 1, 3, 2]);
        let scores = net.matmul(parts[0], k);
        net.matmul(scores, parts[2])
    });
    let after = assert_left(&before, 1);
    assert_eq!(after.nodes.iter().filter(|n| matches!(n.op, Op::BatchMatMul { adj_y: true, .. })).count(), 1);
}

#[test]
fn attention_over_places_of_an_image() {
    let before = float_graph(&[1, 4, 4, 4], |net, x| {
        let x = net.conv(x, 8, 3, 1);
        let flat = net.reshape(x, &[1, 8, 16]);
        let tokens = net.transpose(flat, &[0, 2, 1]);
        let scores = net.matmul(tokens, flat);
        let y = net.matmul(flat, scores);
        let y = net.reshape(y, &[1, 8, 4, 4]);
        let y = net.conv(y, 4, 1, 1);
        net.global_pool(y)
    });
    // Products take their operands and give their results either way.
    assert_left(&before, 1);
}

#[test]
fn patch_embedding() {
    let before = float_graph(&[1, 3, 8, 8], |net, x| {
        let x = net.conv(x, 8, 2, 2);
        let x = net.reshape(x, &[1, 8, 16]);
        let x = net.transpose(x, &[0, 2, 1]);
        let class = net.weights(&[1, 1, 8]);
        let x = net.b.concat(&[class, x], 1).unwrap();
        let position = net.weights(&[1, 17, 8]);
        let x = net.b.add(x, position).unwrap();
        net.dense(x, 4)
    });
    assert_left(&before, 1);
}

#[test]
fn channels_last_models_with_transposes_around_them() {
    let before = float_graph(&[1, 8, 8, 3], |net, x| {
        let x = net.transpose(x, &[0, 3, 1, 2]);
        let x = net.conv_bn_relu(x, 4, 3, 2);
        let x = inverted_residual(net, x);
        net.transpose(x, &[0, 2, 3, 1])
    });
    let after = assert_left(&before, 0);
    assert_eq!(count(&after, "RESHAPE"), 0);
}

#[test]
fn pixel_shuffles() {
    // Depth to space with the block outside (DCR): the lowering's own operator.
    let dcr = float_graph(&[1, 3, 4, 4], |net, x| {
        let x = net.conv(x, 12, 3, 1);
        let x = net.spatial(x, |net, x| net.op(Op::DepthToSpace { block: 2 }, &[x]));
        let x = net.conv(x, 2, 1, 1);
        net.global_pool(x)
    });
    assert_left(&dcr, 1);
    // With the block inside (CRD), the channels are put in order first: the convolution's filter can be.
    let crd = float_graph(&[1, 3, 4, 4], |net, x| {
        let x = net.conv(x, 12, 3, 1);
        let x = net.relu(x);
        let x = net.reshape(x, &[1, 3, 4, 4, 4]);
        let x = net.transpose(x, &[0, 2, 1, 3, 4]);
        let x = net.reshape(x, &[1, 12, 4, 4]);
        let x = net.spatial(x, |net, x| net.op(Op::DepthToSpace { block: 2 }, &[x]));
        let x = net.conv(x, 2, 1, 1);
        net.global_pool(x)
    });
    assert_left(&crd, 1);
    // Or written out.
    let plain = float_graph(&[1, 3, 4, 4], |net, x| {
        let x = net.conv(x, 12, 3, 1);
        let x = net.reshape(x, &[1, 3, 2, 2, 4, 4]);
        let x = net.transpose(x, &[0, 1, 4, 2, 5, 3]);
        let x = net.reshape(x, &[1, 3, 8, 8]);
        let x = net.conv(x, 2, 1, 1);
        net.global_pool(x)
    });
    assert_left(&plain, 2);
}

#[test]
fn softmax_over_channels() {
    let before = float_graph(&[1, 3, 4, 4], |net, x| {
        let x = net.conv(x, 4, 3, 1);
        let x = net.spatial(x, |net, x| net.op(Op::Softmax { beta: 1.0 }, &[x]));
        let axis = net.b.ints(&[1]).unwrap();
        net.op(Op::ArgMax { to: DType::I64 }, &[x, axis])
    });
    assert_left(&before, 1);
}

#[test]
fn bytes_are_transposed_before_they_are_floats() {
    let before = graph(&[(&known(&[1, 3, 8, 8]), DType::U8)], |net, inputs| {
        let x = net.b.cast(inputs[0], DType::F32).unwrap();
        let half = net.b.scalar(4.0f32);
        let x = net.b.sub(x, half).unwrap();
        let x = net.conv(x, 4, 3, 1);
        net.global_pool(x)
    });
    let (after, summary) = optimized(&before);
    assert_eq!((summary.after.operators, summary.after.bytes), (1, 3 * 64), "{after}");
}

#[test]
fn small_values_are_transposed_before_they_grow() {
    let before = float_graph(&[1, 4, 2, 2], |net, x| {
        let many = net.b.ints(&[1, 1, 4, 4]).unwrap();
        let x = net.op(Op::Tile, &[x, many]);
        let x = net.relu(x);
        let x = net.conv(x, 4, 3, 1);
        net.global_pool(x)
    });
    let (after, summary) = optimized(&before);
    assert_eq!((summary.after.operators, summary.after.bytes), (1, 4 * 16), "{after}");
}

#[test]
fn two_users_share_a_transpose() {
    let before = float_graph(&[1, 4, 4, 4], |net, x| {
        let a = net.conv(x, 4, 3, 1);
        let b = net.conv(x, 4, 1, 1);
        let c = net.b.mul(a, b).unwrap();
        net.global_pool(c)
    });
    assert_left(&before, 1);
}

#[test]
fn transposes_of_size_one_axes_are_reshapes() {
    let before = float_graph(&[1, 1, 28, 28], |net, x| {
        let x = net.conv(x, 1, 3, 1);
        net.relu(x)
    });
    assert_left(&before, 0);
}

#[test]
fn unknown_batch() {
    let dims: Vec<Dim> = vec![None, Some(3), Some(8), Some(8)];
    let before = graph(&[(&dims, DType::F32)], |net, inputs| {
        let x = net.conv_bn_relu(inputs[0], 4, 3, 2);
        let y = net.conv(x, 4, 3, 1);
        let x = net.b.add(x, y).unwrap();
        let x = net.reshape(x, &[-1, 64]);
        let (weights, bias) = (net.weights(&[5, 64]), net.weights(&[5]));
        let (keep_num_dims, asymmetric_inputs, activation) = (false, false, Default::default());
        net.op(Op::FullyConnected { keep_num_dims, asymmetric_inputs, activation }, &[x, weights, bias])
    });
    assert_left(&before, 1);
}

#[test]
fn unknown_height_and_width() {
    let dims: Vec<Dim> = vec![None, Some(3), None, None];
    let before = graph(&[(&dims, DType::F32)], |net, inputs| {
        let x = net.conv_bn_relu(inputs[0], 4, 3, 1);
        // As large as the input is, found at run time.
        let shape = net.op(Op::Shape { to: DType::I32 }, &[x]);
        let size = net.b.slice(shape, &[2], &[2]).unwrap();
        let y = net.conv(x, 4, 3, 2);
        let op = Op::ResizeNearest { align_corners: false, half_pixel_centers: false };
        let y = net.spatial(y, |net, y| net.op(op, &[y, size]));
        let x = net.b.concat(&[x, y], 1).unwrap();
        net.b.reduce(Reduce::Max, x, &[2, 3], false).unwrap()
    });
    let after = assert_left(&before, 1);
    assert_eq!(count(&after, "GATHER"), 1, "the shape is put in order, not the data\n{after}");
}

#[test]
fn names_and_provenance_stay() {
    let mut before = float_graph(&[1, 3, 8, 8], |net, x| {
        let x = net.conv(x, 4, 3, 1);
        let x = net.relu(x);
        let x = net.conv(x, 2, 3, 1);
        net.global_pool(x)
    });
    let origin = before.add_origin(litesmith::graph::Origin { name: "first".into(), op: "Conv".into() });
    let convs: Vec<usize> = (0..before.nodes.len()).filter(|&i| before.nodes[i].op.name() == "CONV_2D").collect();
    before.nodes[convs[0]].origin = Some(origin);
    before.nodes[convs[1]].precision = litesmith::graph::Precision::Float;
    let name = |graph: &litesmith::graph::Graph, node: usize| graph.value(graph.nodes[node].outputs[0]).name.clone();
    let relu = (0..before.nodes.len()).find(|&i| before.nodes[i].op.name() == "RELU6").unwrap();
    let id = before.nodes[relu].outputs[0];
    before.value_mut(id).name = "activated".into();

    let (after, _) = optimized(&before);
    let find = |what: &str| (0..after.nodes.len()).filter(|&i| after.nodes[i].op.name() == what).collect::<Vec<_>>();
    let convs_after = find("CONV_2D");
    assert_eq!(after.nodes[convs_after[0]].origin, Some(origin));
    assert_eq!(after.nodes[convs_after[1]].precision, litesmith::graph::Precision::Float);
    assert_eq!(name(&after, convs_after[0]), name(&before, convs[0]), "its shape is as it was");
    assert_eq!(name(&after, find("RELU6")[0]), "activated/nhwc");
}

#[test]
fn outputs_that_become_one_value_keep_their_names() {
    let mut before = float_graph(&[1, 3, 4, 4], |net, x| {
        let y = net.transpose(x, &[0, 2, 3, 1]);
        net.transpose(y, &[0, 3, 1, 2])
    });
    let (input, inner) = (before.inputs[0], before.nodes[0].outputs[0]);
    before.value_mut(inner).name = "inner".into();
    before.outputs.push(inner);
    before.outputs.push(input);
    let after = assert_left(&before, 1);
    assert_eq!(after.outputs.len(), 3);
    assert_eq!(after.outputs[2], after.inputs[0]);
}

#[test]
fn quantized_values_move_with_their_scales() {
    let mut before = graph(&[(&known(&[1, 3, 4, 4]), DType::I8)], |net, inputs| {
        let x = net.transpose(inputs[0], &[0, 2, 3, 1]);
        let x = net.op(Op::Dequantize, &[x]);
        let x = net.transpose(x, &[0, 3, 1, 2]);
        let filter = net.b.constant(Tensor::from_vec(&[2, 1, 1, 3], vec![1i8, 2, 3, 4, 5, 6]));
        let filter = net.op(Op::Dequantize, &[filter]);
        let bias = net.weights(&[2]);
        let op = Op::Conv2d {
            window: litesmith::graph::Window2d {
                padding: litesmith::graph::Padding::Valid,
                stride: [1; 2],
                dilation: [1; 2],
            },
            activation: Default::default(),
        };
        let x = net.spatial(x, |net, x| net.op(op, &[x, filter, bias]));
        net.global_pool(x)
    });
    let per_axis = Quant::Affine { scale: vec![1.0, 2.0], zero_point: vec![0, 0], axis: 0 };
    for index in 0..before.values.len() {
        let value = &mut before.values[index];
        if value.ty.dtype == DType::I8 {
            let of_filter = value.data.is_some();
            value.quant = Some(if of_filter { per_axis.clone() } else { Quant::per_tensor(0.5, 1) });
        }
    }
    let after = assert_left(&before, 1);
    let quantized = |v: &&litesmith::graph::Value| v.ty.dtype == DType::I8 && v.data.is_none();
    assert!(after.values.iter().filter(quantized).all(|v| v.quant == Some(Quant::per_tensor(0.5, 1))));
}

#[test]
fn densely_connected_layers() {
    let before = float_graph(&[1, 3, 4, 4], |net, x| {
        let mut features = vec![net.conv(x, 2, 3, 1)];
        for _ in 0..24 {
            let x = net.b.concat(&features, 1).unwrap();
            let x = net.batch_norm(x);
            let x = net.relu(x);
            let x = net.conv(x, 4, 1, 1);
            let x = net.relu(x);
            features.push(net.conv(x, 2, 3, 1));
        }
        let x = net.b.concat(&features, 1).unwrap();
        net.global_pool(x)
    });
    assert_left(&before, 1);
}

/// Every resolution is mixed with every other, again and again.
#[test]
fn high_resolution_network() {
    let before = float_graph(&[1, 3, 16, 16], |net, x| {
        let x = net.conv(x, 3, 3, 1);
        let y = net.conv(x, 3, 3, 2);
        let z = net.conv(y, 3, 3, 2);
        let mut streams = vec![x, y, z];
        for _ in 0..4 {
            let size = |net: &Net<'_>, x: ValueId| net.dims(x)[2];
            let mut mixed = Vec::new();
            for &to in &streams {
                let mut sum = to;
                for &from in streams.iter().filter(|&&from| from != to) {
                    let mut x = net.conv(from, 3, 1, 1);
                    while size(net, x) < size(net, to) {
                        x = net.upsample(x);
                    }
                    while size(net, x) > size(net, to) {
                        x = net.conv(x, 3, 3, 2);
                    }
                    sum = net.b.add(sum, x).unwrap();
                }
                mixed.push(net.relu(sum));
            }
            streams = mixed;
        }
        let pooled: Vec<ValueId> = streams.iter().map(|&x| net.global_pool(x)).collect();
        net.b.concat(&pooled, 1).unwrap()
    });
    assert_left(&before, 1);
}

/// Normalization of one group leaves single elements between values of more axes than the model's.
#[test]
fn one_dimensional_networks_keep_their_shapes() {
    let before = float_graph(&[1, 4, 1, 16], |net, x| {
        let conv = |net: &mut Net<'_>, x: ValueId| {
            let x = net.reshape(x, &[1, 4, 1, 16]);
            let x = net.conv(x, 4, 1, 1);
            net.reshape(x, &[1, 4, 16])
        };
        let mut x = conv(net, x);
        for _ in 0..3 {
            let flat = net.reshape(x, &[1, 1, 64]);
            let greatest = net.b.reduce(Reduce::Max, flat, &[2], true).unwrap();
            let greatest = net.relu(greatest);
            let flat = net.b.sub(flat, greatest).unwrap();
            x = net.reshape(flat, &[1, 4, 16]);
            let scale = net.weights(&[4, 1]);
            x = net.b.mul(x, scale).unwrap();
            x = conv(net, x);
        }
        net.b.reduce(Reduce::Max, x, &[2], false).unwrap()
    });
    let after = assert_left(&before, 1);
    assert!(count(&after, "RESHAPE") <= 2, "{after}");
}

#[test]
fn long_chains_take_linear_time() {
    let before = float_graph(&[1, 2, 3, 4], |net, mut x| {
        for i in 0..4000 {
            let y = net.transpose(x, Perm::to_channels_last(4).axes());
            let y = net.b.unary(Unary::Relu6, y).unwrap();
            let y = net.transpose(y, Perm::to_channels_first(4).axes());
            x = if i % 2 == 0 { y } else { net.b.add(x, y).unwrap() };
        }
        x
    });
    assert!(before.nodes.len() > 13_000);
    let start = std::time::Instant::now();
    let mut after = before.clone();
    let summary = litesmith::layout::optimize(&mut after).unwrap();
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    assert_eq!(summary.after.operators, 0);
}

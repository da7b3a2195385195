//! Weights, biases, second operands, tables.

use super::*;
use crate::graph::Quant;

const IMAGE: [usize; 4] = [1, 4, 4, 2];

#[test]
fn a_constant_is_written_once_for_each_scale_that_wants_it() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let (a, b) = (net.conv(x, "a", (-1.0, 1.0)), net.conv(x, "b", (-2.0, 2.0)));
    let c = net.constant(&[1, 4, 4, 2], vec![0.5; 32]);
    let sum = net.binary(Binary::Add, a, c, "sum", (-0.5, 1.5));
    let product = net.binary(Binary::Mul, b, c, "product", (-1.0, 1.0));
    let wide = net.op(Op::Concatenation { axis: 3 }, &[sum, c], "wide", (-0.5, 1.5));
    let narrow = net.op(Op::Concatenation { axis: 3 }, &[product, c], "narrow", (-1.0, 1.0));
    let int8 = net.quantize(&[wide, narrow]);
    let constant = |op: &str| int8.graph.nodes.iter().find(|n| n.op.name() == op).unwrap().input(1).unwrap();
    assert_eq!(constant("ADD"), constant("MUL"), "both take the constant's own scale");
    assert_eq!(int8.params(constant("ADD")), (0.5 / 255.0, -128));
    let joined: Vec<ValueId> =
        int8.graph.nodes.iter().filter(|n| n.op.name() == "CONCATENATION").filter_map(|n| n.input(1)).collect();
    assert_eq!(int8.params(joined[0]), int8.params(int8.named("wide_quantized")));
    assert_eq!(int8.params(joined[1]), int8.params(int8.named("narrow_quantized")));
    assert_eq!(int8.conversions(), (1, 0, 2));
}

#[test]
fn weights_used_twice_are_stored_once_and_biases_follow_the_data() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let weights = net.constant(&[2, 1, 1, 2], vec![0.5, -1.0, 0.25, 0.125]);
    let bias = net.constant(&[2], vec![0.1, -0.2]);
    let a = net.op(conv_op(), &[x, weights, bias], "a", (-8.0, 8.0));
    let b = net.op(conv_op(), &[a, weights, bias], "b", (-8.0, 8.0));
    let int8 = net.quantize(&[b]);
    let convs: Vec<&Node> = int8.graph.nodes.iter().filter(|n| n.op.name() == "CONV_2D").collect();
    assert_eq!(convs[0].input(1), convs[1].input(1));
    assert_ne!(convs[0].input(2), convs[1].input(2));
    let Some(Quant::Affine { scale, axis, .. }) = &int8.graph.value(convs[0].input(1).unwrap()).quant else { panic!() };
    assert_eq!((scale.as_slice(), *axis), ([1.0 / 127.0, 0.25 / 127.0].as_slice(), 0));
}

#[test]
fn a_bias_out_of_reach_is_reported() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (0.0, 1e-6));
    let weights = net.constant(&[2, 1, 1, 2], vec![1e-3, 1e-3, 1.0, 1.0]);
    let bias = net.constant(&[2], vec![300.0, 0.0]);
    let y = net.op(conv_op(), &[x, weights, bias], "y", (0.0, 300.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.report.raised, [RaisedScale { value: "y".into(), channels: vec![0] }]);
    let bias = int8.node("CONV_2D").input(2).unwrap();
    let Some(Quant::Affine { scale, .. }) = &int8.graph.value(bias).quant else { panic!() };
    let stored = int8.graph.const_ints(bias).unwrap()[0];
    assert!((stored as f64 * f64::from(scale[0]) - 300.0).abs() < 1e-3);
}

#[test]
fn depthwise_weights_have_their_channels_last() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let weights = net.constant(&[1, 1, 2, 2], vec![0.127, 12.7, -0.1, 1.0]);
    let bias = net.constant(&[2], vec![0.0, 0.0]);
    let window = Window2d { padding: Padding::Valid, stride: [1, 1], dilation: [1, 1] };
    let op = Op::DepthwiseConv2d { window, multiplier: 1, activation: Activation::Relu6 };
    let y = net.op(op, &[x, weights, bias], "y", (0.0, 6.0));
    let int8 = net.quantize(&[y]);
    let weights = int8.node("DEPTHWISE_CONV_2D").input(1).unwrap();
    let Some(Quant::Affine { scale, axis, .. }) = &int8.graph.value(weights).quant else { panic!() };
    assert_eq!((scale.as_slice(), *axis), ([0.001, 0.1].as_slice(), 3));
    assert_eq!(int8.graph.const_ints(weights).unwrap(), [127, 127, -100, 10]);
}

#[test]
fn weights_computed_at_run_time_keep_their_layer_float() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let weights = net.input("weights", &[2, 1, 1, 2], (-1.0, 1.0));
    let bias = net.constant(&[2], vec![0.0, 0.0]);
    let y = net.op(conv_op(), &[x, weights, bias], "y", (-2.0, 2.0));
    let int8 = net.quantize(&[y]);
    assert!(int8.reason("y").contains("run time"));
}

#[test]
fn matrix_products_have_one_scale_an_operand() {
    let mut net = Net::new();
    let x = net.input("x", &[2, 3, 4], (-1.0, 2.0));
    let y = net.input("y", &[2, 4, 3], (0.0, 2.0));
    let constant = net.constant(&[4, 5], (0..20).map(|i| i as f32).collect());
    let product = || Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false };
    let a = net.op(product(), &[x, y], "a", (-4.0, 4.0));
    let b = net.op(product(), &[x, constant], "b", (-40.0, 40.0));
    let int8 = net.quantize(&[a, b]);
    assert_eq!(int8.report.int8, 2);
    let constant = int8.graph.nodes.iter().filter_map(|n| n.input(1)).find(|&id| int8.graph.constant(id).is_some());
    assert_eq!(int8.params(constant.unwrap()), (19.0 / 127.0, 0), "XNNPACK wants zero at 0 here");
}

#[test]
fn look_ups_in_large_tables_are_int8_even_before_float() {
    let net = |rows: usize| {
        let mut net = Net::new();
        let table = net.constant(&[rows, 4], (0..rows * 4).map(|i| i as f32).collect());
        let ids = net.graph.add_input("ids", Type::new(DType::I32, Shape::fixed(&[3])));
        let row = net.op(Op::Gather { axis: 0, batch_dims: 0 }, &[table, ids], "row", (0.0, 7.0));
        let y = net.unary(Unary::Sin, row, "y", (-1.0, 1.0));
        net.quantize(&[y])
    };
    let large = net(512);
    assert_eq!(large.ops(), ["GATHER", "DEQUANTIZE", "SIN"]);
    let max = (512 * 4 - 1) as f32;
    assert_eq!(large.scale("row"), max / 255.0, "rows that calibration did not look up count too");
    assert_eq!(net(2).ops(), ["GATHER", "SIN"]);
}

#[test]
fn weights_that_are_not_numbers_are_an_error() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let weights = net.constant(&[2, 1, 1, 2], vec![f32::NAN; 4]);
    let bias = net.constant(&[2], vec![0.0, 0.0]);
    let y = net.op(conv_op(), &[x, weights, bias], "y", (-2.0, 2.0));
    net.graph.outputs = vec![y];
    let before = net.graph.clone();
    let refused =
        quantize_integer(&mut net.graph, &net.statistics, &Choices::all(Quantize::Int8), IntegerOptions::default());
    assert!(matches!(refused, Err(QuantError::Constant { place, .. }) if place == "y"));
    assert_eq!(net.graph, before);
}

//! What stays float, and where the borders run.

use super::*;
use crate::graph::{Compare, Precision, Reduce};

const IMAGE: [usize; 4] = [1, 4, 4, 2];

#[test]
fn operators_without_a_kernel_stay_float_together() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let sin = net.unary(Unary::Sin, a, "sin", (-1.0, 1.0));
    let cos = net.unary(Unary::Cos, sin, "cos", (0.5, 1.0));
    let y = net.conv(cos, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "DEQUANTIZE", "SIN", "COS", "QUANTIZE", "CONV_2D", "DEQUANTIZE"]);
    assert_eq!(int8.graph.dtype(int8.named("a_dequantized")), DType::F32);
    assert_eq!(int8.reason("sin"), "there is no int8 kernel");
}

#[test]
fn little_work_between_float_operators_stays_float() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let sin = net.unary(Unary::Sin, a, "sin", (-1.0, 1.0));
    let dims = net.ints(&[1, 16, 2]);
    let flat = net.op(Op::Reshape, &[sin, dims], "flat", (-1.0, 1.0));
    let sum = net.binary(Binary::Add, flat, flat, "sum", (-2.0, 2.0));
    let cos = net.unary(Unary::Cos, sum, "cos", (-1.0, 1.0));
    let int8 = net.quantize(&[cos]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "DEQUANTIZE", "SIN", "RESHAPE", "ADD", "COS"]);
    assert!(int8.reason("sum").contains("neighbours"));
}

#[test]
fn one_conversion_serves_all() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let sin = net.unary(Unary::Sin, a, "sin", (-1.0, 1.0));
    let cos = net.unary(Unary::Cos, a, "cos", (-1.0, 1.0));
    let y = net.conv(sin, "y", (-3.0, 3.0));
    let z = net.conv(sin, "z", (-3.0, 3.0));
    let int8 = net.quantize(&[y, z, cos, a]);
    // `a` is an output too: its DEQUANTIZE makes the output, and the float operators read that.
    assert_eq!(int8.conversions(), (2, 0, 3));
}

#[test]
fn data_is_moved_in_int8_up_to_the_border() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let dims = net.ints(&[1, 16, 2]);
    let flat = net.op(Op::Reshape, &[a, dims], "flat", (-8.0, 8.0));
    let sin = net.unary(Unary::Sin, flat, "sin", (-1.0, 1.0));
    let dims = net.ints(&IMAGE.map(|d| d as i32));
    let back = net.op(Op::Reshape, &[sin, dims], "back", (-1.0, 1.0));
    let y = net.conv(back, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    let expected =
        ["QUANTIZE", "CONV_2D", "RESHAPE", "DEQUANTIZE", "SIN", "QUANTIZE", "RESHAPE", "CONV_2D", "DEQUANTIZE"];
    assert_eq!(int8.ops(), expected);
}

#[test]
fn inner_steps_marked_float_stay_so() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let axes = net.ints(&[3]);
    let mean = net.op(Op::Reduce { kind: Reduce::Mean, keep_dims: true }, &[a, axes], "mean", (-4.0, 4.0));
    let centred = net.binary(Binary::Sub, a, mean, "centred", (-8.0, 8.0));
    for node in &mut net.graph.nodes[1..] {
        node.precision = Precision::Float;
    }
    let y = net.conv(centred, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "DEQUANTIZE", "MEAN", "SUB", "QUANTIZE", "CONV_2D", "DEQUANTIZE"]);
    assert!(int8.reason("mean").contains("inner step"));
}

#[test]
fn a_last_softmax_is_computed_in_float() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let y = net.op(Op::Softmax { beta: 1.0 }, &[a], "y", (0.0, 0.99));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "DEQUANTIZE", "SOFTMAX"]);
}

#[test]
fn a_prescribed_scale_is_used_where_it_is_fine_enough() {
    for (max, expected) in [(0.9, "LOGISTIC"), (0.05, "DEQUANTIZE")] {
        let mut net = Net::new();
        let x = net.input("x", &IMAGE, (-1.0, 1.0));
        let a = net.conv(x, "a", (-8.0, 8.0));
        let gate = net.unary(Unary::Logistic, a, "gate", (0.0, max));
        let gated = net.binary(Binary::Mul, a, gate, "gated", (-1.0, 1.0));
        let y = net.conv(gated, "y", (-3.0, 3.0));
        let int8 = net.quantize(&[y]);
        assert_eq!(int8.ops()[2], expected, "gates up to {max}: {:?}", int8.ops());
    }
}

#[test]
fn kernels_that_lose_too_much_are_used_on_request_only() {
    let net = || {
        let mut net = Net::new();
        let x = net.input("x", &IMAGE, (-1.0, 1.0));
        let a = net.conv(x, "a", (0.0, 8.0));
        let root = net.unary(Unary::Rsqrt, a, "root", (0.3, 1e3));
        let y = net.conv(root, "y", (-3.0, 3.0));
        (net, y)
    };
    let (float, y) = net();
    assert!(float.quantize(&[y]).reason("root").contains("near zero"));
    let (every, y) = net();
    let int8 = every.quantize_with(&[y], IntegerOptions { every_kernel: true });
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "RSQRT", "CONV_2D", "DEQUANTIZE"]);
}

#[test]
fn a_model_of_one_light_operator_is_quantized() {
    let mut net = Net::new();
    let (a, b) = (net.input("a", &[2], (-1.0, 1.0)), net.input("b", &[2], (-1.0, 1.0)));
    let y = net.binary(Binary::Add, a, b, "y", (-2.0, 2.0));
    assert_eq!(net.quantize(&[y]).ops(), ["QUANTIZE", "QUANTIZE", "ADD", "DEQUANTIZE"]);
}

#[test]
fn operators_without_a_right_kernel_become_multiplications() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 4.0));
    let neg = net.unary(Unary::Neg, a, "neg", (-4.0, 8.0));
    let eight = net.constant(&[], vec![8.0]);
    let scaled = net.binary(Binary::Div, neg, eight, "scaled", (-0.5, 1.0));
    let y = net.conv(scaled, "y", (-3.0, 3.0));
    let quotient = net.binary(Binary::Div, a, y, "quotient", (-1.0, 1.0));
    let int8 = net.quantize(&[quotient]);
    assert_eq!(
        int8.ops(),
        ["QUANTIZE", "CONV_2D", "MUL", "MUL", "CONV_2D", "DEQUANTIZE", "DEQUANTIZE", "DIV"],
        "a divisor computed at run time may round to zero"
    );
    let factor = int8.graph.nodes[3].input(1).unwrap();
    let (scale, zero_point) = int8.params(factor);
    let stored = int8.graph.const_ints(factor).unwrap()[0];
    assert_eq!(scale * (stored - zero_point) as f32, 0.125);
}

#[test]
fn a_sum_is_a_mean_times_their_number() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let axes = net.ints(&[1, -2, 2]);
    let sum = net.op(Op::Reduce { kind: Reduce::Sum, keep_dims: false }, &[a, axes], "sum", (-32.0, 64.0));
    let int8 = net.quantize(&[sum]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "MEAN", "MUL", "DEQUANTIZE"]);
    assert_eq!(int8.scale("sum/mean"), 6.0 / 255.0);
    let count = int8.node("MUL").input(1).unwrap();
    assert_eq!(int8.params(count).0 * 255.0, 16.0);
}

#[test]
fn squares_before_a_root_stay_float_with_it() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let square = net.unary(Unary::Square, a, "square", (0.0, 64.0));
    let axes = net.ints(&[3]);
    let mean = net.op(Op::Reduce { kind: Reduce::Mean, keep_dims: true }, &[square, axes], "mean", (0.1, 32.0));
    let root = net.unary(Unary::Rsqrt, mean, "root", (0.2, 3.0));
    let normal = net.binary(Binary::Mul, a, root, "normal", (-2.0, 2.0));
    let y = net.conv(normal, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    let expected =
        ["QUANTIZE", "CONV_2D", "DEQUANTIZE", "MUL", "MEAN", "RSQRT", "MUL", "QUANTIZE", "CONV_2D", "DEQUANTIZE"];
    assert_eq!(int8.ops(), expected);
}

#[test]
fn a_residual_stream_between_float_normalizations_stays_float() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let stream = net.unary(Unary::Sqrt, x, "stream", (-8.0, 8.0));
    let a = net.conv(stream, "a", (-8.0, 8.0));
    let sum = net.binary(Binary::Add, stream, a, "sum", (-16.0, 16.0));
    let root = net.unary(Unary::Rsqrt, sum, "root", (0.2, 3.0));
    let normal = net.binary(Binary::Mul, sum, root, "normal", (-2.0, 2.0));
    let y = net.conv(normal, "y", (-3.0, 3.0));
    let z = net.binary(Binary::Add, sum, y, "z", (-19.0, 19.0));
    let last = net.unary(Unary::Rsqrt, z, "last", (0.2, 3.0));
    let int8 = net.quantize(&[last]);
    let floats = ["sum", "root", "normal", "z"];
    assert!(floats.iter().all(|name| int8.graph.dtype(int8.named(name)) == DType::F32), "{:?}", int8.ops());
    assert_eq!(int8.conversions().1, 0);
}

#[test]
fn a_small_token_before_large_ones_is_not_stored_with_their_scale() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let patches = net.conv(x, "patches", (-8.0, 8.0));
    let token = net.constant(&[1, 4, 1, 2], vec![0.01; 8]);
    let tokens = net.op(Op::Concatenation { axis: 2 }, &[token, patches], "tokens", (-8.0, 8.0));
    let root = net.unary(Unary::Rsqrt, tokens, "root", (0.2, 3.0));
    let int8 = net.quantize(&[root]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "DEQUANTIZE", "CONCATENATION", "RSQRT"]);
}

#[test]
fn integers_and_booleans_pass_untouched() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let mut b = Builder::new(&mut net.graph, &NoEvaluate);
    let shape = b.one(Op::Shape { to: DType::I32 }, &[a]).unwrap();
    let doubled = b.add(shape, shape).unwrap();
    let axis = b.scalar(3i32);
    let best = b.one(Op::ArgMax { to: DType::I32 }, &[a, axis]).unwrap();
    let above = b.compare(Compare::Greater, a, a).unwrap();
    let picked = b.select(above, a, a).unwrap();
    let picked = net.seen(picked, "picked", (-8.0, 8.0));
    let int8 = net.quantize(&[doubled, best, picked]);
    assert_eq!(
        int8.ops(),
        ["QUANTIZE", "CONV_2D", "SHAPE", "ADD", "ARG_MAX", "DEQUANTIZE", "GREATER", "SELECT_V2", "DEQUANTIZE"]
    );
    assert_eq!(int8.graph.dtype(doubled), DType::I32);
    assert!(int8.reason(&int8.graph.value(above).name).contains("comparison"));
}

#[test]
fn what_calibration_never_reached_stays_float() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let y = net.conv(a, "y", (-8.0, 8.0));
    net.statistics.values.remove(&a.0);
    let int8 = net.quantize(&[y]);
    assert!(int8.reason("a").contains("\"a\"") && int8.reason("y").contains("\"a\""));
}

#[test]
fn statistics_of_another_graph_are_refused() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let y = net.conv(x, "y", (-8.0, 8.0));
    net.graph.outputs = vec![y];
    net.graph.value_mut(x).name = "other".into();
    let refused =
        quantize_integer(&mut net.graph, &net.statistics, &Choices::all(Quantize::Int8), IntegerOptions::default());
    assert_eq!(refused, Err(QuantError::OtherGraph { value: "x".into() }));
    let refused = quantize_integer(
        &mut net.graph,
        &Statistics::default(),
        &Choices::all(Quantize::Int8),
        IntegerOptions::default(),
    );
    assert_eq!(refused, Err(QuantError::NoStatistics));
}

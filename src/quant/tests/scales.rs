//! Who shares a scale with whom.

use super::*;

const IMAGE: [usize; 4] = [1, 4, 4, 2];

#[test]
fn a_chain_of_convolutions_is_int8_from_end_to_end() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (0.0, 2.55));
    let a = net.conv(x, "a", (-1.0, 1.55));
    let b = net.conv(a, "b", (0.0, 5.1));
    let int8 = net.quantize(&[b]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "CONV_2D", "DEQUANTIZE"]);
    assert_eq!(int8.params(int8.named("x_quantized")), (0.01, -128));
    assert_eq!(int8.params(int8.named("a")), (0.01, -28));
    assert_eq!(int8.params(int8.named("b_quantized")), (0.02, -128));
    assert_eq!(int8.graph.dtype(int8.named("b")), DType::F32);
    assert_eq!((int8.report.int8, int8.conversions()), (2, (1, 0, 1)));
}

#[test]
fn operands_of_a_sum_keep_their_own_scales() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-20.0, 20.0));
    let b = net.conv(a, "b", (-1.0, 1.0));
    let sum = net.binary(Binary::Add, a, b, "sum", (-21.0, 21.0));
    let int8 = net.quantize(&[sum]);
    assert_eq!(int8.ops(), ["QUANTIZE", "CONV_2D", "CONV_2D", "ADD", "DEQUANTIZE"]);
    assert!(int8.scale("a") > 19.0 * int8.scale("b"));
}

/// Two convolutions of different range, joined; `also` makes a second use of the one with the smaller range.
fn joined(small: f32, also: bool) -> Int8 {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let b = net.conv(x, "b", (-small, small));
    let both = net.op(Op::Concatenation { axis: 3 }, &[a, b], "both", (-8.0, 8.0));
    let y = net.conv(both, "y", (-3.0, 3.0));
    let mut outputs = vec![y];
    if also {
        outputs.push(net.conv(b, "z", (-1.0, 1.0)));
    }
    net.quantize(&outputs)
}

#[test]
fn what_is_only_joined_takes_the_scale_of_the_whole() {
    let int8 = joined(0.1, false);
    assert_eq!(int8.conversions(), (1, 0, 1));
    assert_eq!(int8.params(int8.named("b")), int8.params(int8.named("both")));
}

#[test]
fn what_others_need_finely_is_requantized_for_the_join() {
    let int8 = joined(1.0, true);
    assert_eq!(int8.conversions(), (1, 1, 2));
    assert_eq!(int8.scale("b"), 2.0 / 255.0);
    let concatenation = int8.node("CONCATENATION");
    assert_eq!(concatenation.input(1), Some(int8.named("b_requantized")));
    assert_eq!(int8.scale("b_requantized"), int8.scale("both"));
}

#[test]
fn a_little_coarser_is_better_than_rounded_twice() {
    let int8 = joined(6.0, true);
    assert_eq!(int8.conversions(), (1, 0, 2));
    assert_eq!(int8.scale("b"), int8.scale("both"));
}

#[test]
fn moving_data_keeps_its_scale() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let axes = net.ints(&[0, 3, 1, 2]);
    let t = net.op(Op::Transpose, &[a, axes], "t", (-8.0, 8.0));
    let (begin, size) = (net.ints(&[0, 0, 0, 0]), net.ints(&[1, 1, 4, 4]));
    // What was seen of a part does not make its numbers finer.
    let part = net.op(Op::Slice, &[t, begin, size], "part", (-0.5, 0.5));
    let y = net.unary(Unary::Relu, part, "y", (0.0, 0.5));
    let z = net.unary(Unary::Abs, t, "z", (0.0, 8.0));
    let int8 = net.quantize(&[y, z]);
    assert_eq!(int8.conversions(), (1, 0, 2));
    assert_eq!(int8.params(int8.named("part")), int8.params(int8.named("a")));
    assert_eq!(int8.scale("y_quantized"), 0.5 / 255.0);
}

#[test]
fn an_input_is_quantized_before_it_is_moved() {
    let mut net = Net::new();
    let x = net.input("x", &[1, 2, 4, 4], (-1.0, 1.0));
    let axes = net.ints(&[0, 2, 3, 1]);
    let t = net.op(Op::Transpose, &[x, axes], "t", (-1.0, 1.0));
    let y = net.conv(t, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.ops(), ["QUANTIZE", "TRANSPOSE", "CONV_2D", "DEQUANTIZE"]);
}

#[test]
fn prescribed_scales_are_requantized_where_they_meet_others() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let gate = net.unary(Unary::Logistic, a, "gate", (0.01, 0.99));
    let gated = net.binary(Binary::Mul, a, gate, "gated", (-0.3, 3.0));
    let both = net.op(Op::Concatenation { axis: 3 }, &[gated, gate], "both", (-0.3, 3.0));
    let y = net.conv(both, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.params(int8.named("gate")), (1.0 / 256.0, -128));
    assert_eq!(int8.conversions(), (1, 1, 1));
    assert_eq!(int8.scale("gate_requantized"), int8.scale("both"));
    assert_eq!(int8.scale("gated"), int8.scale("both"));
}

#[test]
fn equal_prescribed_scales_are_joined_as_they_are() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let b = net.conv(x, "b", (-8.0, 8.0));
    let p = net.unary(Unary::Logistic, a, "p", (0.0001, 0.9999));
    let q = net.unary(Unary::Logistic, b, "q", (0.0001, 0.9));
    let both = net.op(Op::Concatenation { axis: 3 }, &[p, q], "both", (0.0001, 0.9999));
    let y = net.conv(both, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.params(int8.named("both")), (1.0 / 256.0, -128));
    assert_eq!(int8.conversions(), (1, 0, 1));
}

#[test]
fn an_outlier_is_kept_and_zero_is_a_number_of_every_scale() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (3.0, 1e4));
    let y = net.conv(x, "y", (-1e6, -1e5));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.params(int8.named("x_quantized")), (1e4 / 255.0, -128));
    assert_eq!(int8.params(int8.named("y_quantized")), (1e6 / 255.0, 127));
}

#[test]
fn values_that_were_always_zero_get_a_scale_that_kernels_take() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (0.0, 1e6));
    let a = net.conv(x, "a", (0.0, 0.0));
    let b = net.conv(a, "b", (0.0, 1e-30));
    let sum = net.binary(Binary::Add, a, b, "sum", (0.0, 1e-30));
    let int8 = net.quantize(&[sum]);
    // XNNPACK wants scale(x) * scale(w) / scale(result) below 256, and a sum's factors fit in 2^20.
    let largest_weight = (0..4).map(|i| (i as f32 * 0.37).sin().abs()).fold(0.0, f32::max) / 127.0;
    assert!(int8.scale("x_quantized") * largest_weight / int8.scale("a") <= 128.0);
    assert!(int8.scale("a") * largest_weight / int8.scale("b") <= 128.0);
    assert!(int8.scale("a") / int8.scale("sum_quantized") <= 128.0);
}

#[test]
fn clipping_by_a_constant_costs_no_second_rounding() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let low = net.constant(&[], vec![-2.0]);
    let clipped = net.binary(Binary::Maximum, a, low, "clipped", (-2.0, 8.0));
    let y = net.conv(clipped, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.conversions(), (1, 0, 1));
    assert_eq!(int8.scale("a"), 10.0 / 255.0, "what is clipped away needs no numbers");
    assert_eq!(int8.params(int8.named("a")), int8.params(int8.named("clipped")));
}

#[test]
fn a_pool_sees_only_what_it_lets_through() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-8.0, 8.0));
    let pooled = net.op(max_pool(), &[a], "pooled", (-1.0, 8.0));
    let y = net.conv(pooled, "y", (-3.0, 3.0));
    let int8 = net.quantize(&[y]);
    assert_eq!(int8.scale("a"), 9.0 / 255.0);
}

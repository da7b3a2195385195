//! Numbers and graphs at the edge of what there is: each comes out in a stated way, in every scheme and every interpreter.

use super::running::{library, run};
use super::*;
use crate::exec::Runner;
use crate::graph::Type;
use crate::runtime::Kernels;

const IMAGE: [usize; 4] = [1, 4, 4, 2];

fn schemes() -> [Choice; 4] {
    let four = WeightOptions { bits: 4, ..WeightOptions::default() };
    [
        Quantize::Int8.into(),
        Choice { symmetric: true, ..Quantize::Int8.into() },
        Quantize::Int16x8.into(),
        Choice { weights: four, ..Quantize::Int8.into() },
    ]
}

/// Calibrates on `sample` and quantizes in every scheme; the greatest difference of any interpreter's result from the float graph's,
/// over the largest result, must be within `share`.
fn holds(make: impl Fn(&mut Net) -> ValueId, samples: &[Tensor], share: f32) -> Vec<QuantReport> {
    let mut reports = Vec::new();
    for choice in schemes() {
        let mut net = Net::new();
        let output = make(&mut net);
        let mut graph = net.graph;
        graph.outputs = vec![output];
        let runner = Runner::new(&graph).unwrap();
        let expected = runner.run(samples).unwrap()[0].to_f32s().unwrap();
        let seen = observe(&graph, &runner, &vec![samples.to_vec()], &|| ()).unwrap();
        let statistics = seen.statistics(Method::MinMax);
        let choices = Choices::all(choice);
        let report = quantize_integer(&mut graph, &statistics, &choices, IntegerOptions::default()).unwrap();
        assert_sound(&graph);
        reports.push(report);
        let Some(library) = library() else { continue };
        let largest = expected.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
        for kernels in [Kernels::Xnnpack, Kernels::Builtin, Kernels::Reference] {
            let bytes = run(&library, kernels, &graph, samples).unwrap().remove(0);
            let got = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let apart = got.zip(&expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(apart <= share * largest, "{choice:?} {kernels:?}: {apart} of {largest}\n{graph}");
        }
    }
    reports
}

fn filled(value: f32) -> Tensor {
    Tensor::from_vec(&IMAGE, vec![value; 32])
}

/// A convolution with these weights, two for each of two channels, and this bias.
fn layer(weights: [f32; 4], bias: [f32; 2]) -> impl Fn(&mut Net) -> ValueId {
    move |net| {
        let x = net.input("x", &IMAGE, (0.0, 0.0));
        let weights = net.constant(&[2, 1, 1, 2], weights.to_vec());
        let bias = net.constant(&[2], bias.to_vec());
        net.op(conv_op(), &[x, weights, bias], "y", (0.0, 0.0))
    }
}

#[test]
fn inputs_that_were_always_zero_give_the_bias() {
    holds(layer([0.5, -0.25, 1.0, 2.0], [3.0, -1.5]), &[filled(0.0)], 0.01);
}

#[test]
fn inputs_that_never_change_are_kept() {
    holds(layer([0.5, -0.25, 1.0, 2.0], [0.0, 0.0]), &[filled(5.0)], 0.02);
    holds(layer([0.5, -0.25, 1.0, 2.0], [0.0, 0.0]), &[filled(-5.0)], 0.02);
}

#[test]
fn channels_of_zeros_give_their_bias() {
    holds(layer([0.0, 0.0, 1.0, 2.0], [1.0, 0.0]), &[filled(1.0)], 0.02);
    holds(layer([0.0; 4], [1.0, -2.0]), &[filled(1.0)], 0.01);
    // Nothing at all comes out of nothing.
    holds(layer([0.0; 4], [0.0; 2]), &[filled(0.0)], 0.0);
}

#[test]
fn denormal_numbers_load_and_run_and_come_out_as_zero() {
    // 1e-40 times one is below any scale: the difference is all of it, and no more.
    holds(layer([1.0, 0.0, 0.0, 1.0], [0.0; 2]), &[filled(1e-40)], 1.0);
    holds(layer([1e-39, 0.0, 0.0, 1e-41], [0.0; 2]), &[filled(1.0)], 1.0);
}

#[test]
fn numbers_near_the_end_of_float32_load_and_run() {
    // Such numbers get no scale: the layer stays float.
    let reports = holds(layer([1.0, 0.5, 0.25, 1.0], [0.0; 2]), &[filled(1e30)], 0.02);
    assert!(reports.iter().all(|report| report.float.len() == 1));
}

#[test]
fn a_bias_past_32_bits_needs_coarser_weights_in_8_bits_alone() {
    // 16 bits: the accumulator has 40 bits and more.
    let reports = holds(layer([1e-3, 1e-3, 1.0, 1.0], [0.3, 0.0]), &[filled(1e-3)], 0.02);
    let raised: Vec<bool> = reports.iter().map(|report| !report.raised.is_empty()).collect();
    assert_eq!(raised, [true, true, false, true]);
}

#[test]
fn one_outlier_is_kept_and_costs_the_others_their_digits() {
    let mut values = vec![0.01f32; 32];
    values[7] = 1000.0;
    holds(layer([1.0, 0.5, 0.25, 1.0], [0.0; 2]), &[Tensor::from_vec(&IMAGE, values)], 0.02);
}

#[test]
fn a_table_may_be_looked_up_and_multiplied_with() {
    let tied = |net: &mut Net| {
        let table =
            net.constant(&[64, 32], (0..2048).map(|i| (i as f32 * 0.37).sin() * (1.0 + (i / 32) as f32)).collect());
        let ids = net.graph.add_input("ids", Type::new(DType::I32, Shape::fixed(&[3])));
        let rows = net.op(Op::Gather { axis: 0, batch_dims: 0 }, &[table, ids], "rows", (0.0, 0.0));
        let fc = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
        net.op(fc, &[rows, table], "y", (0.0, 0.0))
    };
    holds(tied, &[Tensor::vector(vec![0i32, 5, 63])], 0.06);
}

#[test]
fn both_operands_of_a_product_may_be_computed() {
    let product = |net: &mut Net| {
        let (a, b) = (net.input("a", &[2, 3, 4], (0.0, 0.0)), net.input("b", &[2, 4, 3], (0.0, 0.0)));
        net.op(Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false }, &[a, b], "y", (0.0, 0.0))
    };
    let numbers = |shape: &[usize], by: f32| Tensor::from_vec(shape, (0..24).map(|i| (i as f32 * by).sin()).collect());
    holds(product, &[numbers(&[2, 3, 4], 0.7), numbers(&[2, 4, 3], 1.9)], 0.03);
}

#[test]
fn values_without_elements_stay_float() {
    let mut net = Net::new();
    let shape = [0, 4, 4, 2];
    let x = net.graph.add_input("x", Type::new(DType::F32, Shape::fixed(&shape)));
    let y = net.conv(x, "y", (0.0, 0.0));
    net.statistics.values.remove(&y.0);
    net.statistics.values.insert(x.0, Observed { name: "x".into(), range: None, lowest_row_maximum: None });
    net.graph.outputs = vec![y];
    for choice in schemes() {
        let mut graph = net.graph.clone();
        let choices = Choices::all(choice);
        let report = quantize_integer(&mut graph, &net.statistics, &choices, IntegerOptions::default()).unwrap();
        assert!(report.float[0].reason.contains("no number"), "{:?}", report.float);
        assert_sound(&graph);
    }
}

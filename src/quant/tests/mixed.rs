//! Integers of several kinds in one graph, and inputs and outputs of integers.

use super::running::{library, run};
use super::*;
use crate::exec::Runner;
use crate::runtime::Kernels;

const IMAGE: [usize; 4] = [1, 4, 4, 2];
const ALL: [Kernels; 3] = [Kernels::Xnnpack, Kernels::Builtin, Kernels::Reference];

fn image() -> Tensor {
    Tensor::from_vec(&IMAGE, (0..32).map(|i| (i as f32 * 0.71).sin()).collect())
}

/// Three convolutions in a row, the second one and its sum with the first of 16 bits.
fn layers() -> (Net, ValueId, [ValueId; 2]) {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-2.0, 2.0));
    let b = net.conv(a, "b", (-3.0, 3.0));
    let sum = net.binary(Binary::Add, a, b, "sum", (-4.0, 4.0));
    let y = net.conv(sum, "y", (-5.0, 5.0));
    (net, y, [b, sum])
}

fn quantized(net: Net, output: ValueId, choices: &Choices) -> (Graph, QuantReport) {
    let mut graph = net.graph;
    graph.outputs = vec![output];
    let report = quantize_integer(&mut graph, &net.statistics, choices, IntegerOptions::default()).unwrap();
    assert_sound(&graph);
    (graph, report)
}

fn reals(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn widths_meet_in_a_requantization() {
    let (net, y, wide) = layers();
    let float = Runner::new(&Graph { outputs: vec![y], ..net.graph.clone() }).unwrap();
    let expected = float.run(&[image()]).unwrap()[0].to_f32s().unwrap();
    let mut choices = Choices::all(Quantize::Int8);
    wide.iter().for_each(|&id| choices.set(id, Quantize::Int16x8.into()));
    let (graph, report) = quantized(net, y, &choices);
    assert_eq!((report.int8, report.int16), (2, 2));
    // `a` in 16 bits for `b` and the sum, the sum in 8 bits for the last layer.
    assert_eq!(report.conversions, Conversions { quantize: 1, requantize: 2, dequantize: 1 });
    let Some(library) = library() else { return };
    for kernels in ALL {
        let got = reals(&run(&library, kernels, &graph, &[image()]).unwrap()[0]);
        let apart = got.iter().zip(&expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(apart < 0.15, "{kernels:?}: {apart}");
    }
}

#[test]
fn operators_that_are_not_chosen_stay_float() {
    let (net, y, [b, _]) = layers();
    let mut choices = Choices::all(Quantize::Int8);
    choices.set(b, Quantize::None.into());
    let (graph, report) = quantized(net, y, &choices);
    let first = &report.float[0];
    assert!(first.value == "b" && first.reason.contains("not chosen"), "{:?}", report.float);
    assert_eq!(graph.dtype(b), DType::F32);
}

#[test]
fn symmetric_activations_have_zero_point_0() {
    let (net, y, _) = layers();
    let choice = Choice { symmetric: true, ..Quantize::Int8.into() };
    let (graph, _) = quantized(net, y, &Choices::all(choice));
    let stored = graph.values.iter().filter(|v| v.ty.dtype == DType::I8 && v.data.is_none());
    let zero_points: Vec<i64> = stored.map(|v| v.quant.as_ref().unwrap().as_per_tensor().unwrap().1).collect();
    assert_eq!(zero_points, [0; 5]);
}

/// The quantized layers with inputs and outputs of the types asked for.
fn with_types(quantize: Quantize, all: IoType, named: &[(&str, IoType)]) -> Result<Graph, Vec<String>> {
    let (net, y, _) = layers();
    let (mut graph, _) = quantized(net, y, &Choices::all(quantize));
    let by_name = named.iter().map(|(name, to)| (name.to_string(), *to)).collect();
    set_io_types(&mut graph, &IoTypes { all, by_name })?;
    assert_sound(&graph);
    Ok(graph)
}

#[test]
fn inputs_and_outputs_become_the_integers_that_they_are_inside() {
    for (quantize, to, dtype, conversions) in [
        (Quantize::Int8, IoType::Int8, DType::I8, 0),
        (Quantize::Int8, IoType::Uint8, DType::U8, 2),
        (Quantize::Int8, IoType::Int16, DType::I16, 2),
        (Quantize::Int16x8, IoType::Int16, DType::I16, 0),
    ] {
        let float_ends = with_types(quantize, IoType::Float32, &[]).unwrap();
        let graph = with_types(quantize, to, &[]).unwrap();
        let ends = [graph.inputs[0], graph.outputs[0]];
        assert_eq!(ends.map(|id| graph.value(id).name.as_str()), ["x", "y"]);
        assert_eq!(ends.map(|id| graph.dtype(id)), [dtype; 2], "{to:?}");
        let borders = graph.nodes.iter().filter(|n| matches!(n.op, Op::Quantize { .. } | Op::Dequantize)).count();
        assert_eq!(borders, conversions, "{to:?}");
        let Some(library) = library() else { continue };
        let grid = |id: ValueId| graph.value(id).quant.as_ref().and_then(|q| q.as_per_tensor()).unwrap();
        let (scale, zero_point) = grid(ends[0]);
        let stored = image().to_f32s().unwrap().into_iter().map(|x| (x / scale).round_ties_even() as i64 + zero_point);
        let most = if dtype == DType::I8 { 127 } else { i64::from(u8::MAX) };
        let stored = stored.map(|q| if dtype == DType::I16 { q } else { q.min(most) });
        let stored = Tensor::from_vec(&IMAGE, stored.collect()).cast(dtype).unwrap();
        for kernels in ALL {
            let expected = reals(&run(&library, kernels, &float_ends, &[image()]).unwrap()[0]);
            let bytes = run(&library, kernels, &graph, std::slice::from_ref(&stored)).unwrap().remove(0);
            let got = Tensor::new(dtype, IMAGE.to_vec(), bytes.into()).unwrap().to_i64s().unwrap();
            let (scale, zero_point) = grid(ends[1]);
            for (got, want) in got.iter().zip(&expected) {
                let got = (got - zero_point) as f32 * scale;
                assert!((got - want).abs() <= 0.08 / quantize_steps(quantize), "{to:?} {kernels:?}: {got} for {want}");
            }
        }
    }
}

/// How much finer than int8 the results are.
fn quantize_steps(quantize: Quantize) -> f32 {
    if quantize == Quantize::Int16x8 { 16.0 } else { 1.0 }
}

#[test]
fn types_are_given_by_name_or_for_all() {
    let graph = with_types(Quantize::Int8, IoType::Int8, &[("y", IoType::Float32)]).unwrap();
    assert_eq!([graph.inputs[0], graph.outputs[0]].map(|id| graph.dtype(id)), [DType::I8, DType::F32]);
    let graph = with_types(Quantize::Int8, IoType::Float32, &[("y", IoType::Uint8)]).unwrap();
    assert_eq!([graph.inputs[0], graph.outputs[0]].map(|id| graph.dtype(id)), [DType::F32, DType::U8]);
}

#[test]
fn types_that_can_not_be_had_are_all_named() {
    let problems = with_types(Quantize::Int8, IoType::Float32, &[("z", IoType::Int8)]).unwrap_err();
    assert_eq!(problems, ["the model has no input or output \"z\""]);
    let problems = with_types(Quantize::Int16x8, IoType::Uint8, &[]).unwrap_err();
    assert!(problems.len() == 2 && problems.iter().all(|p| p.contains("int16 inside")), "{problems:?}");
    let problems = with_types(Quantize::None, IoType::Int8, &[]).unwrap_err();
    assert!(problems.len() == 2 && problems.iter().all(|p| p.contains("in float")), "{problems:?}");
}

#[test]
fn an_input_that_floats_read_too_is_dequantized_for_them() {
    let mut net = Net::new();
    let x = net.input("x", &IMAGE, (-1.0, 1.0));
    let a = net.conv(x, "a", (-2.0, 2.0));
    let sin = net.unary(Unary::Sin, x, "sin", (-1.0, 1.0));
    net.graph.outputs = vec![a, sin];
    let mut graph = net.graph;
    let choices = Choices::all(Quantize::Int8);
    quantize_integer(&mut graph, &net.statistics, &choices, IntegerOptions::default()).unwrap();
    let types = IoTypes { all: IoType::Int8, by_name: [("sin".to_string(), IoType::Float32)].into() };
    set_io_types(&mut graph, &types).unwrap();
    assert_sound(&graph);
    let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.name()).collect();
    assert_eq!(ops, ["DEQUANTIZE", "CONV_2D", "SIN"]);
}

//! Every operator that has weights, in every scheme that changes weights alone: run by LiteRT in XNNPACK, in its own kernels and
//! in its reference kernels, and held to what the stored weights mean.

mod common;

use common::{LitertError, Random, litert, run_litert};
use indexmap::IndexMap;
use litesmith::exec::Runner;
use litesmith::graph::{
    Activation, Builder, Graph, Model, NoEvaluate, Op, Padding, Quant, Shape, Type, ValueId, Window2d, Window3d, verify,
};
use litesmith::quant::{Choice, Choices, WeightOptions, WeightReport, quantize_weights};
use litesmith::runtime::Kernels;
use litesmith::tensor::{DType, Tensor};
use litesmith::tflite::{WriteOptions, write};
use litesmith::{Granularity, Quantize};

/// An operator with weights, as the only node of a graph.
struct Layer {
    name: &'static str,
    op: Op,
    x: Vec<usize>,
    weights: Vec<usize>,
    /// Length of the bias; 0 for none.
    bias: usize,
}

fn window(stride: usize, dilation: usize) -> Window2d {
    Window2d { padding: Padding::Same, stride: [stride; 2], dilation: [dilation; 2] }
}

fn layers() -> Vec<Layer> {
    let none = Activation::None;
    let conv = |window| Op::Conv2d { window, activation: none };
    let depthwise = |multiplier| Op::DepthwiseConv2d { window: window(1, 1), multiplier, activation: none };
    let dense = |keep_num_dims| Op::FullyConnected { keep_num_dims, asymmetric_inputs: false, activation: none };
    let product = |adj_y| Op::BatchMatMul { adj_x: false, adj_y, asymmetric_inputs: false };
    let cube = Window3d { padding: Padding::Same, stride: [1; 3], dilation: [1; 3] };
    let layer = |name, op, x: &[usize], weights: &[usize], bias| Layer {
        name,
        op,
        x: x.to_vec(),
        weights: weights.to_vec(),
        bias,
    };
    vec![
        layer("conv", conv(window(1, 1)), &[2, 6, 5, 16], &[24, 3, 3, 16], 24),
        layer("conv strided", conv(window(2, 1)), &[1, 7, 7, 8], &[12, 3, 3, 8], 12),
        layer("conv dilated", conv(window(1, 2)), &[1, 7, 7, 8], &[12, 3, 3, 8], 12),
        layer("conv of groups", conv(window(1, 1)), &[2, 6, 5, 16], &[24, 3, 3, 8], 24),
        layer("pointwise conv", conv(window(1, 1)), &[1, 5, 5, 32], &[70, 1, 1, 32], 70),
        layer("depthwise conv", depthwise(1), &[2, 6, 5, 40], &[1, 3, 3, 40], 40),
        layer("depthwise conv, two of each", depthwise(2), &[1, 6, 5, 20], &[1, 3, 3, 40], 40),
        layer(
            "transposed conv",
            Op::TransposeConv { padding: Padding::Same, stride: [2, 2], activation: none },
            &[1, 4, 5, 16],
            &[12, 3, 3, 16],
            12,
        ),
        layer("conv of volumes", Op::Conv3d { window: cube, activation: none }, &[1, 4, 5, 5, 4], &[2, 3, 3, 4, 8], 8),
        layer("dense", dense(false), &[3, 128], &[32, 128], 32),
        layer("dense, axes kept", dense(true), &[2, 3, 64], &[48, 64], 48),
        layer("dense, no bias", dense(true), &[5, 96], &[32, 96], 0),
        layer("dense, odd row", dense(false), &[2, 77], &[32, 77], 32),
        layer("product", product(false), &[2, 5, 24], &[24, 32], 0),
        layer("product, batches", product(false), &[2, 5, 24], &[2, 24, 32], 0),
        layer("product, transposed", product(true), &[2, 5, 24], &[32, 24], 0),
        layer("embedding", Op::EmbeddingLookup, &[7], &[50, 64], 0),
        layer("gather", Op::Gather { axis: 0, batch_dims: 0 }, &[2, 3], &[50, 64], 0),
    ]
}

impl Layer {
    fn graph(&self, random: &mut Random) -> (Graph, Tensor) {
        let numbers = |random: &mut Random, shape: &[usize], size: f32| {
            let len = shape.iter().product();
            Tensor::from_vec(shape, (0..len).map(|_| size * (random.below(20001) as f32 / 1e4 - 1.0)).collect())
        };
        let mut graph = Graph::new("layer");
        let rows = matches!(self.op, Op::EmbeddingLookup | Op::Gather { .. });
        let data = if rows {
            Tensor::from_vec(&self.x, (0..self.x.iter().product()).map(|_| random.below(50) as i32).collect())
        } else {
            numbers(random, &self.x, 2.0)
        };
        let x = graph.add_input("x", Type::new(data.dtype(), Shape::fixed(&self.x)));
        let weights = graph.add_constant("w", numbers(random, &self.weights, 0.3));
        let bias = (self.bias > 0).then(|| graph.add_constant("b", numbers(random, &[self.bias], 0.5)));
        let size = matches!(self.op, Op::TransposeConv { .. }).then(|| {
            let size = [self.x[0], 2 * self.x[1], 2 * self.x[2], self.weights[0]].map(|d| d as i32);
            graph.add_constant("size", Tensor::vector(size.to_vec()))
        });
        let operands: Vec<Option<ValueId>> = match &self.op {
            Op::EmbeddingLookup => vec![Some(x), Some(weights)],
            Op::Gather { .. } => vec![Some(weights), Some(x)],
            Op::TransposeConv { .. } => vec![size, Some(weights), Some(x), bias],
            Op::BatchMatMul { .. } => vec![Some(x), Some(weights)],
            _ => vec![Some(x), Some(weights), bias],
        };
        let y = Builder::new(&mut graph, &NoEvaluate).emit(self.op.clone(), &operands).expect("the layer fits")[0];
        graph.value_mut(y).name = "y".into();
        graph.outputs.push(y);
        (graph, data)
    }
}

/// How far results may lie apart from what the stored weights give: half a step of the data, where the kernel quantizes it, for
/// each product of a sum; rounding of sums elsewhere.
fn allowed(layer: &Layer, graph: &Graph, data: &Tensor, dynamic: bool) -> f64 {
    let largest = |t: &Tensor| t.to_f64s().unwrap().iter().fold(0f64, |m, x| m.max(x.abs()));
    let weights = graph.values.iter().find(|v| v.name == "w").and_then(|v| v.data.as_ref()).unwrap();
    let products = weights.len() / layer.bias.max(*layer.weights.last().unwrap().min(&layer.weights[0]));
    let sum = products as f64 * largest(weights);
    // 127 steps to a side where the kernel knows no zero point.
    if dynamic && data.dtype() == DType::F32 { 0.5 * largest(data) / 127.0 * sum * 1.02 } else { 1e-5 * sum.max(1.0) }
}

fn run_graph(graph: &Graph, data: &Tensor) -> Tensor {
    Runner::new(graph).unwrap().run(std::slice::from_ref(data)).unwrap().remove(0)
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_f64s().unwrap(), b.to_f64s().unwrap());
    a.iter().zip(&b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

fn schemes() -> [(Quantize, WeightOptions); 8] {
    let options = |bits, granularity, block_size| WeightOptions { bits, granularity, block_size };
    let channel = options(8, Granularity::Channel, None);
    let tensor = options(8, Granularity::Tensor, None);
    let four = options(4, Granularity::Channel, None);
    let blocks = options(4, Granularity::Channel, Some(32));
    [
        (Quantize::Float16, channel),
        (Quantize::Dynamic, channel),
        (Quantize::Dynamic, tensor),
        (Quantize::Dynamic, four),
        (Quantize::Dynamic, blocks),
        (Quantize::Weights, channel),
        (Quantize::Weights, four),
        (Quantize::Weights, blocks),
    ]
}

fn chosen(quantize: Quantize, weights: WeightOptions) -> Choices {
    Choices::all(Choice { quantize, weights, symmetric: false })
}

#[test]
fn every_layer_in_every_scheme_is_what_its_weights_mean() {
    let mut random = Random::new(7);
    let (mut wrong, mut runs) = (Vec::new(), 0);
    for layer in layers() {
        for (scheme, options) in schemes() {
            let (float, data) = layer.graph(&mut random);
            let mut graph = float.clone();
            let report = quantize_weights(&mut graph, &chosen(scheme, options)).unwrap();
            let what = format!("{}, {scheme:?} {options:?}", layer.name);
            assert_eq!(report.stored.len(), 1, "{what}: {report:?}");
            let expected = run_graph(&graph, &data);
            let is_direct = !graph.nodes.iter().any(|n| n.op == Op::Dequantize);
            let is_blocks = graph.values.iter().any(|v| matches!(v.quant, Some(Quant::Blockwise { .. })));
            let model = Model::single(graph);
            assert_eq!(verify(&model), [], "{what}");
            let file = write(&model, &WriteOptions::default()).unwrap().to_bytes();
            let allowed = allowed(&layer, &float, &data, is_direct);
            let Some(library) = litert() else { continue };
            let inputs = IndexMap::from([("x".to_string(), data.clone())]);
            for kernels in [Kernels::Xnnpack, Kernels::Builtin, Kernels::Reference] {
                // The reference kernels know no blocks, and read zeros.
                if is_blocks && kernels == Kernels::Reference && !matches!(layer.op, Op::EmbeddingLookup) {
                    continue;
                }
                runs += 1;
                match run_litert(library, &file, kernels, &inputs) {
                    Err(LitertError::CannotShow) => wrong.push(format!("{what}: can't be run")),
                    Err(LitertError::Failed(e)) => wrong.push(format!("{what}, {kernels:?}: {e}")),
                    Ok(outputs) => {
                        let apart = apart(&outputs["y"], &expected);
                        if apart > allowed {
                            wrong.push(format!("{what}, {kernels:?}: {apart} apart, {allowed} allowed"));
                        }
                    }
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the scheme loses against the float layer, in decibels of signal to noise.
fn decibels(layer: &Layer, scheme: Quantize, options: WeightOptions) -> f64 {
    let (float, data) = layer.graph(&mut Random::new(3));
    let mut graph = float.clone();
    quantize_weights(&mut graph, &chosen(scheme, options)).unwrap();
    let (a, b) = (run_graph(&float, &data).to_f64s().unwrap(), run_graph(&graph, &data).to_f64s().unwrap());
    let power = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>();
    let noise = power(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    10.0 * (power(&mut a.iter().copied()) / noise.max(1e-30)).log10()
}

#[test]
fn finer_forms_lose_less() {
    for layer in layers().into_iter().filter(|l| l.name.starts_with("dense") && !l.name.contains("odd")) {
        let [half, bytes, tensor, nibbles, blocks] = [0, 1, 2, 3, 4].map(|i| {
            let (scheme, options) = schemes()[i];
            decibels(&layer, scheme, options)
        });
        assert!(half > 65.0 && bytes > 38.0 && tensor > 36.0, "{}: {half} {bytes} {tensor}", layer.name);
        assert!(blocks > 17.0 && blocks + 1.0 > nibbles && bytes > blocks, "{}: {nibbles} {blocks}", layer.name);
    }
}

#[test]
fn shared_weights_stay_shared() {
    let mut graph = Graph::new("twice");
    let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[1, 64])));
    let weights = graph.add_constant("w", Tensor::from_vec(&[64, 64], (0..4096).map(|i| (i % 9) as f32).collect()));
    let dense = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
    let mut b = Builder::new(&mut graph, &NoEvaluate);
    let y = b.one(dense.clone(), &[x, weights]).unwrap();
    let z = b.one(dense, &[y, weights]).unwrap();
    graph.outputs.push(z);
    for scheme in [Quantize::Float16, Quantize::Weights, Quantize::Dynamic] {
        let mut graph = graph.clone();
        let report = quantize_weights(&mut graph, &Choices::all(scheme)).unwrap();
        assert_eq!(report.stored.len(), 1, "{scheme:?}");
        let constants =
            graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten()).filter(|&&id| graph.constant(id).is_some());
        let constants: std::collections::BTreeSet<_> = constants.collect();
        assert_eq!(constants.len(), 1, "{scheme:?}");
    }
}

/// The report on a dense layer with the given first weight.
fn report(first: f32, scheme: Quantize) -> WeightReport {
    let mut graph = Graph::new("dense");
    let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[1, 32])));
    let values = (0..512).map(|i| if i == 0 { first } else { 0.01 * (i % 7) as f32 }).collect();
    let weights = graph.add_constant("w", Tensor::from_vec(&[16, 32], values));
    let dense = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
    let y = Builder::new(&mut graph, &NoEvaluate).one(dense, &[x, weights]).unwrap();
    graph.outputs.push(y);
    let report = quantize_weights(&mut graph, &Choices::all(scheme)).unwrap();
    assert_eq!(verify(&Model::single(graph)), []);
    report
}

#[test]
fn weights_that_have_no_such_form_are_kept_and_named() {
    for (first, scheme, reason) in [
        (1e6, Quantize::Float16, "float16 ends at 65504"),
        (f32::INFINITY, Quantize::Dynamic, "infinities"),
        (f32::NAN, Quantize::Weights, "NaN"),
    ] {
        let report = report(first, scheme);
        assert!(report.stored.is_empty());
        assert!(report.kept[0].value == "w" && report.kept[0].reason.contains(reason), "{:?}", report.kept);
    }
    assert_eq!(report(1.0, Quantize::Float16).kept, []);
}

//! Each repair where its gain is certain.

use super::running::noise;
use super::*;
use crate::exec::Runner;
use crate::graph::Execute;
use crate::quant::account::spread;
use crate::quant::{Choice, Detail, ObserveError, Repair, Repaired, Repairs, Samples, WeightOptions, Workshop};

/// A float graph with samples, and what weights it is to get.
struct Bench {
    graph: Graph,
    samples: Vec<Vec<Tensor>>,
    weights: WeightOptions,
}

impl Workshop for Bench {
    type Error = String;

    fn samples(&self) -> &dyn Samples {
        &self.samples
    }

    fn observe(&self, graph: &Graph) -> Result<Statistics, String> {
        let runner = Runner::new(graph).map_err(|e| e.to_string())?;
        let ranges = observe(graph, &runner, &self.samples, &|| ()).map_err(|e| e.to_string())?;
        Ok(ranges.statistics(Method::MinMax))
    }

    fn quantize(&self, graph: &Graph, statistics: &Statistics) -> Result<Graph, String> {
        let choices = Choices::all(Choice { quantize: Quantize::Int8, weights: self.weights, symmetric: false });
        let mut quantized = graph.clone();
        quantize_integer(&mut quantized, statistics, &choices, IntegerOptions::default()).map_err(|e| e.to_string())?;
        assert_sound(&quantized);
        Ok(quantized)
    }

    fn simulate(&self, graph: &Graph) -> Result<Box<dyn Execute>, String> {
        Runner::new(graph).map(|runner| Box::new(runner) as Box<dyn Execute>).map_err(|e| e.to_string())
    }

    fn failed(&self, error: ObserveError) -> String {
        error.to_string()
    }
}

impl Bench {
    fn new(build: impl Fn(&mut Net) -> ValueId, samples: Vec<Tensor>) -> Bench {
        let mut net = Net::new();
        let output = build(&mut net);
        net.graph.outputs = vec![output];
        let samples = samples.into_iter().map(|sample| vec![sample]).collect();
        Bench { graph: net.graph, samples, weights: WeightOptions::default() }
    }

    fn repaired(&self, repairs: &Repairs) -> (Graph, Graph, Vec<Repaired>) {
        let (mut graph, mut statistics) = (self.graph.clone(), self.observe(&self.graph).unwrap());
        let (reference, report) = repair(&mut graph, &mut statistics, repairs, self).unwrap();
        (reference, self.quantize(&graph, &statistics).unwrap(), report)
    }

    /// Signal to noise of a quantized graph, in dB.
    fn score(&self, quantized: &Graph) -> f64 {
        let simulate = |graph: &Graph| self.simulate(graph);
        let which = spread(self.samples.len(), 16);
        account(&self.graph, quantized, &simulate, &self.samples, &which, Detail::Outputs).unwrap().worst()
    }

    /// What one repair gains over all samples, in dB.
    fn gain(&self, repair: Repair) -> f64 {
        let (_, plain, none) = self.repaired(&Repairs::None);
        assert!(none.is_empty());
        let (reference, better, report) = self.repaired(&Repairs::These(vec![repair]));
        assert_eq!(report.iter().map(|r| (r.repair, r.kept)).collect::<Vec<_>>(), [(repair, true)]);
        let (before, after) = (self.score(&plain), self.score(&better));
        println!("{}: {before:.1} dB, {after:.1} dB", repair.name());
        assert!(self.score(&reference) > 90.0, "the reference computes what the model does");
        after - before
    }
}

fn per_tensor() -> WeightOptions {
    WeightOptions { granularity: Granularity::Tensor, ..WeightOptions::default() }
}

fn four_bits() -> WeightOptions {
    WeightOptions { bits: 4, ..WeightOptions::default() }
}

/// Numbers between 1 and 100, unlike from channel to channel.
fn sizes(channels: usize) -> Vec<f32> {
    (0..channels).map(|c| 100f32.powf((c * 5 % channels) as f32 / (channels - 1) as f32)).collect()
}

fn fully_connected(net: &mut Net, x: ValueId, weights: ValueId, bias: ValueId, name: &str) -> ValueId {
    let op = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
    net.op(op, &[x, weights, bias], name, (0.0, 0.0))
}

fn images(count: usize) -> Vec<Tensor> {
    (0..count).map(|i| Tensor::from_vec(&[1, 8, 8, 8], noise(512, i))).collect()
}

/// Two layers whose channels differ in size: large outputs of the one meet small weights of the other.
fn uneven(depthwise: bool) -> impl Fn(&mut Net) -> ValueId {
    move |net| {
        let x = net.input("x", &[1, 8, 8, 8], (0.0, 0.0));
        let sizes = sizes(8);
        let window = Window2d { padding: Padding::Same, stride: [1, 1], dilation: [1, 1] };
        let first = match depthwise {
            false => {
                let weights = noise(64, 3).iter().enumerate().map(|(i, w)| w * sizes[i / 8]).collect();
                let (weights, bias) = (net.constant(&[8, 1, 1, 8], weights), net.constant(&[8], sizes.clone()));
                let op = Op::Conv2d { window, activation: Activation::Relu };
                net.op(op, &[x, weights, bias], "first", (0.0, 0.0))
            }
            true => {
                let weights = noise(72, 3).iter().enumerate().map(|(i, w)| w * sizes[i % 8]).collect();
                let (weights, bias) = (net.constant(&[1, 3, 3, 8], weights), net.constant(&[8], sizes.clone()));
                let op = Op::DepthwiseConv2d { window, multiplier: 1, activation: Activation::None };
                net.op(op, &[x, weights, bias], "first", (0.0, 0.0))
            }
        };
        let pads = net.ints(&[0, 0, 1, 1, 1, 1, 0, 0]);
        let pads = net.graph.constant(pads).unwrap().reshape(&[4, 2]).unwrap();
        let pads = net.graph.add_constant("pads", pads);
        let padded = net.op(Op::Pad, &[first, pads], "padded", (0.0, 0.0));
        let weights = noise(4 * 9 * 8, 5).iter().enumerate().map(|(i, w)| w / sizes[i % 8]).collect();
        let (weights, bias) = (net.constant(&[4, 3, 3, 8], weights), net.constant(&[4], vec![0.1; 4]));
        net.op(conv_op(), &[padded, weights, bias], "y", (0.0, 0.0))
    }
}

#[test]
fn layers_are_equalized() {
    for depthwise in [false, true] {
        for weights in [per_tensor(), WeightOptions::default()] {
            let bench = Bench { weights, ..Bench::new(uneven(depthwise), images(2)) };
            let gain = bench.gain(Repair::Equalize);
            assert!(gain > 10.0, "depthwise {depthwise}, {weights:?}: {gain}");
        }
    }
}

/// A factor for each channel, as after a normalization, and two matrix products.
fn normalized(net: &mut Net) -> ValueId {
    let x = net.input("x", &[1, 32, 16], (0.0, 0.0));
    let sizes = sizes(16);
    let (gamma, beta) =
        (net.constant(&[16], sizes.clone()), net.constant(&[16], sizes.iter().map(|s| s * 0.1).collect()));
    let x = net.binary(Binary::Mul, x, gamma, "scaled", (0.0, 0.0));
    let x = net.binary(Binary::Add, x, beta, "shifted", (0.0, 0.0));
    let product = |net: &mut Net, seed: usize, name: &str| {
        let weights = noise(16 * 16, seed).iter().enumerate().map(|(i, w)| w / sizes[i % 16]).collect();
        let (weights, bias) = (net.constant(&[16, 16], weights), net.constant(&[16], vec![0.0; 16]));
        fully_connected(net, x, weights, bias, name)
    };
    let (a, b) = (product(net, 1, "a"), product(net, 2, "b"));
    net.binary(Binary::Add, a, b, "y", (0.0, 0.0))
}

fn tokens(count: usize) -> Vec<Tensor> {
    (0..count).map(|i| Tensor::from_vec(&[1, 32, 16], noise(512, i))).collect()
}

#[test]
fn constant_factors_are_smoothed() {
    let gain = Bench::new(normalized, tokens(2)).gain(Repair::Smooth);
    assert!(gain > 10.0, "{gain}");
}

/// One matrix product of 32 channels.
fn product(weights: impl Fn(usize) -> f32) -> impl Fn(&mut Net) -> ValueId {
    move |net| {
        let x = net.input("x", &[1, 64, 32], (0.0, 0.0));
        let weights = noise(16 * 32, 11).iter().enumerate().map(|(i, w)| w * weights(i % 32)).collect();
        let (weights, bias) = (net.constant(&[16, 32], weights), net.constant(&[16], vec![0.0; 16]));
        fully_connected(net, x, weights, bias, "y")
    }
}

fn rows(of: impl Fn(&[f32], usize) -> f32) -> Vec<Tensor> {
    let sample = |seed: usize| {
        let noise = noise(64 * 33, seed);
        let row = |row: &[f32]| (0..32).map(|c| of(row, c)).collect::<Vec<f32>>();
        Tensor::from_vec(&[1, 64, 32], noise.chunks_exact(33).flat_map(row).collect())
    };
    (0..4).map(sample).collect()
}

#[test]
fn weights_that_meet_nothing_are_clipped() {
    let build = product(|channel| if channel == 0 { 8.0 } else { 1.0 });
    let samples = rows(|row, c| if c == 0 { row[0] * 1e-3 } else { row[c] });
    let bench = Bench { weights: per_tensor(), ..Bench::new(build, samples) };
    let gain = bench.gain(Repair::Clip);
    assert!(gain > 4.0, "{gain}");
}

/// The first weight of each output is large, and coarsens the scale of the others.
fn coarse(channel: usize) -> f32 {
    if channel == 0 { 30.0 } else { 1.0 }
}

#[test]
fn errors_of_weights_that_move_together_cancel() {
    let samples = rows(|row, c| if c == 0 { 0.0 } else { row[32] + 0.1 * row[c] });
    let gain = Bench::new(product(coarse), samples).gain(Repair::Round);
    assert!(gain > 6.0, "{gain}");
}

#[test]
fn biases_take_up_what_weights_lose_in_the_mean() {
    let samples = rows(|row, c| if c == 0 { 0.0 } else { 1.0 + 0.1 * row[c] });
    let gain = Bench::new(product(coarse), samples).gain(Repair::Bias);
    assert!(gain > 6.0, "{gain}");
}

#[test]
fn what_helps_is_kept() {
    let bench = Bench { weights: four_bits(), ..Bench::new(uneven(false), images(4)) };
    let (_, plain, _) = bench.repaired(&Repairs::None);
    let (_, better, report) = bench.repaired(&Repairs::Auto);
    assert!(report.iter().any(|r| r.repair == Repair::Equalize && r.kept), "{report:?}");
    assert!(report.iter().all(|r| r.kept == (r.gain >= 0.1)), "{report:?}");
    assert!(bench.score(&better) > bench.score(&plain) + 1.0, "{report:?}");
    assert_eq!(bench.repaired(&Repairs::Auto).1, better, "the same each time");
}

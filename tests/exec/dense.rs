use litesmith::graph::{Activation, Binary, Op, Padding, Window2d, Window3d};
use litesmith::tensor::{DType, Perm, Tensor};

use super::{Random, at, case, define, floats, indices, ints};

/// How one axis of a convolution goes: extents of operand, window and result, and what is padded before.
#[derive(Debug, Clone, Copy)]
struct Axis {
    input: usize,
    filter: usize,
    stride: usize,
    dilation: usize,
    output: usize,
    before: usize,
}

impl Axis {
    fn new(padding: Padding, input: usize, filter: usize, stride: usize, dilation: usize) -> Axis {
        let span = (filter - 1) * dilation + 1;
        let (output, before) = match padding {
            Padding::Valid => ((input - span) / stride + 1, 0),
            Padding::Same => {
                let output = input.div_ceil(stride);
                let last = (output - 1) * stride + span;
                (output, last.saturating_sub(input) / 2)
            }
        };
        Axis { input, filter, stride, dilation, output, before }
    }

    fn random(random: &mut Random, padding: Padding, dilated: bool) -> Axis {
        let filter = random.between(1, 4);
        let dilation = if dilated { random.between(1, 2) } else { 1 };
        let span = (filter - 1) * dilation + 1;
        let input = random.between(if padding == Padding::Valid { span } else { 1 }, 9);
        Axis::new(padding, input, filter, random.between(1, 3), dilation)
    }

    /// Which element of the operand tap `k` meets at place `i`.
    fn source(&self, i: usize, k: usize) -> Option<usize> {
        (i * self.stride + k * self.dilation).checked_sub(self.before).filter(|&p| p < self.input)
    }
}

fn padding(random: &mut Random) -> Padding {
    if random.flag() { Padding::Same } else { Padding::Valid }
}

fn activation(random: &mut Random) -> Activation {
    [Activation::None, Activation::Relu, Activation::Relu6, Activation::ReluN1To1][random.below(4)]
}

fn activate(activation: Activation, x: f64) -> f32 {
    (match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::ReluN1To1 => x.clamp(-1.0, 1.0),
        Activation::Tanh | Activation::SignBit => unreachable!("not drawn"),
    }) as f32
}

/// The definition of a convolution, channels last. `weight(o, taps, i)` is the filter of output channel `o`, `i` an input channel
/// of the group of `per_group` that `o` belongs to.
fn convolved(
    x: &Tensor,
    axes: &[Axis],
    [outputs, groups, per_group]: [usize; 3],
    weight: impl Fn(usize, &[usize], usize) -> f32,
    finish: impl Fn(usize, f64) -> f32,
) -> Tensor {
    let taps = indices(&axes.iter().map(|a| a.filter).collect::<Vec<_>>());
    let shape = [&[x.shape()[0]], &axes.iter().map(|a| a.output).collect::<Vec<_>>()[..], &[outputs]].concat();
    define(&shape, |index| {
        let (o, places) = (index[axes.len() + 1], &index[1..=axes.len()]);
        let group = o / (outputs / groups);
        let mut sum = 0.0;
        for tap in &taps {
            let from = axes.iter().zip(places).zip(tap).map(|((axis, &i), &k)| axis.source(i, k));
            let Some(from) = from.collect::<Option<Vec<_>>>() else { continue };
            for i in 0..per_group {
                let place = [&[index[0]], &from[..], &[group * per_group + i]].concat();
                sum += f64::from(at::<f32>(x, &place)) * f64::from(weight(o, tap, i));
            }
        }
        finish(o, sum)
    })
}

/// Weights once as a constant of the graph, once given at each run.
fn with_weights(op: Op, x: &Tensor, weights: &Tensor, bias: &Tensor, expected: &Tensor) {
    let fixed = case(op.clone()).input(x.clone()).constant(weights.clone()).constant(bias.clone());
    fixed.gives_about(expected, 2e-6);
    case(op).input(x.clone()).input(weights.clone()).input(bias.clone()).gives_about(expected, 2e-6);
}

#[test]
fn conv_2d_at_random() {
    let mut random = Random::new(20);
    for _ in 0..60 {
        let padding = padding(&mut random);
        let axes = [Axis::random(&mut random, padding, true), Axis::random(&mut random, padding, true)];
        let (groups, per_group) = (random.between(1, 3), random.between(1, 4));
        let outputs = groups * random.between(1, 5);
        let x = random.floats(&[random.0 as usize % 3 + 1, axes[0].input, axes[1].input, groups * per_group]);
        let w = random.floats(&[outputs, axes[0].filter, axes[1].filter, per_group]);
        let b = random.floats(&[outputs]);
        let activation = activation(&mut random);
        let expected = convolved(
            &x,
            &axes,
            [outputs, groups, per_group],
            |o, tap, i| at::<f32>(&w, &[o, tap[0], tap[1], i]),
            |o, sum| activate(activation, sum + f64::from(at::<f32>(&b, &[o]))),
        );
        let window = Window2d { padding, stride: axes.map(|a| a.stride), dilation: axes.map(|a| a.dilation) };
        with_weights(Op::Conv2d { window, activation }, &x, &w, &b, &expected);
    }
}

#[test]
fn depthwise_conv_2d_at_random() {
    let mut random = Random::new(21);
    for round in 0..60 {
        let padding = padding(&mut random);
        let axes = [Axis::random(&mut random, padding, true), Axis::random(&mut random, padding, true)];
        // Enough channels, now and then, for whatever works in blocks of them.
        let (channels, multiplier) = (if round % 4 == 0 { 37 } else { random.between(1, 5) }, random.between(1, 3));
        let outputs = channels * multiplier;
        let x = random.floats(&[round % 2 + 1, axes[0].input, axes[1].input, channels]);
        let w = random.floats(&[1, axes[0].filter, axes[1].filter, outputs]);
        let b = random.floats(&[outputs]);
        let activation = activation(&mut random);
        let expected = convolved(
            &x,
            &axes,
            [outputs, channels, 1],
            |o, tap, _| at::<f32>(&w, &[0, tap[0], tap[1], o]),
            |o, sum| activate(activation, sum + f64::from(at::<f32>(&b, &[o]))),
        );
        let window = Window2d { padding, stride: axes.map(|a| a.stride), dilation: axes.map(|a| a.dilation) };
        with_weights(Op::DepthwiseConv2d { window, multiplier, activation }, &x, &w, &b, &expected);
    }
}

#[test]
fn conv_3d_at_random() {
    let mut random = Random::new(22);
    for round in 0..30 {
        let padding = padding(&mut random);
        let axes: [Axis; 3] = std::array::from_fn(|_| Axis::random(&mut random, padding, true));
        let (inputs, outputs) = (random.between(1, 4), random.between(1, 4));
        let x = random.floats(&[round % 2 + 1, axes[0].input, axes[1].input, axes[2].input, inputs]);
        let w = random.floats(&[axes[0].filter, axes[1].filter, axes[2].filter, inputs, outputs]);
        let b = random.floats(&[outputs]);
        let activation = activation(&mut random);
        let weight = |o, tap: &[usize], i| at::<f32>(&w, &[tap[0], tap[1], tap[2], i, o]);
        let window = Window3d { padding, stride: axes.map(|a| a.stride), dilation: axes.map(|a| a.dilation) };
        let op = Op::Conv3d { window, activation };
        let plain = convolved(&x, &axes, [outputs, 1, inputs], weight, |_, sum| activate(activation, sum));
        case(op.clone()).input(x.clone()).constant(w.clone()).gives_about(&plain, 2e-6);
        let biased = convolved(&x, &axes, [outputs, 1, inputs], weight, |o, sum| {
            activate(activation, sum + f64::from(at::<f32>(&b, &[o])))
        });
        with_weights(op, &x, &w, &b, &biased);
    }
}

/// The definition of a transposed convolution: each element of the data adds the filter, scaled by it, to the result.
/// `axes` are those of the convolution that leads from the result back to the data.
fn spread(
    x: &Tensor,
    axes: &[Axis],
    outputs: usize,
    weight: impl Fn(usize, &[usize], usize) -> f32,
    finish: impl Fn(usize, f64) -> f32,
) -> Tensor {
    let taps = indices(&axes.iter().map(|a| a.filter).collect::<Vec<_>>());
    let shape = [&[x.shape()[0]], &axes.iter().map(|a| a.input).collect::<Vec<_>>()[..], &[outputs]].concat();
    let mut sums = vec![0.0; shape.iter().product()];
    for index in indices(x.shape()) {
        let (places, i) = (&index[1..=axes.len()], index[axes.len() + 1]);
        for tap in &taps {
            let to = axes.iter().zip(places).zip(tap).map(|((axis, &i), &k)| axis.source(i, k));
            let Some(to) = to.collect::<Option<Vec<_>>>() else { continue };
            for o in 0..outputs {
                let place = [&[index[0]], &to[..], &[o]].concat();
                let flat = place.iter().zip(&shape).fold(0, |flat, (&i, &dim)| flat * dim + i);
                sums[flat] += f64::from(at::<f32>(x, &index)) * f64::from(weight(o, tap, i));
            }
        }
    }
    let finished = sums.iter().enumerate().map(|(flat, &sum)| finish(flat % outputs, sum));
    Tensor::from_vec(&shape, finished.collect())
}

#[test]
fn transpose_conv_at_random() {
    let mut random = Random::new(23);
    for round in 0..60 {
        let padding = padding(&mut random);
        let axes = [Axis::random(&mut random, padding, false), Axis::random(&mut random, padding, false)];
        let (inputs, outputs) = (random.between(1, 5), random.between(1, 4));
        let x = random.floats(&[round % 2 + 1, axes[0].output, axes[1].output, inputs]);
        let w = random.floats(&[outputs, axes[0].filter, axes[1].filter, inputs]);
        let b = random.floats(&[outputs]);
        let activation = activation(&mut random);
        let weight = |o, tap: &[usize], i| at::<f32>(&w, &[o, tap[0], tap[1], i]);
        let bias = |o, sum| activate(activation, sum + f64::from(at::<f32>(&b, &[o])));
        let expected = spread(&x, &axes, outputs, weight, bias);
        let shape: Vec<i32> = expected.shape().iter().map(|&d| d as i32).collect();
        let op = Op::TransposeConv { padding, stride: axes.map(|a| a.stride), activation };
        let start = || case(op.clone()).constant(ints(&shape));
        start().constant(w.clone()).input(x.clone()).constant(b.clone()).gives_about(&expected, 2e-6);
        start().input(w.clone()).input(x.clone()).input(b.clone()).gives_about(&expected, 2e-6);
        let plain = spread(&x, &axes, outputs, weight, |_, sum| activate(activation, sum));
        start().constant(w.clone()).input(x.clone()).gives_about(&plain, 2e-6);
    }
}

#[test]
fn conv_3d_transpose_at_random() {
    let mut random = Random::new(24);
    for round in 0..20 {
        let padding = padding(&mut random);
        let axes: [Axis; 3] = std::array::from_fn(|_| Axis::random(&mut random, padding, true));
        let (inputs, outputs) = (random.between(1, 3), random.between(1, 3));
        let x = random.floats(&[round % 2 + 1, axes[0].output, axes[1].output, axes[2].output, inputs]);
        let w = random.floats(&[axes[0].filter, axes[1].filter, axes[2].filter, outputs, inputs]);
        let weight = |o, tap: &[usize], i| at::<f32>(&w, &[tap[0], tap[1], tap[2], o, i]);
        let expected = spread(&x, &axes, outputs, weight, |_, sum| sum as f32);
        let shape: Vec<i32> = expected.shape().iter().map(|&d| d as i32).collect();
        let window = Window3d { padding, stride: axes.map(|a| a.stride), dilation: axes.map(|a| a.dilation) };
        let op = Op::Conv3dTranspose { window, activation: Activation::None };
        case(op).constant(ints(&shape)).constant(w.clone()).input(x).gives_about(&expected, 2e-6);
    }
}

#[test]
fn fully_connected_at_random() {
    let mut random = Random::new(25);
    for _ in 0..60 {
        let keep_num_dims = random.flag();
        let (k, n) = (random.between(1, 40), random.between(1, 40));
        let outer_rank = random.between(1, 3);
        let outer = random.shape(outer_rank, 4);
        let x = random.floats(&[&outer[..], &[k]].concat());
        let (w, b) = (random.floats(&[n, k]), random.floats(&[n]));
        let rows: usize = outer.iter().product();
        let flat = x.reshape(&[rows, k]).unwrap();
        let activation = activation(&mut random);
        let product = |bias: bool| {
            define(&[rows, n], |index| {
                let terms = (0..k)
                    .map(|i| f64::from(at::<f32>(&flat, &[index[0], i])) * f64::from(at::<f32>(&w, &[index[1], i])));
                let bias = if bias { f64::from(at::<f32>(&b, &[index[1]])) } else { 0.0 };
                activate(activation, terms.sum::<f64>() + bias)
            })
        };
        let shape = if keep_num_dims { [&outer[..], &[n]].concat() } else { vec![rows, n] };
        let op = Op::FullyConnected { keep_num_dims, asymmetric_inputs: false, activation };
        with_weights(op.clone(), &x, &w, &b, &product(true).reshape(&shape).unwrap());
        let plain = case(op).input(x).constant(w.clone()).absent();
        plain.gives_about(&product(false).reshape(&shape).unwrap(), 2e-6);
    }
}

#[test]
fn rows_are_whole_stretches_of_elements_without_keep_num_dims() {
    // Rows of 4 out of a last axis of 2.
    let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
    let x = floats(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    case(op).input(x).constant(floats(&[1, 4], &[1.0; 4])).gives(&floats(&[2, 1], &[10.0, 26.0]));
}

#[test]
fn batch_mat_mul_at_random() {
    let mut random = Random::new(26);
    for _ in 0..80 {
        let (m, k, n) = (random.between(1, 9), random.between(1, 9), random.between(1, 9));
        let (adj_x, adj_y) = (random.flag(), random.flag());
        let batch_rank = random.below(3);
        let batch = random.shape(batch_rank, 3);
        let own = |random: &mut Random| -> Vec<usize> {
            let kept = random.between(0, batch.len());
            batch[batch.len() - kept..].iter().map(|&d| if random.flag() { d } else { 1 }).collect()
        };
        let (batch_a, batch_b) = (own(&mut random), own(&mut random));
        let a = random.floats(&[&batch_a[..], &if adj_x { [k, m] } else { [m, k] }].concat());
        let b = random.floats(&[&batch_b[..], &if adj_y { [n, k] } else { [k, n] }].concat());
        let rank = batch_a.len().max(batch_b.len());
        let dim = |s: &[usize], axis: usize| (axis + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
        let joint: Vec<usize> = (0..rank).map(|axis| dim(&batch_a, axis).max(dim(&batch_b, axis))).collect();
        let expected = define(&[&joint[..], &[m, n]].concat(), |index| {
            let place = |s: &[usize], row: usize, column: usize, swap: bool| {
                let skip = rank - s.len();
                let mut place: Vec<usize> =
                    s.iter().zip(&index[skip..]).map(|(&d, &i)| if d == 1 { 0 } else { i }).collect();
                place.extend(if swap { [column, row] } else { [row, column] });
                place
            };
            let (i, j) = (index[rank], index[rank + 1]);
            let term = |k| {
                f64::from(at::<f32>(&a, &place(&batch_a, i, k, adj_x)))
                    * f64::from(at::<f32>(&b, &place(&batch_b, k, j, adj_y)))
            };
            (0..k).map(term).sum::<f64>() as f32
        });
        let op = Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: false };
        case(op.clone()).input(a.clone()).input(b.clone()).gives_about(&expected, 2e-6);
        case(op.clone()).input(a.clone()).constant(b.clone()).gives_about(&expected, 2e-6);
        case(op).constant(a).input(b).gives_about(&expected, 2e-6);
    }
}

#[test]
fn large_products_keep_their_precision() {
    let mut random = Random::new(27);
    let (x, w) = (random.floats(&[65, 513]), random.floats(&[129, 513]));
    let expected = define(&[65, 129], |index| {
        (0..513)
            .map(|k| f64::from(at::<f32>(&x, &[index[0], k])) * f64::from(at::<f32>(&w, &[index[1], k])))
            .sum::<f64>() as f32
    });
    let op = Op::BatchMatMul { adj_x: false, adj_y: true, asymmetric_inputs: false };
    case(op.clone()).input(x.clone()).constant(w.clone()).gives_about(&expected, 1e-5);
    let swapped = w.permute(&Perm::new(vec![1, 0]).unwrap());
    let op = Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false };
    case(op).input(x).input(swapped).gives_about(&expected, 1e-5);
}

#[test]
fn only_floats_are_multiplied() {
    let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
    let x = Tensor::zeros(DType::I8, &[1, 2]).unwrap();
    case(op).input(x.clone()).constant(x).fails();
}

#[test]
fn empty_batches_stay_empty() {
    let window = Window2d { padding: Padding::Same, stride: [1, 1], dilation: [1, 1] };
    let x = Tensor::zeros(DType::F32, &[0, 4, 4, 2]).unwrap();
    let conv =
        case(Op::Conv2d { window, activation: Activation::None }).input(x).constant(floats(&[3, 1, 1, 2], &[1.0; 6]));
    conv.constant(floats(&[3], &[0.0; 3])).gives(&Tensor::zeros(DType::F32, &[0, 4, 4, 3]).unwrap());
}

#[test]
fn fused_functions_that_kernels_ignore_are_refused() {
    for activation in [Activation::Tanh, Activation::SignBit] {
        let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation };
        case(op).input(floats(&[1, 1], &[1.0])).constant(floats(&[1, 1], &[1.0])).fails();
        let op = Op::Binary(Binary::Add, activation);
        case(op).input(floats(&[1], &[1.0])).constant(floats(&[1], &[1.0])).fails();
    }
}

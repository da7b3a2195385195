//! Quantized graphs in LiteRT, beside the float graph that they come from: every row of the table that says int8 must load and
//! be right in XNNPACK, in the built-in kernels and in the reference kernels. Skipped where there is no LiteRT.

use super::*;
use crate::exec::Runner;
use crate::graph::{MirrorMode, Reduce, SliceMasks};
use crate::runtime::{ElementType, Input, Kernels, Library, Options, RuntimeError, Session};
use crate::tflite;

/// Makes a float graph and returns its output.
pub(super) type Build = fn(&mut Net) -> ValueId;

pub(super) fn library() -> Option<Library> {
    match Library::find(None) {
        Ok(library) => Some(library),
        Err(error @ RuntimeError::NotFound { .. }) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Numbers between -1 and 1, the same each time.
pub(super) fn noise(len: usize, seed: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (((i + 31 * seed) as f32 + 1.0) * 12.9898).sin() * 43_758.547)
        .map(|x| 2.0 * (x - x.floor()) - 1.0)
        .collect()
}

/// Runs a quantized graph of float inputs; all outputs, one after the other.
pub(super) fn run(
    library: &Library,
    kernels: Kernels,
    graph: &Graph,
    inputs: &[Tensor],
) -> Result<Vec<Vec<u8>>, RuntimeError> {
    let model = Model::single(graph.clone());
    let file = tflite::write(&model, &tflite::WriteOptions::default()).unwrap().to_bytes();
    let mut session = Session::new(library, file, &Options { kernels, ..Default::default() })?;
    let inputs = graph.inputs.iter().zip(inputs).map(|(&id, tensor)| Input {
        name: &graph.value(id).name,
        element_type: match tensor.dtype() {
            DType::F32 => ElementType::Float32,
            DType::I8 => ElementType::Int8,
            DType::U8 => ElementType::UInt8,
            DType::I16 => ElementType::Int16,
            _ => ElementType::Int32,
        },
        dims: tensor.shape(),
        bytes: tensor.bytes(),
    });
    Ok(session.run(&inputs.collect::<Vec<_>>())?.into_iter().map(|output| output.bytes).collect())
}

/// A quantized graph with what the float graph makes of some inputs.
pub(super) struct Case {
    pub(super) graph: Graph,
    pub(super) report: QuantReport,
    pub(super) inputs: Vec<Tensor>,
    expected: Vec<Tensor>,
}

impl Case {
    /// `scale` is that of the inputs; integer inputs count up from zero.
    fn new(build: Build, scale: f32, options: IntegerOptions) -> Case {
        Case::of(Net::new(), build, (scale, 0), Quantize::Int8.into(), options)
    }

    /// Every operator alone, with every kernel: `seed` makes other numbers.
    pub(super) fn alone(build: Build, (scale, seed): (f32, usize), choice: Choice) -> Case {
        let net = Net { alone: true, ..Net::new() };
        Case::of(net, build, (scale, seed), choice, IntegerOptions { every_kernel: true })
    }

    fn of(mut net: Net, build: Build, (scale, of): (f32, usize), choice: Choice, options: IntegerOptions) -> Case {
        let output = build(&mut net);
        let mut graph = net.graph;
        graph.outputs = vec![output];
        let tensor = |(seed, &id): (usize, &ValueId)| {
            let shape = graph.shape(id).as_fixed().unwrap();
            let len = shape.iter().product();
            match graph.dtype(id) {
                DType::F32 => Tensor::from_vec(&shape, noise(len, seed + 7 * of).iter().map(|x| x * scale).collect()),
                _ => Tensor::from_vec(&shape, (0..len as i32).collect()),
            }
        };
        let inputs: Vec<Tensor> = graph.inputs.iter().enumerate().map(tensor).collect();
        let runner = Runner::new(&graph).unwrap();
        let expected = runner.run(&inputs).unwrap();
        let seen = observe(&graph, &runner, &vec![inputs.clone()], &|| ()).unwrap();
        let statistics = seen.statistics(Method::MinMax);
        let report = quantize_integer(&mut graph, &statistics, &Choices::all(choice), options).unwrap();
        assert_sound(&graph);
        Case { graph, report, inputs, expected }
    }

    /// Signal to noise of the quantized graph in LiteRT, in dB.
    fn run(&self, library: &Library, kernels: Kernels) -> Result<f64, RuntimeError> {
        let outputs = run(library, kernels, &self.graph, &self.inputs)?;
        let (mut signal, mut noise) = (0.0, 0.0);
        for (output, expected) in outputs.into_iter().zip(&self.expected) {
            let bytes = bytes::Bytes::from(output);
            let got = Tensor::new(expected.dtype(), expected.shape().to_vec(), bytes).unwrap().to_f64s().unwrap();
            for (got, want) in got.iter().zip(expected.to_f64s().unwrap()) {
                signal += want * want;
                noise += (got - want) * (got - want);
            }
        }
        Ok(10.0 * ((signal + 1e-30) / (noise + 1e-30)).log10())
    }
}

fn image(net: &mut Net) -> ValueId {
    net.input("x", &[1, 4, 6, 4], (0.0, 0.0))
}

fn op(net: &mut Net, op: Op, inputs: &[ValueId]) -> ValueId {
    net.op(op, inputs, "y", (0.0, 0.0))
}

/// `op` between two operators that compute in int8 whatever their neighbours do.
fn between(net: &mut Net, make: impl Fn(&mut Net, ValueId) -> ValueId) -> ValueId {
    let x = image(net);
    if net.alone {
        return make(net, x);
    }
    let x = net.conv(x, "before", (0.0, 0.0));
    let y = make(net, x);
    // A matrix product is worth int8, and fits behind anything: it sums up what is there.
    let last = net.graph.shape(y).dims().last().copied().flatten().unwrap();
    let weights = net.constant(&[3, last], noise(3 * last, 7));
    let fc = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
    net.op(fc, &[y, weights], "after", (0.0, 0.0))
}

/// A value of the shape of `x`, computed where an operator has neighbours.
fn another(net: &mut Net, x: ValueId) -> ValueId {
    if net.alone {
        let shape = net.graph.shape(x).as_fixed().unwrap();
        return net.input(&format!("x{}", net.graph.inputs.len()), &shape, (0.0, 0.0));
    }
    net.conv(x, "other", (0.0, 0.0))
}

fn unary(net: &mut Net, kind: Unary) -> ValueId {
    between(net, |net, x| op(net, Op::Unary(kind), &[x]))
}

fn binary(net: &mut Net, kind: Binary) -> ValueId {
    between(net, |net, x| {
        let y = another(net, x);
        op(net, Op::Binary(kind, Activation::None), &[x, y])
    })
}

fn by_constant(net: &mut Net, kind: Binary) -> ValueId {
    between(net, |net, x| {
        let c = net.constant(&[4], vec![0.5, -0.25, 0.125, 1.5]);
        op(net, Op::Binary(kind, Activation::Relu), &[x, c])
    })
}

fn reduce(net: &mut Net, kind: Reduce) -> ValueId {
    between(net, |net, x| {
        let axes = net.ints(&[1, 2]);
        op(net, Op::Reduce { kind, keep_dims: true }, &[x, axes])
    })
}

fn concat(net: &mut Net, parts: usize) -> ValueId {
    between(net, |net, x| {
        let parts: Vec<ValueId> = (0..parts).map(|i| if i % 2 == 0 { x } else { another(net, x) }).collect();
        op(net, Op::Concatenation { axis: 3 }, &parts)
    })
}

fn with_ints(net: &mut Net, what: Op, ints: &[i32]) -> ValueId {
    between(net, |net, x| {
        let ints = net.ints(ints);
        op(net, what.clone(), &[x, ints])
    })
}

fn pads(net: &mut Net) -> ValueId {
    net.graph.add_constant("pads", Tensor::from_vec(&[4, 2], vec![0i32, 0, 1, 1, 1, 1, 0, 0]))
}

fn conv(net: &mut Net, what: Op, filter: &[usize], channels: usize) -> ValueId {
    let x = image(net);
    let weights = net.constant(filter, noise(filter.iter().product(), 3));
    let bias = net.constant(&[channels], noise(channels, 4));
    op(net, what, &[x, weights, bias])
}

fn window(padding: Padding, stride: usize) -> Window2d {
    Window2d { padding, stride: [stride, stride], dilation: [1, 1] }
}

#[rustfmt::skip]
pub(super) const ROWS: &[(&str, Build)] = &[
    ("ABS", |net| unary(net, Unary::Abs)),
    ("ELU", |net| unary(net, Unary::Elu)),
    ("GELU", |net| unary(net, Unary::Gelu)),
    ("HARD_SWISH", |net| unary(net, Unary::HardSwish)),
    ("LOGISTIC", |net| unary(net, Unary::Logistic)),
    ("TANH", |net| unary(net, Unary::Tanh)),
    ("RELU", |net| unary(net, Unary::Relu)),
    ("RELU6", |net| unary(net, Unary::Relu6)),
    ("RELU_N1_TO_1", |net| unary(net, Unary::ReluN1To1)),
    ("RELU_0_TO_1", |net| unary(net, Unary::Relu0To1)),
    ("MUL", |net| unary(net, Unary::Neg)),
    ("LEAKY_RELU", |net| between(net, |net, x| op(net, Op::LeakyRelu { alpha: 0.1 }, &[x]))),
    ("PRELU", |net| between(net, |net, x| {
        let alpha = net.constant(&[4], vec![0.25, 0.1, -0.2, 1.5]);
        op(net, Op::Prelu, &[x, alpha])
    })),
    ("ADD", |net| binary(net, Binary::Add)),
    ("SUB", |net| binary(net, Binary::Sub)),
    ("MUL", |net| binary(net, Binary::Mul)),
    ("MAXIMUM", |net| binary(net, Binary::Maximum)),
    ("MINIMUM", |net| binary(net, Binary::Minimum)),
    ("ADD", |net| by_constant(net, Binary::Add)),
    ("SUB", |net| by_constant(net, Binary::Sub)),
    ("MUL", |net| by_constant(net, Binary::Mul)),
    ("MUL", |net| by_constant(net, Binary::Div)),
    ("SELECT_V2", |net| between(net, |net, x| {
        let y = another(net, x);
        let which: Vec<bool> = (0..24).map(|i| i % 3 == 0).collect();
        let which = net.graph.add_constant("which", Tensor::from_bools(&[1, 4, 6, 1], &which));
        op(net, Op::Select, &[which, x, y])
    })),
    ("SOFTMAX", |net| between(net, |net, x| op(net, Op::Softmax { beta: 1.0 }, &[x]))),
    ("L2_NORMALIZATION", |net| between(net, |net, x| op(net, Op::L2Normalization, &[x]))),
    ("CONV_2D", |net| conv(net, Op::Conv2d { window: window(Padding::Same, 2), activation: Activation::Relu }, &[5, 3, 3, 4], 5)),
    ("CONV_2D", |net| conv(net, Op::Conv2d { window: window(Padding::Valid, 1), activation: Activation::None }, &[4, 3, 3, 2], 4)),
    ("CONV_2D", |net| conv(net, Op::Conv2d { window: window(Padding::Same, 1), activation: Activation::None }, &[64, 3, 3, 4], 64)),
    ("CONV_2D", |net| conv(net, Op::Conv2d { window: window(Padding::Same, 1), activation: Activation::None }, &[128, 3, 3, 2], 128)),
    ("FULLY_CONNECTED", |net| {
        let x = image(net);
        let weights = net.constant(&[512, 4], noise(2048, 3));
        op(net, Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None }, &[x, weights])
    }),
    ("DEPTHWISE_CONV_2D", |net| {
        let what = Op::DepthwiseConv2d { window: window(Padding::Same, 1), multiplier: 2, activation: Activation::Relu6 };
        conv(net, what, &[1, 3, 3, 8], 8)
    }),
    ("TRANSPOSE_CONV", |net| {
        let x = image(net);
        let shape = net.ints(&[1, 8, 12, 3]);
        let weights = net.constant(&[3, 2, 2, 4], noise(48, 3));
        let bias = net.constant(&[3], noise(3, 4));
        op(net, Op::TransposeConv { padding: Padding::Valid, stride: [2, 2], activation: Activation::None }, &[shape, weights, x, bias])
    }),
    ("FULLY_CONNECTED", |net| {
        let x = image(net);
        let weights = net.constant(&[7, 4], noise(28, 3));
        let bias = net.constant(&[7], noise(7, 4));
        let activation = Activation::Relu;
        op(net, Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation }, &[x, weights, bias])
    }),
    ("BATCH_MATMUL", |net| {
        let (x, y) = (net.input("a", &[2, 3, 8], (0.0, 0.0)), net.input("b", &[2, 5, 8], (0.0, 0.0)));
        op(net, Op::BatchMatMul { adj_x: false, adj_y: true, asymmetric_inputs: false }, &[x, y])
    }),
    ("BATCH_MATMUL", |net| {
        let x = net.input("a", &[2, 3, 8], (0.0, 0.0));
        let y = net.constant(&[8, 5], noise(40, 2).iter().map(|x| x + 0.5).collect());
        op(net, Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false }, &[x, y])
    }),
    ("AVERAGE_POOL_2D", |net| between(net, |net, x| {
        let kind = Pool::Average;
        op(net, Op::Pool2d { kind, padding: Padding::Same, stride: [1, 1], filter: [3, 3], activation: Activation::None }, &[x])
    })),
    ("MAX_POOL_2D", |net| between(net, |net, x| op(net, max_pool(), &[x]))),
    ("RESIZE_BILINEAR", |net| with_ints(net, Op::ResizeBilinear { align_corners: false, half_pixel_centers: true }, &[8, 9])),
    ("RESIZE_NEAREST_NEIGHBOR", |net| with_ints(net, Op::ResizeNearest { align_corners: false, half_pixel_centers: true }, &[8, 9])),
    ("DEPTH_TO_SPACE", |net| between(net, |net, x| op(net, Op::DepthToSpace { block: 2 }, &[x]))),
    ("SPACE_TO_DEPTH", |net| between(net, |net, x| op(net, Op::SpaceToDepth { block: 2 }, &[x]))),
    ("SPACE_TO_BATCH_ND", |net| between(net, |net, x| {
        let block = net.ints(&[2, 2]);
        let pads = net.graph.add_constant("pads", Tensor::from_vec(&[2, 2], vec![1i32, 1, 0, 0]));
        op(net, Op::SpaceToBatch, &[x, block, pads])
    })),
    ("BATCH_TO_SPACE_ND", |net| between(net, |net, x| {
        let dims = net.ints(&[4, 2, 3, 4]);
        let x = op(net, Op::Reshape, &[x, dims]);
        let block = net.ints(&[2, 2]);
        let crops = net.graph.add_constant("crops", Tensor::from_vec(&[2, 2], vec![1i32, 0, 0, 1]));
        op(net, Op::BatchToSpace, &[x, block, crops])
    })),
    ("PAD", |net| between(net, |net, x| { let pads = pads(net); op(net, Op::Pad, &[x, pads]) })),
    ("PADV2", |net| between(net, |net, x| {
        let pads = pads(net);
        let value = net.constant(&[], vec![0.75]);
        op(net, Op::PadV2, &[x, pads, value])
    })),
    ("PADV2", |net| between(net, |net, x| {
        let pads = pads(net);
        let value = net.constant(&[], vec![f32::NEG_INFINITY]);
        let padded = op(net, Op::PadV2, &[x, pads, value]);
        op(net, max_pool(), &[padded])
    })),
    ("MIRROR_PAD", |net| between(net, |net, x| { let pads = pads(net); op(net, Op::MirrorPad { mode: MirrorMode::Reflect }, &[x, pads]) })),
    ("RESHAPE", |net| with_ints(net, Op::Reshape, &[2, 12, 4])),
    ("SQUEEZE", |net| between(net, |net, x| op(net, Op::Squeeze { axes: vec![0] }, &[x]))),
    ("EXPAND_DIMS", |net| between(net, |net, x| {
        let axis = net.graph.add_constant("axis", Tensor::scalar(0i32));
        op(net, Op::ExpandDims, &[x, axis])
    })),
    ("TRANSPOSE", |net| with_ints(net, Op::Transpose, &[0, 3, 1, 2])),
    ("CONCATENATION", |net| concat(net, 2)),
    ("CONCATENATION", |net| concat(net, 7)),
    ("SPLIT", |net| between(net, |net, x| {
        let axis = net.graph.add_constant("axis", Tensor::scalar(3i32));
        let parts = Builder::new(&mut net.graph, &NoEvaluate).emit(Op::Split { parts: 2 }, &[Some(axis), Some(x)]).unwrap();
        op(net, Op::Binary(Binary::Add, Activation::None), &parts)
    })),
    ("SPLIT_V", |net| between(net, |net, x| {
        let axis = net.graph.add_constant("axis", Tensor::scalar(3i32));
        let sizes = net.ints(&[1, 3]);
        let parts = Builder::new(&mut net.graph, &NoEvaluate).emit(Op::SplitV { parts: 2 }, &[Some(x), Some(sizes), Some(axis)]);
        op(net, Op::Binary(Binary::Add, Activation::None), &parts.unwrap())
    })),
    ("PACK", |net| between(net, |net, x| { let y = another(net, x); op(net, Op::Pack { axis: 1 }, &[x, y]) })),
    ("UNPACK", |net| between(net, |net, x| {
        let parts = Builder::new(&mut net.graph, &NoEvaluate).emit(Op::Unpack { axis: 1, parts: 4 }, &[Some(x)]).unwrap();
        op(net, Op::Binary(Binary::Add, Activation::None), &parts[1..3])
    })),
    ("SLICE", |net| between(net, |net, x| {
        let (begin, size) = (net.ints(&[0, 1, 0, 0]), net.ints(&[1, 2, 6, 3]));
        op(net, Op::Slice, &[x, begin, size])
    })),
    ("STRIDED_SLICE", |net| between(net, |net, x| {
        let (begin, end, strides) = (net.ints(&[0, 3, 0, 0]), net.ints(&[1, 0, 6, 4]), net.ints(&[1, -1, 2, 1]));
        op(net, Op::StridedSlice(SliceMasks::default()), &[x, begin, end, strides])
    })),
    ("GATHER", |net| with_ints(net, Op::Gather { axis: 2, batch_dims: 0 }, &[5, 0, 3])),
    ("GATHER", |net| {
        let table = net.constant(&[300, 4], noise(1200, 5));
        let ids = net.graph.add_input("ids", Type::new(DType::I32, Shape::fixed(&[6])));
        op(net, Op::Gather { axis: 0, batch_dims: 0 }, &[table, ids])
    }),
    ("GATHER_ND", |net| between(net, |net, x| {
        let indices = net.graph.add_constant("indices", Tensor::from_vec(&[2, 2], vec![0i32, 3, 0, 1]));
        op(net, Op::GatherNd, &[x, indices])
    })),
    ("EMBEDDING_LOOKUP", |net| {
        let table = net.constant(&[300, 4], noise(1200, 5));
        let ids = net.graph.add_input("ids", Type::new(DType::I32, Shape::fixed(&[6])));
        op(net, Op::EmbeddingLookup, &[ids, table])
    }),
    ("TILE", |net| with_ints(net, Op::Tile, &[1, 2, 1, 1])),
    ("BROADCAST_TO", |net| with_ints(net, Op::BroadcastTo, &[3, 4, 6, 4])),
    ("REVERSE_V2", |net| with_ints(net, Op::Reverse, &[1])),
    ("TOPK_V2", |net| between(net, |net, x| {
        let k = net.graph.add_constant("k", Tensor::scalar(2i32));
        Builder::new(&mut net.graph, &NoEvaluate).emit(Op::TopK, &[Some(x), Some(k)]).unwrap()[0]
    })),
    ("MEAN", |net| reduce(net, Reduce::Sum)),
    ("MEAN", |net| reduce(net, Reduce::Mean)),
    ("REDUCE_MAX", |net| reduce(net, Reduce::Max)),
    ("REDUCE_MIN", |net| reduce(net, Reduce::Min)),
];

/// Rows that are used on request only: what they lose shows in the figures.
#[rustfmt::skip]
pub(super) const LOSSY: &[(&str, f64, Build)] = &[
    ("EXP", 25.0, |net| unary(net, Unary::Exp)),
    ("SQRT", 15.0, |net| between(net, |net, x| { let x = op(net, Op::Unary(Unary::Abs), &[x]); op(net, Op::Unary(Unary::Sqrt), &[x]) })),
    ("LOG", 15.0, |net| between(net, |net, x| { let x = above(net, x); op(net, Op::Unary(Unary::Log), &[x]) })),
    ("RSQRT", 15.0, |net| between(net, |net, x| { let x = above(net, x); op(net, Op::Unary(Unary::Rsqrt), &[x]) })),
    ("MUL", 25.0, |net| unary(net, Unary::Square)),
    ("SQUARED_DIFFERENCE", 25.0, |net| binary(net, Binary::SquaredDifference)),
    ("LOG_SOFTMAX", 25.0, |net| between(net, |net, x| op(net, Op::LogSoftmax, &[x]))),
    ("REDUCE_PROD", 15.0, |net| with_ints(net, Op::Reduce { kind: Reduce::Prod, keep_dims: true }, &[3])),
];

/// One and more.
fn above(net: &mut Net, x: ValueId) -> ValueId {
    let x = op(net, Op::Unary(Unary::Relu), &[x]);
    let one = net.constant(&[], vec![1.0]);
    op(net, Op::Binary(Binary::Add, Activation::None), &[x, one])
}

#[test]
fn rows_on_request_compute_what_they_should() {
    let Some(library) = library() else { return };
    let mut wrong = Vec::new();
    for (name, bar, build) in LOSSY {
        let case = Case::new(*build, 1.0, IntegerOptions { every_kernel: true });
        assert_eq!(case.report.float, [], "{name} stayed float");
        assert!(case.graph.nodes.iter().any(|n| n.op.name() == *name), "{name}");
        for kernels in [Kernels::Xnnpack, Kernels::Builtin, Kernels::Reference] {
            match case.run(&library, kernels) {
                Ok(db) if db > *bar => {}
                Ok(db) => wrong.push(format!("{name} in {kernels:?}: {db:.1} dB")),
                Err(error) => wrong.push(format!("{name} in {kernels:?}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_int8_row_is_right_in_every_kernel() {
    let Some(library) = library() else { return };
    let mut wrong = Vec::new();
    for (name, build) in ROWS {
        let case = Case::new(*build, 1.0, IntegerOptions::default());
        assert_eq!(case.report.float, [], "{name} stayed float");
        assert!(case.graph.nodes.iter().any(|n| n.op.name() == *name), "{name}");
        for kernels in [Kernels::Xnnpack, Kernels::Builtin, Kernels::Reference] {
            match case.run(&library, kernels) {
                Ok(db) if db > 30.0 => {}
                Ok(db) => wrong.push(format!("{name} in {kernels:?}: {db:.1} dB")),
                // The reference resolver has no such operator, or only an older version of it (tflite-ops, section 0).
                Err(_)
                    if kernels == Kernels::Reference && ["ELU", "SQUEEZE", "DEPTH_TO_SPACE", "TILE"].contains(name) => {
                }
                Err(error) => wrong.push(format!("{name} in {kernels:?}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Kernels refuse, abort or saturate where scales lie far apart.
#[test]
fn scales_far_apart_load_and_run() {
    let Some(library) = library() else { return };
    let mut wrong = Vec::new();
    for (name, build) in ROWS {
        for scale in [0.0, 1e-30, 1e-7, 1e-3, 1e3, 1e7] {
            let case = Case::new(*build, scale, IntegerOptions::default());
            for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
                if let Err(error) = case.run(&library, kernels) {
                    wrong.push(format!("{name} with inputs of {scale} in {kernels:?}: {error}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

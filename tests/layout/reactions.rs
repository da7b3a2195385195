//! Every operator between transposes of every kind.

use std::collections::BTreeSet;

use litesmith::exec::Evaluator;
use litesmith::graph::*;
use litesmith::tensor::{DType, Perm, Tensor};

use crate::support::{known, numbers, optimized};

enum Operand {
    Data(Vec<usize>, DType),
    Constant(Tensor),
}

use Operand::{Constant, Data};

/// Which permutations (axis `i` of the operand is axis `perm[i]` in memory) the operator takes without a transpose.
#[derive(Clone, Copy)]
enum Takes {
    Any,
    /// Those that leave the last axis where it is.
    Rows,
    None,
}

struct Sample {
    op: Op,
    operands: Vec<Operand>,
    takes: Takes,
}

fn f32s(shape: &[usize]) -> Operand {
    Data(shape.to_vec(), DType::F32)
}

fn weights(shape: &[usize]) -> Operand {
    Constant(numbers(shape, DType::F32, 5))
}

fn ints(values: &[i32]) -> Operand {
    Constant(Tensor::vector(values.to_vec()))
}

fn sample(op: Op, operands: Vec<Operand>, takes: Takes) -> Sample {
    Sample { op, operands, takes }
}

fn samples() -> Vec<Sample> {
    use Takes::{Any, None, Rows};
    let x = || f32s(&[2, 3, 4, 5]);
    let scalar = |value: i32| Constant(Tensor::scalar(value));
    let window = |stride| Window2d { padding: Padding::Same, stride: [stride; 2], dilation: [1; 2] };
    let volume = Window3d { padding: Padding::Valid, stride: [1; 3], dilation: [1; 3] };
    let activation = Activation::None;
    let pads = || Constant(Tensor::from_vec(&[4, 2], vec![0i32, 0, 1, 0, 0, 2, 0, 0]));
    let mut all = vec![
        sample(Op::Unary(Unary::Abs), vec![x()], Any),
        sample(Op::LeakyRelu { alpha: 0.5 }, vec![x()], Any),
        sample(Op::Binary(Binary::Sub, Activation::Relu), vec![x(), x()], Any),
        sample(Op::Binary(Binary::Sub, activation), vec![x(), f32s(&[])], Any),
        sample(Op::Binary(Binary::Sub, activation), vec![weights(&[3, 1, 1]), x()], Any),
        sample(Op::Binary(Binary::Sub, activation), vec![x(), weights(&[2, 3, 4, 5])], Any),
        sample(Op::Binary(Binary::Mul, activation), vec![f32s(&[2, 1, 4, 1]), f32s(&[1, 3, 1, 5])], None),
        sample(Op::Binary(Binary::Mul, activation), vec![x(), f32s(&[4, 1])], None),
        sample(Op::Compare(Compare::Less), vec![x(), x()], Any),
        sample(Op::Prelu, vec![x(), weights(&[3, 1, 1])], Any),
        sample(Op::Select, vec![Data(vec![2, 3, 4, 5], DType::Bool), x(), weights(&[1])], Any),
        sample(Op::Cast { to: DType::I32 }, vec![x()], Any),
        sample(Op::Quantize { to: DType::I8 }, vec![x()], Any),
        sample(Op::Dequantize, vec![Data(vec![2, 3, 4, 5], DType::I8)], Any),
        sample(Op::Softmax { beta: 1.0 }, vec![x()], Rows),
        sample(Op::LogSoftmax, vec![x()], Rows),
        sample(Op::L2Normalization, vec![x()], Rows),
        sample(Op::TopK, vec![x(), scalar(2)], Rows),
        sample(Op::LocalResponseNormalization { radius: 1, bias: 1.0, alpha: 1.0, beta: 0.5 }, vec![x()], Rows),
        sample(Op::Reduce { kind: Reduce::Sum, keep_dims: true }, vec![x(), ints(&[1, -1])], Any),
        sample(Op::Reduce { kind: Reduce::Sum, keep_dims: false }, vec![x(), ints(&[2])], None),
        sample(Op::ArgMax { to: DType::I32 }, vec![x(), scalar(1)], None),
        sample(Op::ArgMin { to: DType::I64 }, vec![x(), ints(&[-2])], None),
        sample(Op::Cumsum { exclusive: true, reverse: false }, vec![x(), scalar(1)], Any),
        sample(Op::Reverse, vec![x(), ints(&[1])], Any),
        sample(Op::Reverse, vec![x(), ints(&[1, 2])], None),
        sample(Op::Pad, vec![x(), pads()], Any),
        sample(Op::PadV2, vec![x(), pads(), Constant(Tensor::scalar(7.0f32))], Any),
        sample(Op::MirrorPad { mode: MirrorMode::Reflect }, vec![x(), pads()], Any),
        sample(Op::Tile, vec![x(), ints(&[1, 2, 1, 3])], Any),
        sample(Op::Slice, vec![x(), ints(&[0, 1, 0, 2]), ints(&[2, 2, -1, 2])], Any),
        sample(
            Op::StridedSlice(SliceMasks { begin: 1, end: 4, ..SliceMasks::default() }),
            vec![x(), ints(&[1, 2, -3]), ints(&[2, 0, 1]), ints(&[1, -1, 2])],
            Any,
        ),
        sample(
            Op::StridedSlice(SliceMasks { shrink_axis: 2, ..SliceMasks::default() }),
            vec![x(), ints(&[0, 1, 1]), ints(&[2, 2, 3]), ints(&[1, 1, 1])],
            None,
        ),
        sample(Op::Concatenation { axis: 1 }, vec![x(), f32s(&[2, 2, 4, 5]), weights(&[2, 1, 4, 5])], None),
        sample(Op::Concatenation { axis: -2 }, vec![x(), x()], Any),
        sample(Op::Pack { axis: 1 }, vec![x(), x()], None),
        sample(
            Op::OneHot { axis: 1 },
            vec![
                Data(vec![2, 3, 4], DType::I32),
                scalar(3),
                Constant(Tensor::scalar(1.0f32)),
                Constant(Tensor::scalar(0.0f32)),
            ],
            None,
        ),
        sample(Op::Split { parts: 2 }, vec![scalar(2), x()], Any),
        sample(Op::SplitV { parts: 2 }, vec![x(), ints(&[1, 2]), scalar(1)], Any),
        sample(Op::Unpack { axis: 2, parts: 4 }, vec![x()], None),
        sample(Op::Gather { axis: 1, batch_dims: 0 }, vec![x(), ints(&[2, 0, 0, 1])], Any),
        sample(Op::Gather { axis: -1, batch_dims: 0 }, vec![x(), scalar(2)], None),
        sample(
            Op::Gather { axis: 1, batch_dims: 0 },
            vec![x(), Constant(Tensor::from_vec(&[1, 2], vec![2i32, 0]))],
            None,
        ),
        sample(
            Op::Gather { axis: 1, batch_dims: 1 },
            vec![x(), Constant(Tensor::from_vec(&[2, 1], vec![2i32, 0]))],
            None,
        ),
        sample(Op::GatherNd, vec![x(), Constant(Tensor::from_vec(&[2, 2], vec![1i32, 2, 0, 0]))], None),
        sample(Op::UnsortedSegment(Segment::Max), vec![f32s(&[3, 2]), ints(&[1, 0, 1]), scalar(4)], None),
        sample(Op::DynamicUpdateSlice, vec![x(), f32s(&[2, 1, 2, 5]), ints(&[0, 1, 2, 0])], None),
        sample(Op::ReverseSequence { seq_dim: 1, batch_dim: 0 }, vec![x(), ints(&[2, 3])], None),
        sample(Op::Unique { to: DType::I32 }, vec![Data(vec![6], DType::I32)], None),
        sample(
            Op::NonMaxSuppression,
            vec![
                f32s(&[5, 4]),
                f32s(&[5]),
                scalar(3),
                Constant(Tensor::scalar(0.5f32)),
                Constant(Tensor::scalar(-9.0f32)),
            ],
            None,
        ),
        sample(Op::Bitcast { to: DType::I32 }, vec![x()], Any),
        sample(
            Op::ScatterNd,
            vec![Constant(Tensor::from_vec(&[2, 1], vec![1i32, 3])), f32s(&[2, 3]), ints(&[4, 3])],
            None,
        ),
        sample(Op::BroadcastTo, vec![f32s(&[2, 1, 4, 1]), ints(&[2, 3, 4, 5])], Any),
        sample(Op::BroadcastTo, vec![f32s(&[3, 1]), ints(&[2, 3, 4])], None),
        sample(Op::Shape { to: DType::I32 }, vec![x()], Any),
        sample(Op::Rank, vec![x()], Any),
        sample(Op::Fill, vec![Data(vec![2], DType::U8), weights(&[])], None),
        sample(Op::Range, vec![f32s(&[]), Constant(Tensor::scalar(9.0f32)), Constant(Tensor::scalar(2.0f32))], None),
        sample(Op::Where, vec![Data(vec![3, 4], DType::Bool)], None),
        sample(Op::Reshape, vec![x(), ints(&[6, 4, -1])], None),
        sample(Op::Squeeze { axes: vec![1] }, vec![f32s(&[2, 1, 3, 4])], None),
        sample(Op::ExpandDims, vec![f32s(&[2, 3, 4]), scalar(1)], None),
        sample(Op::Transpose, vec![x(), ints(&[0, 2, 1, 3])], None),
        sample(Op::Conv2d { window: window(2), activation }, vec![x(), weights(&[6, 3, 3, 5]), weights(&[6])], None),
        // One window element, so places may come in any order.
        sample(Op::Conv2d { window: window(1), activation }, vec![x(), weights(&[6, 1, 1, 5]), weights(&[6])], Rows),
        sample(
            Op::Conv2d { window: window(1), activation },
            vec![f32s(&[1, 4, 4, 6]), weights(&[6, 3, 3, 2]), weights(&[6])],
            None,
        ),
        sample(
            Op::DepthwiseConv2d { window: window(1), multiplier: 1, activation },
            vec![x(), weights(&[1, 3, 3, 5]), weights(&[5])],
            None,
        ),
        sample(
            Op::DepthwiseConv2d { window: window(1), multiplier: 2, activation },
            vec![x(), weights(&[1, 3, 3, 10]), weights(&[10])],
            None,
        ),
        sample(
            Op::TransposeConv { padding: Padding::Same, stride: [2, 2], activation },
            vec![ints(&[2, 6, 8, 3]), weights(&[3, 2, 2, 5]), x(), weights(&[3])],
            None,
        ),
        sample(
            Op::Conv3d { window: volume, activation },
            vec![f32s(&[1, 3, 4, 5, 2]), weights(&[2, 2, 2, 2, 3]), weights(&[3])],
            None,
        ),
        sample(
            Op::Conv3dTranspose { window: volume, activation },
            vec![ints(&[1, 4, 5, 6, 3]), weights(&[2, 2, 2, 3, 2]), f32s(&[1, 3, 4, 5, 2]), weights(&[3])],
            None,
        ),
        sample(
            Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation },
            vec![x(), weights(&[7, 5]), weights(&[7])],
            Rows,
        ),
        sample(
            Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation },
            vec![x(), weights(&[7, 10])],
            None,
        ),
        sample(
            Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation },
            vec![x(), f32s(&[7, 5])],
            None,
        ),
        sample(Op::EmbeddingLookup, vec![ints(&[2, 0]), f32s(&[3, 2, 4])], None),
        sample(
            Op::Pool2d { kind: Pool::Max, padding: Padding::Same, stride: [2; 2], filter: [2, 3], activation },
            vec![x()],
            None,
        ),
        sample(Op::ResizeBilinear { align_corners: false, half_pixel_centers: false }, vec![x(), ints(&[6, 8])], None),
        sample(Op::ResizeNearest { align_corners: false, half_pixel_centers: false }, vec![x(), ints(&[6, 8])], None),
        sample(Op::DepthToSpace { block: 2 }, vec![f32s(&[1, 2, 3, 8])], None),
        sample(Op::SpaceToDepth { block: 2 }, vec![f32s(&[1, 2, 4, 3])], None),
        sample(Op::SpaceToBatch, vec![x(), ints(&[3, 2]), Constant(Tensor::from_vec(&[2, 2], vec![0i32; 4]))], None),
        sample(
            Op::BatchToSpace,
            vec![f32s(&[6, 1, 2, 5]), ints(&[3, 2]), Constant(Tensor::from_vec(&[2, 2], vec![0i32; 4]))],
            None,
        ),
    ];
    for (adj_x, adj_y) in [(false, false), (false, true), (true, false), (true, true)] {
        let pick = |swapped: bool, a: usize, b: usize| if swapped { [b, a] } else { [a, b] };
        let (a, b) = (pick(adj_x, 4, 5), pick(adj_y, 5, 6));
        let op = Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: false };
        all.push(sample(op.clone(), vec![f32s(&[2, 3, a[0], a[1]]), f32s(&[2, 1, b[0], b[1]])], None));
        all.push(sample(op, vec![f32s(&[3, a[0], a[1]]), weights(&[b[0], b[1]])], None));
    }
    all
}

/// A number for each variant, so that none is forgotten above.
fn variant(op: &Op) -> usize {
    match op {
        Op::Unary(_) => 0,
        Op::LeakyRelu { .. } => 1,
        Op::Binary(..) => 2,
        Op::Compare(_) => 3,
        Op::Prelu => 4,
        Op::Select => 5,
        Op::Cast { .. } => 6,
        Op::Softmax { .. } => 7,
        Op::LogSoftmax => 8,
        Op::L2Normalization => 9,
        Op::LocalResponseNormalization { .. } => 10,
        Op::Conv2d { .. } => 11,
        Op::DepthwiseConv2d { .. } => 12,
        Op::TransposeConv { .. } => 13,
        Op::Conv3d { .. } => 14,
        Op::Conv3dTranspose { .. } => 15,
        Op::FullyConnected { .. } => 16,
        Op::BatchMatMul { .. } => 17,
        Op::EmbeddingLookup => 18,
        Op::Pool2d { .. } => 19,
        Op::ResizeBilinear { .. } => 20,
        Op::ResizeNearest { .. } => 21,
        Op::DepthToSpace { .. } => 22,
        Op::SpaceToDepth { .. } => 23,
        Op::SpaceToBatch => 24,
        Op::BatchToSpace => 25,
        Op::Pad => 26,
        Op::PadV2 => 27,
        Op::MirrorPad { .. } => 28,
        Op::Reshape => 29,
        Op::Squeeze { .. } => 30,
        Op::ExpandDims => 31,
        Op::Transpose => 32,
        Op::Concatenation { .. } => 33,
        Op::Split { .. } => 34,
        Op::SplitV { .. } => 35,
        Op::Pack { .. } => 36,
        Op::Unpack { .. } => 37,
        Op::Slice => 38,
        Op::StridedSlice(_) => 39,
        Op::Gather { .. } => 40,
        Op::GatherNd => 41,
        Op::ScatterNd => 42,
        Op::Tile => 43,
        Op::BroadcastTo => 44,
        Op::Reverse => 45,
        Op::Fill => 46,
        Op::Shape { .. } => 47,
        Op::Rank => 48,
        Op::Range => 49,
        Op::OneHot { .. } => 50,
        Op::Where => 51,
        Op::TopK => 52,
        Op::ArgMax { .. } => 53,
        Op::ArgMin { .. } => 54,
        Op::Cumsum { .. } => 55,
        Op::Reduce { .. } => 56,
        Op::Quantize { .. } => 57,
        Op::Dequantize => 58,
        Op::UnsortedSegment(_) => 59,
        Op::DynamicUpdateSlice => 60,
        Op::ReverseSequence { .. } => 61,
        Op::Unique { .. } => 62,
        Op::NonMaxSuppression => 63,
        Op::Bitcast { .. } => 64,
        // Takes and gives everything as it is.
        Op::If { .. } | Op::While { .. } | Op::Opaque(_) => 65,
    }
}

#[test]
fn every_operator_is_sampled() {
    let sampled: BTreeSet<usize> = samples().iter().map(|s| variant(&s.op)).collect();
    assert_eq!(sampled, (0..65).collect());
}

/// Permutation number `seed` of so many axes.
fn perm(rank: usize, mut seed: usize) -> Perm {
    let mut left: Vec<usize> = (0..rank).collect();
    let axes = (0..rank).map(|_| {
        let at = seed % left.len();
        seed /= left.len();
        left.remove(at)
    });
    Perm::new(axes.collect()).unwrap()
}

/// `TRANSPOSE`s that give the operands of the sample, the sample, and `TRANSPOSE`s of its results.
fn surrounded(
    sample: &Sample,
    operands: &dyn Fn(usize, usize) -> Perm,
    results: &dyn Fn(usize, usize) -> Perm,
) -> Graph {
    let mut graph = Graph::new("sample");
    let mut inputs = Vec::new();
    for (i, operand) in sample.operands.iter().enumerate() {
        inputs.push(match operand {
            Data(shape, dtype) => {
                let perm = operands(i, shape.len());
                let memory = known(&perm.inverse().apply(shape));
                let x = graph.add_input(format!("x{i}"), Type::new(*dtype, Shape(memory)));
                quantize(&mut graph, x);
                let x = Builder::new(&mut graph, &Evaluator).transpose(x, &perm).unwrap();
                quantize(&mut graph, x);
                Some(x)
            }
            Constant(data) => Some(graph.add_constant("constant", data.clone())),
        });
    }
    let outputs = Builder::new(&mut graph, &Evaluator).emit(sample.op.clone(), &inputs).unwrap();
    for (i, y) in outputs.into_iter().enumerate() {
        quantize(&mut graph, y);
        let perm = results(i, graph.shape(y).rank());
        let y = Builder::new(&mut graph, &Evaluator).transpose(y, &perm).unwrap();
        quantize(&mut graph, y);
        graph.value_mut(y).name = format!("y{i}");
        graph.outputs.push(y);
    }
    graph
}

fn quantize(graph: &mut Graph, id: ValueId) {
    if graph.dtype(id) == DType::I8 {
        graph.value_mut(id).quant = Some(Quant::per_tensor(0.5, 1));
    }
}

#[test]
fn numbers_are_the_same_under_any_permutations() {
    for (which, sample) in samples().iter().enumerate() {
        for seed in 0..20usize {
            let operands = |i: usize, rank: usize| perm(rank, seed * 31 + i * 17 * (seed % 3) + which);
            let results = |i: usize, rank: usize| perm(rank, seed * 57 + i + which * (seed % 2));
            optimized(&surrounded(sample, &operands, &results));
        }
    }
}

#[test]
fn what_an_operator_takes_costs_nothing() {
    for sample in samples() {
        for seed in 0..24 {
            let rank = |operand: &Operand| match operand {
                Data(shape, _) => shape.len(),
                Constant(_) => 0,
            };
            let highest = sample.operands.iter().map(rank).max().unwrap();
            let common = perm(highest, seed);
            let taken = match sample.takes {
                Takes::Any => true,
                Takes::Rows => common.axes().last() == Some(&(highest - 1)),
                Takes::None => false,
            };
            let of = |perm: &Perm, rank: usize| if rank == highest { perm.clone() } else { Perm::identity(rank) };
            let graph = surrounded(&sample, &|_, rank| of(&common, rank), &|_, rank| of(&common.inverse(), rank));
            let (after, summary) = optimized(&graph);
            assert!(!taken || summary.after.operators == 0, "{graph}\n{after}");
        }
    }
}

/// The loops of a matrix product in every order that needs no transposed first operand.
#[test]
fn matrix_products_absorb_transposes() {
    let product = |a: &[usize], b: &[usize], y: &[usize]| {
        let op = Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false };
        let sample = sample(op, vec![f32s(&[2, 3, 4]), f32s(&[2, 4, 5])], Takes::None);
        let perm = |axes: &[usize]| Perm::new(axes.to_vec()).unwrap();
        let graph = surrounded(&sample, &|i, _| perm([a, b][i]), &|_, _| perm(y));
        optimized(&graph).1.after.operators
    };
    let (plain, swapped) = ([0, 1, 2], [0, 2, 1]);
    assert_eq!(product(&plain, &plain, &plain), 0);
    assert_eq!(product(&plain, &swapped, &plain), 0);
    assert_eq!(product(&plain, &swapped, &swapped), 0);
    assert_eq!(product(&swapped, &swapped, &swapped), 0);
    assert_eq!(product(&swapped, &plain, &plain), 1);
    assert_eq!(product(&swapped, &swapped, &plain), 1);
    assert_eq!(product(&[1, 0, 2], &[1, 0, 2], &[1, 0, 2]), 3, "batches run outside");
}

/// Axes that were made of others (as a flattened `[C, H, W]` is) go as their factors, in any order.
#[test]
fn divided_axes_go_through() {
    let check = |op: Op, operands: Vec<Operand>, left: usize| {
        let mut graph = Graph::new("divided");
        let mut inputs = Vec::new();
        for operand in operands {
            inputs.push(Some(match operand {
                // Lies as [N, H, W, C], is [N, C*H*W].
                Data(shape, dtype) => {
                    let [n, flat] = shape[..] else { panic!("rank 2") };
                    let memory = known(&[n, 2, 3, flat / 6]);
                    let x = graph.add_input("x", Type::new(dtype, Shape(memory)));
                    let mut b = Builder::new(&mut graph, &Evaluator);
                    let x = b.transpose(x, &Perm::to_channels_first(4)).unwrap();
                    b.reshape(x, &[n as i64, flat as i64]).unwrap()
                }
                Constant(data) => graph.add_constant("constant", data),
            }));
        }
        let outputs = Builder::new(&mut graph, &Evaluator).emit(op, &inputs).unwrap();
        for (i, y) in outputs.into_iter().enumerate() {
            let mut b = Builder::new(&mut graph, &Evaluator);
            let dims = b.graph.shape(y).as_fixed().unwrap();
            let y = match dims[..] {
                [n, flat] if flat % 6 == 0 && flat > 6 => {
                    let y = b.reshape(y, &[n as i64, flat as i64 / 6, 2, 3]).unwrap();
                    b.transpose(y, &Perm::to_channels_last(4)).unwrap()
                }
                _ => b.unary(Unary::Neg, y).unwrap(),
            };
            graph.value_mut(y).name = format!("y{i}");
            graph.outputs.push(y);
        }
        let (after, summary) = optimized(&graph);
        assert_eq!(summary.after.operators, left, "{graph}\n{after}");
    };
    let x = || f32s(&[2, 24]);
    let activation = Activation::None;
    let dense = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation };
    check(Op::Unary(Unary::Square), vec![x()], 0);
    check(Op::Binary(Binary::Add, activation), vec![x(), weights(&[24])], 0);
    check(Op::Binary(Binary::Add, activation), vec![x(), weights(&[2, 1])], 0);
    check(Op::Reduce { kind: Reduce::Max, keep_dims: true }, vec![x(), ints(&[1])], 0);
    check(Op::Reduce { kind: Reduce::Max, keep_dims: true }, vec![x(), ints(&[0])], 0);
    check(Op::Concatenation { axis: 0 }, vec![x(), weights(&[3, 24])], 0);
    check(Op::Pad, vec![x(), Constant(Tensor::from_vec(&[2, 2], vec![1i32, 0, 0, 0]))], 0);
    check(Op::Tile, vec![x(), ints(&[2, 1])], 0);
    check(Op::Softmax { beta: 1.0 }, vec![x()], 0);
    // The columns of the weights follow the operand, their rows the result.
    check(dense.clone(), vec![x(), weights(&[18, 24]), weights(&[18])], 0);
    check(dense, vec![x(), weights(&[1, 24])], 0);
    // These ask for the axis itself.
    check(Op::ArgMax { to: DType::I32 }, vec![x(), ints(&[1])], 1);
    check(Op::Reverse, vec![x(), ints(&[1])], 2);
}

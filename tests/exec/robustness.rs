//! Operands that fit nothing: refused, never a panic; and where something comes out, it is of the type that was inferred.

use litesmith::exec::Evaluator;
use litesmith::graph::{
    Activation, Binary, Compare, Evaluate, Graph, MirrorMode, Op, Padding, Pool, Reduce, Shape, SliceMasks, Unary,
    Window2d, Window3d, infer,
};
use litesmith::tensor::{DType, Tensor};

use super::Random;

const TYPES: [DType; 8] =
    [DType::F32, DType::F32, DType::F16, DType::F64, DType::I8, DType::I32, DType::I64, DType::Bool];

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

fn small(random: &mut Random) -> i32 {
    random.below(9) as i32 - 3
}

/// Operators with options that may fit or not.
fn any_op(random: &mut Random) -> Op {
    use Activation as A;
    let activation = pick(random, &[A::None, A::Relu, A::Relu6, A::ReluN1To1, A::Tanh]);
    let padding = pick(random, &[Padding::Same, Padding::Valid]);
    let pair = |random: &mut Random| [random.below(4), random.below(4)];
    let triple = |random: &mut Random| [random.below(3), random.below(3), random.below(3)];
    let (stride, dilation) = (pair(random), pair(random));
    let window = Window2d { padding, stride, dilation };
    let window_3d = Window3d { padding, stride: triple(random), dilation: triple(random) };
    let (axis, size) = (small(random), random.below(4));
    let (flag, other) = (random.flag(), random.flag());
    let to = pick(random, &TYPES);
    match random.below(52) {
        0 => Op::Unary(pick(random, &[Unary::Exp, Unary::Abs, Unary::LogicalNot, Unary::Gelu, Unary::Round])),
        1 => Op::LeakyRelu { alpha: 0.1 },
        2..5 => {
            use Binary as B;
            let kinds = [B::Add, B::Div, B::FloorDiv, B::FloorMod, B::Pow, B::RightShift, B::LogicalOr, B::Maximum];
            Op::Binary(pick(random, &kinds), activation)
        }
        5 => Op::Compare(Compare::Less),
        6 => Op::Prelu,
        7 => Op::Select,
        8 => Op::Cast { to },
        9 => Op::Softmax { beta: 1.0 },
        10 => Op::LogSoftmax,
        11 => Op::L2Normalization,
        12 => Op::LocalResponseNormalization { radius: size, bias: 1.0, alpha: 1.0, beta: 0.5 },
        13 => Op::Conv2d { window, activation },
        14 => Op::DepthwiseConv2d { window, multiplier: size, activation },
        15 => Op::TransposeConv { padding, stride, activation },
        16 => Op::Conv3d { window: window_3d, activation },
        17 => Op::Conv3dTranspose { window: window_3d, activation },
        18 => Op::FullyConnected { keep_num_dims: flag, asymmetric_inputs: false, activation },
        19 => Op::BatchMatMul { adj_x: flag, adj_y: other, asymmetric_inputs: false },
        20 => Op::EmbeddingLookup,
        21 => {
            let kind = pick(random, &[Pool::Max, Pool::Average, Pool::L2]);
            Op::Pool2d { kind, padding, stride, filter: dilation, activation }
        }
        22 => Op::ResizeBilinear { align_corners: flag, half_pixel_centers: other },
        23 => Op::ResizeNearest { align_corners: flag, half_pixel_centers: other },
        24 => Op::DepthToSpace { block: size },
        25 => Op::SpaceToDepth { block: size },
        26 => Op::SpaceToBatch,
        27 => Op::BatchToSpace,
        28 => Op::Pad,
        29 => Op::PadV2,
        30 => Op::MirrorPad { mode: pick(random, &[MirrorMode::Reflect, MirrorMode::Symmetric]) },
        31 => Op::Reshape,
        32 => Op::Squeeze { axes: (0..size).map(|_| small(random)).collect() },
        33 => Op::ExpandDims,
        34 => Op::Transpose,
        35 => Op::Concatenation { axis },
        36 => Op::Split { parts: size },
        37 => Op::SplitV { parts: size },
        38 => Op::Pack { axis },
        39 => Op::Unpack { axis, parts: size },
        40 => Op::Slice,
        41 => {
            let mut mask = || random.below(8) as i32;
            Op::StridedSlice(SliceMasks { begin: mask(), end: mask(), shrink_axis: mask(), ..Default::default() })
        }
        42 => Op::Gather { axis, batch_dims: small(random) },
        43 => Op::GatherNd,
        44 => Op::ScatterNd,
        45 => pick(random, &[Op::Tile, Op::BroadcastTo, Op::Reverse, Op::Fill].each_ref()).clone(),
        46 => pick(random, &[Op::Shape { to }, Op::Rank, Op::Range, Op::Where].each_ref()).clone(),
        47 => Op::OneHot { axis },
        48 => Op::TopK,
        49 => {
            if flag {
                Op::ArgMax { to }
            } else {
                Op::ArgMin { to }
            }
        }
        50 => Op::Cumsum { exclusive: flag, reverse: other },
        _ => {
            use Reduce as R;
            let kind = pick(random, &[R::Sum, R::Mean, R::Max, R::Min, R::Prod, R::Any, R::All]);
            Op::Reduce { kind, keep_dims: flag }
        }
    }
}

fn any_operand(random: &mut Random) -> Tensor {
    if random.flag() {
        // Something that may be axes, extents or indices.
        let rank = random.below(3);
        let shape: Vec<usize> = (0..rank).map(|_| random.below(5)).collect();
        let count = shape.iter().product();
        let far = random.below(30) == 0;
        let values =
            (0..count).map(|_| if far { pick(random, &[i64::MAX, i64::MIN, 1 << 40]) } else { small(random).into() });
        let values = Tensor::from_vec::<i64>(&shape, values.collect());
        return if random.flag() { values } else { values.cast(DType::I32).unwrap() };
    }
    let rank = random.below(6);
    let shape: Vec<usize> = (0..rank).map(|_| if random.below(8) == 0 { 0 } else { random.between(1, 4) }).collect();
    if random.below(40) == 0 {
        // No elements, but extents that can't be multiplied.
        return Tensor::zeros(DType::F32, &[&[0], &shape[..], &[usize::MAX, usize::MAX]].concat()).unwrap();
    }
    let dtype = pick(random, &TYPES);
    random.numbers(dtype, &shape)
}

#[test]
fn nothing_panics() {
    let mut random = Random::new(50);
    let mut computed = 0;
    for _ in 0..60_000 {
        let op = any_op(&mut random);
        let count = random.between(1, 4);
        let operands: Vec<Option<Tensor>> =
            (0..count).map(|_| if random.below(12) == 0 { None } else { Some(any_operand(&mut random)) }).collect();
        let borrowed: Vec<Option<&Tensor>> = operands.iter().map(Option::as_ref).collect();
        let Some(results) = Evaluator.evaluate(&op, &borrowed, &[]) else {
            continue;
        };
        let mut graph = Graph::new("any");
        let ids: Vec<_> = operands.iter().map(|t| t.clone().map(|t| graph.add_constant("c", t))).collect();
        let Ok(types) = infer(&graph, &op, &ids) else {
            continue;
        };
        computed += 1;
        let fit = types.len() == results.len()
            && results
                .iter()
                .zip(&types)
                .all(|(result, ty)| result.dtype() == ty.dtype && Shape::fixed(result.shape()).agrees_with(&ty.shape));
        assert!(fit, "{op:?} of {operands:?}: {results:?}, inferred {types:?}");
    }
    assert!(computed > 3000, "only {computed} of the operands fit: the test looks at too little");
}

//! Random graphs of what rewrites look for, next to each other in every order: they compute the same after all passes.

use super::pipeline::{AFTER_LAYOUT, BEFORE_LAYOUT, run};
use super::testing::{Net, NetBuilder, computes_the_same_within, fully_connected, window};
use crate::graph::{
    Activation, Binary, InferError, NoEvaluate, Op, Padding, Pool, Reduce, SliceMasks, Unary, ValueId, Window2d,
};
use crate::tensor::Perm;

/// Numbers that look random and are the same everywhere (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

/// One more value computed from `x`; some operators fit some shapes only, and give `x` back for others.
fn step(b: &mut NetBuilder<'_>, dice: &mut Dice, x: ValueId, others: &[ValueId]) -> Result<ValueId, InferError> {
    let shape = b.graph.shape(x).as_fixed().unwrap();
    let (rank, channels) = (shape.len(), *shape.last().unwrap());
    match dice.roll(24) {
        0..5 => constant_arithmetic(b, dice, x, channels),
        5 => {
            let kind =
                dice.pick(&[Unary::Relu, Unary::Relu6, Unary::ReluN1To1, Unary::Neg, Unary::Tanh, Unary::Logistic]);
            b.unary(kind, x)
        }
        6 => {
            let bound = b.scalar(dice.pick(&[0.0f32, 1.0, 6.0, -1.0]));
            b.binary(dice.pick(&[Binary::Maximum, Binary::Minimum]), bound, x)
        }
        7 => {
            let same: Vec<ValueId> = others.iter().copied().filter(|&y| b.graph.shape(y) == b.graph.shape(x)).collect();
            let y = dice.pick(&same);
            b.binary(dice.pick(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Maximum]), x, y)
        }
        8 => {
            let x = b.unary(Unary::Tanh, x)?;
            let y = dice.pick(&[2.0f32, 3.0, 1.0]);
            let y = b.scalar(y);
            b.binary(Binary::Pow, x, y)
        }
        9 => hard_swish(b, x),
        10 if rank == 4 => {
            let padding = dice.pick(&[Padding::Same, Padding::Valid]);
            let filter = [2, 1 + dice.roll(2), 1 + dice.roll(3), channels];
            if shape[1] < 3 || shape[2] < 3 {
                return Ok(x);
            }
            b.conv(Op::Conv2d { window: window(padding), activation: Activation::None }, x, &filter)
        }
        11 if rank == 4 && shape[1] > 2 && shape[2] > 2 => {
            let window = Window2d { padding: Padding::Valid, stride: [1 + dice.roll(2), 1], dilation: [1, 1] };
            let op = Op::DepthwiseConv2d { window, multiplier: 1, activation: Activation::None };
            let x = b.pad(x, &[(0, 0), (dice.roll(2), 1), (1, 1), (0, 0)])?;
            b.conv(op, x, &[1, 3, 3, channels])
        }
        12 if rank == 4 && shape[1] > 2 && shape[2] > 2 => {
            let lowest = b.scalar(f32::NEG_INFINITY);
            let x = b.pad_with(x, &[(0, 0), (dice.roll(2), 1), (1, 1), (0, 0)], lowest)?;
            let op = Op::Pool2d {
                kind: Pool::Max,
                padding: Padding::Valid,
                stride: [1, 1],
                filter: [3, 3],
                activation: Activation::None,
            };
            b.one(op, &[x])
        }
        13 | 14 => {
            let (filter, keep) = ([dice.pick(&[2, 4]), channels], dice.pick(&[true, true, false]));
            let op = Op::FullyConnected { keep_num_dims: keep, asymmetric_inputs: false, activation: Activation::None };
            b.conv(if keep { fully_connected() } else { op }, x, &filter)
        }
        15 => {
            let w = b.weights(&[channels, 2]);
            b.one(Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false }, &[x, w]).or(Ok(x))
        }
        16 if rank > 1 => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.swap(rank - 1, rank - 2);
            let y = b.transpose(x, &Perm::new(axes).unwrap())?;
            b.one(Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false }, &[x, y])
        }
        17 => {
            let axes = (0..rank).map(|axis| (axis + 1) % rank).collect();
            b.transpose(x, &Perm::new(axes).unwrap())
        }
        18 => {
            let dims: Vec<i64> = match dice.roll(3) {
                0 => vec![-1, channels as i64],
                1 => std::iter::once(1).chain(shape.iter().map(|&d| d as i64)).take(4).collect(),
                _ => shape.iter().filter(|&&d| d != 1).map(|&d| d as i64).collect(),
            };
            b.reshape(x, &dims).or(Ok(x))
        }
        19 if rank < 4 => {
            let axis = b.scalar(dice.roll(rank + 1) as i32);
            b.one(Op::ExpandDims, &[x, axis])
        }
        20 => {
            let axes = b.ints(&[rank as i64 - 1])?;
            let mean = b.one(Op::Reduce { kind: Reduce::Mean, keep_dims: true }, &[x, axes])?;
            b.sub(x, mean)
        }
        21 => {
            let (begin, end) = (vec![0; rank], shape.iter().map(|&d| d as i64 - i64::from(d > 3)).collect::<Vec<_>>());
            let bounds = [b.ints(&begin)?, b.ints(&end)?, b.ints(&vec![1; rank])?];
            b.one(Op::StridedSlice(SliceMasks::default()), &[x, bounds[0], bounds[1], bounds[2]])
        }
        22 if shape[0] > 1 => {
            let indices = b.ints(&[0, 1])?;
            b.gather(x, indices, 0)
        }
        23 => b.identity(x),
        _ => Ok(x),
    }
}

/// A sum, product, difference or quotient with a number, or with one for each channel.
fn constant_arithmetic(
    b: &mut NetBuilder<'_>,
    dice: &mut Dice,
    x: ValueId,
    channels: usize,
) -> Result<ValueId, InferError> {
    let number = dice.pick(&[0.5f32, 2.0, -1.25, 0.75, 1.0, 3.0]);
    let constant = match dice.roll(3) {
        0 => b.scalar(number),
        1 => b.floats(&[channels], (0..channels).map(|i| number + i as f32 * 0.25 * number).collect()),
        _ => b.floats(&[1, channels], (0..channels).map(|i| number * (1.0 + i as f32)).collect()),
    };
    if b.graph.shape(x).rank() < 2 {
        return Ok(x);
    }
    let kind = dice.pick(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Mul, Binary::Div]);
    let reversed = kind != Binary::Div && dice.roll(2) == 0;
    let activation = dice.pick(&[Activation::None, Activation::None, Activation::Relu]);
    b.one(Op::Binary(kind, activation), &if reversed { [constant, x] } else { [x, constant] })
}

fn hard_swish(b: &mut NetBuilder<'_>, x: ValueId) -> Result<ValueId, InferError> {
    let (three, six) = (b.scalar(3.0f32), b.scalar(6.0f32));
    let y = b.add(x, three)?;
    let y = b.unary(Unary::Relu6, y)?;
    let y = b.mul(x, y)?;
    b.div(y, six)
}

fn net(seed: u64) -> Net {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let input = dice.pick(&["f32[1,5,6,2]", "f32[2,3,4]", "f32[3,2]", "f32[1,1,7,2]"]);
    Net::new(&[input, input], |b, inputs| {
        let mut values = inputs.to_vec();
        // Magnitudes stay where a relative comparison means something.
        values.push(b.unary(Unary::Tanh, inputs[0])?);
        for _ in 0..3 + dice.roll(14) {
            // Mostly on with the last value, so that patterns come about.
            let x = if dice.roll(4) > 0 { *values.last().unwrap() } else { dice.pick(&values) };
            let small = b.graph.shape(x).elements().is_some_and(|n| n > 0 && n < 2000);
            let y = if small { step(b, &mut dice, x, &values)? } else { b.unary(Unary::Tanh, x)? };
            values.push(y);
        }
        let mut outputs = vec![*values.last().unwrap(), dice.pick(&values)];
        outputs.dedup();
        // Outputs of their own, not inputs.
        outputs.into_iter().map(|y| b.unary(Unary::Tanh, y)).collect()
    })
}

#[test]
fn random_graphs_compute_the_same() {
    let mut rewritten = 0;
    for seed in 0..600 {
        let net = net(seed);
        let mut graph = net.0.clone();
        for passes in [BEFORE_LAYOUT, AFTER_LAYOUT] {
            let counts = run(&mut graph, &NoEvaluate, passes).unwrap();
            rewritten += counts.iter().filter(|(name, _)| *name != "merge_constants").map(|(_, n)| n).sum::<usize>();
            let again = run(&mut graph, &NoEvaluate, passes).unwrap();
            assert!(again.iter().all(|(_, n)| *n == 0), "seed {seed} is not done: {again:?}\n{graph}");
        }
        computes_the_same_within(&net.0, &graph, 1e-4);
    }
    assert!(rewritten > 1000, "{rewritten} rewrites");
}

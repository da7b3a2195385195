use litesmith::graph::{Op, Reduce};
use litesmith::tensor::{DType, Tensor};

use super::{Random, at, case, define, floats, indices, ints};

/// For each index of what is kept, the elements that are reduced, in order.
fn groups(x: &Tensor, reduced: &[bool], keep_dims: bool) -> (Vec<usize>, Vec<Vec<f64>>) {
    let shape: Vec<usize> = x.shape().iter().zip(reduced).map(|(&d, &r)| if r { 1 } else { d }).collect();
    let values = x.to_f64s().unwrap();
    let mut groups: Vec<Vec<f64>> = vec![vec![]; shape.iter().product()];
    let places = indices(&shape);
    for (index, value) in indices(x.shape()).iter().zip(values) {
        let kept: Vec<usize> = index.iter().zip(reduced).map(|(&i, &r)| if r { 0 } else { i }).collect();
        groups[places.iter().position(|p| *p == kept).unwrap()].push(value);
    }
    let kept = x.shape().iter().zip(reduced).filter(|(_, r)| !**r).map(|(&d, _)| d).collect();
    (if keep_dims { shape } else { kept }, groups)
}

#[test]
fn reductions_at_random() {
    let mut random = Random::new(9);
    for _ in 0..40 {
        let rank = random.between(1, 4);
        let shape = random.shape(rank, 4);
        let reduced: Vec<bool> = (0..rank).map(|_| random.flag()).collect();
        let axes: Vec<i32> = (0..rank)
            .filter(|&axis| reduced[axis])
            .map(|axis| axis as i32 - if random.flag() { rank as i32 } else { 0 })
            .collect();
        let keep_dims = random.flag();
        let x = random.floats(&shape);
        let (to, groups_of) = groups(&x, &reduced, keep_dims);
        for (kind, f) in [
            (Reduce::Sum, (|g: &[f64]| g.iter().sum()) as fn(&[f64]) -> f64),
            (Reduce::Mean, |g| g.iter().sum::<f64>() / g.len() as f64),
            (Reduce::Prod, |g| g.iter().product()),
            (Reduce::Max, |g| g.iter().copied().fold(f64::MIN, f64::max)),
            (Reduce::Min, |g| g.iter().copied().fold(f64::MAX, f64::min)),
        ] {
            let expected = groups_of.iter().map(|g| f(g) as f32).collect();
            let case = case(Op::Reduce { kind, keep_dims }).input(x.clone()).constant(ints(&axes));
            case.gives_about(&Tensor::from_vec(&to, expected), 1e-6);
        }
        let b = random.numbers(DType::Bool, &shape);
        let (to, groups_of) = groups(&b, &reduced, keep_dims);
        for (kind, f) in [
            (Reduce::Any, (|g: &[f64]| g.iter().any(|&x| x != 0.0)) as fn(&[f64]) -> bool),
            (Reduce::All, |g| g.iter().all(|&x| x != 0.0)),
        ] {
            let expected: Vec<bool> = groups_of.iter().map(|g| f(g)).collect();
            let case = case(Op::Reduce { kind, keep_dims }).input(b.clone()).constant(ints(&axes));
            case.gives(&Tensor::from_bools(&to, &expected));
        }
    }
}

#[test]
fn integer_reductions() {
    let x = || Tensor::from_vec(&[2, 3], vec![1i32, 2, 4, -1, -2, -4]);
    let reduced = |kind, expected: &[i32]| {
        case(Op::Reduce { kind, keep_dims: false }).input(x()).constant(ints(&[1])).gives(&ints(expected));
    };
    // 7/3 and -7/3 toward zero
    reduced(Reduce::Mean, &[2, -2]);
    reduced(Reduce::Sum, &[7, -7]);
    reduced(Reduce::Prod, &[8, -8]);
    reduced(Reduce::Max, &[4, -1]);
    reduced(Reduce::Min, &[1, -4]);
    let bytes = Tensor::vector(vec![200u8, 100]);
    case(Op::Reduce { kind: Reduce::Max, keep_dims: false })
        .input(bytes)
        .constant(ints(&[0]))
        .gives(&Tensor::scalar(200u8));
}

#[test]
fn reductions_of_nothing() {
    let none = || Tensor::from_vec::<f32>(&[2, 0], vec![]);
    let reduced = |kind, expected: f32| {
        case(Op::Reduce { kind, keep_dims: false })
            .input(none())
            .constant(ints(&[1]))
            .gives(&floats(&[2], &[expected; 2]));
    };
    reduced(Reduce::Sum, 0.0);
    reduced(Reduce::Prod, 1.0);
    reduced(Reduce::Max, f32::MIN);
    reduced(Reduce::Min, f32::MAX);
    reduced(Reduce::Mean, f32::NAN);
}

#[test]
fn extrema_name_the_first_of_equals() {
    let x = || floats(&[2, 3], &[1.0, 5.0, 5.0, -2.0, -3.0, -3.0]);
    case(Op::ArgMax { to: DType::I64 }).input(x()).constant(Tensor::scalar(1)).gives(&Tensor::vector(vec![1i64, 0]));
    case(Op::ArgMin { to: DType::I32 }).input(x()).constant(Tensor::scalar(-1)).gives(&ints(&[0, 1]));
    case(Op::ArgMax { to: DType::I32 }).input(x()).constant(Tensor::scalar(0)).gives(&ints(&[0, 0, 0]));
    let largest = case(Op::TopK).input(x()).constant(Tensor::scalar(2i32)).results();
    assert_eq!(largest, [floats(&[2, 2], &[5.0, 5.0, -2.0, -3.0]), Tensor::from_vec(&[2, 2], vec![1i32, 2, 0, 1])]);
    let largest = case(Op::TopK).input(Tensor::vector(vec![3i64, 9, 4])).constant(Tensor::scalar(1i32)).results();
    assert_eq!(largest, [Tensor::vector(vec![9i64]), ints(&[1])]);
}

#[test]
fn running_sums_at_random() {
    let mut random = Random::new(10);
    for _ in 0..30 {
        let rank = random.between(1, 4);
        let shape = random.shape(rank, 5);
        let axis = random.below(rank);
        let (exclusive, reverse) = (random.flag(), random.flag());
        let x = random.numbers(DType::I32, &shape);
        let expected = define(&shape, |index| {
            let i = index[axis];
            let summed = match (reverse, exclusive) {
                (false, false) => 0..i + 1,
                (false, true) => 0..i,
                (true, false) => i..shape[axis],
                (true, true) => i + 1..shape[axis],
            };
            summed
                .map(|k| {
                    let mut from = index.to_vec();
                    from[axis] = k;
                    at::<i32>(&x, &from)
                })
                .sum::<i32>()
        });
        let op = Op::Cumsum { exclusive, reverse };
        case(op.clone()).input(x.clone()).constant(Tensor::scalar(axis as i32)).gives(&expected);
        let (x, expected) = (x.cast(DType::F32).unwrap(), expected.cast(DType::F32).unwrap());
        case(op).input(x).constant(Tensor::scalar(axis as i32)).gives(&expected);
    }
}

#[test]
fn normalizations() {
    // e^0, e^1, e^2 over their sum
    let x = || floats(&[1, 3], &[0.0, 1.0, 2.0]);
    let soft = [0.090_030_57, 0.244_728_48, 0.665_240_94];
    case(Op::Softmax { beta: 1.0 }).input(x()).gives_about(&floats(&[1, 3], &soft), 1e-6);
    let double = floats(&[1, 3], &[0.0, 0.5, 1.0]);
    case(Op::Softmax { beta: 2.0 }).input(double).gives_about(&floats(&[1, 3], &soft), 1e-6);
    let shifted = floats(&[1, 3], &[1000.0, 1001.0, 1002.0]);
    case(Op::Softmax { beta: 1.0 }).input(shifted).gives_about(&floats(&[1, 3], &soft), 1e-6);
    let log = soft.map(f32::ln);
    case(Op::LogSoftmax).input(x()).gives_about(&floats(&[1, 3], &log), 1e-6);
    let rows = floats(&[2, 2], &[3.0, 4.0, 0.0, 0.0]);
    case(Op::L2Normalization).input(rows).gives_about(&floats(&[2, 2], &[0.6, 0.8, 0.0, 0.0]), 1e-6);
    let op = Op::LocalResponseNormalization { radius: 1, bias: 2.0, alpha: 0.5, beta: 0.75 };
    let x = [1.0f32, -2.0, 3.0];
    let by = |sum: f32| (2.0 + 0.5 * sum).powf(0.75);
    let expected = [1.0 / by(5.0), -2.0 / by(14.0), 3.0 / by(13.0)];
    case(op).input(floats(&[1, 1, 1, 3], &x)).gives_about(&floats(&[1, 1, 1, 3], &expected), 1e-6);
}

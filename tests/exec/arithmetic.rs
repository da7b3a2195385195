use std::f32::consts::{E, FRAC_1_SQRT_2, FRAC_PI_4, LN_10, SQRT_2};

use litesmith::graph::{Activation, Binary, Compare, Op, Unary};
use litesmith::tensor::{DType, Tensor};

use super::{Random, at, case, define, floats, ints};

fn unary(kind: Unary, x: &[f32], expected: &[f32]) {
    case(Op::Unary(kind)).input(floats(&[x.len()], x)).gives_about(&floats(&[x.len()], expected), 1e-6);
}

#[test]
fn unary_floats() {
    unary(Unary::Abs, &[-1.5, 0.0, 2.0], &[1.5, 0.0, 2.0]);
    unary(Unary::Ceil, &[-1.5, 0.2], &[-1.0, 1.0]);
    unary(Unary::Floor, &[-1.5, 0.2], &[-2.0, 0.0]);
    unary(Unary::Round, &[0.5, 1.5, 2.5, -0.5, -1.5, 2.6], &[0.0, 2.0, 2.0, 0.0, -2.0, 3.0]);
    unary(Unary::Cos, &[0.0, 1.0], &[1.0, 0.540_302_3]);
    unary(Unary::Sin, &[0.0, 1.0], &[0.0, 0.841_471]);
    unary(Unary::Exp, &[0.0, 1.0, -2.0], &[1.0, E, 0.135_335_28]);
    unary(Unary::Log, &[1.0, 10.0], &[0.0, LN_10]);
    unary(Unary::Sqrt, &[4.0, 2.0], &[2.0, SQRT_2]);
    unary(Unary::Rsqrt, &[4.0, 2.0], &[0.5, FRAC_1_SQRT_2]);
    unary(Unary::Square, &[-3.0, 0.5], &[9.0, 0.25]);
    unary(Unary::Neg, &[-3.0, 0.5], &[3.0, -0.5]);
    unary(Unary::Sign, &[-3.0, 0.0, 0.5], &[-1.0, 0.0, 1.0]);
    unary(Unary::Tanh, &[-1.0, 0.0, 20.0], &[-0.761_594_2, 0.0, 1.0]);
    unary(Unary::Logistic, &[-2.0, 0.0, 100.0, -200.0], &[0.119_202_92, 0.5, 1.0, 0.0]);
    unary(Unary::ZerosLike, &[-2.0, 7.0], &[0.0, 0.0]);
}

#[test]
fn unary_activations() {
    let x = [-7.0, -1.5, -0.5, 0.0, 0.5, 1.5, 7.0];
    unary(Unary::Relu, &x, &[0.0, 0.0, 0.0, 0.0, 0.5, 1.5, 7.0]);
    unary(Unary::Relu6, &x, &[0.0, 0.0, 0.0, 0.0, 0.5, 1.5, 6.0]);
    unary(Unary::Relu0To1, &x, &[0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
    unary(Unary::ReluN1To1, &x, &[-1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0]);
    unary(Unary::Elu, &[-1.0, 2.0], &[-0.632_120_55, 2.0]);
    unary(Unary::HardSwish, &[-4.0, -1.0, 1.0, 4.0], &[0.0, -1.0 / 3.0, 2.0 / 3.0, 4.0]);
    // x Φ(x), with Φ(1) = 0.8413447460685429 and Φ(-0.5) = 0.3085375387259869
    unary(Unary::Gelu, &[1.0, -0.5, 6.0, -9.0], &[0.841_344_8, -0.154_268_77, 6.0, 0.0]);
    unary(Unary::GeluTanh, &[1.0, -0.5], &[0.841_192, -0.154_286]);
    case(Op::LeakyRelu { alpha: 0.1 }).input(floats(&[2], &[-2.0, 3.0])).gives(&floats(&[2], &[-0.2, 3.0]));
    let (x, alpha) = (floats(&[2, 2], &[-1.0, 2.0, 3.0, -4.0]), floats(&[2], &[0.5, 0.25]));
    case(Op::Prelu).input(x).constant(alpha).gives(&floats(&[2, 2], &[-0.5, 2.0, 3.0, -1.0]));
}

#[test]
fn nan_goes_where_the_kernels_let_it() {
    let nan = f32::NAN;
    case(Op::Unary(Unary::Relu)).input(floats(&[1], &[nan])).gives(&floats(&[1], &[nan]));
    case(Op::Unary(Unary::Sign)).input(floats(&[1], &[nan])).gives(&floats(&[1], &[nan]));
    // In the first operand it is dropped, in the second it stays.
    for kind in [Binary::Maximum, Binary::Minimum] {
        let (a, b) = (floats(&[2], &[nan, 1.0]), floats(&[2], &[1.0, nan]));
        case(Op::Binary(kind, Activation::None)).input(a).input(b).gives(&floats(&[2], &[1.0, nan]));
    }
    let cast = case(Op::Cast { to: DType::I32 }).input(floats(&[2], &[nan, -1e30]));
    cast.gives(&ints(&[i32::MAX, i32::MIN]));
}

#[test]
fn unary_integers() {
    case(Op::Unary(Unary::Abs)).input(ints(&[-3, 4])).gives(&ints(&[3, 4]));
    case(Op::Unary(Unary::Neg)).input(Tensor::vector(vec![-128i8, 5])).gives(&Tensor::vector(vec![-128i8, -5]));
    case(Op::Unary(Unary::Sign)).input(ints(&[-3, 0, 4])).gives(&ints(&[-1, 0, 1]));
    let not = case(Op::Unary(Unary::LogicalNot)).input(Tensor::from_bools(&[2], &[true, false]));
    not.gives(&Tensor::from_bools(&[2], &[false, true]));
    case(Op::Unary(Unary::Exp)).input(ints(&[1])).fails();
}

fn binary_ints(kind: Binary, a: &[i32], b: &[i32], expected: &[i32]) {
    case(Op::Binary(kind, Activation::None)).input(ints(a)).input(ints(b)).gives(&ints(expected));
    let wide = |x: &[i32]| ints(x).cast(DType::I64).unwrap();
    let case = case(Op::Binary(kind, Activation::None)).input(wide(a)).input(wide(b));
    let known =
        matches!(kind, Binary::Add | Binary::Sub | Binary::Mul | Binary::Maximum | Binary::Minimum | Binary::FloorMod);
    let case = if known { case } else { case.only_here("no kernel takes INT64") };
    case.gives(&wide(expected));
}

#[test]
fn integers_divide_as_the_kernels_do() {
    binary_ints(Binary::Div, &[7, -7, 7, -7], &[2, 2, -2, -2], &[3, -3, -3, 3]);
    binary_ints(Binary::FloorDiv, &[7, -7, 7, -7], &[2, 2, -2, -2], &[3, -4, -4, 3]);
    binary_ints(Binary::FloorMod, &[7, -7, 7, -7], &[3, 3, -3, -3], &[1, 2, -2, -1]);
    binary_ints(Binary::Pow, &[2, -3, 5], &[10, 3, 0], &[1024, -27, 1]);
    binary_ints(Binary::SquaredDifference, &[2, -3], &[5, 3], &[9, 36]);
    binary_ints(Binary::Maximum, &[2, -3], &[-5, 3], &[2, 3]);
    binary_ints(Binary::Minimum, &[2, -3], &[-5, 3], &[-5, -3]);
    binary_ints(Binary::Sub, &[2, -3], &[-5, 3], &[7, -6]);
    binary_ints(Binary::BitwiseXor, &[0b1100], &[0b1010], &[0b0110]);
    binary_ints(Binary::RightShift, &[-8, 8, 5], &[1, 2, 100], &[-4, 2, 0]);
    case(Op::Binary(Binary::Div, Activation::None)).input(ints(&[1])).input(ints(&[0])).fails();
    case(Op::Binary(Binary::FloorMod, Activation::None)).input(ints(&[1])).input(ints(&[0])).fails();
    case(Op::Binary(Binary::Pow, Activation::None)).input(ints(&[1])).input(ints(&[-1])).fails();
}

#[test]
fn integers_wrap_to_their_width() {
    let (a, b) = (Tensor::vector(vec![100i8, -128]), Tensor::vector(vec![100i8, -1]));
    let sum = case(Op::Binary(Binary::Add, Activation::None)).input(a).input(b);
    sum.only_here("aborts on INT8 without scales").gives(&Tensor::vector(vec![-56i8, 127]));
    binary_ints(Binary::Mul, &[3, -4], &[5, 6], &[15, -24]);
    let large = Tensor::vector(vec![i64::MAX]);
    let sum = case(Op::Binary(Binary::Add, Activation::None)).input(large).input(Tensor::vector(vec![1i64]));
    sum.gives(&Tensor::vector(vec![i64::MIN]));
    case(Op::Binary(Binary::Add, Activation::Relu6))
        .input(ints(&[-9, 2, 5]))
        .input(ints(&[1]))
        .gives(&ints(&[0, 3, 6]));
}

fn binary_floats(kind: Binary, a: &[f32], b: &[f32], expected: &[f32]) {
    let (a, b) = (floats(&[a.len()], a), floats(&[b.len()], b));
    case(Op::Binary(kind, Activation::None)).input(a).input(b).gives_about(&floats(&[expected.len()], expected), 1e-6);
}

#[test]
fn binary_on_floats() {
    binary_floats(Binary::Add, &[1.0, 2.0], &[0.5], &[1.5, 2.5]);
    binary_floats(Binary::Sub, &[1.0, 2.0], &[0.5], &[0.5, 1.5]);
    binary_floats(Binary::Mul, &[3.0], &[0.5, -2.0], &[1.5, -6.0]);
    binary_floats(Binary::Div, &[3.0, -1.0], &[2.0, 4.0], &[1.5, -0.25]);
    binary_floats(Binary::Pow, &[2.0, 9.0], &[3.0, 0.5], &[8.0, 3.0]);
    binary_floats(Binary::FloorDiv, &[7.5, -7.5], &[2.0, 2.0], &[3.0, -4.0]);
    binary_floats(Binary::FloorMod, &[7.5, -7.5, 7.5], &[2.0, 2.0, -2.0], &[1.5, 0.5, -0.5]);
    binary_floats(Binary::SquaredDifference, &[1.0], &[3.0], &[4.0]);
    binary_floats(Binary::Atan2, &[1.0, -1.0], &[1.0, -1.0], &[FRAC_PI_4, -3.0 * FRAC_PI_4]);
    binary_floats(Binary::Maximum, &[1.0, -3.0], &[-1.0, 2.0], &[1.0, 2.0]);
    binary_floats(Binary::Minimum, &[1.0, -3.0], &[-1.0, 2.0], &[-1.0, -3.0]);
}

#[test]
fn half_precision_is_computed_in_single() {
    let half = |x: &[f32]| floats(&[x.len()], x).cast(DType::F16).unwrap();
    let sum = case(Op::Binary(Binary::Add, Activation::None)).input(half(&[1.0, 2.5])).input(half(&[0.25]));
    sum.gives(&half(&[1.25, 2.75]));
    let root = case(Op::Unary(Unary::Sqrt)).input(half(&[2.25])).only_here("no kernel takes FLOAT16");
    root.gives(&half(&[1.5]));
}

#[test]
fn fused_activations_limit_results() {
    let x = || floats(&[4], &[-4.0, -0.5, 2.0, 9.0]);
    let fused = |activation, expected: &[f32]| {
        let sum = case(Op::Binary(Binary::Add, activation)).input(x()).constant(floats(&[], &[0.0]));
        sum.gives(&floats(&[4], expected));
    };
    fused(Activation::Relu, &[0.0, 0.0, 2.0, 9.0]);
    fused(Activation::Relu6, &[0.0, 0.0, 2.0, 6.0]);
    fused(Activation::ReluN1To1, &[-1.0, -0.5, 1.0, 1.0]);
}

#[test]
fn logic_and_comparisons() {
    let (a, b) = (Tensor::from_bools(&[2, 1], &[true, false]), Tensor::from_bools(&[2], &[true, false]));
    let and = case(Op::Binary(Binary::LogicalAnd, Activation::None)).input(a.clone()).input(b.clone());
    and.gives(&Tensor::from_bools(&[2, 2], &[true, false, false, false]));
    let or = case(Op::Binary(Binary::LogicalOr, Activation::None)).input(a.clone()).input(b.clone());
    or.gives(&Tensor::from_bools(&[2, 2], &[true, true, true, false]));
    let compared = |kind, expected: [bool; 3]| {
        let expected = Tensor::from_bools(&[3], &expected);
        case(Op::Compare(kind)).input(floats(&[3], &[1.0, 2.0, 3.0])).constant(floats(&[], &[2.0])).gives(&expected);
        case(Op::Compare(kind)).input(ints(&[1, 2, 3])).constant(Tensor::scalar(2)).gives(&expected);
    };
    compared(Compare::Equal, [false, true, false]);
    compared(Compare::NotEqual, [true, false, true]);
    compared(Compare::Less, [true, false, false]);
    compared(Compare::LessEqual, [true, true, false]);
    compared(Compare::Greater, [false, false, true]);
    compared(Compare::GreaterEqual, [false, true, true]);
    let nan = floats(&[1], &[f32::NAN]);
    case(Op::Compare(Compare::NotEqual)).input(nan.clone()).input(nan).gives(&Tensor::from_bools(&[1], &[true]));
}

#[test]
fn broadcasting_at_random_shapes() {
    let mut random = Random::new(1);
    for _ in 0..60 {
        let rank = random.between(0, 5);
        let full = random.shape(rank, 4);
        let operand = |random: &mut Random| {
            let kept = random.between(0, rank);
            full[rank - kept..].iter().map(|&d| if random.flag() { d } else { 1 }).collect::<Vec<_>>()
        };
        let shapes = [operand(&mut random), operand(&mut random), operand(&mut random)];
        let shape: Vec<usize> = (0..rank)
            .map(|axis| {
                shapes.iter().filter_map(|s| s.get((axis + s.len()).checked_sub(rank)?)).max().map_or(1, |&d| d)
            })
            .collect();
        let longest = shapes.iter().map(Vec::len).max().unwrap();
        let shape = shape[rank - longest..].to_vec();
        let place = |index: &[usize], s: &[usize]| -> Vec<usize> {
            let tail = &index[index.len() - s.len()..];
            tail.iter().zip(s).map(|(&i, &d)| if d == 1 { 0 } else { i }).collect()
        };
        let (c, x, y) = (random.numbers(DType::Bool, &shapes[0]), random.floats(&shapes[1]), random.floats(&shapes[2]));
        let expected = define(&shape, |index| {
            let chosen = if at::<u8>(&c, &place(index, &shapes[0])) != 0 { (&x, &shapes[1]) } else { (&y, &shapes[2]) };
            at::<f32>(chosen.0, &place(index, chosen.1))
        });
        case(Op::Select).input(c).input(x.clone()).input(y.clone()).gives(&expected);

        let both = shapes[1].len().max(shapes[2].len());
        let pair: Vec<usize> = (0..both)
            .map(|axis| {
                shapes[1..].iter().filter_map(|s| s.get((axis + s.len()).checked_sub(both)?)).max().map_or(1, |&d| d)
            })
            .collect();
        let expected =
            define(&pair, |index| at::<f32>(&x, &place(index, &shapes[1])) - at::<f32>(&y, &place(index, &shapes[2])));
        case(Op::Binary(Binary::Sub, Activation::None)).input(x).input(y).gives(&expected);
    }
}

#[test]
fn casts() {
    let cast = |x: Tensor, to: DType| case(Op::Cast { to }).input(x).result();
    assert_eq!(cast(floats(&[4], &[-1.9, 1.9, 300.0, -300.0]), DType::I8), Tensor::vector(vec![-1i8, 1, 127, -128]));
    assert_eq!(cast(floats(&[2], &[-1.0, 300.0]), DType::U8), Tensor::vector(vec![0u8, 255]));
    assert_eq!(cast(ints(&[300, -1]), DType::U8), Tensor::vector(vec![44u8, 255]));
    let bools = cast(floats(&[3], &[0.0, f32::NAN, -2.0]), DType::Bool);
    assert_eq!(bools, Tensor::from_bools(&[3], &[false, true, true]));
    assert_eq!(cast(Tensor::from_bools(&[2], &[true, false]), DType::F32), floats(&[2], &[1.0, 0.0]));
}

#[test]
fn nothing_in_nothing_out() {
    let none = || Tensor::from_vec::<f32>(&[0, 3], vec![]);
    case(Op::Unary(Unary::Exp)).input(none()).gives(&none());
    case(Op::Binary(Binary::Add, Activation::None)).input(none()).input(floats(&[3], &[1.0; 3])).gives(&none());
    case(Op::Binary(Binary::Add, Activation::None)).input(none()).input(floats(&[1, 1], &[1.0])).gives(&none());
    case(Op::Softmax { beta: 1.0 }).input(none()).gives(&none());
}

use litesmith::graph::{Activation, Op, Padding, Pool};
use litesmith::tensor::{DType, Tensor};

use super::{Random, at, case, define, floats, ints};

/// The elements that a window sees along one axis, for each place of the result.
fn windows(padding: Padding, input: usize, filter: usize, stride: usize) -> Vec<Vec<usize>> {
    let (output, before) = match padding {
        Padding::Valid => ((input - filter) / stride + 1, 0),
        Padding::Same => {
            let output = input.div_ceil(stride);
            (output, ((output - 1) * stride + filter).saturating_sub(input) / 2)
        }
    };
    let window =
        |i: usize| (0..filter).filter_map(|k| (i * stride + k).checked_sub(before)).filter(|&p| p < input).collect();
    (0..output).map(window).collect()
}

#[test]
fn pools_at_random() {
    let mut random = Random::new(30);
    for _ in 0..60 {
        let padding = if random.flag() { Padding::Same } else { Padding::Valid };
        let filter = [random.between(1, 4), random.between(1, 4)];
        let stride = [random.between(1, 3), random.between(1, 3)];
        let size = filter.map(|f| random.between(if padding == Padding::Valid { f } else { 1 }, 8));
        let (images, channels) = (random.between(1, 2), random.between(1, 5));
        let x = random.floats(&[images, size[0], size[1], channels]);
        let rows = windows(padding, size[0], filter[0], stride[0]);
        let columns = windows(padding, size[1], filter[1], stride[1]);
        let pooled = |f: fn(&[f64]) -> f64| {
            define(&[images, rows.len(), columns.len(), channels], |index| {
                let seen: Vec<f64> = rows[index[1]]
                    .iter()
                    .flat_map(|&y| columns[index[2]].iter().map(move |&x| (y, x)))
                    .map(|(row, column)| at::<f32>(&x, &[index[0], row, column, index[3]]).into())
                    .collect();
                f(&seen).max(0.0) as f32
            })
        };
        let op = |kind| Op::Pool2d { kind, padding, stride, filter, activation: Activation::Relu };
        let average = pooled(|seen| seen.iter().sum::<f64>() / seen.len() as f64);
        case(op(Pool::Average)).input(x.clone()).gives_about(&average, 1e-6);
        let most = pooled(|seen| seen.iter().copied().fold(f64::MIN, f64::max));
        case(op(Pool::Max)).input(x.clone()).gives(&most);
        let root = pooled(|seen| (seen.iter().map(|x| x * x).sum::<f64>() / seen.len() as f64).sqrt());
        case(op(Pool::L2)).input(x.clone()).gives_about(&root, 1e-6);
    }
}

fn nearest(from: usize, to: usize, align_corners: bool, half_pixel_centers: bool, expected: &[f32]) {
    let x = Tensor::from_vec(&[1, from, 1, 1], (0..from).map(|i| i as f32).collect());
    let op = Op::ResizeNearest { align_corners, half_pixel_centers };
    case(op).input(x).constant(ints(&[to as i32, 1])).gives(&floats(&[1, to, 1, 1], expected));
}

#[test]
fn nearest_elements() {
    // floor(i * 2/3), at 4 to 6 elements
    nearest(4, 6, false, false, &[0.0, 0.0, 1.0, 2.0, 2.0, 3.0]);
    // floor((i + 0.5) * 2/3): ties go up
    nearest(4, 6, false, true, &[0.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    // round(i * 3/5)
    nearest(4, 6, true, false, &[0.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
    nearest(6, 3, false, false, &[0.0, 2.0, 4.0]);
    nearest(6, 3, false, true, &[1.0, 3.0, 5.0]);
    nearest(6, 3, true, false, &[0.0, 3.0, 5.0]);
    nearest(2, 1, true, false, &[0.0]);
}

#[test]
fn nearest_moves_any_type_in_both_directions() {
    let x = Tensor::from_vec(&[1, 2, 2, 1], vec![1i8, 2, 3, 4]);
    let op = Op::ResizeNearest { align_corners: false, half_pixel_centers: false };
    let expected = Tensor::from_vec(&[1, 2, 4, 1], vec![1i8, 1, 2, 2, 3, 3, 4, 4]);
    case(op).input(x).constant(ints(&[2, 4])).gives(&expected);
}

fn bilinear(from: usize, to: usize, align_corners: bool, half_pixel_centers: bool, expected: &[f32]) {
    let op = || Op::ResizeBilinear { align_corners, half_pixel_centers };
    let x = |shape: &[usize]| Tensor::from_vec(shape, (0..from).map(|i| (i * i) as f32).collect());
    let rows = case(op()).input(x(&[1, from, 1, 1])).constant(ints(&[to as i32, 1]));
    rows.gives_about(&floats(&[1, to, 1, 1], expected), 1e-6);
    let columns = case(op()).input(x(&[1, 1, from, 1])).constant(ints(&[1, to as i32]));
    columns.gives_about(&floats(&[1, 1, to, 1], expected), 1e-6);
}

#[test]
fn linear_mixtures() {
    // Squares at 0, 3/4, 3/2, 9/4
    bilinear(3, 4, false, false, &[0.0, 0.75, 2.5, 4.0]);
    // Squares at 0, 2/3, 4/3, 2
    bilinear(3, 4, true, false, &[0.0, 2.0 / 3.0, 2.0, 4.0]);
    // Squares at -1/8, 5/8, 11/8, 17/8, limited to 0..2
    bilinear(3, 4, false, true, &[0.0, 0.625, 2.125, 4.0]);
    bilinear(4, 2, false, true, &[0.5, 6.5]);
    bilinear(4, 1, true, false, &[0.0]);
    let both = Op::ResizeBilinear { align_corners: true, half_pixel_centers: true };
    case(both).input(floats(&[1, 1, 1, 1], &[1.0])).constant(ints(&[2, 2])).fails();
}

#[test]
fn bilinear_mixes_four_elements() {
    let x = floats(&[1, 2, 2, 2], &[0.0, 10.0, 4.0, 20.0, 8.0, 30.0, 16.0, 40.0]);
    let op = Op::ResizeBilinear { align_corners: true, half_pixel_centers: false };
    let result = case(op).input(x).constant(ints(&[3, 3])).result();
    assert_eq!(at::<f32>(&result, &[0, 1, 1, 0]), 7.0);
    assert_eq!(at::<f32>(&result, &[0, 1, 1, 1]), 25.0);
    assert_eq!(at::<f32>(&result, &[0, 1, 2, 0]), 10.0);
    assert_eq!(at::<f32>(&result, &[0, 2, 1, 1]), 35.0);
}

#[test]
fn depth_and_space_at_random() {
    let mut random = Random::new(31);
    for _ in 0..20 {
        let block = random.between(1, 3);
        let [n, h, w, c] = [0; 4].map(|_| random.between(1, 3));
        let x = random.floats(&[n, h, w, c * block * block]);
        let spread = define(&[n, h * block, w * block, c], |i| {
            let (row, column) = (i[1] % block, i[2] % block);
            at::<f32>(&x, &[i[0], i[1] / block, i[2] / block, (row * block + column) * c + i[3]])
        });
        case(Op::DepthToSpace { block }).input(x.clone()).gives(&spread);
        case(Op::SpaceToDepth { block }).input(spread).gives(&x);
    }
}

#[test]
fn batch_and_space_at_random() {
    let mut random = Random::new(32);
    for _ in 0..40 {
        let axes = random.between(1, 2);
        let block = random.shape(axes, 3);
        let blocks: usize = block.iter().product();
        let (batch, depth) = (random.between(1, 2), random.between(1, 3));
        let small = random.shape(axes, 3);
        let whole: Vec<usize> = small.iter().zip(&block).map(|(s, b)| s * b).collect();
        // Up to a block of padding on either side.
        let pads: Vec<[usize; 2]> = block.iter().map(|&b| [random.below(b), 0]).collect();
        let inner: Vec<usize> = whole.iter().zip(&pads).map(|(w, p)| w - p[0] - p[1]).collect();
        let x = random.floats(&[&[batch], &inner[..], &[depth]].concat());
        let expected = define(&[&[batch * blocks], &small[..], &[depth]].concat(), |index| {
            let (mut which, image) = (index[0] / batch, index[0] % batch);
            let mut from = vec![image];
            let mut steps = vec![0; axes];
            for axis in (0..axes).rev() {
                steps[axis] = which % block[axis];
                which /= block[axis];
            }
            for axis in 0..axes {
                match (index[axis + 1] * block[axis] + steps[axis]).checked_sub(pads[axis][0]) {
                    Some(place) if place < inner[axis] => from.push(place),
                    _ => return 0.0,
                }
            }
            from.push(index[axes + 1]);
            at::<f32>(&x, &from)
        });
        let int = |values: &[usize]| Tensor::vector(values.iter().map(|&v| v as i32).collect());
        let flat: Vec<i32> = pads.iter().flatten().map(|&p| p as i32).collect();
        let pads = Tensor::from_vec(&[axes, 2], flat);
        case(Op::SpaceToBatch).input(x.clone()).constant(int(&block)).constant(pads.clone()).gives(&expected);
        case(Op::BatchToSpace).input(expected).constant(int(&block)).constant(pads).gives(&x);
    }
}

#[test]
fn pools_of_nothing() {
    let x = Tensor::zeros(DType::F32, &[0, 3, 3, 2]).unwrap();
    let op = Op::Pool2d {
        kind: Pool::Max,
        padding: Padding::Valid,
        stride: [1, 1],
        filter: [2, 2],
        activation: Activation::None,
    };
    case(op).input(x).gives(&Tensor::zeros(DType::F32, &[0, 2, 2, 2]).unwrap());
}

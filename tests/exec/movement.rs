use litesmith::graph::{MirrorMode, Op, SliceMasks};
use litesmith::tensor::{DType, Tensor};

use super::{Case, Random, at, case, define, floats, ints};

const MOVED: [DType; 6] = [DType::F32, DType::I8, DType::Bool, DType::F16, DType::I64, DType::I32];

fn axes(values: &[usize]) -> Tensor {
    Tensor::vector(values.iter().map(|&v| v as i32).collect())
}

/// Numbers of any of the types that only move, to and from which the expected ones are cast.
fn sample(random: &mut Random, shape: &[usize]) -> Tensor {
    let dtype = MOVED[random.below(MOVED.len())];
    random.numbers(dtype, shape)
}

/// The one result has the elements that `source` names, index by index.
fn moves(case: Case, x: &Tensor, shape: &[usize], source: impl Fn(&[usize]) -> Vec<usize>) {
    let wide = x.cast(DType::I64).unwrap();
    let expected = define(shape, |index| at::<i64>(&wide, &source(index)));
    case.gives(&expected.cast(x.dtype()).unwrap());
}

#[test]
fn transpose_and_reverse_at_random() {
    let mut random = Random::new(2);
    for _ in 0..40 {
        let rank = random.between(1, 5);
        let shape = random.shape(rank, 5);
        let x = sample(&mut random, &shape);
        let mut perm: Vec<usize> = (0..rank).collect();
        (1..rank).for_each(|i| perm.swap(i, random.below(i + 1)));
        let new: Vec<usize> = perm.iter().map(|&axis| shape[axis]).collect();
        moves(case(Op::Transpose).input(x.clone()).constant(axes(&perm)), &x, &new, |index| {
            let mut from = vec![0; rank];
            perm.iter().zip(index).for_each(|(&axis, &i)| from[axis] = i);
            from
        });
        let axis = random.below(rank);
        moves(case(Op::Reverse).input(x.clone()).constant(axes(&[axis])), &x, &shape, |index| {
            let mut from = index.to_vec();
            from[axis] = shape[axis] - 1 - from[axis];
            from
        });
    }
}

#[test]
fn reshapes() {
    let x = || floats(&[2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let as_shape = |shape: &[usize]| x().reshape(shape).unwrap();
    case(Op::Reshape).input(x()).constant(ints(&[3, -1])).gives(&as_shape(&[3, 2]));
    case(Op::Reshape).input(x()).constant(ints(&[6])).gives(&as_shape(&[6]));
    case(Op::Squeeze { axes: vec![] }).input(x()).gives(&as_shape(&[2, 3]));
    case(Op::Squeeze { axes: vec![-2] }).input(x()).gives(&as_shape(&[2, 3]));
    case(Op::ExpandDims).input(x()).constant(Tensor::scalar(-1)).gives(&as_shape(&[2, 1, 3, 1]));
    case(Op::ExpandDims).input(x()).constant(Tensor::scalar(0)).gives(&as_shape(&[1, 2, 1, 3]));
    let none = Tensor::from_vec::<f32>(&[0, 4], vec![]);
    case(Op::Reshape).input(none.clone()).constant(ints(&[2, 0])).gives(&none.reshape(&[2, 0]).unwrap());
}

#[test]
fn slices_at_random() {
    let mut random = Random::new(3);
    for _ in 0..40 {
        let rank = random.between(1, 4);
        let shape = random.shape(rank, 6);
        let x = sample(&mut random, &shape);
        let begin: Vec<usize> = shape.iter().map(|&d| random.below(d + 1)).collect();
        let size: Vec<usize> = shape.iter().zip(&begin).map(|(&d, &b)| random.below(d - b + 1)).collect();
        let to_end = random.below(rank);
        let mut given: Vec<i32> = size.iter().map(|&s| s as i32).collect();
        let mut size = size;
        given[to_end] = -1;
        size[to_end] = shape[to_end] - begin[to_end];
        let slice = case(Op::Slice).input(x.clone()).constant(axes(&begin)).constant(ints(&given));
        moves(slice, &x, &size, |index| index.iter().zip(&begin).map(|(i, b)| i + b).collect());
    }
}

#[test]
fn strided_slices_follow_python() {
    let mut random = Random::new(4);
    for _ in 0..200 {
        let dim = random.between(1, 7);
        let x = sample(&mut random, &[2, dim]);
        let bound = |random: &mut Random| random.below(2 * dim + 5) as i32 - dim as i32 - 2;
        let (begin, end) = (bound(&mut random), bound(&mut random));
        let step = [-3, -2, -1, 1, 2, 3][random.below(6)];
        let (begin_mask, end_mask) = (random.flag(), random.flag());
        // What Python's range says about the same slice.
        let d = dim as i32;
        let (low, high) = if step > 0 { (0, d) } else { (-1, d - 1) };
        let clamp = |i: i32| (if i < 0 { i + d } else { i }).clamp(low, high);
        let first = if begin_mask { if step > 0 { low } else { high } } else { clamp(begin) };
        let last = if end_mask { if step > 0 { high } else { low } } else { clamp(end) };
        let mut picked = vec![];
        let mut i = first;
        while (step > 0 && i < last) || (step < 0 && i > last) {
            picked.push(i as usize);
            i += step;
        }
        let masks = SliceMasks { begin: 2 * i32::from(begin_mask), end: 2 * i32::from(end_mask), ..Default::default() };
        let slice = case(Op::StridedSlice(masks))
            .input(x.clone())
            .constant(ints(&[0, begin]))
            .constant(ints(&[2, end]))
            .constant(ints(&[1, step]));
        moves(slice, &x, &[2, picked.len()], |index| vec![index[0], picked[index[1]]]);
    }
    let masks = SliceMasks { shrink_axis: 1, ..Default::default() };
    let x = floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let row = case(Op::StridedSlice(masks)).input(x).constant(ints(&[-1])).constant(ints(&[0])).constant(ints(&[1]));
    row.gives(&floats(&[2], &[3.0, 4.0]));
}

#[test]
fn joining_and_splitting_at_random() {
    let mut random = Random::new(5);
    for _ in 0..40 {
        let rank = random.between(1, 4);
        let shape = random.shape(rank, 4);
        let axis = random.below(rank);
        let sizes: Vec<usize> = (0..3).map(|_| random.below(4)).collect();
        let total: usize = sizes.iter().sum();
        let mut whole_shape = shape.clone();
        whole_shape[axis] = total;
        let x = sample(&mut random, &whole_shape);
        let signed = axis as i32 - if random.flag() { rank as i32 } else { 0 };

        let op = Op::SplitV { parts: 3 };
        let split = case(op).input(x.clone()).constant(axes(&sizes)).constant(Tensor::scalar(signed));
        let known = !matches!(x.dtype(), DType::Bool | DType::F16);
        let split = if known { split } else { split.only_here("no kernel takes BOOL or FLOAT16") };
        let parts = split.results();
        let wide = x.cast(DType::I64).unwrap();
        let mut begin = 0;
        for (part, &size) in parts.iter().zip(&sizes) {
            let mut part_shape = shape.clone();
            part_shape[axis] = size;
            let expected = define(&part_shape, |index| {
                let mut from = index.to_vec();
                from[axis] += begin;
                at::<i64>(&wide, &from)
            });
            assert_eq!(*part, expected.cast(x.dtype()).unwrap());
            begin += size;
        }
        let joined = parts.iter().fold(case(Op::Concatenation { axis: signed }), |case, part| case.input(part.clone()));
        joined.gives(&x);
    }
}

#[test]
fn packing_equal_parts() {
    let x = floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let columns = case(Op::Unpack { axis: 1, parts: 2 }).input(x.clone()).results();
    assert_eq!(columns, [floats(&[2], &[1.0, 3.0]), floats(&[2], &[2.0, 4.0])]);
    case(Op::Pack { axis: -1 }).input(columns[0].clone()).input(columns[1].clone()).gives(&x);
    let halves = case(Op::Split { parts: 2 }).constant(Tensor::scalar(0)).input(x).results();
    assert_eq!(halves, [floats(&[1, 2], &[1.0, 2.0]), floats(&[1, 2], &[3.0, 4.0])]);
}

#[test]
fn repeating_at_random() {
    let mut random = Random::new(6);
    for _ in 0..40 {
        let rank = random.between(1, 4);
        let shape = random.shape(rank, 3);
        let x = sample(&mut random, &shape);
        let times: Vec<usize> = (0..rank).map(|_| random.below(4)).collect();
        let tiled: Vec<usize> = shape.iter().zip(&times).map(|(d, t)| d * t).collect();
        moves(case(Op::Tile).input(x.clone()).constant(axes(&times)), &x, &tiled, |index| {
            index.iter().zip(&shape).map(|(i, d)| i % d).collect()
        });

        let thin: Vec<usize> = shape.iter().map(|&d| if random.flag() { d } else { 1 }).collect();
        let x = sample(&mut random, &thin);
        let wide = [vec![2], shape].concat();
        moves(case(Op::BroadcastTo).input(x.clone()).constant(axes(&wide)), &x, &wide, |index| {
            index[1..].iter().zip(&thin).map(|(&i, &d)| if d == 1 { 0 } else { i }).collect()
        });
    }
    case(Op::Fill).constant(ints(&[2, 1])).input(Tensor::scalar(7i64)).gives(&Tensor::from_vec(&[2, 1], vec![7i64; 2]));
}

#[test]
fn padding_at_random() {
    let mut random = Random::new(7);
    for _ in 0..60 {
        let rank = random.between(1, 4);
        let shape: Vec<usize> = (0..rank).map(|_| random.between(2, 5)).collect();
        let x = sample(&mut random, &shape);
        let pads: Vec<[usize; 2]> = shape.iter().map(|d| [random.below(*d), random.below(*d)]).collect();
        let flat = pads.iter().flatten().map(|&p| p as i32).collect();
        let paddings = Tensor::from_vec::<i32>(&[rank, 2], flat);
        let padded: Vec<usize> = shape.iter().zip(&pads).map(|(d, p)| d + p[0] + p[1]).collect();
        let wide = x.cast(DType::I64).unwrap();
        let with = |value: i64| {
            define(&padded, |index| {
                let inside =
                    index.iter().zip(&pads).zip(&shape).map(|((&i, p), &d)| i.checked_sub(p[0]).filter(|&i| i < d));
                inside.collect::<Option<Vec<_>>>().map_or(value, |from| at::<i64>(&wide, &from))
            })
        };
        case(Op::Pad).input(x.clone()).constant(paddings.clone()).gives(&with(0).cast(x.dtype()).unwrap());
        let one = Tensor::scalar(1i64).cast(x.dtype()).unwrap();
        let padded_with = case(Op::PadV2).input(x.clone()).constant(paddings.clone()).constant(one);
        padded_with.gives(&with(1).cast(x.dtype()).unwrap());

        for (mode, skip) in [(MirrorMode::Reflect, 1i64), (MirrorMode::Symmetric, 0)] {
            let mirror = case(Op::MirrorPad { mode }).input(x.clone()).constant(paddings.clone());
            moves(mirror, &x, &padded, |index| {
                let source = |((&i, p), &d): ((&usize, &[usize; 2]), &usize)| {
                    let (at, d) = (i as i64 - p[0] as i64, d as i64);
                    (if at < 0 {
                        -at - 1 + skip
                    } else if at >= d {
                        2 * d - 1 - skip - at
                    } else {
                        at
                    }) as usize
                };
                index.iter().zip(&pads).zip(&shape).map(source).collect()
            });
        }
    }
}

#[test]
fn gathering_at_random() {
    let mut random = Random::new(8);
    for _ in 0..60 {
        let rank = random.between(1, 4);
        let shape = random.shape(rank, 4);
        let x = sample(&mut random, &shape);
        let axis = random.below(rank);
        let batch = random.below(axis + 1);
        let more = random.between(0, 2);
        let index_shape = [shape[..batch].to_vec(), random.shape(more, 3)].concat();
        let count: usize = index_shape.iter().product();
        let picked: Vec<i32> = (0..count).map(|_| random.below(shape[axis]) as i32).collect();
        let picked = Tensor::from_vec(&index_shape, picked);
        let result = [&shape[..axis], &index_shape[batch..], &shape[axis + 1..]].concat();
        let op = Op::Gather { axis: axis as i32, batch_dims: batch as i32 };
        moves(case(op).input(x.clone()).input(picked.clone()), &x, &result, |index| {
            let inner = index_shape.len() - batch;
            let which = [&index[..batch], &index[axis..axis + inner]].concat();
            let place = at::<i32>(&picked, &which) as usize;
            [&index[..axis], &[place], &index[axis + inner..]].concat()
        });

        let depth = random.between(1, rank);
        let outer_rank = random.below(3);
        let outer = random.shape(outer_rank, 3);
        let count: usize = outer.iter().product();
        let vectors: Vec<i64> =
            (0..count).flat_map(|_| shape[..depth].to_vec()).map(|d| random.below(d) as i64).collect();
        let vectors = Tensor::from_vec(&[outer.clone(), vec![depth]].concat(), vectors);
        let result = [&outer[..], &shape[depth..]].concat();
        moves(case(Op::GatherNd).input(x.clone()).input(vectors.clone()), &x, &result, |index| {
            let vector = (0..depth).map(|n| at::<i64>(&vectors, &[&index[..outer.len()], &[n]].concat()) as usize);
            vector.chain(index[outer.len()..].iter().copied()).collect()
        });
    }
    case(Op::Gather { axis: 0, batch_dims: 0 }).input(floats(&[2], &[1.0, 2.0])).input(ints(&[-1])).fails();
    case(Op::GatherNd).input(floats(&[2], &[1.0, 2.0])).input(Tensor::from_vec(&[1, 1], vec![2i32])).fails();
    let table = floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    case(Op::EmbeddingLookup).input(ints(&[2, 0])).constant(table).gives(&floats(&[2, 2], &[5.0, 6.0, 1.0, 2.0]));
}

#[test]
fn scattered_duplicates_add_up() {
    let places = Tensor::from_vec(&[3, 1], vec![2i32, 0, 2]);
    let updates = floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let scatter = case(Op::ScatterNd).input(places.clone()).input(updates).constant(ints(&[4, 2]));
    scatter.gives(&floats(&[4, 2], &[3.0, 4.0, 0.0, 0.0, 6.0, 8.0, 0.0, 0.0]));
    let scatter = case(Op::ScatterNd).input(places).input(Tensor::vector(vec![100i8, 1, 100])).constant(ints(&[3]));
    scatter.gives(&Tensor::vector(vec![1i8, 0, -56]));
    let far = Tensor::from_vec(&[1, 1], vec![3i32]);
    case(Op::ScatterNd).input(far).input(ints(&[1])).constant(ints(&[3])).fails();
}

#[test]
fn shapes_and_sequences() {
    let x = || floats(&[2, 3], &[0.0; 6]);
    case(Op::Shape { to: DType::I64 }).input(x()).gives(&Tensor::vector(vec![2i64, 3]));
    case(Op::Rank).input(x()).gives(&Tensor::scalar(2i32));
    let range =
        |start: Tensor, limit: Tensor, delta: Tensor| case(Op::Range).constant(start).constant(limit).input(delta);
    range(Tensor::scalar(1), Tensor::scalar(8), Tensor::scalar(3)).gives(&ints(&[1, 4, 7]));
    range(Tensor::scalar(5i64), Tensor::scalar(0i64), Tensor::scalar(-2i64)).gives(&Tensor::vector(vec![5i64, 3, 1]));
    range(Tensor::scalar(0.0f32), Tensor::scalar(1.0f32), Tensor::scalar(0.25f32))
        .gives(&floats(&[4], &[0.0, 0.25, 0.5, 0.75]));
    range(Tensor::scalar(3), Tensor::scalar(0), Tensor::scalar(1)).gives(&ints(&[]));
}

#[test]
fn one_hot_ignores_what_is_out_of_range() {
    let hot = |axis| {
        let places = Tensor::from_vec(&[2, 2], vec![1i32, 2, -1, 0]);
        let depth = case(Op::OneHot { axis }).input(places).constant(Tensor::scalar(2i32));
        depth.constant(Tensor::scalar(5.0f32)).constant(Tensor::scalar(1.0f32)).result()
    };
    assert_eq!(hot(-1), floats(&[2, 2, 2], &[1.0, 5.0, 1.0, 1.0, 1.0, 1.0, 5.0, 1.0]));
    assert_eq!(hot(0), floats(&[2, 2, 2], &[1.0, 1.0, 1.0, 5.0, 5.0, 1.0, 1.0, 1.0]));
    assert_eq!(hot(1), floats(&[2, 2, 2], &[1.0, 1.0, 5.0, 1.0, 1.0, 5.0, 1.0, 1.0]));
}

#[test]
fn coordinates_of_what_is_true() {
    let condition = Tensor::from_bools(&[2, 3], &[true, false, true, false, false, true]);
    case(Op::Where).input(condition).gives(&Tensor::from_vec(&[3, 2], vec![0i64, 0, 0, 2, 1, 2]));
    case(Op::Where).input(floats(&[2], &[0.0, 0.0])).gives(&Tensor::from_vec::<i64>(&[0, 1], vec![]));
}

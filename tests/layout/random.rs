//! Random graphs in the manner of convolutional networks, with whatever else models have in between.

use litesmith::graph::{Activation, Binary, Dim, Graph, Op, Reduce, SliceMasks, Unary, ValueId};
use litesmith::tensor::{DType, Perm, Tensor};
use proptest::prelude::*;

use crate::support::{Net, graph, optimized};

/// One more value, from those there are; `None` where these don't fit.
fn grow(net: &mut Net<'_>, values: &[ValueId], [what, which, how]: [usize; 3]) -> Option<ValueId> {
    let x = values[which % values.len()];
    let other = values[how % values.len()];
    let shape = net.b.graph.shape(x).clone();
    let rank = shape.rank();
    let dims: Vec<Dim> = shape.dims().to_vec();
    let last = *dims.last()?;
    let pick = |n: usize| how / 3 % n.max(1);
    let axis = pick(rank);
    let one = |net: &mut Net<'_>, op: Op, inputs: &[ValueId]| net.b.one(op, inputs).ok();
    match what % 20 {
        0 | 1 if rank == 4 && dims[1].is_some() => Some(net.conv(x, 1 + how % 4, 1 + 2 * (how / 4 % 2), 1)),
        2 if rank == 4 && dims[1].is_some() => Some(net.depthwise(x, 1)),
        3 => net.b.unary([Unary::Relu6, Unary::Neg, Unary::Square][how % 3], x).ok(),
        4 => net.b.binary([Binary::Add, Binary::Mul, Binary::Maximum][how % 3], x, other).ok(),
        5 => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.rotate_left(axis);
            axes.swap(0, how % rank);
            net.b.transpose(x, &Perm::new(axes).unwrap()).ok()
        }
        6 if shape.elements()? < 20_000 => net.b.concat(&[x, other, x], axis).ok(),
        7 => net.b.reduce([Reduce::Max, Reduce::Min][how % 2], x, &[axis], how / 2 % 2 == 0 || rank == 1).ok(),
        8 => {
            // Two neighbours become one.
            let at = pick(rank - 1);
            let merged = dims.get(at)?.zip(*dims.get(at + 1)?).map(|(a, b)| a * b);
            let mut to: Vec<i64> = dims.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            to.splice(at..=at + 1, [merged.map_or(-1, |d| d as i64)]);
            net.b.reshape(x, &to).ok()
        }
        9 => {
            // One becomes two.
            let divided = dims[axis]?;
            let factor = [2, 3, 1, divided][how % 4];
            let mut to: Vec<i64> = dims.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            let fits = factor > 0 && divided % factor == 0 && rank < 6;
            to.splice(axis..=axis, [factor as i64, (divided / factor.max(1)) as i64]);
            fits.then(|| net.b.reshape(x, &to).ok())?
        }
        10 if last.is_some_and(|d| d < 200) => {
            let weights = net.weights(&[1 + how % 5, last?]);
            let (keep_num_dims, activation) = (how % 2 == 0 || rank > 2, Activation::Relu);
            one(net, Op::FullyConnected { keep_num_dims, asymmetric_inputs: false, activation }, &[x, weights])
        }
        11 => {
            let mut constant: Vec<usize> = dims.iter().map(|d| d.unwrap_or(1)).collect();
            constant.drain(..how % rank);
            if how % 5 > 2 {
                constant[0] = 1;
            }
            let constant = net.weights(&constant);
            net.b.add(x, constant).ok()
        }
        12 => {
            let mut begin = vec![0; rank];
            let mut size = vec![-1; rank];
            size[axis] = (dims[axis]? / 2) as i64;
            begin[axis] = (dims[axis]? / 3) as i64;
            (size[axis] > 0).then(|| net.b.slice(x, &begin, &size).ok())?
        }
        13 if rank <= 5 => {
            let mut pads = vec![(0, 0); rank];
            pads[axis] = (how % 2, 1);
            net.b.pad(x, &pads).ok()
        }
        14 if (2..=5).contains(&rank) => {
            let product = |adj_x, adj_y| Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: false };
            let limit = shape.elements().is_none_or(|n| n < 2000);
            limit.then(|| one(net, product(how % 2 == 0, how / 2 % 2 == 0), &[x, other]))?
        }
        15 => {
            let parts = (2..4).find(|p| dims[axis].is_some_and(|d| d % p == 0))?;
            let axis = net.b.scalar(axis as i32);
            let parts = net.b.emit(Op::Split { parts }, &[Some(axis), Some(x)]).ok()?;
            parts.get(how % parts.len()).copied()
        }
        16 => {
            let masks = SliceMasks { begin: 1, end: how as i32 % 16, shrink_axis: 1 << axis, ..SliceMasks::default() };
            let fill = |net: &mut Net<'_>, n: i32| net.b.ints(&vec![n; rank]).unwrap();
            let (begin, end, strides) = (fill(net, 0), fill(net, 1), fill(net, 1));
            (rank > 1).then(|| one(net, Op::StridedSlice(masks), &[x, begin, end, strides]))?
        }
        17 => {
            let indices = net.b.ints(&[0, dims[axis]? as i32 - 1, 0]).ok()?;
            (dims[axis]? > 0).then(|| net.b.gather(x, indices, axis).ok())?
        }
        18 if rank <= 5 => one(net, Op::Pack { axis: pick(rank + 1) as i32 }, &[x, x]),
        19 => {
            let axis = net.b.constant(Tensor::vector(vec![axis as i32]));
            one(net, Op::Reverse, &[x, axis])
        }
        _ => None,
    }
}

fn random_graph(input: &[Dim], seeds: &[[usize; 3]], outputs: usize) -> Graph {
    let mut outs = Vec::new();
    let mut graph = graph(&[(input, DType::F32), (input, DType::F32)], |net, inputs| {
        let mut values = inputs.to_vec();
        for &seed in seeds {
            // Numbers stay small enough to be exact.
            let value = grow(net, &values, seed).and_then(|y| {
                let small = net.b.graph.shape(y).dims().iter().map(|d| d.unwrap_or(3)).product::<usize>() < 30_000;
                let modulus = net.b.scalar(5.0f32);
                small.then(|| net.b.binary(Binary::FloorMod, y, modulus).ok())?
            });
            values.extend(value);
        }
        outs = values.iter().rev().skip(1).take(outputs).copied().filter(|id| !inputs.contains(id)).collect();
        *values.last().unwrap()
    });
    for (i, &id) in outs.iter().enumerate() {
        if !graph.outputs.contains(&id) {
            graph.value_mut(id).name = format!("output{i}");
            graph.outputs.push(id);
        }
    }
    graph
}

fn seeds(count: usize) -> impl Strategy<Value = Vec<[usize; 3]>> {
    prop::collection::vec([0usize..20, 0usize..1000, 0usize..10_000], 1..count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn results_stay(dims in prop::collection::vec(1usize..5, 4..5), seeds in seeds(25), outputs in 0usize..3) {
        let dims: Vec<Dim> = dims.into_iter().map(Some).collect();
        optimized(&random_graph(&dims, &seeds, outputs));
    }

    #[test]
    fn results_stay_with_unknown_extents(unknown in 1usize..16, seeds in seeds(15), outputs in 0usize..3) {
        let dims: Vec<Dim> = (0..4).map(|axis| (unknown >> axis & 1 == 0).then_some(3)).collect();
        optimized(&random_graph(&dims, &seeds, outputs));
    }
}

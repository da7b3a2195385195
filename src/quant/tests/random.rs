//! Graphs made at random: whatever the operators and ranges, the result is sound, and the same each time.

use super::*;
use crate::runtime::Kernels;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// One step of a random graph: which operator, on which of the values so far, and how wide its result is.
type Step = (u8, prop::sample::Index, prop::sample::Index, f32);

const SHAPE: [usize; 4] = [1, 2, 2, 2];

fn build(steps: &[Step]) -> (Net, Vec<ValueId>) {
    let mut net = Net::new();
    let mut values = vec![net.input("x", &SHAPE, (-1.0, 1.0))];
    for (i, (op, a, b, width)) in steps.iter().enumerate() {
        let (a, b) = (*a.get(&values), *b.get(&values));
        let name = format!("v{i}");
        let range = (-width, width * 0.7);
        let made = match op % 14 {
            0 | 1 => net.conv(a, &name, range),
            2 => net.binary(Binary::Add, a, b, &name, range),
            3 => net.binary(Binary::Mul, a, b, &name, range),
            4 => {
                let both = net.op(Op::Concatenation { axis: 1 }, &[a, b], &format!("{name}/all"), range);
                let (begin, size) = (net.ints(&[0, 1, 0, 0]), net.ints(&[1, 2, 2, 2]));
                net.op(Op::Slice, &[both, begin, size], &name, range)
            }
            5 => net.unary(Unary::Sin, a, &name, (-1.0, 1.0)),
            6 => net.unary(Unary::Logistic, a, &name, (0.0, width.min(1.0))),
            7 => {
                let axes = net.ints(&[0, 2, 1, 3]);
                net.op(Op::Transpose, &[a, axes], &name, range)
            }
            8 => net.op(Op::Softmax { beta: 1.0 }, &[a], &name, (0.0, width.min(1.0))),
            9 => net.binary(Binary::Maximum, a, b, &name, range),
            10 => net.unary(Unary::Relu6, a, &name, (0.0, width.min(6.0))),
            11 => net.unary(Unary::Neg, a, &name, range),
            12 => {
                let c = net.constant(&[], vec![*width]);
                net.binary(Binary::Minimum, a, c, &name, range)
            }
            _ => net.unary(Unary::Tanh, a, &name, (-width.min(1.0), width.min(1.0))),
        };
        values.push(made);
    }
    (net, values)
}

/// Ranges that are made up fit no data, and scales far apart meet: kernels may saturate, but must load and run.
#[test]
fn every_graph_runs() {
    let Some(library) = running::library() else { return };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..60 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let (net, values) = build(&steps);
        let int8 = net.quantize(&[*values.last().unwrap()]);
        let input = Tensor::from_vec(&SHAPE, (0..8).map(|i| i as f32 / 4.0 - 1.0).collect());
        for kernels in [Kernels::Xnnpack, Kernels::Builtin] {
            let ran = running::run(&library, kernels, &int8.graph, std::slice::from_ref(&input));
            assert!(ran.is_ok(), "{kernels:?}: {ran:?}\n{}", int8.graph);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let width = prop::sample::select(vec![0.0f32, 1e-40, 1e-6, 0.01, 0.5, 1.0, 3.0, 4.0, 50.0, 1e6]);
    prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), width), 1..25)
}

proptest! {
    #[test]
    fn every_graph_comes_out_sound(
        steps in steps(),
        extra in any::<prop::sample::Index>(),
        every_kernel in any::<bool>(),
    ) {
        let (net, values) = build(&steps);
        let mut outputs = vec![*values.last().unwrap()];
        let extra = *extra.get(&values);
        if extra != values[0] && extra != outputs[0] {
            outputs.push(extra);
        }
        let options = IntegerOptions { every_kernel };
        let mut again = Net { graph: net.graph.clone(), statistics: net.statistics.clone(), ..Net::new() };
        let int8 = net.quantize_with(&outputs, options);
        // Nothing is converted and converted back at once.
        let producers = int8.graph.producers();
        for node in &int8.graph.nodes {
            let border = |op: &Op| matches!(op, Op::Quantize { .. } | Op::Dequantize);
            let before = node.input(0).and_then(|x| producers[x.0 as usize]).map(|i| &int8.graph.nodes[i].op);
            if border(&node.op) && before.is_some_and(border) {
                prop_assert!(false, "conversions in a row:\n{}", int8.graph);
            }
        }
        again.graph.outputs = outputs;
        quantize_integer(&mut again.graph, &again.statistics, &Choices::all(Quantize::Int8), options).unwrap();
        prop_assert_eq!(again.graph, int8.graph);
    }
}

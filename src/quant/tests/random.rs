//! Graphs made at random: whatever the operators and ranges, the result is sound, and the same each time.

use super::*;
use proptest::prelude::*;

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

proptest! {
    #[test]
    fn every_graph_comes_out_sound(
        steps in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(),
            prop::sample::select(vec![0.0f32, 1e-40, 1e-6, 0.01, 0.5, 1.0, 3.0, 4.0, 50.0, 1e6])), 1..25),
        extra in any::<prop::sample::Index>(),
        every_kernel in any::<bool>(),
    ) {
        let (net, values) = build(&steps);
        let mut outputs = vec![*values.last().unwrap()];
        let extra = *extra.get(&values);
        if extra != values[0] && extra != outputs[0] {
            outputs.push(extra);
        }
        let options = Int8Options { every_kernel };
        let mut again = Net { graph: net.graph.clone(), statistics: net.statistics.clone() };
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
        quantize_int8(&mut again.graph, &again.statistics, options).unwrap();
        prop_assert_eq!(again.graph, int8.graph);
    }
}

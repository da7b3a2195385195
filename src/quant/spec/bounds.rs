//! What results can be at all, whatever the operands are.

use super::{Sees, sees};
use crate::graph::{Activation, Binary, Graph, Node, Op, Pool, Unary};
use crate::quant::range::Range;
use crate::tensor::DType;

const INF: f32 = f32::INFINITY;

/// For each value of a graph, the numbers between which it must lie; infinite where nothing is known.
pub(in crate::quant) fn bounds(graph: &Graph) -> Vec<Range> {
    let mut bounds = vec![Range::EVERYTHING; graph.values.len()];
    for node in &graph.nodes {
        let passed_on = passed_on(graph, node, &bounds).unwrap_or(Range::EVERYTHING);
        let own = of_results(&node.op);
        for id in &node.outputs {
            bounds[id.0 as usize] = passed_on.clamped_to(own);
        }
    }
    bounds
}

/// Of results that consist of elements of the operands, and of zeros.
fn passed_on(graph: &Graph, node: &Node, bounds: &[Range]) -> Option<Range> {
    let operands = node.inputs.iter().enumerate().filter_map(|(i, id)| Some((i, (*id)?)));
    let floats = operands.filter(|(_, id)| graph.dtype(*id) == DType::F32);
    let each = floats.map(|(i, id)| match (sees(&node.op, i), graph.constant(id)) {
        (Sees::AsResult, None) => Some(bounds[id.0 as usize]),
        (Sees::AsResult, Some(data)) => Range::of(&data.to_f32s().ok()?),
        _ => None,
    });
    let all: Option<Vec<Range>> = each.collect();
    all?.into_iter().reduce(Range::hull).map(Range::with_zero)
}

fn of_results(op: &Op) -> Range {
    let (min, max) = match op {
        Op::Unary(kind) => match kind {
            Unary::Relu | Unary::Abs | Unary::Sqrt | Unary::Rsqrt | Unary::Exp | Unary::Square => (0.0, INF),
            Unary::Relu6 => (0.0, 6.0),
            Unary::Relu0To1 | Unary::Logistic => (0.0, 1.0),
            Unary::ReluN1To1 | Unary::Tanh | Unary::Cos | Unary::Sin | Unary::Sign => (-1.0, 1.0),
            Unary::Elu => (-1.0, INF),
            Unary::HardSwish => (-0.375, INF),
            Unary::Gelu | Unary::GeluTanh => (-0.171, INF),
            _ => (-INF, INF),
        },
        Op::Binary(Binary::SquaredDifference, _) | Op::Pool2d { kind: Pool::L2, .. } => (0.0, INF),
        Op::Softmax { .. } => (0.0, 1.0),
        Op::LogSoftmax => (-INF, 0.0),
        Op::L2Normalization => (-1.0, 1.0),
        _ => (-INF, INF),
    };
    let activation = match op.activation() {
        Some(Activation::Relu) => Range { min: 0.0, max: INF },
        Some(Activation::Relu6) => Range { min: 0.0, max: 6.0 },
        Some(Activation::ReluN1To1 | Activation::Tanh) => Range { min: -1.0, max: 1.0 },
        Some(Activation::None | Activation::SignBit) | None => Range::EVERYTHING,
    };
    Range { min, max }.clamped_to(activation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, NoEvaluate, Shape, Type};

    #[test]
    fn bounds_pass_through_what_moves_data() {
        let mut graph = Graph::new("test");
        let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[1, 4])));
        let mut b = Builder::new(&mut graph, &NoEvaluate);
        let relu = b.unary(Unary::Relu6, x).unwrap();
        let tanh = b.unary(Unary::Tanh, x).unwrap();
        let joined = b.one(Op::Concatenation { axis: 1 }, &[relu, tanh]).unwrap();
        let sum = b.one(Op::Binary(Binary::Add, Activation::Relu), &[joined, joined]).unwrap();
        let bounds = bounds(&graph);
        let of = |id: crate::graph::ValueId| (bounds[id.0 as usize].min, bounds[id.0 as usize].max);
        assert_eq!([of(x), of(relu), of(tanh)], [(-INF, INF), (0.0, 6.0), (-1.0, 1.0)]);
        assert_eq!([of(joined), of(sum)], [(-1.0, 6.0), (0.0, INF)]);
    }
}

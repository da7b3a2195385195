//! Writes operators that have no right int8 kernel as multiplications, which have one.

use crate::graph::{Activation, Binary, Graph, Op, Precision, Unary};
use crate::tensor::{DType, Tensor};

/// Changes nodes in place: values keep their ids, and with them their statistics.
///
/// - `NEG`, whose kernel negates the stored integer: `x * -1`.
/// - `SQUARE`, which has none: `x * x`.
/// - `DIV` by a constant, whose kernel ends the process on a divisor that rounds to zero: `x * (1 / c)`.
pub(super) fn prepare(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let float = node.outputs.iter().all(|&id| graph.dtype(id) == DType::F32);
        if !float || node.precision == Precision::Float {
            continue;
        }
        let name = node.outputs.first().map(|&id| graph.value(id).name.clone()).unwrap_or_default();
        let (factor, activation) = match node.op {
            Op::Unary(Unary::Neg) => {
                (graph.add_constant(format!("{name}/factor"), Tensor::scalar(-1f32)), Activation::None)
            }
            Op::Unary(Unary::Square) => match node.input(0) {
                Some(x) => (x, Activation::None),
                None => continue,
            },
            Op::Binary(Binary::Div, activation) => {
                let inverse = node.input(1).and_then(|id| graph.constant(id)).and_then(inverse);
                let Some(inverse) = inverse else { continue };
                (graph.add_constant(format!("{name}/factor"), inverse), activation)
            }
            _ => continue,
        };
        let node = &mut graph.nodes[index];
        node.op = Op::Binary(Binary::Mul, activation);
        node.inputs.truncate(1);
        node.inputs.push(Some(factor));
    }
}

/// One over each element, where all of these are finite and none is lost to zero.
fn inverse(data: &Tensor) -> Option<Tensor> {
    let inverse: Vec<f32> = data.view::<f32>().ok()?.iter().map(|x| 1.0 / x).collect();
    inverse.iter().all(|x| x.is_normal()).then(|| Tensor::from_vec(data.shape(), inverse))
}

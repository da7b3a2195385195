//! Values held between two bounds, however that is written: as an operator, a fused activation, or a minimum or maximum.

use super::pattern::{is_f32, with_f32_constant};
use crate::graph::{Activation, Binary, Graph, Node, Op, Unary, ValueId};

/// `min(max(x, low), high)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Clamp {
    pub low: f64,
    pub high: f64,
}

/// The clamps that have an operator and a fused activation of their own.
///
/// `RELU_0_TO_1` is left out: no activation corresponds to it, XNNPACK and TFLite Micro lack it, while they have the `RELU`
/// (mostly fused) and `MINIMUM` that express the same.
const NAMED: [(Unary, Activation, Clamp); 3] = [
    (Unary::Relu, Activation::Relu, Clamp { low: 0.0, high: f64::INFINITY }),
    (Unary::Relu6, Activation::Relu6, Clamp { low: 0.0, high: 6.0 }),
    (Unary::ReluN1To1, Activation::ReluN1To1, Clamp { low: -1.0, high: 1.0 }),
];

impl Clamp {
    pub const NONE: Clamp = Clamp { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// What a fused activation does, where that is a clamp.
    pub fn of_activation(activation: Activation) -> Option<Clamp> {
        match activation {
            Activation::None => Some(Clamp::NONE),
            _ => NAMED.iter().find(|named| named.1 == activation).map(|named| named.2),
        }
    }

    pub fn as_activation(self) -> Option<Activation> {
        NAMED.iter().find(|named| named.2 == self).map(|named| named.1)
    }

    pub fn as_unary(self) -> Option<Unary> {
        NAMED.iter().find(|named| named.2 == self).map(|named| named.0)
    }

    /// This clamp and then `next`, as one.
    pub fn then(self, next: Clamp) -> Clamp {
        let apply = |bound: f64| bound.max(next.low).min(next.high);
        Clamp { low: apply(self.low), high: apply(self.high) }
    }

    /// `node` as a clamp of its operand (`float32`). A bound at the end of what `float32` can hold is none.
    pub fn of(graph: &Graph, node: &Node) -> Option<(ValueId, Clamp)> {
        match node.op {
            Op::Unary(Unary::Relu0To1) => {
                Some((node.input(0).filter(|&x| is_f32(graph, x))?, Clamp { low: 0.0, high: 1.0 }))
            }
            Op::Unary(kind) => {
                let clamp = NAMED.iter().find(|named| named.0 == kind)?.2;
                Some((node.input(0).filter(|&x| is_f32(graph, x))?, clamp))
            }
            Op::Binary(kind @ (Binary::Maximum | Binary::Minimum), _) => {
                let found = with_f32_constant(graph, node)?;
                let bound = found.number(graph).filter(|bound| !bound.is_nan())?;
                let clamp = match kind {
                    Binary::Maximum if bound <= f32::MIN.into() => Clamp::NONE,
                    Binary::Minimum if bound >= f32::MAX.into() => Clamp::NONE,
                    Binary::Maximum => Clamp { low: bound, ..Clamp::NONE },
                    _ => Clamp { high: bound, ..Clamp::NONE },
                };
                Some((found.x, clamp))
            }
            _ => None,
        }
    }
}

//! With what scale real numbers are stored in the end, seen from their users.

use super::super::spec::{Asked, Treatment, is_maximum, treatment};
use super::form::Form;
use crate::graph::{Graph, Node, Op, ValueId};
use crate::tensor::DType;

/// What all users of a value make of it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Unused,
    /// Nothing but its integers of this form.
    Stored(Form),
    /// The number itself, or integers of several forms.
    Real,
}

impl Use {
    fn and(self, other: Use) -> Use {
        match (self, other) {
            (Use::Unused, other) | (other, Use::Unused) => other,
            (a, b) if a == b => a,
            _ => Use::Real,
        }
    }
}

pub(super) struct Wanted {
    uses: Vec<Use>,
    /// For values that a `QUANTIZE` stores, its result: an output of the graph, if there is one.
    stored: Vec<Option<ValueId>>,
    /// Only the greatest element of a window of it matters.
    maximized: Vec<bool>,
}

impl Wanted {
    pub(super) fn of(graph: &Graph) -> Wanted {
        let mut wanted = Wanted {
            uses: vec![Use::Unused; graph.values.len()],
            stored: vec![None; graph.values.len()],
            maximized: vec![true; graph.values.len()],
        };
        for &output in &graph.outputs {
            wanted.uses[output.0 as usize] = Use::Real;
            wanted.maximized[output.0 as usize] = false;
        }
        for node in graph.nodes.iter().rev() {
            wanted.look_at(graph, node);
        }
        wanted
    }

    fn look_at(&mut self, graph: &Graph, node: &Node) {
        let maximum = is_maximum(&node.op);
        node.inputs.iter().flatten().for_each(|id| self.maximized[id.0 as usize] &= maximum);
        let through = match (&node.op, node.outputs.as_slice()) {
            (Op::Quantize { .. }, &[stored]) => match (Form::of(graph, stored), node.input(0)) {
                (Some(form), Some(x)) => {
                    let slot = &mut self.stored[x.0 as usize];
                    if slot.is_none() || graph.outputs.contains(&stored) {
                        *slot = Some(stored);
                    }
                    Use::Stored(form)
                }
                _ => Use::Real,
            },
            _ if matches!(treatment(graph, node, Asked::default()), Treatment::Integer(rule) if rule.picks) => {
                let results = node.outputs.iter().filter(|id| graph.dtype(**id) == DType::F32);
                results.map(|id| self.uses[id.0 as usize]).fold(Use::Unused, Use::and)
            }
            _ => Use::Real,
        };
        for id in node.inputs.iter().flatten() {
            let used = &mut self.uses[id.0 as usize];
            *used = used.and(through);
        }
    }

    /// The form that all users of `id` store it in.
    pub(super) fn form(&self, id: ValueId) -> Option<Form> {
        match self.uses[id.0 as usize] {
            Use::Stored(form) => Some(form),
            Use::Unused | Use::Real => None,
        }
    }

    /// The value that `id` is stored as by a `QUANTIZE`.
    pub(super) fn stored(&self, id: ValueId) -> Option<ValueId> {
        self.stored[id.0 as usize]
    }

    /// True where only the greatest elements of windows of `id` are used.
    pub(super) fn is_maximized(&self, id: ValueId) -> bool {
        self.maximized[id.0 as usize]
    }
}

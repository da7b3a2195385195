//! `copy_overwritten`: what LiteRT's memory planner would have overwritten although it is still needed is copied before.
//!
//! The planner (`arena_planner.cc`, LiteRT 2.3.0) lets the result of `ADD`, `SUB`, `MUL`, `DIV` and `SOFTMAX` take the memory of an
//! operand that nothing else reads, and that of `RESHAPE`, `SQUEEZE` and `EXPAND_DIMS` the memory of their operand however often
//! that is read. It asks how often the operand is read, and how often the value that had the memory first, but not of values in
//! between: of `x = a + b`, `y = reshape(x)`, `z = 2 * y`, where only `y` reads `a + b` once more, `z` overwrites `x`.
//!
//! Matches: an operator whose result would be put where a value lies that is read later on; quantized or not. Makes: a `TRANSPOSE` that
//! changes no order, and so has memory of its own, before it. Equal.

use super::pattern::copy;
use crate::graph::{Binary, Evaluate, Graph, InferError, Node, Op, ValueId};

/// `TRANSPOSE` takes no more axes than this.
const MAX_RANK: usize = 6;

pub(super) fn run(graph: &mut Graph, _: &dyn Evaluate) -> Result<usize, InferError> {
    let mut plan = Plan::new(graph);
    let mut copied = 0;
    let nodes = std::mem::take(&mut graph.nodes);
    for (index, mut node) in nodes.into_iter().enumerate() {
        if let Some(operand) = plan.overwritten(graph, &node, index)
            && let Some(x) = node.inputs[operand]
            && (1..=MAX_RANK).contains(&graph.shape(x).rank())
        {
            let perm = (0..graph.shape(x).rank() as i32).collect();
            let copy = copy(graph, x, &node, Op::Transpose, perm);
            plan.grow(graph);
            node.inputs[operand] = Some(copy.outputs[0]);
            graph.nodes.push(copy);
            copied += 1;
        }
        plan.place(graph, &node);
        graph.nodes.push(node);
    }
    Ok(copied)
}

/// How an operator's first result may lie in the memory of an operand.
#[derive(Clone, Copy, PartialEq)]
enum InPlace {
    No,
    /// In that of operand 0, with the same bytes.
    Same,
    /// In that of one of the first operands, so many, with other numbers.
    Changed(usize),
}

fn in_place(op: &Op) -> InPlace {
    match op {
        Op::Reshape | Op::Squeeze { .. } | Op::ExpandDims => InPlace::Same,
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div, _) => InPlace::Changed(2),
        Op::Softmax { .. } => InPlace::Changed(1),
        _ => InPlace::No,
    }
}

/// What the planner will do, as far as the nodes that were placed.
struct Plan {
    /// How often each value is read, given out or fed.
    counts: Vec<u32>,
    /// Index of the last node that reads a value; the number of nodes for outputs of the graph.
    last: Vec<usize>,
    /// The value that had the memory of each value first.
    roots: Vec<ValueId>,
    /// The values in the memory of each.
    members: Vec<Vec<ValueId>>,
}

impl Plan {
    fn new(graph: &Graph) -> Plan {
        let (mut counts, mut last) = (graph.use_counts(), vec![0; graph.values.len()]);
        for id in &graph.inputs {
            counts[id.0 as usize] += 1;
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().flatten().for_each(|id| last[id.0 as usize] = index);
        }
        for id in &graph.outputs {
            last[id.0 as usize] = graph.nodes.len();
        }
        let mut plan = Plan { counts, last, roots: Vec::new(), members: Vec::new() };
        plan.grow(graph);
        plan
    }

    /// Memory of their own for the values that the plan doesn't know; the node at hand is all that reads them.
    fn grow(&mut self, graph: &Graph) {
        for id in self.roots.len()..graph.values.len() {
            self.roots.push(ValueId(id as u32));
            self.members.push(vec![ValueId(id as u32)]);
        }
        self.counts.resize(self.roots.len(), 1);
        self.last.resize(self.roots.len(), 0);
    }

    /// The operand whose memory the result of `node` takes.
    fn shared(&self, graph: &Graph, node: &Node) -> Option<usize> {
        let (operands, changed) = match in_place(&node.op) {
            InPlace::No => return None,
            InPlace::Same => (1, false),
            InPlace::Changed(operands) => (operands, true),
        };
        let &y = node.outputs.first()?;
        let fits = |&i: &usize| {
            node.input(i).is_some_and(|x| {
                let (value, result) = (graph.value(x), graph.value(y));
                let same_size = value.ty.dtype.byte_len(1) == result.ty.dtype.byte_len(1)
                    && (value.ty.shape.rank() != result.ty.shape.rank()
                        || value.ty.shape.agrees_with(&result.ty.shape));
                value.data.is_none()
                    && !value.variable
                    && !graph.inputs.contains(&x)
                    && !graph.outputs.contains(&y)
                    && (!changed || (same_size && self.counts[x.0 as usize] <= 1))
            })
        };
        let operand = (0..operands.min(node.inputs.len())).find(fits)?;
        let root = self.roots[node.inputs[operand]?.0 as usize];
        (!changed || self.counts[root.0 as usize] <= 1).then_some(operand)
    }

    /// The operand of `node` whose memory, where its result will lie, also holds what is still to be read.
    fn overwritten(&self, graph: &Graph, node: &Node, index: usize) -> Option<usize> {
        let InPlace::Changed(_) = in_place(&node.op) else { return None };
        let operand = self.shared(graph, node)?;
        let x = node.inputs[operand]?;
        let members = &self.members[self.roots[x.0 as usize].0 as usize];
        let needed = |&id: &ValueId| id != x && (self.last[id.0 as usize] > index || node.inputs.contains(&Some(id)));
        members.iter().any(needed).then_some(operand)
    }

    fn place(&mut self, graph: &Graph, node: &Node) {
        let Some(x) = self.shared(graph, node).and_then(|operand| node.inputs[operand]) else { return };
        let (y, root) = (node.outputs[0], self.roots[x.0 as usize]);
        self.roots[y.0 as usize] = root;
        self.members[root.0 as usize].push(y);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, unchanged};
    use super::run;
    use crate::graph::{Binary, InferError, ValueId};
    use crate::passes::testing::NetBuilder;

    /// A sum in its operand's memory, reshaped, and doubled there.
    fn doubled(b: &mut NetBuilder<'_>, x: &[ValueId], copied: bool) -> Result<ValueId, InferError> {
        let a = b.binary(Binary::Maximum, x[0], x[1])?;
        let sum = b.add(a, x[1])?;
        let mut y = b.reshape(sum, &[3, 2])?;
        if copied {
            let perm = b.ints(&[0, 1])?;
            y = b.one(crate::graph::Op::Transpose, &[y, perm])?;
        }
        let two = b.scalar(2.0f32);
        let y = b.mul(y, two)?;
        let y = b.reshape(y, &[2, 3])?;
        b.binary(Binary::Maximum, y, sum)
    }

    #[test]
    fn what_is_read_later() {
        check(run, &["f32[2,3]", "f32[2,3]"], |b, x| doubled(b, x, false), |b, x| doubled(b, x, true));
    }

    #[test]
    fn leaves_what_is_not() {
        // Nothing reads the sum once more.
        unchanged(run, &["f32[2,3]", "f32[2,3]"], |b, x| {
            let a = b.binary(Binary::Maximum, x[0], x[1])?;
            let sum = b.add(a, x[1])?;
            let y = b.reshape(sum, &[3, 2])?;
            let two = b.scalar(2.0f32);
            b.mul(y, two)
        });
        // The sum of values that lie in no other's memory: the planner counts its readers.
        unchanged(run, &["f32[2,3]", "f32[2,3]"], |b, x| {
            let a = b.binary(Binary::Maximum, x[0], x[1])?;
            let y = b.reshape(a, &[3, 2])?;
            let two = b.scalar(2.0f32);
            let y = b.mul(y, two)?;
            let y = b.reshape(y, &[2, 3])?;
            b.binary(Binary::Maximum, y, a)
        });
    }
}

//! One sweep over a graph that replaces nodes by others.
//!
//! A sweep walks the nodes in order and appends them, changed or not, to a new list: a rewrite of a graph of any length takes
//! time in line with its length, and what a rewrite emits is itself folded and typed by the [`Builder`].

use super::{
    Builder, Evaluate, Garbage, Graph, InferError, Node, Op, Precision, Quant, Shape, ValueId, drop_unused_data,
};

/// What a rewrite sees while it looks at one node: the nodes written so far, and a builder that writes more.
pub struct Cx<'a> {
    pub b: Builder<'a>,
    /// Node of the new list that makes a value.
    producer: Vec<Option<usize>>,
    uses: Vec<u32>,
}

impl Cx<'_> {
    pub fn graph(&self) -> &Graph {
        self.b.graph
    }

    /// The node that makes `value`, as it stands after the rewriting so far.
    pub fn producer(&self, value: ValueId) -> Option<&Node> {
        let index = self.producer.get(value.0 as usize).copied().flatten()?;
        self.b.graph.nodes.get(index)
    }

    /// How often `value` is used, as an operand or as an output of the graph.
    pub fn uses(&self, value: ValueId) -> u32 {
        self.uses.get(value.0 as usize).copied().unwrap_or(0)
    }

    /// The node that makes `value`, where nothing but the node looked at needs it: it may be absorbed.
    pub fn sole_producer(&self, value: ValueId) -> Option<&Node> {
        if self.uses(value) == 1 { self.producer(value) } else { None }
    }

    /// Writes down who makes the results of the nodes from `from` on, and how often the values from `new` on are used by them.
    /// Uses of older values stay as they were: what a new node takes over, the node it stands for gives up.
    fn index_new_nodes(&mut self, from: usize, new: usize) {
        self.producer.resize(self.b.graph.values.len(), None);
        self.uses.resize(self.b.graph.values.len(), 0);
        for (index, node) in self.b.graph.nodes.iter().enumerate().skip(from) {
            for output in &node.outputs {
                self.producer[output.0 as usize] = Some(index);
            }
            for input in node.inputs.iter().flatten().filter(|id| id.0 as usize >= new) {
                self.uses[input.0 as usize] += 1;
            }
        }
    }
}

/// Offers every node to `replace`, in order. Where that gives values (one for each result), the node goes and the values take
/// its results' place, and their names where they are new; where it gives `None`, the node stays. Returns how many nodes were
/// replaced. Dead nodes are removed.
///
/// # Errors
/// What `replace` emits may not fit its operands.
pub fn rewrite(
    graph: &mut Graph,
    evaluate: &dyn Evaluate,
    mut replace: impl FnMut(&mut Cx<'_>, &Node) -> Result<Option<Vec<ValueId>>, InferError>,
) -> Result<usize, InferError> {
    let uses = graph.use_counts();
    let nodes = std::mem::take(&mut graph.nodes);
    // Where a value went, for results of replaced nodes.
    let mut moved: Vec<Option<ValueId>> = vec![None; graph.values.len()];
    let mut replaced = 0;
    let mut cx = Cx { producer: vec![None; graph.values.len()], uses, b: Builder::new(graph, evaluate) };
    let (mut nodes, mut garbage) = (nodes.into_iter(), Garbage::default());
    garbage.is_due(cx.b.graph);
    while let Some(mut node) = nodes.next() {
        for input in node.inputs.iter_mut().flatten() {
            if let Some(to) = moved[input.0 as usize] {
                *input = to;
            }
        }
        let (written, known) = (cx.b.graph.nodes.len(), cx.b.graph.values.len());
        let scope = node.outputs.first().map(|&id| cx.b.graph.value(id).name.clone()).unwrap_or_default();
        cx.b.set_origin(node.origin, &scope);
        cx.b.set_precision(node.precision);
        match replace(&mut cx, &node)? {
            None => {
                // What was emitted for a rewrite that was then given up goes again.
                cx.b.graph.nodes.truncate(written);
                cx.b.graph.nodes.push(node);
            }
            Some(results) => {
                replaced += 1;
                for (&old, &new) in node.outputs.iter().zip(&results) {
                    if old == new {
                        continue;
                    }
                    cx.uses.resize(cx.b.graph.values.len(), 0);
                    cx.uses[new.0 as usize] += cx.uses[old.0 as usize];
                    let is_output = cx.b.graph.outputs.contains(&old);
                    let new = if is_output { take_over_output(&mut cx.b, old, new)? } else { new };
                    if !is_output && new.0 as usize >= known {
                        cx.b.graph.value_mut(new).name = std::mem::take(&mut cx.b.graph.value_mut(old).name);
                    }
                    moved[old.0 as usize] = Some(new);
                }
            }
        }
        cx.index_new_nodes(written, known);
        moved.resize(cx.b.graph.values.len(), None);
        if garbage.is_due(cx.b.graph) {
            let to_come = nodes.as_slice().iter().flat_map(|node| node.inputs.iter().flatten());
            drop_unused_data(cx.b.graph, to_come.map(|&id| moved[id.0 as usize].unwrap_or(id)));
        }
    }
    remove_dead(graph);
    Ok(replaced)
}

/// Makes `new` the output that `old` was: it takes the name, or a copy of it does where `new` has a name to keep (an input, a
/// constant, another output).
fn take_over_output(b: &mut Builder<'_>, old: ValueId, new: ValueId) -> Result<ValueId, InferError> {
    let keeps_name = b.graph.inputs.contains(&new) || b.graph.outputs.contains(&new) || b.graph.constant(new).is_some();
    let value = if keeps_name { copy_of(b, new)? } else { new };
    let name = std::mem::take(&mut b.graph.value_mut(old).name);
    b.graph.value_mut(value).name = name;
    b.graph.outputs.iter_mut().filter(|output| **output == old).for_each(|output| *output = value);
    Ok(value)
}

/// A node that makes an equal value: `RESHAPE` to the same shape, which every runtime has for every type.
fn copy_of(b: &mut Builder<'_>, x: ValueId) -> Result<ValueId, InferError> {
    let precision = b.set_precision(Precision::Any);
    let copy = b.identity(x);
    b.set_precision(precision);
    copy
}

impl Builder<'_> {
    /// A new value equal to `x`, made by a node: for an output that would else be an input, a constant or another output.
    ///
    /// # Errors
    /// Where `x` has more than one extent that is only known at run time, which `RESHAPE` can't be told.
    pub fn identity(&mut self, x: ValueId) -> Result<ValueId, InferError> {
        let ty = self.graph.value(x).ty.clone();
        let Shape(dims) = &ty.shape;
        let node = if dims.iter().filter(|d| d.is_none()).count() <= 1 {
            let dims: Vec<i64> = dims.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            let dims = self.ints(&dims)?;
            (Op::Reshape, vec![Some(x), Some(dims)])
        } else {
            let perm: Vec<usize> = (0..dims.len()).collect();
            let perm = self.ints(&perm)?;
            (Op::Transpose, vec![Some(x), Some(perm)])
        };
        self.append(node.0, node.1, ty)
    }
}

/// Removes nodes none of whose results is needed, and the data of constants that no node uses; in the graphs that nodes run, too.
pub fn remove_dead(graph: &mut Graph) {
    graph.nodes.iter_mut().flat_map(|node| node.op.regions_mut()).for_each(remove_dead);
    let mut needed = vec![false; graph.values.len()];
    for output in &graph.outputs {
        needed[output.0 as usize] = true;
    }
    let mut keep = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let alive = has_effects(node) || node.outputs.iter().any(|id| needed[id.0 as usize]);
        if alive {
            keep[index] = true;
            for input in node.inputs.iter().flatten() {
                needed[input.0 as usize] = true;
            }
        }
    }
    let mut index = 0;
    graph.nodes.retain(|_| {
        index += 1;
        keep[index - 1]
    });
    for (i, value) in graph.values.iter().enumerate() {
        if let (true, Some(Quant::Blockwise { scales, zero_points, .. })) = (needed[i], &value.quant) {
            let of_blocks = std::iter::once(scales).chain(zero_points);
            of_blocks
                .filter_map(|id| Some(id.0 as usize).filter(|&i| i < graph.values.len()))
                .for_each(|i| needed[i] = true);
        }
    }
    // Data that nothing uses any more would stay in memory until the file is written.
    for (value, needed) in graph.values.iter_mut().zip(&needed) {
        if !needed {
            value.data = None;
        }
    }
}

/// Operators that are only carried may assign variables or call into other graphs.
fn has_effects(node: &Node) -> bool {
    matches!(node.op, Op::Opaque(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{NoEvaluate, Type, Unary};
    use crate::tensor::DType;

    fn chain(kinds: &[Unary]) -> Graph {
        let mut graph = Graph::new("g");
        let mut x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(&[2])));
        let mut b = Builder::new(&mut graph, &NoEvaluate);
        for &kind in kinds {
            x = b.unary(kind, x).unwrap();
        }
        graph.value_mut(x).name = "y".into();
        graph.outputs = vec![x];
        graph
    }

    /// Drops every `NEG` of a `NEG`.
    fn drop_double_negation(graph: &mut Graph) -> usize {
        rewrite(graph, &NoEvaluate, |cx, node| {
            let (Op::Unary(Unary::Neg), Some(x)) = (&node.op, node.input(0)) else {
                return Ok(None);
            };
            Ok(cx.producer(x).filter(|p| p.op == Op::Unary(Unary::Neg)).and_then(|p| p.input(0)).map(|x| vec![x]))
        })
        .unwrap()
    }

    #[test]
    fn results_take_the_place_and_name_of_what_they_replace() {
        let mut graph = chain(&[Unary::Abs, Unary::Neg, Unary::Neg]);
        assert_eq!(drop_double_negation(&mut graph), 1);
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(graph.value(graph.outputs[0]).name, "y");
    }

    #[test]
    fn an_input_is_never_an_output_under_another_name() {
        let mut graph = chain(&[Unary::Neg, Unary::Neg]);
        drop_double_negation(&mut graph);
        assert_eq!(graph.nodes.len(), 1, "a copy stands between input and output");
        assert_eq!(graph.value(graph.inputs[0]).name, "x");
        assert_eq!(graph.value(graph.outputs[0]).name, "y");
    }

    #[test]
    fn two_outputs_that_become_one_value_keep_their_names() {
        let mut graph = chain(&[Unary::Neg, Unary::Neg, Unary::Abs]);
        // |x| twice: the first under the name "first", then the chain's own.
        let first = {
            let x = graph.inputs[0];
            let mut b = Builder::new(&mut graph, &NoEvaluate);
            b.unary(Unary::Abs, x).unwrap()
        };
        graph.value_mut(first).name = "first".into();
        graph.nodes.rotate_right(1);
        graph.outputs.insert(0, first);
        let mut seen = None;
        rewrite(&mut graph, &NoEvaluate, |cx, node| {
            // Replaces both by the first one's copy.
            if node.op != Op::Unary(Unary::Abs) {
                return Ok(None);
            }
            let x = node.input(0).ok_or_else(|| InferError::new("no operand"))?;
            let value = match seen {
                Some(value) => value,
                None => cx.b.unary(Unary::Exp, x)?,
            };
            seen = Some(value);
            Ok(Some(vec![value]))
        })
        .unwrap();
        let names: Vec<&str> = graph.outputs.iter().map(|&id| graph.value(id).name.as_str()).collect();
        assert_eq!(names, ["first", "y"]);
        assert_ne!(graph.outputs[0], graph.outputs[1]);
    }

    #[test]
    fn a_new_value_takes_the_name_of_what_it_replaces() {
        let mut graph = chain(&[Unary::Abs, Unary::Neg]);
        let middle = graph.nodes[0].outputs[0];
        graph.value_mut(middle).name = "middle".into();
        rewrite(&mut graph, &NoEvaluate, |cx, node| {
            let (Op::Unary(Unary::Abs), Some(x)) = (&node.op, node.input(0)) else { return Ok(None) };
            let square = cx.b.mul(x, x)?;
            Ok(Some(vec![cx.b.unary(Unary::Sqrt, square)?]))
        })
        .unwrap();
        let names: Vec<&str> = graph.nodes.iter().map(|n| graph.value(n.outputs[0]).name.as_str()).collect();
        assert_eq!(names, ["middle/mul", "middle", "y"]);
    }
}

//! Writes a graph anew, each node in the order chosen for it.

use super::arguments::rewritten;
use super::choose::Arrangement;
use super::memory::Layout;
use super::nest::Nest;
use super::store::Store;
use super::view::Views;
use crate::graph::{Dim, Graph, InferError, Node, Op, ValueId, infer};
use crate::tensor::Tensor;

/// Replaces the nodes of `graph`; `nests` and `arrangements` have one entry for each of them.
pub(super) fn emit(
    graph: &mut Graph,
    views: &Views,
    nests: &[Nest],
    arrangements: &[Option<Arrangement>],
) -> Result<(), InferError> {
    let nodes = std::mem::take(&mut graph.nodes);
    let mut store = Store::new(graph, views, &nodes);
    for (index, node) in nodes.into_iter().enumerate() {
        if views.absorbs(index) {
            continue;
        }
        store.write_for(&node);
        match &arrangements[index] {
            Some(arrangement) => rearrange(&mut store, &node, &nests[index], arrangement)?,
            None => keep(&mut store, node, &nests[index])?,
        }
    }
    store.bind_outputs()
}

/// Writes a node as it stands.
fn keep(store: &mut Store<'_>, mut node: Node, nest: &Nest) -> Result<(), InferError> {
    if nest.pointwise && keep_where_it_lies(store, &node, nest)? {
        return Ok(());
    }
    for input in node.inputs.iter_mut().flatten() {
        *input = store.rows(*input)?;
    }
    node.outputs.iter().for_each(|&output| store.made(output));
    store.graph.nodes.push(node);
    Ok(())
}

/// Writes a node that works element by element under the shape that its operands have already, if that differs from their own by
/// axes of size 1 alone: `[1,1,1,C]` stays that between two convolutions.
fn keep_where_it_lies(store: &mut Store<'_>, node: &Node, nest: &Nest) -> Result<bool, InferError> {
    let sizes: Vec<Dim> = nest.loops.iter().map(|l| l.size).collect();
    let arranged = Arrangement::new(store.graph, node, nest, &Layout::rows(&sizes));
    let (Some(arranged), &[old]) = (arranged, node.outputs.as_slice()) else { return Ok(false) };
    let Some(Some(placed)) = arranged.results.first() else { return Ok(false) };
    let many = |dims: &[Dim]| dims.iter().copied().filter(|d| *d != Some(1)).collect::<Vec<_>>();
    let Some((inputs, shape)) = store.as_they_lie(node, &arranged)? else { return Ok(false) };
    if shape == placed.dims || many(&shape) != many(&placed.dims) {
        return Ok(false);
    }
    let output = store.result(old, placed, &shape)?;
    check(store.graph, &node.op, &inputs, &[output])?;
    store.graph.nodes.push(Node { inputs, outputs: vec![output], ..node.clone() });
    Ok(true)
}

fn rearrange(store: &mut Store<'_>, node: &Node, nest: &Nest, arranged: &Arrangement) -> Result<(), InferError> {
    let misfit = || InferError::new(format!("{} can't be computed in the order chosen for it", node.op.name()));
    let new = rewritten(store.graph, node, nest, arranged).ok_or_else(misfit)?;
    let as_they_lie = if nest.pointwise { store.as_they_lie(node, arranged)? } else { None };
    let (mut inputs, shape) = match as_they_lie {
        Some((inputs, shape)) => (inputs, Some(shape)),
        None => {
            let replaced: Vec<usize> = new.constants.iter().map(|(operand, _)| *operand).collect();
            (operands(store, node, arranged, &replaced)?, None)
        }
    };
    for (operand, tensor) in new.constants {
        inputs[operand] = Some(store.constant(tensor));
    }
    if new.swapped {
        inputs.swap(0, 1);
    }
    let mut outputs = Vec::with_capacity(node.outputs.len());
    for (&old, placed) in node.outputs.iter().zip(&arranged.results) {
        outputs.push(match placed {
            Some(placed) => store.result(old, placed, shape.as_deref().unwrap_or(&placed.dims))?,
            None if new.picked.is_some() => store.scratch(old),
            None => {
                store.made(old);
                old
            }
        });
    }
    check(store.graph, &new.op, &inputs, &outputs)?;
    store.graph.nodes.push(Node { op: new.op, inputs, outputs: outputs.clone(), ..node.clone() });
    if let (Some(places), &[permuted], &[old]) = (new.picked, &outputs[..], &node.outputs[..]) {
        let places = store.constant(Tensor::vector(places).cast(crate::tensor::DType::I32).map_err(|_| misfit())?);
        let op = Op::Gather { axis: 0, batch_dims: 0 };
        store.graph.nodes.push(Node { op, inputs: vec![Some(permuted), Some(places)], ..node.clone() });
        store.made(old);
    }
    Ok(())
}

/// The operands of `node` as they are placed; those in `replaced` are not looked at.
fn operands(
    store: &mut Store<'_>,
    node: &Node,
    arranged: &Arrangement,
    replaced: &[usize],
) -> Result<Vec<Option<ValueId>>, InferError> {
    let mut inputs = Vec::with_capacity(node.inputs.len());
    for (operand, (input, placed)) in node.inputs.iter().zip(&arranged.operands).enumerate() {
        inputs.push(match (*input, placed) {
            (Some(id), Some(placed)) => Some(store.placed(id, placed)?),
            (Some(id), None) if !replaced.contains(&operand) => Some(store.rows(id)?),
            (input, _) => input,
        });
    }
    Ok(inputs)
}

/// The types of the results follow from those of the operands, or the table of reactions is wrong.
fn check(graph: &Graph, op: &Op, inputs: &[Option<ValueId>], outputs: &[ValueId]) -> Result<(), InferError> {
    let types = infer(graph, op, inputs)?;
    let fits = types.len() == outputs.len()
        && types.iter().zip(outputs).all(|(ty, &output)| graph.shape(output).agrees_with(&ty.shape));
    if fits {
        return Ok(());
    }
    let expected: Vec<String> = outputs.iter().map(|&id| graph.value(id).ty.to_string()).collect();
    Err(InferError::new(format!("{} gives {types:?} where {expected:?} was expected", op.name())))
}

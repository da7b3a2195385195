//! Graphs inside operators, which a file keeps side by side.

use std::collections::VecDeque;

use super::metadata;
use crate::graph::{Graph, Model, Op, Opaque, ValueId, infer};
use crate::schema::{BuiltinOperator, BuiltinOptions as O, BuiltinOptions2 as O2};

/// A graph in its place in a file.
pub(super) struct Listed<'a> {
    pub graph: &'a Graph,
    /// For each node, the number of the first graph that it runs; the others follow.
    pub regions: Vec<usize>,
}

/// All graphs in the order in which they are written: those of the model first, so that they keep their numbers.
pub(super) fn listed(model: &Model) -> Vec<Listed<'_>> {
    let mut count = model.graphs.len();
    let mut waiting: VecDeque<&Graph> = model.graphs.iter().collect();
    let mut listed = Vec::with_capacity(count);
    while let Some(graph) = waiting.pop_front() {
        let mut regions = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            regions.push(count);
            waiting.extend(node.op.regions());
            count += node.op.regions().count();
        }
        listed.push(Listed { graph, regions });
    }
    listed
}

/// Graphs that lie deeper than this stay side by side: whoever walks them does so on the stack.
const DEEPEST: usize = 32;

/// Puts graphs that one `IF` or `WHILE` alone runs inside it. What else refers to graphs by their numbers is renumbered.
pub(super) fn nest(model: &mut Model) {
    // Metadata that speak of graphs by their numbers would be wrong afterwards.
    if model.graphs.len() < 2 || metadata::is_positional(model) {
        return;
    }
    let inside = nested(model);
    if !inside.contains(&true) {
        return;
    }
    let mut next = 0;
    let numbers: Vec<usize> = inside
        .iter()
        .map(|&inside| {
            next += usize::from(!inside);
            next.saturating_sub(1)
        })
        .collect();
    let mut graphs: Vec<Option<Graph>> = std::mem::take(&mut model.graphs).into_iter().map(Some).collect();
    for (index, _) in inside.iter().enumerate().filter(|(_, inside)| !**inside) {
        let mut graph = graphs[index].take().unwrap_or_default();
        fill(&mut graph, &mut graphs, &inside, &numbers);
        model.graphs.push(graph);
    }
    for signature in &mut model.signatures {
        signature.graph = numbers.get(signature.graph).copied().unwrap_or(signature.graph);
    }
}

/// Which graphs go inside an operator.
fn nested(model: &Model) -> Vec<bool> {
    let mut uses = vec![0usize; model.graphs.len()];
    let mut count = |index: usize| uses.get_mut(index).into_iter().for_each(|uses| *uses += 1);
    count(0);
    model.signatures.iter().for_each(|signature| count(signature.graph));
    for node in model.graphs.iter().flat_map(|graph| graph.with_regions()).flat_map(|graph| &graph.nodes) {
        if let Op::Opaque(opaque) = &node.op {
            each_reference(&mut opaque.clone(), |index| count(*index));
        }
    }
    // From every graph that stays, down. Graphs in a circle, of which each runs the next, are not reached so.
    let mut inside = vec![false; model.graphs.len()];
    let runs: Vec<Vec<[usize; 2]>> = model.graphs.iter().map(|graph| runs(model, graph, &uses)).collect();
    runs.iter().flatten().flatten().for_each(|&index| inside[index] = true);
    let mut reached = vec![false; model.graphs.len()];
    let mut waiting: Vec<(usize, usize)> = (0..inside.len()).filter(|&i| !inside[i]).map(|i| (i, 0)).collect();
    while let Some((index, depth)) = waiting.pop() {
        for &child in runs[index].iter().flatten() {
            let too_deep = depth + 1 > DEEPEST;
            reached[child] = !too_deep;
            waiting.push((child, if too_deep { 0 } else { depth + 1 }));
        }
    }
    reached
}

/// The pairs of graphs that operators of `graph` run, and nobody else.
fn runs(model: &Model, graph: &Graph, uses: &[usize]) -> Vec<[usize; 2]> {
    let pair = |node: &crate::graph::Node| {
        let Op::Opaque(opaque) = &node.op else { return None };
        let pair = pair(opaque)?;
        let [first, second] = pair;
        let op = with_graphs(opaque.code, skeleton(model.graphs.get(first)?), skeleton(model.graphs.get(second)?))?;
        let types = infer(graph, &op, &node.inputs).ok()?;
        let fits = |(id, ty): (&ValueId, &crate::graph::Type)| {
            let value = &graph.value(*id).ty;
            value.dtype == ty.dtype && value.shape.agrees_with(&ty.shape)
        };
        let sound = types.len() == node.outputs.len() && node.outputs.iter().zip(&types).all(fits);
        (sound && pair.iter().all(|&index| uses[index] == 1)).then_some(pair)
    };
    graph.nodes.iter().filter_map(pair).collect()
}

/// The graphs that a plain `IF` or `WHILE` names.
fn pair(opaque: &Opaque) -> Option<[usize; 2]> {
    let plain = opaque.version == 1
        && opaque.options_2 == O2::None
        && opaque.custom_options.as_ref().is_none_or(|options| options.is_empty())
        && opaque.intermediates.as_ref().is_none_or(Vec::is_empty)
        && !opaque.mutating_variable_inputs.iter().flatten().any(|&mutates| mutates);
    let pair = match (&opaque.options, opaque.code) {
        (O::IfOptions(options), BuiltinOperator::IF) => [options.then_subgraph_index, options.else_subgraph_index],
        (O::WhileOptions(options), BuiltinOperator::WHILE) => {
            [options.cond_subgraph_index, options.body_subgraph_index]
        }
        _ => return None,
    };
    let [first, second] = pair.map(|index| usize::try_from(index).ok());
    Some([first?, second?]).filter(|[first, second]| plain && first != second)
}

fn with_graphs(code: BuiltinOperator, first: Graph, second: Graph) -> Option<Op> {
    match code {
        BuiltinOperator::IF => Some(Op::If { then: Box::new(first), otherwise: Box::new(second) }),
        BuiltinOperator::WHILE => Some(Op::While { cond: Box::new(first), body: Box::new(second) }),
        _ => None,
    }
}

/// What inference sees of a graph.
fn skeleton(graph: &Graph) -> Graph {
    Graph {
        values: graph.values.clone(),
        inputs: graph.inputs.clone(),
        outputs: graph.outputs.clone(),
        ..Graph::default()
    }
}

/// Puts into `graph` what goes inside its operators, and gives everything else its new number.
fn fill(graph: &mut Graph, graphs: &mut [Option<Graph>], inside: &[bool], numbers: &[usize]) {
    for node in &mut graph.nodes {
        node.op.regions_mut().for_each(|region| fill(region, graphs, inside, numbers));
        let Op::Opaque(opaque) = &mut node.op else { continue };
        let goes_inside = pair(opaque).filter(|pair| pair.iter().all(|&i| inside.get(i) == Some(&true)));
        if let Some([first, second]) = goes_inside {
            let [first, second] = [first, second].map(|index| {
                let mut graph = graphs[index].take().unwrap_or_default();
                fill(&mut graph, graphs, inside, numbers);
                graph
            });
            if let Some(op) = with_graphs(opaque.code, first, second) {
                node.op = op;
            }
            continue;
        }
        each_reference(opaque, |index| *index = numbers.get(*index).copied().unwrap_or(*index));
    }
}

/// Shows every number of a graph in the operator's options.
fn each_reference(opaque: &mut Opaque, mut visit: impl FnMut(&mut usize)) {
    let mut change = |number: &mut i32| {
        if let Ok(mut index) = usize::try_from(*number) {
            visit(&mut index);
            *number = i32::try_from(index).unwrap_or(*number);
        }
    };
    match &mut opaque.options {
        O::IfOptions(options) => {
            change(&mut options.then_subgraph_index);
            change(&mut options.else_subgraph_index);
        }
        O::WhileOptions(options) => {
            change(&mut options.cond_subgraph_index);
            change(&mut options.body_subgraph_index);
        }
        O::CallOnceOptions(options) => change(&mut options.init_subgraph_index),
        O::CallOptions(options) => {
            let mut number = i32::try_from(options.subgraph).unwrap_or(-1);
            change(&mut number);
            options.subgraph = u32::try_from(number).unwrap_or(options.subgraph);
        }
        _ => {}
    }
    match &mut opaque.options_2 {
        O2::StablehloReduceWindowOptions(options) => change(&mut options.body_subgraph_index),
        O2::StablehloReduceOptions(options) => change(&mut options.body_subgraph_index),
        O2::StablehloSortOptions(options) => change(&mut options.comparator_subgraph_index),
        O2::StablehloScatterOptions(options) => change(&mut options.update_computation_subgraph_index),
        O2::StableHLOCompositeOptions(options) => change(&mut options.decomposition_subgraph_index),
        O2::StablehloCaseOptions(options) => options.branch_subgraph_indices.iter_mut().flatten().for_each(change),
        O2::StablehloWhileOptions(options) => {
            change(&mut options.cond_subgraph_index);
            change(&mut options.body_subgraph_index);
        }
        _ => {}
    }
}

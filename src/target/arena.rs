//! How much memory the values of a graph need where a planner lets those share it that are not needed at once.

use crate::graph::{Graph, Model, ValueId};

/// What TensorFlow Lite for Microcontrollers puts values on.
const ALIGNMENT: usize = 16;

/// A value from the node that makes it to the last that reads it.
struct Life {
    bytes: usize,
    first: usize,
    last: usize,
    offset: usize,
}

/// Bytes that inputs, outputs and everything between take in the plan of TensorFlow Lite for Microcontrollers: largest first, each at
/// the lowest place that is free. Kernels' scratch memory and the interpreter's own tables come on top. `None` where an extent is
/// not known, or a value has no size.
pub fn tensor_arena(model: &Model) -> Option<usize> {
    let main = model.graphs.first()?;
    main.with_regions().into_iter().try_fold(0usize, |sum, graph| sum.checked_add(of_graph(graph)?))
}

fn of_graph(graph: &Graph) -> Option<usize> {
    let mut lives: Vec<Life> = lives(graph)?;
    lives.sort_by_key(|life| std::cmp::Reverse(life.bytes));
    let mut placed: Vec<Life> = Vec::with_capacity(lives.len());
    for mut life in lives {
        // Those placed stand sorted by offset.
        for other in placed.iter().filter(|other| other.first <= life.last && life.first <= other.last) {
            if life.offset.checked_add(life.bytes)? <= other.offset {
                break;
            }
            life.offset = life.offset.max(other.offset + other.bytes);
        }
        life.offset.checked_add(life.bytes)?;
        let at = placed.partition_point(|other| other.offset <= life.offset);
        placed.insert(at, life);
    }
    placed.iter().map(|life| life.offset + life.bytes).max().or(Some(0))
}

fn lives(graph: &Graph) -> Option<Vec<Life>> {
    let end = graph.nodes.len();
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; graph.values.len()];
    let mut seen = |id: ValueId, at: usize| {
        if let Some(span) = spans.get_mut(id.0 as usize) {
            let (first, last) = span.unwrap_or((at, at));
            *span = Some((first.min(at), last.max(at)));
        }
    };
    graph.inputs.iter().for_each(|&id| seen(id, 0));
    for (at, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().flatten().chain(&node.outputs).for_each(|&id| seen(id, at));
    }
    graph.outputs.iter().for_each(|&id| seen(id, end));
    let spans = graph.values.iter().zip(spans).filter(|(value, _)| value.data.is_none());
    let lives = spans.filter_map(|(value, span)| span.map(|span| (value, span)));
    lives
        .map(|(value, (first, last))| {
            let elements = value.ty.shape.elements()?;
            let bits = value.ty.dtype.bits();
            let bytes = elements.checked_mul(bits)?.div_ceil(8).checked_next_multiple_of(ALIGNMENT)?;
            (bits > 0).then_some(Life { bytes, first, last, offset: 0 })
        })
        .collect()
}

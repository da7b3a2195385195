//! Moves and cancels transposes, and chooses what the model's inputs and outputs look like.
//!
//! Each lowering of a spatial operator writes `TRANSPOSE → op → TRANSPOSE`, which is right and slow. Here
//! [`optimize`] finds, for the graph as a whole, in which order of axes to compute every operator so that the fewest bytes are
//! transposed, and [`channels_last`] moves the boundary of the model.
//!
//! The concepts, in the order in which they build on each other:
//! - [`memory`]: a *layout* says in which order the elements of a value lie. Transposes and reshapes only change layouts.
//! - [`view`]: so the nodes that make them are absorbed; each value is a view of a *root* that some operator computes.
//! - [`nest`], [`react`]: an operator is a nest of loops; an order of the loops says how all its operands and results lie.
//! - [`choose`], [`solve`]: of the orders in question, take for each operator the one that is cheapest for all.
//! - [`emit`], [`arguments`], [`store`], [`steps`]: write the graph anew, with a transpose where one is still needed.
//!
//! Knows `graph` and `tensor` only: neither ONNX's layout nor what an operator computes matters here. Numbers stay the same, up to
//! the order of the summands in a matrix product whose inner axis is permuted, or a reduction whose axes are.

mod arguments;
mod boundary;
mod choose;
mod emit;
mod memory;
mod nest;
mod react;
mod solve;

mod steps;
mod store;
mod view;

pub use boundary::{BoundaryError, ChannelsLast, channels_last};

use crate::graph::{Graph, InferError, Op, Value, remove_dead};
use nest::Nest;
use view::Views;

/// How much is transposed when the graph is run once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transposed {
    /// Bytes read by `TRANSPOSE`; extents that are not known count as 16.
    pub bytes: u64,
    /// Number of `TRANSPOSE` operators.
    pub operators: usize,
}

impl Transposed {
    fn by(graph: &Graph) -> Transposed {
        let transposes = graph.nodes.iter().filter(|node| node.op == Op::Transpose);
        let sizes = transposes.filter_map(|node| Some(choose::bytes(graph, node.input(0)?)));
        let none = Transposed { bytes: 0, operators: 0 };
        sizes.fold(none, |all, size| Transposed { bytes: all.bytes.saturating_add(size), operators: all.operators + 1 })
    }
}

/// What [`optimize`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub before: Transposed,
    pub after: Transposed,
}

/// Rewrites the graph so that less is transposed: never more bytes than before, and not more operators for the same bytes.
///
/// Inputs and outputs keep their names, types and order. Graphs that operators run are rewritten each on its own, and not counted.
///
/// # Errors
/// Where an extent does not fit the 32 bits that a shape operand has. The graph is then as it was.
pub fn optimize(graph: &mut Graph) -> Result<Summary, InferError> {
    remove_dead(graph);
    for region in graph.nodes.iter_mut().flat_map(|node| node.op.regions_mut()) {
        optimize(region)?;
    }
    let before = Transposed::by(graph);
    // Without elements, there is no telling how a value lies, nor anything to move.
    let empty = |value: &Value| value.data.is_none() && value.ty.shape.dims().contains(&Some(0));
    if graph.values.iter().any(empty) {
        return Ok(Summary { before, after: before });
    }
    let views = Views::find(graph);
    let nests: Vec<Nest> = graph.nodes.iter().map(|node| react::nest(graph, node)).collect();
    let arrangements = choose::choose(graph, &views, &nests);
    let mut rewritten = graph.clone();
    emit::emit(&mut rewritten, &views, &nests, &arrangements)?;
    remove_dead(&mut rewritten);
    let after = Transposed::by(&rewritten);
    if (after, rewritten.nodes.len()) > (before, graph.nodes.len()) {
        return Ok(Summary { before, after: before });
    }
    *graph = rewritten;
    Ok(Summary { before, after })
}

//! Which values are mere views of others: the same elements under another shape or order of axes.
//!
//! `TRANSPOSE`, `RESHAPE`, `SQUEEZE` and `EXPAND_DIMS` compute nothing. Every value is traced to the *root* whose elements it
//! shows; what is left of those operators is the layout that the view has in the root's memory.

use super::memory::Layout;
use crate::graph::{Dim, Graph, Node, Op, ValueId};
use crate::tensor::{Perm, normalize_axis};

struct View {
    root: ValueId,
    /// Layout of the view where the root is in row-major order.
    layout: Layout,
    /// Layout of the root where the view is in row-major order.
    back: Layout,
}

pub(super) struct Views {
    of: Vec<Option<View>>,
    /// For each node, whether it only makes a view.
    absorbed: Vec<bool>,
}

impl Views {
    pub(super) fn find(graph: &Graph) -> Views {
        let mut views = Views { of: Vec::new(), absorbed: vec![false; graph.nodes.len()] };
        views.of.resize_with(graph.values.len(), || None);
        for (index, node) in graph.nodes.iter().enumerate() {
            let (Some(x), &[y]) = (node.input(0), node.outputs.as_slice()) else { continue };
            if let Some(view) = views.view(graph, node, x, y) {
                views.of[y.0 as usize] = Some(view);
                views.absorbed[index] = true;
            }
        }
        views
    }

    /// What `y` is to the root of `x`, where the node between them moves nothing.
    fn view(&self, graph: &Graph, node: &Node, x: ValueId, y: ValueId) -> Option<View> {
        let (from, to) = (graph.value(x), graph.value(y));
        // A variable may have been assigned by the time a view of it is used.
        let plain = !from.variable && from.ty.dtype == to.ty.dtype && from.quant == to.quant;
        let per_tensor = from.quant.as_ref().is_none_or(|q| q.as_per_tensor().is_some());
        if !plain || !per_tensor {
            return None;
        }
        let (from, to) = (from.ty.shape.dims(), to.ty.shape.dims());
        let step = match &node.op {
            Op::Transpose => Layout::transpose(from, &constant_perm(graph, node, from.len())?),
            Op::Reshape | Op::Squeeze { .. } | Op::ExpandDims if expressible(from) && expressible(to) => {
                Layout::rows(to)
            }
            _ => return None,
        };
        let layout = self.layout(graph, x).through(&step)?;
        let root = self.root(x);
        let back = layout.inverse(graph.shape(root).dims())?;
        Some(View { root, layout, back })
    }

    fn layout(&self, graph: &Graph, value: ValueId) -> Layout {
        match &self.of[value.0 as usize] {
            Some(view) => view.layout.clone(),
            None => Layout::rows(graph.shape(value).dims()),
        }
    }

    /// The value whose elements `value` shows: itself, if no other.
    pub(super) fn root(&self, value: ValueId) -> ValueId {
        self.of[value.0 as usize].as_ref().map_or(value, |view| view.root)
    }

    /// True for nodes that need not be computed.
    pub(super) fn absorbs(&self, node: usize) -> bool {
        self.absorbed[node]
    }

    /// Layout of `value` where its root lies as `root`.
    pub(super) fn seen(&self, value: ValueId, root: &Layout) -> Option<Layout> {
        match &self.of[value.0 as usize] {
            Some(view) => root.through(&view.layout),
            None => Some(root.clone()),
        }
    }

    /// Layout that the root has to have for `value` to lie as `layout`.
    pub(super) fn needed(&self, value: ValueId, layout: &Layout) -> Option<Layout> {
        match &self.of[value.0 as usize] {
            Some(view) => layout.through(&view.back),
            None => Some(layout.clone()),
        }
    }

    /// [`Views::needed`] for row-major order, which always can be had.
    pub(super) fn needed_for_rows(&self, graph: &Graph, value: ValueId) -> Layout {
        match &self.of[value.0 as usize] {
            Some(view) => view.back.clone(),
            None => Layout::rows(graph.shape(value).dims()),
        }
    }
}

/// True where a constant operand of `RESHAPE` can ask for this shape.
pub(super) fn expressible(dims: &[Dim]) -> bool {
    match dims.iter().filter(|d| d.is_none()).count() {
        0 => true,
        1 => !dims.contains(&Some(0)),
        _ => false,
    }
}

/// The permutation of a `TRANSPOSE`, where it is constant.
pub(super) fn constant_perm(graph: &Graph, node: &Node, rank: usize) -> Option<Perm> {
    let axes = graph.const_ints(node.input(1)?)?;
    let axes: Option<Vec<usize>> = axes.into_iter().map(|axis| normalize_axis(axis, rank)).collect();
    Perm::new(axes?).filter(|perm| perm.rank() == rank)
}

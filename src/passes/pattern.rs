//! Questions about nodes and values that several rewrites ask.

use crate::graph::{
    Activation, Binary, Evaluate, Graph, InferError, Node, Op, Precision, RewriteCx, Shape, Unary, Value, ValueId,
    rewrite,
};
use crate::tensor::{DType, Tensor};

/// What a rewrite of one node comes to: the values that take its results' place, or `None` to leave it.
pub(super) type Replaced = Result<Option<Vec<ValueId>>, InferError>;

/// Offers every node that is open to rewrites of real numbers: none that touches quantized values or variables, none whose
/// meaning is not known.
pub(super) fn sweep(
    graph: &mut Graph,
    evaluate: &dyn Evaluate,
    mut replace: impl FnMut(&mut RewriteCx<'_>, &Node) -> Replaced,
) -> Result<usize, InferError> {
    rewrite(graph, evaluate, |cx, node| if is_open(cx.graph(), node) { replace(cx, node) } else { Ok(None) })
}

fn is_open(graph: &Graph, node: &Node) -> bool {
    let mut values = node.inputs.iter().flatten().chain(&node.outputs).map(|&id| graph.value(id));
    !matches!(node.op, Op::If { .. } | Op::While { .. } | Op::Opaque(_) | Op::Quantize { .. } | Op::Dequantize)
        && values.all(|value| !value.is_stored_as_integers() && !value.variable)
}

/// True for plain `float32`, not for numbers that stand for others.
pub(super) fn is_f32(graph: &Graph, id: ValueId) -> bool {
    graph.dtype(id) == DType::F32 && graph.value(id).quant.is_none()
}

/// The data of a plain `float32` constant.
pub(super) fn f32_constant(graph: &Graph, id: ValueId) -> Option<&Tensor> {
    if is_f32(graph, id) { graph.constant(id) } else { None }
}

/// The one number that all elements of a plain `float32` constant are.
pub(super) fn number(graph: &Graph, id: ValueId) -> Option<f64> {
    if is_f32(graph, id) { graph.const_splat(id) } else { None }
}

/// True where an elementwise operator on `x` and a constant of shape `constant` certainly gives the shape of `x`.
pub(super) fn keeps_shape(x: &Shape, constant: &[usize]) -> bool {
    let dims = x.dims().iter().rev();
    constant.len() <= x.rank() && constant.iter().rev().zip(dims).all(|(&c, &x)| c == 1 || x == Some(c))
}

/// [`number`], where an elementwise operator of it and `x` certainly has the shape of `x`.
pub(super) fn number_beside(graph: &Graph, x: ValueId, constant: ValueId) -> Option<f64> {
    let fits = keeps_shape(graph.shape(x), graph.constant(constant)?.shape());
    if fits { number(graph, constant) } else { None }
}

/// An elementwise operator of `x` and a constant, whose result has the shape of `x`.
pub(super) struct WithConstant<'a> {
    pub kind: Binary,
    pub activation: Activation,
    pub x: ValueId,
    pub id: ValueId,
    pub constant: &'a Tensor,
    /// The constant is the first operand.
    pub reversed: bool,
}

impl WithConstant<'_> {
    /// The constant, where all its elements are one number.
    pub fn number(&self, graph: &Graph) -> Option<f64> {
        graph.const_splat(self.id)
    }
}

/// `node` as an operator of one constant, of any element type.
pub(super) fn with_constant<'a>(graph: &'a Graph, node: &Node) -> Option<WithConstant<'a>> {
    let Op::Binary(kind, activation) = node.op else { return None };
    let (a, b) = (node.input(0)?, node.input(1)?);
    let (x, id, constant, reversed) = match (graph.constant(a), graph.constant(b)) {
        (None, Some(constant)) => (a, b, constant, false),
        (Some(constant), None) => (b, a, constant, true),
        _ => return None,
    };
    let plain = graph.value(id).quant.is_none() && keeps_shape(graph.shape(x), constant.shape());
    plain.then_some(WithConstant { kind, activation, x, id, constant, reversed })
}

/// [`with_constant`] for `float32`.
pub(super) fn with_f32_constant<'a>(graph: &'a Graph, node: &Node) -> Option<WithConstant<'a>> {
    with_constant(graph, node).filter(|found| found.constant.dtype() == DType::F32 && is_f32(graph, found.x))
}

/// The operand of `node` where it is the given unary operator.
pub(super) fn operand_of(node: &Node, kind: Unary) -> Option<ValueId> {
    if node.op == Op::Unary(kind) { node.input(0) } else { None }
}

/// Emits `op` as the successor of `node`: with its origin and its precision.
pub(super) fn emit_as(
    cx: &mut RewriteCx<'_>,
    node: &Node,
    op: Op,
    inputs: &[Option<ValueId>],
) -> Result<Vec<ValueId>, InferError> {
    let scope = node.outputs.first().map(|&id| cx.graph().value(id).name.clone()).unwrap_or_default();
    cx.b.set_origin(node.origin, &scope);
    cx.b.set_precision(node.precision);
    cx.b.emit(op, inputs)
}

/// A node between an operator and what is done to its result, and the operand that leads on to the operator.
pub(super) struct Between {
    pub node: Node,
    pub operand: usize,
}

/// Emits the nodes of `path` again, from first to last, on `value` instead of what the first took.
pub(super) fn emit_path(cx: &mut RewriteCx<'_>, mut value: ValueId, path: &[Between]) -> Result<ValueId, InferError> {
    for Between { node, operand } in path {
        let mut inputs = node.inputs.clone();
        inputs[*operand] = Some(value);
        value = emit_as(cx, node, node.op.clone(), &inputs)?[0];
    }
    Ok(value)
}

/// The entries of a `RESHAPE` to `shape`: -1 for the one extent that may be unknown. `None` where there are more of them, or
/// where an extent of zero leaves open what -1 would stand for.
pub(super) fn reshape_dims(shape: &Shape) -> Option<Vec<i64>> {
    let unknown = shape.dims().iter().filter(|d| d.is_none()).count();
    let certain = unknown == 0 || (unknown == 1 && !shape.dims().contains(&Some(0)));
    certain.then(|| shape.dims().iter().map(|d| d.map_or(-1, |d| d as i64)).collect())
}

/// True where `absorbing` may do the work of `absorbed` besides its own, and keep its precision: what stays float may take in what
/// need not, at no cost; the other way round the larger operator would be kept from being quantized.
pub(super) fn may_absorb(absorbing: &Node, absorbed: &Node) -> bool {
    absorbing.precision == absorbed.precision
        || absorbing.precision == Precision::Float
        || (absorbing.precision, absorbed.precision) == (Precision::Dynamic, Precision::Any)
}

/// The axes in the order of a `TRANSPOSE` with a constant permutation.
pub(super) fn permutation(graph: &Graph, node: &Node) -> Option<crate::tensor::Perm> {
    if node.op != Op::Transpose {
        return None;
    }
    let rank = graph.shape(node.input(0)?).rank();
    let axes = graph.const_ints(node.input(1)?)?;
    let axes: Option<Vec<usize>> = axes.iter().map(|&a| crate::tensor::normalize_axis(a, rank)).collect();
    crate::tensor::Perm::new(axes?).filter(|perm| perm.rank() == rank)
}

/// A node that makes an equal value of `x`, quantized or not, for `reader`: `op`, which `operand` tells to change nothing.
pub(super) fn copy(graph: &mut Graph, x: ValueId, reader: &Node, op: Op, operand: Vec<i32>) -> Node {
    let value = graph.value(x);
    let value = Value { name: format!("{}/copy", value.name), ..value.clone() };
    let operand = graph.add_constant(format!("{}/const", value.name), Tensor::vector(operand));
    let copy = graph.add_value(value);
    let inputs = vec![Some(x), Some(operand)];
    Node { op, inputs, outputs: vec![copy], origin: reader.origin, precision: Precision::Any }
}

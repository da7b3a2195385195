//! `remove_flatten`: `FULLY_CONNECTED` takes operands of any rank, so nothing is flattened for it and unflattened after it.
//!
//! Matches: `RESHAPE`, `FULLY_CONNECTED`, `RESHAPE`, where nothing else uses the results in between. PyTorch exports `Conv1D` of
//! GPT-2 and linear layers on sequences so.
//!
//! Makes one `RESHAPE` of the two. Where the first keeps the last axis, the operand is taken as it was and the second stays (and
//! goes in `remove_identity`, where the shape is that already); else, where the second keeps it, the first makes the leading axes
//! that the second would have.
//!
//! Not: a `RESHAPE` on one side only, which would stay one on the other side: some runtimes want matrices. Equal, as every row is
//! multiplied by itself.

use super::pattern::{Replaced, emit_as, reshape_dims, sweep};
use crate::graph::{Evaluate, Graph, InferError, Node, Op, RewriteCx, Shape, ValueId};

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let Some(Flattened { x, flatten, layer, dims }) = flattened(cx, node) else { return Ok(None) };
    let Op::FullyConnected { asymmetric_inputs, activation, .. } = layer.op else { return Ok(None) };
    let op = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs, activation };
    let mut inputs = layer.inputs.clone();
    Ok(Some(match dims {
        Dims::Result(dims) => {
            inputs[0] = Some(x);
            let value = emit_as(cx, &layer, op, &inputs)?[0];
            let dims = cx.b.ints(&dims)?;
            emit_as(cx, node, Op::Reshape, &[Some(value), Some(dims)])?
        }
        Dims::Operand(dims) => {
            let dims = cx.b.ints(&dims)?;
            inputs[0] = Some(emit_as(cx, &flatten, Op::Reshape, &[Some(x), Some(dims)])?[0]);
            emit_as(cx, &layer, op, &inputs)?
        }
    }))
}

struct Flattened {
    /// What was flattened, by whom, and the layer.
    x: ValueId,
    flatten: Node,
    layer: Node,
    dims: Dims,
}

/// The one shape that is left.
enum Dims {
    /// Of the layer's operand.
    Operand(Vec<i64>),
    /// Of what the layer's result becomes.
    Result(Vec<i64>),
}

fn flattened(cx: &RewriteCx<'_>, node: &Node) -> Option<Flattened> {
    let graph = cx.graph();
    if node.op != Op::Reshape {
        return None;
    }
    let layer = cx.sole_producer(node.input(0)?).filter(|p| matches!(p.op, Op::FullyConnected { .. }))?;
    let flatten = cx.sole_producer(layer.input(0)?).filter(|p| p.op == Op::Reshape)?;
    let x = flatten.input(0).filter(|&x| graph.constant(x).is_none())?;
    let [outputs, row] = graph.shape(layer.input(1)?).as_fixed()?[..] else { return None };
    let last = |id: ValueId| graph.shape(id).dims().last().copied().flatten();
    let result = *node.outputs.first()?;
    let dims = if last(layer.input(0)?) != Some(row) {
        return None;
    } else if last(x) == Some(row) {
        Dims::Result(reshape_dims(graph.shape(result))?)
    } else if last(result) == Some(outputs) {
        let leading = &graph.shape(result).dims()[..graph.shape(result).rank() - 1];
        Dims::Operand(reshape_dims(&Shape([leading, &[Some(row)]].concat()))?)
    } else {
        return None;
    };
    Some(Flattened { x, flatten: flatten.clone(), layer: layer.clone(), dims })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, fully_connected, unchanged};
    use super::run;
    use crate::graph::{Activation, Op};

    const FLAT: Op =
        Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::Relu };

    #[test]
    fn sequences_stay_sequences() {
        let before = Net::new(&["f32[2,?,4]"], |b, x| {
            let y = b.reshape(x[0], &[-1, 4])?;
            let y = b.conv(FLAT, y, &[6, 4])?;
            Ok(vec![b.reshape(y, &[2, -1, 3, 2])?])
        });
        let after = Net::new(&["f32[2,?,4]"], |b, x| {
            let keeping =
                Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::Relu };
            let y = b.conv(keeping, x[0], &[6, 4])?;
            Ok(vec![b.reshape(y, &[2, -1, 3, 2])?])
        });
        before.becomes(run, &after);
    }

    #[test]
    fn what_is_cut_into_rows_is_cut_into_the_last_shape() {
        let before = Net::new(&["f32[2,3,2,4]"], |b, x| {
            let y = b.reshape(x[0], &[6, 8])?;
            let y = b.conv(fully_connected(), y, &[5, 8])?;
            Ok(vec![b.reshape(y, &[2, 3, 5])?])
        });
        let after = Net::new(&["f32[2,3,2,4]"], |b, x| {
            let y = b.reshape(x[0], &[2, 3, 8])?;
            Ok(vec![b.conv(fully_connected(), y, &[5, 8])?])
        });
        before.becomes(run, &after);
    }

    #[test]
    fn leaves_rows_that_are_cut_and_single_reshapes() {
        unchanged(run, &["f32[2,2,2]"], |b, x| {
            let y = b.reshape(x[0], &[2, 4])?;
            let y = b.conv(fully_connected(), y, &[6, 4])?;
            b.reshape(y, &[2, 2, 3])
        });
        unchanged(run, &["f32[2,3,4]"], |b, x| {
            let y = b.reshape(x[0], &[6, 4])?;
            b.conv(fully_connected(), y, &[6, 4])
        });
        unchanged(run, &["f32[2,3,4]"], |b, x| {
            let y = b.conv(fully_connected(), x[0], &[6, 4])?;
            b.reshape(y, &[6, 6])
        });
    }
}

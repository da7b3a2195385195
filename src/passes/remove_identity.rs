//! `remove_identity`: operators whose result is their operand go.
//!
//! Matches, of every element type: `RESHAPE`, `SQUEEZE`, `BROADCAST_TO` and `RESIZE_*` to the shape that is there; `TRANSPOSE` in
//! order; `PAD`, `PADV2`, `MIRROR_PAD` by nothing; `SLICE` of everything; `CAST` to the same type; `CONCATENATION` of one value,
//! `SPLIT` and `SPLIT_V` into one; `TILE` once; sums, means, maxima, minima and products along axes of size 1 that are kept;
//! maximum and average over windows of one element; `DEPTH_TO_SPACE`, `SPACE_TO_DEPTH` with blocks of one; `MUL` and `DIV` by 1,
//! `ADD` and `SUB` of 0, `POW` 1, `LOGICAL_AND` true and `LOGICAL_OR` false where that does not change the shape; `MAXIMUM` and
//! `MINIMUM` with a bound at the end of what `float32` holds.
//!
//! Not: anything with an activation; what copies an input or another output into an output, for the name's sake.
//!
//! Equal to the bit, but that -0 stays where 0 was added, and infinity where a bound was the largest finite number.

use super::clamp::Clamp;
use super::pattern::{Replaced, permutation, sweep, with_constant};
use crate::graph::{
    Activation, Binary, Evaluate, Graph, InferError, Node, Op, Pool, Reduce, RewriteCx, Shape, ValueId,
};
use crate::tensor::normalize_axis;

pub(super) fn run(graph: &mut Graph, evaluate: &dyn Evaluate) -> Result<usize, InferError> {
    sweep(graph, evaluate, replace)
}

fn replace(cx: &mut RewriteCx<'_>, node: &Node) -> Replaced {
    let graph = cx.graph();
    let [output] = node.outputs[..] else { return Ok(None) };
    let Some(x) = equal_operand(graph, node, output) else { return Ok(None) };
    let has_own_name = graph.inputs.contains(&x) || graph.outputs.contains(&x) || graph.constant(x).is_some();
    let is_copy = matches!(node.op, Op::Reshape | Op::Transpose) && has_own_name && graph.outputs.contains(&output);
    Ok(if is_copy { None } else { Some(vec![x]) })
}

/// The operand that the only result of `node` is equal to.
fn equal_operand(graph: &Graph, node: &Node, output: ValueId) -> Option<ValueId> {
    let first = node.input(0)?;
    let (shape, result) = (graph.shape(first), graph.shape(output));
    let ints = |i: usize| graph.const_ints(node.input(i)?);
    let if_true = |equal: bool| equal.then_some(first);
    match &node.op {
        Op::Reshape | Op::Squeeze { .. } => if_true(certainly_same(shape, result)),
        Op::BroadcastTo | Op::ResizeBilinear { .. } | Op::ResizeNearest { .. } => {
            if_true(shape.is_fixed() && shape == result)
        }
        Op::Transpose => if_true(permutation(graph, node)?.is_identity()),
        Op::Pad | Op::PadV2 | Op::MirrorPad { .. } => if_true(ints(1)?.iter().all(|&p| p == 0)),
        Op::Slice => if_true(is_whole(shape, &ints(1)?, &ints(2)?)),
        Op::Cast { to } => if_true(graph.dtype(first) == *to),
        Op::Concatenation { .. } => if_true(node.inputs.len() == 1),
        Op::Split { parts: 1 } => node.input(1),
        Op::SplitV { parts: 1 } => Some(first),
        Op::Tile => if_true(ints(1)?.iter().all(|&m| m == 1)),
        Op::Reduce { kind, keep_dims: true } => {
            let over_one = |axis| normalize_axis(axis, shape.rank()).is_some_and(|axis| shape.dim(axis) == Some(1));
            let keeps_value = match kind {
                Reduce::Sum | Reduce::Mean | Reduce::Max | Reduce::Min | Reduce::Prod | Reduce::Any | Reduce::All => {
                    ints(1)?.into_iter().all(over_one)
                }
            };
            if_true(keeps_value)
        }
        Op::Pool2d { kind: Pool::Max | Pool::Average, stride, filter, activation: Activation::None, .. } => {
            if_true(*stride == [1, 1] && *filter == [1, 1])
        }
        Op::DepthToSpace { block: 1 } | Op::SpaceToDepth { block: 1 } => Some(first),
        Op::Binary(..) => neutral(graph, node),
        _ => None,
    }
}

/// The operand beside a constant that changes nothing.
fn neutral(graph: &Graph, node: &Node) -> Option<ValueId> {
    if let Some((x, Clamp::NONE)) = Clamp::of(graph, node) {
        return Some(x);
    }
    let found = with_constant(graph, node).filter(|found| found.activation == Activation::None)?;
    let element = match (found.kind, found.reversed) {
        (Binary::Mul, _) | (Binary::Div | Binary::Pow, false) | (Binary::LogicalAnd, _) => 1.0,
        (Binary::Add, _) | (Binary::Sub, false) | (Binary::LogicalOr, _) => 0.0,
        _ => return None,
    };
    (found.number(graph) == Some(element)).then_some(found.x)
}

/// True where a reshape from the one to the other changes nothing, whatever is known at run time only.
pub(super) fn certainly_same(from: &Shape, to: &Shape) -> bool {
    // With one unknown extent on either side, the number of elements makes them equal.
    from == to && from.dims().iter().filter(|d| d.is_none()).count() <= 1
}

fn is_whole(shape: &Shape, begin: &[i64], size: &[i64]) -> bool {
    let whole = |(&dim, &size): (&Option<usize>, &i64)| size == -1 || dim.is_some_and(|d| d as i64 == size);
    begin.iter().all(|&b| b == 0) && size.len() == shape.rank() && shape.dims().iter().zip(size).all(whole)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Net, NetBuilder, check, unchanged};
    use super::run;
    use crate::graph::{Activation, Binary, InferError, Op, Padding, Pool, Reduce, Unary, ValueId};
    use crate::tensor::{DType, Perm, Tensor};

    type Form = fn(&mut NetBuilder<'_>, ValueId) -> Result<ValueId, InferError>;

    /// What `form` makes goes, between two operators that stay.
    fn goes(ty: &str, form: Form) {
        check(
            run,
            &[ty],
            |b, x| {
                let x = b.unary(Unary::Abs, x[0])?;
                let x = form(b, x)?;
                b.unary(Unary::Neg, x)
            },
            |b, x| {
                let x = b.unary(Unary::Abs, x[0])?;
                b.unary(Unary::Neg, x)
            },
        );
    }

    fn stays(ty: &str, form: Form) {
        unchanged(run, &[ty], |b, x| {
            let x = b.unary(Unary::Abs, x[0])?;
            let x = form(b, x)?;
            b.unary(Unary::Neg, x)
        });
    }

    fn reduce(b: &mut NetBuilder<'_>, x: ValueId, keep_dims: bool) -> Result<ValueId, InferError> {
        let axes = b.ints(&[1, -1])?;
        b.one(Op::Reduce { kind: Reduce::Mean, keep_dims }, &[x, axes])
    }

    #[test]
    fn data_stays_where_it_is() {
        goes("f32[2,3]", |b, x| {
            let dims = b.ints(&[2, -1])?;
            b.one(Op::Reshape, &[x, dims])
        });
        goes("f32[?,3]", |b, x| {
            let dims = b.ints(&[-1, 3])?;
            b.one(Op::Reshape, &[x, dims])
        });
        goes("f32[2,3]", |b, x| b.one(Op::Squeeze { axes: vec![] }, &[x]));
        goes("f32[2,3]", |b, x| {
            let dims = b.ints(&[2, 3])?;
            b.one(Op::BroadcastTo, &[x, dims])
        });
        goes("f32[1,2,3,1]", |b, x| {
            let size = b.ints(&[2, 3])?;
            b.one(Op::ResizeBilinear { align_corners: false, half_pixel_centers: true }, &[x, size])
        });
        goes("f32[2,?]", |b, x| {
            let perm = b.ints(&[0, -1])?;
            b.one(Op::Transpose, &[x, perm])
        });
        goes("f32[?]", |b, x| {
            let pads = b.constant(Tensor::from_vec(&[1, 2], vec![0i32, 0]));
            b.one(Op::Pad, &[x, pads])
        });
        goes("f32[2,?]", |b, x| b.slice(x, &[0, 0], &[2, -1]));
        goes("i32[2]", |b, x| b.one(Op::Cast { to: DType::I32 }, &[x]));
        goes("f32[2]", |b, x| b.concat(&[x], 0));
        goes("f32[2]", |b, x| {
            let axis = b.scalar(0i32);
            b.one(Op::Split { parts: 1 }, &[axis, x])
        });
        goes("f32[2]", |b, x| {
            let (sizes, axis) = (b.ints(&[2])?, b.scalar(0i32));
            b.one(Op::SplitV { parts: 1 }, &[x, sizes, axis])
        });
        goes("f32[?]", |b, x| {
            let multiples = b.ints(&[1])?;
            b.one(Op::Tile, &[x, multiples])
        });
        goes("f32[2,1,1]", |b, x| reduce(b, x, true));
        goes("f32[1,2,2,1]", |b, x| b.one(pool(Pool::Average, 1), &[x]));
        goes("f32[1,2,2,1]", |b, x| b.one(Op::DepthToSpace { block: 1 }, &[x]));
    }

    fn pool(kind: Pool, size: usize) -> Op {
        Op::Pool2d { kind, padding: Padding::Same, stride: [1, 1], filter: [size; 2], activation: Activation::None }
    }

    #[test]
    fn data_that_moves_or_changes_stays() {
        stays("f32[2,3]", |b, x| b.reshape(x, &[3, 2]));
        // Either of the two may be the larger one at run time.
        stays("f32[?,?]", |b, x| {
            let dims = b.one(Op::Shape { to: DType::I32 }, &[x])?;
            let dims = b.one(Op::Reverse, &[dims, dims])?;
            b.one(Op::Reshape, &[x, dims])
        });
        stays("f32[?,3]", |b, x| {
            let dims = b.ints(&[5, 3])?;
            b.one(Op::BroadcastTo, &[x, dims])
        });
        stays("f32[2,2]", |b, x| b.transpose(x, &Perm::new(vec![1, 0]).unwrap()));
        stays("f32[2]", |b, x| b.pad(x, &[(0, 1)]));
        stays("f32[2]", |b, x| b.slice(x, &[1], &[-1]));
        stays("f32[?]", |b, x| b.slice(x, &[0], &[5]));
        stays("f32[2,1,2]", |b, x| reduce(b, x, true));
        stays("f32[2,1,1]", |b, x| reduce(b, x, false));
        stays("f32[1,2,2,1]", |b, x| b.one(pool(Pool::L2, 1), &[x]));
        stays("f32[1,2,2,1]", |b, x| b.one(pool(Pool::Max, 2), &[x]));
    }

    #[test]
    fn neutral_elements_go() {
        let forms: [Form; 8] = [
            |b, x| {
                let one = b.scalar(1.0f32);
                b.mul(one, x)
            },
            |b, x| {
                let one = b.floats(&[3], vec![1.0; 3]);
                b.div(x, one)
            },
            |b, x| {
                let zero = b.scalar(0.0f32);
                b.add(zero, x)
            },
            |b, x| {
                let zero = b.scalar(0.0f32);
                b.sub(x, zero)
            },
            |b, x| {
                let one = b.scalar(1.0f32);
                b.binary(Binary::Pow, x, one)
            },
            |b, x| {
                let low = b.scalar(f32::MIN);
                b.binary(Binary::Maximum, low, x)
            },
            |b, x| {
                let high = b.scalar(f32::INFINITY);
                b.binary(Binary::Minimum, high, x)
            },
            |b, x| {
                let zero = b.floats(&[1, 3], [0.0, -0.0, 0.0].iter().map(|z| z * 0.0).collect());
                b.add(x, zero)
            },
        ];
        for form in &forms[..7] {
            goes("f32[?,3]", *form);
        }
        // 0 and -0 are not one number to the bit; left alone.
        stays("f32[?,3]", forms[7]);
        goes("i32[2]", |b, x| {
            let one = b.scalar(1i32);
            b.mul(x, one)
        });
    }

    #[test]
    fn what_looks_neutral_and_is_not_stays() {
        stays("f32[?,3]", |b, x| {
            let one = b.scalar(1.0f32);
            b.div(one, x)
        });
        stays("f32[?,3]", |b, x| {
            let zero = b.scalar(0.0f32);
            b.sub(zero, x)
        });
        // The result is larger than the operand.
        stays("f32[1,3]", |b, x| {
            let ones = b.floats(&[2, 1], vec![1.0; 2]);
            b.mul(x, ones)
        });
        stays("f32[?,3]", |b, x| {
            let ones = b.floats(&[2, 1], vec![1.0; 2]);
            b.mul(x, ones)
        });
        stays("f32[3]", |b, x| {
            let one = b.scalar(1.0f32);
            b.one(Op::Binary(Binary::Mul, Activation::Relu), &[x, one])
        });
    }

    #[test]
    fn outputs_keep_their_names() {
        // A copy from an input to an output is what it has to be.
        Net::new(&["f32[2]"], |b, x| Ok(vec![b.identity(x[0])?])).unchanged_by(run);
        // One that was more than a copy becomes one.
        let before = Net::new(&["f32[2]"], |b, x| {
            let one = b.scalar(1.0f32);
            Ok(vec![b.mul(x[0], one)?])
        });
        before.becomes(run, &Net::new(&["f32[2]"], |b, x| Ok(vec![b.identity(x[0])?])));
        // Two outputs of one value.
        let before = Net::new(&["f32[2]"], |b, x| {
            let (y, one) = (b.unary(Unary::Abs, x[0])?, b.scalar(1.0f32));
            Ok(vec![y, b.mul(y, one)?])
        });
        let after = Net::new(&["f32[2]"], |b, x| {
            let y = b.unary(Unary::Abs, x[0])?;
            Ok(vec![y, b.identity(y)?])
        });
        before.becomes(run, &after);
    }
}

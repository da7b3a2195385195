//! Result types of operators, from the types (and, for shapes and axes, the data) of their operands.

mod movement;
mod regions;
mod spatial;

use super::{Binary, Dim, Graph, Op, Reduce, Shape, Type, Unary, ValueId};
use crate::tensor::{DType, Tensor, normalize_axis};

/// What does not fit about an operator's operands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InferError {
    pub message: String,
}

impl InferError {
    pub fn new(message: impl Into<String>) -> InferError {
        InferError { message: message.into() }
    }
}

/// The largest extent of an axis: the format and the kernels count in 32 bits. Products of two extents so fit in 64.
pub const MAX_EXTENT: usize = i32::MAX as usize;

type Inferred = Result<Vec<Type>, InferError>;

/// Result types of `op` on `inputs`, one for each result.
///
/// # Errors
/// Where an operand is missing, types or shapes don't fit together, or an extent does not fit the 31 bits that TFLite has for it.
pub fn infer(graph: &Graph, op: &Op, inputs: &[Option<ValueId>]) -> Result<Vec<Type>, InferError> {
    let args = Args { graph, inputs, op: op.name() };
    let types = result_types(op, &args).map_err(|e| InferError::new(format!("{}: {}", op.name(), e.message)))?;
    match types.iter().find(|ty| ty.shape.dims().iter().flatten().any(|&d| d > MAX_EXTENT)) {
        Some(ty) => Err(InferError::new(format!("{}: the result is too large: {}", op.name(), ty.shape))),
        None => Ok(types),
    }
}

/// The operands of one node, as inference looks at them.
struct Args<'a> {
    graph: &'a Graph,
    inputs: &'a [Option<ValueId>],
    op: &'static str,
}

impl<'a> Args<'a> {
    fn id(&self, i: usize) -> Result<ValueId, InferError> {
        let id = self.inputs.get(i).copied().flatten();
        id.ok_or_else(|| InferError::new(format!("operand {i} is missing")))
    }

    fn ty(&self, i: usize) -> Result<&'a Type, InferError> {
        Ok(&self.graph.value(self.id(i)?).ty)
    }

    fn shape(&self, i: usize) -> Result<&'a Shape, InferError> {
        Ok(&self.ty(i)?.shape)
    }

    fn dtype(&self, i: usize) -> Result<DType, InferError> {
        Ok(self.ty(i)?.dtype)
    }

    fn data(&self, i: usize) -> Option<&'a Tensor> {
        self.graph.constant(self.inputs.get(i).copied().flatten()?)
    }

    /// Elements of an operand of integers, where it is constant.
    fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.data(i)?.to_i64s().ok()
    }

    /// Shape of operand `i`, which must have the given rank.
    fn shape_of_rank(&self, i: usize, rank: usize) -> Result<&'a [Dim], InferError> {
        let shape = self.shape(i)?;
        if shape.rank() != rank {
            return Err(InferError::new(format!("operand {i} must have rank {rank}, but is {shape}")));
        }
        Ok(shape.dims())
    }

    /// Number of elements of a rank-1 operand (or 1 for a scalar).
    fn length(&self, i: usize) -> Result<Dim, InferError> {
        let shape = self.shape(i)?;
        match shape.dims() {
            [] => Ok(Some(1)),
            [n] => Ok(*n),
            _ => Err(InferError::new(format!("operand {i} must be a vector, but is {shape}"))),
        }
    }
}

fn one(dtype: DType, shape: Shape) -> Inferred {
    Ok(vec![Type { dtype, shape }])
}

/// Shape of operands that are broadcast against each other, aligned at their last axes.
pub(super) fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, InferError> {
    let rank = a.rank().max(b.rank());
    let dim = |s: &Shape, axis: usize| match (axis + s.rank()).checked_sub(rank) {
        Some(i) => s.dims()[i],
        None => Some(1),
    };
    let dims = (0..rank).map(|axis| match (dim(a, axis), dim(b, axis)) {
        (Some(1), other) | (other, Some(1)) => Ok(other),
        (Some(m), Some(n)) if m == n => Ok(Some(m)),
        (Some(m), None) | (None, Some(m)) => Ok(Some(m)),
        (None, None) => Ok(None),
        _ => Err(InferError::new(format!("shapes {a} and {b} can't be broadcast together"))),
    });
    Ok(Shape(dims.collect::<Result<_, _>>()?))
}

fn same_dtype(args: &Args<'_>, a: usize, b: usize) -> Result<DType, InferError> {
    let (x, y) = (args.dtype(a)?, args.dtype(b)?);
    if x != y {
        return Err(InferError::new(format!("operands {a} and {b} must have one element type, but are {x} and {y}")));
    }
    Ok(x)
}

fn axis_of(axis: i64, rank: usize) -> Result<usize, InferError> {
    normalize_axis(axis, rank).ok_or_else(|| InferError::new(format!("axis {axis} is outside rank {rank}")))
}

fn result_types(op: &Op, args: &Args<'_>) -> Inferred {
    match op {
        Op::Unary(kind) => {
            let x = args.ty(0)?;
            let fits = match kind {
                Unary::LogicalNot => x.dtype == DType::Bool,
                _ => x.dtype != DType::Bool,
            };
            if !fits {
                return Err(InferError::new(format!("does not take {}", x.dtype)));
            }
            Ok(vec![x.clone()])
        }
        Op::LeakyRelu { .. } => Ok(vec![args.ty(0)?.clone()]),
        Op::Softmax { .. } | Op::LogSoftmax | Op::L2Normalization => {
            let x = args.ty(0)?;
            if x.shape.rank() == 0 {
                return Err(InferError::new("a scalar has no axis to normalize over"));
            }
            Ok(vec![x.clone()])
        }
        Op::LocalResponseNormalization { .. } => {
            args.shape_of_rank(0, 4)?;
            Ok(vec![args.ty(0)?.clone()])
        }
        Op::Binary(kind, _) => {
            let dtype = same_dtype(args, 0, 1)?;
            let logical = matches!(kind, Binary::LogicalAnd | Binary::LogicalOr);
            if logical != (dtype == DType::Bool) {
                return Err(InferError::new(format!("does not take {dtype}")));
            }
            one(dtype, broadcast(args.shape(0)?, args.shape(1)?)?)
        }
        Op::Compare(_) => {
            same_dtype(args, 0, 1)?;
            one(DType::Bool, broadcast(args.shape(0)?, args.shape(1)?)?)
        }
        Op::Prelu => {
            let (x, out) = (args.shape(0)?, broadcast(args.shape(0)?, args.shape(1)?)?);
            if !x.agrees_with(&out) {
                return Err(InferError::new(format!("alpha {} does not broadcast to {x}", args.shape(1)?)));
            }
            one(args.dtype(0)?, out)
        }
        Op::Select => {
            if args.dtype(0)? != DType::Bool {
                return Err(InferError::new(format!("the condition must be bool, not {}", args.dtype(0)?)));
            }
            let dtype = same_dtype(args, 1, 2)?;
            one(dtype, broadcast(args.shape(0)?, &broadcast(args.shape(1)?, args.shape(2)?)?)?)
        }
        Op::Cast { to } | Op::Quantize { to } => one(*to, args.shape(0)?.clone()),
        Op::Dequantize => one(DType::F32, args.shape(0)?.clone()),
        Op::Reduce { kind, keep_dims } => reduce(args, *kind, *keep_dims),
        Op::ArgMax { to } | Op::ArgMin { to } => arg_extremum(args, *to),
        Op::Cumsum { .. } => Ok(vec![args.ty(0)?.clone()]),
        Op::TopK => top_k(args),

        Op::Conv2d { window, .. } => spatial::conv_2d(args, window),
        Op::DepthwiseConv2d { window, multiplier, .. } => spatial::depthwise_conv_2d(args, window, *multiplier),
        Op::TransposeConv { .. } => spatial::transpose_conv(args, 4),
        Op::Conv3d { window, .. } => spatial::conv_3d(args, window),
        Op::Conv3dTranspose { .. } => spatial::transpose_conv(args, 5),
        Op::FullyConnected { keep_num_dims, .. } => spatial::fully_connected(args, *keep_num_dims),
        Op::BatchMatMul { adj_x, adj_y, .. } => spatial::batch_mat_mul(args, *adj_x, *adj_y),
        Op::EmbeddingLookup => spatial::embedding_lookup(args),
        Op::Pool2d { padding, stride, filter, .. } => spatial::pool_2d(args, *padding, *stride, *filter),
        Op::ResizeBilinear { .. } | Op::ResizeNearest { .. } => spatial::resize(args),
        Op::DepthToSpace { block } => spatial::depth_to_space(args, *block),
        Op::SpaceToDepth { block } => spatial::space_to_depth(args, *block),
        Op::SpaceToBatch => spatial::space_to_batch(args),
        Op::BatchToSpace => spatial::batch_to_space(args),

        Op::Pad | Op::PadV2 | Op::MirrorPad { .. } => movement::pad(args),
        Op::Reshape => movement::reshape(args),
        Op::Squeeze { axes } => movement::squeeze(args, axes),
        Op::ExpandDims => movement::expand_dims(args),
        Op::Transpose => movement::transpose(args),
        Op::Concatenation { axis } => movement::concatenation(args, *axis),
        Op::Split { parts } => movement::split(args, *parts),
        Op::SplitV { parts } => movement::split_v(args, *parts),
        Op::Pack { axis } => movement::pack(args, *axis),
        Op::Unpack { axis, parts } => movement::unpack(args, *axis, *parts),
        Op::Slice => movement::slice(args),
        Op::StridedSlice(masks) => movement::strided_slice(args, masks),
        Op::Gather { axis, batch_dims } => movement::gather(args, *axis, *batch_dims),
        Op::GatherNd => movement::gather_nd(args),
        Op::ScatterNd => one(args.dtype(1)?, movement::shape_from(args, 2)?),
        Op::UnsortedSegment(_) => unsorted_segment(args),
        Op::DynamicUpdateSlice => dynamic_update_slice(args),
        Op::Tile => movement::tile(args),
        Op::BroadcastTo => movement::broadcast_to(args),
        Op::Reverse => Ok(vec![args.ty(0)?.clone()]),
        Op::ReverseSequence { seq_dim, batch_dim } => reverse_sequence(args, *seq_dim, *batch_dim),
        Op::Fill => one(args.dtype(1)?, movement::shape_from(args, 0)?),
        Op::Shape { to } => one(*to, Shape::fixed(&[args.shape(0)?.rank()])),
        Op::Rank => one(DType::I32, Shape::scalar()),
        Op::Range => movement::range(args),
        Op::OneHot { axis } => movement::one_hot(args, *axis),
        Op::Unique { to } => {
            let x = args.ty(0)?;
            args.shape_of_rank(0, 1)?;
            Ok(vec![Type::new(x.dtype, Shape(vec![None])), Type::new(*to, x.shape.clone())])
        }
        Op::NonMaxSuppression => non_max_suppression(args),
        Op::Bitcast { to } => {
            let x = args.ty(0)?;
            one(*to, recast(&x.shape, x.dtype.bits(), to.bits())?)
        }
        Op::Where => one(DType::I64, Shape(vec![None, Some(args.shape(0)?.rank())])),
        Op::If { then, otherwise } => regions::if_(args, then, otherwise),
        Op::While { cond, body } => regions::while_(args, cond, body),
        Op::Opaque(_) => Err(InferError::new(format!("result types of {} are not known", args.op))),
    }
}

/// Shape of the same bits in elements of another width.
fn recast(shape: &Shape, from: usize, to: usize) -> Result<Shape, InferError> {
    let mut dims = shape.dims().to_vec();
    if from != to && (from.min(to) < 8 || !from.max(to).is_multiple_of(from.min(to))) {
        return Err(InferError::new(format!("no parts of {to} bits make {from}")));
    }
    if from > to {
        dims.push(Some(from / to));
    } else if from < to {
        let parts = dims.pop().ok_or_else(|| InferError::new(format!("a scalar of {from} bits is no part of {to}")))?;
        if parts.is_some_and(|parts| parts != to / from) {
            return Err(InferError::new(format!("the last axis of {shape} does not make {to} bits")));
        }
    }
    Ok(Shape(dims))
}

fn reduce(args: &Args<'_>, kind: Reduce, keep_dims: bool) -> Inferred {
    let x = args.ty(0)?;
    let logical = matches!(kind, Reduce::Any | Reduce::All);
    if logical != (x.dtype == DType::Bool) {
        return Err(InferError::new(format!("does not take {}", x.dtype)));
    }
    let rank = x.shape.rank();
    let Some(axes) = args.ints(1) else {
        // Which axes go is only known at run time: with them kept, the rank at least is known.
        return match (keep_dims, args.length(1)?) {
            (true, _) => one(x.dtype, Shape(vec![None; rank])),
            (false, Some(n)) if n <= rank => one(x.dtype, Shape(vec![None; rank - n])),
            _ => Err(InferError::new("the axes are not constant, so the rank of the result is not known")),
        };
    };
    let mut reduced = vec![false; rank];
    for axis in axes {
        reduced[axis_of(axis, rank)?] = true;
    }
    let dims = x.shape.dims().iter().zip(&reduced);
    let dims = match keep_dims {
        true => dims.map(|(&d, &r)| if r { Some(1) } else { d }).collect(),
        false => dims.filter(|(_, r)| !**r).map(|(&d, _)| d).collect(),
    };
    one(x.dtype, Shape(dims))
}

fn arg_extremum(args: &Args<'_>, to: DType) -> Inferred {
    let x = args.shape(0)?;
    let axis = args.ints(1).and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| InferError::new("the axis must be constant"))?;
    let mut dims = x.dims().to_vec();
    dims.remove(axis_of(axis, x.rank())?);
    one(to, Shape(dims))
}

fn top_k(args: &Args<'_>) -> Inferred {
    let x = args.ty(0)?;
    let mut dims = x.shape.dims().to_vec();
    let last = dims.last_mut().ok_or_else(|| InferError::new("a scalar has no largest elements"))?;
    *last = match args.ints(1) {
        Some(k) => k.first().and_then(|&k| usize::try_from(k).ok()),
        None => None,
    };
    let shape = Shape(dims);
    Ok(vec![Type::new(x.dtype, shape.clone()), Type::new(DType::I32, shape)])
}

fn unsorted_segment(args: &Args<'_>) -> Inferred {
    let (x, ids) = (args.ty(0)?, args.shape(1)?);
    let rank = ids.rank();
    if rank > x.shape.rank() || !ids.agrees_with(&Shape(x.shape.dims()[..rank].to_vec())) {
        return Err(InferError::new(format!("segment numbers of {ids} for {}", x.shape)));
    }
    let count = args.ints(2).and_then(|n| n.first().and_then(|&n| usize::try_from(n).ok()));
    let dims = std::iter::once(count).chain(x.shape.dims()[rank..].iter().copied());
    one(x.dtype, Shape(dims.collect()))
}

fn dynamic_update_slice(args: &Args<'_>) -> Inferred {
    let (x, update) = (args.ty(0)?, args.ty(1)?);
    same_dtype(args, 0, 1)?;
    let too_large = |(d, u): (&Dim, &Dim)| d.zip(*u).is_some_and(|(d, u)| u > d);
    let rank = x.shape.rank();
    if update.shape.rank() != rank || x.shape.dims().iter().zip(update.shape.dims()).any(too_large) {
        return Err(InferError::new(format!("an update of {} for {}", update.shape, x.shape)));
    }
    if args.length(2)?.is_some_and(|n| n != rank) {
        return Err(InferError::new(format!("a start of {} for {}", args.shape(2)?, x.shape)));
    }
    Ok(vec![x.clone()])
}

fn reverse_sequence(args: &Args<'_>, seq_dim: i32, batch_dim: i32) -> Inferred {
    let (x, lengths) = (args.ty(0)?, args.length(1)?);
    let (seq, batch) = (axis_of(seq_dim.into(), x.shape.rank())?, axis_of(batch_dim.into(), x.shape.rank())?);
    let fits = lengths.is_none() || x.shape.dim(batch).is_none() || lengths == x.shape.dim(batch);
    if seq == batch || !fits {
        return Err(InferError::new(format!("lengths of {} along axis {batch} of {}", args.shape(1)?, x.shape)));
    }
    Ok(vec![x.clone()])
}

fn non_max_suppression(args: &Args<'_>) -> Inferred {
    let (boxes, scores) = (args.shape_of_rank(0, 2)?, args.shape_of_rank(1, 1)?);
    let boxes_fit = boxes[1].is_none_or(|n| n == 4) && boxes[0].zip(scores[0]).is_none_or(|(a, b)| a == b);
    if !boxes_fit {
        return Err(InferError::new(format!("boxes of {} and scores of {}", args.shape(0)?, args.shape(1)?)));
    }
    let most = args.ints(2).and_then(|n| n.first().and_then(|&n| usize::try_from(n).ok()));
    Ok(vec![Type::new(DType::I32, Shape(vec![most])), Type::new(DType::I32, Shape::scalar())])
}

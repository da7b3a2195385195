//! THE TABLE of operator versions: the lowest version of each operator's kernel that understands what a node uses of it.
//!
//! Runtimes refuse a file whose versions are higher than what they register, and kernels themselves don't look: a version too
//! low costs a clear message in an old runtime, one too high costs every runtime in between. The rules are LiteRT's
//! (`tools/versioning/op_version.cc`), except where that forgets 16-bit activations with 8-bit weights: these are written
//! with the version that brought 16-bit activations.

use crate::graph::{Activation, Binary, Compare, Graph, Node, Op, Quant, Reduce, Shape, SliceMasks, Unary, Value};
use crate::graph::{Pool, Window2d};
use crate::tensor::DType;

use DType::{BF16, Bool, C64, F8E4M3FN, F8E5M2, F16, F32, F64, I2, I4, I8, I16, I32, I64, String, U4, U8, U16, U32};

/// The version that `node` is written with.
pub fn of(graph: &Graph, node: &Node) -> i32 {
    let at = Operands { graph, node };
    let (x, y) = (at.dtype(0), at.dtype(1));
    match &node.op {
        Op::Unary(kind) => unary(*kind, &at),
        Op::LeakyRelu { .. } => by_type(x, &[(I16, 2)]),
        Op::Binary(kind, _) => binary(*kind, &at),
        Op::Compare(kind) => compare(*kind, x),
        Op::Prelu => 1,
        Op::Select => by_type(y, &[(U32, 2)]),
        Op::Cast { to } => cast(x, *to),
        Op::Softmax { .. } => by_type(x, &[(I8, 2), (I16, 3), (F16, 4)]),
        Op::LogSoftmax => by_type(x, &[(I8, 2)]),
        Op::L2Normalization => by_type(at.result(), &[(I8, 2)]),
        Op::LocalResponseNormalization { .. } => 1,

        Op::Conv2d { .. } => conv_2d(&at),
        Op::DepthwiseConv2d { window, .. } => depthwise_conv_2d(&at, window),
        Op::TransposeConv { activation, .. } => transpose_conv(&at, *activation),
        Op::Conv3d { .. } | Op::Conv3dTranspose { .. } => 1,
        Op::FullyConnected { keep_num_dims, asymmetric_inputs, .. } => {
            fully_connected(&at, *keep_num_dims, *asymmetric_inputs)
        }
        Op::BatchMatMul { asymmetric_inputs, .. } => match (x, y) {
            (Some(I16), _) => 3,
            (Some(I8), _) => 2,
            (Some(F32), Some(I8)) if *asymmetric_inputs => 4,
            _ => 1,
        },
        Op::EmbeddingLookup if y == Some(I2) => 5,
        Op::EmbeddingLookup if y == Some(I4) || at.per_axis(1) => 4,
        Op::EmbeddingLookup => 1,
        Op::Pool2d { kind: Pool::L2, .. } => 1,
        Op::Pool2d { kind: Pool::Average | Pool::Max, .. } => by_type(x, &[(I8, 2), (I16, 3)]),
        Op::ResizeBilinear { half_pixel_centers, .. } => match x {
            Some(I16) => 4,
            _ if *half_pixel_centers => 3,
            _ => by_type(x, &[(I8, 2)]),
        },
        Op::ResizeNearest { align_corners, half_pixel_centers } => match x {
            Some(I16) => 4,
            _ if *align_corners || *half_pixel_centers => 3,
            _ => by_type(x, &[(I8, 2)]),
        },
        Op::DepthToSpace { .. } | Op::SpaceToDepth { .. } => by_type(x, &[(I8, 2)]),
        Op::SpaceToBatch | Op::BatchToSpace => match x {
            Some(I16) => 4,
            _ if at.rank(0) != 4 => 3,
            _ => by_type(x, &[(I8, 2)]),
        },

        Op::Pad | Op::PadV2 => match x {
            Some(F8E4M3FN | F8E5M2) => 6,
            Some(Bool) => 5,
            _ if at.rank(0) > 4 => 4,
            _ => by_type(x, &[(I16, 3), (I8, 2)]),
        },
        Op::MirrorPad { .. } => by_type(x, &[(I8, 2), (I16, 3)]),
        Op::Reshape => 1,
        Op::Squeeze { .. } => by_type(x, &[(String, 2)]),
        Op::ExpandDims => 1,
        Op::Transpose => transpose(x, at.rank(0)),
        Op::Concatenation { .. } => {
            by_type(x, &[(F8E4M3FN, 7), (F8E5M2, 7), (F16, 6), (I4, 5), (U32, 4), (I16, 3), (I8, 2)])
        }
        Op::Split { .. } => by_type(y, &[(F8E4M3FN, 5), (F8E5M2, 5), (I16, 4), (I32, 3), (I8, 2)]),
        Op::SplitV { .. } => by_type(x, &[(F8E4M3FN, 3), (F8E5M2, 3), (I8, 2)]),
        Op::Pack { .. } => by_type(x, &[(F8E4M3FN, 5), (F8E5M2, 5), (I8, 2), (I16, 3), (U32, 4)]),
        Op::Unpack { .. } => {
            by_type(x, &[(F8E4M3FN, 6), (F8E5M2, 6), (I8, 2), (U8, 2), (Bool, 3), (I16, 4), (F16, 5), (BF16, 5)])
        }
        Op::Slice => match x {
            Some(F16) => 8,
            Some(I4) => 7,
            Some(U32) => 6,
            _ if at.rank(0) > 4 => 5,
            _ => by_type(x, &[(I16, 4), (String, 3), (I8, 2)]),
        },
        Op::StridedSlice(masks) => strided_slice(x, at.rank(0), masks),
        Op::Gather { batch_dims, .. } => match (x, y) {
            (Some(F8E4M3FN | F8E5M2), _) => 8,
            (Some(I4), _) => 7,
            (_, Some(I16)) => 6,
            _ if *batch_dims != 0 => 5,
            _ => by_type(x, &[(I16, 4), (Bool, 3), (I8, 2)]),
        },
        Op::GatherNd => match (x, y) {
            (Some(F8E4M3FN | F8E5M2), _) => 6,
            (Some(Bool), _) => 5,
            (_, Some(I16)) => 4,
            _ => by_type(x, &[(I16, 3), (String, 2)]),
        },
        Op::ScatterNd | Op::UnsortedSegment(_) => 1,
        Op::DynamicUpdateSlice => match (x, at.dtype(2)) {
            (Some(BF16 | I4 | I16 | F16), _) => by_type(x, &[(BF16, 6), (I4, 5), (I16, 4), (F16, 3)]),
            (_, Some(I64)) => 2,
            _ => 1,
        },
        Op::ReverseSequence { .. } | Op::Unique { .. } | Op::NonMaxSuppression | Op::Bitcast { .. } => 1,
        Op::Tile => by_type(x, &[(I8, 3), (String, 2)]),
        // Version 1 was withdrawn when the code changed.
        Op::BroadcastTo => match x {
            Some(F8E4M3FN | F8E5M2) => 4,
            Some(I8 | I16) => 3,
            _ => 2,
        },
        Op::Reverse => by_type(x, &[(F8E4M3FN, 4), (F8E5M2, 4), (I8, 3), (Bool, 2)]),
        Op::Fill => by_type(y, &[(F8E4M3FN, 5), (F8E5M2, 5), (F16, 4), (I8, 3), (I16, 3), (Bool, 2), (String, 2)]),
        Op::Shape { .. } | Op::Rank => 1,
        Op::Range => by_type(x, &[(I64, 2)]),
        Op::OneHot { .. } => 1,
        Op::Where if x == Some(Bool) => 1,
        Op::Where => 2,
        Op::TopK => by_type(x, &[(I8, 2), (I16, 3)]),
        Op::ArgMax { .. } | Op::ArgMin { .. } => by_type(x, &[(Bool, 3), (I8, 2)]),
        Op::Cumsum { .. } => 1,
        Op::Reduce { kind, .. } => reduce(*kind, x),
        Op::Quantize { to } => match (x, *to) {
            (_, I2) => 6,
            (_, U4) => 5,
            (Some(I4), _) | (_, I4) => 4,
            _ if at.result_per_axis() => 3,
            (_, I16) => 2,
            _ => 1,
        },
        Op::Dequantize => match x {
            Some(I8) if at.per_axis(0) => 5,
            _ => by_type(x, &[(F8E4M3FN, 9), (F8E5M2, 9), (U4, 8), (I2, 7), (I4, 6), (I16, 3), (F16, 3), (I8, 2)]),
        },
        Op::If { .. } | Op::While { .. } => 1,
        Op::Opaque(opaque) => opaque.version,
    }
}

fn unary(kind: Unary, at: &Operands<'_>) -> i32 {
    let x = at.dtype(0);
    match kind {
        Unary::Abs => match x {
            Some(I16) if at.quant(0).is_some() => 3,
            _ => by_type(x, &[(I32, 5), (I16, 4), (I8, 2), (U8, 2)]),
        },
        Unary::Cos | Unary::Sin => by_type(x, &[(F16, 2)]),
        Unary::Exp | Unary::Log | Unary::Sqrt => by_type(x, &[(I8, 2), (I16, 2)]),
        Unary::Gelu | Unary::GeluTanh => by_type(x, &[(I8, 2), (U8, 2), (F16, 3)]),
        Unary::Relu => by_type(x, &[(I8, 2), (U8, 2), (I16, 3)]),
        Unary::Logistic | Unary::Relu6 | Unary::Rsqrt | Unary::Tanh => by_type(x, &[(I8, 2), (I16, 3)]),
        Unary::Sign => by_type(x, &[(I32, 2)]),
        Unary::Ceil
        | Unary::Elu
        | Unary::Floor
        | Unary::HardSwish
        | Unary::LogicalNot
        | Unary::Neg
        | Unary::Relu0To1
        | Unary::ReluN1To1
        | Unary::Round
        | Unary::Square
        | Unary::ZerosLike => 1,
    }
}

fn binary(kind: Binary, at: &Operands<'_>) -> i32 {
    let x = at.dtype(0);
    let quantized = at.quant(0).is_some();
    match kind {
        Binary::Add => match x {
            // With `pot_scale_int16` false.
            Some(I16) if quantized => 3,
            _ => by_type(x, &[(F16, 6), (I16, 5), (I64, 4), (I8, 2)]),
        },
        Binary::Sub => match x {
            Some(I16) => 5,
            Some(I64) => 4,
            _ if at.broadcasts_past_rank_4() => 3,
            _ => by_type(x, &[(I8, 2)]),
        },
        Binary::Mul => match x {
            Some(I16) if quantized => 4,
            Some(F16 | I16 | U32 | C64 | I64) => by_type(x, &[(F16, 8), (I16, 7), (U32, 7), (C64, 6), (I64, 5)]),
            _ if at.multiplies_up() => 3,
            _ => by_type(x, &[(I8, 2)]),
        },
        Binary::Div if at.broadcasts_past_rank_4() => 2,
        Binary::Maximum | Binary::Minimum => match x {
            Some(I16) => 4,
            _ if at.broadcasts_past_rank_4() => 3,
            _ => by_type(x, &[(I8, 2)]),
        },
        Binary::FloorDiv => by_type(x, &[(F32, 2), (I8, 3), (I16, 3)]),
        Binary::FloorMod => by_type(x, &[(I8, 2), (I16, 2)]),
        Binary::SquaredDifference => by_type(x, &[(I8, 2)]),
        Binary::Div
        | Binary::Pow
        | Binary::Atan2
        | Binary::LogicalAnd
        | Binary::LogicalOr
        | Binary::BitwiseXor
        | Binary::RightShift => 1,
    }
}

fn compare(kind: Compare, x: Option<DType>) -> i32 {
    match kind {
        Compare::Equal => by_type(x, &[(I8, 2), (String, 3), (I16, 5)]),
        Compare::NotEqual => by_type(x, &[(I8, 2), (String, 3), (I16, 4)]),
        Compare::Less | Compare::GreaterEqual => by_type(x, &[(I8, 2), (I16, 3)]),
        Compare::LessEqual | Compare::Greater => by_type(x, &[(I8, 2)]),
    }
}

fn reduce(kind: Reduce, x: Option<DType>) -> i32 {
    match kind {
        Reduce::Sum => by_type(x, &[(I8, 2)]),
        Reduce::Mean | Reduce::Max | Reduce::Min => by_type(x, &[(I8, 2), (I16, 3)]),
        Reduce::Prod => by_type(x, &[(I8, 2), (I16, 2)]),
        Reduce::Any | Reduce::All => 1,
    }
}

fn cast(from: Option<DType>, to: DType) -> i32 {
    let either = |types: &[DType]| types.contains(&to) || from.is_some_and(|from| types.contains(&from));
    let rules = [
        (either(&[F8E4M3FN, F8E5M2]), 9),
        (either(&[I2, U4]), 8),
        (either(&[BF16]), 7),
        (from == Some(I4) && to == F32, 6),
        (either(&[F16, F64]), 5),
        (either(&[U16]), 4),
        (either(&[I8]), 3),
        (either(&[U32]), 2),
    ];
    first(&rules)
}

fn transpose(x: Option<DType>, rank: usize) -> i32 {
    let rules = [
        (x == Some(F16), 9),
        (rank > 6 || x == Some(BF16), 8),
        (x == Some(I4), 7),
        (rank > 5, 6),
        (x == Some(I16), 5),
        (rank > 4, 4),
        (x == Some(Bool), 3),
        (x == Some(I8), 2),
    ];
    first(&rules)
}

fn strided_slice(x: Option<DType>, rank: usize, masks: &SliceMasks) -> i32 {
    let rules = [
        (masks.offset, 8),
        (x == Some(U32), 7),
        (masks.ellipsis != 0 || masks.new_axis != 0, 6),
        (x == Some(String), 5),
        (rank > 4, 4),
        (x == Some(Bool), 3),
        (x == Some(I8), 2),
    ];
    first(&rules)
}

fn conv_2d(at: &Operands<'_>) -> i32 {
    let types = (at.dtype(0), at.dtype(1));
    let grouped = at.dim(0, 3).zip(at.dim(1, 3)).is_some_and(|(channels, per_group)| channels != per_group);
    let rules = [
        (at.narrow_bias(0, 2), 8),
        (grouped, 6),
        (types.0 == Some(I16), 4),
        (types == (Some(I8), Some(I8)), 3),
        (types == (Some(I8), Some(I4)), 7),
        (types == (Some(F32), Some(I8)) && at.per_axis(1), 5),
        (types == (Some(F32), Some(I8)), 2),
    ];
    first(&rules)
}

fn depthwise_conv_2d(at: &Operands<'_>, window: &Window2d) -> i32 {
    let types = (at.dtype(0), at.dtype(1));
    let rules = [
        (types.0 == Some(I16), 5),
        (types == (Some(F32), Some(I8)) && at.per_axis(1), 6),
        (types == (Some(F32), Some(I8)), 4),
        (types == (Some(I8), Some(I8)), 3),
        (types == (Some(I8), Some(I4)), 7),
        (window.dilation != [1, 1], 2),
    ];
    first(&rules)
}

fn transpose_conv(at: &Operands<'_>, activation: Activation) -> i32 {
    let rules = [
        (at.narrow_bias(2, 3), 5),
        (activation != Activation::None, 4),
        (at.value(3).is_some(), 3),
        (at.dtype(1) == Some(I8), 2),
    ];
    first(&rules)
}

fn fully_connected(at: &Operands<'_>, keep_num_dims: bool, asymmetric_inputs: bool) -> i32 {
    let types = (at.dtype(0), at.dtype(1));
    let hybrid = types == (Some(F32), Some(I8));
    let rules = [
        (types.1 == Some(I2), 14),
        (types == (Some(I16), Some(I4)), 13),
        (hybrid && at.per_axis(1), 12),
        (at.narrow_bias(0, 2), 11),
        (types.0 == Some(I16), 7),
        (at.node.inputs.len() == 2, 6),
        (keep_num_dims, 5),
        (types == (Some(I8), Some(I8)), 4),
        (types == (Some(I8), Some(I4)), 10),
        (hybrid && asymmetric_inputs, 9),
        (hybrid, 3),
    ];
    first(&rules)
}

/// The version beside the first type that is `x`, else 1.
fn by_type(x: Option<DType>, table: &[(DType, i32)]) -> i32 {
    table.iter().find(|(dtype, _)| Some(*dtype) == x).map_or(1, |(_, version)| *version)
}

/// The version beside the first rule that holds, else 1.
fn first(rules: &[(bool, i32)]) -> i32 {
    rules.iter().find(|(holds, _)| *holds).map_or(1, |(_, version)| *version)
}

/// A node's operands, as the rules look at them.
pub(super) struct Operands<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
}

impl<'a> Operands<'a> {
    pub fn value(&self, i: usize) -> Option<&'a Value> {
        self.node.input(i).map(|id| self.graph.value(id))
    }

    pub fn dtype(&self, i: usize) -> Option<DType> {
        self.value(i).map(|value| value.ty.dtype)
    }

    /// Element type of the first result.
    pub fn result(&self) -> Option<DType> {
        self.node.outputs.first().map(|&id| self.graph.dtype(id))
    }

    fn rank(&self, i: usize) -> usize {
        self.value(i).map_or(0, |value| value.ty.shape.rank())
    }

    pub fn dim(&self, i: usize, axis: usize) -> Option<usize> {
        self.value(i)?.ty.shape.dim(axis)
    }

    fn quant(&self, i: usize) -> Option<&'a Quant> {
        self.value(i)?.quant.as_ref()
    }

    fn per_axis(&self, i: usize) -> bool {
        is_per_axis(self.quant(i))
    }

    fn result_per_axis(&self) -> bool {
        is_per_axis(self.node.outputs.first().and_then(|&id| self.graph.value(id).quant.as_ref()))
    }

    /// 16-bit activations and 8-bit weights with a bias of 32 bits, which has to be told in the option `quantized_bias_type`:
    /// 64 bits are what kernels expect otherwise.
    pub fn narrow_bias(&self, x: usize, bias: usize) -> bool {
        self.dtype(x) == Some(I16) && self.dtype(1) == Some(I8) && self.dtype(bias) == Some(I32)
    }

    fn broadcasts_past_rank_4(&self) -> bool {
        let shapes: [Option<&Shape>; 2] = [0, 1].map(|i| self.value(i).map(|value| &value.ty.shape));
        shapes[0] != shapes[1] && shapes.iter().flatten().any(|shape| shape.rank() > 4)
    }

    /// Whether the integer product is scaled by 1 or more, which the first kernels could not do.
    fn multiplies_up(&self) -> bool {
        let scale = |quant: Option<&Quant>| quant.and_then(Quant::as_per_tensor).map(|(scale, _)| scale);
        let result = self.node.outputs.first().and_then(|&id| self.graph.value(id).quant.as_ref());
        match (scale(self.quant(0)), scale(self.quant(1)), scale(result)) {
            (Some(a), Some(b), Some(out)) => a * b / out >= 1.0,
            _ => false,
        }
    }
}

fn is_per_axis(quant: Option<&Quant>) -> bool {
    matches!(quant, Some(Quant::Affine { scale, .. }) if scale.len() > 1)
}

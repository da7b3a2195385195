//! The closed set of operators: TFLite builtins, with TFLite's meaning.
//!
//! Operands that TFLite takes as tensors (axes, shapes, paddings) are operands here too; what TFLite keeps in option
//! tables are fields. Families that every room treats alike (element by element, reductions, …) share a variant.

use super::Graph;
use crate::schema;
use crate::tensor::DType;

/// `fused_activation_function` of the operators that have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    #[default]
    None,
    Relu,
    ReluN1To1,
    Relu6,
    Tanh,
    SignBit,
}

/// `SAME` divides the padding evenly with the odd element at the end; `VALID` pads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Padding {
    Same,
    Valid,
}

/// Operators of one operand that work element by element and keep shape and element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unary {
    Abs,
    Ceil,
    Cos,
    Elu,
    Exp,
    Floor,
    /// The form with the error function.
    Gelu,
    /// The form with the hyperbolic tangent.
    GeluTanh,
    HardSwish,
    Log,
    LogicalNot,
    Logistic,
    Neg,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    Round,
    Rsqrt,
    Sign,
    Sin,
    Sqrt,
    Square,
    Tanh,
    ZerosLike,
}

/// Operators of two operands of one element type, with broadcasting; the result has the operands' type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Maximum,
    Minimum,
    Pow,
    FloorDiv,
    FloorMod,
    SquaredDifference,
    Atan2,
    LogicalAnd,
    LogicalOr,
    BitwiseXor,
    RightShift,
}

impl Binary {
    /// True where the operator's option table has a fused activation.
    pub fn takes_activation(self) -> bool {
        matches!(self, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div)
    }
}

/// Comparisons, with broadcasting; the result is boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Reductions over the axes of operand 1 (`INT32` vector).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduce {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    Any,
    All,
}

/// How elements that fall into one segment are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segment {
    /// 0 where there are none.
    Sum,
    /// 1 where there are none.
    Prod,
    /// The lowest number of the type where there are none.
    Max,
    /// The largest number of the type where there are none.
    Min,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pool {
    Average,
    Max,
    /// Root of the mean of squares.
    L2,
}

/// How a window moves over height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window2d {
    pub padding: Padding,
    /// Height, width.
    pub stride: [usize; 2],
    /// Height, width.
    pub dilation: [usize; 2],
}

/// How a window moves over depth, height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window3d {
    pub padding: Padding,
    pub stride: [usize; 3],
    pub dilation: [usize; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MirrorMode {
    Reflect,
    Symmetric,
}

/// Masks of `STRIDED_SLICE`: bit `i` speaks of axis `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SliceMasks {
    pub begin: i32,
    pub end: i32,
    pub ellipsis: i32,
    pub new_axis: i32,
    pub shrink_axis: i32,
    pub offset: bool,
}

/// An operator that this crate carries from file to file without looking into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Opaque {
    pub code: schema::BuiltinOperator,
    pub version: i32,
    pub options: schema::BuiltinOptions,
    pub options_2: schema::BuiltinOptions2,
    /// Name of a custom operator, where `code` is `CUSTOM`.
    pub custom_code: Option<String>,
    pub custom_options: Option<bytes::Bytes>,
    /// Values of `Operator.intermediates`, `Operator.mutating_variable_inputs` as they were.
    pub intermediates: Option<Vec<super::ValueId>>,
    pub mutating_variable_inputs: Option<Vec<bool>>,
}

impl Opaque {
    /// The custom operator that the runtime knows as `code`; `options` are what its kernel is told.
    pub fn custom(code: impl Into<String>, options: impl Into<bytes::Bytes>) -> Opaque {
        Opaque {
            code: schema::BuiltinOperator::CUSTOM,
            version: 1,
            options: schema::BuiltinOptions::None,
            options_2: schema::BuiltinOptions2::None,
            custom_code: Some(code.into()),
            custom_options: Some(options.into()),
            intermediates: None,
            mutating_variable_inputs: None,
        }
    }
}

/// One TFLite operator. The comment lists the operands; `?` marks one that may be absent.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `x`
    Unary(Unary),
    /// `x`
    LeakyRelu { alpha: f32 },
    /// `a, b`
    Binary(Binary, Activation),
    /// `a, b`
    Compare(Compare),
    /// `x, alpha`
    Prelu,
    /// `condition, a, b`; three-way broadcast (`SELECT_V2`).
    Select,
    /// `x`
    Cast { to: DType },
    /// `x`; over the last axis.
    Softmax { beta: f32 },
    /// `x`; over the last axis.
    LogSoftmax,
    /// `x`; over the last axis.
    L2Normalization,
    /// `x [N,H,W,C]`; `alpha` is not divided by the window.
    LocalResponseNormalization { radius: usize, bias: f32, alpha: f32, beta: f32 },

    /// `x [N,H,W,C], filter [O,kh,kw,C/groups], bias [O]`; the number of groups follows from the shapes.
    Conv2d { window: Window2d, activation: Activation },
    /// `x [N,H,W,C], filter [1,kh,kw,C*m], bias [C*m]`
    DepthwiseConv2d { window: Window2d, multiplier: usize, activation: Activation },
    /// `output_shape, filter [O,kh,kw,I], x [N,H,W,I], bias? [O]`
    TransposeConv { padding: Padding, stride: [usize; 2], activation: Activation },
    /// `x [N,D,H,W,C], filter [kd,kh,kw,I,O], bias? [O]`
    Conv3d { window: Window3d, activation: Activation },
    /// `output_shape, filter [kd,kh,kw,O,I], x [N,D,H,W,I], bias? [O]`
    Conv3dTranspose { window: Window3d, activation: Activation },
    /// `x [..,K], weights [N,K], bias? [N]`
    FullyConnected { keep_num_dims: bool, asymmetric_inputs: bool, activation: Activation },
    /// `a [..,M,K], b [..,K,N]`, either with its last two axes swapped.
    BatchMatMul { adj_x: bool, adj_y: bool, asymmetric_inputs: bool },
    /// `ids [n], table [rows, ..]`
    EmbeddingLookup,
    /// `x [N,H,W,C]`
    Pool2d { kind: Pool, padding: Padding, stride: [usize; 2], filter: [usize; 2], activation: Activation },
    /// `x [N,H,W,C], size [2]`
    ResizeBilinear { align_corners: bool, half_pixel_centers: bool },
    /// `x [N,H,W,C], size [2]`
    ResizeNearest { align_corners: bool, half_pixel_centers: bool },
    /// `x [N,H,W,C]`; depth is split as (block row, block column, channel).
    DepthToSpace { block: usize },
    /// `x [N,H,W,C]`
    SpaceToDepth { block: usize },
    /// `x, block, paddings`
    SpaceToBatch,
    /// `x, block, crops`
    BatchToSpace,

    /// `x, paddings [rank,2]`
    Pad,
    /// `x, paddings [rank,2], value`
    PadV2,
    /// `x, paddings [rank,2]`
    MirrorPad { mode: MirrorMode },
    /// `x, shape`; one entry may be -1, 0 is a literal zero.
    Reshape,
    /// `x`; no axes: all of size 1.
    Squeeze { axes: Vec<i32> },
    /// `x, axis`
    ExpandDims,
    /// `x, perm`
    Transpose,
    /// `x..`
    Concatenation { axis: i32 },
    /// `axis, x`
    Split { parts: usize },
    /// `x, sizes, axis`
    SplitV { parts: usize },
    /// `x..`
    Pack { axis: i32 },
    /// `x`
    Unpack { axis: i32, parts: usize },
    /// `x, begin, size`; a size of -1 reaches to the end.
    Slice,
    /// `x, begin, end, strides`
    StridedSlice(SliceMasks),
    /// `x, indices`
    Gather { axis: i32, batch_dims: i32 },
    /// `x, indices`
    GatherNd,
    /// `indices, updates, shape`; duplicates add up.
    ScatterNd,
    /// `x, ids, count`; rows of `x` joined by the number in `ids`, and dropped where that is negative.
    UnsortedSegment(Segment),
    /// `x, update, start`; the start is moved so that the update fits.
    DynamicUpdateSlice,
    /// `x, multiples`
    Tile,
    /// `x, shape`
    BroadcastTo,
    /// `x, axes`
    Reverse,
    /// `x, lengths`; the first `lengths[b]` elements along `seq_dim` in reverse, for each `b` of `batch_dim`.
    ReverseSequence { seq_dim: i32, batch_dim: i32 },
    /// `dims, value`
    Fill,
    /// `x`
    Shape { to: DType },
    /// `x`
    Rank,
    /// `start, limit, delta`
    Range,
    /// `indices, depth, on, off`
    OneHot { axis: i32 },
    /// `condition`; coordinates of what is true, `INT64 [n, rank]`.
    Where,
    /// `x, k`; values and `INT32` indices.
    TopK,
    /// `x [n]`; what there is, in the order of first appearance, and where each element stands in it.
    Unique { to: DType },
    /// `boxes [n,4], scores [n], most, iou_threshold, score_threshold`; `INT32` indices `[most]`, and how many of them count.
    NonMaxSuppression,
    /// `x, axis`
    ArgMax { to: DType },
    /// `x, axis`
    ArgMin { to: DType },
    /// `x, axis`
    Cumsum { exclusive: bool, reverse: bool },
    /// `x, axes`
    Reduce { kind: Reduce, keep_dims: bool },
    /// `x`; the same bits under another type. A narrower one adds a last axis of the parts, the lowest first; a wider one takes it.
    Bitcast { to: DType },
    /// `x` float, or quantized otherwise; scale and zero point stand on the result.
    Quantize { to: DType },
    /// `x` quantized.
    Dequantize,
    /// `condition [one BOOL], x..`: the results of `then` or of `otherwise` over `x..`.
    If { then: Box<Graph>, otherwise: Box<Graph> },
    /// `x..`: for as long as `cond` over the values gives true, `body` over them gives the next; as many results as operands.
    While { cond: Box<Graph>, body: Box<Graph> },
    /// Whatever else a file holds.
    Opaque(Box<Opaque>),
}

impl Op {
    /// The builtin's name as the schema spells it (`CONV_2D`); `CUSTOM` for custom operators.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Unary(kind) => kind.name(),
            Op::LeakyRelu { .. } => "LEAKY_RELU",
            Op::Binary(kind, _) => kind.name(),
            Op::Compare(kind) => kind.name(),
            Op::Prelu => "PRELU",
            Op::Select => "SELECT_V2",
            Op::Cast { .. } => "CAST",
            Op::Softmax { .. } => "SOFTMAX",
            Op::LogSoftmax => "LOG_SOFTMAX",
            Op::L2Normalization => "L2_NORMALIZATION",
            Op::LocalResponseNormalization { .. } => "LOCAL_RESPONSE_NORMALIZATION",
            Op::Conv2d { .. } => "CONV_2D",
            Op::DepthwiseConv2d { .. } => "DEPTHWISE_CONV_2D",
            Op::TransposeConv { .. } => "TRANSPOSE_CONV",
            Op::Conv3d { .. } => "CONV_3D",
            Op::Conv3dTranspose { .. } => "CONV_3D_TRANSPOSE",
            Op::FullyConnected { .. } => "FULLY_CONNECTED",
            Op::BatchMatMul { .. } => "BATCH_MATMUL",
            Op::EmbeddingLookup => "EMBEDDING_LOOKUP",
            Op::Pool2d { kind: Pool::Average, .. } => "AVERAGE_POOL_2D",
            Op::Pool2d { kind: Pool::Max, .. } => "MAX_POOL_2D",
            Op::Pool2d { kind: Pool::L2, .. } => "L2_POOL_2D",
            Op::ResizeBilinear { .. } => "RESIZE_BILINEAR",
            Op::ResizeNearest { .. } => "RESIZE_NEAREST_NEIGHBOR",
            Op::DepthToSpace { .. } => "DEPTH_TO_SPACE",
            Op::SpaceToDepth { .. } => "SPACE_TO_DEPTH",
            Op::SpaceToBatch => "SPACE_TO_BATCH_ND",
            Op::BatchToSpace => "BATCH_TO_SPACE_ND",
            Op::Pad => "PAD",
            Op::PadV2 => "PADV2",
            Op::MirrorPad { .. } => "MIRROR_PAD",
            Op::Reshape => "RESHAPE",
            Op::Squeeze { .. } => "SQUEEZE",
            Op::ExpandDims => "EXPAND_DIMS",
            Op::Transpose => "TRANSPOSE",
            Op::Concatenation { .. } => "CONCATENATION",
            Op::Split { .. } => "SPLIT",
            Op::SplitV { .. } => "SPLIT_V",
            Op::Pack { .. } => "PACK",
            Op::Unpack { .. } => "UNPACK",
            Op::Slice => "SLICE",
            Op::StridedSlice(_) => "STRIDED_SLICE",
            Op::Gather { .. } => "GATHER",
            Op::GatherNd => "GATHER_ND",
            Op::ScatterNd => "SCATTER_ND",
            Op::UnsortedSegment(kind) => kind.name(),
            Op::DynamicUpdateSlice => "DYNAMIC_UPDATE_SLICE",
            Op::Tile => "TILE",
            Op::BroadcastTo => "BROADCAST_TO",
            Op::Reverse => "REVERSE_V2",
            Op::ReverseSequence { .. } => "REVERSE_SEQUENCE",
            Op::Fill => "FILL",
            Op::Shape { .. } => "SHAPE",
            Op::Rank => "RANK",
            Op::Range => "RANGE",
            Op::OneHot { .. } => "ONE_HOT",
            Op::Where => "WHERE",
            Op::TopK => "TOPK_V2",
            Op::Unique { .. } => "UNIQUE",
            Op::NonMaxSuppression => "NON_MAX_SUPPRESSION_V4",
            Op::Bitcast { .. } => "BITCAST",
            Op::ArgMax { .. } => "ARG_MAX",
            Op::ArgMin { .. } => "ARG_MIN",
            Op::Cumsum { .. } => "CUMSUM",
            Op::Reduce { kind, .. } => kind.name(),
            Op::Quantize { .. } => "QUANTIZE",
            Op::Dequantize => "DEQUANTIZE",
            Op::If { .. } => "IF",
            Op::While { .. } => "WHILE",
            Op::Opaque(opaque) => opaque.code.name().unwrap_or("UNKNOWN"),
        }
    }

    /// The graphs that the operator runs, in the order of its option table. Each sees its inputs alone: what it uses of the graph
    /// around it is handed in as an operand, or stands in it as a constant of its own.
    pub fn regions(&self) -> impl Iterator<Item = &Graph> {
        let regions = match self {
            Op::If { then, otherwise } => [Some(then), Some(otherwise)],
            Op::While { cond, body } => [Some(cond), Some(body)],
            _ => [None, None],
        };
        regions.into_iter().flatten().map(Box::as_ref)
    }

    /// [`Op::regions`], to be changed.
    pub fn regions_mut(&mut self) -> impl Iterator<Item = &mut Graph> {
        let regions = match self {
            Op::If { then, otherwise } => [Some(then), Some(otherwise)],
            Op::While { cond, body } => [Some(cond), Some(body)],
            _ => [None, None],
        };
        regions.into_iter().flatten().map(Box::as_mut)
    }

    /// The fused activation, of the operators whose options have one.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Op::Binary(kind, activation) if kind.takes_activation() => Some(*activation),
            Op::Conv2d { activation, .. }
            | Op::DepthwiseConv2d { activation, .. }
            | Op::TransposeConv { activation, .. }
            | Op::Conv3d { activation, .. }
            | Op::Conv3dTranspose { activation, .. }
            | Op::FullyConnected { activation, .. }
            | Op::Pool2d { activation, .. } => Some(*activation),
            _ => None,
        }
    }

    /// The fused activation, to be changed.
    pub fn activation_mut(&mut self) -> Option<&mut Activation> {
        match self {
            Op::Binary(kind, activation) if kind.takes_activation() => Some(activation),
            Op::Conv2d { activation, .. }
            | Op::DepthwiseConv2d { activation, .. }
            | Op::TransposeConv { activation, .. }
            | Op::Conv3d { activation, .. }
            | Op::Conv3dTranspose { activation, .. }
            | Op::FullyConnected { activation, .. }
            | Op::Pool2d { activation, .. } => Some(activation),
            _ => None,
        }
    }
}

impl Unary {
    pub fn name(self) -> &'static str {
        match self {
            Unary::Abs => "ABS",
            Unary::Ceil => "CEIL",
            Unary::Cos => "COS",
            Unary::Elu => "ELU",
            Unary::Exp => "EXP",
            Unary::Floor => "FLOOR",
            Unary::Gelu | Unary::GeluTanh => "GELU",
            Unary::HardSwish => "HARD_SWISH",
            Unary::Log => "LOG",
            Unary::LogicalNot => "LOGICAL_NOT",
            Unary::Logistic => "LOGISTIC",
            Unary::Neg => "NEG",
            Unary::Relu => "RELU",
            Unary::Relu0To1 => "RELU_0_TO_1",
            Unary::Relu6 => "RELU6",
            Unary::ReluN1To1 => "RELU_N1_TO_1",
            Unary::Round => "ROUND",
            Unary::Rsqrt => "RSQRT",
            Unary::Sign => "SIGN",
            Unary::Sin => "SIN",
            Unary::Sqrt => "SQRT",
            Unary::Square => "SQUARE",
            Unary::Tanh => "TANH",
            Unary::ZerosLike => "ZEROS_LIKE",
        }
    }
}

impl Binary {
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "ADD",
            Binary::Sub => "SUB",
            Binary::Mul => "MUL",
            Binary::Div => "DIV",
            Binary::Maximum => "MAXIMUM",
            Binary::Minimum => "MINIMUM",
            Binary::Pow => "POW",
            Binary::FloorDiv => "FLOOR_DIV",
            Binary::FloorMod => "FLOOR_MOD",
            Binary::SquaredDifference => "SQUARED_DIFFERENCE",
            Binary::Atan2 => "ATAN2",
            Binary::LogicalAnd => "LOGICAL_AND",
            Binary::LogicalOr => "LOGICAL_OR",
            Binary::BitwiseXor => "BITWISE_XOR",
            Binary::RightShift => "RIGHT_SHIFT",
        }
    }
}

impl Compare {
    pub fn name(self) -> &'static str {
        match self {
            Compare::Equal => "EQUAL",
            Compare::NotEqual => "NOT_EQUAL",
            Compare::Less => "LESS",
            Compare::LessEqual => "LESS_EQUAL",
            Compare::Greater => "GREATER",
            Compare::GreaterEqual => "GREATER_EQUAL",
        }
    }
}

impl Segment {
    pub fn name(self) -> &'static str {
        match self {
            Segment::Sum => "UNSORTED_SEGMENT_SUM",
            Segment::Prod => "UNSORTED_SEGMENT_PROD",
            Segment::Max => "UNSORTED_SEGMENT_MAX",
            Segment::Min => "UNSORTED_SEGMENT_MIN",
        }
    }
}

impl Reduce {
    pub fn name(self) -> &'static str {
        match self {
            Reduce::Sum => "SUM",
            Reduce::Mean => "MEAN",
            Reduce::Max => "REDUCE_MAX",
            Reduce::Min => "REDUCE_MIN",
            Reduce::Prod => "REDUCE_PROD",
            Reduce::Any => "REDUCE_ANY",
            Reduce::All => "REDUCE_ALL",
        }
    }
}

//! THE TABLE: what the integer kernel of every operator asks of its operands and gives for its results.
//!
//! An operator counts as quantizable only where the plain kernels and XNNPACK of LiteRT 2.3.0 both load it and compute what is
//! meant (quantization-spec, sections 1 to 4). Kernels that copy integers without a look at their scales, and those that
//! XNNPACK refuses to build unless scales agree, share one scale by rule here, so neither a wrong number nor a file that does not
//! load can come of them. Where a kernel exists but 8 bits can't hold what it is given in practice, the row says so in
//! [`Rule::loses`].
//!
//! This is the only place in the room, with [`sees`], that names operators.

mod sees;
mod wide;

pub(super) use sees::{Sees, sees};
pub(super) use wide::has_int16;

use super::form::{Form, Grid};
use super::range::Params;
use super::weights::{Granularity, WeightOptions, is_worth_four_bits};
use crate::graph::{Activation, Binary, Graph, Node, Op, Pool, Reduce, Unary, ValueId};
use crate::tensor::DType;
use wide::Wide;

/// What becomes of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Treatment {
    /// Nothing in it is `FLOAT32`: it is about integers or booleans, or is quantized already.
    Untouched,
    /// There is no integer kernel that is right; the text says what is in the way.
    Float(&'static str),
    Integer(Rule),
}

/// What a node is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub grid: Grid,
    pub weights: WeightOptions,
}

/// An integer kernel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// The integers of activations.
    pub grid: Grid,
    /// One for each operand.
    pub operands: Vec<Role>,
    /// Of all results that are `FLOAT32` in the float graph; others stay what they are.
    pub outcome: Outcome,
    pub effort: Effort,
    pub bound: Bound,
    /// The results consist of elements of the operands that have [`Role::Shared`], or of zeros, and larger operands give no
    /// smaller results: whether numbers are rounded before or after makes no difference.
    pub picks: bool,
    /// Why the kernel is not used although it exists and is right: what it would lose.
    pub loses: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Integers of the grid with any scale and zero point for the whole tensor.
    Activation,
    /// As `Activation`, but a constant has zero point 0: XNNPACK takes no other right operand of a matrix product.
    Factor,
    /// Integers of the grid with the one scale and zero point of all shared operands and results of the node.
    Shared,
    /// Constant of so many bits, zero point 0, one scale for each index of `axis` or for all.
    Weight { axis: usize, bits: u8, granularity: Granularity },
    /// Constant `INT32`, beside activations of 16 bits `INT64`, its scale the product of those of two operands.
    Bias { x: usize, weight: usize },
    /// Shapes, axes, conditions, indices.
    Index,
    /// Anything: the operator looks at the shape alone.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    Free,
    /// See [`Role::Shared`].
    Shared,
    Fixed(Form),
}

/// How much an operator has to do: whether it is worth a conversion of its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Moves data: the same numbers come of it in any type.
    Moves,
    /// A few operations an element.
    Light,
    /// Multiplies matrices: what int8 is for.
    Heavy,
}

/// How fine the result's scale may get. Below, its 256 numbers all lie within one step of what they are computed from, and kernels
/// abort or XNNPACK refuses, since factors past 2^8 have no place in their fixed-point form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    None,
    /// 2^-7 of the largest scale among the operands.
    Operand,
    /// 2^-7 of the product of the scales of two operands.
    Product(usize, usize),
}

const RUN_TIME_WEIGHTS: &str = "its weights or bias are computed at run time, and integer kernels want constants";
const NO_KERNEL: &str = "there is no int8 kernel";
const FUSED: &str = "integer kernels know no fused TANH or SIGN_BIT";
const COARSE: &str = "near zero its result changes faster than 8 bits can follow";
const SPREAD: &str = "its results span more orders of magnitude than 8 bits can";
const NO_WIDE_KERNEL: &str = "there is no int16 kernel that is right";
const EXACT: &str = "near the threshold, rounding to 8 bits changes what a comparison says";

/// The row of a node: what its operator, the types of its operands and which of them are constant come to.
pub(super) fn treatment(graph: &Graph, node: &Node, asked: Asked) -> Treatment {
    let is_float = |id: &ValueId| graph.dtype(*id) == DType::F32;
    if !node.inputs.iter().flatten().any(is_float) && !node.outputs.iter().any(is_float) {
        return Treatment::Untouched;
    }
    if matches!(node.op.activation(), Some(Activation::Tanh | Activation::SignBit)) {
        return Treatment::Float(FUSED);
    }
    match row(graph, node, asked) {
        Ok(rule) => Treatment::Integer(rule),
        Err(reason) => Treatment::Float(reason),
    }
}

fn row(graph: &Graph, node: &Node, asked: Asked) -> Result<Rule, &'static str> {
    let build = Build { graph, node, asked };
    if asked.grid != Grid::Int16 {
        return row_8(&build);
    }
    match wide::kernel(&node.op) {
        Wide::Right | Wide::Near => row_8(&build),
        Wide::Far(lost) => row_8(&build).map(|rule| rule.loses(lost)),
        Wide::None => Err(NO_WIDE_KERNEL),
    }
}

/// The row of a kernel of 8 bits; those of 16 bits, where there are any, differ by what [`Build`] knows of them.
fn row_8(build: &Build<'_>) -> Result<Rule, &'static str> {
    use Effort::{Heavy, Light, Moves};
    let node = build.node;
    Ok(match &node.op {
        Op::Unary(kind) => return unary(build, *kind),
        Op::LeakyRelu { .. } => build.free(Light, &[0]).bound(Bound::Operand),
        Op::Prelu => build.free(Light, &[0, 1]).bound(Bound::Operand),
        Op::Binary(kind, _) => return binary(build, *kind),
        Op::Compare(_) => build.free(Light, &[0, 1]).loses(EXACT),
        Op::Select => build.shared(Light, &[1, 2]),
        Op::Cast { .. } => return Err("a cast changes stored numbers, whatever their scale"),
        Op::Softmax { .. } => build.fixed(Params::new(1.0 / 256.0, -128)),
        Op::LogSoftmax => {
            build.fixed(Params::new(16.0 / 256.0, 127)).loses("its int8 result has steps of 1/16, whatever its range")
        }
        Op::L2Normalization => build.fixed(Params::new(1.0 / 128.0, 0)),
        Op::LocalResponseNormalization { .. } => return Err(NO_KERNEL),

        Op::Conv2d { .. } => return build.weighted(0, 1, 2, 0, build.bits(1, true)),
        Op::DepthwiseConv2d { .. } => return build.weighted(0, 1, 2, 3, 8),
        Op::TransposeConv { .. } => return build.weighted(2, 1, 3, 0, 8),
        // Two weights of 4 bits share a byte, and XNNPACK wants rows to begin with a new one.
        Op::FullyConnected { .. } => return build.weighted(0, 1, 2, 0, build.bits(1, build.has_even_rows(1))),
        Op::Conv3d { .. } | Op::Conv3dTranspose { .. } => return Err(NO_KERNEL),
        Op::BatchMatMul { .. } => {
            build.of(vec![Role::Activation, Role::Factor], Outcome::Free, Heavy).bound(Bound::Product(0, 1))
        }
        Op::EmbeddingLookup => build.shared(Moves, &[1]),

        Op::Pool2d { kind: Pool::Max, .. } => build.shared(Light, &[0]),
        Op::Pool2d { kind: Pool::Average, .. } | Op::ResizeBilinear { .. } => build.averaged(&[0]),
        Op::Pool2d { kind: Pool::L2, .. } => return Err(NO_KERNEL),
        Op::ResizeNearest { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::SpaceToBatch
        | Op::BatchToSpace
        | Op::Pad
        | Op::MirrorPad { .. }
        | Op::Reshape
        | Op::Squeeze { .. }
        | Op::ExpandDims
        | Op::Transpose
        | Op::SplitV { .. }
        | Op::Unpack { .. }
        | Op::Slice
        | Op::StridedSlice(_)
        | Op::Gather { .. }
        | Op::GatherNd
        | Op::Tile
        | Op::BroadcastTo
        | Op::Reverse
        | Op::TopK => build.shared(Moves, &[0]),
        Op::PadV2 => build.shared(Moves, &[0, 2]),
        Op::Split { .. } | Op::Fill => build.shared(Moves, &[1]),
        Op::OneHot { .. } => build.shared(Moves, &[2, 3]),
        Op::Concatenation { .. } | Op::Pack { .. } => {
            let all: Vec<usize> = (0..node.inputs.len()).collect();
            build.shared(Moves, &all)
        }
        Op::DynamicUpdateSlice => build.shared(Moves, &[0, 1]),
        Op::ReverseSequence { .. } | Op::UnsortedSegment(_) | Op::Unique { .. } | Op::NonMaxSuppression => {
            return Err(NO_KERNEL);
        }
        Op::Bitcast { .. } => return Err("it reads the bits of floats"),
        Op::ScatterNd => return Err("its int8 kernel fills with the integer 0 and not with the zero point"),
        Op::Shape { .. } | Op::Rank => build.of(vec![Role::Any], Outcome::Free, Moves),
        Op::Range | Op::Where | Op::Cumsum { .. } => return Err(NO_KERNEL),
        Op::ArgMax { .. } | Op::ArgMin { .. } => build.free(Moves, &[0]),
        Op::Reduce { kind, .. } => return reduce(build, *kind),
        Op::Quantize { .. } | Op::Dequantize => return Err("it is a border between float and integers itself"),
        Op::If { .. } | Op::While { .. } => return Err("the graphs that it runs stay float"),
        Op::Opaque(_) => return Err("the operator is carried over without being understood"),
    })
}

fn unary(build: &Build<'_>, kind: Unary) -> Result<Rule, &'static str> {
    use Effort::Light;
    Ok(match kind {
        Unary::Abs | Unary::Relu | Unary::Relu6 | Unary::ReluN1To1 | Unary::Relu0To1 => {
            build.free(Light, &[0]).bound(Bound::Operand)
        }
        Unary::HardSwish => build.free(Light, &[0]).bound(Bound::Operand),
        Unary::Elu | Unary::Gelu | Unary::GeluTanh => build.free(Light, &[0]),
        Unary::Logistic => build.fixed(Params::new(1.0 / 256.0, -128)),
        Unary::Tanh => build.fixed(Params::new(1.0 / 128.0, 0)),
        Unary::Exp => build.free(Light, &[0]).loses(SPREAD),
        Unary::Log | Unary::Sqrt | Unary::Rsqrt => build.free(Light, &[0]).loses(COARSE),
        // `prepare` writes both as a multiplication.
        Unary::Neg => return Err("its int8 kernel negates the stored integer, whatever the zero point"),
        Unary::Square => return Err(NO_KERNEL),
        Unary::Ceil
        | Unary::Cos
        | Unary::Floor
        | Unary::Round
        | Unary::Sign
        | Unary::Sin
        | Unary::ZerosLike
        | Unary::LogicalNot => return Err(NO_KERNEL),
    })
}

fn binary(build: &Build<'_>, kind: Binary) -> Result<Rule, &'static str> {
    use Effort::Light;
    Ok(match kind {
        Binary::Add | Binary::Sub => build.free(Light, &[0, 1]).bound(Bound::Operand),
        // A square: what is a tenth of the largest number is a hundredth of its square, two or three steps of 8 bits.
        Binary::Mul if build.node.input(0) == build.node.input(1) => {
            build.free(Light, &[0, 1]).bound(Bound::Product(0, 1)).loses_in_8(SPREAD)
        }
        Binary::Mul => build.free(Light, &[0, 1]).bound(Bound::Product(0, 1)),
        Binary::Maximum | Binary::Minimum => build.shared(Light, &[0, 1]),
        Binary::SquaredDifference => build.free(Light, &[0, 1]).loses(SPREAD),
        // A divisor whose stored integer is the zero point ends the process (quantization-spec, section 2).
        Binary::Div => return Err("its int8 kernel ends the process where a divisor rounds to zero"),
        Binary::Pow | Binary::Atan2 => return Err(NO_KERNEL),
        Binary::FloorDiv | Binary::FloorMod | Binary::BitwiseXor | Binary::RightShift => {
            return Err("its int8 kernel takes plain integers, without a scale");
        }
        Binary::LogicalAnd | Binary::LogicalOr => return Err(NO_KERNEL),
    })
}

fn reduce(build: &Build<'_>, kind: Reduce) -> Result<Rule, &'static str> {
    use Effort::Light;
    Ok(match kind {
        Reduce::Mean => build.free(Light, &[0]).bound(Bound::Operand),
        // `prepare` writes it as a mean, which saturates.
        Reduce::Sum => return Err("sums too large for the scale wrap around in the reference kernels"),
        Reduce::Max | Reduce::Min => build.shared(Light, &[0]),
        Reduce::Prod => build.free(Light, &[0]).loses(SPREAD),
        Reduce::Any | Reduce::All => return Err(NO_KERNEL),
    })
}

/// True for the greatest element of a window.
pub(super) fn is_maximum(op: &Op) -> bool {
    matches!(op, Op::Pool2d { kind: Pool::Max, .. })
}

/// True where nothing but the type of the result would be another if the operands were real numbers: comparing integers of 8 bits
/// rounds on the way.
pub(super) fn compares(op: &Op) -> bool {
    matches!(op, Op::Compare(_))
}

/// Writes rows for one node.
struct Build<'a> {
    graph: &'a Graph,
    node: &'a Node,
    asked: Asked,
}

impl Build<'_> {
    fn of(&self, operands: Vec<Role>, outcome: Outcome, effort: Effort) -> Rule {
        let grid = self.asked.grid;
        Rule { grid, operands, outcome, effort, bound: Bound::None, picks: false, loses: None }
    }

    /// `role` for the operands at `data`, [`Role::Index`] for the others.
    fn roles(&self, role: Role, data: &[usize]) -> Vec<Role> {
        (0..self.node.inputs.len()).map(|i| if data.contains(&i) { role } else { Role::Index }).collect()
    }

    fn free(&self, effort: Effort, data: &[usize]) -> Rule {
        self.of(self.roles(Role::Activation, data), Outcome::Free, effort)
    }

    fn shared(&self, effort: Effort, data: &[usize]) -> Rule {
        let picks = matches!(self.node.op.activation(), None | Some(Activation::None));
        Rule { picks, ..self.of(self.roles(Role::Shared, data), Outcome::Shared, effort) }
    }

    /// Results that lie between elements of the operands.
    fn averaged(&self, data: &[usize]) -> Rule {
        Rule { picks: false, ..self.shared(Effort::Light, data) }
    }

    /// Results whose scale the kernel of 8 bits prescribes; all of 16 bits prescribe the same.
    fn fixed(&self, params: Params) -> Rule {
        let form = match self.asked.grid {
            Grid::Int8 | Grid::SymmetricInt8 => Form::int8(params),
            Grid::Int16 => Form::int16(1.0 / 32768.0),
        };
        self.of(self.roles(Role::Activation, &[0]), Outcome::Fixed(form), Effort::Light)
    }

    fn has_even_rows(&self, weight: usize) -> bool {
        let row = self.node.input(weight).and_then(|id| self.graph.shape(id).dims().last().copied().flatten());
        row.is_some_and(|row| row % 2 == 0)
    }

    /// Bits of weights of which the kernel takes 4.
    fn bits(&self, weight: usize, takes_four: bool) -> u8 {
        let data = self.node.input(weight).and_then(|id| self.graph.constant(id));
        let wanted = self.asked.weights.bits == 4 && data.is_some_and(is_worth_four_bits);
        if wanted && takes_four { 4 } else { 8 }
    }

    /// Convolutions and matrix products with constant weights: operand numbers of data, weights and bias, and the axis of the
    /// weights that holds the output channels.
    fn weighted(&self, x: usize, weight: usize, bias: usize, axis: usize, bits: u8) -> Result<Rule, &'static str> {
        let constant = |i: usize| {
            let is_constant = |id| self.graph.constant(id).is_some_and(|data| data.dtype() == DType::F32);
            self.node.input(i).is_none_or(is_constant)
        };
        if !constant(weight) || !constant(bias) {
            return Err(RUN_TIME_WEIGHTS);
        }
        let mut operands = self.roles(Role::Activation, &[x]);
        let weights = Role::Weight { axis, bits, granularity: self.asked.weights.granularity };
        for (i, role) in [(weight, weights), (bias, Role::Bias { x, weight })] {
            if let Some(operand) = operands.get_mut(i) {
                *operand = role;
            }
        }
        Ok(self.of(operands, Outcome::Free, Effort::Heavy).bound(Bound::Product(x, weight)))
    }
}

impl Rule {
    fn bound(mut self, bound: Bound) -> Rule {
        self.bound = bound;
        self
    }

    /// As [`loses`](Rule::loses), but 16 bits don't.
    fn loses_in_8(self, what: &'static str) -> Rule {
        if self.grid == Grid::Int16 { self } else { self.loses(what) }
    }

    fn loses(mut self, what: &'static str) -> Rule {
        self.loses = Some(what);
        self
    }
}

#[cfg(test)]
mod tests;

//! What a lowering sees of its node, and the helpers that many share.

use std::cell::RefCell;
use std::sync::Arc;

use super::driver::Driver;
use super::known::Known;
use super::scope::Scope;
use crate::graph::{Binary, Builder, Dim, InferError, Op, Origin, Shape, ValueId};
use crate::onnx::{self, Attribute};
use crate::tensor::{DType, Perm, Tensor, normalize_axis};

/// Why a lowering gives up on its node. Without a word where a [`Problem`](super::Problem) tells it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Attribute or operand that is meant.
    pub attribute: Option<String>,
    pub what: String,
    /// What the user can do: an action.
    pub hint: String,
}

impl Refusal {
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { attribute: None, what: what.into(), hint: hint.into() }
    }

    /// For a node whose graph holds the node that is the problem.
    pub fn told() -> Refusal {
        Refusal::new("", "")
    }

    pub fn is_told(&self) -> bool {
        self.what.is_empty()
    }

    /// Names the attribute or operand that is meant.
    pub fn about(self, attribute: impl Into<String>) -> Refusal {
        Refusal { attribute: Some(attribute.into()), ..self }
    }
}

impl From<InferError> for Refusal {
    fn from(e: InferError) -> Refusal {
        Refusal::new(e.message, "check the model with onnx.checker and shape inference")
    }
}

/// The number of elements of a constant that a lowering is about to make from numbers alone: a broken model could ask for any.
pub(super) fn countable(shape: &[usize]) -> Result<usize, Refusal> {
    const MOST: usize = 1 << 24;
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MOST);
    elements.ok_or_else(|| {
        Refusal::new(format!("takes a constant of {shape:?} elements, which is too large"), "use smaller extents")
    })
}

/// Values for the node's results, in order. Results at the end that the node leaves unnamed may be missing.
pub(super) type Results = Result<Vec<ValueId>, Refusal>;

/// One node, while it is lowered.
pub(super) struct Cx<'a> {
    pub b: Builder<'a>,
    pub(super) known: &'a mut Known,
    pub(super) scope: &'a mut Scope,
    node: &'a onnx::Node,
    origin: &'a Origin,
    /// Operator and version of the operator set: the node's, or those that it is lowered as.
    op: &'a str,
    opset: i64,
    inputs: Vec<Option<ValueId>>,
    /// Attributes that the lowering has looked at; one that is left over is a refusal.
    read: RefCell<Vec<String>>,
    /// Operands that it has looked at, likewise.
    used: RefCell<Vec<usize>>,
    notes: Vec<String>,
}

impl<'a> Cx<'a> {
    pub fn new(
        b: Builder<'a>,
        known: &'a mut Known,
        scope: &'a mut Scope,
        (node, origin): (&'a onnx::Node, &'a Origin),
        inputs: Vec<Option<ValueId>>,
    ) -> Cx<'a> {
        Cx {
            b,
            known,
            scope,
            node,
            origin,
            op: &node.op,
            opset: node.opset,
            inputs,
            read: RefCell::default(),
            used: RefCell::default(),
            notes: Vec::new(),
        }
    }

    /// Writes nodes into this graph, those of other ONNX graphs too.
    pub fn driver(&mut self) -> Driver<'_> {
        Driver {
            evaluate: self.b.evaluator(),
            graph: self.b.graph,
            known: self.known,
            scope: self.scope,
            origin: Some(self.origin),
        }
    }

    /// Most steps of a loop that are written out, where the user asks for a number.
    pub fn unroll(&self) -> Option<usize> {
        self.scope.log.options.unroll
    }

    /// The node's name, or that of its first result.
    pub fn label(&self) -> &'a str {
        self.node.label()
    }

    /// Version of the operator set that the node is from.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The node's operator, for lowerings that serve several.
    pub fn op(&self) -> &'a str {
        self.op
    }

    /// Calls `lower` as if this were a node of the operator `op`, with these operands and its own attributes.
    pub fn acting_as(
        &mut self,
        op: &'static str,
        opset: i64,
        operands: Vec<Option<ValueId>>,
        lower: fn(&mut Cx<'_>) -> Results,
    ) -> Results {
        let inputs = std::mem::replace(&mut self.inputs, operands);
        let used = self.used.take();
        let (own_op, own_opset) = (std::mem::replace(&mut self.op, op), std::mem::replace(&mut self.opset, opset));
        let results = lower(self);
        (self.op, self.opset, self.inputs) = (own_op, own_opset, inputs);
        self.used.replace(used);
        results
    }

    // Operands.

    /// Number of operands, with absent ones in between but not at the end.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Operand `i`, which the operator demands.
    pub fn input(&self, i: usize) -> Result<ValueId, Refusal> {
        self.optional(i)
            .ok_or_else(|| Refusal::new(format!("operand {i} is missing"), "check the model with onnx.checker"))
    }

    /// Operand `i`, if it is given.
    pub fn optional(&self, i: usize) -> Option<ValueId> {
        self.used.borrow_mut().push(i);
        self.inputs.get(i).copied().flatten()
    }

    /// All operands, none of which may be absent.
    pub fn all_inputs(&self) -> Result<Vec<ValueId>, Refusal> {
        (0..self.input_count()).map(|i| self.input(i)).collect()
    }

    /// Says that operand `i` changes nothing here.
    pub fn ignore_operand(&self, i: usize) {
        self.used.borrow_mut().push(i);
    }

    /// True where result `i` has a name, so that someone may use it.
    pub fn wants_output(&self, i: usize) -> bool {
        self.node.outputs.get(i).is_some_and(|name| !name.is_empty())
    }

    /// Number of results that the node lists.
    pub fn output_count(&self) -> usize {
        self.node.outputs.len()
    }

    pub fn shape(&self, x: ValueId) -> &Shape {
        self.b.graph.shape(x)
    }

    pub fn rank(&self, x: ValueId) -> usize {
        self.shape(x).rank()
    }

    pub fn dim(&self, x: ValueId, axis: usize) -> Dim {
        self.shape(x).dim(axis)
    }

    pub fn dtype(&self, x: ValueId) -> DType {
        self.b.graph.dtype(x)
    }

    /// All extents of `x`, which must be known.
    pub fn fixed_shape(&self, x: ValueId) -> Result<Vec<usize>, Refusal> {
        let shape = self.shape(x);
        shape.as_fixed().ok_or_else(|| {
            Refusal::new(
                format!("the extents of {:?}, which is {shape}, must be known", self.b.graph.value(x).name),
                "pin the model's dynamic inputs with --shape NAME=..",
            )
        })
    }

    /// Data of `x`, where it is constant.
    pub fn constant(&self, x: ValueId) -> Option<&Tensor> {
        self.b.graph.constant(x)
    }

    /// Data of operand `i`, called `name` in the operator's definition, which must be constant.
    pub fn constant_input(&self, i: usize, name: &str) -> Result<&Tensor, Refusal> {
        let id = self.input(i).map_err(|r| r.about(format!("operand {name}")))?;
        self.constant(id).ok_or_else(|| self.not_constant(name))
    }

    /// Integers of operand `i`, called `name`, if it is given; it must be constant then.
    pub fn const_ints(&self, i: usize, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        let Some(id) = self.optional(i) else { return Ok(None) };
        let tensor = self.constant(id).ok_or_else(|| self.not_constant(name))?;
        tensor.to_i64s().map(Some).map_err(|e| Refusal::new(e.to_string(), "").about(format!("operand {name}")))
    }

    /// Numbers of operand `i`, called `name`, if it is given; it must be constant then.
    pub fn const_floats(&self, i: usize, name: &str) -> Result<Option<Vec<f64>>, Refusal> {
        let Some(id) = self.optional(i) else { return Ok(None) };
        let tensor = self.constant(id).ok_or_else(|| self.not_constant(name))?;
        tensor.to_f64s().map(Some).map_err(|e| Refusal::new(e.to_string(), "").about(format!("operand {name}")))
    }

    fn not_constant(&self, name: &str) -> Refusal {
        Refusal::new(
            "must be a constant",
            "pin dynamic inputs with --shape so that it can be computed, or make it an initializer",
        )
        .about(format!("operand {name}"))
    }

    /// An axis of `x` that may count from the end.
    pub fn axis(&self, axis: i64, x: ValueId) -> Result<usize, Refusal> {
        self.axis_in(axis, self.rank(x))
    }

    /// An axis in `0..rank` that may count from the end.
    pub fn axis_in(&self, axis: i64, rank: usize) -> Result<usize, Refusal> {
        let found = normalize_axis(axis, rank);
        found.ok_or_else(|| Refusal::new(format!("axis {axis} is outside rank {rank}"), "").about("attribute axis"))
    }

    // Attributes. Each look is remembered: an attribute that nobody looked at would else be dropped in silence.

    fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        self.read.borrow_mut().push(name.to_string());
        self.node.attributes.get(name)
    }

    fn wrong_kind(name: &str, wanted: &str, found: &Attribute) -> Refusal {
        Refusal::new(format!("must be {wanted}, but is {}", found.kind()), "").about(format!("attribute {name}"))
    }

    /// True where the node carries the attribute.
    pub fn has(&self, name: &str) -> bool {
        self.node.attributes.contains_key(name)
    }

    pub fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Int(i)) => Ok(Some(*i)),
            Some(other) => Err(Self::wrong_kind(name, "an integer", other)),
        }
    }

    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, Refusal> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An integer that stands for a truth value.
    pub fn flag_or(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        Ok(self.int(name)?.map_or(default, |i| i != 0))
    }

    pub fn float(&self, name: &str) -> Result<Option<f32>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Float(f)) => Ok(Some(*f)),
            Some(other) => Err(Self::wrong_kind(name, "a float", other)),
        }
    }

    pub fn float_or(&self, name: &str, default: f32) -> Result<f32, Refusal> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    pub fn string_or(&self, name: &str, default: &'static str) -> Result<&'a str, Refusal> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::String(s)) => Ok(s),
            Some(other) => Err(Self::wrong_kind(name, "a string", other)),
        }
    }

    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(v)) => Ok(Some(v)),
            Some(other) => Err(Self::wrong_kind(name, "a list of integers", other)),
        }
    }

    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Floats(v)) => Ok(Some(v)),
            Some(other) => Err(Self::wrong_kind(name, "a list of floats", other)),
        }
    }

    pub fn strings(&self, name: &str) -> Result<Option<&'a [String]>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Strings(v)) => Ok(Some(v)),
            Some(other) => Err(Self::wrong_kind(name, "a list of strings", other)),
        }
    }

    pub fn tensor(&self, name: &str) -> Result<Option<&'a Tensor>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Tensor(t)) => Ok(Some(t)),
            Some(other) => Err(Self::wrong_kind(name, "a tensor", other)),
        }
    }

    /// A graph, which the operator demands.
    pub fn graph(&self, name: &str) -> Result<&'a Arc<onnx::Graph>, Refusal> {
        let missing = || Refusal::new("is missing", "check the model with onnx.checker");
        self.optional_graph(name)?.ok_or_else(|| missing().about(format!("attribute {name}")))
    }

    /// A graph, if it is given.
    pub fn optional_graph(&self, name: &str) -> Result<Option<&'a Arc<onnx::Graph>>, Refusal> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Graph(graph)) => Ok(Some(graph)),
            Some(other) => Err(Self::wrong_kind(name, "a graph", other)),
        }
    }

    /// Says that attributes may be left unread, because they change nothing here.
    pub fn ignore(&self, names: &[&str]) {
        self.read.borrow_mut().extend(names.iter().map(|n| n.to_string()));
    }

    // Shared emissions.

    /// Tells the user something about a node that was converted all the same.
    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// `[N,C,spatial..]` as `[N,spatial..,C]`.
    pub fn channels_last(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let perm = Perm::to_channels_last(self.rank(x));
        Ok(self.b.transpose(x, &perm)?)
    }

    /// `[N,spatial..,C]` as `[N,C,spatial..]`.
    pub fn channels_first(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let perm = Perm::to_channels_first(self.rank(x));
        Ok(self.b.transpose(x, &perm)?)
    }

    /// `x` as `INT32`, for kernels that take their indices and shapes in no other type.
    pub fn as_i32(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        Ok(self.b.cast(x, DType::I32)?)
    }

    /// An operation of `x` with a number, which takes the element type of `x`.
    pub fn with_number(&mut self, kind: Binary, x: ValueId, number: f64) -> Result<ValueId, Refusal> {
        let number = self.b.scalar_of(self.dtype(x), number)?;
        Ok(self.b.binary(kind, x, number)?)
    }

    /// `0, 1, ..` up to an `INT32` scalar.
    pub fn count_up(&mut self, limit: ValueId) -> Result<ValueId, Refusal> {
        let (zero, one) = (self.b.scalar(0i32), self.b.scalar(1i32));
        Ok(self.b.one(Op::Range, &[zero, limit, one])?)
    }

    /// Extents of `x` as `RESHAPE` takes them: the one that is not known is -1.
    pub fn reshape_dims(&self, x: ValueId) -> Result<Vec<i64>, Refusal> {
        let dims: Vec<i64> = self.shape(x).dims().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
        if dims.iter().filter(|&&d| d < 0).count() > 1 {
            self.fixed_shape(x)?;
        }
        Ok(dims)
    }

    /// What every lowering must have seen to: results are bound, no attribute and no operand was overlooked.
    pub fn finish(&self, results: &[ValueId]) -> Result<(), Refusal> {
        if let Some(i) = (results.len()..self.output_count()).find(|&i| self.wants_output(i)) {
            return Err(
                Refusal::new(format!("result {i} is not supported"), "leave it unused").about(format!("result {i}"))
            );
        }
        let used = self.used.borrow();
        if let Some(i) = (0..self.inputs.len()).find(|i| self.inputs[*i].is_some() && !used.contains(i)) {
            return Err(Refusal::new(
                "the operand is not supported in this opset",
                "check the model with onnx.checker",
            )
            .about(format!("operand {i}")));
        }
        let read = self.read.borrow();
        match self.node.attributes.keys().find(|name| !read.iter().any(|r| r == *name)) {
            Some(name) => Err(Refusal::new(
                "the attribute is not supported in this opset",
                "export the model again, with an opset that has it or without the attribute",
            )
            .about(format!("attribute {name}"))),
            None => Ok(()),
        }
    }

    pub fn into_notes(self) -> Vec<String> {
        self.notes
    }
}

//! An ONNX model as it stands in its file: operators, attributes and names of ONNX, with tensors decoded.
//!
//! Owns: decoding (over tract's protobuf types), external data, attribute and shape types, local functions (there are none left in a
//! [`Model`]), pinning of dynamic inputs, cutting.
//! Knows nothing of TFLite and nothing of what operators mean.

mod attribute;
mod cut;
mod decode;
mod external;
mod extra;
mod functions;
mod names;
mod near;
mod outline;
mod pin;
mod tensor;
mod unused;

use std::collections::BTreeMap;
use std::fmt;

use indexmap::IndexMap;

pub use attribute::Attribute;
pub use decode::{ReadError, read_bytes, read_file};
pub use tensor::dtype;

use crate::tensor::{DType, Tensor};

/// Extent of one axis as a model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    Fixed(usize),
    /// Dynamic, with the name that the model gives it.
    Named(String),
    Unknown,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Named(name) => f.write_str(name),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

/// Declared type of an input or output.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueInfo {
    pub name: String,
    /// `None` for types that are no tensors of numbers.
    pub dtype: Option<DType>,
    /// `None` where not even the rank is declared.
    pub shape: Option<Vec<Dim>>,
}

/// One operator with its operands and results by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub name: String,
    pub op: String,
    /// Empty for the standard operators.
    pub domain: String,
    /// Version of the operator set of `domain` that the model imports.
    pub opset: i64,
    /// An empty name stands for an absent operand.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: IndexMap<String, Attribute>,
}

impl Node {
    /// The operator, with its domain where that is not ONNX's own: `Conv`, `com.microsoft::FusedConv`.
    pub fn operator(&self) -> String {
        if self.domain.is_empty() { self.op.clone() } else { format!("{}::{}", self.domain, self.op) }
    }

    /// The node's name, or that of its first result where it has none.
    pub fn label(&self) -> &str {
        if !self.name.is_empty() {
            return &self.name;
        }
        self.outputs.iter().find(|o| !o.is_empty()).map_or("", String::as_str)
    }

    /// The graphs among the attributes.
    pub fn graphs(&self) -> impl Iterator<Item = &Graph> {
        self.attributes.values().flat_map(Attribute::graphs)
    }

    /// [`Node::graphs`], to be changed.
    pub fn graphs_mut(&mut self) -> impl Iterator<Item = &mut Graph> {
        self.attributes.values_mut().flat_map(Attribute::graphs_mut)
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    pub name: String,
    pub inputs: Vec<ValueInfo>,
    pub outputs: Vec<ValueInfo>,
    pub initializers: IndexMap<String, Tensor>,
    /// Initializers of types that no tensor here can hold, with the reason.
    pub unreadable: IndexMap<String, String>,
    /// Types that the file declares of other values than inputs and outputs.
    pub value_info: IndexMap<String, ValueInfo>,
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    pub graph: Graph,
    /// Imported version of each operator set; the standard one under the empty name.
    pub opsets: BTreeMap<String, i64>,
    pub producer: String,
}

impl Model {
    /// Declares every input and output of one element type as of another.
    pub fn redeclare(&mut self, from: DType, to: DType) {
        for port in self.graph.inputs.iter_mut().chain(&mut self.graph.outputs) {
            port.dtype = port.dtype.map(|dtype| if dtype == from { to } else { dtype });
        }
    }

    /// The inputs that a user feeds: old models also list initializers as inputs.
    pub fn input_infos(&self) -> impl Iterator<Item = &ValueInfo> {
        self.graph.inputs.iter().filter(|i| !self.graph.initializers.contains_key(&i.name))
    }

    /// True where a node of the main graph is this [`Node::operator`].
    pub fn has_operator(&self, operator: &str) -> bool {
        self.graph.nodes.iter().any(|n| n.operator() == operator)
    }
}

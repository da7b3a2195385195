//! The intermediate representation: TFLite operators over typed values.
//!
//! Owns: what a graph is ([`Graph`], [`Op`]), how one is built with types inferred and constants folded ([`Builder`]),
//! how one is rewritten ([`rewrite`]), and what makes one valid ([`verify`]). Channels-last convolutions and TFLite's
//! rules for axes hold here; where a node came from is kept as provenance only ([`Origin`]). Knows nothing of ONNX
//! operators, of files, or of how an operator is computed ([`Evaluate`] is handed in).

mod builder;
mod garbage;
mod grid;
mod infer;
mod op;
mod rewrite;
mod text;
mod types;
mod verify;
mod work;

use indexmap::IndexSet;

pub use builder::{Builder, Evaluate, Execute, NoEvaluate};
pub use garbage::{Garbage, drop_unused_data};
pub use infer::{InferError, MAX_EXTENT, infer};
pub use op::*;
pub use rewrite::{Cx as RewriteCx, remove_dead, rewrite};
pub use types::{Dim, Shape, Type};
pub use verify::{Violation, verify};
pub use work::multiply_adds;

use crate::tensor::{DType, Tensor};

/// Index of a [`Value`] in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Index of an [`Origin`] in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginId(pub u32);

/// Where a node came from: one node of the source model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Origin {
    /// Name of the source node; of its first result where it has none.
    pub name: String,
    /// Operator of the source, with its domain where that is not the default one.
    pub op: String,
}

/// How real numbers are stored as integers: `real = scale * (stored - zero_point)`.
#[derive(Debug, Clone, PartialEq)]
pub enum Quant {
    /// One pair for the whole tensor, or one for each index along `axis`.
    Affine {
        scale: Vec<f32>,
        zero_point: Vec<i64>,
        /// Meaningful where there is more than one pair.
        axis: usize,
    },
    /// One scale for each run of `block_size` elements along the last axis; the scales are a `FLOAT16` value.
    Blockwise { scales: ValueId, zero_points: Option<ValueId>, block_size: usize },
}

impl Quant {
    /// One scale and zero point for the whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i64) -> Quant {
        Quant::Affine { scale: vec![scale], zero_point: vec![zero_point], axis: 0 }
    }

    /// Scale and zero point where there is exactly one pair.
    pub fn as_per_tensor(&self) -> Option<(f32, i64)> {
        match self {
            Quant::Affine { scale, zero_point, .. } => match (scale.as_slice(), zero_point.as_slice()) {
                ([scale], [zero_point]) => Some((*scale, *zero_point)),
                _ => None,
            },
            Quant::Blockwise { .. } => None,
        }
    }
}

/// What flows between nodes: a result, an input of the graph, or a constant (`data` is present).
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Name in the file; the source model's where the value stands for one of its values.
    pub name: String,
    pub ty: Type,
    pub data: Option<Tensor>,
    /// On integers, the real numbers that they stand for. On a constant of `FLOAT32`, the grid that its numbers lie on because
    /// the model had them as integers: it may be stored as those again.
    pub quant: Option<Quant>,
    /// A state that the runtime keeps from one run to the next.
    pub variable: bool,
}

impl Value {
    /// True where the elements are integers that stand for other numbers.
    pub fn is_stored_as_integers(&self) -> bool {
        self.quant.is_some() && self.ty.dtype != DType::F32
    }
}

/// How far quantization may go into a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    #[default]
    Any,
    /// An inner step of a decomposed operator (a variance, an exponential) whose values 8 bits can't hold: stays float.
    Float,
    /// A product whose data the model rounds to 8 bits when it runs: weights that it has as integers may be multiplied as such
    /// (dynamic range). Else as `Any`.
    Dynamic,
}

/// One operator applied to values.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub op: Op,
    /// `None` for an optional operand that is absent.
    pub inputs: Vec<Option<ValueId>>,
    pub outputs: Vec<ValueId>,
    pub origin: Option<OriginId>,
    pub precision: Precision,
}

impl Node {
    /// Operand `i`, where there is one.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }
}

/// Values and the nodes over them, in execution order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    pub name: String,
    pub values: Vec<Value>,
    pub nodes: Vec<Node>,
    /// Inputs in order. Their names are the values' names.
    pub inputs: Vec<ValueId>,
    /// Outputs in order. One value may stand here twice in files read from elsewhere.
    pub outputs: Vec<ValueId>,
    pub origins: IndexSet<Origin>,
}

impl Graph {
    pub fn new(name: impl Into<String>) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    pub fn shape(&self, id: ValueId) -> &Shape {
        &self.value(id).ty.shape
    }

    pub fn dtype(&self, id: ValueId) -> DType {
        self.value(id).ty.dtype
    }

    /// The data of a constant.
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.value(id).data.as_ref()
    }

    /// The elements of a constant of integers.
    pub fn const_ints(&self, id: ValueId) -> Option<Vec<i64>> {
        self.constant(id)?.to_i64s().ok()
    }

    /// The value of a float or integer constant whose elements are all one number (a scalar, say).
    pub fn const_splat(&self, id: ValueId) -> Option<f64> {
        self.constant(id)?.splat()
    }

    pub fn add_value(&mut self, value: Value) -> ValueId {
        let id = ValueId(u32::try_from(self.values.len()).expect("fewer than 2^32 values"));
        self.values.push(value);
        id
    }

    pub fn add_input(&mut self, name: impl Into<String>, ty: Type) -> ValueId {
        let id = self.add_value(Value { name: name.into(), ty, data: None, quant: None, variable: false });
        self.inputs.push(id);
        id
    }

    pub fn add_constant(&mut self, name: impl Into<String>, data: Tensor) -> ValueId {
        let ty = Type { dtype: data.dtype(), shape: Shape::fixed(data.shape()) };
        self.add_value(Value { name: name.into(), ty, data: Some(data), quant: None, variable: false })
    }

    pub fn add_origin(&mut self, origin: Origin) -> OriginId {
        OriginId(self.origins.insert_full(origin).0 as u32)
    }

    pub fn origin(&self, node: &Node) -> Option<&Origin> {
        self.origins.get_index(node.origin?.0 as usize)
    }

    /// For each value, how often it is used: as an operand, or as an output of the graph.
    pub fn use_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.values.len()];
        let operands = self.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
        for id in operands.chain(&self.outputs) {
            counts[id.0 as usize] += 1;
        }
        counts
    }

    /// This graph and all that its operators run, however deep: each before those inside it, in the order of nodes.
    pub fn with_regions(&self) -> Vec<&Graph> {
        let mut graphs = vec![self];
        let mut next = 0;
        while let Some(graph) = graphs.get(next).copied() {
            graphs.extend(graph.nodes.iter().flat_map(|node| node.op.regions()));
            next += 1;
        }
        graphs
    }

    /// For each value, the index of the node that makes it.
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for id in &node.outputs {
                producers[id.0 as usize] = Some(index);
            }
        }
        producers
    }
}

/// What a name leads to in a [`Signature`].
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    pub name: String,
    pub value: ValueId,
}

/// A named way into one of the model's graphs.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    pub key: String,
    pub graph: usize,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

/// All that a `.tflite` file holds. Graph 0 is the main one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    pub graphs: Vec<Graph>,
    pub signatures: Vec<Signature>,
    pub description: String,
    /// Named payloads, in file order.
    pub metadata: Vec<(String, bytes::Bytes)>,
    /// A ZIP archive that follows the model in its file: labels, vocabularies. Empty where there is none.
    pub attachments: bytes::Bytes,
}

impl Model {
    /// A model of one graph, with the signature `serving_default` over its inputs and outputs.
    pub fn single(graph: Graph) -> Model {
        let ports =
            |ids: &[ValueId]| ids.iter().map(|&value| Port { name: graph.value(value).name.clone(), value }).collect();
        let signature = Signature {
            key: "serving_default".into(),
            graph: 0,
            inputs: ports(&graph.inputs),
            outputs: ports(&graph.outputs),
        };
        Model { signatures: vec![signature], graphs: vec![graph], ..Model::default() }
    }
}

use std::sync::Arc;

use super::Graph;
use crate::tensor::Tensor;

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Float(f32),
    Int(i64),
    String(String),
    Tensor(Tensor),
    Graph(Arc<Graph>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<String>),
    Graphs(Vec<Graph>),
    /// In a function's body: the attribute of that name that the call gives.
    Reference(String),
    /// A kind that no operator here reads, with the reason or its name.
    Other(String),
}

impl Attribute {
    /// The graphs that it holds.
    pub fn graphs(&self) -> &[Graph] {
        match self {
            Attribute::Graph(graph) => std::slice::from_ref(graph),
            Attribute::Graphs(graphs) => graphs,
            _ => &[],
        }
    }

    /// [`Attribute::graphs`], to be changed.
    pub fn graphs_mut(&mut self) -> &mut [Graph] {
        match self {
            Attribute::Graph(graph) => std::slice::from_mut(Arc::make_mut(graph)),
            Attribute::Graphs(graphs) => graphs,
            _ => &mut [],
        }
    }

    /// What the attribute holds, for messages.
    pub fn kind(&self) -> &str {
        match self {
            Attribute::Float(_) => "a float",
            Attribute::Int(_) => "an integer",
            Attribute::String(_) => "a string",
            Attribute::Tensor(_) => "a tensor",
            Attribute::Graph(_) => "a graph",
            Attribute::Floats(_) => "a list of floats",
            Attribute::Ints(_) => "a list of integers",
            Attribute::Strings(_) => "a list of strings",
            Attribute::Graphs(_) => "a list of graphs",
            Attribute::Reference(_) => "a reference to an attribute of a function",
            Attribute::Other(what) => what,
        }
    }
}

//! What is known of extents, and of the numbers that nodes compute from them, while a model is lowered.
//!
//! Models with dynamic axes compute the operands of `Reshape`, `Expand` or `Slice` out of `Shape`: most of those numbers are
//! known all the same, and the others are extents of values at hand. Owns: that knowledge, recorded node by node as they are
//! emitted, over TFLite operators. What all turns out known becomes a constant, so that what hangs on it folds.

mod elements;
mod extents;
mod narrow;

use std::collections::{HashMap, HashSet};

use narrow::Narrow;

use super::{Cx, Refusal};
use crate::graph::{Graph, Shape, ValueId};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Longest vector that is followed. Ranks are small; anything longer is data.
const LONGEST: usize = 64;

/// An extent that is only known at run time. Equal symbols stand for equal extents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Symbol(u32);

/// A whole number, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Known(i64),
    Extent(Symbol),
    Unknown,
}

impl Number {
    pub fn known(self) -> Option<i64> {
        if let Number::Known(n) = self { Some(n) } else { None }
    }
}

/// The knowledge, for the length of one model.
#[derive(Default)]
pub(crate) struct Known {
    /// Nodes of the graph that were looked at.
    nodes: usize,
    symbols: u32,
    /// For values with extents that are not known, one number for each axis.
    extents: HashMap<ValueId, Vec<Number>>,
    /// For scalars and short vectors of integers that are no constants, one number for each element.
    elements: HashMap<ValueId, Vec<Number>>,
    /// Values of integers none of which is negative, constants aside.
    natural: HashSet<ValueId>,
    /// Values of integers that fit in 32 bits, constants aside.
    narrow: HashMap<ValueId, Narrow>,
    /// Extents that the model gives one name are one.
    named: HashMap<String, Symbol>,
    /// For values that are computed in another type than the model's, those of the model's type that they were made from.
    given: HashMap<ValueId, ValueId>,
}

impl Known {
    /// Takes down what the model calls the extents of an input.
    pub fn add_input(&mut self, id: ValueId, dims: &[onnx::Dim]) {
        let extents = dims.iter().map(|dim| match dim {
            onnx::Dim::Fixed(n) => Number::Known(*n as i64),
            onnx::Dim::Named(name) => match self.named.get(name) {
                Some(symbol) => Number::Extent(*symbol),
                None => {
                    let symbol = self.fresh();
                    self.named.insert(name.clone(), symbol);
                    Number::Extent(symbol)
                }
            },
            onnx::Dim::Unknown => Number::Extent(self.fresh()),
        });
        let extents: Vec<Number> = extents.collect();
        self.extents.insert(id, extents);
    }

    /// Knowledge of a graph inside this one: it has its own values, but extents are equal across both.
    pub fn inside(&self) -> Known {
        Known { symbols: self.symbols, named: self.named.clone(), ..Known::default() }
    }

    /// After a graph inside this one is written: symbols that were used there are not used again.
    pub fn leave(&mut self, inside: &Known) {
        self.symbols = self.symbols.max(inside.symbols);
    }

    /// Takes down that `id` of `graph` is the value `outer` of the graph around it, of which `known` speaks.
    pub fn hand_in(&mut self, id: ValueId, outer: ValueId, known: &mut Known, around: &Graph) {
        known.catch_up(around);
        let extents = known.extents(around, outer);
        self.symbols = self.symbols.max(known.symbols);
        self.extents.insert(id, extents);
        if let Some(elements) = known.elements.get(&outer) {
            self.elements.insert(id, elements.clone());
        }
        if known.natural.contains(&outer) {
            self.natural.insert(id);
        }
        if let Some(&why) = known.narrow.get(&outer) {
            self.narrow.insert(id, why);
        }
    }

    /// One number for each axis of `x`.
    pub fn extents_of(&mut self, graph: &Graph, x: ValueId) -> Vec<Number> {
        self.catch_up(graph);
        self.extents(graph, x)
    }

    pub fn set_extents(&mut self, graph: &Graph, x: ValueId, extents: Vec<Number>) {
        self.catch_up(graph);
        self.extents.insert(x, extents);
    }

    /// Takes down that `x` counts something: not negative, and small.
    pub fn set_count(&mut self, x: ValueId) {
        self.natural.insert(x);
        self.narrow.insert(x, Narrow::Counted);
    }

    pub fn unknown_extent(&mut self) -> Number {
        Number::Extent(self.fresh())
    }

    /// After nodes were taken back from the end of the graph.
    pub fn forget_nodes(&mut self, graph: &Graph) {
        self.nodes = self.nodes.min(graph.nodes.len());
    }

    /// Takes down that `carrier` is `given` in the type it is computed in.
    pub fn add_carrier(&mut self, carrier: ValueId, given: ValueId) {
        self.given.insert(carrier, given);
    }

    /// `x` in the model's type, where it is to be had.
    pub fn given(&self, x: ValueId) -> Option<ValueId> {
        self.given.get(&x).copied()
    }

    fn fresh(&mut self) -> Symbol {
        self.symbols += 1;
        Symbol(self.symbols)
    }

    /// Looks at the nodes that were emitted since it last did.
    fn catch_up(&mut self, graph: &Graph) {
        while let Some(node) = graph.nodes.get(self.nodes) {
            self.nodes += 1;
            for (result, &id) in node.outputs.iter().enumerate() {
                if !graph.shape(id).is_fixed() {
                    let extents = self.result_extents(graph, node, result);
                    self.extents.insert(id, extents);
                }
                if self.is_natural_result(graph, node, result) {
                    self.natural.insert(id);
                }
                if let Some(narrow) = self.narrow_result(graph, node, result) {
                    self.narrow.insert(id, narrow);
                }
                if let Some(elements) = self.result_elements(graph, node, result) {
                    self.elements.insert(id, elements);
                }
            }
        }
    }

    /// One number for each axis of `x`.
    fn extents(&mut self, graph: &Graph, x: ValueId) -> Vec<Number> {
        let shape = graph.shape(x);
        if !shape.is_fixed() && !self.extents.contains_key(&x) {
            let fresh = shape.dims().iter().map(|_| Number::Extent(self.fresh())).collect();
            self.extents.insert(x, fresh);
        }
        let recorded = self.extents.get(&x);
        let number = |(axis, dim): (usize, &Option<usize>)| match dim {
            Some(n) => Number::Known(*n as i64),
            None => recorded.and_then(|r| r.get(axis).copied()).unwrap_or(Number::Unknown),
        };
        shape.dims().iter().enumerate().map(number).collect()
    }

    /// One number for each element of `x`; `None` for what is no scalar or short vector of integers, or has no known length.
    fn elements(&self, graph: &Graph, x: ValueId) -> Option<Vec<Number>> {
        let value = graph.value(x);
        let len = value.ty.shape.elements().filter(|&n| n <= LONGEST && value.ty.shape.rank() <= 1)?;
        if !(value.ty.dtype.is_int() || value.ty.dtype == DType::Bool) {
            return None;
        }
        if let Some(data) = &value.data {
            return Some(data.to_i64s().ok()?.into_iter().map(Number::Known).collect());
        }
        Some(self.elements.get(&x).cloned().unwrap_or_else(|| vec![Number::Unknown; len]))
    }

    /// True where no element of `x` can be negative.
    fn is_natural(&self, graph: &Graph, x: ValueId) -> bool {
        let constant = || graph.const_ints(x).is_some_and(|ints| ints.iter().all(|&i| i >= 0));
        self.natural.contains(&x) || constant()
    }

    /// The data of `x`, where every element is known though nodes compute it.
    pub fn settled(&mut self, graph: &Graph, x: ValueId) -> Option<Tensor> {
        self.catch_up(graph);
        let value = graph.value(x);
        let elements = self.elements.get(&x).filter(|_| value.data.is_none())?;
        let values = elements.iter().map(|n| n.known()).collect::<Option<Vec<i64>>>()?;
        Tensor::from_vec(&value.ty.shape.as_fixed()?, values).cast(value.ty.dtype).ok()
    }
}

impl Cx<'_> {
    /// `x` before it was converted to the type it is computed in, where that was done: all digits and bits of it.
    pub fn as_given(&self, x: ValueId) -> ValueId {
        self.known.given(x).unwrap_or(x)
    }

    /// One number for each axis of `x`.
    pub fn extents(&mut self, x: ValueId) -> Vec<Number> {
        self.known.catch_up(self.b.graph);
        self.known.extents(self.b.graph, x)
    }

    /// One number for each element of `x`, which holds integers; `None` where not even the length is known.
    pub fn numbers(&mut self, x: ValueId) -> Option<Vec<Number>> {
        self.known.catch_up(self.b.graph);
        self.known.elements(self.b.graph, x)
    }

    /// True where no element of `x` can be negative.
    pub fn is_natural(&mut self, x: ValueId) -> bool {
        self.known.catch_up(self.b.graph);
        self.known.is_natural(self.b.graph, x)
    }

    /// True where every element of `x` fits in 32 bits: it may be computed in `INT32` by kernels that have no `INT64`.
    pub fn is_narrow(&mut self, x: ValueId) -> bool {
        self.known.catch_up(self.b.graph);
        self.known.narrow(self.b.graph, x).is_some()
    }

    /// The integers of `x`, where all of them are known.
    pub fn known_ints(&mut self, x: ValueId) -> Option<Vec<i64>> {
        match self.constant(x) {
            Some(data) => data.to_i64s().ok(),
            None => self.numbers(x)?.into_iter().map(Number::known).collect(),
        }
    }

    /// Integers of operand `i`, called `name`, if it is given; all of them must be known then.
    pub fn known_operand(&mut self, i: usize, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        let Some(id) = self.optional(i) else { return Ok(None) };
        match self.known_ints(id) {
            Some(ints) => Ok(Some(ints)),
            None => self.const_ints(i, name),
        }
    }

    /// Says whose extents the unknown ones of `x` are.
    pub fn set_extents(&mut self, x: ValueId, extents: Vec<Number>) {
        self.known.catch_up(self.b.graph);
        self.known.extents.insert(x, extents);
    }

    /// Writes into the type of `x` what is known of its extents beyond what inference saw.
    pub fn refine(&mut self, x: ValueId, extents: &[Number]) -> ValueId {
        let shape = self.shape(x);
        let known = |n: &Number| n.known().and_then(|n| usize::try_from(n).ok());
        let refined = Shape(shape.dims().iter().zip(extents).map(|(dim, n)| dim.or(known(n))).collect());
        if refined.rank() == shape.rank() {
            self.b.graph.value_mut(x).ty.shape = refined;
        }
        x
    }
}

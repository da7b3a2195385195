//! Walks the nodes of a model, and sees to all that lowerings have in common: names, results, attributes nobody read, refusals.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::OnceLock;

use indexmap::IndexMap;

use super::kernel_type::carrier;
use super::known::Known;
use super::quantized::restored;
use super::{Cx, Refusal, Row, TABLE, custom};
use crate::graph::{
    Builder, Evaluate, Garbage, Graph, MAX_EXTENT, Node, Op, Origin, Shape, Type, ValueId, drop_unused_data,
    remove_dead,
};
use crate::onnx;
use crate::tensor::{DType, Tensor};

/// Why one node can't be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the node, or of its first result; of an input or output where that is what is meant.
    pub node: String,
    /// Position of the node in the model.
    pub index: Option<usize>,
    /// Operator with its domain: `Conv`, `com.microsoft::FusedConv`.
    pub op: String,
    pub opset: i64,
    /// Attribute or operand that is meant, where there is one.
    pub attribute: Option<String>,
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.node)?;
        if let Some(index) = self.index {
            write!(f, " (node {index}, {} of opset {})", self.op, self.opset)?;
        }
        if let Some(attribute) = &self.attribute {
            write!(f, ", {attribute}")?;
        }
        write!(f, ": {}", self.what)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

/// Something that a user may want to know, though it was converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub node: String,
    pub op: String,
    pub what: String,
}

#[derive(Debug)]
pub struct Lowered {
    pub graph: Graph,
    pub notes: Vec<Note>,
}

/// Lowers every node of `model`, which is used up so that its weights can be freed. Operators listed in `custom` (`Op`, or
/// `domain::Op` where it is not ONNX's own domain) become custom ones of that name.
///
/// # Errors
/// Everything that stands in the way, not just the first.
pub fn lower(
    mut model: onnx::Model,
    custom: &BTreeSet<String>,
    evaluate: &dyn Evaluate,
) -> Result<Lowered, Vec<Problem>> {
    model.graph.forget_unused_results(|node| find(&node.domain, &node.op).is_some());
    super::patterns::recognize(&mut model.graph);
    let mut graph = Graph::new(std::mem::take(&mut model.graph.name));
    let initializers = std::mem::take(&mut model.graph.initializers);
    let mut driver = Driver::new(&model.graph, initializers, &mut graph, custom, evaluate);
    driver.lower_nodes();
    driver.bind_outputs();
    driver.note_carried();
    let Driver { problems, notes, .. } = driver;
    if !problems.is_empty() {
        return Err(problems);
    }
    remove_dead(&mut graph);
    Ok(Lowered { graph, notes })
}

/// Types of the values called `names`, as far as they can be told from what leads there.
pub fn infer_types(mut model: onnx::Model, names: &[String], evaluate: &dyn Evaluate) -> Vec<onnx::ValueInfo> {
    // What does not lead there is of no concern; a name that there is not has no type.
    if model.cut(&[], names, &BTreeMap::new()).is_err() {
        return Vec::new();
    }
    let mut graph = Graph::default();
    let custom = BTreeSet::new();
    let initializers = std::mem::take(&mut model.graph.initializers);
    let mut driver = Driver::new(&model.graph, initializers, &mut graph, &custom, evaluate);
    driver.lower_nodes();
    let Driver { values, graph, .. } = driver;
    let info = |name: &String| {
        let ty = &graph.value((*values.get(name)?)?).ty;
        let dims = ty.shape.dims().iter().map(|d| d.map_or(onnx::Dim::Unknown, onnx::Dim::Fixed));
        Some(onnx::ValueInfo { name: name.clone(), dtype: Some(ty.dtype), shape: Some(dims.collect()) })
    };
    names.iter().filter_map(info).collect()
}

/// The row of an operator.
fn find(domain: &str, op: &str) -> Option<&'static Row> {
    static INDEX: OnceLock<HashMap<(&str, &str), &Row>> = OnceLock::new();
    let index = INDEX.get_or_init(|| TABLE.iter().map(|row| ((row.domain, row.op), row)).collect());
    index.get(&(domain, op)).copied()
}

struct Driver<'a> {
    model: &'a onnx::Graph,
    /// Those of the model that no node has used yet.
    initializers: IndexMap<String, Tensor>,
    graph: &'a mut Graph,
    custom: &'a BTreeSet<String>,
    evaluate: &'a dyn Evaluate,
    /// What each ONNX value became; `None` where its node was refused.
    values: HashMap<String, Option<ValueId>>,
    known: Known,
    /// Types of the model that are computed in another.
    carried: BTreeSet<DType>,
    /// Values that go straight into a `Cast`.
    converted: HashSet<&'a str>,
    problems: Vec<Problem>,
    notes: Vec<Note>,
}

impl<'a> Driver<'a> {
    fn new(
        model: &'a onnx::Graph,
        initializers: IndexMap<String, Tensor>,
        graph: &'a mut Graph,
        custom: &'a BTreeSet<String>,
        evaluate: &'a dyn Evaluate,
    ) -> Driver<'a> {
        Driver {
            model,
            initializers,
            graph,
            custom,
            evaluate,
            values: HashMap::new(),
            known: Known::default(),
            carried: BTreeSet::new(),
            converted: operands_of_casts(model),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn add_inputs(&mut self) {
        let model = self.model;
        for input in &model.inputs {
            if self.initializers.contains_key(&input.name) {
                continue;
            }
            match input_type(input) {
                Ok(ty) => {
                    let id = self.graph.add_input(&input.name, ty);
                    self.known.add_input(id, input.shape.as_deref().unwrap_or_default());
                    let id = self.carried(id, &input.name);
                    self.values.insert(input.name.clone(), Some(id));
                }
                Err((what, hint)) => {
                    self.values.insert(input.name.clone(), None);
                    self.problems.push(boundary_problem(&input.name, what, hint));
                }
            }
        }
    }

    fn lower_nodes(&mut self) {
        self.add_inputs();
        let mut garbage = Garbage::default();
        let nodes = &self.model.nodes;
        for (index, node) in nodes.iter().enumerate() {
            self.lower_node(index, node);
            if garbage.is_due(self.graph) {
                let to_come = nodes.iter().skip(index + 1).flat_map(onnx::Node::mentioned);
                let ends = self.model.outputs.iter().map(|o| o.name.as_str());
                let needed: Vec<ValueId> =
                    to_come.chain(ends).filter_map(|name| self.values.get(name).copied().flatten()).collect();
                drop_unused_data(self.graph, needed);
            }
        }
    }

    fn lower_node(&mut self, index: usize, node: &'a onnx::Node) {
        let op = node.operator();
        let problem = |refusal: Refusal| Problem {
            node: node.label().to_string(),
            index: Some(index),
            op: op.clone(),
            opset: node.opset,
            attribute: refusal.attribute,
            what: refusal.what,
            hint: refusal.hint,
        };
        let refused = |driver: &mut Self, refusal: Option<Refusal>| {
            driver.problems.extend(refusal.map(problem));
            driver.values.extend(node.outputs.iter().map(|o| (o.clone(), None)));
        };
        let is_custom = self.custom.contains(&op);
        let row = find(&node.domain, &node.op).filter(|_| !is_custom);
        if row.is_none() && !is_custom {
            let why = super::refused::why(&node.domain, &node.op);
            let hint = format!("{}; --allow-custom {op} leaves it to a kernel of your own", why.hint);
            return refused(self, Some(Refusal { hint, ..why }));
        }
        let mut inputs = match self.operands(node) {
            Ok(Some(inputs)) => inputs,
            // It depends on a node that was refused: that one is the problem, not this.
            Ok(None) => return refused(self, None),
            Err(refusal) => return refused(self, Some(refusal)),
        };
        let origin = self.graph.add_origin(Origin { name: node.label().to_string(), op: op.clone() });
        let scope = node.outputs.iter().find(|o| !o.is_empty()).map_or("", String::as_str);
        let made_before = self.graph.values.len();
        let declared = if is_custom { self.declared_results(node) } else { Vec::new() };
        let mut b = Builder::new(self.graph, self.evaluate);
        b.set_origin(Some(origin), scope);
        let stored = match restored(&mut b, node, &mut inputs) {
            Ok(stored) => stored,
            Err(refusal) => return refused(self, Some(refusal)),
        };
        let mut cx = Cx::new(b, &mut self.known, node, inputs);
        let results = match row {
            Some(row) => (row.lower)(&mut cx),
            None => custom::custom(&mut cx, node, &op, &declared),
        };
        let results = results.and_then(|results| cx.finish(&results).map(|()| results));
        let results = results.and_then(|results| match &stored {
            Some(stored) => cx.store(results, stored),
            None => Ok(results),
        });
        let notes = cx.into_notes();
        self.notes.extend(notes.into_iter().map(|what| Note { node: node.label().into(), op: op.clone(), what }));
        match results {
            Ok(results) => {
                let outputs = node.outputs.iter().map(String::as_str).chain(std::iter::repeat(""));
                let settled = results.into_iter().zip(outputs).map(|(id, name)| {
                    let id = self.settle(id);
                    self.carried(id, name)
                });
                let results: Vec<ValueId> = settled.collect();
                self.bind_results(node, &results, made_before);
            }
            Err(refusal) => refused(self, Some(refusal)),
        }
    }

    /// A constant in place of a value all of whose elements are known, though nodes compute it from what is not.
    fn settle(&mut self, id: ValueId) -> ValueId {
        match self.known.settled(self.graph, id) {
            Some(data) => self.graph.add_constant(self.graph.value(id).name.clone(), data),
            None => id,
        }
    }

    /// What the model declares of the results of a node.
    fn declared_results(&self, node: &onnx::Node) -> Vec<onnx::ValueInfo> {
        let named = node.outputs.iter().filter(|o| !o.is_empty());
        named.map(|output| self.model.declared(output)).collect()
    }

    /// `id`, which the model calls `name`, in the type it is computed in. A type that few kernels have is left behind where it enters:
    /// at inputs, constants and results. Rounding to a narrower one can only be seen where a `Cast` follows at once, or at an output.
    fn carried(&mut self, id: ValueId, name: &str) -> ValueId {
        let dtype = self.graph.dtype(id);
        let Some(carrier) = carrier(dtype) else { return id };
        self.carried.insert(dtype);
        if let Some(Ok(data)) = self.graph.constant(id).map(|data| data.cast(carrier)) {
            let constant = self.graph.add_constant(self.graph.value(id).name.clone(), data);
            self.known.add_carrier(constant, id);
            return constant;
        }
        let producer = self.graph.nodes.last().filter(|n| n.outputs.contains(&id));
        let (origin, cast) = producer.map_or((None, None), |n| (n.origin, n.input(0).filter(|_| is_cast(n))));
        let from = cast.filter(|_| !self.converted.contains(name)).unwrap_or(id);
        let mut b = Builder::new(self.graph, self.evaluate);
        b.set_origin(origin, name);
        // The kernel of CAST takes all of these types.
        let cast = b.cast(from, carrier).unwrap_or(id);
        if from == id {
            self.known.add_carrier(cast, id);
        }
        cast
    }

    fn note_carried(&mut self) {
        let node = self.graph.name.clone();
        self.notes.extend(self.carried.iter().map(|dtype| Note {
            node: node.clone(),
            op: "graph".into(),
            what: format!("{dtype} is computed as {}", carrier(*dtype).map_or("?", DType::name)),
        }));
    }

    /// Operands of a node; `None` as a whole where one of them could not be computed.
    fn operands(&mut self, node: &onnx::Node) -> Result<Option<Vec<Option<ValueId>>>, Refusal> {
        let mut operands = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            if name.is_empty() {
                operands.push(None);
                continue;
            }
            match self.values.get(name) {
                Some(Some(id)) => operands.push(Some(*id)),
                Some(None) => return Ok(None),
                None => operands.push(Some(self.initializer(name)?)),
            }
        }
        // Absent operands at the end are as if they had not been listed.
        while operands.last() == Some(&None) {
            operands.pop();
        }
        Ok(Some(operands))
    }

    fn initializer(&mut self, name: &str) -> Result<ValueId, Refusal> {
        // Taken out, so that the data go when the graph has no use for them.
        if let Some(data) = self.initializers.swap_remove(name) {
            let id = self.graph.add_constant(name, data);
            let id = self.carried(id, name);
            self.values.insert(name.to_string(), Some(id));
            return Ok(id);
        }
        let why = self.model.unreadable.get(name).map_or("is not there", String::as_str);
        Err(Refusal::new(format!("initializer {name:?} {why}"), ""))
    }

    /// Gives the results their ONNX names; a value that a node merely passes on keeps the name it had.
    fn bind_results(&mut self, node: &onnx::Node, results: &[ValueId], made_before: usize) {
        let mut named = Vec::new();
        for (name, &id) in node.outputs.iter().zip(results) {
            if name.is_empty() {
                continue;
            }
            if id.0 as usize >= made_before && !named.contains(&id) {
                self.graph.value_mut(id).name.clone_from(name);
                named.push(id);
            }
            self.values.insert(name.clone(), Some(id));
        }
    }

    fn bind_outputs(&mut self) {
        let mut taken: HashSet<ValueId> = self.graph.inputs.iter().copied().collect();
        let mut names = HashSet::new();
        for output in &self.model.outputs {
            if !names.insert(&output.name) {
                let what = "the output is listed twice, but a signature has one of each name";
                self.problems.push(boundary_problem(&output.name, what.into(), "list it once".into()));
                continue;
            }
            let id = match self.values.get(&output.name) {
                Some(Some(id)) => *id,
                Some(None) => continue,
                None => match self.initializer(&output.name) {
                    Ok(id) => id,
                    Err(refusal) => {
                        self.problems.push(boundary_problem(&output.name, refusal.what, String::new()));
                        continue;
                    }
                },
            };
            let id = self.as_declared(id, output);
            if let Some(problem) = contradiction(output, &self.graph.value(id).ty) {
                self.problems.push(problem);
                continue;
            }
            // An input that goes out under its own name is one value; every other output is a value of its own, with its own name.
            if self.graph.inputs.contains(&id) && self.graph.value(id).name == output.name {
                self.graph.outputs.push(id);
                continue;
            }
            let own = if taken.insert(id) && self.graph.constant(id).is_none() {
                Ok(id)
            } else {
                Builder::new(self.graph, self.evaluate).identity(id)
            };
            match own {
                Ok(own) => {
                    taken.insert(own);
                    let own = self.with_declared_extents(own, output);
                    taken.insert(own);
                    self.graph.value_mut(own).name.clone_from(&output.name);
                    self.graph.outputs.push(own);
                }
                Err(e) => self.problems.push(boundary_problem(&output.name, e.message, String::new())),
            }
        }
    }
}

impl Driver<'_> {
    /// An output in the type that the model declares, where it was computed in another for it.
    fn as_declared(&mut self, id: ValueId, output: &onnx::ValueInfo) -> ValueId {
        let declared = output.dtype.filter(|&dtype| carrier(dtype) == Some(self.graph.dtype(id)));
        let Some(dtype) = declared else { return id };
        if let Some(given) = self.known.given(id).filter(|&given| self.graph.dtype(given) == dtype) {
            return given;
        }
        let origin = self.graph.nodes.iter().rev().find(|n| n.outputs.contains(&id)).and_then(|n| n.origin);
        let mut b = Builder::new(self.graph, self.evaluate);
        b.set_origin(origin, &output.name);
        let cast = b.cast(id, dtype).unwrap_or(id);
        // The output takes its name over.
        if self.graph.value(id).name == output.name && !self.graph.inputs.contains(&id) {
            self.graph.value_mut(id).name.push_str("/before");
        }
        cast
    }

    /// An output whose extents hang on data as a value of the extents that the model declares: some interfaces of the runtime can't
    /// hand out others. Where inputs have dynamic extents, declarations may be left from an example, and are not believed.
    fn with_declared_extents(&mut self, id: ValueId, declared: &onnx::ValueInfo) -> ValueId {
        let fixed = |d: &onnx::Dim| if let onnx::Dim::Fixed(n) = d { i64::try_from(*n).ok() } else { None };
        let dims: Option<Vec<i64>> = declared.shape.as_deref().and_then(|dims| dims.iter().map(fixed).collect());
        let hangs_on_data = !self.graph.shape(id).is_fixed()
            && self.graph.inputs.iter().all(|&input| self.graph.shape(input).is_fixed());
        let Some(dims) = dims.filter(|_| hangs_on_data) else { return id };
        let origin = self.graph.nodes.iter().rev().find(|n| n.outputs.contains(&id)).and_then(|n| n.origin);
        let mut b = Builder::new(self.graph, self.evaluate);
        b.set_origin(origin, &declared.name);
        let Ok(shaped) = b.reshape(id, &dims) else { return id };
        self.graph.value_mut(id).name.push_str("/before");
        shaped
    }
}

/// Names of all values that a `Cast` takes.
fn operands_of_casts(graph: &onnx::Graph) -> HashSet<&str> {
    let casts = graph.nodes.iter().filter(|n| n.op == "Cast" || n.op == "CastLike");
    casts.filter_map(|n| n.inputs.first()).map(String::as_str).collect()
}

fn is_cast(node: &Node) -> bool {
    matches!(node.op, Op::Cast { .. })
}

fn boundary_problem(name: &str, what: String, hint: String) -> Problem {
    Problem { node: name.into(), index: None, op: String::new(), opset: 0, attribute: None, what, hint }
}

/// Type of a graph input, or what is missing about it and what to do.
fn input_type(input: &onnx::ValueInfo) -> Result<Type, (String, String)> {
    let Some(dtype) = input.dtype else {
        return Err(("the input is no tensor of numbers".into(), "give the model an input of another type".into()));
    };
    let Some(dims) = &input.shape else {
        let hint = format!("pin it with --shape {}=1,3,224,224 (its real extents)", input.name);
        return Err(("the input declares no shape".into(), hint));
    };
    let dims = dims.iter().map(|d| if let onnx::Dim::Fixed(n) = d { Some(*n) } else { None });
    if let Some(n) = dims.clone().flatten().find(|&n| n > MAX_EXTENT) {
        return Err((
            format!("the input has an extent of {n}, but TFLite counts in 32 bits"),
            "give it fewer elements".into(),
        ));
    }
    Ok(Type::new(dtype, Shape(dims.collect())))
}

/// Where the file declares another type of output than its nodes compute.
fn contradiction(declared: &onnx::ValueInfo, actual: &Type) -> Option<Problem> {
    let dtype: Option<DType> = declared.dtype;
    let what = if dtype.is_some_and(|d| d != actual.dtype) {
        format!("the output is declared as {}, but computed as {}", dtype.map_or("?", DType::name), actual.dtype)
    } else {
        let dims = declared.shape.as_ref()?;
        let shape = Shape(dims.iter().map(|d| if let onnx::Dim::Fixed(n) = d { Some(*n) } else { None }).collect());
        if shape.agrees_with(&actual.shape) {
            return None;
        }
        format!("the output is declared as {shape}, but computed as {}", actual.shape)
    };
    Some(boundary_problem(&declared.name, what, "check the model with onnx.checker and shape inference".into()))
}

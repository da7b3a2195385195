//! Walks the nodes of a model, and sees to all that lowerings have in common: names, results, attributes nobody read, refusals.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::kernel_type::carrier;
use super::known::Known;
use super::quantized::restored;
use super::scope::{Frame, List, Log, Scope};
use super::{Cx, Note, Options, Problem, Refusal, Row, TABLE, custom};
use crate::graph::{
    Builder, Evaluate, Garbage, Graph, MAX_EXTENT, Node, Op, Origin, Shape, Type, ValueId, drop_unused_data,
    remove_dead,
};
use crate::onnx;
use crate::tensor::{DType, Tensor};

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
pub fn lower(mut model: onnx::Model, options: Options, evaluate: &dyn Evaluate) -> Result<Lowered, Vec<Problem>> {
    model.graph.forget_unused_results(|node| find(&node.domain, &node.op).is_some());
    super::patterns::recognize(&mut model.graph);
    let mut graph = Graph::new(std::mem::take(&mut model.graph.name));
    let mut scope = Scope { log: Log { options, ..Log::default() }, ..Scope::default() };
    let (written, known) = (&mut graph, &mut Known::default());
    let mut driver = Driver { graph: written, evaluate, known, scope: &mut scope, origin: None };
    let model = driver.lower_nodes(model.graph);
    driver.bind_outputs(&model);
    driver.note_carried();
    let Log { problems, notes, .. } = scope.log;
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
    let mut scope = Scope::default();
    let (written, known) = (&mut graph, &mut Known::default());
    Driver { graph: written, evaluate, known, scope: &mut scope, origin: None }.lower_nodes(model.graph);
    let info = |name: &String| {
        let id = scope.frames.first()?.values.get(name).copied()??;
        let ty = &graph.value(id).ty;
        let dims = ty.shape.dims().iter().map(|d| d.map_or(onnx::Dim::Unknown, onnx::Dim::Fixed));
        Some(onnx::ValueInfo { name: name.clone(), dtype: Some(ty.dtype), shape: Some(dims.collect()) })
    };
    names.iter().filter_map(info).collect()
}

/// Nodes of graphs inside nodes that are lowered, those of a loop's body more than once. Loops inside loops could ask for any number.
const MOST_NODES: usize = 1 << 16;

/// The row of an operator.
fn find(domain: &str, op: &str) -> Option<&'static Row> {
    static INDEX: OnceLock<HashMap<(&str, &str), &Row>> = OnceLock::new();
    let index = INDEX.get_or_init(|| TABLE.iter().map(|row| ((row.domain, row.op), row)).collect());
    index.get(&(domain, op)).copied()
}

/// Writes nodes into one graph.
pub(super) struct Driver<'a> {
    pub graph: &'a mut Graph,
    pub evaluate: &'a dyn Evaluate,
    pub known: &'a mut Known,
    pub scope: &'a mut Scope,
    /// Where nodes come from that no ONNX node of a body stands for.
    pub origin: Option<&'a Origin>,
}

impl Driver<'_> {
    fn add_inputs(&mut self, model: &onnx::Graph) {
        for input in &model.inputs {
            if self.scope.frames.iter().any(|frame| frame.initializers.contains_key(&input.name)) {
                continue;
            }
            let id = match input_type(input) {
                Ok(ty) => {
                    let id = self.graph.add_input(&input.name, ty);
                    self.known.add_input(id, input.shape.as_deref().unwrap_or_default());
                    Some(self.carried(id, &input.name))
                }
                Err((what, hint)) => {
                    self.scope.log.problems.push(Problem::of_boundary(&input.name, what, hint));
                    None
                }
            };
            self.bind(&input.name, id);
        }
    }

    /// Lowers the nodes of the model, which it gives back without its initializers.
    fn lower_nodes(&mut self, mut model: onnx::Graph) -> Arc<onnx::Graph> {
        let initializers = std::mem::take(&mut model.initializers);
        let model = Arc::new(model);
        self.scope.frames.push(Frame { initializers, ..Frame::new(&model, "") });
        self.add_inputs(&model);
        let mut garbage = Garbage::default();
        for (index, node) in model.nodes.iter().enumerate() {
            self.lower_node(Some(index), node);
            if garbage.is_due(self.graph) {
                let to_come = model.nodes.iter().skip(index + 1).flat_map(onnx::Node::mentioned);
                let ends = model.outputs.iter().map(|o| o.name.as_str());
                let named = to_come.chain(ends).filter_map(|name| self.scope.found(name));
                let needed: Vec<ValueId> = named.chain(self.scope.elements()).collect();
                drop_unused_data(self.graph, needed);
            }
        }
        model
    }

    /// Nodes from here on come from where the driver's own do.
    pub fn builder(&mut self) -> Builder<'_> {
        let origin = self.origin.map(|origin| self.graph.add_origin(origin.clone()));
        let scope = self.origin.map_or(String::new(), |origin| origin.name.clone());
        let mut b = Builder::new(self.graph, self.evaluate);
        b.set_origin(origin, &scope);
        b
    }

    fn bind(&mut self, name: &str, id: Option<ValueId>) {
        if let Some(frame) = self.scope.frames.last_mut() {
            frame.values.insert(name.to_string(), id);
        }
    }

    /// Lowers the nodes of `graph` here and now, on `inputs`; gives its outputs. Names of values get `prefix` in front.
    pub fn inline(
        &mut self,
        graph: &Arc<onnx::Graph>,
        inputs: &[ValueId],
        prefix: &str,
    ) -> Result<Vec<ValueId>, Refusal> {
        if graph.inputs.len() != inputs.len() {
            let what = format!("its graph takes {} values, but is given {}", graph.inputs.len(), inputs.len());
            return Err(Refusal::new(what, "check the model with onnx.checker"));
        }
        let around = self.scope.frames.last().map_or("", |frame| &frame.prefix);
        let mut frame = Frame::new(graph, &format!("{around}{prefix}"));
        let names = graph.inputs.iter().map(|input| input.name.clone());
        frame.values.extend(names.zip(inputs.iter().copied().map(Some)));
        self.scope.frames.push(frame);
        let before = self.scope.log.problems.len();
        for node in &graph.nodes {
            self.lower_node(None, node);
        }
        let outputs: Result<Vec<_>, Refusal> = graph.outputs.iter().map(|output| self.value(&output.name)).collect();
        self.scope.frames.pop();
        let outputs: Option<Vec<ValueId>> = outputs?.into_iter().collect();
        // What went wrong is told already.
        outputs.filter(|_| self.scope.log.problems.len() == before).ok_or_else(Refusal::told)
    }

    fn lower_node(&mut self, index: Option<usize>, node: &onnx::Node) {
        let op = node.operator();
        let problem = |refusal: Refusal| Problem {
            node: node.label().to_string(),
            index,
            op: op.clone(),
            opset: node.opset,
            attribute: refusal.attribute,
            what: refusal.what,
            hint: refusal.hint,
        };
        let refused = |driver: &mut Self, refusal: Option<Refusal>| {
            driver.scope.log.problems.extend(refusal.filter(|refusal| !refusal.is_told()).map(problem));
            node.outputs.iter().for_each(|output| driver.bind(output, None));
        };
        self.scope.log.nodes += usize::from(index.is_none());
        if self.scope.log.nodes > MOST_NODES {
            let what = "bodies of loops inside loops come to too many nodes";
            return refused(self, Some(Refusal::new(what, "write out fewer steps: --unroll 1")));
        }
        let is_custom = self.scope.log.options.custom.contains(&op);
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
        let is_list = |id: &Option<ValueId>| id.is_some_and(|id| self.scope.lists.contains_key(&id));
        if let (false, Some(i)) = (row.is_some_and(|row| row.lists), inputs.iter().position(is_list)) {
            let refusal = Refusal::new("is a sequence or an optional value, not a tensor", "take its elements");
            return refused(self, Some(refusal.about(format!("operand {i}"))));
        }
        let origin = Origin { name: node.label().to_string(), op: op.clone() };
        let origin_id = self.graph.add_origin(origin.clone());
        let name = node.outputs.iter().find(|o| !o.is_empty()).map_or("", String::as_str);
        let name = self.scope.frames.last().map_or(name.to_string(), |frame| format!("{}{name}", frame.prefix));
        let made_before = self.graph.values.len();
        let declared = if is_custom { self.declared_results(node) } else { Vec::new() };
        let mut b = Builder::new(self.graph, self.evaluate);
        b.set_origin(Some(origin_id), &name);
        let stored = match restored(&mut b, node, &mut inputs) {
            Ok(stored) => stored,
            Err(refusal) => return refused(self, Some(refusal)),
        };
        let mut cx = Cx::new(b, self.known, self.scope, (node, &origin), inputs);
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
        let notes = notes.into_iter().map(|what| Note { node: node.label().into(), op: op.clone(), what });
        self.scope.log.notes.extend(notes);
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
        named.filter_map(|output| Some(self.scope.frames.last()?.graph.declared(output))).collect()
    }

    /// `id`, which the model calls `name`, in the type it is computed in. A type that few kernels have is left behind where it enters:
    /// at inputs, constants and results. Rounding to a narrower one can only be seen where a `Cast` follows at once, or at an output.
    fn carried(&mut self, id: ValueId, name: &str) -> ValueId {
        let dtype = self.graph.dtype(id);
        let Some(carrier) = carrier(dtype) else { return id };
        self.scope.log.carried.insert(dtype);
        if let Some(Ok(data)) = self.graph.constant(id).map(|data| data.cast(carrier)) {
            let constant = self.graph.add_constant(self.graph.value(id).name.clone(), data);
            self.known.add_carrier(constant, id);
            return constant;
        }
        let producer = self.graph.nodes.last().filter(|n| n.outputs.contains(&id));
        let (origin, cast) = producer.map_or((None, None), |n| (n.origin, n.input(0).filter(|_| is_cast(n))));
        let converted = self.scope.frames.last().is_some_and(|frame| frame.converted.contains(name));
        let from = cast.filter(|_| !converted).unwrap_or(id);
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
        let log = &mut self.scope.log;
        log.notes.extend(log.carried.iter().map(|dtype| Note {
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
            match self.value(name)? {
                Some(id) => operands.push(Some(id)),
                None => return Ok(None),
            }
        }
        // Absent operands at the end are as if they had not been listed.
        while operands.last() == Some(&None) {
            operands.pop();
        }
        Ok(Some(operands))
    }

    /// What `name` stands for here; `None` where its node was refused.
    pub fn value(&mut self, name: &str) -> Result<Option<ValueId>, Refusal> {
        for depth in (0..self.scope.frames.len()).rev() {
            let frame = &self.scope.frames[depth];
            if let Some(id) = frame.values.get(name) {
                return Ok(*id);
            }
            if let Some(data) = self.scope.initializer(depth, name) {
                let id = self.graph.add_constant(format!("{}{name}", self.scope.frames[depth].prefix), data);
                let id = self.carried(id, name);
                self.scope.frames[depth].values.insert(name.to_string(), Some(id));
                return Ok(Some(id));
            }
            if let Some(why) = self.scope.frames[depth].graph.unreadable.get(name) {
                return Err(Refusal::new(format!("initializer {name:?} {why}"), ""));
            }
        }
        Err(Refusal::new(format!("initializer {name:?} is not there"), ""))
    }

    /// Gives the results their ONNX names; a value that a node merely passes on keeps the name it had.
    fn bind_results(&mut self, node: &onnx::Node, results: &[ValueId], made_before: usize) {
        let mut named = Vec::new();
        for (name, &id) in node.outputs.iter().zip(results) {
            if name.is_empty() {
                continue;
            }
            if id.0 as usize >= made_before && !named.contains(&id) {
                let prefix = self.scope.frames.last().map_or("", |frame| &frame.prefix);
                self.graph.value_mut(id).name = format!("{prefix}{name}");
                named.push(id);
            }
            self.bind(name, Some(id));
        }
    }

    fn bind_outputs(&mut self, model: &onnx::Graph) {
        let mut taken: HashSet<ValueId> = self.graph.inputs.iter().copied().collect();
        let mut names = HashSet::new();
        for output in &model.outputs {
            if !names.insert(&output.name) {
                let what = "the output is listed twice, but a signature has one of each name";
                self.scope.log.problems.push(Problem::of_boundary(&output.name, what.into(), "list it once".into()));
                continue;
            }
            let id = match self.value(&output.name) {
                Ok(Some(id)) => id,
                Ok(None) => continue,
                Err(refusal) => {
                    self.scope.log.problems.push(Problem::of_boundary(&output.name, refusal.what, String::new()));
                    continue;
                }
            };
            if let Some(list) = self.scope.lists.get(&id) {
                let (what, hint) = match list {
                    List::Sequence(_) => ("the output is a sequence", "make its elements outputs"),
                    List::Absent => ("the output is an optional value that is not there", "leave it out"),
                };
                let what = format!("{what}, but TFLite has tensors alone");
                self.scope.log.problems.push(Problem::of_boundary(&output.name, what, hint.into()));
                continue;
            }
            if self.graph.constant(id).is_some_and(Tensor::is_empty) {
                let what = "the output is a constant without elements, which interpreters can't hand out";
                let hint = "leave it out: name the others with --outputs";
                self.scope.log.problems.push(Problem::of_boundary(&output.name, what.into(), hint.into()));
                continue;
            }
            let id = self.as_declared(id, output);
            if let Some(problem) = contradiction(output, &self.graph.value(id).ty) {
                self.scope.log.problems.push(problem);
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
                Err(e) => self.scope.log.problems.push(Problem::of_boundary(&output.name, e.message, String::new())),
            }
        }
    }

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
        let hangs_on_data = self.graph.inputs.iter().all(|&input| self.graph.shape(input).is_fixed());
        if hangs_on_data { self.shaped(id, declared) } else { id }
    }

    /// A value whose extents are not known as one of the extents that are declared.
    pub fn shaped(&mut self, id: ValueId, declared: &onnx::ValueInfo) -> ValueId {
        let fixed = |d: &onnx::Dim| if let onnx::Dim::Fixed(n) = d { i64::try_from(*n).ok() } else { None };
        let dims: Option<Vec<i64>> = declared.shape.as_deref().and_then(|dims| dims.iter().map(fixed).collect());
        let Some(dims) = dims.filter(|_| !self.graph.shape(id).is_fixed()) else { return id };
        let origin = self.graph.nodes.iter().rev().find(|n| n.outputs.contains(&id)).and_then(|n| n.origin);
        let mut b = Builder::new(self.graph, self.evaluate);
        b.set_origin(origin, &declared.name);
        // RESHAPE counts elements before there are any, and fails; this takes any number where an extent is open.
        let shaped = b.ints(&dims).and_then(|dims| b.one(Op::BroadcastTo, &[id, dims]));
        let Some(shaped) = shaped.ok().filter(|&shaped| self.graph.shape(shaped).rank() == dims.len()) else {
            return id;
        };
        self.graph.value_mut(id).name.push_str("/before");
        shaped
    }
}

fn is_cast(node: &Node) -> bool {
    matches!(node.op, Op::Cast { .. })
}

/// Type of a graph input, or what is missing about it and what to do.
fn input_type(input: &onnx::ValueInfo) -> Result<Type, (String, String)> {
    let Some(dtype) = input.dtype else {
        let what = "the input is no tensor of numbers: TFLite has no sequences, optional values or maps, nor computes with strings";
        return Err((what.into(), "give the model tensors instead, one for each element".into()));
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
    Some(Problem::of_boundary(&declared.name, what, "check the model with onnx.checker and shape inference".into()))
}

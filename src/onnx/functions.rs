//! Functions that a model brings along: each node that calls one gives way to the nodes of its body.
//!
//! A function goes before an operator of the same domain and name (onnx.proto, `ModelProto.functions`): its body is what the model
//! means. Bodies keep the operator sets that the function imports, names of nodes and values get the calling node's in front.
//! What calls itself is refused, and so is what grows past all bounds: a few lines of a file could ask for any number of nodes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Attribute, Graph, Node, ReadError, ValueInfo};

/// Domain and name.
pub(super) type Key = (String, String);

#[derive(Debug, Default)]
pub(super) struct Function {
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Attributes that a call may give.
    pub attributes: Vec<String>,
    /// Attributes that a call may leave out.
    pub defaults: IndexMap<String, Attribute>,
    pub nodes: Vec<Node>,
    /// Version of the standard operators in the body.
    pub opset: i64,
}

/// Levels of graphs in nodes and of calls in functions, together. Whoever walks a model does so on the stack.
pub(super) const DEEPEST: usize = 64;

/// Nodes, names and numbers that calls may come to.
const LARGEST: usize = 1 << 22;

/// Puts bodies in place of calls, in `graph` and the graphs inside it.
pub(super) fn inline(graph: &mut Graph, functions: &BTreeMap<Key, Function>) -> Result<(), ReadError> {
    if functions.is_empty() {
        return Ok(());
    }
    let mut taken = HashSet::new();
    take_names(graph, &mut taken);
    Inliner { functions, taken, calls: Vec::new(), depth: 0, left: LARGEST }.graph(graph)
}

fn take_names(graph: &Graph, taken: &mut HashSet<String>) {
    taken.extend(graph.inputs.iter().chain(&graph.outputs).map(|info| info.name.clone()));
    taken.extend(graph.initializers.keys().chain(graph.unreadable.keys()).cloned());
    for node in &graph.nodes {
        taken.extend(node.inputs.iter().chain(&node.outputs).cloned());
        node.graphs().for_each(|graph| take_names(graph, taken));
    }
}

struct Inliner<'a> {
    functions: &'a BTreeMap<Key, Function>,
    /// Every name of the model, so that new ones are new.
    taken: HashSet<String>,
    /// The functions that are being inlined, each called by the one before.
    calls: Vec<&'a Key>,
    depth: usize,
    left: usize,
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut Graph) -> Result<(), ReadError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(ReadError::Invalid(format!("graphs and functions lie {DEEPEST} deep in each other")));
        }
        graph.nodes = self.nodes(std::mem::take(&mut graph.nodes))?;
        self.depth -= 1;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<Node>) -> Result<Vec<Node>, ReadError> {
        let mut done = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for graph in node.graphs_mut() {
                self.graph(graph)?;
            }
            match self.functions.get_key_value(&(node.domain.clone(), node.op.clone())) {
                Some((key, function)) => done.extend(self.call(&node, key, function)?),
                None => done.push(node),
            }
        }
        Ok(done)
    }
}

impl<'a> Inliner<'a> {
    /// The nodes that `node` stands for.
    fn call(&mut self, node: &Node, key: &'a Key, function: &'a Function) -> Result<Vec<Node>, ReadError> {
        let fail = |what: String| Err(ReadError::Invalid(format!("node {:?} ({}): {what}", node.label(), node.op)));
        if self.calls.contains(&key) {
            return fail("the function calls itself".into());
        }
        if self.depth + self.calls.len() >= DEEPEST {
            return fail(format!("graphs and functions lie {DEEPEST} deep in each other"));
        }
        if node.inputs.len() > function.inputs.len() || node.outputs.len() > function.outputs.len() {
            return fail("the function has fewer operands or results".into());
        }
        let known = |name: &String| function.attributes.contains(name) || function.defaults.contains_key(name);
        if let Some(name) = node.attributes.keys().find(|name| !known(name)) {
            return fail(format!("the function has no attribute {name:?}"));
        }
        let mut body = Body { inliner: self, call: node, function, scopes: vec![HashMap::new()] };
        let nodes = body.nodes()?;
        self.calls.push(key);
        let nodes = self.nodes(nodes)?;
        self.calls.pop();
        Ok(nodes)
    }
}

/// One call's copy of a function's nodes.
struct Body<'a, 'b> {
    inliner: &'b mut Inliner<'a>,
    call: &'b Node,
    function: &'a Function,
    /// What names stand for, one map for each graph around the place.
    scopes: Vec<HashMap<String, String>>,
}

impl Body<'_, '_> {
    fn nodes(&mut self) -> Result<Vec<Node>, ReadError> {
        let (call, function) = (self.call, self.function);
        for (i, name) in function.inputs.iter().enumerate() {
            self.bind(name, call.inputs.get(i).cloned().unwrap_or_default());
        }
        // A result that some node of the body makes has the caller's name at once; any other is a copy.
        let made = |name: &String| function.nodes.iter().any(|node| node.outputs.contains(name));
        let results = function.outputs.iter().zip(&call.outputs).filter(|(_, to)| !to.is_empty());
        let mut copies = Vec::new();
        let mut given: HashMap<&str, &str> = HashMap::new();
        for (name, to) in results {
            if made(name) && !given.contains_key(name.as_str()) {
                given.insert(name, to);
            } else {
                copies.push((name, to));
            }
        }
        let mut nodes = Vec::with_capacity(function.nodes.len());
        for node in &function.nodes {
            nodes.push(self.node(node, &given)?);
        }
        for (name, to) in copies {
            nodes.push(Node {
                name: String::new(),
                op: "Identity".into(),
                domain: String::new(),
                opset: function.opset,
                inputs: vec![self.renamed(name)?],
                outputs: vec![to.clone()],
                attributes: IndexMap::new(),
            });
        }
        Ok(nodes)
    }

    /// A copy of `node`; results that stand in `given` have names already.
    fn node(&mut self, node: &Node, given: &HashMap<&str, &str>) -> Result<Node, ReadError> {
        let lists = |attribute: &Attribute| match attribute {
            Attribute::Floats(list) => list.len(),
            Attribute::Ints(list) => list.len(),
            Attribute::Strings(list) => list.iter().map(|s| 1 + s.len()).sum(),
            Attribute::String(text) => text.len(),
            _ => 1,
        };
        let size = 1 + node.inputs.len() + node.outputs.len() + node.attributes.values().map(lists).sum::<usize>();
        let Some(left) = self.inliner.left.checked_sub(size) else {
            return Err(ReadError::Invalid("its functions call each other too often".into()));
        };
        self.inliner.left = left;
        let inputs = node.inputs.iter().map(|name| self.renamed(name)).collect::<Result<_, _>>()?;
        let mut attributes = IndexMap::new();
        for (name, attribute) in &node.attributes {
            if let Some(attribute) = self.attribute(attribute)? {
                attributes.insert(name.clone(), attribute);
            }
        }
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for name in &node.outputs {
            outputs.push(match given.get(name.as_str()) {
                Some(to) => {
                    self.bind(name, (*to).to_string());
                    (*to).to_string()
                }
                None => self.define(name),
            });
        }
        let name = if node.name.is_empty() { String::new() } else { self.under_call(&node.name) };
        Ok(Node {
            name,
            inputs,
            outputs,
            attributes,
            op: node.op.clone(),
            domain: node.domain.clone(),
            opset: node.opset,
        })
    }

    /// `None` for a reference to what the call leaves out.
    fn attribute(&mut self, attribute: &Attribute) -> Result<Option<Attribute>, ReadError> {
        Ok(match attribute {
            Attribute::Reference(name) => {
                self.call.attributes.get(name).or_else(|| self.function.defaults.get(name)).cloned()
            }
            Attribute::Graph(graph) => Some(Attribute::Graph(Arc::new(self.graph(graph)?))),
            Attribute::Graphs(graphs) => {
                Some(Attribute::Graphs(graphs.iter().map(|graph| self.graph(graph)).collect::<Result<_, _>>()?))
            }
            other => Some(other.clone()),
        })
    }

    /// A copy of a graph in a node, all names in it new: it might else hide what the caller hands in.
    fn graph(&mut self, graph: &Graph) -> Result<Graph, ReadError> {
        self.scopes.push(HashMap::new());
        let mut copy = Graph { name: graph.name.clone(), ..Graph::default() };
        for (name, data) in &graph.initializers {
            copy.initializers.insert(self.define(name), data.clone());
        }
        for (name, why) in &graph.unreadable {
            copy.unreadable.insert(self.define(name), why.clone());
        }
        for info in &graph.inputs {
            let known = self.scopes.last().and_then(|scope| scope.get(&info.name)).cloned();
            let name = known.unwrap_or_else(|| self.define(&info.name));
            copy.inputs.push(ValueInfo { name, ..info.clone() });
        }
        for node in &graph.nodes {
            copy.nodes.push(self.node(node, &HashMap::new())?);
        }
        for info in &graph.outputs {
            copy.outputs.push(ValueInfo { name: self.renamed(&info.name)?, ..info.clone() });
        }
        self.scopes.pop();
        Ok(copy)
    }

    fn bind(&mut self, name: &str, to: String) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_string(), to);
        }
    }

    fn under_call(&self, name: &str) -> String {
        format!("{}/{name}", self.call.label())
    }

    /// A new name for a value of the body.
    fn define(&mut self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        let base = self.under_call(name);
        let mut new = base.clone();
        let mut number = 1;
        while !self.inliner.taken.insert(new.clone()) {
            new = format!("{base}_{number}");
            number += 1;
        }
        self.bind(name, new.clone());
        new
    }

    /// What a value of the body is called here.
    fn renamed(&self, name: &str) -> Result<String, ReadError> {
        if name.is_empty() {
            return Ok(String::new());
        }
        let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        found.cloned().ok_or_else(|| {
            let call = format!("node {:?} ({})", self.call.label(), self.call.op);
            ReadError::Invalid(format!("{call}: the function uses {name:?}, but nothing before makes it"))
        })
    }
}

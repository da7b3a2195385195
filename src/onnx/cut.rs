//! The part of a model between given values.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Attribute, Graph, Model, Node, ValueInfo, near};

impl Model {
    /// Keeps what leads from `inputs` to `outputs`, both names of any values. No inputs at all stand for those of the model that are
    /// still needed, no outputs for the model's. `shapes` are extents that inputs will be given.
    ///
    /// # Errors
    /// All that stands in the way, a sentence each.
    pub fn cut(
        &mut self,
        inputs: &[String],
        outputs: &[String],
        shapes: &BTreeMap<String, Vec<usize>>,
    ) -> Result<(), Vec<String>> {
        let graph = &self.graph;
        let mut problems = graph.not_there(inputs, outputs);
        if !problems.is_empty() {
            return Err(problems);
        }
        let ends: Vec<String> = match outputs {
            [] => graph.outputs.iter().map(|o| o.name.clone()).collect(),
            outputs => outputs.to_vec(),
        };
        let needed = graph.needed(&ends, inputs);
        if inputs.is_empty() {
            let kept = graph.inputs.iter().filter(|i| needed.values.contains(i.name.as_str()));
            let kept = kept.cloned().collect();
            return self.keep(needed.owned(), kept, &ends);
        }
        problems.extend(graph.not_covered(&needed, inputs));
        let mut found = Vec::new();
        for name in inputs {
            match graph.as_input(name, shapes.contains_key(name)) {
                _ if !needed.values.contains(name.as_str()) => {
                    problems.push(format!("input {name:?} is not needed for the outputs: leave it out"));
                }
                Ok(info) => found.push(info),
                Err(why) => problems.push(why),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        self.keep(needed.owned(), found, &ends)
    }

    fn keep(&mut self, needed: Owned, inputs: Vec<ValueInfo>, outputs: &[String]) -> Result<(), Vec<String>> {
        let graph = &mut self.graph;
        let outputs = outputs.iter().map(|name| graph.declared(name)).collect();
        let mut kept = needed.nodes.into_iter();
        graph.nodes.retain(|_| kept.next().unwrap_or(false));
        let is_input = |name: &String| inputs.iter().any(|i| i.name == *name);
        // An initializer that is an input all the same has that as a default: it stays one, unless it was asked for.
        let stays = |name: &String| needed.values.contains(name) && !is_input(name);
        graph.initializers.retain(|name, _| stays(name));
        graph.unreadable.retain(|name, _| stays(name));
        (graph.inputs, graph.outputs) = (inputs, outputs);
        Ok(())
    }

    /// Those of `names` whose type no declaration tells in full.
    pub fn undeclared(&self, names: &[String]) -> Vec<String> {
        let known = |name: &String| {
            let info = self.graph.declared(name);
            info.dtype.is_some() && info.shape.is_some() || self.graph.initializers.contains_key(name)
        };
        names.iter().filter(|name| !known(name)).cloned().collect()
    }
}

/// What outputs are computed from.
struct Needed<'a> {
    values: HashSet<&'a str>,
    /// One flag for each node.
    nodes: Vec<bool>,
    /// Values that nothing makes, with a node that uses them where there is one.
    sources: Vec<(&'a str, Option<&'a Node>)>,
}

/// [`Needed`] that outlives a change of the graph.
struct Owned {
    values: HashSet<String>,
    nodes: Vec<bool>,
}

impl Needed<'_> {
    fn owned(&self) -> Owned {
        Owned { values: self.values.iter().map(|v| v.to_string()).collect(), nodes: self.nodes.clone() }
    }
}

impl Graph {
    /// What the file says of a value; only its name where it says nothing.
    pub fn declared(&self, name: &str) -> ValueInfo {
        let listed = self.inputs.iter().chain(&self.outputs).find(|i| i.name == name).or(self.value_info.get(name));
        listed.cloned().unwrap_or_else(|| ValueInfo { name: name.to_string(), dtype: None, shape: None })
    }

    /// Every value: inputs, initializers, results of nodes.
    fn value_names(&self) -> impl Iterator<Item = &str> {
        let results = self.nodes.iter().flat_map(|n| &n.outputs).filter(|o| !o.is_empty());
        let given = self.inputs.iter().map(|i| &i.name).chain(self.initializers.keys()).chain(self.unreadable.keys());
        given.chain(results).map(String::as_str)
    }

    fn not_there(&self, inputs: &[String], outputs: &[String]) -> Vec<String> {
        let names: HashSet<&str> = self.value_names().collect();
        let mut problems = Vec::new();
        for (what, wanted) in [("input", inputs), ("output", outputs)] {
            for (i, name) in wanted.iter().enumerate() {
                if wanted[..i].contains(name) {
                    problems.push(format!("{what} {name:?} is asked for twice"));
                } else if !names.contains(name.as_str()) {
                    let near = near::listed(name, names.iter().copied());
                    problems.push(format!("{what} {name:?}: the model has no value of that name{near}"));
                }
            }
        }
        problems
    }

    /// Walks up from `outputs`, and not past `inputs`.
    fn needed<'a>(&'a self, outputs: &'a [String], inputs: &'a [String]) -> Needed<'a> {
        let mut makers: HashMap<&str, usize> = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            makers.extend(node.outputs.iter().filter(|o| !o.is_empty()).map(|o| (o.as_str(), index)));
        }
        let mut needed = Needed { values: HashSet::new(), nodes: vec![false; self.nodes.len()], sources: Vec::new() };
        let stops: HashSet<&str> = inputs.iter().map(String::as_str).collect();
        let mut open: Vec<(&str, Option<&Node>)> = outputs.iter().map(|o| (o.as_str(), None)).collect();
        while let Some((name, user)) = open.pop() {
            if name.is_empty() || !needed.values.insert(name) || stops.contains(name) {
                continue;
            }
            let Some(&index) = makers.get(name) else {
                needed.sources.push((name, user));
                continue;
            };
            if !std::mem::replace(&mut needed.nodes[index], true) {
                let node = &self.nodes[index];
                open.extend(node.mentioned().into_iter().map(|name| (name, Some(node))));
            }
        }
        needed
    }

    /// Inputs of the model that the outputs need and that `inputs` does not stand in front of.
    fn not_covered(&self, needed: &Needed<'_>, inputs: &[String]) -> Vec<String> {
        let fed = |name: &str| {
            let listed = self.inputs.iter().any(|i| i.name == name);
            listed && !self.initializers.contains_key(name) && !inputs.iter().any(|i| i == name)
        };
        let mut open: Vec<_> = needed.sources.iter().filter(|(name, _)| fed(name)).collect();
        open.sort_by_key(|(name, _)| self.inputs.iter().position(|i| i.name == *name));
        let problem = |(name, user): &&(&str, Option<&Node>)| {
            let by = user.map_or(String::new(), |n| format!(", by node {:?} ({})", n.label(), n.op));
            format!("the outputs need the model's input {name:?} too{by}: add it to --inputs, or cut behind that node")
        };
        open.iter().map(problem).collect()
    }

    /// A value as an input; `pinned` says that its extents will be given.
    fn as_input(&self, name: &str, pinned: bool) -> Result<ValueInfo, String> {
        if let Some(data) = self.initializers.get(name) {
            let shape = data.shape().iter().map(|&n| super::Dim::Fixed(n)).collect();
            return Ok(ValueInfo { name: name.into(), dtype: Some(data.dtype()), shape: Some(shape) });
        }
        let info = self.declared(name);
        match (info.dtype, &info.shape) {
            (None, _) => Err(format!(
                "input {name:?}: the model does not say its element type: store types in it with \
                 onnx.shape_inference.infer_shapes, or cut elsewhere"
            )),
            (_, None) if !pinned => Err(format!(
                "input {name:?}: the model does not say its shape: give it with --shape {name}=1,3,224,224 (its real extents)"
            )),
            _ => Ok(info),
        }
    }
}

impl Node {
    /// Names of values that the node mentions, in nested graphs too: some of those are of the graph around.
    pub fn mentioned(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        for attribute in self.attributes.values() {
            let graphs: &[Graph] = match attribute {
                Attribute::Graph(graph) => std::slice::from_ref(graph),
                Attribute::Graphs(graphs) => graphs,
                _ => &[],
            };
            for graph in graphs {
                names.extend(graph.nodes.iter().flat_map(Node::mentioned));
                names.extend(graph.outputs.iter().map(|o| o.name.as_str()));
            }
        }
        names
    }
}

//! Names of values: each given once, and before it is used. Later stages rely on it.

use std::collections::HashSet;

use super::{Graph, Node, ReadError};

/// The names that a graph sees: its own, and those of the graphs around it.
struct Scope<'a> {
    names: HashSet<&'a str>,
    around: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn sees(&self, name: &str) -> bool {
        self.names.contains(name) || self.around.is_some_and(|around| around.sees(name))
    }
}

pub(super) fn check(graph: &Graph) -> Result<(), ReadError> {
    if graph.outputs.is_empty() {
        return Err(ReadError::Invalid("its graph has no outputs".into()));
    }
    check_graph(graph, None)
}

fn check_graph(graph: &Graph, around: Option<&Scope<'_>>) -> Result<(), ReadError> {
    let mut names: HashSet<&str> =
        graph.initializers.keys().chain(graph.unreadable.keys()).map(String::as_str).collect();
    let mut inputs = HashSet::new();
    for input in &graph.inputs {
        if !inputs.insert(input.name.as_str()) {
            return Err(ReadError::Invalid(format!("input {:?} is listed twice", input.name)));
        }
    }
    names.extend(inputs);
    let mut scope = Scope { names, around };
    for node in &graph.nodes {
        for input in node.inputs.iter().filter(|i| !i.is_empty()) {
            if !scope.sees(input) {
                let later = graph.nodes.iter().any(|n| n.outputs.contains(input));
                return Err(fault(node, format!("uses {input:?} {}", why(later))));
            }
        }
        node.graphs().try_for_each(|graph| check_graph(graph, Some(&scope)))?;
        for output in node.outputs.iter().filter(|o| !o.is_empty()) {
            if !scope.names.insert(output) {
                return Err(fault(node, format!("makes {output:?}, which is there already")));
            }
        }
    }
    match graph.outputs.iter().find(|o| !scope.sees(&o.name)) {
        Some(output) => Err(ReadError::Invalid(format!("output {:?} is made by no node", output.name))),
        None => Ok(()),
    }
}

fn why(later: bool) -> &'static str {
    if later { "before the node that makes it" } else { "but nothing makes it" }
}

fn fault(node: &Node, what: String) -> ReadError {
    ReadError::Invalid(format!("node {:?} ({}) {what}", node.label(), node.op))
}

//! Results that nothing uses.

use std::collections::HashSet;

use super::{Graph, Node};

impl Graph {
    /// Takes the names from results that nothing uses, of nodes that `of` picks: what can't be made of them need not be. A node of
    /// which nothing at all is used keeps them.
    pub fn forget_unused_results(&mut self, of: impl Fn(&Node) -> bool) {
        let mut used = HashSet::new();
        self.collect_used(&mut used);
        let used: HashSet<String> = used.into_iter().map(str::to_string).collect();
        for node in self.nodes.iter_mut().filter(|node| of(node)) {
            if node.outputs.iter().any(|output| used.contains(output)) {
                node.outputs.iter_mut().filter(|output| !used.contains(*output)).for_each(String::clear);
            }
        }
    }

    fn collect_used<'a>(&'a self, used: &mut HashSet<&'a str>) {
        used.extend(self.outputs.iter().map(|output| output.name.as_str()));
        for node in &self.nodes {
            used.extend(node.inputs.iter().map(String::as_str));
            node.graphs().for_each(|graph| graph.collect_used(used));
        }
    }
}

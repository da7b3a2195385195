//! A graph as text, one line a node: for people, and for tests that compare graphs.

use std::fmt;

use super::{Graph, ValueId};

struct Operand<'a>(&'a Graph, ValueId);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.value(self.1);
        match &value.data {
            Some(data) if data.len() <= 8 => match data.to_f64s() {
                Ok(values) => write!(f, "{values:?}"),
                Err(_) => write!(f, "<{}>", value.ty),
            },
            Some(_) => write!(f, "<{}>", value.ty),
            None => write!(f, "%{}", self.1.0),
        }
    }
}

/// A graph, indented by a number of levels: one that an operator runs stands below its node.
struct Indented<'a>(&'a Graph, usize);

impl fmt::Display for Indented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Indented(graph, depth) = *self;
        let pad = depth * 4;
        writeln!(f, "{:pad$}graph {:?}", "", graph.name)?;
        for &input in &graph.inputs {
            let value = graph.value(input);
            writeln!(f, "{:pad$}  input %{} {:?} {}", "", input.0, value.name, value.ty)?;
        }
        for node in &graph.nodes {
            write!(f, "{:pad$}  ", "")?;
            for (i, &output) in node.outputs.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                write!(f, "{comma}%{} {}", output.0, graph.value(output).ty)?;
            }
            write!(f, " = {}(", node.op.name())?;
            for (i, input) in node.inputs.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                match input {
                    Some(id) => write!(f, "{comma}{}", Operand(graph, *id))?,
                    None => write!(f, "{comma}-")?,
                }
            }
            if node.op.regions().next().is_none() {
                writeln!(f, ") {:?}", node.op)?;
                continue;
            }
            writeln!(f, ")")?;
            node.op.regions().try_for_each(|region| Indented(region, depth + 1).fmt(f))?;
        }
        for &output in &graph.outputs {
            let name = &graph.value(output).name;
            writeln!(f, "{:pad$}  output {} {name:?}", "", Operand(graph, output))?;
        }
        Ok(())
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Indented(self, 0).fmt(f)
    }
}

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

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {:?}", self.name)?;
        for &input in &self.inputs {
            let value = self.value(input);
            writeln!(f, "  input %{} {:?} {}", input.0, value.name, value.ty)?;
        }
        for node in &self.nodes {
            write!(f, "  ")?;
            for (i, &output) in node.outputs.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                write!(f, "{comma}%{} {}", output.0, self.value(output).ty)?;
            }
            write!(f, " = {}(", node.op.name())?;
            for (i, input) in node.inputs.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                match input {
                    Some(id) => write!(f, "{comma}{}", Operand(self, *id))?,
                    None => write!(f, "{comma}-")?,
                }
            }
            writeln!(f, ") {:?}", node.op)?;
        }
        for &output in &self.outputs {
            writeln!(f, "  output {} {:?}", Operand(self, output), self.value(output).name)?;
        }
        Ok(())
    }
}

//! What is told of a model: what stands in the way, and what a user may want to know.

use std::fmt;

use serde::Serialize;

/// Why one node can't be converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Name of the node, or of its first result; of an input or output where that is what is meant.
    pub node: String,
    /// Position of the node in the model; `None` for one in a graph inside another node.
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

impl Problem {
    /// Of an input or output of the model.
    pub(super) fn of_boundary(name: &str, what: String, hint: String) -> Problem {
        Problem { node: name.into(), index: None, op: String::new(), opset: 0, attribute: None, what, hint }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.node)?;
        match self.index {
            Some(index) => write!(f, " (node {index}, {} of opset {})", self.op, self.opset)?,
            None if !self.op.is_empty() => write!(f, " ({} of opset {})", self.op, self.opset)?,
            None => {}
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

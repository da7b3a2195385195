//! What the solver goes by: one range for each value.

use std::collections::BTreeMap;

use crate::graph::{Graph, ValueId};
use crate::quant::range::Range;

/// The range that was chosen for one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Name of the value, to recognize the graph by.
    pub name: String,
    /// What its scale is to span; `None` where no finite number was seen.
    pub range: Option<Range>,
    /// The lowest among the maxima of rows along the last axis. Kept for operands of a softmax only; rows that are
    /// masked as a whole don't count.
    pub lowest_row_maximum: Option<f32>,
}

/// The range of every float value that depends on the inputs, by index of the value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    pub samples: usize,
    pub values: BTreeMap<u32, Observed>,
}

impl Statistics {
    pub fn get(&self, id: ValueId) -> Option<&Observed> {
        self.values.get(&id.0)
    }

    /// The name of a value that these statistics and `graph` do not agree on.
    pub fn disagreement(&self, graph: &Graph) -> Option<&str> {
        let differs =
            |(id, seen): &(&u32, &Observed)| graph.values.get(**id as usize).is_none_or(|v| v.name != seen.name);
        self.values.iter().find(differs).map(|(_, seen)| seen.name.as_str())
    }
}

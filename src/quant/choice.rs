//! What is asked of each operator: how it computes, and how its weights are stored.
//!
//! Knows nothing of why: recipes and searches make choices, the solver and [`super::weights`] carry them out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::form::Grid;
use super::weights::WeightOptions;
use crate::graph::{Node, ValueId};

/// How numbers are stored and computed in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantize {
    /// As in the model: float32.
    #[default]
    #[serde(alias = "no_quantize")]
    None,
    /// Weights in float16, computed in float32: half the size, next to no loss.
    Float16,
    /// Weights as small integers, multiplied with data that is quantized as it comes (dynamic range): a quarter of the size, fast.
    Dynamic,
    /// Weights as small integers, computed in float32.
    Weights,
    /// 8-bit integers throughout, float32 inputs and outputs. Needs calibration samples.
    Int8,
    /// 16-bit integers with 8-bit weights. Needs calibration samples.
    Int16x8,
}

impl Quantize {
    /// As it is written in a command and in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Quantize::None => "none",
            Quantize::Float16 => "float16",
            Quantize::Dynamic => "dynamic",
            Quantize::Weights => "weights",
            Quantize::Int8 => "int8",
            Quantize::Int16x8 => "int16x8",
        }
    }

    /// Whether weights alone get another form, and results stay float.
    pub fn changes_weights(self) -> bool {
        matches!(self, Quantize::Float16 | Quantize::Dynamic | Quantize::Weights)
    }

    /// Whether results are integers whose scales calibration has to find.
    pub fn needs_calibration(self) -> bool {
        matches!(self, Quantize::Int8 | Quantize::Int16x8)
    }
}

/// What one operator is asked for. Where no kernel can do it, the report says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    pub quantize: Quantize,
    pub weights: WeightOptions,
    /// Zero points of 0 for 8-bit activations too.
    pub symmetric: bool,
}

impl Choice {
    /// The integers of activations, where they are to be integers.
    pub(super) fn grid(self) -> Option<Grid> {
        match self.quantize {
            Quantize::Int8 if self.symmetric => Some(Grid::SymmetricInt8),
            Quantize::Int8 => Some(Grid::Int8),
            Quantize::Int16x8 => Some(Grid::Int16),
            Quantize::None | Quantize::Float16 | Quantize::Dynamic | Quantize::Weights => None,
        }
    }
}

impl From<Quantize> for Choice {
    fn from(quantize: Quantize) -> Choice {
        Choice { quantize, ..Choice::default() }
    }
}

/// A choice for every node of a graph. Nodes are known by their first result: it keeps its id, whatever is put before or behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choices {
    default: Choice,
    exceptions: BTreeMap<ValueId, Choice>,
}

impl Choices {
    /// The same for all nodes.
    pub fn all(choice: impl Into<Choice>) -> Choices {
        Choices { default: choice.into(), exceptions: BTreeMap::new() }
    }

    /// Another one for the node that makes `result` first.
    pub fn set(&mut self, result: ValueId, choice: Choice) {
        self.exceptions.insert(result, choice);
    }

    pub fn of(&self, node: &Node) -> Choice {
        let exception = node.outputs.first().and_then(|id| self.exceptions.get(id));
        exception.copied().unwrap_or(self.default)
    }

    /// Whether some node is asked for what `wanted` says.
    pub fn any(&self, wanted: impl Fn(Quantize) -> bool) -> bool {
        wanted(self.default.quantize) || self.exceptions.values().any(|choice| wanted(choice.quantize))
    }
}

//! What quantization did, and what it did not and why.

use serde::Serialize;

use super::insert::Conversions;
use super::range::Range;
use crate::graph::Origin;

/// Nothing that was left out or changed is missing here.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct QuantReport {
    /// Nodes that compute in int8.
    pub int8: usize,
    /// Nodes that compute in int16, with weights of int8.
    pub int16: usize,
    /// Nodes that compute in float, in order.
    pub float: Vec<FloatNode>,
    /// Ranges that were cut by a factor of ten and more to what their users can tell apart: masks, mostly.
    pub cut: Vec<CutRange>,
    /// Weights whose scale follows from a large bias.
    pub raised: Vec<RaisedScale>,
    pub conversions: Conversions,
}

/// A node that stayed float.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FloatNode {
    /// Node of the source model; where there is none, the file itself was the source.
    pub origin: Option<Origin>,
    /// The builtin's name.
    pub op: &'static str,
    /// Name of the first result.
    pub value: String,
    pub reason: String,
}

/// A value whose scale does not span all numbers seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CutRange {
    pub value: String,
    pub seen: Range,
    pub kept: Range,
}

/// Output channels whose weights have a coarser scale than they need, so that the bias fits into 32 bits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RaisedScale {
    /// Name of the result of the layer.
    pub value: String,
    pub channels: Vec<usize>,
}

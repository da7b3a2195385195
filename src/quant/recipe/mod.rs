//! Recipes: ordered rules that say how each operator is quantized.
//!
//! Owns: what a rule says and which operators it speaks of. [`written`] reads and writes TOML, [`edge`] reads the JSON of
//! ai-edge-quantizer, [`named`] knows the recipes that go by a name there. What comes of a recipe are [`Choices`]; how these are
//! carried out is not known here, nor where a recipe came from.

mod edge;
mod named;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::Regex;
use serde::{Deserialize, Serialize};

pub use named::NAMES;

use super::choice::{Choice, Choices, Quantize};
use super::weights::{self, Granularity};
use crate::graph::{Graph, Node};
use crate::tensor::DType;

/// Rules in order: where several speak of an operator, the last one that can be followed counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// What operators, and what is asked of them. All conditions must hold; one that is left out holds for every operator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Operators by name, as ONNX or TFLite calls them.
    #[serde(default, rename = "op", skip_serializing_if = "Vec::is_empty", with = "written::one_or_more")]
    pub ops: Vec<String>,
    /// Is found in the name of the ONNX node, or of one of the values that the operator computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Pattern>,
    /// Exact names of first results.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub results: BTreeSet<String>,
    /// Operators with a float constant of at least so many elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_elements: Option<usize>,
    /// A rule without it refines what was asked for before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<Quantize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Granularity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<usize>,
    /// Zero points of 0 for 8-bit activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symmetric: Option<bool>,
    /// What the file asked for beside, and is not done.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// A regular expression that is found anywhere in a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Pattern, String> {
        // The last line of the message says what is wrong; those before it draw an arrow.
        let reason = |e: regex::Error| {
            e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
        };
        Regex::new(&text).map(Pattern).map_err(|e| format!("{text:?} is no regular expression: {}", reason(e)))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0.as_str().into()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// What became of a recipe's rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RecipeReport {
    pub rules: Vec<RuleReport>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RuleReport {
    /// The rule in words.
    pub rule: String,
    /// Operators that its conditions hold for.
    pub matched: usize,
    /// First results of those that it could be followed for; a later rule may have changed them again.
    pub applied: Vec<String>,
    /// What it asks for and does not get.
    pub notes: Vec<String>,
}

impl Recipe {
    /// Reads a recipe: TOML, or JSON as ai-edge-quantizer has it.
    ///
    /// # Errors
    /// A sentence that says what is wrong, and with which rule.
    pub fn parse(text: &str) -> Result<Recipe, String> {
        let recipe = if text.trim_start().starts_with('[') && !text.trim_start().starts_with("[[") {
            edge::parse(text)?
        } else {
            written::parse(text)?
        };
        for (i, rule) in recipe.rules.iter().enumerate() {
            rule.check().map_err(|what| format!("rule {}: {what}", i + 1))?;
        }
        Ok(recipe)
    }

    /// One of [`NAMES`]; `None` for other names.
    ///
    /// # Errors
    /// Why that recipe can't be followed.
    pub fn named(name: &str) -> Option<Result<Recipe, String>> {
        named::named(name)
    }

    /// The recipe as TOML.
    ///
    /// # Errors
    /// What the format can't hold, which no recipe leads to.
    pub fn to_toml(&self) -> Result<String, String> {
        written::write(self)
    }

    pub fn needs_calibration(&self) -> bool {
        self.rules.iter().any(|rule| rule.quantize.is_some_and(Quantize::needs_calibration))
    }

    /// What is asked of every node of a float graph: `default`, and what the rules make of it.
    pub fn choices(&self, graph: &Graph, default: Choice) -> (Choices, RecipeReport) {
        let mut choices = Choices::all(default);
        let mut followed: Vec<Followed<'_>> = self.rules.iter().map(Followed::new).collect();
        for node in &graph.nodes {
            let mut choice = default;
            for rule in &mut followed {
                rule.follow(graph, node, &mut choice);
            }
            if let (true, Some(&result)) = (choice != default, node.outputs.first()) {
                choices.set(result, choice);
            }
        }
        (choices, RecipeReport { rules: followed.into_iter().map(Followed::report).collect() })
    }
}

impl Rule {
    /// # Errors
    /// Where no kernel has what it asks for.
    fn check(&self) -> Result<(), String> {
        let asks = self.weight_bits.is_some()
            || self.granularity.is_some()
            || self.block_size.is_some()
            || self.symmetric.is_some();
        if self.quantize.is_none() && !asks {
            return Err("it asks for nothing: say quantize = \"none\" to leave operators float".into());
        }
        self.weights().map(drop)
    }

    /// The weights it asks for, where it says more than the scheme.
    fn weights(&self) -> Result<weights::WeightOptions, String> {
        weights::WeightOptions::new(self.weight_bits, self.granularity, self.block_size)
    }

    fn matches(&self, graph: &Graph, node: &Node) -> bool {
        let results = || node.outputs.iter().map(|&id| graph.value(id).name.as_str());
        let origin = graph.origin(node);
        let is_op = |op: &String| {
            op == "*" || op == node.op.name() || origin.is_some_and(|o| o.op == *op) || is_other_name(op, graph, node)
        };
        let is_named = |pattern: &Pattern| {
            origin.is_some_and(|o| pattern.0.is_match(&o.name)) || results().any(|name| pattern.0.is_match(name))
        };
        let largest = || {
            let constants = node.inputs.iter().flatten().filter_map(|&id| graph.constant(id));
            constants.filter(|data| data.dtype() == DType::F32).map(|data| data.len()).max().unwrap_or(0)
        };
        (self.ops.is_empty() || self.ops.iter().any(is_op))
            && self.name.as_ref().is_none_or(is_named)
            && (self.results.is_empty() || results().next().is_some_and(|first| self.results.contains(first)))
            && self.min_elements.is_none_or(|n| largest() >= n)
    }

    /// What it makes of an earlier choice.
    fn change(&self, choice: Choice) -> Choice {
        let mut changed = self.quantize.map_or(choice, Choice::from);
        let weights = &mut changed.weights;
        weights.granularity = self.granularity.unwrap_or(weights.granularity);
        if self.weight_bits.is_some() || self.block_size.is_some() {
            weights.bits = self.weight_bits.unwrap_or(4);
            weights.block_size = self.block_size;
        }
        changed.symmetric = self.symmetric.unwrap_or(changed.symmetric);
        changed
    }
}

/// Names that ai-edge-quantizer has for operators, and for what a node will be.
fn is_other_name(op: &str, graph: &Graph, node: &Node) -> bool {
    match op {
        "CONV_2D_TRANSPOSE" => node.op.name() == "TRANSPOSE_CONV",
        "EMBEDDING_LOOKUP" => weights::is_embedding(graph, node),
        "SELECT" => node.op.name() == "SELECT_V2",
        _ => false,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.ops.as_slice() {
            [] => {}
            ops => parts.push(ops.join(", ")),
        }
        parts.extend(self.name.iter().map(|pattern| format!("name {:?}", pattern.0.as_str())));
        if let Some(first) = self.results.first() {
            let more = self.results.len() - 1;
            parts.push(format!(
                "result {first:?}{}",
                if more > 0 { format!(" and {more} more") } else { String::new() }
            ));
        }
        parts.extend(self.min_elements.map(|n| format!("{n} weights and more")));
        write!(f, "{}:", if parts.is_empty() { "all".into() } else { parts.join(", ") })?;
        if let Some(quantize) = self.quantize {
            write!(f, " {}", quantize.name())?;
        }
        if let Some(bits) = self.weight_bits {
            write!(f, " {bits}-bit weights")?;
        }
        if let Some(size) = self.block_size {
            write!(f, " blocks of {size}")?;
        }
        match self.granularity {
            Some(Granularity::Tensor) => write!(f, " one scale a tensor")?,
            Some(Granularity::Channel) => write!(f, " one scale a channel")?,
            None => {}
        }
        match self.symmetric {
            Some(true) => write!(f, " symmetric"),
            Some(false) => write!(f, " asymmetric"),
            None => Ok(()),
        }
    }
}

/// A rule on its way through a graph.
struct Followed<'a> {
    rule: &'a Rule,
    matched: usize,
    applied: Vec<String>,
    /// What some operators don't get, with their names.
    denied: BTreeMap<(&'static str, &'static str), Vec<String>>,
}

const NO_WEIGHTS: &str = "has no weights to store otherwise: what was asked before holds";
const STAYS_FLOAT: &str = "is not quantized, so that it has no weights to refine";
const NO_FOUR_BITS: &str = "has no kernel for 4-bit weights, and gets 8";
const NO_BLOCKS: &str = "can't have its weights in such blocks, and gets a scale for each channel";

impl Followed<'_> {
    fn new(rule: &Rule) -> Followed<'_> {
        Followed { rule, matched: 0, applied: Vec::new(), denied: BTreeMap::new() }
    }

    /// Changes the choice for a node, where the rule speaks of it and can be followed.
    fn follow(&mut self, graph: &Graph, node: &Node, choice: &mut Choice) {
        if !self.rule.matches(graph, node) {
            return;
        }
        self.matched += 1;
        let wanted = self.rule.change(*choice);
        let weights = weights::slot_of(graph, node);
        let result = node.outputs.first().map(|&id| graph.value(id).name.clone()).unwrap_or_default();
        let on_floats = matches!(wanted.quantize, Quantize::Dynamic | Quantize::Weights);
        let denied = match (wanted.quantize, &weights) {
            (Quantize::None, _) if self.rule.quantize.is_none() => Some(STAYS_FLOAT),
            (Quantize::Dynamic | Quantize::Weights, None) => Some(NO_WEIGHTS),
            (Quantize::Float16, _) if !weights::has_constants(graph, node) => Some(NO_WEIGHTS),
            (_, Some(w)) if on_floats && wanted.weights.bits == 4 && !w.four_bits => Some(NO_FOUR_BITS),
            (_, Some(w)) if on_floats && wanted.weights.block_size.is_some_and(|n| !w.takes_blocks(n)) => {
                Some(NO_BLOCKS)
            }
            _ => None,
        };
        if let Some(denied) = denied {
            self.denied.entry((node.op.name(), denied)).or_default().push(result.clone());
        }
        if !matches!(denied, Some(NO_WEIGHTS | STAYS_FLOAT)) {
            *choice = wanted;
            self.applied.push(result);
        }
    }

    fn report(self) -> RuleReport {
        let mut notes = self.rule.notes.clone();
        if self.matched == 0 {
            notes.push("it matches nothing (what was merged into another operator goes by that one's name)".into());
        }
        // Most operators of a model have no weights: that is worth a word only where a rule can't be followed at all.
        let worth_a_word = |denied: &str| denied != NO_WEIGHTS || self.applied.is_empty();
        for ((op, denied), names) in self.denied.iter().filter(|((_, denied), _)| worth_a_word(denied)) {
            let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
            let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
            notes.push(format!("{op} {denied} ({}{more})", shown.join(", ")));
        }
        RuleReport { rule: self.rule.to_string(), matched: self.matched, applied: self.applied, notes }
    }
}

#[cfg(test)]
mod tests;

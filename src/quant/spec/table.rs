//! The table as a list, for documentation and tests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::weights::WeightOptions;
use super::samples::{node, operators};
use super::{Asked, Grid, Outcome, Role, Rule, Treatment, treatment};

/// What an operator does with integers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntegerKernel {
    /// The builtin's name.
    pub op: &'static str,
    pub int8: IntegerForm,
    pub int16x8: IntegerForm,
    /// Bits that its constant weights may have, where it has any.
    pub weight_bits: Vec<u8>,
}

/// How an operator is computed when integers of one kind are asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IntegerForm {
    /// On integers; the text says which scale its results have.
    Integer(String),
    /// In float, unless every kernel is asked for: what would be lost.
    OnRequest(String),
    /// In float: why.
    Float(String),
}

/// All operators by name; of those that take several forms, the one on constant weights.
pub fn integer_kernels() -> Vec<IntegerKernel> {
    let mut kernels: BTreeMap<&'static str, IntegerKernel> = BTreeMap::new();
    for (op, operands, results) in operators() {
        let (graph, node) = node(op, operands, results);
        let name = node.op.name();
        let row = |grid, bits| {
            let weights = WeightOptions { bits, ..WeightOptions::default() };
            treatment(&graph, &node, Asked { grid, weights })
        };
        let (int8, int16x8) = (row(Grid::Int8, 8), row(Grid::Int16, 8));
        if [&int8, &int16x8].contains(&&Treatment::Untouched) {
            continue;
        }
        let bits: Vec<u8> =
            [8, 4].into_iter().filter(|&bits| weight_bits(&row(Grid::Int8, bits)) == Some(bits)).collect();
        let (int8, int16x8) = (form(int8), form(int16x8));
        kernels.entry(name).or_insert(IntegerKernel { op: name, int8, int16x8, weight_bits: bits });
    }
    kernels.into_values().collect()
}

fn form(row: Treatment) -> IntegerForm {
    match row {
        Treatment::Untouched => IntegerForm::Float(String::new()),
        Treatment::Float(reason) => IntegerForm::Float(reason.into()),
        Treatment::Integer(Rule { loses: Some(lost), .. }) => IntegerForm::OnRequest(lost.into()),
        Treatment::Integer(rule) => IntegerForm::Integer(match rule.outcome {
            Outcome::Free => "a scale of its own".into(),
            Outcome::Shared => "the scale of its operands".into(),
            Outcome::Fixed(form) => {
                format!("scale 1/{}, zero point {}", (1.0 / form.params.scale).round(), form.params.zero_point)
            }
        }),
    }
}

fn weight_bits(row: &Treatment) -> Option<u8> {
    let Treatment::Integer(rule) = row else { return None };
    rule.operands.iter().find_map(|role| if let Role::Weight { bits, .. } = role { Some(*bits) } else { None })
}

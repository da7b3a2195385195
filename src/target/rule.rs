//! What a row of a table can ask of an operator.

use super::role::{self, Role};
use crate::graph::{Activation, Graph, Node, Quant, Value};
use crate::tensor::DType;

/// One thing that must hold for a target to take an operator.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// All values of this role have one of these types.
    Types(Role, &'static [DType]),
    /// Types of the first operand and the first weights, together.
    Pairs(&'static [(DType, DType)]),
    /// Operands and results have one type, which is one of these.
    Alike(&'static [DType]),
    /// Ranks of all values of this role, from and to.
    Rank(Role, usize, usize),
    Constant(Role),
    /// Every extent is known before the model runs.
    FixedShapes,
    /// Operands, weights and results are integers with scales.
    Quantized,
    /// Values of this role have one scale each.
    PerTensor(Role),
    /// Operands and results have the same scale and zero point.
    OneGrid,
    /// The activations that may be fused.
    Fused(&'static [Activation]),
    That(That),
}

/// A rule of a few operators: what must hold, said and computed.
#[derive(Clone, Copy)]
pub(super) struct That {
    pub must: &'static str,
    pub change: &'static str,
    pub holds: fn(&At<'_>) -> bool,
}

pub(super) const fn that(must: &'static str, change: &'static str, holds: fn(&At<'_>) -> bool) -> Rule {
    Rule::That(That { must, change, holds })
}

/// An operator where it stands.
pub(super) struct At<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
    pub version: i32,
}

impl<'a> At<'a> {
    pub fn operand(&self, i: usize) -> Option<&'a Value> {
        self.node.input(i).map(|id| self.graph.value(id))
    }

    pub fn result(&self) -> Option<&'a Value> {
        self.node.outputs.first().map(|&id| self.graph.value(id))
    }

    /// All values of a role, in order.
    pub fn values(&self, role: Role) -> Vec<&'a Value> {
        let operands = (0..self.node.inputs.len()).filter(|&i| role::of_operand(self.node, i) == role);
        match role {
            Role::Result => self.node.outputs.iter().map(|&id| self.graph.value(id)).collect(),
            _ => operands.filter_map(|i| self.operand(i)).collect(),
        }
    }

    pub fn first(&self, role: Role) -> Option<&'a Value> {
        self.values(role).first().copied()
    }

    /// Extents of the first value of a role, where all are known.
    pub fn dims(&self, role: Role) -> Option<Vec<usize>> {
        self.first(role)?.ty.shape.as_fixed()
    }

    pub fn dtype(&self, role: Role) -> Option<DType> {
        self.first(role).map(|value| value.ty.dtype)
    }

    /// The numbers of a constant operand of integers.
    pub fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.graph.const_ints(self.node.input(i)?)
    }
}

/// The product of extents, which may come from any file; no more than a number can be.
pub(super) fn product(extents: impl IntoIterator<Item = usize>) -> usize {
    extents.into_iter().fold(1, usize::saturating_mul)
}

impl Rule {
    /// What is wrong, and what to change; `None` where the rule holds.
    pub fn broken(&self, at: &At<'_>) -> Option<(String, String)> {
        match *self {
            Rule::Types(role, allowed) => {
                let wrong = at.values(role).into_iter().find(|value| !allowed.contains(&value.ty.dtype))?;
                let what = format!("{} is {}, not {}", called(role, wrong), wrong.ty.dtype.name(), names(allowed));
                Some((what, other_type(wrong.ty.dtype, allowed)))
            }
            Rule::Pairs(pairs) => {
                let found = (at.dtype(Role::Data)?, at.dtype(Role::Weights)?);
                let known: Vec<String> = pairs.iter().map(|(x, w)| format!("{} with {}", x.name(), w.name())).collect();
                let what =
                    format!("{} with {} weights; kernels are for {}", found.0.name(), found.1.name(), known.join(", "));
                let change = "quantize with --quantize int8, or leave the weights in float32";
                (!pairs.contains(&found)).then(|| (what, change.into()))
            }
            Rule::Alike(allowed) => {
                let first = at.first(Role::Data)?.ty.dtype;
                if !allowed.contains(&first) {
                    return Rule::Types(Role::Data, allowed).broken(at);
                }
                let values = [at.values(Role::Data), at.values(Role::Result)].concat();
                let other = values.into_iter().find(|value| value.ty.dtype != first)?;
                let what = format!("{:?} is {}, its first operand {}", other.name, other.ty.dtype.name(), first.name());
                Some((what, "quantize the operands and the result alike".into()))
            }
            Rule::Rank(role, least, most) => {
                let wrong = at.values(role).into_iter().find(|v| !(least..=most).contains(&v.ty.shape.rank()))?;
                let span = if least == most { format!("{most}") } else { format!("{least} to {most}") };
                let what = format!("{} has {} axes, not {span}", called(role, wrong), wrong.ty.shape.rank());
                Some((what, "reshape to fewer axes around the operator in the model".into()))
            }
            Rule::Constant(role) => {
                let wrong = at.values(role).into_iter().find(|value| value.data.is_none())?;
                let what = format!("{} is computed at run time", called(role, wrong));
                Some((what, "make it a constant of the model, or fix the input shapes with --shape".into()))
            }
            Rule::FixedShapes => {
                let operands = at.node.inputs.iter().flatten();
                let values = operands.chain(&at.node.outputs).map(|&id| at.graph.value(id));
                let wrong = values.into_iter().find(|value| !value.ty.shape.is_fixed())?;
                let what = format!("the shape of {:?} is only known at run time", wrong.name);
                Some((what, "fix the input shapes with --shape NAME=1,2,3 or --batch 1".into()))
            }
            Rule::Quantized => {
                let roles = [Role::Data, Role::Weights, Role::Result];
                let wrong = roles.into_iter().find_map(|role| {
                    let wrong = at.values(role).into_iter().find(|value| value.quant.is_none())?;
                    Some(called(role, wrong))
                })?;
                Some((format!("{wrong} has no scale"), "quantize the model with --quantize int8".into()))
            }
            Rule::PerTensor(role) => {
                let wrong = at.values(role).into_iter().find(|value| several_scales(value))?;
                let what = format!("{} has more than one scale", called(role, wrong));
                Some((what, "quantize it with one scale for the whole tensor".into()))
            }
            Rule::OneGrid => {
                let first = at.first(Role::Data)?;
                let values = [at.values(Role::Data), at.values(Role::Result)].concat();
                let other = values.into_iter().find(|value| value.quant != first.quant)?;
                let what = format!("{:?} has another scale than {:?}", other.name, first.name);
                Some((what, "quantize operands and result with one scale".into()))
            }
            Rule::Fused(allowed) => {
                let fused = at.node.op.activation()?;
                let known = fused == Activation::None || allowed.contains(&fused);
                let change = "keep the activation an operator of its own";
                (!known).then(|| (format!("the activation {fused:?} is fused into it"), change.into()))
            }
            Rule::That(That { must, change, holds }) => (!holds(at)).then(|| (must.into(), change.into())),
        }
    }
}

fn called(role: Role, value: &Value) -> String {
    format!("{} {:?}", role.name(), value.name)
}

fn names(types: &[DType]) -> String {
    let names: Vec<&str> = types.iter().map(|dtype| dtype.name()).collect();
    names.join(", ")
}

fn other_type(found: DType, allowed: &[DType]) -> String {
    let change = match found {
        DType::F32 if allowed.contains(&DType::I8) => "quantize the model with --quantize int8",
        DType::F16 | DType::BF16 | DType::F64 => "convert the model to float32",
        DType::I64 if allowed.contains(&DType::I32) => "use int32 in the model",
        _ => "compute it in another type, or before or after this model",
    };
    change.into()
}

fn several_scales(value: &Value) -> bool {
    match &value.quant {
        Some(Quant::Affine { scale, .. }) => scale.len() > 1,
        Some(Quant::Blockwise { .. }) => true,
        None => false,
    }
}

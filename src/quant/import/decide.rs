//! Whether a node has an integer kernel for the scales around it.

use super::super::spec::{Asked, Bound, Outcome, Role, Rule, Treatment, compares, has_int16, treatment};
use super::constants::{Weights, own_form, stored};
use super::form::Form;
use super::wanted::Wanted;
use crate::graph::{Graph, Node, Precision, Quant, ValueId};
use crate::tensor::{DType, Tensor};

/// A node on integers.
#[derive(Debug)]
pub(super) struct Plan {
    /// One for each operand.
    pub operands: Vec<Want>,
    /// Of all results that are `FLOAT32` in the float graph.
    pub form: Option<Form>,
    /// The integers of the results stand for the very numbers that the float operator would give.
    pub exact: bool,
}

/// Operands with their numbers.
type Operands = Vec<(usize, ValueId)>;

/// In what form a node takes an operand.
#[derive(Debug)]
pub(super) enum Want {
    AsItIs,
    Stored(Form),
    Constant(Tensor, Quant),
}

/// How the values that there are so far are stored.
pub(super) trait Stores {
    /// The form in which `id` was made, and whether its integers stand for it exactly.
    fn made_as(&self, id: ValueId) -> Option<(Form, bool)>;
}

const NO_INT16: &str = "there is no int16 kernel that is right";

/// Integers of averages are rounded before they are brought to the scale of the result: no more than this part of its step.
const COARSEST_AVERAGE: f64 = 1.5;

pub(super) struct Judge<'a, S> {
    pub graph: &'a Graph,
    pub wanted: &'a Wanted,
    pub stores: &'a S,
}

impl<S: Stores> Judge<'_, S> {
    /// # Errors
    /// What is in the way, as a reason.
    pub(super) fn plan(&self, node: &Node) -> Result<Plan, String> {
        let rule = match treatment(self.graph, node, Asked::default()) {
            Treatment::Integer(rule) if !compares(&node.op) => rule,
            Treatment::Float(reason) => return Err(reason.into()),
            Treatment::Integer(_) | Treatment::Untouched => return Err("it compares real numbers".into()),
        };
        if node.precision == Precision::Float {
            return Err("an inner step of its ONNX operator that 8 bits can't hold".into());
        }
        if rule.picks { self.picking(node, &rule) } else { self.computing(node, &rule) }
    }

    fn is_real(&self, id: ValueId) -> bool {
        self.graph.dtype(id) == DType::F32
    }

    /// The form in which all results are stored by all of their users.
    fn wanted(&self, node: &Node) -> Option<Form> {
        let mut forms = node.outputs.iter().filter(|id| self.is_real(**id)).map(|&id| self.wanted.form(id));
        let first = forms.next()??;
        forms.all(|form| form == Some(first)).then_some(first)
    }

    /// Real operands of a node with the given roles, by number: computed ones, and constants.
    fn data(&self, node: &Node, rule: &Rule, roles: &[Role]) -> (Operands, Operands) {
        let operands = node.inputs.iter().zip(&rule.operands).enumerate();
        let of_role = operands.filter_map(|(i, (id, role))| Some((i, (*id)?)).filter(|_| roles.contains(role)));
        of_role.filter(|(_, id)| self.is_real(*id)).partition(|(_, id)| self.graph.constant(*id).is_none())
    }

    /// Operators that move elements or pick some of them are done in whatever form these are in; where there are several, in that
    /// of the result.
    fn picking(&self, node: &Node, rule: &Rule) -> Result<Plan, String> {
        let (data, constants) = self.data(node, rule, &[Role::Shared]);
        let mut made = data.iter().map(|(_, id)| self.stores.made_as(*id));
        let common = match made.next() {
            Some(Some((form, true))) => made.all(|other| other == Some((form, true))).then_some(form),
            Some(_) => None,
            None => constants.first().and_then(|&(_, id)| own_form(self.graph, id, DType::I8, false)),
        };
        let wanted = self.wanted(node);
        let form = common.or(wanted).ok_or("its result is used as real numbers")?;
        if form.dtype == DType::I16 && !has_int16(&node.op) {
            return Err(NO_INT16.into());
        }
        let mut operands: Vec<Want> = node.inputs.iter().map(|_| Want::AsItIs).collect();
        for (i, _) in data {
            operands[i] = Want::Stored(form);
        }
        for (i, id) in constants {
            let data = self.graph.constant(id).and_then(|data| stored(data, form));
            let (data, exact) = data.ok_or("a constant can't be stored as integers")?;
            let saturates = node.outputs.iter().all(|&id| self.wanted.is_maximized(id));
            if !exact && wanted != Some(form) && !saturates {
                return Err("a constant operand has no scale in the model".into());
            }
            operands[i] = Want::Constant(data, form.quant());
        }
        Ok(Plan { operands, form: Some(form), exact: common.is_some() })
    }

    /// Operators that compute: their operands must have scales, and so must what becomes of their results.
    fn computing(&self, node: &Node, rule: &Rule) -> Result<Plan, String> {
        let (data, constants) = self.data(node, rule, &[Role::Activation, Role::Factor, Role::Shared]);
        let mut operands: Vec<Want> = node.inputs.iter().map(|_| Want::AsItIs).collect();
        let mut scales = vec![0.0; node.inputs.len()];
        for &(i, id) in &data {
            let Some((form, true)) = self.stores.made_as(id) else {
                return Err("an operand has no scale in the model".into());
            };
            (operands[i], scales[i]) = (Want::Stored(form), form.scale());
        }
        let dtype = self.one_type(node, rule, &data)?;
        for &(i, id) in &constants {
            let symmetric = rule.operands.get(i) == Some(&Role::Factor);
            let form = own_form(self.graph, id, dtype, symmetric);
            let form = form.ok_or("a constant operand has no scale in the model")?;
            let data = self.graph.constant(id).and_then(|data| stored(data, form));
            let (data, _) = data.ok_or("a constant can't be stored as integers")?;
            (operands[i], scales[i]) = (Want::Constant(data, form.quant()), form.scale());
        }
        self.layer(node, rule, &mut operands, &mut scales)?;
        let form = self.result(node, rule, &data, &scales)?;
        Ok(Plan { operands, form, exact: false })
    }

    /// The type of integers that all operands are.
    fn one_type(&self, node: &Node, rule: &Rule, data: &[(usize, ValueId)]) -> Result<DType, String> {
        let mut types = data.iter().filter_map(|&(_, id)| Some(self.stores.made_as(id)?.0.dtype));
        let first = types.next().ok_or("no operand has a scale in the model")?;
        if types.any(|dtype| dtype != first) {
            return Err("its operands are integers of different types".into());
        }
        // Kernels of 16 bits have other fixed scales, and tables that are off by some steps.
        if first == DType::I16 && (!has_int16(&node.op) || matches!(rule.outcome, Outcome::Fixed(_))) {
            return Err(NO_INT16.into());
        }
        Ok(first)
    }

    /// Weights and bias.
    fn layer(&self, node: &Node, rule: &Rule, operands: &mut [Want], scales: &mut [f64]) -> Result<(), String> {
        let mut weights = None;
        for (i, role) in rule.operands.iter().enumerate() {
            if let (Role::Weight { axis, .. }, Some(id)) = (role, node.input(i)) {
                let of = Weights::of(self.graph, id, *axis)?;
                scales[i] = of.scale.iter().copied().fold(0.0, f32::max).into();
                operands[i] = Want::Constant(of.data.clone(), of.quant());
                weights = Some(of);
            }
        }
        for (i, role) in rule.operands.iter().enumerate() {
            if let (Role::Bias { x, .. }, Some(id), Some(weights)) = (role, node.input(i), &weights) {
                let Want::Stored(form) = operands[*x] else { continue };
                let data = self.graph.constant(id).ok_or("its bias is computed at run time")?;
                let (data, quant) = weights.bias(data, form.params.scale, form.dtype == DType::I16)?;
                operands[i] = Want::Constant(data, quant);
            }
        }
        Ok(())
    }

    /// The form in which the kernel gives its results.
    fn result(
        &self,
        node: &Node,
        rule: &Rule,
        data: &[(usize, ValueId)],
        scales: &[f64],
    ) -> Result<Option<Form>, String> {
        if !node.outputs.iter().any(|id| self.is_real(*id)) {
            return Ok(None);
        }
        let wanted = self.wanted(node).ok_or("its result has no scale in the model")?;
        let made = data.first().and_then(|&(_, id)| self.stores.made_as(id)).map(|(form, _)| form);
        if made.is_none_or(|made| made.dtype != wanted.dtype) {
            return Err("its operands and its result are integers of different types".into());
        }
        match rule.outcome {
            Outcome::Free => {
                let at = |i: usize| scales.get(i).copied().unwrap_or(0.0);
                let largest = match rule.bound {
                    Bound::None => 0.0,
                    Bound::Operand => scales.iter().copied().fold(0.0, f64::max),
                    Bound::Product(a, b) => at(a) * at(b),
                };
                let fits = wanted.scale() >= largest / 128.0;
                if fits {
                    Ok(Some(wanted))
                } else {
                    Err("the scale of its result is too fine for its int8 kernel".into())
                }
            }
            Outcome::Fixed(fixed) => {
                if fixed.scale() > wanted.scale() * 1.01 {
                    return Err("the one scale that its int8 kernel has is coarser than that in the model".into());
                }
                Ok(Some(fixed))
            }
            Outcome::Shared => {
                let own = made.filter(|form| form.scale() <= wanted.scale() * COARSEST_AVERAGE);
                Ok(Some(
                    own.ok_or("its int8 kernel keeps the scale of the operand, which is coarser than the result's")?,
                ))
            }
        }
    }
}

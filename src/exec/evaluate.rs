use super::control;
use super::dense::Prepared;
use super::kernel::{Storage, compute};
use super::operand::{Operand, Operands};
use crate::graph::{Evaluate, Op, Type};
use crate::tensor::Tensor;

/// Folds operators whose operands are all constant, with the results that TFLite's kernels give.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evaluator;

impl Evaluate for Evaluator {
    fn evaluate(&self, op: &Op, inputs: &[Option<&Tensor>], _: &[Type]) -> Option<Vec<Tensor>> {
        if op.regions().next().is_some() {
            // A loop in a loop could take the product of their bounds.
            let flat = op.regions().all(|region| region.nodes.iter().all(|node| node.op.regions().next().is_none()));
            let operands = inputs.iter().map(|input| input.cloned()).collect::<Option<_>>().filter(|_| flat)?;
            return control::run(op, &control::regions(op).ok()?, operands, control::Bound::FOLD).ok();
        }
        let operands: Vec<Option<Operand>> = inputs.iter().map(|t| t.map(|t| Operand::constant(t.clone()))).collect();
        let results = compute(op, Operands(&operands), Storage::default(), &Prepared::default()).ok()?;
        Some(results.into_iter().map(|result| result.tensor).collect())
    }
}

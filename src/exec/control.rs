//! Operators that run graphs.

use super::{ExecError, KernelError, Runner};
use crate::graph::Op;
use crate::tensor::Tensor;

/// How much may be spent on a loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// Times that the body may run.
    pub steps: usize,
    /// Bytes that the values may grow to.
    pub bytes: usize,
}

impl Bound {
    /// For a whole graph that is run on purpose: far past what ends.
    pub const RUN: Bound = Bound { steps: 1 << 24, bytes: 1 << 33 };
    /// For a constant: a model may hold loops that never end, and those must not keep the conversion from ending.
    pub const FOLD: Bound = Bound { steps: 1 << 12, bytes: 1 << 24 };
}

/// The graphs that `op` runs, made ready.
pub(super) fn regions(op: &Op) -> Result<Vec<Runner>, ExecError> {
    op.regions().map(Runner::new).collect()
}

/// Results of `op`, which runs `regions`.
pub(super) fn run(
    op: &Op,
    regions: &[Runner],
    operands: Vec<Tensor>,
    bound: Bound,
) -> Result<Vec<Tensor>, KernelError> {
    let [first, second] = regions else { return Err(KernelError::unsupported(op.name())) };
    if let Op::If { .. } = op {
        let (condition, operands) =
            operands.split_first().ok_or_else(|| KernelError::operands("the condition is missing"))?;
        let branch = if is_true(condition)? { first } else { second };
        return inner(branch.run(operands));
    }
    let mut values = operands;
    for _ in 0..bound.steps {
        let conditions = inner(first.run(&values))?;
        let condition = conditions.first().ok_or_else(|| KernelError::operands("the condition has no result"))?;
        if !is_true(condition)? {
            return Ok(values);
        }
        values = inner(second.run(&values))?;
        if values.iter().map(|value| value.bytes().len()).sum::<usize>() > bound.bytes {
            return Err(KernelError::operands(format!("the loop's values grow past {} bytes", bound.bytes)));
        }
    }
    Err(KernelError::operands(format!("the loop has not ended after {} steps", bound.steps)))
}

fn is_true(condition: &Tensor) -> Result<bool, KernelError> {
    match condition.bytes().as_ref() {
        [byte] => Ok(*byte != 0),
        _ => Err(KernelError::operands(format!("a condition of shape {:?}", condition.shape()))),
    }
}

fn inner(results: Result<Vec<Tensor>, ExecError>) -> Result<Vec<Tensor>, KernelError> {
    results.map_err(|error| KernelError::operands(format!("in its graph: {error}")))
}

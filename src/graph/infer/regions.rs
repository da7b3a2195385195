//! Operators that run graphs: what goes in must fit the graph's inputs, what comes out are its outputs.

use super::{Args, InferError, Inferred};
use crate::graph::{Graph, Type, ValueId};
use crate::tensor::DType;

fn types<'a>(graph: &'a Graph, ids: &[ValueId]) -> impl Iterator<Item = &'a Type> {
    ids.iter().map(|&id| &graph.value(id).ty)
}

fn agree(a: &Type, b: &Type) -> bool {
    a.dtype == b.dtype && a.shape.agrees_with(&b.shape)
}

/// The operands from the `first` on are what `region` takes.
fn check_operands(args: &Args<'_>, first: usize, name: &str, region: &Graph) -> Result<(), InferError> {
    let given = args.inputs.len().saturating_sub(first);
    if region.inputs.len() != given {
        return Err(InferError::new(format!("{name} takes {} values, but is given {given}", region.inputs.len())));
    }
    for (i, taken) in types(region, &region.inputs).enumerate() {
        let operand = args.ty(first + i)?;
        if !agree(operand, taken) {
            return Err(InferError::new(format!("input {i} of {name} is {taken}, but is given {operand}")));
        }
    }
    Ok(())
}

/// A type of one element of `BOOL`.
fn check_condition(ty: &Type) -> Result<(), InferError> {
    if ty.dtype != DType::Bool || ty.shape.elements().is_some_and(|n| n != 1) {
        return Err(InferError::new(format!("the condition must be one bool, but is {ty}")));
    }
    Ok(())
}

/// Results have the extents that both graphs give them; others are only known at run time.
pub(super) fn if_(args: &Args<'_>, then: &Graph, otherwise: &Graph) -> Inferred {
    check_condition(args.ty(0)?)?;
    check_operands(args, 1, "the first graph", then)?;
    check_operands(args, 1, "the second graph", otherwise)?;
    if then.outputs.len() != otherwise.outputs.len() {
        let (a, b) = (then.outputs.len(), otherwise.outputs.len());
        return Err(InferError::new(format!("one graph has {a} results, the other {b}")));
    }
    let pairs = types(then, &then.outputs).zip(types(otherwise, &otherwise.outputs)).enumerate();
    pairs
        .map(|(i, (a, b))| {
            let both = a.shape.common(&b.shape).filter(|_| a.dtype == b.dtype);
            let shape =
                both.ok_or_else(|| InferError::new(format!("result {i} is {a} in one graph and {b} in the other")))?;
            Ok(Type::new(a.dtype, shape))
        })
        .collect()
}

/// Results have the types that the body takes and gives.
pub(super) fn while_(args: &Args<'_>, cond: &Graph, body: &Graph) -> Inferred {
    check_operands(args, 0, "the condition", cond)?;
    check_operands(args, 0, "the body", body)?;
    let &[condition] = cond.outputs.as_slice() else {
        return Err(InferError::new(format!("the condition has {} results", cond.outputs.len())));
    };
    check_condition(&cond.value(condition).ty)?;
    if body.outputs.len() != body.inputs.len() {
        let (taken, given) = (body.inputs.len(), body.outputs.len());
        return Err(InferError::new(format!("the body takes {taken} values and gives {given}")));
    }
    let pairs = types(body, &body.inputs).zip(types(body, &body.outputs)).enumerate();
    pairs
        .map(|(i, (taken, given))| match agree(taken, given) {
            true => Ok(taken.clone()),
            false => Err(InferError::new(format!("the body takes value {i} as {taken} and gives it as {given}"))),
        })
        .collect()
}

//! ONNX operators on sequences and optional values. Neither exists in TFLite: which tensors they hold must be known when the model is
//! converted, and then nothing is left of them.

use super::driver::Driver;
use super::region::Captures;
use super::scope::List;
use super::{Cx, Refusal, Results, concat, countable};
use crate::graph::{Op, ValueId};
use crate::tensor::Tensor;

const CHECK: &str = "check the model with onnx.checker";

/// The elements of operand `i`, which must be a sequence.
fn elements(cx: &Cx<'_>, i: usize) -> Result<Vec<ValueId>, Refusal> {
    match cx.scope.lists.get(&cx.input(i)?) {
        Some(List::Sequence(elements)) => Ok(elements.clone()),
        _ => Err(Refusal::new("must be a sequence", CHECK).about(format!("operand {i}"))),
    }
}

/// Operand `i`, which must be a tensor.
fn tensor(cx: &Cx<'_>, i: usize) -> Result<ValueId, Refusal> {
    let id = cx.input(i)?;
    match cx.scope.lists.contains_key(&id) {
        true => Err(Refusal::new("must be a tensor", CHECK).about(format!("operand {i}"))),
        false => Ok(id),
    }
}

fn sequence(cx: &mut Cx<'_>, elements: Vec<ValueId>) -> Results {
    countable(&[elements.len()])?;
    Ok(vec![cx.driver().list(List::Sequence(elements))])
}

/// The position that operand `i` gives, of `0..len` or counted from the end; `default` where it is not given.
fn position(cx: &mut Cx<'_>, i: usize, len: usize, default: usize) -> Result<usize, Refusal> {
    let Some(operand) = cx.optional(i) else { return Ok(default) };
    let Some(known) = cx.known_ints(operand) else {
        return Err(Refusal::new("must be constant", "make the position constant").about("operand position"));
    };
    let position = match known.as_slice() {
        [n] if *n < 0 => i64::try_from(len).ok().and_then(|len| len.checked_add(*n)),
        [n] => Some(*n),
        _ => None,
    };
    let position = position.and_then(|n| usize::try_from(n).ok()).filter(|&n| n < len);
    position.ok_or_else(|| Refusal::new(format!("is {known:?}, of {len}"), CHECK).about("operand position"))
}

/// Lowers ONNX `SequenceConstruct` to nothing.
///
/// # Accepts
/// Any tensors.
/// # Produces
/// Nothing: what takes the sequence takes its elements.
pub(super) fn construct(cx: &mut Cx<'_>) -> Results {
    let elements = (0..cx.input_count()).map(|i| tensor(cx, i)).collect::<Result<_, _>>()?;
    sequence(cx, elements)
}

/// Lowers ONNX `SequenceEmpty` to nothing.
///
/// # Accepts
/// Any element type.
/// # Produces
/// Nothing.
pub(super) fn empty(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["dtype"]);
    sequence(cx, Vec::new())
}

/// Lowers ONNX `SequenceAt` to nothing.
///
/// # Accepts
/// Constant positions; others where all elements have one shape.
/// # Produces
/// Nothing for a constant position, else `PACK → GATHER`.
/// # Refuses
/// A position that is only known at run time in a sequence of different shapes.
pub(super) fn at(cx: &mut Cx<'_>) -> Results {
    let elements = elements(cx, 0)?;
    let index = tensor(cx, 1)?;
    if cx.known_ints(index).is_some() {
        let position = position(cx, 1, elements.len(), 0)?;
        return Ok(vec![elements[position]]);
    }
    let ty = |id: &ValueId| &cx.b.graph.value(*id).ty;
    let alike = elements.windows(2).all(|pair| ty(&pair[0]) == ty(&pair[1]) && ty(&pair[0]).shape.is_fixed());
    if !alike || elements.is_empty() {
        let what = "is only known at run time, and the sequence holds tensors of different shapes";
        return Err(Refusal::new(what, "make the position constant").about("operand position"));
    }
    let stacked = cx.stack(&elements)?;
    let index = cx.b.reshape(index, &[])?;
    let index = cx.as_i32(index)?;
    // From the end where it is negative.
    let (zero, len) = (cx.b.scalar(0i32), cx.b.ints(&[elements.len()])?);
    let len = cx.b.reshape(len, &[])?;
    let negative = cx.b.compare(crate::graph::Compare::Less, index, zero)?;
    let from_end = cx.b.add(index, len)?;
    let index = cx.b.select(negative, from_end, index)?;
    Ok(vec![cx.b.gather(stacked, index, 0)?])
}

/// Lowers ONNX `SequenceInsert` to nothing.
///
/// # Accepts
/// Constant positions.
/// # Produces
/// Nothing.
/// # Refuses
/// A position that is only known at run time.
pub(super) fn insert(cx: &mut Cx<'_>) -> Results {
    let mut elements = elements(cx, 0)?;
    let new = tensor(cx, 1)?;
    let len = elements.len();
    // A negative position counts from the end of what is there; the end itself is a place too.
    let at_end = match cx.optional(2) {
        Some(operand) => cx.known_ints(operand).is_some_and(|known| known == [len as i64]),
        None => true,
    };
    let position = if at_end { len } else { position(cx, 2, len, len)? };
    elements.insert(position, new);
    sequence(cx, elements)
}

/// Lowers ONNX `SequenceErase` to nothing.
///
/// # Accepts
/// Constant positions.
/// # Produces
/// Nothing.
/// # Refuses
/// A position that is only known at run time.
pub(super) fn erase(cx: &mut Cx<'_>) -> Results {
    let mut elements = elements(cx, 0)?;
    let Some(last) = elements.len().checked_sub(1) else {
        return Err(Refusal::new("the sequence is empty", CHECK));
    };
    let position = position(cx, 1, elements.len(), last)?;
    elements.remove(position);
    sequence(cx, elements)
}

/// Lowers ONNX `SequenceLength` to a constant.
///
/// # Accepts
/// Any sequence.
/// # Produces
/// A constant.
pub(super) fn length(cx: &mut Cx<'_>) -> Results {
    let len = elements(cx, 0)?.len();
    Ok(vec![cx.b.constant(Tensor::scalar(len as i64))])
}

/// Lowers ONNX `SplitToSequence` to `SLICE`.
///
/// # Accepts
/// Constant sizes, one size for all parts, parts of one; `keepdims`.
/// # Produces
/// A `SLICE` for each part, `SQUEEZE` without `keepdims`.
/// # Refuses
/// Sizes or an extent that are only known at run time: the length of the sequence would be.
pub(super) fn split(cx: &mut Cx<'_>) -> Results {
    let x = tensor(cx, 0)?;
    let axis = cx.int_or("axis", 0)?;
    let axis = cx.axis(axis, x)?;
    let keep = cx.flag_or("keepdims", true)?;
    let total = cx.dim(x, axis).and_then(|n| i64::try_from(n).ok()).ok_or_else(|| {
        let hint = "pin the model's dynamic inputs with --shape NAME=..";
        Refusal::new("the extent that is split must be known", hint)
    })?;
    let operand = cx.optional(1);
    let sizes = match operand {
        None => vec![1; usize::try_from(total).unwrap_or(0)],
        Some(operand) => {
            let scalar = cx.rank(operand) == 0;
            let sizes = cx.known_operand(1, "split")?.unwrap_or_default();
            match (scalar, sizes.as_slice()) {
                (true, &[size]) if size > 0 => {
                    let parts = (total + size - 1) / size;
                    (0..parts).map(|i| size.min(total - i * size)).collect()
                }
                (false, sizes) if sizes.iter().all(|&s| s >= 0) && sizes.iter().sum::<i64>() == total => sizes.to_vec(),
                _ => return Err(Refusal::new(format!("{sizes:?} do not split {total}"), CHECK).about("operand split")),
            }
        }
    };
    countable(&[sizes.len(), cx.rank(x)])?;
    let mut parts = Vec::with_capacity(sizes.len());
    let mut start = 0;
    for size in sizes {
        let (mut begin, mut sizes) = (vec![0; cx.rank(x)], vec![-1; cx.rank(x)]);
        (begin[axis], sizes[axis]) = (start, size);
        start += size;
        let part = cx.b.slice(x, &begin, &sizes)?;
        let squeeze = Op::Squeeze { axes: vec![axis as i32] };
        parts.push(if operand.is_none() && !keep { cx.b.one(squeeze, &[part])? } else { part });
    }
    sequence(cx, parts)
}

/// Lowers ONNX `ConcatFromSequence` to `CONCATENATION`.
///
/// # Accepts
/// Any axis, also a new one.
/// # Produces
/// `CONCATENATION`, for a new axis after `EXPAND_DIMS`.
/// # Refuses
/// An empty sequence.
pub(super) fn concat(cx: &mut Cx<'_>) -> Results {
    let mut parts = elements(cx, 0)?;
    let Some(&first) = parts.first() else {
        return Err(Refusal::new("the sequence is empty", "give it at least one element"));
    };
    if cx.flag_or("new_axis", false)? {
        let axis = cx.int_or("axis", 0)?;
        let axis = cx.axis_in(axis, cx.rank(first) + 1)?;
        let axis = cx.b.scalar(axis as i32);
        parts = parts.into_iter().map(|x| cx.b.one(Op::ExpandDims, &[x, axis])).collect::<Result<_, _>>()?;
    }
    cx.acting_as("Concat", 13, parts.into_iter().map(Some).collect(), concat::concat)
}

/// Lowers ONNX `SequenceMap` to the nodes of its body.
///
/// # Accepts
/// Further sequences of the same length, tensors, operands from the graph around the body.
/// # Produces
/// The body once for each element.
pub(super) fn map(cx: &mut Cx<'_>) -> Results {
    let body = cx.graph("body")?;
    let len = elements(cx, 0)?.len();
    let mut operands = Vec::new();
    for i in 0..cx.input_count() {
        let id = cx.input(i)?;
        operands.push(match cx.scope.lists.get(&id) {
            Some(List::Sequence(elements)) if elements.len() == len => elements.clone(),
            None => vec![id; len],
            Some(_) => return Err(Refusal::new("the sequences have different lengths", CHECK)),
        });
    }
    let label = cx.label();
    let mut results = vec![Vec::new(); body.outputs.len()];
    let driver: &mut Driver<'_> = &mut cx.driver();
    // The body may run no time at all, but what it captures must be there.
    Captures::of(driver, &[body])?;
    for i in 0..len {
        let inputs: Vec<ValueId> = operands.iter().map(|elements| elements[i]).collect();
        let outputs = driver.inline(body, &inputs, &format!("{label}/{i}/"))?;
        results.iter_mut().zip(outputs).for_each(|(result, output)| result.push(output));
    }
    Ok(results.into_iter().map(|elements| driver.list(List::Sequence(elements))).collect())
}

/// Lowers ONNX `Optional` to nothing.
///
/// # Accepts
/// Tensors, sequences, nothing.
/// # Produces
/// Nothing.
pub(super) fn optional(cx: &mut Cx<'_>) -> Results {
    cx.ignore(&["type"]);
    match cx.optional(0) {
        Some(x) => Ok(vec![x]),
        None => Ok(vec![cx.driver().list(List::Absent)]),
    }
}

/// Lowers ONNX `OptionalHasElement` to a constant.
///
/// # Accepts
/// Tensors, sequences, optional values made in the model, nothing.
/// # Produces
/// A constant.
pub(super) fn has_element(cx: &mut Cx<'_>) -> Results {
    let has = cx.optional(0).is_some_and(|x| cx.scope.lists.get(&x) != Some(&List::Absent));
    Ok(vec![cx.b.constant(Tensor::from_bools(&[], &[has]))])
}

/// Lowers ONNX `OptionalGetElement` to nothing.
///
/// # Accepts
/// Tensors, sequences, optional values that hold one.
/// # Produces
/// Nothing.
/// # Refuses
/// An optional value that is not there.
pub(super) fn get_element(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    match cx.scope.lists.get(&x) {
        Some(List::Absent) => Err(Refusal::new("the optional value is not there", "take the node out of the model")),
        _ => Ok(vec![x]),
    }
}

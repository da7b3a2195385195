//! ONNX `If` and `Loop`.

use super::driver::Driver;
use super::known::Number;
use super::region::{Captures, handed_in, region};
use super::repeat::{Count, Done, Step, Stepped, Steps, UNROLL};
use super::scope::List;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Op, ValueId};
use crate::tensor::{DType, Tensor};

const CHECK: &str = "check the model with onnx.checker";

/// Lowers ONNX `If` to `IF`.
///
/// # Accepts
/// Any branches, with operands from the graph around them. Results of different extents in the two branches have dynamic ones;
/// sequences must have the same length in both.
/// # Produces
/// The nodes of one branch where the condition is constant, or follows from extents that are known; else `IF`.
/// # Refuses
/// Results of another rank or element type in each branch, where the condition is only known at run time.
pub(super) fn if_(cx: &mut Cx<'_>) -> Results {
    let condition = cx.input(0)?;
    let branches = [cx.graph("then_branch")?, cx.graph("else_branch")?];
    if branches.iter().any(|branch| branch.outputs.len() < cx.output_count() || !branch.inputs.is_empty()) {
        return Err(Refusal::new("a branch takes values, or gives too few", CHECK));
    }
    if let Some(&[known]) = cx.known_ints(condition).as_deref() {
        let branch = if known != 0 { branches[0] } else { branches[1] };
        return cx.driver().inline(branch, &[], "");
    }
    let condition = cx.b.reshape(condition, &[])?;
    let label = cx.label();
    let driver = &mut cx.driver();
    let captures = Captures::of(driver, &branches)?;
    let mut regions = Vec::new();
    let mut layouts = Vec::new();
    for (branch, name) in branches.into_iter().zip(["then", "else"]) {
        regions.push(region(driver, &format!("{label}/{name}"), &[], &captures.ids, &mut |driver, _, captured| {
            captures.bind(driver, captured);
            let outputs = driver.inline(branch, &[], "")?;
            let (flat, lengths) = flatten(driver, &outputs)?;
            layouts.push(lengths);
            Ok(flat)
        })?);
    }
    if layouts[0] != layouts[1] {
        let what = "the branches give sequences of different lengths, or an optional value in one alone";
        return Err(Refusal::new(what, "make the condition constant"));
    }
    let mut extents = Vec::new();
    let [then, otherwise] = &mut regions[..] else { return Err(Refusal::new("two branches are needed", CHECK)) };
    for (&a, &b) in then.outputs.iter().zip(&otherwise.outputs) {
        let a = then.known.extents_of(&then.graph, a);
        let b = otherwise.known.extents_of(&otherwise.graph, b);
        let pairs = a.into_iter().zip(b);
        let both: Vec<Number> = pairs.map(|(a, b)| if a == b { a } else { driver.known.unknown_extent() }).collect();
        extents.push(both);
    }
    let mut graphs = Vec::new();
    for region in regions {
        graphs.push(Box::new(region.finish(driver)?));
    }
    let mut operands = vec![Some(condition)];
    operands.extend(handed_in(driver.graph, &captures.ids).into_iter().map(Some));
    let (Some(otherwise), Some(then)) = (graphs.pop(), graphs.pop()) else { return Err(Refusal::told()) };
    let results = driver.builder().emit(Op::If { then, otherwise }, &operands).map_err(|e| {
        Refusal::new(e.message, "make the condition constant, or both branches alike: --shape pins what it may hang on")
    })?;
    for (&result, extents) in results.iter().zip(extents) {
        driver.known.set_extents(driver.graph, result, extents);
    }
    Ok(gathered(driver, &results, &layouts[0]))
}

/// How results that may be lists stand among tensors alone: `None` for a tensor, else the number of elements.
type Layout = Vec<Option<usize>>;

fn flatten(driver: &Driver<'_>, outputs: &[ValueId]) -> Result<(Vec<ValueId>, Layout), Refusal> {
    let (mut flat, mut layout) = (Vec::new(), Vec::new());
    for &id in outputs {
        match driver.scope.lists.get(&id) {
            None => {
                flat.push(id);
                layout.push(None);
            }
            Some(List::Sequence(elements)) => {
                flat.extend(elements);
                layout.push(Some(elements.len()));
            }
            Some(List::Absent) => {
                let what = "a branch gives an optional value that is not there";
                return Err(Refusal::new(what, "make the condition constant"));
            }
        }
    }
    Ok((flat, layout))
}

fn gathered(driver: &mut Driver<'_>, flat: &[ValueId], layout: &Layout) -> Vec<ValueId> {
    let mut rest = flat.iter().copied();
    let mut results = Vec::new();
    for entry in layout {
        match entry {
            None => results.extend(rest.next()),
            Some(n) => {
                let elements = rest.by_ref().take(*n).collect();
                results.push(driver.list(List::Sequence(elements)));
            }
        }
    }
    results
}

/// Lowers ONNX `Loop` to `WHILE`.
///
/// # Accepts
/// A number of steps, a condition or both; carried values whose extents change from step to step; scan outputs; operands from the
/// graph around the body.
/// # Produces
/// The steps one after the other where their number is known and at most `--unroll`, and none hangs on data; else `WHILE`. Scan
/// outputs are written into place with `DYNAMIC_UPDATE_SLICE` where all steps are taken, else appended with `CONCATENATION`.
/// # Refuses
/// In a `WHILE`: carried values whose rank changes, or that are sequences; scan outputs with an extent that only shows in the body.
pub(super) fn loop_(cx: &mut Cx<'_>) -> Results {
    let (most, condition) = (cx.optional(0), cx.optional(1));
    let body = cx.graph("body")?;
    let mut carried = Vec::new();
    for i in 2..cx.input_count() {
        carried.push(cx.input(i)?);
    }
    let states = carried.len();
    if body.inputs.len() != states + 2 || body.outputs.len() < states + 1 {
        return Err(Refusal::new("the body does not take and give what the loop carries", CHECK));
    }
    let count = match most {
        Some(most) => count(cx, most)?,
        None => Count::Unbounded,
    };
    let captures = Captures::of(&mut cx.driver(), &[body])?;
    let names: Vec<String> = body.inputs.iter().skip(2).map(|input| input.name.clone()).collect();
    let unroll = cx.unroll().unwrap_or(UNROLL);
    let steps = Steps { count, condition, carried: &carried, names: &names, captured: &captures.ids, unroll };
    let Done { mut carried, scanned } = cx.repeat(&steps, &mut |driver, step: &Step<'_>| {
        captures.bind(driver, step.captured);
        let stepped = loop_step(driver, body, step);
        driver.scope.frames.pop();
        stepped
    })?;
    carried.extend(scanned);
    Ok(carried)
}

fn loop_step(
    driver: &mut Driver<'_>,
    body: &std::sync::Arc<crate::onnx::Graph>,
    step: &Step<'_>,
) -> Result<Stepped, Refusal> {
    let index = driver.builder().cast(step.index, DType::I64)?;
    let inputs = [&[index, step.condition], step.carried].concat();
    let mut outputs = driver.inline(body, &inputs, step.prefix)?;
    let mut scanned = outputs.split_off(1 + step.carried.len());
    // Each step gives as much of these, so a declaration can be believed.
    for (row, declared) in scanned.iter_mut().zip(&body.outputs[1 + step.carried.len()..]) {
        *row = driver.shaped(*row, declared);
    }
    let carried = outputs.split_off(1);
    Ok(Stepped { condition: outputs.pop().filter(|&condition| condition != step.condition), carried, scanned })
}

/// The number of steps that a tensor of one `INT64` gives; what is past 32 bits is as good as no bound.
fn count(cx: &mut Cx<'_>, most: ValueId) -> Result<Count, Refusal> {
    if let Some(known) = cx.known_ints(most) {
        let &[n] = known.as_slice() else { return Err(Refusal::new("must be one number", CHECK).about("operand M")) };
        return Ok(match i32::try_from(n.max(0)) {
            Ok(i32::MAX) | Err(_) => Count::Unbounded,
            Ok(n) => Count::Fixed(n as usize),
        });
    }
    let largest = cx.b.constant(Tensor::scalar(i64::from(i32::MAX)));
    let most = cx.b.reshape(most, &[])?;
    let most = if cx.is_narrow(most) { most } else { cx.b.binary(Binary::Minimum, most, largest)? };
    Ok(Count::Value(cx.as_i32(most)?))
}

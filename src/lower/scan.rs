//! ONNX `Scan`.

use std::sync::Arc;

use super::driver::Driver;
use super::region::Captures;
use super::repeat::{Count, Done, Step, Stepped, Steps, UNROLL};
use super::{Cx, Refusal, Results};
use crate::graph::{Op, ValueId};
use crate::onnx;
use crate::tensor::{DType, Perm};

const CHECK: &str = "check the model with onnx.checker";

/// What a `Scan` goes over, and how.
struct Scan<'a> {
    body: &'a Arc<onnx::Graph>,
    /// Values that go from step to step, and those that are cut into steps.
    states: Vec<ValueId>,
    scanned: Vec<ValueId>,
    /// For each scanned operand, the axis along which it is cut, and whether from its end.
    inputs: Vec<(usize, bool)>,
    /// For each result of the steps, the axis along which it is stacked, and whether from its end.
    outputs: Vec<(i64, bool)>,
}

/// Lowers ONNX `Scan` to `WHILE`.
///
/// # Accepts
/// Axes and directions; operands from the graph around the body; a number of steps that is only known at run time.
/// # Produces
/// The steps one after the other where their number is at most `--unroll`; else `WHILE` with `GATHER` and `DYNAMIC_UPDATE_SLICE`. In opset 8,
/// the same for each entry of the batch.
/// # Refuses
/// `sequence_lens`; in opset 8, a batch that is only known at run time.
pub(super) fn scan(cx: &mut Cx<'_>) -> Results {
    let body = cx.graph("body")?;
    let count = cx.int_or("num_scan_inputs", 0)?;
    let batched = cx.opset() < 9;
    if batched && cx.optional(0).is_some() {
        let hint = "feed sequences of one length, and leave it out";
        return Err(Refusal::new("is not supported", hint).about("operand sequence_lens"));
    }
    let mut operands = Vec::new();
    for i in usize::from(batched)..cx.input_count() {
        operands.push(cx.input(i)?);
    }
    let states = usize::try_from(count).ok().filter(|&n| n > 0).and_then(|n| operands.len().checked_sub(n));
    let states = states.filter(|&states| body.inputs.len() == operands.len() && body.outputs.len() >= states);
    let states = states.ok_or_else(|| Refusal::new("the body does not take and give what is scanned", CHECK))?;
    let scanned = operands.split_off(states);
    let results = body.outputs.len() - states;
    if batched {
        let backwards = flags(cx, "directions", scanned.len())?;
        let inputs = backwards.into_iter().map(|backwards| (0, backwards)).collect();
        let scan = Scan { body, states: operands, scanned, inputs, outputs: vec![(0, false); results] };
        return each_of_batch(cx, scan);
    }
    let axes = numbers(cx, "scan_input_axes", scanned.len())?;
    let backwards = flags(cx, "scan_input_directions", scanned.len())?;
    let mut inputs = Vec::new();
    for ((&x, axis), backwards) in scanned.iter().zip(axes).zip(backwards) {
        inputs.push((cx.axis(axis, x)?, backwards));
    }
    let axes = numbers(cx, "scan_output_axes", results)?;
    let outputs = axes.into_iter().zip(flags(cx, "scan_output_directions", results)?).collect();
    let captures = Captures::of(&mut cx.driver(), &[body])?;
    Scan { body, states: operands, scanned, inputs, outputs }.emit(cx, &captures)
}

/// A list of numbers, one for each of `count` values; zeros where the attribute is not there.
fn numbers(cx: &Cx<'_>, name: &str, count: usize) -> Result<Vec<i64>, Refusal> {
    match cx.ints(name)? {
        None => Ok(vec![0; count]),
        Some(list) if list.len() == count => Ok(list.to_vec()),
        Some(list) => {
            let what = format!("has {} entries for {count} values", list.len());
            Err(Refusal::new(what, CHECK).about(format!("attribute {name}")))
        }
    }
}

fn flags(cx: &Cx<'_>, name: &str, count: usize) -> Result<Vec<bool>, Refusal> {
    Ok(numbers(cx, name, count)?.into_iter().map(|n| n != 0).collect())
}

/// Opset 8: the first axis of every operand and result is the batch, the second one the steps.
fn each_of_batch(cx: &mut Cx<'_>, scan: Scan<'_>) -> Results {
    let captures = Captures::of(&mut cx.driver(), &[scan.body])?;
    let first = scan.scanned.first().and_then(|&x| cx.dim(x, 0));
    let batch = first.filter(|&n| n > 0).ok_or_else(|| {
        Refusal::new("the extent of the batch must be known", "pin the model's dynamic inputs with --shape NAME=..")
    })?;
    super::countable(&[batch])?;
    let mut columns: Vec<Vec<ValueId>> = Vec::new();
    for entry in 0..batch {
        let index = cx.b.constant(crate::tensor::Tensor::scalar(i32::try_from(entry).unwrap_or(i32::MAX)));
        let mut entries = [Vec::new(), Vec::new()];
        for (list, entries) in [&scan.states, &scan.scanned].into_iter().zip(&mut entries) {
            for &x in list {
                entries.push(cx.b.gather(x, index, 0)?);
            }
        }
        let [states, scanned] = entries;
        let (inputs, outputs) = (scan.inputs.clone(), scan.outputs.clone());
        let one = Scan { body: scan.body, states, scanned, inputs, outputs };
        columns.push(one.emit(cx, &captures)?);
    }
    let results = columns.first().map_or(0, Vec::len);
    let result = |i: usize| columns.iter().map(|column| column[i]).collect::<Vec<_>>();
    (0..results).map(|i| cx.stack(&result(i))).collect()
}

impl Scan<'_> {
    fn emit(&self, cx: &mut Cx<'_>, captures: &Captures) -> Results {
        let count = self.count(cx)?;
        let mut captured = self.scanned.clone();
        if let Count::Value(count) = count {
            captured.push(count);
        }
        let own = captured.len();
        captured.extend(&captures.ids);
        let names: Vec<String> =
            self.body.inputs.iter().take(self.states.len()).map(|input| input.name.clone()).collect();
        let unroll = cx.unroll().unwrap_or(UNROLL);
        let steps = Steps { count, condition: None, carried: &self.states, names: &names, captured: &captured, unroll };
        let Done { mut carried, scanned } = cx.repeat(&steps, &mut |driver, step| {
            captures.bind(driver, &step.captured[own..]);
            let stepped = self.step(driver, count, step);
            driver.scope.frames.pop();
            stepped
        })?;
        for (&(axis, backwards), stacked) in self.outputs.iter().zip(scanned) {
            carried.push(self.placed(cx, stacked, axis, backwards)?);
        }
        Ok(carried)
    }

    /// The extent along which operands are cut.
    fn count(&self, cx: &mut Cx<'_>) -> Result<Count, Refusal> {
        let extents = self.scanned.iter().zip(&self.inputs).map(|(&x, &(axis, _))| cx.dim(x, axis));
        let known: Vec<usize> = extents.flatten().collect();
        if known.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Refusal::new(format!("the operands have {known:?} steps"), CHECK));
        }
        if let Some(&n) = known.first() {
            return Ok(Count::Fixed(n));
        }
        let (Some(&x), Some(&(axis, _))) = (self.scanned.first(), self.inputs.first()) else {
            return Err(Refusal::new("nothing is scanned", CHECK));
        };
        let shape = cx.b.one(Op::Shape { to: DType::I32 }, &[x])?;
        let extent = cx.b.slice(shape, &[axis as i64], &[1])?;
        Ok(Count::Value(cx.b.reshape(extent, &[])?))
    }

    fn step(&self, driver: &mut Driver<'_>, count: Count, step: &Step<'_>) -> Result<Stepped, Refusal> {
        let mut inputs = step.carried.to_vec();
        for (&x, &(axis, backwards)) in step.captured.iter().zip(&self.inputs) {
            let mut b = driver.builder();
            let mut index = step.index;
            if backwards {
                let one = b.scalar(1i32);
                let last = match count {
                    Count::Fixed(n) => b.scalar(i32::try_from(n).unwrap_or(i32::MAX) - 1),
                    _ => b.sub(step.captured[self.scanned.len()], one)?,
                };
                index = b.sub(last, index)?;
            }
            inputs.push(b.gather(x, index, axis)?);
        }
        let mut carried = driver.inline(self.body, &inputs, step.prefix)?;
        let scanned = carried.split_off(step.carried.len());
        Ok(Stepped { condition: None, carried, scanned })
    }

    /// What is stacked along the first axis, along `axis` instead.
    fn placed(&self, cx: &mut Cx<'_>, stacked: ValueId, axis: i64, backwards: bool) -> Result<ValueId, Refusal> {
        let axis = cx.axis(axis, stacked)?;
        let mut x = stacked;
        if backwards {
            let axes = cx.b.ints(&[0])?;
            x = cx.b.one(Op::Reverse, &[x, axes])?;
        }
        let mut perm: Vec<usize> = (1..cx.rank(x)).collect();
        perm.insert(axis, 0);
        match Perm::new(perm) {
            Some(perm) => Ok(cx.b.transpose(x, &perm)?),
            None => Ok(x),
        }
    }
}

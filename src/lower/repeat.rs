//! Steps that are taken again and again: what `Loop`, `Scan` and recurrent operators have in common.
//!
//! [`Cx::repeat`] takes a closure that emits one step. Few steps are written out, one after the other; else
//! the step becomes the body of a `WHILE`. The closure is called once for each step, or several times for a `WHILE`, until the types of the
//! carried values are those of all steps; what it emits must not depend on how often it was called before.
//!
//! The closure gets the graph to write into, which in a `WHILE` is another than the one around it. So it may use no value but those
//! that it is given: the index of the step, the values that go from step to step (*carried*), and what it *captured* of the graph around.
//! Of each step it gives the carried values for the next one and *scanned* values, which are stacked along a new first axis:
//!
//! ```ignore
//! let steps = Steps { count: Count::Fixed(n), condition: None, carried: &[h], names: &["h".into()], captured: &[xs, w], unroll: 16 };
//! let done = cx.repeat(&steps, &mut |driver, step| {
//!     let (h, &[xs, w]) = (step.carried[0], step.captured) else { .. };
//!     let mut b = driver.builder();
//!     let x = b.gather(xs, step.index, 0)?;
//!     let h = ..;
//!     Ok(Stepped { condition: None, carried: vec![h], scanned: vec![h] })
//! })?;
//! // done.carried[0] is the last h, done.scanned[0] all of them.
//! ```

use super::driver::Driver;
use super::known::Number;
use super::region::{Entry, handed_in, region};
use super::{Cx, Refusal, countable};
use crate::graph::{Binary, Compare, Op, ValueId};
use crate::tensor::{DType, Tensor};

/// Most steps of `Loop` and `Scan` that are written out where nothing else is asked for.
pub(super) const UNROLL: usize = 16;

/// How many steps there are, at most where there is a condition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    Fixed(usize),
    /// An `INT32` scalar.
    Value(ValueId),
    /// As long as the condition holds.
    Unbounded,
}

pub(super) struct Steps<'a> {
    pub count: Count,
    /// One `BOOL`: whether there is a first step. `None` for true.
    pub condition: Option<ValueId>,
    pub carried: &'a [ValueId],
    /// Names of the carried values inside.
    pub names: &'a [String],
    pub captured: &'a [ValueId],
    /// Most steps that are written out.
    pub unroll: usize,
}

/// One step, while it is emitted.
pub(super) struct Step<'a> {
    /// An `INT32` scalar; a constant where the step is written out.
    pub index: ValueId,
    /// One `BOOL`, which is true.
    pub condition: ValueId,
    pub carried: &'a [ValueId],
    pub captured: &'a [ValueId],
    /// To be put before names, as each step that is written out has them anew.
    pub prefix: &'a str,
}

/// What a step gives.
pub(super) struct Stepped {
    /// Whether there is a next step; `None` for true.
    pub condition: Option<ValueId>,
    pub carried: Vec<ValueId>,
    /// To be stacked.
    pub scanned: Vec<ValueId>,
}

/// What all steps come to.
pub(super) struct Done {
    pub carried: Vec<ValueId>,
    pub scanned: Vec<ValueId>,
}

type Emit<'a> = &'a mut dyn FnMut(&mut Driver<'_>, &Step<'_>) -> Result<Stepped, Refusal>;

impl Cx<'_> {
    /// Takes steps until there are no more; see the [module](self).
    pub fn repeat(&mut self, steps: &Steps<'_>, emit: Emit<'_>) -> Result<Done, Refusal> {
        let starts = match steps.condition {
            None => Some(true),
            Some(condition) => self.known_ints(condition).and_then(|known| known.first().map(|&c| c != 0)),
        };
        let count = match (steps.count, starts) {
            (_, Some(false)) => Count::Fixed(0),
            (Count::Value(count), _) => match self.known_ints(count).as_deref() {
                Some(&[n]) => Count::Fixed(usize::try_from(n).unwrap_or(0)),
                _ => Count::Value(count),
            },
            (count, _) => count,
        };
        if let (Count::Fixed(n), Some(_)) = (count, starts)
            && n <= steps.unroll
            && let Some(done) = self.written_out(n, steps, emit)?
        {
            return Ok(done);
        }
        Looped { count, condition: steps.condition.filter(|_| starts.is_none()), steps }.emit(&mut self.driver(), emit)
    }

    /// One step after the other; `None` where it depends on data whether there is a next one.
    fn written_out(&mut self, n: usize, steps: &Steps<'_>, emit: Emit<'_>) -> Result<Option<Done>, Refusal> {
        let nodes = self.b.graph.nodes.len();
        let notes = self.scope.log.notes.len();
        let mut carried = steps.carried.to_vec();
        let mut scanned: Vec<Vec<ValueId>> = Vec::new();
        for i in 0..n {
            let index = self.b.constant(Tensor::scalar(i32::try_from(i).unwrap_or(i32::MAX)));
            let condition = self.b.constant(Tensor::from_bools(&[], &[true]));
            let prefix = format!("{}/{i}/", self.label());
            let step = Step { index, condition, carried: &carried, captured: steps.captured, prefix: &prefix };
            let stepped = emit(&mut self.driver(), &step)?;
            carried = stepped.carried;
            scanned.push(stepped.scanned);
            let goes_on = match stepped.condition {
                Some(condition) => self.known_ints(condition).and_then(|known| known.first().map(|&c| c != 0)),
                None => Some(true),
            };
            match goes_on {
                Some(true) => {}
                Some(false) => break,
                None if i + 1 == n => {}
                None => {
                    self.b.graph.nodes.truncate(nodes);
                    self.known.forget_nodes(self.b.graph);
                    self.scope.log.notes.truncate(notes);
                    return Ok(None);
                }
            }
        }
        let Some(first) = scanned.first() else {
            let empty = Looped { count: Count::Fixed(0), condition: None, steps };
            return empty.never(&mut self.driver(), emit).map(Some);
        };
        let columns = (0..first.len()).map(|k| scanned.iter().map(|row| row[k]).collect::<Vec<_>>());
        let columns: Vec<Vec<ValueId>> = columns.collect();
        let scanned = columns.iter().map(|column| self.stack(column)).collect::<Result<_, _>>()?;
        Ok(Some(Done { carried, scanned }))
    }

    /// Values of one shape along a new first axis.
    pub fn stack(&mut self, values: &[ValueId]) -> Result<ValueId, Refusal> {
        const PACK: [DType; 6] = [DType::F32, DType::I32, DType::I64, DType::I8, DType::U8, DType::I16];
        let types = values.iter().map(|&x| &self.b.graph.value(x).ty);
        let pack = types.clone().all(|ty| PACK.contains(&ty.dtype) && ty.shape.is_fixed());
        if pack && values.len() > 1 {
            return Ok(self.b.one(Op::Pack { axis: 0 }, values)?);
        }
        let axis = self.b.scalar(0i32);
        let rows = values.iter().map(|&x| self.b.one(Op::ExpandDims, &[x, axis]));
        let rows: Vec<ValueId> = rows.collect::<Result<_, _>>()?;
        match rows.as_slice() {
            [row] => Ok(*row),
            rows => Ok(self.b.concat(rows, 0)?),
        }
    }
}

/// Steps as the body of a `WHILE`. Its values are, in this order: the index, the condition, what is carried, buffers for what is
/// scanned, what is captured, and the count where it is no constant.
struct Looped<'a> {
    count: Count,
    /// `None` for true at first.
    condition: Option<ValueId>,
    steps: &'a Steps<'a>,
}

/// What a first look at a step shows.
struct Look {
    /// As the values are at every step.
    carried: Vec<Entry>,
    scanned: Vec<Entry>,
    /// It hangs on data whether there is a next step.
    conditional: bool,
}

/// Where the index and the condition stand.
const FIXED: usize = 2;

impl Looped<'_> {
    fn emit(&self, driver: &mut Driver<'_>, emit: Emit<'_>) -> Result<Done, Refusal> {
        let look = self.look(driver, emit)?;
        let conditional = look.conditional || self.condition.is_some();
        if let (Count::Unbounded, false) = (self.count, conditional) {
            return Err(Refusal::new("the loop never ends", "give it a number of steps or a condition"));
        }
        // Where all steps are taken, their results have a place from the start; else each makes the buffer longer.
        let grows = conditional || matches!(self.count, Count::Unbounded);
        let mut values = vec![driver.builder().scalar(0i32)];
        values.push(match self.condition {
            Some(condition) => driver.builder().reshape(condition, &[])?,
            None => driver.builder().constant(Tensor::from_bools(&[], &[true])),
        });
        values.extend(self.steps.carried);
        let mut entries = vec![driver.entry(values[0], "index"), driver.entry(values[1], "condition")];
        entries.extend(look.carried.iter().cloned());
        for (k, scanned) in look.scanned.iter().enumerate() {
            let buffer = self.buffer(driver, scanned, grows)?;
            let mut entry = driver.entry(buffer, &format!("scanned{k}"));
            // What FILL makes of extents at run time, the steps give again.
            entry.extents.iter_mut().skip(1).zip(&scanned.extents).for_each(|(to, extent)| *to = *extent);
            if let (true, Some(first)) = (grows, entry.extents.first_mut()) {
                *first = driver.known.unknown_extent();
            }
            values.push(buffer);
            entries.push(entry);
        }
        let taken = values.iter().chain(self.steps.captured).copied();
        let is_empty = |id: &ValueId| driver.graph.constant(*id).is_none() || values.contains(id);
        if let Some(empty) = taken.filter(is_empty).find(|&id| driver.graph.shape(id).dims().contains(&Some(0))) {
            let name = &driver.graph.value(empty).name;
            let what = format!("{name:?} has no elements before the first step, which WHILE does not take");
            return Err(Refusal::new(what, "have all steps written out: --unroll STEPS"));
        }
        let mut captured = self.steps.captured.to_vec();
        if let Count::Value(count) = self.count {
            captured.push(count);
        }
        let states = FIXED + look.carried.len();
        let name = driver.origin.map_or("loop", |origin| origin.name.as_str()).to_string();
        let body = region(driver, &format!("{name}/body"), &entries, &captured, &mut |driver, all, captured| {
            let stepped = self.step(driver, &all[..states], captured, emit)?;
            let mut b = driver.builder();
            let one = b.scalar(1i32);
            let mut outputs = vec![b.add(all[0], one)?, stepped.condition.unwrap_or(all[1])];
            outputs[1] = b.reshape(outputs[1], &[])?;
            outputs.extend(stepped.carried);
            for (&buffer, &row) in all[states..].iter().zip(&stepped.scanned) {
                outputs.push(add_row(driver, buffer, row, all[0], grows)?);
            }
            outputs.extend(&driver.graph.inputs[all.len()..]);
            Ok(outputs)
        })?;
        let body = body.finish(driver)?;
        let cond = region(driver, &format!("{name}/condition"), &entries, &captured, &mut |driver, all, captured| {
            let mut b = driver.builder();
            let limit = match self.count {
                Count::Fixed(n) => Some(b.scalar(i32::try_from(n).unwrap_or(i32::MAX))),
                Count::Value(_) => captured.last().copied(),
                Count::Unbounded => None,
            };
            let within = limit.map(|limit| b.compare(Compare::Less, all[0], limit)).transpose()?;
            let condition = if conditional { Some(all[1]) } else { None };
            Ok(vec![match (within, condition) {
                (Some(within), Some(condition)) => b.binary(Binary::LogicalAnd, within, condition)?,
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => all[1],
            }])
        })?;
        let cond = cond.finish(driver)?;
        let operands: Vec<_> = values.into_iter().chain(handed_in(driver.graph, &captured)).map(Some).collect();
        let op = Op::While { cond: Box::new(cond), body: Box::new(body) };
        let results = driver.builder().emit(op, &operands)?;
        for (&result, entry) in results.iter().zip(entries) {
            driver.known.set_extents(driver.graph, result, entry.extents);
        }
        let buffers = results[states..states + look.scanned.len()].iter();
        let scanned = buffers.map(|&buffer| self.rows(driver, buffer, grows)).collect::<Result<_, _>>()?;
        Ok(Done { carried: results[FIXED..states].to_vec(), scanned })
    }

    /// Emits one step into a region whose first entries are `all`.
    fn step(
        &self,
        driver: &mut Driver<'_>,
        all: &[ValueId],
        captured: &[ValueId],
        emit: Emit<'_>,
    ) -> Result<Stepped, Refusal> {
        driver.known.set_count(all[0]);
        let captured = &captured[..self.steps.captured.len()];
        emit(driver, &Step { index: all[0], condition: all[1], carried: &all[FIXED..], captured, prefix: "" })
    }

    /// Emits a step to see what becomes of it, again and again until the carried values go out as they came in: an extent that
    /// changes from step to step is only known at run time.
    fn look(&self, driver: &mut Driver<'_>, emit: Emit<'_>) -> Result<Look, Refusal> {
        let index = Entry { name: "index".into(), dtype: DType::I32, extents: vec![] };
        let mut entries = vec![index.clone(), Entry { name: "condition".into(), dtype: DType::Bool, ..index }];
        for (&id, name) in self.steps.carried.iter().zip(self.steps.names) {
            entries.push(driver.entry(id, name));
        }
        let mut loose = Vec::new();
        loop {
            let notes = driver.scope.log.notes.len();
            let mut conditional = false;
            let mut looked = region(driver, "", &entries, self.steps.captured, &mut |driver, all, captured| {
                let stepped = self.step(driver, all, captured, emit)?;
                let is_true = |c: ValueId| driver.graph.const_ints(c).is_some_and(|c| c == [1]);
                conditional = stepped.condition.is_some_and(|c| c != all[1] && !is_true(c));
                let lists = &driver.scope.lists;
                if stepped.carried.iter().chain(&stepped.scanned).any(|id| lists.contains_key(id)) {
                    let what = "a sequence or optional value goes from step to step";
                    return Err(Refusal::new(what, "have all steps written out: --unroll STEPS"));
                }
                Ok(stepped.carried.into_iter().chain(stepped.scanned).collect())
            })?;
            let outputs = looked.outputs.clone();
            let mut given = outputs.iter().map(|&id| {
                let extents = looked.known.extents_of(&looked.graph, id);
                Entry { name: String::new(), dtype: looked.graph.dtype(id), extents }
            });
            let mut stable = true;
            for entry in &mut entries[FIXED..] {
                let given = given.next().ok_or_else(|| Refusal::new("a carried value is not given on", CHECK))?;
                stable &= !widen(driver, entry, &given, &mut loose)?;
            }
            if stable {
                let scanned = given.collect();
                return Ok(Look { carried: entries.split_off(FIXED), scanned, conditional });
            }
            driver.scope.log.notes.truncate(notes);
        }
    }

    /// No step at all.
    fn never(&self, driver: &mut Driver<'_>, emit: Emit<'_>) -> Result<Done, Refusal> {
        let look = self.look(driver, emit)?;
        let empty = look.scanned.iter().map(|scanned| {
            let dims = scanned.ty().shape.dims().iter().map(|d| d.unwrap_or(0)).collect::<Vec<_>>();
            let shape = [vec![0], dims].concat();
            let data = Tensor::new(scanned.dtype, shape, bytes::Bytes::new());
            let data = data.map_err(|e| Refusal::new(e.to_string(), CHECK))?;
            Ok(driver.builder().constant(data))
        });
        let scanned = empty.collect::<Result<_, Refusal>>()?;
        Ok(Done { carried: self.steps.carried.to_vec(), scanned })
    }

    /// Zeros for the rows of all steps; one row where it grows. `WHILE` takes no value without elements, so there is always one row.
    fn buffer(&self, driver: &mut Driver<'_>, row: &Entry, grows: bool) -> Result<ValueId, Refusal> {
        let first = match self.count {
            Count::Fixed(n) if !grows => driver.builder().ints(&[n.max(1)])?,
            Count::Value(count) if !grows => {
                let mut b = driver.builder();
                let (count, one) = (b.reshape(count, &[1])?, b.ints(&[1])?);
                b.binary(Binary::Maximum, count, one)?
            }
            _ => driver.builder().ints(&[1])?,
        };
        let mut dims = vec![first];
        for &extent in &row.extents {
            dims.push(match extent {
                Number::Known(n) => driver.builder().ints(&[n])?,
                extent => self.run_time_extent(driver, extent)?,
            });
        }
        if let (Count::Fixed(n), Some(fixed)) = (self.count, row.ty().shape.as_fixed()) {
            countable(&[vec![n], fixed].concat())?;
        }
        let zero = driver.builder().scalar_of(row.dtype, 0.0)?;
        let dims = driver.builder().concat(&dims, 0)?;
        Ok(driver.builder().one(Op::Fill, &[dims, zero])?)
    }

    /// The rows of a buffer that steps have written.
    fn rows(&self, driver: &mut Driver<'_>, buffer: ValueId, grows: bool) -> Result<ValueId, Refusal> {
        let extents = driver.known.extents_of(driver.graph, buffer);
        let rank = extents.len();
        let first = usize::from(grows);
        let mut b = driver.builder();
        let mut begin = vec![0; rank];
        begin[0] = first as i64;
        let all = vec![-1; rank];
        let rows = match self.count {
            Count::Fixed(n) if !grows && n > 0 => return Ok(buffer),
            Count::Value(count) if !grows => {
                let (count, others, begin) = (b.reshape(count, &[1])?, b.ints(&all[1..])?, b.ints(&begin)?);
                let size = if rank > 1 { b.concat(&[count, others], 0)? } else { count };
                b.one(Op::Slice, &[buffer, begin, size])?
            }
            _ => b.slice(buffer, &begin, &all)?,
        };
        // All extents but the first are those of the buffer.
        let mut known = driver.known.extents_of(driver.graph, rows);
        known[1..].copy_from_slice(&extents[1..]);
        driver.known.set_extents(driver.graph, rows, known);
        Ok(rows)
    }

    /// An extent of scanned values that is only known at run time: that of some value that goes in.
    fn run_time_extent(&self, driver: &mut Driver<'_>, extent: Number) -> Result<ValueId, Refusal> {
        let mut ids = [self.steps.captured, self.steps.carried].concat();
        ids.extend(&driver.graph.inputs);
        for id in ids {
            let axis = driver.known.extents_of(driver.graph, id).iter().position(|&n| n == extent);
            if let (Some(axis), Number::Extent(_)) = (axis, extent) {
                let mut b = driver.builder();
                let shape = b.one(Op::Shape { to: DType::I32 }, &[id])?;
                return Ok(b.slice(shape, &[axis as i64], &[1])?);
            }
        }
        let what = "an extent of what its steps give is only known when they are run";
        Err(Refusal::new(
            what,
            "pin the model's dynamic inputs with --shape NAME=.., or have all steps written out: --unroll STEPS",
        ))
    }
}

const CHECK: &str = "check the model with onnx.checker";

/// Takes from `entry` what is not so of what a step gives in its place; true where there was something. `loose` are extents that were
/// taken before.
fn widen(driver: &mut Driver<'_>, entry: &mut Entry, given: &Entry, loose: &mut Vec<Number>) -> Result<bool, Refusal> {
    if entry.dtype != given.dtype || entry.extents.len() != given.extents.len() {
        let (was, is) = (entry.ty(), given.ty());
        let what = format!("value {:?} goes into a step as {was} and comes out as {is}", entry.name);
        return Err(Refusal::new(what, "have all steps written out: --unroll STEPS"));
    }
    let mut changed = false;
    for (extent, given) in entry.extents.iter_mut().zip(&given.extents) {
        if extent != given && !loose.contains(extent) {
            *extent = driver.known.unknown_extent();
            loose.push(*extent);
            changed = true;
        }
    }
    Ok(changed)
}

/// The buffer with a further row, at `index` or at its end.
fn add_row(
    driver: &mut Driver<'_>,
    buffer: ValueId,
    row: ValueId,
    index: ValueId,
    grows: bool,
) -> Result<ValueId, Refusal> {
    let rank = driver.graph.shape(row).rank();
    let mut b = driver.builder();
    let axis = b.scalar(0i32);
    let row = b.one(Op::ExpandDims, &[row, axis])?;
    if grows {
        return Ok(b.concat(&[buffer, row], 0)?);
    }
    let index = b.reshape(index, &[1])?;
    let zeros = b.ints(&vec![0; rank])?;
    let start = if rank == 0 { index } else { b.concat(&[index, zeros], 0)? };
    Ok(b.one(Op::DynamicUpdateSlice, &[buffer, row, start])?)
}

use super::control::{self, Bound};
use super::dense::Prepared;
use super::kernel::{Storage, compute};
use super::operand::{Operand, Operands};
use super::reference::quantize;
use super::{ExecError, KernelError};
use crate::graph::{Execute, Graph, Op, Quant, Shape, Type, ValueId};
use crate::tensor::{DType, Tensor};

/// Who is shown every value that is computed.
type Visit<'a> = &'a mut dyn FnMut(ValueId, &Tensor);

/// A whole graph, made ready to be run many times, from many threads at once.
///
/// Constants are shared with the graph and not copied; what depends on constants alone is computed here and now; weights are packed
/// at the first run. Unknown extents are no matter: they are what the inputs of each run make them.
///
/// A node over quantized values is simulated: its operands become the reals they stand for, and its results are rounded to what
/// can be stored. Kernels on integers differ from that by a step here and there.
#[derive(Debug)]
pub struct Runner {
    inputs: Vec<Input>,
    outputs: Vec<ValueId>,
    /// By value.
    constants: Vec<Option<Operand>>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Input {
    value: ValueId,
    name: String,
    ty: Type,
}

/// A node and what running it takes.
#[derive(Debug)]
struct Step {
    /// Number of the node in the graph.
    index: usize,
    op: Op,
    operands: Vec<Option<ValueId>>,
    results: Vec<Stored>,
    /// How each operand is stored, where that is as integers that stand for reals.
    quants: Vec<Option<Quant>>,
    /// The reals that stored constants stand for, where the node is simulated.
    reals: Vec<Option<Operand>>,
    prepared: Prepared,
    /// The graphs that the operator runs.
    regions: Vec<Runner>,
    /// Name of the first result, for errors.
    name: String,
    /// The outputs depend on it.
    needed: bool,
    /// Values that no later step uses.
    last_uses: Vec<ValueId>,
}

/// A result, and how it is stored.
#[derive(Debug)]
struct Stored {
    value: ValueId,
    dtype: DType,
    quant: Option<Quant>,
}

impl Runner {
    /// # Errors
    /// Lists no more than the first node that can't be executed; where that only shows with the data, [`Runner::run`] fails.
    pub fn new(graph: &Graph) -> Result<Runner, ExecError> {
        check_ids(graph)?;
        let constants = graph.values.iter().map(|v| v.data.clone().map(Operand::constant)).collect();
        let inputs = graph.inputs.iter().map(|&value| {
            let declared = graph.value(value);
            Input { value, name: declared.name.clone(), ty: declared.ty.clone() }
        });
        let mut runner =
            Runner { inputs: inputs.collect(), outputs: graph.outputs.clone(), constants, steps: Vec::new() };
        for index in 0..graph.nodes.len() {
            let mut step = Step::new(graph, index);
            if let Op::Opaque(_) = step.op {
                return Err(step.failed(KernelError::unsupported(step.op.name())));
            }
            step.regions = control::regions(&step.op)?;
            runner.append(step)?;
        }
        runner.mark_needed();
        runner.mark_last_uses();
        let mut defined: Vec<bool> = runner.constants.iter().map(Option::is_some).collect();
        let results = runner.steps.iter().flat_map(|step| &step.results).map(|result| result.value);
        results.chain(graph.inputs.iter().copied()).for_each(|id| defined[id.0 as usize] = true);
        match runner.outputs.iter().find(|id| !defined[id.0 as usize]) {
            Some(&id) => Err(ExecError::MissingOutput(graph.value(id).name.clone())),
            None => Ok(runner),
        }
    }

    /// Takes a step in; where its operands are all constant, its results become constants instead.
    fn append(&mut self, mut step: Step) -> Result<(), ExecError> {
        step.realize_constants(&self.constants).map_err(|source| step.failed(source))?;
        let constant = |id: &ValueId| self.constants[id.0 as usize].is_some();
        if !step.operands.iter().flatten().all(constant) {
            self.steps.push(step);
            return Ok(());
        }
        let results = step.run(&self.constants, &[])?;
        for (result, operand) in step.results.iter().zip(results) {
            self.constants[result.value.0 as usize] = Some(Operand::constant(operand.tensor));
        }
        Ok(())
    }

    fn mark_needed(&mut self) {
        let mut needed = vec![false; self.constants.len()];
        self.outputs.iter().for_each(|id| needed[id.0 as usize] = true);
        for step in self.steps.iter_mut().rev() {
            step.needed = step.results.iter().any(|result| needed[result.value.0 as usize]);
            if step.needed {
                step.operands.iter().flatten().for_each(|id| needed[id.0 as usize] = true);
            }
        }
    }

    fn mark_last_uses(&mut self) {
        let mut seen = vec![false; self.constants.len()];
        self.outputs.iter().for_each(|id| seen[id.0 as usize] = true);
        for step in self.steps.iter_mut().rev() {
            let used = step.operands.iter().flatten().copied().chain(step.results.iter().map(|result| result.value));
            step.last_uses = used.filter(|id| !std::mem::replace(&mut seen[id.0 as usize], true)).collect();
        }
    }

    /// Outputs for one tensor for each input.
    ///
    /// # Errors
    /// Where the inputs don't fit the graph, or a node fails on the data.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, ExecError> {
        self.walk(inputs, None)
    }

    fn walk(&self, inputs: &[Tensor], mut visit: Option<Visit<'_>>) -> Result<Vec<Tensor>, ExecError> {
        self.check_inputs(inputs)?;
        let mut values: Vec<Option<Operand>> = vec![None; self.constants.len()];
        for (input, tensor) in self.inputs.iter().zip(inputs) {
            if let Some(visit) = &mut visit {
                visit(input.value, tensor);
            }
            values[input.value.0 as usize] = Some(tensor.clone().into());
        }
        let all = visit.is_some();
        for step in self.steps.iter().filter(|step| step.needed || all) {
            let results = step.run(&self.constants, &values)?;
            for (result, operand) in step.results.iter().zip(results) {
                if let Some(visit) = &mut visit {
                    visit(result.value, &operand.tensor);
                }
                values[result.value.0 as usize] = Some(operand);
            }
            step.last_uses.iter().for_each(|id| values[id.0 as usize] = None);
        }
        let output = |id: &ValueId| lookup(&self.constants, &values, *id).map(|operand| operand.tensor.clone());
        let missing = || ExecError::Dangling(self.outputs.first().map_or(0, |id| id.0));
        self.outputs.iter().map(|id| output(id).ok_or_else(missing)).collect()
    }

    fn check_inputs(&self, inputs: &[Tensor]) -> Result<(), ExecError> {
        if inputs.len() != self.inputs.len() {
            return Err(ExecError::InputCount { given: inputs.len(), wanted: self.inputs.len() });
        }
        for (input, tensor) in self.inputs.iter().zip(inputs) {
            let fits = tensor.dtype() == input.ty.dtype && input.ty.shape.agrees_with(&Shape::fixed(tensor.shape()));
            if !fits {
                let (name, wanted) = (input.name.clone(), input.ty.to_string());
                return Err(ExecError::Input { name, given: Type::of(tensor).to_string(), wanted });
            }
        }
        Ok(())
    }
}

impl Execute for Runner {
    fn execute(&self, inputs: &[Tensor], visit: &mut dyn FnMut(ValueId, &Tensor)) -> Result<(), String> {
        self.walk(inputs, Some(visit)).map(drop).map_err(|e| e.to_string())
    }
}

fn lookup<'a>(constants: &'a [Option<Operand>], values: &'a [Option<Operand>], id: ValueId) -> Option<&'a Operand> {
    let at = |list: &'a [Option<Operand>]| list.get(id.0 as usize).and_then(Option::as_ref);
    at(constants).or_else(|| at(values))
}

fn check_ids(graph: &Graph) -> Result<(), ExecError> {
    let of_nodes = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.outputs));
    let mut ids = of_nodes.chain(&graph.inputs).chain(&graph.outputs);
    match ids.find(|id| id.0 as usize >= graph.values.len()) {
        Some(id) => Err(ExecError::Dangling(id.0)),
        None => Ok(()),
    }
}

impl Step {
    fn new(graph: &Graph, index: usize) -> Step {
        let node = &graph.nodes[index];
        let result = |&value: &ValueId| {
            let declared = graph.value(value);
            Stored { value, dtype: declared.ty.dtype, quant: declared.quant.clone() }
        };
        Step {
            index,
            op: node.op.clone(),
            operands: node.inputs.clone(),
            results: node.outputs.iter().map(result).collect(),
            quants: node.inputs.iter().map(|id| graph.value((*id)?).quant.clone()).collect(),
            reals: vec![None; node.inputs.len()],
            prepared: Prepared::default(),
            regions: Vec::new(),
            name: node.outputs.first().map(|&id| graph.value(id).name.clone()).unwrap_or_default(),
            needed: true,
            last_uses: Vec::new(),
        }
    }

    /// Operand `i`, as a real number where it is stored as something else.
    fn operand(
        &self,
        i: usize,
        id: ValueId,
        constants: &[Option<Operand>],
        values: &[Option<Operand>],
    ) -> Result<Operand, KernelError> {
        if let Some(Some(real)) = self.reals.get(i) {
            return Ok(real.clone());
        }
        let operand = lookup(constants, values, id);
        let operand = operand.ok_or_else(|| KernelError::operands("an operand is used before it is computed"))?;
        match self.stored(i, operand) {
            Some(quant) => Ok(quantize::dequantize(&operand.tensor, Some(quant))?.into()),
            None => Ok(operand.clone()),
        }
    }

    /// How operand `i` is stored, where the kernel must be given the reals it stands for.
    fn stored(&self, i: usize, operand: &Operand) -> Option<&Quant> {
        let between = matches!(self.op, Op::Quantize { .. } | Op::Dequantize) || !self.regions.is_empty();
        self.quants.get(i)?.as_ref().filter(|_| !between && operand.tensor.dtype().is_int())
    }

    fn realize_constants(&mut self, constants: &[Option<Operand>]) -> Result<(), KernelError> {
        for (i, id) in self.operands.iter().enumerate() {
            let Some(operand) = id.and_then(|id| lookup(constants, &[], id)) else { continue };
            if let Some(quant) = self.stored(i, operand) {
                let real = match quant {
                    Quant::Blockwise { scales, zero_points: None, block_size } => {
                        let scales = lookup(constants, &[], *scales);
                        let scales = scales.ok_or_else(|| KernelError::operands("the scales are not constant"))?;
                        quantize::dequantize_blocks(&operand.tensor, &scales.tensor, *block_size)?
                    }
                    _ => quantize::dequantize(&operand.tensor, Some(quant))?,
                };
                self.reals[i] = Some(Operand::constant(real));
            }
        }
        Ok(())
    }

    fn failed(&self, source: KernelError) -> ExecError {
        ExecError::Node { index: self.index, op: self.op.name(), result: self.name.clone(), source }
    }

    fn run(&self, constants: &[Option<Operand>], values: &[Option<Operand>]) -> Result<Vec<Operand>, ExecError> {
        self.compute(constants, values).map_err(|source| self.failed(source))
    }

    fn compute(&self, constants: &[Option<Operand>], values: &[Option<Operand>]) -> Result<Vec<Operand>, KernelError> {
        let mut operands = Vec::with_capacity(self.operands.len());
        for (i, id) in self.operands.iter().enumerate() {
            operands.push(match id {
                Some(id) => Some(self.operand(i, *id, constants, values)?),
                None => None,
            });
        }
        let storage = Storage {
            operand: self.quants.first().and_then(Option::as_ref),
            result: self.results.first().and_then(|result| result.quant.as_ref()),
        };
        let mut results = if self.regions.is_empty() {
            compute(&self.op, Operands(&operands), storage, &self.prepared)?
        } else {
            let operands: Option<_> = operands.into_iter().map(|operand| Some(operand?.tensor)).collect();
            let operands = operands.ok_or_else(|| KernelError::operands("an operand is missing"))?;
            let results = control::run(&self.op, &self.regions, operands, Bound::RUN)?;
            results.into_iter().map(Operand::from).collect()
        };
        if results.len() != self.results.len() {
            return Err(KernelError::operands(format!("{} results instead of {}", results.len(), self.results.len())));
        }
        for (operand, stored) in results.iter_mut().zip(&self.results) {
            if let (Some(quant), true) = (&stored.quant, operand.tensor.dtype().is_float() && stored.dtype.is_int()) {
                *operand = quantize::quantize(&operand.tensor, quant, stored.dtype)?.into();
            }
        }
        Ok(results)
    }
}

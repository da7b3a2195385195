//! Appends nodes to a graph: types are inferred, and what depends on constants alone is computed at once.

use super::{
    Activation, Binary, Compare, Graph, InferError, Node, Op, Opaque, OriginId, Precision, Quant, Reduce, Type, Unary,
    Value, ValueId, grid, infer,
};
use crate::tensor::{DType, Element, Perm, Tensor};

/// Computes single operators on constants. `graph` owns this face of the evaluator and not the evaluator itself, so
/// that building a graph needs no knowledge of how operators are run.
pub trait Evaluate: Sync {
    /// Results of `op` on constant operands, one for each of `outputs`; `None` where it can't be computed here, which
    /// leaves the node in the graph.
    fn evaluate(&self, op: &Op, inputs: &[Option<&Tensor>], outputs: &[Type]) -> Option<Vec<Tensor>>;
}

/// Folds nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoEvaluate;

impl Evaluate for NoEvaluate {
    fn evaluate(&self, _: &Op, _: &[Option<&Tensor>], _: &[Type]) -> Option<Vec<Tensor>> {
        None
    }
}

/// Results of this size are always folded; larger ones only where they are not much larger than what they come from.
const ALWAYS_FOLDED_BYTES: usize = 1 << 20;

/// Writes nodes at the end of a graph on behalf of one source node.
pub struct Builder<'a> {
    pub graph: &'a mut Graph,
    evaluate: &'a dyn Evaluate,
    origin: Option<OriginId>,
    /// Prefix of the names of values made here.
    scope: String,
    precision: Precision,
}

impl<'a> Builder<'a> {
    pub fn new(graph: &'a mut Graph, evaluate: &'a dyn Evaluate) -> Builder<'a> {
        Builder { graph, evaluate, origin: None, scope: String::new(), precision: Precision::Any }
    }

    /// Who computes constants.
    pub fn evaluator(&self) -> &'a dyn Evaluate {
        self.evaluate
    }

    /// What is emitted from here on comes from `origin`, and its values are named after `scope`.
    pub fn set_origin(&mut self, origin: Option<OriginId>, scope: &str) {
        self.origin = origin;
        scope.clone_into(&mut self.scope);
        self.precision = Precision::Any;
    }

    /// What is emitted from here on may or may not be quantized; returns what held before.
    pub fn set_precision(&mut self, precision: Precision) -> Precision {
        std::mem::replace(&mut self.precision, precision)
    }

    /// Appends `op`, or the constants it comes to where all its operands are constant.
    ///
    /// # Errors
    /// Where types or shapes of the operands don't fit the operator.
    pub fn emit(&mut self, op: Op, inputs: &[Option<ValueId>]) -> Result<Vec<ValueId>, InferError> {
        let types = infer(self.graph, &op, inputs)?;
        if let Some((tensors, grids)) = self.fold(&op, inputs, &types) {
            let name = self.name_for(&op);
            let mut results = Vec::with_capacity(tensors.len());
            for (tensor, grid) in tensors.into_iter().zip(grids) {
                let id = self.graph.add_constant(name.clone(), tensor);
                self.graph.value_mut(id).quant = grid;
                results.push(id);
            }
            return Ok(results);
        }
        Ok(self.push(op, inputs.to_vec(), types))
    }

    /// Appends a node as it is, without folding.
    fn push(&mut self, op: Op, inputs: Vec<Option<ValueId>>, types: Vec<Type>) -> Vec<ValueId> {
        let name = self.name_for(&op);
        let mut outputs = Vec::with_capacity(types.len());
        for ty in types {
            let value = Value { name: name.clone(), ty, data: None, quant: None, variable: false };
            outputs.push(self.graph.add_value(value));
        }
        let (origin, precision) = (self.origin, self.precision);
        self.graph.nodes.push(Node { op, inputs, outputs: outputs.clone(), origin, precision });
        outputs
    }

    /// Appends an operator whose result types only the caller knows.
    pub fn opaque(&mut self, opaque: Opaque, inputs: Vec<Option<ValueId>>, types: Vec<Type>) -> Vec<ValueId> {
        self.push(Op::Opaque(Box::new(opaque)), inputs, types)
    }

    /// Appends a node of one result of a known type, even where it could be folded.
    pub(super) fn append(&mut self, op: Op, inputs: Vec<Option<ValueId>>, ty: Type) -> Result<ValueId, InferError> {
        Ok(self.push(op, inputs, vec![ty])[0])
    }

    /// [`Builder::emit`] for operators of one result whose operands are all present.
    ///
    /// # Errors
    /// As [`Builder::emit`].
    pub fn one(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, InferError> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
        Ok(self.emit(op, &inputs)?[0])
    }

    fn name_for(&self, op: &Op) -> String {
        let op = op.name().to_ascii_lowercase();
        if self.scope.is_empty() { op } else { format!("{}/{op}", self.scope) }
    }

    /// Results of `op` where all operands are constant, and the grids that they lie on.
    fn fold(&self, op: &Op, inputs: &[Option<ValueId>], types: &[Type]) -> Option<(Vec<Tensor>, Vec<Option<Quant>>)> {
        if matches!(op, Op::Opaque(_)) || inputs.iter().all(Option::is_none) {
            return None;
        }
        let mut operands = Vec::with_capacity(inputs.len());
        for &input in inputs {
            operands.push(match input {
                // A quantized constant stands for other numbers than it holds.
                Some(id) if self.graph.value(id).is_stored_as_integers() => return None,
                Some(id) => Some(self.graph.constant(id)?),
                None => None,
            });
        }
        let from: usize = operands.iter().flatten().map(|t| t.bytes().len()).sum();
        let to = types
            .iter()
            .map(|ty| ty.dtype.byte_len(ty.shape.elements().unwrap_or(0)))
            .try_fold(0usize, |sum, len| sum.checked_add(len?))?;
        if to > ALWAYS_FOLDED_BYTES && to / 4 > from {
            return None;
        }
        let tensors = self.evaluate.evaluate(op, &operands, types)?;
        let as_inferred = tensors.len() == types.len()
            && tensors
                .iter()
                .zip(types)
                .all(|(t, ty)| t.dtype() == ty.dtype && Type::of(t).shape.agrees_with(&ty.shape));
        debug_assert!(as_inferred, "{} folded to {tensors:?}, inferred {types:?}", op.name());
        let grid = |id: &Option<ValueId>| id.and_then(|id| self.graph.value(id).quant.as_ref());
        let grids: Vec<Option<&Quant>> = inputs.iter().map(grid).collect();
        let grids = grid::carried(op, &operands, &grids, types, self.evaluate);
        as_inferred.then_some((tensors, grids))
    }

    // Constants.

    pub fn constant(&mut self, data: Tensor) -> ValueId {
        let name = if self.scope.is_empty() { "const".to_string() } else { format!("{}/const", self.scope) };
        self.graph.add_constant(name, data)
    }

    /// A constant of rank 0.
    pub fn scalar<T: Element>(&mut self, value: T) -> ValueId {
        self.constant(Tensor::scalar(value))
    }

    /// An `INT32` constant of rank 1: axes, shapes, sizes.
    ///
    /// # Errors
    /// Where a number does not fit.
    pub fn ints<T: Copy + TryInto<i32>>(&mut self, values: &[T]) -> Result<ValueId, InferError> {
        let ints: Result<Vec<i32>, _> = values.iter().map(|&v| v.try_into()).collect();
        let ints = ints.map_err(|_| InferError::new("an axis, extent or index does not fit in 32 bits"))?;
        Ok(self.constant(Tensor::vector(ints)))
    }

    /// A scalar constant of the given element type; integers take the value truncated.
    ///
    /// # Errors
    /// For types that are no plain number.
    pub fn scalar_of(&mut self, dtype: DType, value: f64) -> Result<ValueId, InferError> {
        let tensor = if dtype.is_int() && value.abs() >= 2f64.powi(53) {
            Tensor::scalar(value as i64).cast(dtype)
        } else {
            Tensor::scalar(value).cast(dtype)
        };
        Ok(self.constant(tensor.map_err(|e| InferError::new(e.to_string()))?))
    }

    // Shorthands for what nearly every lowering and pass emits.

    /// # Errors
    /// As [`Builder::emit`]; so for all shorthands below.
    pub fn unary(&mut self, kind: Unary, x: ValueId) -> Result<ValueId, InferError> {
        self.one(Op::Unary(kind), &[x])
    }

    pub fn binary(&mut self, kind: Binary, a: ValueId, b: ValueId) -> Result<ValueId, InferError> {
        self.one(Op::Binary(kind, Activation::None), &[a, b])
    }

    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, InferError> {
        self.binary(Binary::Add, a, b)
    }

    pub fn sub(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, InferError> {
        self.binary(Binary::Sub, a, b)
    }

    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, InferError> {
        self.binary(Binary::Mul, a, b)
    }

    pub fn div(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, InferError> {
        self.binary(Binary::Div, a, b)
    }

    pub fn compare(&mut self, kind: Compare, a: ValueId, b: ValueId) -> Result<ValueId, InferError> {
        self.one(Op::Compare(kind), &[a, b])
    }

    pub fn select(&mut self, condition: ValueId, a: ValueId, b: ValueId) -> Result<ValueId, InferError> {
        self.one(Op::Select, &[condition, a, b])
    }

    /// No node where the type is right already. `UINT64`, which `CAST` does not take, is converted by its bits, as integers that wrap
    /// around are.
    ///
    /// # Errors
    /// For `UINT64` and what is no integer, which that would be wrong for.
    pub fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId, InferError> {
        match (self.graph.dtype(x), to) {
            (from, to) if from == to => Ok(x),
            (DType::U64, DType::I64) | (DType::I64, DType::U64) => self.one(Op::Bitcast { to }, &[x]),
            (DType::U64, to) | (to, DType::U64) if !(to.is_int() || to == DType::Bool) => {
                Err(InferError::new(format!("CAST has no kernel for uint64 and {to}")))
            }
            (DType::U64, _) | (_, DType::U64) => {
                let wide = self.cast(x, DType::I64)?;
                self.cast(wide, to)
            }
            _ => self.one(Op::Cast { to }, &[x]),
        }
    }

    /// No node for the identity.
    pub fn transpose(&mut self, x: ValueId, perm: &Perm) -> Result<ValueId, InferError> {
        if perm.is_identity() {
            return Ok(x);
        }
        let perm = self.ints(perm.axes())?;
        self.one(Op::Transpose, &[x, perm])
    }

    /// `dims` may hold one -1. No node where the shape is that already.
    pub fn reshape(&mut self, x: ValueId, dims: &[i64]) -> Result<ValueId, InferError> {
        let same = self.graph.shape(x).as_fixed();
        if same.is_some_and(|s| s.len() == dims.len() && s.iter().zip(dims).all(|(&a, &b)| a as i64 == b)) {
            return Ok(x);
        }
        let dims = self.ints(dims)?;
        self.one(Op::Reshape, &[x, dims])
    }

    /// More axes than XNNPACK counts are reduced one run of neighbours after the other, with the rest folded into two.
    pub fn reduce(&mut self, kind: Reduce, x: ValueId, axes: &[usize], keep_dims: bool) -> Result<ValueId, InferError> {
        match self.graph.shape(x).as_fixed() {
            // A mean of integers is rounded, and must be one step.
            Some(shape) if shape.len() > 6 && self.graph.dtype(x) == DType::F32 => {
                self.reduce_by_runs(kind, x, axes, keep_dims, &shape)
            }
            _ => {
                let axes = self.ints(axes)?;
                self.one(Op::Reduce { kind, keep_dims }, &[x, axes])
            }
        }
    }

    fn reduce_by_runs(
        &mut self,
        kind: Reduce,
        mut x: ValueId,
        axes: &[usize],
        keep_dims: bool,
        shape: &[usize],
    ) -> Result<ValueId, InferError> {
        let mut left: Vec<(usize, bool)> = shape.iter().enumerate().map(|(i, &d)| (d, axes.contains(&i))).collect();
        while let Some(end) = left.iter().rposition(|&(_, reduced)| reduced) {
            let start = left[..end].iter().rposition(|&(_, reduced)| !reduced).map_or(0, |i| i + 1);
            let size = |part: &[(usize, bool)]| part.iter().map(|&(d, _)| d as i64).product::<i64>();
            let folded = [size(&left[..start]), size(&left[start..=end]), size(&left[end + 1..])];
            let flat = self.reshape(x, &folded)?;
            let axis = self.ints(&[1])?;
            x = self.one(Op::Reduce { kind, keep_dims: false }, &[flat, axis])?;
            left.drain(start..=end);
        }
        let kept = shape.iter().enumerate().filter(|(i, _)| keep_dims || !axes.contains(i));
        let dims: Vec<i64> = kept.map(|(i, &d)| if axes.contains(&i) { 1 } else { d as i64 }).collect();
        self.reshape(x, &dims)
    }

    pub fn concat(&mut self, parts: &[ValueId], axis: usize) -> Result<ValueId, InferError> {
        let axis = i32::try_from(axis).map_err(|_| InferError::new("axis past 32 bits"))?;
        self.one(Op::Concatenation { axis }, parts)
    }

    /// `PAD` with zeros: `(before, after)` for every axis. No node where nothing is padded.
    pub fn pad(&mut self, x: ValueId, pads: &[(usize, usize)]) -> Result<ValueId, InferError> {
        match self.paddings(pads)? {
            Some(paddings) => self.one(Op::Pad, &[x, paddings]),
            None => Ok(x),
        }
    }

    /// `PADV2` with a given scalar. No node where nothing is padded.
    pub fn pad_with(&mut self, x: ValueId, pads: &[(usize, usize)], value: ValueId) -> Result<ValueId, InferError> {
        match self.paddings(pads)? {
            Some(paddings) => self.one(Op::PadV2, &[x, paddings, value]),
            None => Ok(x),
        }
    }

    fn paddings(&mut self, pads: &[(usize, usize)]) -> Result<Option<ValueId>, InferError> {
        if pads.iter().all(|&pad| pad == (0, 0)) {
            return Ok(None);
        }
        let flat: Result<Vec<i32>, _> = pads.iter().flat_map(|&(b, a)| [b, a]).map(i32::try_from).collect();
        let flat = flat.map_err(|_| InferError::new("padding does not fit in 32 bits"))?;
        Ok(Some(self.constant(Tensor::from_vec(&[pads.len(), 2], flat))))
    }

    /// `SLICE` of `size` elements from `begin`; a size of -1 reaches to the end.
    pub fn slice(&mut self, x: ValueId, begin: &[i64], size: &[i64]) -> Result<ValueId, InferError> {
        let (begin, size) = (self.ints(begin)?, self.ints(size)?);
        self.one(Op::Slice, &[x, begin, size])
    }

    pub fn gather(&mut self, x: ValueId, indices: ValueId, axis: usize) -> Result<ValueId, InferError> {
        let axis = i32::try_from(axis).map_err(|_| InferError::new("axis past 32 bits"))?;
        self.one(Op::Gather { axis, batch_dims: 0 }, &[x, indices])
    }
}

/// Runs a whole float graph on samples. Implemented on tract (`exec`) and on LiteRT; `quant` sees only this face.
pub trait Execute: Sync {
    /// Runs once on one tensor for each input of the graph, and shows every value that depends on them to `visit`, in the order
    /// of computation, inputs first.
    ///
    /// # Errors
    /// A sentence that says what could not be run.
    fn execute(&self, inputs: &[Tensor], visit: &mut dyn FnMut(ValueId, &Tensor)) -> Result<(), String>;
}

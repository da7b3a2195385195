//! What has been computed so far of the new graph, in which layouts; and how one gets at a value in another.

use std::collections::HashMap;

use super::choose::Arrangement;
use super::memory::Layout;
use super::nest::Placed;
use super::steps::{Step, steps};
use super::view::Views;
use crate::graph::{Dim, Graph, InferError, Node, Op, OriginId, Precision, Quant, Shape, Type, Value, ValueId};
use crate::tensor::{Perm, Tensor};

/// The elements of a root as they are held by a value of the new graph.
struct Copy {
    /// Canonical.
    layout: Layout,
    id: ValueId,
}

pub(super) struct Store<'a> {
    pub graph: &'a mut Graph,
    views: &'a Views,
    /// For each root, what holds its elements; first that which was computed.
    copies: Vec<Vec<Copy>>,
    /// Values that the new graph has.
    made: Vec<bool>,
    /// Values under other shapes.
    reshaped: HashMap<(ValueId, Vec<Dim>), ValueId>,
    /// Shapes and permutations.
    ints: HashMap<Vec<i32>, ValueId>,
    /// For each value, the provenance of the node that made it in the old graph.
    sources: Vec<Option<(Option<OriginId>, Precision)>>,
    /// Provenance of the node that is looked at.
    current: (Option<OriginId>, Precision),
}

/// A value to be made: one of the old graph, or a new one.
enum Target {
    Old(ValueId),
    New { name: String, quant: Option<Quant> },
}

/// Operands under one shape, and that shape.
type Laid = (Vec<Option<ValueId>>, Vec<Dim>);

impl<'a> Store<'a> {
    pub(super) fn new(graph: &'a mut Graph, views: &'a Views, nodes: &[Node]) -> Store<'a> {
        let mut sources = vec![None; graph.values.len()];
        for node in nodes {
            for output in &node.outputs {
                sources[output.0 as usize] = Some((node.origin, node.precision));
            }
        }
        let mut store = Store {
            views,
            copies: Vec::new(),
            made: vec![false; graph.values.len()],
            reshaped: HashMap::new(),
            ints: HashMap::new(),
            sources,
            current: (None, Precision::Any),
            graph,
        };
        store.copies.resize_with(store.graph.values.len(), Vec::new);
        for index in 0..store.graph.values.len() {
            if store.sources[index].is_none() {
                store.made(ValueId(index as u32));
            }
        }
        store
    }

    /// What is written from here on is for `node`.
    pub(super) fn write_for(&mut self, node: &Node) {
        self.current = (node.origin, node.precision);
    }

    /// `value` is there, as it was in the old graph.
    pub(super) fn made(&mut self, value: ValueId) {
        let layout = Layout::rows(self.graph.shape(value).dims()).canonical();
        self.made[value.0 as usize] = true;
        self.copies[value.0 as usize].push(Copy { layout, id: value });
    }

    fn dims(&self, value: ValueId) -> &[Dim] {
        self.graph.shape(value).dims()
    }

    /// A value like `like` of another shape.
    fn add(&mut self, like: ValueId, name: String, dims: Vec<Dim>, quant: Option<Quant>) -> ValueId {
        let ty = Type::new(self.graph.dtype(like), Shape(dims));
        self.graph.add_value(Value { name, ty, data: None, quant, variable: false })
    }

    fn push(
        &mut self,
        op: Op,
        inputs: &[ValueId],
        output: ValueId,
        (origin, precision): (Option<OriginId>, Precision),
    ) {
        let inputs = inputs.iter().copied().map(Some).collect();
        self.graph.nodes.push(Node { op, inputs, outputs: vec![output], origin, precision });
    }

    pub(super) fn constant(&mut self, data: Tensor) -> ValueId {
        self.graph.add_constant("layout/const", data)
    }

    fn ints(&mut self, numbers: impl Iterator<Item = Option<usize>>) -> Result<ValueId, InferError> {
        let number = |n: Option<usize>| n.map_or(Some(-1), |n| i32::try_from(n).ok());
        let ints: Option<Vec<i32>> = numbers.map(number).collect();
        let ints = ints.ok_or_else(|| InferError::new("an extent does not fit in 32 bits"))?;
        if let Some(&id) = self.ints.get(&ints) {
            return Ok(id);
        }
        let id = self.constant(Tensor::vector(ints.clone()));
        self.ints.insert(ints, id);
        Ok(id)
    }

    /// The value that holds the elements of `root` as `layout` says, under whatever shape.
    fn lying(&self, root: ValueId, layout: &Layout) -> Option<ValueId> {
        let layout = layout.canonical();
        self.copies[root.0 as usize].iter().find(|copy| copy.layout == layout).map(|copy| copy.id)
    }

    /// `value` as it was in the old graph.
    pub(super) fn rows(&mut self, value: ValueId) -> Result<ValueId, InferError> {
        if self.made[value.0 as usize] {
            return Ok(value);
        }
        let needed = self.views.needed_for_rows(self.graph, value);
        let dims = self.dims(value).to_vec();
        let id = self.get(value, &needed, &dims, Target::Old(value))?;
        self.made[value.0 as usize] |= id == value;
        Ok(id)
    }

    /// `value` as it is `placed`.
    pub(super) fn placed(&mut self, value: ValueId, placed: &Placed) -> Result<ValueId, InferError> {
        if placed.layout.is_rows() && placed.dims == self.dims(value) {
            return self.rows(value);
        }
        let needed = self.views.needed(value, &placed.layout).ok_or_else(lost)?;
        let target = self.new_target(value, placed)?;
        self.get(value, &needed, &placed.dims, target)
    }

    fn new_target(&self, value: ValueId, placed: &Placed) -> Result<Target, InferError> {
        let old = self.graph.value(value);
        let quant = placed.quant(old.quant.as_ref(), old.ty.shape.dims()).ok_or_else(lost)?;
        Ok(Target::New { name: format!("{}/{}", old.name, suffix(&placed.layout)), quant })
    }

    /// The elements of the root of `value`, as `layout` and `dims` say; as `target`, if they have to be brought there.
    fn get(&mut self, value: ValueId, layout: &Layout, dims: &[Dim], target: Target) -> Result<ValueId, InferError> {
        let root = self.views.root(value);
        let found = self.lying(root, layout);
        if let Some(found) = found {
            if self.dims(found) == dims {
                return Ok(found);
            }
            if let Some(&reshaped) = self.reshaped.get(&(found, dims.to_vec())) {
                return Ok(reshaped);
            }
        }
        if let Some(id) = self.fold(root, layout, dims, &target)? {
            return Ok(id);
        }
        let (from, source) = match (found, self.copies[root.0 as usize].first()) {
            (Some(found), _) => (layout.clone(), found),
            (None, Some(first)) => (first.layout.clone(), first.id),
            (None, None) => return Err(InferError::new("a value is used before it is computed")),
        };
        let Some(moves) = from.moves(layout) else {
            // No common division of the axes: by way of row-major order.
            self.rows(root)?;
            let rows = Layout::rows(self.dims(root));
            let steps = rows.moves(layout).and_then(|moves| steps(&moves, self.dims(root), dims)).ok_or_else(lost)?;
            return self.take(value, root, steps, layout, target);
        };
        let steps = steps(&moves, self.dims(source), dims).ok_or_else(lost)?;
        let id = self.take(value, source, steps, layout, target)?;
        if found.is_some() {
            self.reshaped.insert((source, dims.to_vec()), id);
        }
        Ok(id)
    }

    /// Writes the steps that make `target` from `source`.
    fn take(
        &mut self,
        value: ValueId,
        source: ValueId,
        steps: Vec<Step>,
        layout: &Layout,
        target: Target,
    ) -> Result<ValueId, InferError> {
        let provenance = self.sources[value.0 as usize].unwrap_or(self.current);
        let last = steps.len();
        let mut id = source;
        for (count, step) in (1..).zip(steps) {
            let dims = step.dims(self.dims(id));
            let (op, argument) = match &step {
                Step::Reshape(dims) => (Op::Reshape, self.ints(dims.iter().copied())?),
                Step::Transpose(perm) => (Op::Transpose, self.ints(perm.axes().iter().copied().map(Some))?),
            };
            let next = match &target {
                Target::Old(old) if count == last => *old,
                Target::New { name, quant } if count == last => self.add(value, name.clone(), dims, quant.clone()),
                _ => {
                    let name = format!("{}/{}", self.graph.value(value).name, op.name().to_ascii_lowercase());
                    let quant = self.graph.value(id).quant.clone();
                    self.add(value, name, dims, quant)
                }
            };
            self.push(op, &[id, argument], next, provenance);
            id = next;
        }
        let root = self.views.root(value);
        if self.lying(root, layout).is_none() {
            self.copies[root.0 as usize].push(Copy { layout: layout.canonical(), id });
        }
        Ok(id)
    }

    /// Moves the data of a constant at once.
    fn fold(
        &mut self,
        root: ValueId,
        layout: &Layout,
        dims: &[Dim],
        target: &Target,
    ) -> Result<Option<ValueId>, InferError> {
        let rows = Layout::rows(self.dims(root));
        let (Some(data), Some(moves)) = (self.graph.constant(root), rows.moves(layout)) else { return Ok(None) };
        let fixed = |dims: &[Dim]| dims.iter().copied().collect::<Option<Vec<usize>>>();
        let (Some(sizes), Some(dims)) = (fixed(&moves.sizes), fixed(dims)) else { return Ok(None) };
        let moved = if moves.none() {
            data.reshape(&dims)
        } else if data.dtype().bits() >= 8 {
            let perm = Perm::new(moves.order.clone()).ok_or_else(lost)?;
            data.reshape(&sizes).and_then(|data| data.permute(&perm).reshape(&dims))
        } else {
            return Ok(None);
        };
        let moved = moved.map_err(|e| InferError::new(e.to_string()))?;
        let id = match target {
            Target::Old(old) => {
                self.graph.value_mut(*old).data = Some(moved);
                *old
            }
            Target::New { name, quant } => {
                let id = self.graph.add_constant(name.clone(), moved);
                self.graph.value_mut(id).quant.clone_from(quant);
                id
            }
        };
        match self.lying(root, layout) {
            Some(found) => {
                self.reshaped.insert((found, dims.into_iter().map(Some).collect()), id);
            }
            None => self.copies[root.0 as usize].push(Copy { layout: layout.canonical(), id }),
        }
        Ok(Some(id))
    }

    /// Makes place for a result: the old value, if it is placed as it was.
    pub(super) fn result(&mut self, old: ValueId, placed: &Placed, dims: &[Dim]) -> Result<ValueId, InferError> {
        if placed.layout.is_rows() && dims == self.dims(old) {
            self.made(old);
            return Ok(old);
        }
        let Target::New { name, quant } = self.new_target(old, placed)? else { return Ok(old) };
        let id = self.add(old, name, dims.to_vec(), quant);
        self.copies[old.0 as usize].push(Copy { layout: placed.layout.canonical(), id });
        Ok(id)
    }

    /// A new value of the type of `old`.
    pub(super) fn scratch(&mut self, old: ValueId) -> ValueId {
        let Value { name, ty, .. } = self.graph.value(old).clone();
        self.add(old, format!("{name}/permuted"), ty.shape.0, None)
    }

    /// The operands of an operator that works element by element, under the shape that they have already; `None` where they have
    /// not one shape, or are broadcast along axes that it has not.
    pub(super) fn as_they_lie(&mut self, node: &Node, arranged: &Arrangement) -> Result<Option<Laid>, InferError> {
        let Some(Some(result)) = arranged.results.first() else { return Ok(None) };
        let of_axis = |&id: &ValueId| self.graph.value(id).quant.as_ref().is_some_and(|q| q.as_per_tensor().is_none());
        if node.inputs.iter().flatten().chain(&node.outputs).any(of_axis) {
            return Ok(None);
        }
        let mut operands = Vec::with_capacity(node.inputs.len());
        for (input, placed) in node.inputs.iter().zip(&arranged.operands) {
            let (Some(id), Some(placed)) = (*input, placed) else { return Ok(None) };
            let role = match self.graph.shape(id).elements() {
                Some(1) => Extent::Single,
                _ if placed.covers(result) => Extent::Whole,
                _ => Extent::Part,
            };
            operands.push((id, placed, role));
        }
        let single = operands.iter().all(|(.., role)| *role == Extent::Single);
        let mut shape: Option<Vec<Dim>> = None;
        for &(id, placed, role) in &operands {
            let leads = role == Extent::Whole || (single && shape.is_none());
            if !leads || self.graph.constant(self.views.root(id)).is_some() {
                continue;
            }
            let lying = self.under_any_shape(id, placed)?;
            let dims = self.dims(lying);
            if shape.get_or_insert_with(|| dims.to_vec()) != dims {
                return Ok(None);
            }
        }
        let Some(shape) = shape else { return Ok(None) };
        let mut inputs = Vec::with_capacity(operands.len());
        for (id, placed, role) in operands {
            let input = match role {
                Extent::Single => self.under_any_shape(id, placed)?,
                Extent::Whole => self.placed(id, &placed.under(&shape))?,
                Extent::Part => match placed.spread(result, &shape, self.graph.shape(id).rank()) {
                    Some(dims) => self.placed(id, &placed.under(&dims))?,
                    None => return Ok(None),
                },
            };
            if self.dims(input).len() > shape.len() {
                return Ok(None);
            }
            inputs.push(Some(input));
        }
        Ok(Some((inputs, shape)))
    }

    /// `value` in the order in which it is `placed`, under the shape that it happens to have.
    fn under_any_shape(&mut self, value: ValueId, placed: &Placed) -> Result<ValueId, InferError> {
        let needed = self.views.needed(value, &placed.layout).ok_or_else(lost)?;
        match self.lying(self.views.root(value), &needed) {
            Some(lying) => Ok(lying),
            None => self.placed(value, placed),
        }
    }

    /// Lets the outputs of the graph be what they were, under their names.
    pub(super) fn bind_outputs(&mut self) -> Result<(), InferError> {
        let outputs = self.graph.outputs.clone();
        let mut taken: HashMap<ValueId, ValueId> = HashMap::new();
        for id in self.graph.inputs.iter().chain(&outputs) {
            taken.insert(*id, *id);
        }
        for &output in &outputs {
            let id = self.rows(output)?;
            let value = self.graph.value(id);
            if value.data.is_some() || value.variable || *taken.entry(id).or_insert(output) != output {
                self.copy(id, output)?;
            }
        }
        let renamed = |id: &mut ValueId| {
            if let Some(&to) = taken.get(id) {
                *id = to;
            }
        };
        for node in &mut self.graph.nodes {
            node.inputs.iter_mut().flatten().for_each(renamed);
            node.outputs.iter_mut().for_each(renamed);
        }
        Ok(())
    }

    /// A node that makes `to` equal to `from`, which has its shape.
    fn copy(&mut self, from: ValueId, to: ValueId) -> Result<(), InferError> {
        if from == to {
            return Ok(());
        }
        self.made[to.0 as usize] = true;
        let dims = self.dims(to).to_vec();
        let (op, argument) = if super::view::expressible(&dims) {
            (Op::Reshape, self.ints(dims.into_iter())?)
        } else {
            (Op::Transpose, self.ints((0..dims.len()).map(Some))?)
        };
        let provenance = self.sources[to.0 as usize].unwrap_or(self.current);
        self.push(op, &[from, argument], to, provenance);
        Ok(())
    }
}

/// How much of the result an operand of an operator element by element covers.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Whole,
    /// It is broadcast along some axes.
    Part,
    /// One element.
    Single,
}

fn lost() -> InferError {
    InferError::new("a layout was chosen that can't be had")
}

/// Tells values apart that hold the same elements.
fn suffix(layout: &Layout) -> String {
    let axes: Vec<usize> = layout.parts().iter().map(|p| p.axis).collect();
    match Perm::new(axes) {
        Some(perm) if perm == Perm::to_channels_last(perm.rank()) => match perm.rank() {
            3 => "nwc".into(),
            4 => "nhwc".into(),
            5 => "ndhwc".into(),
            _ => "channels_last".into(),
        },
        Some(perm) if perm.is_identity() => "reshaped".into(),
        Some(perm) => format!("t{}", perm.axes().iter().map(usize::to_string).collect::<String>()),
        None => "divided".into(),
    }
}

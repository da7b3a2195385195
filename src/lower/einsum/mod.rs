//! ONNX `Einsum`: diagonals first, then sums over what one operand has alone, then one product after the other.

mod equation;
mod product;

use super::reshape::Part;
use super::{Cx, Refusal, Results};
use crate::graph::{Dim, Op, Reduce, SliceMasks, ValueId};
use crate::tensor::{DType, Perm, Tensor};
use equation::{Equation, Label};

/// An operand, or what became of some, whose axes have one label each.
#[derive(Debug, Clone)]
struct Labelled {
    value: ValueId,
    labels: Vec<Label>,
}

impl Labelled {
    fn has(&self, label: Label) -> bool {
        self.labels.contains(&label)
    }

    /// The same with its axes in the order of `labels`, which are the same ones.
    fn ordered(&self, cx: &mut Cx<'_>, labels: &[Label]) -> Result<Labelled, Refusal> {
        let axes: Option<Vec<usize>> = labels.iter().map(|l| self.labels.iter().position(|own| own == l)).collect();
        let perm = axes.and_then(Perm::new).ok_or_else(|| Refusal::new("the axes don't match", ""))?;
        Ok(Labelled { value: cx.b.transpose(self.value, &perm)?, labels: labels.to_vec() })
    }
}

/// Where the extent of a label can be had.
#[derive(Debug, Clone, Copy)]
struct Extent {
    dim: Dim,
    operand: ValueId,
    axis: usize,
}

/// The labels with their extents, the larger one where some operand has an axis of 1.
struct Extents(Vec<(Label, Extent)>);

impl Extents {
    fn of(cx: &Cx<'_>, operands: &[Labelled]) -> Extents {
        let mut found: Vec<(Label, Extent)> = Vec::new();
        for Labelled { value, labels } in operands {
            for (axis, &label) in labels.iter().enumerate() {
                let extent = Extent { dim: cx.dim(*value, axis), operand: *value, axis };
                match found.iter_mut().find(|(l, _)| *l == label) {
                    None => found.push((label, extent)),
                    // A known extent says more than an unknown one, and anything more than 1.
                    Some((_, old))
                        if old.dim == Some(1) || (old.dim.is_none() && extent.dim.is_some_and(|d| d != 1)) =>
                    {
                        *old = extent;
                    }
                    Some(_) => {}
                }
            }
        }
        Extents(found)
    }

    fn dim(&self, label: Label) -> Dim {
        self.0.iter().find(|(l, _)| *l == label).and_then(|(_, extent)| extent.dim)
    }

    /// Gives `x` the extents of `labels`, whose elements it holds in order.
    fn reshape(&self, cx: &mut Cx<'_>, x: ValueId, labels: &[Label]) -> Result<ValueId, Refusal> {
        let dims: Vec<Dim> = labels.iter().map(|&l| self.dim(l)).collect();
        if cx.shape(x).dims() == dims {
            return Ok(x);
        }
        let dims: Vec<Option<i64>> = dims.iter().map(|d| d.map(|d| d as i64)).collect();
        cx.reshape_to(x, &dims, |cx, i| {
            let found = self.0.iter().find(|(l, _)| *l == labels[i]);
            let (_, extent) = found.ok_or_else(|| Refusal::new("an extent is not known", "pin it with --shape"))?;
            cx.extent_vector(extent.operand, extent.axis)
        })
    }
}

/// Lowers ONNX `Einsum` to `BATCH_MATMUL`, `FULLY_CONNECTED`, `MUL`, `SUM`, with `TRANSPOSE` and `RESHAPE` around them.
///
/// # Accepts
/// float32 and integers; any number of operands; ellipses, repeated indices, results that are not named; axes of 1 that broadcast.
/// # Produces
/// One product for each operand after the first: `FULLY_CONNECTED` with a constant matrix, `BATCH_MATMUL` where something is summed, else
/// `MUL`. Transposes stand only where the order of the axes asks for them. Integers are multiplied with `MUL → SUM`.
/// # Refuses
/// Diagonals of axes whose extent is not known; more than 8 axes in one product without a sum.
pub(super) fn einsum(cx: &mut Cx<'_>) -> Results {
    let text = cx.string_or("equation", "")?;
    let inputs = cx.all_inputs()?;
    let Some(&first) = inputs.first() else { return Err(Refusal::new("there are no operands", "")) };
    let dtype = cx.dtype(first);
    let ranks: Vec<usize> = inputs.iter().map(|&x| cx.rank(x)).collect();
    let Equation { operands, result } = Equation::read(text, &ranks)?;
    let mut whole = Vec::new();
    for (x, labels) in inputs.into_iter().zip(operands) {
        let value = cx.in_kernel_type(x, &[DType::F32, DType::I32, DType::I64])?;
        whole.push(diagonals(cx, Labelled { value, labels })?);
    }
    let extents = Extents::of(cx, &whole);
    let value = match zeros(cx, &whole, &extents, &result)? {
        Some(zeros) => zeros,
        None => contract_all(cx, &whole, &extents, &result)?,
    };
    Ok(vec![cx.b.cast(value, dtype)?])
}

/// A sum over nothing is zero, and kernels need not be asked for it.
fn zeros(
    cx: &mut Cx<'_>,
    operands: &[Labelled],
    extents: &Extents,
    result: &[Label],
) -> Result<Option<ValueId>, Refusal> {
    let Some(Labelled { value, .. }) = operands.iter().find(|o| cx.shape(o.value).dims().contains(&Some(0))) else {
        return Ok(None);
    };
    let shape: Option<Vec<usize>> = result.iter().map(|&l| extents.dim(l)).collect();
    let shape = shape.filter(|shape| super::countable(shape).is_ok());
    let tensor = shape.and_then(|shape| Tensor::zeros(cx.dtype(*value), &shape));
    Ok(tensor.map(|tensor| cx.b.constant(tensor)))
}

fn contract_all(
    cx: &mut Cx<'_>,
    operands: &[Labelled],
    extents: &Extents,
    result: &[Label],
) -> Result<ValueId, Refusal> {
    // Axes of 1 only stand in the way; what the result has of them comes back with its shape.
    let matters = |label: Label| extents.dim(label) != Some(1);
    let wanted: Vec<Label> = result.iter().copied().filter(|&l| matters(l)).collect();
    let mut rest = Vec::new();
    for operand in operands {
        rest.push(without_ones(cx, operand)?);
    }
    rest.reverse();
    let Some(mut done) = rest.pop() else { return Err(Refusal::new("there are no operands", "")) };
    while let Some(mut next) = rest.pop() {
        let needed = |label: Label| wanted.contains(&label) || rest.iter().any(|r| r.has(label));
        let (of_done, of_next) = (done.labels.clone(), next.labels.clone());
        done = summed(cx, done, |l| needed(l) || of_next.contains(&l))?;
        next = summed(cx, next, |l| needed(l) || of_done.contains(&l))?;
        done = product::product(cx, &done, &next, &wanted, extents, needed)?;
    }
    let done = summed(cx, done, |l| wanted.contains(&l))?.ordered(cx, &wanted)?;
    extents.reshape(cx, done.value, result)
}

/// Drops axes of extent 1.
fn without_ones(cx: &mut Cx<'_>, x: &Labelled) -> Result<Labelled, Refusal> {
    let kept: Vec<usize> = (0..x.labels.len()).filter(|&axis| cx.dim(x.value, axis) != Some(1)).collect();
    let parts: Vec<Part> = kept.iter().map(|&axis| Part::Axes(axis..axis + 1)).collect();
    let labels = kept.iter().map(|&axis| x.labels[axis]).collect();
    let value = if kept.len() == x.labels.len() { x.value } else { cx.reshape_parts(x.value, &parts)? };
    Ok(Labelled { value, labels })
}

/// Sums over the axes whose labels are not kept.
fn summed(cx: &mut Cx<'_>, x: Labelled, keep: impl Fn(Label) -> bool) -> Result<Labelled, Refusal> {
    let axes: Vec<usize> = (0..x.labels.len()).filter(|&axis| !keep(x.labels[axis])).collect();
    if axes.is_empty() {
        return Ok(x);
    }
    let labels = x.labels.iter().copied().filter(|&l| keep(l)).collect();
    Ok(Labelled { value: cx.b.reduce(Reduce::Sum, x.value, &axes, false)?, labels })
}

/// Takes the diagonal of every two axes of one label: in the merged axes, its elements stand one more than the extent apart.
fn diagonals(cx: &mut Cx<'_>, mut x: Labelled) -> Result<Labelled, Refusal> {
    while let Some((a, b)) = repeated(&x.labels) {
        let rank = x.labels.len();
        let others: Vec<usize> = (0..rank).filter(|&axis| axis != a && axis != b).collect();
        let last: Vec<usize> = others.iter().copied().chain([a, b]).collect();
        let (n, m) = (cx.dim(x.value, a), cx.dim(x.value, b));
        let n = n.zip(m).filter(|(n, m)| n == m).map(|(n, _)| n).ok_or_else(|| {
            let what = format!("an index repeats on axes {a} and {b} of {}", cx.shape(x.value));
            Refusal::new(what, "pin the model's dynamic inputs with --shape, so that both extents are known and equal")
                .about("attribute equation")
        })?;
        let perm = Perm::new(last).unwrap_or_else(|| Perm::identity(rank));
        let turned = cx.b.transpose(x.value, &perm)?;
        let square = super::countable(&[n, n])?;
        let mut parts: Vec<Part> = (0..rank - 2).map(|axis| Part::Axes(axis..axis + 1)).collect();
        parts.push(Part::Fixed(square));
        let flat = cx.reshape_parts(turned, &parts)?;
        let mut labels: Vec<Label> = others.iter().map(|&axis| x.labels[axis]).collect();
        labels.push(x.labels[a]);
        x = Labelled { value: every(cx, flat, n.saturating_add(1), square)?, labels };
    }
    Ok(x)
}

/// The first pair of axes that share a label.
fn repeated(labels: &[Label]) -> Option<(usize, usize)> {
    (0..labels.len()).find_map(|b| labels[..b].iter().position(|l| *l == labels[b]).map(|a| (a, b)))
}

/// Each `step`-th of the `extent` elements along the last axis.
fn every(cx: &mut Cx<'_>, x: ValueId, step: usize, extent: usize) -> Result<ValueId, Refusal> {
    let last = cx.rank(x) - 1;
    let mut bounds = [vec![0i64; last + 1], vec![0; last + 1], vec![1; last + 1]];
    (bounds[1][last], bounds[2][last]) = (extent as i64, step as i64);
    let mut operands = vec![x];
    for bound in &bounds {
        operands.push(cx.b.ints(bound)?);
    }
    let others = (1i32 << last) - 1;
    let masks = SliceMasks { begin: others, end: others, ..SliceMasks::default() };
    Ok(cx.b.one(Op::StridedSlice(masks), &operands)?)
}

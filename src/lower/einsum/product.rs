//! The product of two labelled operands.

use super::{Extents, Label, Labelled};
use crate::graph::{Activation, Op, Reduce, ValueId};
use crate::lower::reshape::Part;
use crate::lower::window::insert_axis;
use crate::lower::{Cx, Refusal};
use crate::tensor::DType;

/// Most leading axes that the kernel of a matrix product goes over.
const MOST_BATCH_AXES: usize = 3;
/// Most axes that kernels broadcast over.
const MOST_BROADCAST_AXES: usize = 8;

/// The labels of two operands by the part they play.
struct Roles {
    /// In both, and in what comes.
    batch: Vec<Label>,
    /// In the left one alone.
    rows: Vec<Label>,
    /// In the right one alone.
    columns: Vec<Label>,
    /// In both, and to be summed.
    inner: Vec<Label>,
}

impl Roles {
    fn of(a: &Labelled, b: &Labelled, wanted: &[Label], needed: &impl Fn(Label) -> bool) -> Roles {
        // As the final result has them, what it has.
        let rank = |label: &Label| wanted.iter().position(|w| w == label).unwrap_or(usize::MAX);
        let sorted = |mut labels: Vec<Label>| {
            labels.sort_by_key(rank);
            labels
        };
        let (shared, rows): (Vec<Label>, Vec<Label>) = a.labels.iter().copied().partition(|&l| b.has(l));
        let (batch, inner) = shared.into_iter().partition(|&l| needed(l));
        let columns = b.labels.iter().copied().filter(|&l| !a.has(l)).collect();
        Roles { batch: sorted(batch), rows: sorted(rows), columns: sorted(columns), inner }
    }

    fn swapped(self) -> Roles {
        Roles { rows: self.columns, columns: self.rows, ..self }
    }
}

/// Multiplies `a` by `b`, and sums over the labels that both have and nobody needs any more.
pub(super) fn product(
    cx: &mut Cx<'_>,
    a: &Labelled,
    b: &Labelled,
    wanted: &[Label],
    extents: &Extents,
    needed: impl Fn(Label) -> bool,
) -> Result<Labelled, Refusal> {
    let mut roles = Roles::of(a, b, wanted, &needed);
    let (mut a, mut b) = (a, b);
    let place = |labels: &[Label]| labels.iter().filter_map(|l| wanted.iter().position(|w| w == l)).min();
    let crossed = place(&roles.rows).zip(place(&roles.columns)).is_some_and(|(rows, columns)| columns < rows);
    // Weights stand on the right; else what comes first in the result stands on the left.
    let is_constant = |x: &Labelled| cx.constant(x.value).is_some();
    let ends_in_sum = |x: &Labelled| x.labels.last().is_some_and(|l| roles.inner.contains(l));
    let weights_left = is_constant(a) && !is_constant(b) && ends_in_sum(b);
    let weights_right = is_constant(b) && !is_constant(a);
    if weights_left || (crossed && !weights_right) {
        (a, b, roles) = (b, a, roles.swapped());
    }
    let is_float = cx.dtype(a.value) == DType::F32;
    if roles.inner.is_empty() {
        return outer(cx, a, b, &roles, wanted);
    }
    if !is_float || (roles.rows.is_empty() && roles.columns.is_empty()) {
        return multiply_and_sum(cx, a, b, &roles, extents);
    }
    if roles.batch.is_empty() && cx.constant(b.value).is_some() {
        return fully_connected(cx, a, b, &roles, extents);
    }
    matrices(cx, a, b, &roles, extents)
}

/// Element by element, both operands with an axis for each label of the result.
fn outer(cx: &mut Cx<'_>, a: &Labelled, b: &Labelled, roles: &Roles, wanted: &[Label]) -> Result<Labelled, Refusal> {
    let mut labels: Vec<Label> = [roles.batch.as_slice(), &roles.rows, &roles.columns].concat();
    labels.sort_by_key(|l| wanted.iter().position(|w| w == l).unwrap_or(usize::MAX));
    if labels.len() > MOST_BROADCAST_AXES {
        let what = format!("a product has {} axes, and kernels broadcast over 8 at most", labels.len());
        return Err(Refusal::new(what, "merge axes before the Einsum").about("attribute equation"));
    }
    let mut aligned = |x: &Labelled| -> Result<ValueId, Refusal> {
        let own: Vec<Label> = labels.iter().copied().filter(|&l| x.has(l)).collect();
        let mut value = x.ordered(cx, &own)?.value;
        // Broadcasting adds the leading axes by itself.
        let first = labels.iter().position(|&l| x.has(l)).unwrap_or(labels.len());
        for (axis, &label) in labels[first..].iter().enumerate() {
            if !x.has(label) {
                value = insert_axis(cx, value, axis)?;
            }
        }
        Ok(value)
    };
    let (a, b) = (aligned(a)?, aligned(b)?);
    Ok(Labelled { value: cx.b.mul(a, b)?, labels })
}

/// An operand with its labels merged into one axis for each group; `None` stands for an axis of 1.
fn grouped(cx: &mut Cx<'_>, x: &Labelled, groups: &[Option<&[Label]>]) -> Result<ValueId, Refusal> {
    let labels: Vec<Label> = groups.iter().flatten().copied().flatten().copied().collect();
    let ordered = x.ordered(cx, &labels)?;
    if groups.iter().all(|g| g.is_some_and(|g| g.len() == 1)) {
        return Ok(ordered.value);
    }
    let mut next = 0;
    let part = |group: &Option<&[Label]>| {
        let Some(group) = group else { return Part::Fixed(1) };
        let first = next;
        next += group.len();
        Part::Axes(first..next)
    };
    let parts: Vec<Part> = groups.iter().map(part).collect();
    cx.reshape_parts(ordered.value, &parts)
}

/// `[batch, rows, inner, 1] * [batch, 1, inner, columns]`, summed; for integers, and for products of vectors.
fn multiply_and_sum(
    cx: &mut Cx<'_>,
    a: &Labelled,
    b: &Labelled,
    roles: &Roles,
    extents: &Extents,
) -> Result<Labelled, Refusal> {
    let Roles { batch, rows, columns, inner } = roles;
    let labels = [batch.as_slice(), rows, columns].concat();
    if rows.is_empty() && columns.is_empty() {
        let whole = [batch.as_slice(), inner].concat();
        let (a, b) = (a.ordered(cx, &whole)?, b.ordered(cx, &whole)?);
        let y = cx.b.mul(a.value, b.value)?;
        let axes: Vec<usize> = (batch.len()..whole.len()).collect();
        return Ok(Labelled { value: cx.b.reduce(Reduce::Sum, y, &axes, false)?, labels });
    }
    let a = grouped(cx, a, &[Some(batch), Some(rows), Some(inner), None])?;
    let b = grouped(cx, b, &[Some(batch), None, Some(inner), Some(columns)])?;
    let y = cx.b.mul(a, b)?;
    let y = cx.b.reduce(Reduce::Sum, y, &[2], false)?;
    Ok(Labelled { value: extents.reshape(cx, y, &labels)?, labels })
}

/// `[rows.., inner]` by constant weights `[columns, inner]`.
fn fully_connected(
    cx: &mut Cx<'_>,
    a: &Labelled,
    b: &Labelled,
    roles: &Roles,
    extents: &Extents,
) -> Result<Labelled, Refusal> {
    let Roles { rows, columns, inner, .. } = roles;
    let mut groups: Vec<Option<&[Label]>> = rows.chunks(1).map(Some).collect();
    if groups.is_empty() {
        groups.push(None);
    }
    groups.push(Some(inner));
    let x = grouped(cx, a, &groups)?;
    let weights = grouped(cx, b, &[Some(columns), Some(inner)])?;
    let op = Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: Activation::None };
    let y = cx.b.emit(op, &[Some(x), Some(weights), None])?[0];
    let labels = [rows.as_slice(), columns].concat();
    Ok(Labelled { value: extents.reshape(cx, y, &labels)?, labels })
}

/// `[batch.., rows, inner]` by `[batch.., inner, columns]`.
fn matrices(
    cx: &mut Cx<'_>,
    a: &Labelled,
    b: &Labelled,
    roles: &Roles,
    extents: &Extents,
) -> Result<Labelled, Refusal> {
    let Roles { batch, rows, columns, inner } = roles;
    // Few batch axes stay as they are: so do the rows where the right operand is one matrix for all.
    let rows_apart = batch.is_empty() && (2..=MOST_BATCH_AXES + 1).contains(&rows.len());
    let leading: Vec<_> =
        if batch.len() <= MOST_BATCH_AXES { batch.chunks(1).map(Some).collect() } else { vec![Some(batch.as_slice())] };
    let mut left = leading.clone();
    if rows_apart {
        left.extend(rows.chunks(1).map(Some));
    } else {
        left.push(Some(rows));
    }
    left.push(Some(inner));
    let mut right = leading;
    right.extend([Some(inner.as_slice()), Some(columns)]);
    let (a, b) = (grouped(cx, a, &left)?, grouped(cx, b, &right)?);
    let y = cx.b.one(Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false }, &[a, b])?;
    let labels = [batch.as_slice(), rows, columns].concat();
    Ok(Labelled { value: extents.reshape(cx, y, &labels)?, labels })
}

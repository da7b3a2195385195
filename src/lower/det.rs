//! ONNX `Det`.

use super::conv::{require_float32, split};
use super::reshape::Part;
use super::window::{drop_axis, insert_axis};
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, Precision, Reduce, Unary, ValueId};
use crate::tensor::{DType, Tensor};

/// Every row takes operators of its own.
const MOST_ROWS: usize = 32;

/// Lowers ONNX `Det` to arithmetic.
///
/// # Accepts
/// float32 matrices of up to 32 rows, one or many.
/// # Produces
/// For up to three rows the products written out. More rows are eliminated one by one, each time the one with the largest first element,
/// by `ARG_MAX → GATHER`.
/// # Refuses
/// Larger matrices, and ones of unknown size.
pub(super) fn det(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    require_float32(cx, x)?;
    let rank = cx.rank(x);
    let rows = rank.checked_sub(2).and_then(|axis| cx.dim(x, axis)).filter(|&n| cx.dim(x, rank - 1) == Some(n));
    let Some(rows) = rows else {
        return Err(Refusal::new(format!("matrices of {}", cx.shape(x)), "they must be square, of known size"));
    };
    if rows > MOST_ROWS {
        return Err(Refusal::new(format!("matrices of {rows} rows"), format!("up to {MOST_ROWS} rows are supported")));
    }
    cx.b.set_precision(Precision::Float);
    let mut rest = cx.reshape_parts(x, &[Part::Axes(0..rank - 2), Part::Fixed(rows), Part::Fixed(rows)])?;
    let mut product = None;
    for size in (4..=rows).rev() {
        let (pivot, smaller) = eliminate(cx, rest, size)?;
        rest = smaller;
        product = Some(times(cx, product, pivot)?);
    }
    let last = match rows {
        0 => {
            let matrices = cx.reshape_parts(x, &[Part::Axes(0..rank - 2), Part::Fixed(0)])?;
            let none = cx.b.reduce(Reduce::Prod, matrices, &[1], false)?;
            insert_axis(cx, none, 1)?
        }
        1 => drop_axis(cx, rest, 2)?,
        2 => of_two(cx, rest)?,
        _ => of_three(cx, rest)?,
    };
    let det = times(cx, product, last)?;
    let dims: Vec<Option<i64>> = cx.shape(x).dims()[..rank - 2].iter().map(|d| d.map(|d| d as i64)).collect();
    Ok(vec![cx.reshape_to(det, &dims, |cx, axis| cx.extent_vector(x, axis))?])
}

fn times(cx: &mut Cx<'_>, product: Option<ValueId>, factor: ValueId) -> Result<ValueId, Refusal> {
    Ok(match product {
        Some(product) => cx.b.mul(product, factor)?,
        None => factor,
    })
}

/// One row and the first column less: the factor for that, `[N, 1]`, and the smaller matrices.
fn eliminate(cx: &mut Cx<'_>, x: ValueId, size: usize) -> Result<(ValueId, ValueId), Refusal> {
    let m = size as i64;
    let first = cx.b.slice(x, &[0, 0, 0], &[-1, m, 1])?;
    let first = drop_axis(cx, first, 2)?;
    let magnitude = cx.b.unary(Unary::Abs, first)?;
    let axis = cx.b.scalar(1i32);
    let at = cx.b.one(Op::ArgMax { to: DType::I32 }, &[magnitude, axis])?;
    let at = insert_axis(cx, at, 1)?;
    let row = cx.gather_in_batch(x, at)?;
    // The other rows in order: those from the chosen one on move up.
    let places = cx.b.constant(Tensor::vector((0..size as i32 - 1).collect()));
    let moves = cx.b.compare(Compare::LessEqual, at, places)?;
    let moves = cx.as_i32(moves)?;
    let others = cx.b.add(moves, places)?;
    let others = cx.gather_in_batch(x, others)?;

    let pivot = cx.b.slice(row, &[0, 0, 0], &[-1, 1, 1])?;
    let zero = cx.b.scalar(0f32);
    let singular = cx.b.compare(Compare::Equal, pivot, zero)?;
    let one = cx.b.scalar(1f32);
    let divisor = cx.b.select(singular, one, pivot)?;
    let heads = cx.b.slice(others, &[0, 0, 0], &[-1, m - 1, 1])?;
    let factor = cx.b.div(heads, divisor)?;
    let tail = cx.b.slice(row, &[0, 0, 1], &[-1, 1, m - 1])?;
    let tails = cx.b.slice(others, &[0, 0, 1], &[-1, m - 1, m - 1])?;
    let taken = cx.b.mul(factor, tail)?;
    let smaller = cx.b.sub(tails, taken)?;
    // The sign changes with every row that the chosen one passes.
    let odd = cx.with_number(Binary::FloorMod, at, 2.0)?;
    let odd = cx.b.cast(odd, DType::F32)?;
    let sign = cx.with_number(Binary::Mul, odd, -2.0)?;
    let sign = cx.with_number(Binary::Add, sign, 1.0)?;
    let pivot = drop_axis(cx, pivot, 2)?;
    Ok((cx.b.mul(pivot, sign)?, smaller))
}

/// `[N, 2, 2]` to `[N, 1]`: the diagonal's product less that of the other two.
fn of_two(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let rows = split(cx, x, 1, 2)?;
    let swapped = cx.gather_axis(rows[1], &[1, 0], 2)?;
    let products = cx.b.mul(rows[0], swapped)?;
    let products = split(cx, products, 2, 2)?;
    let det = cx.b.sub(products[0], products[1])?;
    drop_axis(cx, det, 2)
}

/// `[N, 3, 3]` to `[N, 1]`: the first row by the cross product of the others.
fn of_three(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    let rows = split(cx, x, 1, 3)?;
    let mut turned = |row: usize, order: &[i64]| cx.gather_axis(rows[row], order, 2);
    let (b, c) = (turned(1, &[1, 2, 0])?, turned(2, &[2, 0, 1])?);
    let (d, e) = (turned(1, &[2, 0, 1])?, turned(2, &[1, 2, 0])?);
    let (plus, minus) = (cx.b.mul(b, c)?, cx.b.mul(d, e)?);
    let cross = cx.b.sub(plus, minus)?;
    let products = cx.b.mul(rows[0], cross)?;
    Ok(cx.b.reduce(Reduce::Sum, products, &[2], false)?)
}

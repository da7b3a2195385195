//! ONNX operators that repeat elements: `Expand`, `Tile`.

use super::known::Number;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Op};

/// Lowers ONNX `Expand` to `BROADCAST_TO`.
///
/// # Accepts
/// Shapes that are constant, computed from other shapes, or fed at run time; with extents of 1 where the operand has more.
/// # Produces
/// `BROADCAST_TO`, with the larger of both extents on each axis: constant, or by `MAXIMUM` at run time. Nothing where the operand
/// already has the shape, `RESHAPE` where it only gets more axes of 1.
/// # Refuses
/// A shape operand whose length is not known: the rank of the result would be dynamic.
pub(super) fn expand(cx: &mut Cx<'_>) -> Results {
    let (x, target) = (cx.input(0)?, cx.input(1)?);
    let Some(mut wanted) = cx.numbers(target) else {
        return Err(Refusal::new("the rank of the result is not known", "pin the model's dynamic inputs with --shape")
            .about("operand shape"));
    };
    let mut old = cx.extents(x);
    let rank = wanted.len().max(old.len());
    for side in [&mut wanted, &mut old] {
        let missing = rank - side.len();
        side.splice(0..0, vec![Number::Known(1); missing]);
    }
    let result: Vec<Number> = old.iter().zip(&wanted).map(|(&a, &b)| broadcast(a, b)).collect();
    if result == old {
        let dims: Vec<i64> = old.iter().map(|n| n.known().unwrap_or(-1)).collect();
        if cx.rank(x) == rank {
            return Ok(vec![x]);
        }
        if dims.iter().filter(|&&d| d < 0).count() <= 1 {
            return Ok(vec![cx.b.reshape(x, &dims)?]);
        }
    }
    let extents: Vec<Option<i64>> = result.iter().map(|n| n.known()).collect();
    if extents.iter().all(Option::is_some) {
        let shape = cx.vector_of(&extents, |cx, _| cx.input(1))?;
        return Ok(vec![cx.b.one(Op::BroadcastTo, &[x, shape])?]);
    }
    // The larger one of both extents: they are equal, or one of them is 1.
    let mut shapes = [cx.as_i32(target)?, cx.shape_of(x)?];
    for (shape, len) in shapes.iter_mut().zip([cx.shape(target).elements().unwrap_or(rank), cx.rank(x)]) {
        if len < rank {
            let ones = cx.b.ints(&vec![1; rank - len])?;
            *shape = cx.b.concat(&[ones, *shape], 0)?;
        }
    }
    let shape = cx.b.binary(Binary::Maximum, shapes[0], shapes[1])?;
    let expanded = cx.b.one(Op::BroadcastTo, &[x, shape])?;
    Ok(vec![cx.refine(expanded, &result)])
}

/// The extent that two extents broadcast to.
fn broadcast(a: Number, b: Number) -> Number {
    match (a, b) {
        (Number::Known(1), n) | (n, Number::Known(1)) => n,
        (n @ Number::Known(_), _) | (_, n @ Number::Known(_)) => n,
        _ if a == b => a,
        _ => Number::Unknown,
    }
}

/// Lowers ONNX `Tile` to `TILE`.
///
/// # Accepts
/// Repeats that are constant, computed, or fed at run time.
/// # Produces
/// `TILE`. Nothing where everything is there once.
/// # Refuses
/// Nothing.
pub(super) fn tile(cx: &mut Cx<'_>) -> Results {
    let (x, repeats) = (cx.input(0)?, cx.input(1)?);
    if let Some(repeats) = cx.known_ints(repeats) {
        if repeats.iter().all(|&n| n == 1) {
            return Ok(vec![x]);
        }
        let repeats = cx.b.ints(&repeats)?;
        return Ok(vec![cx.b.one(Op::Tile, &[x, repeats])?]);
    }
    let numbers = cx.numbers(repeats).unwrap_or_default();
    let repeats = cx.as_i32(repeats)?;
    let tiled = cx.b.one(Op::Tile, &[x, repeats])?;
    let product = |(extent, repeat): (Number, &Number)| match (extent, *repeat) {
        (Number::Known(a), Number::Known(b)) => a.checked_mul(b).map_or(Number::Unknown, Number::Known),
        _ => Number::Unknown,
    };
    let extents: Vec<Number> = cx.extents(x).into_iter().zip(&numbers).map(product).collect();
    Ok(vec![cx.refine(tiled, &extents)])
}

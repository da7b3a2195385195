//! Matrix products of integers, for which TFLite has no kernel: every product of two elements by itself, and their sums.

use super::elementwise::arithmetic;
use super::window::insert_axis;
use super::{Cx, Refusal};
use crate::graph::{Binary, Reduce, ValueId};
use crate::tensor::DType;

/// Most products that are held at once: a quarter of a gigabyte of `INT32`.
const MOST: usize = 1 << 26;

/// True for the integers that matrices hold in ONNX.
pub(super) fn takes(dtype: DType) -> bool {
    matches!(dtype, DType::I32 | DType::I64 | DType::U32 | DType::U64)
}

/// `a [.., M, K]` by `b [.., K, N]`; sums that don't fit wrap around. Batch axes broadcast.
pub(super) fn product(cx: &mut Cx<'_>, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(a);
    // [.., M, K, 1] by [.., 1, K, N]
    let (kernel, rank_a, rank_b) = ([DType::I32, DType::I64], cx.rank(a), cx.rank(b));
    let (a, b) = (cx.wrapping(a, &kernel)?, cx.wrapping(b, &kernel)?);
    let (a, b) = (insert_axis(cx, a, rank_a)?, insert_axis(cx, b, rank_b - 2)?);
    let rank = cx.rank(a).max(cx.rank(b));
    let extent = |x: ValueId, axis: usize| (axis + cx.rank(x)).checked_sub(rank).map_or(Some(1), |i| cx.dim(x, i));
    let extents = (0..rank).map(|axis| Some(extent(a, axis)?.max(extent(b, axis)?)));
    match extents.collect::<Option<Vec<usize>>>() {
        None => {
            cx.note(format!("TFLite has no product of {dtype} matrices: all products of elements are held at once"))
        }
        Some(extents) if extents.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).is_none_or(|n| n > MOST) => {
            let what =
                format!("TFLite has no product of {dtype} matrices, and {extents:?} products of elements are too many");
            return Err(Refusal::new(what, "use float32, or smaller matrices"));
        }
        Some(_) => {}
    }
    let products = arithmetic(cx, Binary::Mul, a, b)?;
    let sums = cx.b.reduce(Reduce::Sum, products, &[rank - 2], false)?;
    Ok(cx.b.cast(sums, dtype)?)
}

/// `x` times a number, which must be whole.
pub(super) fn scaled(cx: &mut Cx<'_>, x: ValueId, factor: f32, attribute: &str) -> Result<ValueId, Refusal> {
    if factor == 1.0 {
        return Ok(x);
    }
    if factor.fract() != 0.0 || factor.abs() >= (1u32 << 24) as f32 {
        let what = format!("is {factor}, but the matrices are of integers");
        return Err(Refusal::new(what, "use a whole number, or float32").about(format!("attribute {attribute}")));
    }
    let whole = cx.wrapping(x, &[DType::I32, DType::I64])?;
    let factor = cx.b.scalar_of(cx.dtype(whole), f64::from(factor))?;
    let y = cx.b.mul(whole, factor)?;
    Ok(cx.b.cast(y, cx.dtype(x))?)
}

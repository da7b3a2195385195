//! ONNX `CumProd`.

use super::kernel_type::no_kernel;
use super::reshape::Part;
use super::{Cx, Refusal, Results};
use crate::graph::{Binary, Compare, Op, Precision, ValueId};
use crate::tensor::DType;

/// Lowers ONNX `CumProd` to products with shifted copies of the operand.
///
/// # Accepts
/// Floats, integers up to 32 bits and int64; `exclusive`, `reverse`; an axis that is constant or fed at run time.
/// # Produces
/// `SLICE → PADV2 → MUL` for each doubling of the distance, on the operand reshaped to rank 3; between `REVERSE_V2` for `reverse`. Along every axis, and
/// one chosen by `SELECT_V2`, where the axis is fed.
/// # Refuses
/// uint64; an axis of unknown extent.
pub(super) fn cum_prod(cx: &mut Cx<'_>) -> Results {
    let (x, axis) = (cx.input(0)?, cx.input(1)?);
    let (exclusive, reverse) = (cx.flag_or("exclusive", false)?, cx.flag_or("reverse", false)?);
    let rank = cx.rank(x);
    let before = cx.b.set_precision(Precision::Float);
    let known = cx.known_ints(axis).and_then(|axis| axis.first().copied());
    let y = match known {
        Some(axis) => {
            let axis = cx.axis(axis, x).map_err(|r| r.about("operand axis"))?;
            along(cx, x, axis, exclusive, reverse)?
        }
        None if rank == 0 => return Err(Refusal::new("a scalar has no axis", "check the model with onnx.checker")),
        None => {
            let axis = cx.as_i32(axis)?;
            let axis = cx.b.reshape(axis, &[])?;
            let count = cx.b.scalar_of(DType::I32, rank as f64)?;
            let axis = cx.b.binary(Binary::FloorMod, axis, count)?;
            let mut y = along(cx, x, 0, exclusive, reverse)?;
            for other in 1..rank {
                let number = cx.b.scalar_of(DType::I32, other as f64)?;
                let is_meant = cx.b.compare(Compare::Equal, axis, number)?;
                let product = along(cx, x, other, exclusive, reverse)?;
                y = cx.b.select(is_meant, product, y)?;
            }
            y
        }
    };
    cx.b.set_precision(before);
    Ok(vec![y])
}

fn along(cx: &mut Cx<'_>, x: ValueId, axis: usize, exclusive: bool, reverse: bool) -> Result<ValueId, Refusal> {
    let (rank, dtype) = (cx.rank(x), cx.dtype(x));
    let extent = cx.dim(x, axis);
    let extent = extent.ok_or_else(|| Refusal::new("the extent of the axis must be known", "pin it with --shape"))?;
    let wide = match dtype {
        DType::F32 | DType::I32 | DType::I64 => dtype,
        DType::I8 | DType::U8 | DType::I16 | DType::U16 => DType::I32,
        DType::U32 => DType::I64,
        _ => return Err(no_kernel(dtype)),
    };
    let y = cx.reshape_parts(x, &[Part::Axes(0..axis), Part::Axes(axis..axis + 1), Part::Axes(axis + 1..rank)])?;
    let mut y = cx.b.cast(y, wide)?;
    let axes = cx.b.ints(&[1])?;
    if reverse {
        y = cx.b.one(Op::Reverse, &[y, axes])?;
    }
    if exclusive {
        y = shifted(cx, y, extent, 1)?;
    }
    // After each step, an element is the product of as many as the distance says.
    let mut distance = 1;
    while distance < extent {
        let earlier = shifted(cx, y, extent, distance)?;
        y = cx.b.mul(y, earlier)?;
        distance *= 2;
    }
    if reverse {
        y = cx.b.one(Op::Reverse, &[y, axes])?;
    }
    let y = cx.b.cast(y, dtype)?;
    let dims: Vec<Option<i64>> = cx.shape(x).dims().iter().map(|d| d.map(|d| d as i64)).collect();
    cx.reshape_to(y, &dims, |cx, axis| cx.extent_vector(x, axis))
}

/// The middle one of three axes moved towards its end, and filled up with ones.
fn shifted(cx: &mut Cx<'_>, x: ValueId, extent: usize, distance: usize) -> Result<ValueId, Refusal> {
    let distance = distance.min(extent);
    let kept = cx.slice_axis(x, 1, 0, extent - distance)?;
    let one = cx.b.scalar_of(cx.dtype(x), 1.0)?;
    Ok(cx.b.pad_with(kept, &[(0, 0), (distance, 0), (0, 0)], one)?)
}

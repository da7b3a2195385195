//! com.microsoft `GatherBlockQuantized`: look-ups in tables whose rows are quantized in blocks.

use super::arithmetic;
use super::grid::{Along, Linear};
use crate::graph::ValueId;
use crate::lower::{Cx, Refusal, Results};
use crate::tensor::{DType, Tensor};

/// Lowers com.microsoft `GatherBlockQuantized` to `GATHER` of integers and of their scales.
///
/// # Accepts
/// int4, uint4, and uint8 of 8 bits or of two numbers of 4 bits each; zero points; any axes that are not the same.
/// # Produces
/// `GATHER` of integers, scales and zero points, then `CAST → SUB → MUL`. Numbers of 4 bits are stored as int8 or uint8.
/// # Refuses
/// Looking up along the axis that has the blocks; packed numbers that are computed.
pub(in crate::lower) fn gather_block_quantized(cx: &mut Cx<'_>) -> Results {
    let (data, indices, scale) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let gather_axis = cx.int_or("gather_axis", 0)?;
    let gather_axis = cx.axis(gather_axis, data)?;
    let quantize_axis = cx.int_or("quantize_axis", 1)?;
    let quantize_axis = cx.axis(quantize_axis, data)?;
    let size = usize::try_from(cx.int_or("block_size", 128)?).ok().filter(|&size| size > 0);
    let size = size.ok_or_else(|| Refusal::new("must be positive", "").about("attribute block_size"))?;
    if gather_axis == quantize_axis {
        let hint = "quantize the table along the axis of its rows' elements";
        return Err(Refusal::new("looks up along the axis that has the blocks", hint).about("attribute gather_axis"));
    }
    let packed = cx.dtype(data) == DType::U8 && cx.int_or("bits", 4)? == 4;
    let blocks = cx.dim(scale, quantize_axis);
    let zero_point = match (cx.optional(3), packed) {
        (Some(zero_point), false) => Some(whole_bytes(cx, zero_point)?),
        (Some(zero_point), true) => Some(unpacked(cx, zero_point, quantize_axis, blocks)?),
        (None, true) => Some(cx.b.scalar(8u8)),
        (None, false) => None,
    };
    let data = if packed { unpacked(cx, data, quantize_axis, None)? } else { whole_bytes(cx, data)? };
    let indices = cx.as_i32(indices)?;
    let looked_up = |cx: &mut Cx<'_>, x: ValueId| match cx.rank(x) {
        0 => Ok(x),
        _ => cx.b.gather(x, indices, gather_axis).map_err(Refusal::from),
    };
    let (x, scale) = (looked_up(cx, data)?, looked_up(cx, scale)?);
    let zero_point = zero_point.map(|z| looked_up(cx, z)).transpose()?;
    // The axis that was looked up along is now as many as the indices have.
    let axis = if gather_axis < quantize_axis { quantize_axis + cx.rank(x) - cx.rank(data) } else { quantize_axis };
    let y = arithmetic::dequantize(cx, x, Linear { scale, zero_point, along: Along::Blocks { axis, size } })?;
    Ok(vec![y])
}

/// Numbers of 4 bits as bytes, which `GATHER` takes everywhere.
fn whole_bytes(cx: &mut Cx<'_>, x: ValueId) -> Result<ValueId, Refusal> {
    match cx.dtype(x) {
        DType::I4 => Ok(cx.b.cast(x, DType::I8)?),
        DType::U4 => Ok(cx.b.cast(x, DType::U8)?),
        _ => Ok(x),
    }
}

/// Bytes of two numbers each, the first in the low bits, as a byte for each; no more along `axis` than `extent`.
fn unpacked(cx: &mut Cx<'_>, x: ValueId, axis: usize, extent: Option<usize>) -> Result<ValueId, Refusal> {
    let refusal = |what: &str| Refusal::new(what, "make the table an initializer");
    let data = cx.constant(x).cloned().ok_or_else(|| refusal("packed numbers must be constant"))?;
    if axis + 1 != data.rank() {
        return Err(refusal("packed numbers must have their blocks along the last axis"));
    }
    let numbers: Vec<u8> = data.bytes().iter().flat_map(|byte| [byte & 15, byte >> 4]).collect();
    let mut shape = data.shape().to_vec();
    shape[axis] *= 2;
    let whole = cx.b.constant(Tensor::from_vec(&shape, numbers));
    let Some(extent) = extent.filter(|&extent| extent < shape[axis]) else { return Ok(whole) };
    let begin = vec![0; shape.len()];
    shape[axis] = extent;
    let size: Vec<i64> = shape.iter().map(|&d| d as i64).collect();
    Ok(cx.b.slice(whole, &begin, &size)?)
}

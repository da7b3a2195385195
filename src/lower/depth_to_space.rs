//! ONNX `DepthToSpace`, `SpaceToDepth`.

use super::{Cx, Refusal, Results, countable};
use crate::graph::{Op, ValueId};
use crate::tensor::DType;

/// What the kernels of `DEPTH_TO_SPACE` and `SPACE_TO_DEPTH` take.
const KERNEL: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I32, DType::I64];

/// Lowers ONNX `DepthToSpace` to `DEPTH_TO_SPACE`.
///
/// # Accepts
/// Both modes, any block size; unknown extents but that of the channels.
/// # Produces
/// `DEPTH_TO_SPACE`, channels last; before it for `CRD`, a `GATHER` that brings the channels in the order of `DCR`.
/// # Refuses
/// float64 and uint64.
pub(super) fn depth_to_space(cx: &mut Cx<'_>) -> Results {
    let (x, block) = operand(cx)?;
    let mode = cx.string_or("mode", "DCR")?;
    if block == 1 {
        return Ok(vec![x]);
    }
    let by_row = match mode {
        "DCR" => x,
        "CRD" => {
            let Some(channels) = cx.dim(x, 1) else { return cx.fixed_shape(x).map(|_| Vec::new()) };
            // Channel (c, by, bx) of the operand is to be (by, bx, c).
            countable(&[channels])?;
            let (area, depth) = (block * block, channels / (block * block));
            let order: Vec<i64> = (0..area).flat_map(|b| (0..depth).map(move |c| (c * area + b) as i64)).collect();
            cx.gather_axis(x, &order, 1)?
        }
        _ => return Err(unknown(mode)),
    };
    spatial(cx, by_row, Op::DepthToSpace { block })
}

/// Lowers ONNX `SpaceToDepth` to `SPACE_TO_DEPTH`.
///
/// # Accepts
/// Any block size, both orders of channels (`mode` of opset 28), unknown extents but that of the channels for `CRD`.
/// # Produces
/// `SPACE_TO_DEPTH`, channels last; after it for `CRD`, a `GATHER` that brings the channels in that order.
/// # Refuses
/// float64 and uint64.
pub(super) fn space_to_depth(cx: &mut Cx<'_>) -> Results {
    let (x, block) = operand(cx)?;
    let mode = cx.string_or("mode", "DCR")?;
    if block == 1 {
        return Ok(vec![x]);
    }
    let by_row = spatial(cx, x, Op::SpaceToDepth { block })?;
    match mode {
        "DCR" => Ok(by_row),
        "CRD" => {
            let Some(depth) = cx.dim(x, 1) else { return cx.fixed_shape(x).map(|_| Vec::new()) };
            // Channel (c, by, bx) of the result is channel (by, bx, c) of the builtin's.
            let area = block * block;
            countable(&[area, depth])?;
            let order: Vec<i64> = (0..depth).flat_map(|c| (0..area).map(move |b| (b * depth + c) as i64)).collect();
            by_row.into_iter().map(|y| cx.gather_axis(y, &order, 1)).collect()
        }
        _ => Err(unknown(mode)),
    }
}

fn unknown(mode: &str) -> Refusal {
    Refusal::new(format!("{mode:?} is not known"), "use DCR or CRD").about("attribute mode")
}

fn operand(cx: &mut Cx<'_>) -> Result<(ValueId, usize), Refusal> {
    let block = cx.int_or("blocksize", 0)?;
    let block = usize::try_from(block).ok().filter(|b| (1..1 << 15).contains(b));
    let block = block.ok_or_else(|| {
        Refusal::new("must be a positive number", "check the model with onnx.checker").about("attribute blocksize")
    })?;
    let x = cx.input(0)?;
    if cx.rank(x) != 4 {
        return Err(Refusal::new(format!("the operand must have rank 4, but is {}", cx.shape(x)), "check the model"));
    }
    Ok((x, block))
}

fn spatial(cx: &mut Cx<'_>, x: ValueId, op: Op) -> Results {
    let dtype = cx.dtype(x);
    let x = cx.in_moved_type(x, KERNEL)?;
    let last = cx.channels_last(x)?;
    let moved = cx.b.one(op, &[last])?;
    let first = cx.channels_first(moved)?;
    Ok(vec![cx.b.cast(first, dtype)?])
}

//! What the operators on boxes share: bins of both axes put together, and gathered.

use crate::graph::{Binary, ValueId};
use crate::lower::conv::split;
use crate::lower::reshape::Part;
use crate::lower::{Cx, Refusal};

/// The columns of `[boxes, n]`, each as `[boxes, 1, 1]`.
pub(super) fn columns<const N: usize>(cx: &mut Cx<'_>, boxes: ValueId) -> Result<[ValueId; N], Refusal> {
    let columns = split(cx, boxes, 1, N)?;
    let columns: Vec<ValueId> =
        columns.into_iter().map(|column| Ok(cx.b.reshape(column, &[-1, 1, 1])?)).collect::<Result<_, Refusal>>()?;
    columns.try_into().map_err(|_| Refusal::new("boxes of another length", "check the model with onnx.checker"))
}

/// `[boxes, rows, m]` and `[boxes, columns, n]` combined as `[boxes, rows, m, columns, n]`.
pub(super) fn outer(cx: &mut Cx<'_>, y: ValueId, x: ValueId, kind: Binary) -> Result<ValueId, Refusal> {
    let one = || Part::Fixed(1);
    let axis = |a: usize| Part::Axes(a..a + 1);
    let y = cx.reshape_parts(y, &[axis(0), axis(1), axis(2), one(), one()])?;
    let x = cx.reshape_parts(x, &[axis(0), one(), one(), axis(1), axis(2)])?;
    Ok(cx.b.binary(kind, y, x)?)
}

/// Rows of the image that each box is about (`images`, `[boxes]`), where `row` counts from the start of an image. The image is
/// `[images, rows, C]`.
pub(super) fn gather(cx: &mut Cx<'_>, image: ValueId, row: ValueId, images: ValueId) -> Result<ValueId, Refusal> {
    let mut row = row;
    if cx.dim(image, 0) != Some(1) {
        let images = cx.as_i32(images)?;
        let images = cx.b.reshape(images, &[-1, 1, 1, 1, 1])?;
        let rows = cx.extent_of(image, 1)?;
        let start = cx.b.mul(images, rows)?;
        row = cx.b.add(row, start)?;
    }
    let flat = cx.reshape_parts(image, &[Part::Axes(0..2), Part::Axes(2..3)])?;
    cx.gather_at(flat, row, 0)
}

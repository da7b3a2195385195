//! ONNX `Col2Im`.

use super::{Cx, Refusal, Results};
use crate::graph::{Op, Reduce, ValueId};
use crate::tensor::{DType, Perm};

/// Lowers ONNX `Col2Im` to `SCATTER_ND`, which adds up what overlaps.
///
/// # Accepts
/// float32; any number of spatial axes; `dilations`, `pads`, `strides`; shapes that are constant or fed at run time.
/// # Produces
/// `TRANSPOSE → SCATTER_ND → TRANSPOSE`, with positions that are folded where the shapes are constant, and else computed from `RANGE`s; `SLICE`
/// after it where padding is taken off.
/// # Refuses
/// More than four spatial axes.
pub(super) fn col_2_im(cx: &mut Cx<'_>) -> Results {
    let x = cx.input(0)?;
    super::conv::require_float32(cx, x)?;
    let geometry = Geometry::read(cx)?;
    let positions = geometry.positions(cx)?;

    let swap = Perm::new(vec![1, 0]).unwrap_or_else(|| Perm::identity(2));
    let columns = cx.dim(positions, 0).map(|n| n as i64);
    let width = cx.vector_of(&[Some(-1), columns], |cx, _| cx.extent_vector(positions, 0))?;
    let flat = cx.b.one(Op::Reshape, &[x, width])?;
    let updates = cx.b.transpose(flat, &swap)?;
    let (size, rows) = (cx.b.reduce(Reduce::Prod, geometry.padded, &[0], true)?, cx.extent_vector(flat, 0)?);
    let shape = cx.b.concat(&[size, rows], 0)?;
    let summed = cx.b.one(Op::ScatterNd, &[positions, updates, shape])?;
    let planes = cx.b.transpose(summed, &swap)?;
    let batch = cx.extent_vector(x, 0)?;
    let minus_one = cx.b.ints(&[-1])?;
    let shape = cx.b.concat(&[batch, minus_one, geometry.padded], 0)?;
    let y = cx.b.one(Op::Reshape, &[planes, shape])?;
    if geometry.pads.iter().all(|&p| p == 0) {
        return Ok(vec![y]);
    }
    let axes = geometry.strides.len();
    let begin: Vec<i64> = [0, 0].iter().chain(&geometry.pads[..axes]).copied().collect();
    let (begin, whole) = (cx.b.ints(&begin)?, cx.b.ints(&[-1, -1])?);
    let kept = cx.b.concat(&[whole, geometry.image], 0)?;
    Ok(vec![cx.b.one(Op::Slice, &[y, begin, kept])?])
}

/// How blocks lie in the image: `INT32` vectors and attributes with a number for each axis.
struct Geometry {
    image: ValueId,
    block: ValueId,
    /// Extents of the image with its padding.
    padded: ValueId,
    /// First before, then after each axis.
    pads: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
}

impl Geometry {
    fn read(cx: &mut Cx<'_>) -> Result<Geometry, Refusal> {
        let (image, block) = (shape(cx, 1, "image_shape")?, shape(cx, 2, "block_shape")?);
        let axes = cx.entries(image, "image_shape")?;
        let each = |name: &str, count: usize, default: i64| {
            let numbers = cx.ints(name)?.map_or_else(|| vec![default; count], <[i64]>::to_vec);
            let fits = numbers.len() == count && numbers.iter().all(|&n| n >= default && i32::try_from(n).is_ok());
            let bad = || Refusal::new(format!("is {numbers:?} for {axes} axes"), "check the model with onnx.checker");
            if fits { Ok(numbers) } else { Err(bad().about(format!("attribute {name}"))) }
        };
        let (dilations, strides, pads) =
            (each("dilations", axes, 1)?, each("strides", axes, 1)?, each("pads", 2 * axes, 0)?);
        // Positions are summed up over two axes for each of these, and kernels broadcast eight.
        if !(1..=4).contains(&axes) {
            return Err(Refusal::new(format!("{axes} spatial axes"), "one to four are supported"));
        }
        let added: Vec<i64> = (0..axes).map(|a| pads[a] + pads[a + axes]).collect();
        let added = cx.b.ints(&added)?;
        let padded = cx.b.add(image, added)?;
        Ok(Geometry { image, block, padded, pads, strides, dilations })
    }

    /// `INT32 [elements * blocks, 1]`: where in the flattened image each element of each block falls.
    fn positions(&self, cx: &mut Cx<'_>) -> Result<ValueId, Refusal> {
        let axes = self.strides.len();
        let one = cx.b.scalar(1i32);
        let (strides, dilations) = (cx.b.ints(&self.strides)?, cx.b.ints(&self.dilations)?);
        // Blocks along each axis: what is left beyond the span of one, in strides, and that one.
        let gaps = cx.b.sub(self.block, one)?;
        let reach = cx.b.mul(gaps, dilations)?;
        let room = cx.b.sub(self.padded, reach)?;
        let room = cx.b.sub(room, one)?;
        let more = cx.b.div(room, strides)?;
        let blocks = cx.b.add(more, one)?;
        let mut sum: Option<ValueId> = None;
        for (first, counts, steps) in [(0, self.block, &self.dilations), (axes, blocks, &self.strides)] {
            for axis in 0..axes {
                let inner = cx.b.slice(self.padded, &[axis as i64 + 1], &[(axes - axis - 1) as i64])?;
                let stride = cx.b.reduce(Reduce::Prod, inner, &[0], false)?;
                let step = cx.b.scalar_of(DType::I32, steps[axis] as f64)?;
                let stride = cx.b.mul(stride, step)?;
                let count = cx.b.slice(counts, &[axis as i64], &[1])?;
                let count = cx.b.reshape(count, &[])?;
                let zero = cx.b.scalar(0i32);
                let numbers = cx.b.one(Op::Range, &[zero, count, one])?;
                let places = cx.b.mul(numbers, stride)?;
                let mut column = vec![1; 2 * axes];
                column[first + axis] = -1;
                let places = cx.b.reshape(places, &column)?;
                sum = Some(match sum {
                    Some(sum) => cx.b.add(sum, places)?,
                    None => places,
                });
            }
        }
        let sum = sum.ok_or_else(|| Refusal::new("there are no spatial axes", ""))?;
        Ok(cx.b.reshape(sum, &[-1, 1])?)
    }
}

fn shape(cx: &mut Cx<'_>, i: usize, name: &str) -> Result<ValueId, Refusal> {
    let shape = cx.input(i)?;
    match cx.known_ints(shape) {
        Some(ints) if ints.iter().any(|&n| n < 1) => {
            let what = format!("is {ints:?}");
            Err(Refusal::new(what, "check the model with onnx.checker").about(format!("operand {name}")))
        }
        Some(ints) => Ok(cx.b.ints(&ints)?),
        None => cx.narrowed(shape),
    }
}

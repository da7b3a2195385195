//! ONNX `ConvTranspose`.

use super::conv::{perm, require_float32, split};
use super::known::Number;
use super::window::{Pads, Window, add_height, drop_axis};
use super::{Cx, Refusal, Results, countable};
use crate::graph::{Activation, Dim, Op, Padding, SliceMasks, ValueId, Window3d};
use crate::tensor::{DType, Tensor};

/// Lowers ONNX `ConvTranspose` to `TRANSPOSE_CONV` or `CONV_3D_TRANSPOSE`.
///
/// # Accepts
/// One, two or three spatial axes; float32; groups, strides, `output_padding`, `output_shape`, any pads; dilations of constant
/// weights.
/// # Produces
/// `TRANSPOSE_CONV → SLICE? → PAD?`, channels last: `SAME` or `VALID` where either is exactly it, else the full result, of which the
/// pads are cut off. Groups run one by one; a dilated kernel is written out with its zeros. Extents that are only known at run time
/// make the result's shape there, and `STRIDED_SLICE` cuts.
/// # Refuses
/// `output_shape` with unknown spatial extents: the pads hang on both.
pub(super) fn conv_transpose(cx: &mut Cx<'_>) -> Results {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    require_float32(cx, x)?;
    let spatial = cx.rank(x).saturating_sub(2);
    if !(1..=3).contains(&spatial) || cx.rank(w) != spatial + 2 {
        let what = format!("{} by weights of {}", cx.shape(x), cx.shape(w));
        return Err(Refusal::new(what, "one to three spatial axes are supported"));
    }
    let w_shape = cx.fixed_shape(w)?;
    let mut window = Window::read(cx, spatial, Some(w_shape[2..].to_vec()))?;
    let extents = cx.shape(x).dims()[2..].to_vec();
    if extents.contains(&None) && cx.has("output_shape") {
        cx.fixed_shape(x).map_err(|r| r.about("attribute output_shape"))?;
    }
    let group = usize::try_from(cx.int_or("group", 1)?).ok().filter(|&g| g > 0 && w_shape[0] % g == 0);
    let group = group.ok_or_else(|| Refusal::new("does not divide the input channels", "").about("attribute group"))?;
    let mut sizes = Sizes::read(cx, &window, extents)?;
    let channels = w_shape[1].checked_mul(group);
    let bias = match cx.optional(2) {
        Some(bias) => bias,
        None => super::conv::bias(cx, 2, channels)?,
    };
    let w = dilate(cx, w, &mut window)?;
    if spatial == 1 {
        window.add_height();
        sizes.add_height();
        let (x, w) = (add_height(cx, x)?, add_height(cx, w)?);
        let y = grouped(cx, x, w, bias, &window, &sizes, group)?;
        return Ok(vec![drop_axis(cx, y, 2)?]);
    }
    Ok(vec![grouped(cx, x, w, bias, &window, &sizes, group)?])
}

/// Stands for an extent of the operand that is not known. The result is larger by a fixed number than the stride times as many, and
/// what is cut off hangs on that number alone.
const STAND_IN: usize = 1 << 20;

/// What the result is cut from and to, for each spatial axis.
struct Sizes {
    /// Extents of the operand.
    dims: Vec<Dim>,
    /// The same with [`STAND_IN`], which the other numbers are computed of.
    input: Vec<usize>,
    /// Extent before anything is cut off: `(input - 1) * stride + span`.
    full: Vec<usize>,
    /// Cut off at the beginning.
    begin: Vec<usize>,
    /// Extent of the result.
    out: Vec<usize>,
}

impl Sizes {
    /// The formulas of the operator's definition; an odd pad of `output_shape` goes to the beginning unless
    /// `auto_pad` is `SAME_UPPER`.
    fn read(cx: &Cx<'_>, window: &Window, dims: Vec<Dim>) -> Result<Sizes, Refusal> {
        let spatial = dims.len();
        let input: Vec<usize> = dims.iter().map(|d| d.unwrap_or(STAND_IN)).collect();
        let output_padding = match cx.ints("output_padding")? {
            Some(values) => values.iter().map(|&v| usize::try_from(v).ok()).collect::<Option<Vec<_>>>(),
            None => Some(vec![0; spatial]),
        };
        let output_padding = output_padding.filter(|p| p.len() == spatial);
        let output_padding = output_padding.ok_or_else(|| {
            Refusal::new("must be one number >= 0 for each axis", "").about("attribute output_padding")
        })?;
        let output_shape = match cx.ints("output_shape")? {
            Some(values) => {
                // Exporters also write it with batch and channels.
                let values = &values[values.len().saturating_sub(spatial)..];
                let sizes: Option<Vec<usize>> = values.iter().map(|&v| usize::try_from(v).ok()).collect();
                let sizes = sizes.filter(|s| s.len() == spatial);
                Some(sizes.ok_or_else(|| {
                    Refusal::new("must be one size for each axis", "").about("attribute output_shape")
                })?)
            }
            None => None,
        };
        let mut sizes = Sizes { dims, input: input.clone(), full: vec![], begin: vec![], out: vec![] };
        for axis in 0..spatial {
            let stride = window.strides[axis];
            let full = (input[axis].max(1) - 1).saturating_mul(stride).saturating_add(window.span(axis));
            let wanted = match (&output_shape, &window.pads) {
                (Some(out), _) => Some(out[axis]),
                (None, Pads::SameUpper | Pads::SameLower) => Some(input[axis].saturating_mul(stride)),
                (None, Pads::Explicit(_)) => None,
            };
            let (begin, out) = match (wanted, &window.pads) {
                (None, Pads::Explicit(pads)) => {
                    let out = (full + output_padding[axis]).checked_sub(pads[axis].0 + pads[axis].1);
                    (
                        pads[axis].0,
                        out.ok_or_else(|| Refusal::new("cut off more than there is", "").about("attribute pads"))?,
                    )
                }
                (wanted, pads) => {
                    let out = wanted.unwrap_or(0);
                    let total = (full + output_padding[axis]).saturating_sub(out);
                    let begin = if *pads == Pads::SameUpper { total / 2 } else { total - total / 2 };
                    (begin, out)
                }
            };
            sizes.full.push(full);
            sizes.begin.push(begin);
            sizes.out.push(out);
        }
        Ok(sizes)
    }

    fn add_height(&mut self) {
        self.dims.insert(0, Some(1));
        self.input.insert(0, 1);
        self.full.insert(0, 1);
        self.begin.insert(0, 0);
        self.out.insert(0, 1);
    }

    /// How the operator itself can make it; `None` where the full result must be cut.
    fn padding(&self, window: &Window) -> Option<Padding> {
        let axes = 0..self.out.len();
        // VALID also makes trailing zeros, fewer than the stride.
        let valid = |a: usize| {
            self.begin[a] == 0 && self.out[a] >= self.full[a] && self.out[a] - self.full[a] < window.strides[a]
        };
        let same = |a: usize| {
            let total = self.full[a].checked_sub(self.out[a]);
            self.out[a].div_ceil(window.strides[a]) == self.input[a] && total.is_some_and(|t| self.begin[a] == t / 2)
        };
        if axes.clone().all(valid) {
            Some(Padding::Valid)
        } else if axes.clone().all(same) {
            Some(Padding::Same)
        } else {
            None
        }
    }
}

/// The operator knows no dilation: writes the zeros between the taps into the constant kernel.
fn dilate(cx: &mut Cx<'_>, w: ValueId, window: &mut Window) -> Result<ValueId, Refusal> {
    if window.dilations.iter().all(|&d| d == 1) {
        return Ok(w);
    }
    let constant = cx.constant(w);
    let data = constant.ok_or_else(|| {
        Refusal::new("needs constant weights", "make the weights an initializer").about("attribute dilations")
    })?;
    let (values, shape) = (data.to_f32s().map_err(|e| Refusal::new(e.to_string(), ""))?, data.shape().to_vec());
    let wide: Vec<usize> = (0..window.kernel.len()).map(|a| window.span(a)).collect();
    let dilated: Vec<usize> = shape[..2].iter().chain(&wide).copied().collect();
    let mut out = vec![0f32; countable(&dilated)?];
    for (flat, value) in values.into_iter().enumerate() {
        let (mut rest, mut to, mut stride) = (flat, 0, 1);
        for axis in (0..shape.len()).rev() {
            let step = if axis >= 2 { window.dilations[axis - 2] } else { 1 };
            to += rest % shape[axis] * step * stride;
            rest /= shape[axis];
            stride *= dilated[axis];
        }
        out[to] = value;
    }
    window.kernel = wide;
    window.dilations.fill(1);
    Ok(cx.b.constant(Tensor::from_vec(&dilated, out)))
}

/// Takes and gives channels-first values of two or three spatial axes.
fn grouped(
    cx: &mut Cx<'_>,
    x: ValueId,
    w: ValueId,
    bias: ValueId,
    window: &Window,
    sizes: &Sizes,
    group: usize,
) -> Result<ValueId, Refusal> {
    let spatial = sizes.out.len();
    let x = cx.channels_last(x)?;
    // [I, O, kh, kw] to [O, kh, kw, I]; [I, O, kd, kh, kw] to [kd, kh, kw, O, I].
    let w_axes: &[usize] = if spatial == 2 { &[1, 2, 3, 0] } else { &[2, 3, 4, 1, 0] };
    let xs = split(cx, x, spatial + 1, group)?;
    let ws = split(cx, w, 0, group)?;
    let biases = split(cx, bias, 0, group)?;
    let mut parts = Vec::with_capacity(group);
    for ((x, w), bias) in xs.into_iter().zip(ws).zip(biases) {
        let channels = cx.dim(w, 1);
        let w = cx.b.transpose(w, &perm(w_axes))?;
        parts.push(one_group(cx, x, w, bias, window, sizes, channels)?);
    }
    let y = if parts.len() == 1 { parts[0] } else { cx.b.concat(&parts, spatial + 1)? };
    cx.channels_first(y)
}

fn one_group(
    cx: &mut Cx<'_>,
    x: ValueId,
    w: ValueId,
    bias: ValueId,
    window: &Window,
    sizes: &Sizes,
    channels: Option<usize>,
) -> Result<ValueId, Refusal> {
    let spatial = sizes.out.len();
    let channels = channels.ok_or_else(|| Refusal::new("the number of output channels is not known", ""))?;
    let direct = sizes.padding(window);
    let made = if direct.is_some() { &sizes.out } else { &sizes.full };
    let shape = output_shape(cx, x, window, sizes, made, channels)?;
    let padding = direct.unwrap_or(Padding::Valid);
    let activation = Activation::None;
    let op = if spatial == 2 {
        Op::TransposeConv { padding, stride: [window.strides[0], window.strides[1]], activation }
    } else {
        let stride = [window.strides[0], window.strides[1], window.strides[2]];
        Op::Conv3dTranspose { window: Window3d { padding, stride, dilation: [1; 3] }, activation }
    };
    // What the padding adds past the full result is bias alone, so the bias comes after it.
    let missing: Vec<usize> =
        (0..spatial).map(|a| (sizes.begin[a] + sizes.out[a]).saturating_sub(sizes.full[a])).collect();
    if direct.is_some() || missing.iter().all(|&m| m == 0) {
        let y = cx.b.one(op, &[shape, w, x, bias])?;
        let y = with_extents(cx, y, sizes, made, channels);
        return if direct.is_some() { Ok(y) } else { cut(cx, y, sizes) };
    }
    let y = cx.b.emit(op, &[Some(shape), Some(w), Some(x), None])?[0];
    let y = with_extents(cx, y, sizes, made, channels);
    let pads: Vec<(usize, usize)> =
        std::iter::once((0, 0)).chain(missing.iter().map(|&m| (0, m))).chain(std::iter::once((0, 0))).collect();
    let y = cx.b.pad(y, &pads)?;
    let y = cut(cx, y, sizes)?;
    Ok(cx.b.add(y, bias)?)
}

/// Cuts the pads off a channels-last result.
fn cut(cx: &mut Cx<'_>, y: ValueId, sizes: &Sizes) -> Result<ValueId, Refusal> {
    let begin: Vec<i64> =
        std::iter::once(0).chain(sizes.begin.iter().map(|&b| b as i64)).chain(std::iter::once(0)).collect();
    if !sizes.dims.contains(&None) {
        let size: Vec<i64> =
            std::iter::once(-1).chain(sizes.out.iter().map(|&o| o as i64)).chain(std::iter::once(-1)).collect();
        return Ok(cx.b.slice(y, &begin, &size)?);
    }
    // Ends are counted from the end; those that nothing is cut off at are masked.
    let ends: Vec<i64> = (0..begin.len())
        .map(|axis| match axis.checked_sub(1).filter(|&a| a < sizes.out.len()) {
            Some(a) => (sizes.begin[a] + sizes.out[a]) as i64 - sizes.full[a].max(sizes.begin[a] + sizes.out[a]) as i64,
            None => 0,
        })
        .collect();
    let to_the_end = ends.iter().enumerate().filter(|(_, end)| **end == 0).map(|(axis, _)| 1 << axis).sum();
    let masks = SliceMasks { end: to_the_end, ..SliceMasks::default() };
    let (begin, ends, steps) = (cx.b.ints(&begin)?, cx.b.ints(&ends)?, cx.b.ints(&vec![1; begin.len()])?);
    Ok(cx.b.one(Op::StridedSlice(masks), &[y, begin, ends, steps])?)
}

/// Inference sees no extents where that operand is computed; some are known.
fn with_extents(cx: &mut Cx<'_>, y: ValueId, sizes: &Sizes, made: &[usize], channels: usize) -> ValueId {
    let mut extents = cx.extents(y);
    let known = made.iter().zip(&sizes.dims).map(|(&n, dim)| dim.map(|_| n)).chain(std::iter::once(Some(channels)));
    for (extent, n) in extents.iter_mut().skip(1).zip(known) {
        *extent = n.map_or(*extent, |n| Number::Known(n as i64));
    }
    cx.refine(y, &extents)
}

/// `[N, spatial.., C]` as an operand, of numbers that may only be known at run time.
fn output_shape(
    cx: &mut Cx<'_>,
    x: ValueId,
    window: &Window,
    sizes: &Sizes,
    made: &[usize],
    channels: usize,
) -> Result<ValueId, Refusal> {
    let spatial = made.iter().zip(&sizes.dims).map(|(&n, dim)| dim.map(|_| n as i64));
    let batch = cx.dim(x, 0).map(|n| n as i64);
    let numbers: Vec<Option<i64>> = std::iter::once(batch).chain(spatial).chain([Some(channels as i64)]).collect();
    if let Some(known) = numbers.iter().copied().collect::<Option<Vec<i64>>>() {
        return Ok(cx.b.ints(&known)?);
    }
    let shape = cx.b.one(Op::Shape { to: DType::I32 }, &[x])?;
    cx.vector_of(&numbers, |cx, axis| {
        let n = cx.b.slice(shape, &[axis as i64], &[1])?;
        let Some(a) = axis.checked_sub(1) else { return Ok(n) };
        let stride = window.strides[a];
        let more = made[a] as i64 - (sizes.input[a] as i64).saturating_mul(stride as i64);
        let (factor, term) = (cx.b.ints(&[stride])?, cx.b.ints(&[more])?);
        let scaled = if stride == 1 { n } else { cx.b.mul(n, factor)? };
        Ok(if more == 0 { scaled } else { cx.b.add(scaled, term)? })
    })
}

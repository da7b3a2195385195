//! `TRANSPOSE_CONV` and `CONV_3D_TRANSPOSE`: one matrix product gives what each element of the data adds to each place under
//! the window, and a loop adds that up.

use super::super::operand::{Operand, Operands};
use super::super::reference::movement;
use super::super::reference::sweep::Sweep;
use super::matmul::{as_rows, wire_product};
use super::{Argument, KernelError, Prepared, empty, only_floats, run};
use crate::exec::reference::elementwise;
use crate::graph::{Activation, Padding, Window3d};
use crate::tensor::{DType, Tensor};

/// A transposed convolution over any number of spatial axes.
struct Geometry<'a> {
    op: &'static str,
    padding: Padding,
    stride: &'a [usize],
    dilation: &'a [usize],
    activation: Activation,
    /// Axes of the filter: the spatial ones, output channels, input channels.
    filter_axes: &'a [i64],
}

pub(in crate::exec) fn transpose_conv_2d(
    x: Operands<'_>,
    padding: Padding,
    stride: [usize; 2],
    activation: Activation,
    prepared: &Prepared,
) -> Result<Operand, KernelError> {
    let (stride, dilation, filter_axes) = (&stride, &[1, 1], &[1, 2, 0, 3]);
    let geometry = Geometry { op: "TRANSPOSE_CONV", padding, stride, dilation, activation, filter_axes };
    transpose_conv(x, &geometry, prepared)
}

pub(in crate::exec) fn transpose_conv_3d(
    x: Operands<'_>,
    window: Window3d,
    activation: Activation,
    prepared: &Prepared,
) -> Result<Operand, KernelError> {
    let geometry = Geometry {
        op: "CONV_3D_TRANSPOSE",
        padding: window.padding,
        stride: &window.stride,
        dilation: &window.dilation,
        activation,
        filter_axes: &[0, 1, 2, 3, 4],
    };
    transpose_conv(x, &geometry, prepared)
}

fn transpose_conv(x: Operands<'_>, geometry: &Geometry<'_>, prepared: &Prepared) -> Result<Operand, KernelError> {
    let (output, filter, data) = (x.extents(0)?, x.operand(1)?, x.operand(2)?);
    only_floats(geometry.op, &[&data.tensor, &filter.tensor])?;
    let spatial = geometry.stride.len();
    let ranks = [output.len(), filter.tensor.rank(), data.tensor.rank()];
    let misfit = || {
        let (data, filter) = (data.tensor.shape(), filter.tensor.shape());
        KernelError::operands(format!("a filter of shape {filter:?} from data of shape {data:?} to {output:?}"))
    };
    if ranks != [spatial + 2; 3] {
        return Err(misfit());
    }
    let filter_dims: Vec<usize> =
        geometry.filter_axes.iter().map(|&axis| filter.tensor.shape()[axis as usize]).collect();
    let (input, o, i) = (data.tensor.shape(), filter_dims[spatial], filter_dims[spatial + 1]);
    if input[0] != output[0] || input[spatial + 1] != i || output[spatial + 1] != o {
        return Err(misfit());
    }
    // The window moves over the result as that of a convolution that leads back to the data.
    let sweep = |n: usize| {
        let (stride, dilation) = (geometry.stride[n], geometry.dilation[n]);
        Sweep::new(geometry.padding, output[n + 1], filter_dims[n], stride, dilation)
    };
    let sweeps: Vec<Sweep> = (0..spatial).map(sweep).collect::<Result<_, _>>()?;
    super::super::reference::checked_len(DType::F32, &output)?;
    if output.contains(&0) || data.tensor.is_empty() {
        return empty(&output);
    }
    let taps: usize = filter_dims[..spatial].iter().product();
    let rows = data.tensor.len() / i;
    let arguments = [
        Argument::Rows(as_rows(data, rows, i)?),
        Argument::weights(filter, |filter| {
            Ok(movement::transpose(filter, geometry.filter_axes)?.reshape(&[taps * o, i])?)
        })?,
    ];
    let parts = run(prepared, &arguments, |model, operands| wire_product(model, "mk,nk->mn", operands))?;
    let parts = Operand::from_native(parts, &[rows, taps * o])?;
    let bias = match x.optional(3) {
        Some(bias) if bias.tensor.len() == o => bias.tensor.to_f32s()?,
        Some(_) => return Err(misfit()),
        None => vec![0.0; o],
    };
    let sum = add_up(&parts.tensor.view::<f32>()?, &input[1..=spatial], &output, &sweeps, &bias);
    let sum = Tensor::from_vec(&output, sum);
    Ok(elementwise::activate(geometry.activation, sum)?.into())
}

/// Adds each part to the place that its element of the data and its tap of the window lead to. `parts` is
/// `[images, data places, taps, channels]`.
fn add_up(parts: &[f32], data: &[usize], output: &[usize], sweeps: &[Sweep], bias: &[f32]) -> Vec<f32> {
    let channels = bias.len();
    let mut out: Vec<f32> = bias.iter().copied().cycle().take(output.iter().product()).collect();
    let places: usize = data.iter().product();
    let taps: usize = sweeps.iter().map(|s| s.filter).product();
    let image_len = out.len() / output[0];
    for (row, parts) in parts.chunks_exact(taps * channels).enumerate() {
        let image = &mut out[row / places * image_len..][..image_len];
        for (tap, part) in parts.chunks_exact(channels).enumerate() {
            let Some(place) = target(row % places, tap, data, sweeps) else { continue };
            image[place * channels..][..channels].iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
    }
    out
}

/// Place in the result of tap number `tap` of the window that stands at place number `place` of the data; `None` where that is
/// in the padding.
fn target(mut place: usize, mut tap: usize, data: &[usize], sweeps: &[Sweep]) -> Option<usize> {
    let (mut target, mut stride) = (0, 1);
    for (&dim, sweep) in data.iter().zip(sweeps).rev() {
        let (at, step) = (place % dim, tap % sweep.filter);
        (place, tap) = (place / dim, tap / sweep.filter);
        let at = (at * sweep.stride + step * sweep.dilation).checked_sub(sweep.before)?;
        if at >= sweep.input {
            return None;
        }
        target += at * stride;
        stride *= sweep.input;
    }
    Some(target)
}

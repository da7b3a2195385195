//! `CONV_2D`, `DEPTHWISE_CONV_2D` and `CONV_3D`.

use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_core::prelude::SpecialOps;

use super::super::operand::{Operand, Operands};
use super::super::reference::movement;
use super::super::reference::sweep::Sweep;
use super::{Argument, KernelError, Prepared, empty, limits, only_floats, run, wire_limits};
use crate::graph::{Activation, Padding, Window2d, Window3d};

/// A convolution over any number of spatial axes.
struct Geometry<'a> {
    op: &'static str,
    padding: Padding,
    stride: &'a [usize],
    dilation: &'a [usize],
    activation: Activation,
    /// Axes of the filter that are output channels, input channels (of one group), and the spatial ones.
    filter_axes: &'a [i64],
    groups: usize,
}

pub(in crate::exec) fn conv_2d(
    x: Operands<'_>,
    window: Window2d,
    activation: Activation,
    prepared: &Prepared,
) -> Result<Operand, KernelError> {
    let (data, filter) = (x.tensor(0)?, x.tensor(1)?);
    let per_group = filter.shape().last().copied().unwrap_or(0);
    let channels = data.shape().last().copied().unwrap_or(0);
    let groups = channels.checked_div(per_group).filter(|groups| groups * per_group == channels);
    let groups = groups
        .ok_or_else(|| KernelError::operands(format!("{channels} channels do not split into groups of {per_group}")))?;
    let geometry = Geometry {
        op: "CONV_2D",
        padding: window.padding,
        stride: &window.stride,
        dilation: &window.dilation,
        activation,
        filter_axes: &[0, 3, 1, 2],
        groups,
    };
    convolve(x, &geometry, prepared)
}

pub(in crate::exec) fn depthwise_conv_2d(
    x: Operands<'_>,
    window: Window2d,
    activation: Activation,
    prepared: &Prepared,
) -> Result<Operand, KernelError> {
    let geometry = Geometry {
        op: "DEPTHWISE_CONV_2D",
        padding: window.padding,
        stride: &window.stride,
        dilation: &window.dilation,
        activation,
        filter_axes: &[3, 0, 1, 2],
        groups: x.tensor(0)?.shape().last().copied().unwrap_or(0),
    };
    convolve(x, &geometry, prepared)
}

pub(in crate::exec) fn conv_3d(
    x: Operands<'_>,
    window: Window3d,
    activation: Activation,
    prepared: &Prepared,
) -> Result<Operand, KernelError> {
    let geometry = Geometry {
        op: "CONV_3D",
        padding: window.padding,
        stride: &window.stride,
        dilation: &window.dilation,
        activation,
        filter_axes: &[4, 3, 0, 1, 2],
        groups: 1,
    };
    convolve(x, &geometry, prepared)
}

/// Extents of data and filter, once they are known to fit.
struct Extents {
    sweeps: Vec<Sweep>,
    output: Vec<usize>,
    input_channels: usize,
    output_channels: usize,
}

fn extents(x: Operands<'_>, geometry: &Geometry<'_>) -> Result<Extents, KernelError> {
    let (data, filter) = (x.tensor(0)?.shape(), x.tensor(1)?.shape());
    let misfit = || KernelError::operands(format!("a filter of shape {filter:?} over data of shape {data:?}"));
    let spatial = geometry.stride.len();
    if data.len() != spatial + 2 || filter.len() != spatial + 2 {
        return Err(misfit());
    }
    let filter: Vec<usize> = geometry.filter_axes.iter().map(|&axis| filter[axis as usize]).collect();
    let (output_channels, per_group, filter) = (filter[0], filter[1], &filter[2..]);
    let input_channels = data[spatial + 1];
    let grouped = output_channels.checked_rem(geometry.groups) == Some(0);
    if per_group.checked_mul(geometry.groups) != Some(input_channels) || !grouped {
        return Err(misfit());
    }
    let sweeps: Vec<Sweep> = (0..spatial)
        .map(|i| {
            let (stride, dilation) = (geometry.stride[i], geometry.dilation[i]);
            Sweep::new(geometry.padding, data[i + 1], filter[i], stride, dilation)
        })
        .collect::<Result<_, _>>()?;
    let output = [data[0]].into_iter().chain(sweeps.iter().map(|s| s.output)).chain([output_channels]).collect();
    Ok(Extents { sweeps, output, input_channels, output_channels })
}

fn convolve(x: Operands<'_>, geometry: &Geometry<'_>, prepared: &Prepared) -> Result<Operand, KernelError> {
    let (data, filter, bias) = (x.operand(0)?, x.operand(1)?, x.optional(2));
    only_floats(geometry.op, &[&data.tensor, &filter.tensor])?;
    let limits = limits(geometry.activation)?;
    let Extents { sweeps, output, input_channels, output_channels } = extents(x, geometry)?;
    if output.contains(&0) || input_channels == 0 {
        return empty(&output);
    }
    let pool_spec = PoolSpec {
        data_format: DataFormat::NHWC,
        kernel_shape: sweeps.iter().map(|s| s.filter).collect(),
        padding: PaddingSpec::Explicit(
            sweeps.iter().map(|s| s.before).collect(),
            sweeps.iter().map(|s| s.after).collect(),
        ),
        dilations: Some(geometry.dilation.into()),
        strides: Some(geometry.stride.into()),
        input_channels,
        output_channels,
    };
    let conv = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group: geometry.groups, q_params: None };
    let arguments = [
        Argument::Given(data.clone()),
        Argument::weights(filter, |filter| movement::transpose(filter, geometry.filter_axes))?,
        Argument::bias(bias, output_channels, 1)?,
    ];
    let result = run(prepared, &arguments, |model, operands| {
        let result = model.wire_node("convolution", conv, operands)?[0];
        wire_limits(model, limits, result)
    })?;
    Operand::from_native(result, &output)
}

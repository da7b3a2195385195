//! Operators that multiply by constant weights and add a bias, and how scales and shifts around them go into both.

use super::affine::{Affine, factor};
use super::pattern::{emit_as, is_f32};
use crate::graph::{Activation, Graph, InferError, Node, Op, Padding, Quant, RewriteCx, ValueId};
use crate::tensor::{DType, Tensor};

/// Weights of this size or more are not copied where another operator uses them too: an embedding table, say, that is also
/// the matrix of the last layer.
const TOO_LARGE_TO_COPY: usize = 1 << 20;

/// Which operand is what, and which axes of the filter are the channels.
#[derive(Clone, Copy)]
struct Roles {
    data: usize,
    filter: usize,
    bias: usize,
    filter_rank: usize,
    output_axis: usize,
    input_axis: usize,
}

fn roles(op: &Op) -> Option<Roles> {
    let roles = |(data, filter, bias), filter_rank, output_axis, input_axis| Roles {
        data,
        filter,
        bias,
        filter_rank,
        output_axis,
        input_axis,
    };
    Some(match op {
        Op::Conv2d { .. } => roles((0, 1, 2), 4, 0, 3),
        Op::DepthwiseConv2d { .. } => roles((0, 1, 2), 4, 3, 3),
        Op::TransposeConv { .. } => roles((2, 1, 3), 4, 0, 3),
        Op::Conv3d { .. } => roles((0, 1, 2), 5, 4, 3),
        Op::Conv3dTranspose { .. } => roles((2, 1, 3), 5, 3, 4),
        Op::FullyConnected { .. } => roles((0, 1, 2), 2, 0, 1),
        _ => return None,
    })
}

/// A convolution or matrix product in `float32` whose weights and bias are to be changed.
pub(super) struct Layer {
    node: Node,
    roles: Roles,
    /// Length of the bias.
    channels: usize,
    /// `None` where the filter is not constant.
    filter: Option<Tensor>,
    filter_changed: bool,
    /// The integers that the filter came from.
    grid: Option<Quant>,
    /// `None` where there is no bias.
    bias: Option<Vec<f64>>,
    bias_changed: bool,
}

impl Layer {
    /// `node` as a layer. Its bias must be constant or absent.
    pub fn of(graph: &Graph, node: &Node) -> Option<Layer> {
        let roles = roles(&node.op)?;
        let filter_id = node.input(roles.filter)?;
        let filter_shape = graph.shape(filter_id);
        if !is_f32(graph, node.input(roles.data)?) || filter_shape.rank() != roles.filter_rank {
            return None;
        }
        let channels = filter_shape.dim(roles.output_axis)?;
        let bias = match node.input(roles.bias) {
            None => None,
            Some(id) => Some(constant(graph, id)?.to_f64s().ok().filter(|bias| bias.len() == channels)?),
        };
        let filter = constant(graph, filter_id).cloned();
        let grid = graph.value(filter_id).quant.clone();
        let (node, filter_changed, bias_changed) = (node.clone(), false, false);
        Some(Layer { node, roles, channels, filter, filter_changed, grid, bias, bias_changed })
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    pub fn has_weights(&self) -> bool {
        self.filter.is_some()
    }

    pub fn data(&self) -> Option<ValueId> {
        self.node.input(self.roles.data)
    }

    /// Gives the layer, which has none so far, an activation.
    pub fn set_activation(&mut self, activation: Activation) {
        if let Some(slot) = self.node.op.activation_mut() {
            *slot = activation;
        }
    }

    /// Number of output channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// True where no result is computed from padding, so that what is added to every input adds the same to all results of
    /// a channel.
    pub fn never_sees_padding(&self, graph: &Graph) -> bool {
        let (padding, spatial) = match &self.node.op {
            Op::FullyConnected { .. } => return true,
            Op::Conv2d { window, .. } | Op::DepthwiseConv2d { window, .. } => (window.padding, 1..3),
            Op::Conv3d { window, .. } => (window.padding, 0..3),
            // Results near the border come from fewer inputs.
            _ => return false,
        };
        let filter = self.node.input(self.roles.filter).map(|id| graph.shape(id));
        padding == Padding::Valid || filter.is_some_and(|shape| spatial.clone().all(|axis| shape.dim(axis) == Some(1)))
    }

    /// Multiplies the results of each output channel. `None` where the filter can't be changed.
    pub fn scale_outputs(&mut self, cx: &RewriteCx<'_>, factors: &[f64]) -> Option<()> {
        if factors == [1.0] {
            return Some(());
        }
        if let Some(grid) = &self.grid {
            self.grid = Some(self.scaled(grid, factors)?);
        }
        self.map_filter(cx, |output, _| factor(factors, output))?;
        if let Some(bias) = &mut self.bias {
            bias.iter_mut().enumerate().for_each(|(i, b)| *b *= factor(factors, i));
            self.bias_changed = true;
        }
        Some(())
    }

    /// The grid of the filter when its output channels are multiplied: the same integers under other scales, or their negatives.
    fn scaled(&self, grid: &Quant, factors: &[f64]) -> Option<Quant> {
        let Quant::Affine { scale, zero_point, axis } = grid else { return None };
        let (one, each) = (scale.len() == 1, scale.len() == self.channels && *axis == self.roles.output_axis);
        if !(one || each) || zero_point.len() != scale.len() {
            return None;
        }
        if factors.iter().any(|f| *f < 0.0) {
            // -128 has no negative.
            let filter = self.filter.as_ref()?.view::<f32>().ok()?;
            let mut each = self.positions(self.filter.as_ref()?.shape()).zip(filter.iter());
            let fits = each
                .all(|((output, _), w)| scale.get(output % scale.len()).is_some_and(|scale| w.abs() < 127.5 * scale));
            if !fits || zero_point.iter().any(|&z| z != 0) {
                return None;
            }
        }
        let channels = if factors.len() == 1 { scale.len() } else { self.channels };
        let of_channel = |i| (f64::from(scale[i % scale.len()]) * factor(factors, i).abs()) as f32;
        let scaled: Vec<f32> = (0..channels).map(of_channel).collect();
        let zero_point = (0..channels).map(|i| zero_point[i % zero_point.len()]).collect();
        let axis = if channels == 1 { *axis } else { self.roles.output_axis };
        scaled.iter().all(|s| s.is_normal()).then_some(Quant::Affine { scale: scaled, zero_point, axis })
    }

    /// Adds to the results of each output channel.
    pub fn shift_outputs(&mut self, shifts: &[f64]) {
        if shifts != [0.0] {
            self.bias_mut().iter_mut().enumerate().for_each(|(i, b)| *b += factor(shifts, i));
        }
    }

    /// Makes the layer take the operand of `affine`, of `channels` channels, instead of its result: nothing is changed where the
    /// filter can't be. Where something is added, no result may come from padding.
    pub fn absorb_input(&mut self, cx: &RewriteCx<'_>, affine: &Affine, channels: usize) -> Option<()> {
        let Affine { x, scale, shift, .. } = affine;
        let filter = self.filter.clone()?;
        let input_channel = self.input_channels(&filter, channels)?;
        if *scale != [1.0] {
            // Inputs have no scales of their own.
            self.grid.is_none().then_some(())?;
            self.map_filter(cx, |output, input| factor(scale, input_channel.of(output, input)))?;
        }
        if *shift != [0.0] {
            // The shift meets the weights as they were: w * (scale * x + shift) = (w * scale) * x + w * shift.
            let weights = filter.view::<f32>().ok()?;
            let positions = self.positions(filter.shape());
            let bias = self.bias_mut();
            for ((output, input), &w) in positions.zip(weights.iter()) {
                bias[output] += f64::from(w) * factor(shift, input_channel.of(output, input));
            }
        }
        self.node.inputs[self.roles.data] = Some(*x);
        Some(())
    }

    /// Emits the layer as it is now. `None` where its bias is too large for `float32`.
    ///
    /// # Errors
    /// Where it does not fit its operand.
    pub fn emit(self, cx: &mut RewriteCx<'_>) -> Result<Option<ValueId>, InferError> {
        let Layer { mut node, roles, filter, grid, bias, .. } = self;
        if let Some(filter) = filter.filter(|_| self.filter_changed) {
            let filter = replacement(cx, node.input(roles.filter), filter);
            cx.b.graph.value_mut(filter).quant = grid;
            node.inputs[roles.filter] = Some(filter);
        }
        if let Some(bias) = bias.filter(|_| self.bias_changed) {
            let bias: Vec<f32> = bias.into_iter().map(|b| b as f32).collect();
            if !bias.iter().all(|b| b.is_finite()) {
                return Ok(None);
            }
            node.inputs.resize(roles.bias + 1, None);
            node.inputs[roles.bias] = Some(replacement(cx, node.input(roles.bias), Tensor::vector(bias)));
        }
        let (op, inputs) = (node.op.clone(), node.inputs.clone());
        Ok(emit_as(cx, &node, op, &inputs)?.first().copied())
    }

    fn bias_mut(&mut self) -> &mut [f64] {
        self.bias_changed = true;
        self.bias.get_or_insert_with(|| vec![0.0; self.channels])
    }

    /// How the weights find their channel in an operand of `channels` channels.
    fn input_channels(&self, filter: &Tensor, channels: usize) -> Option<InputChannel> {
        let along = *filter.shape().get(self.roles.input_axis)?;
        if along == 0 || channels == 0 {
            return None;
        }
        match &self.node.op {
            // Every channel has as many outputs as the multiplier says.
            Op::DepthwiseConv2d { .. } if along % channels == 0 => {
                Some(InputChannel { outputs: along / channels, per_group: 1, step: 0 })
            }
            // Groups of outputs, each of which sees its own inputs.
            Op::Conv2d { .. } if channels.is_multiple_of(along) && channels / along <= self.channels => {
                Some(InputChannel { outputs: self.channels / (channels / along), per_group: along, step: 1 })
            }
            Op::DepthwiseConv2d { .. } | Op::Conv2d { .. } => None,
            _ => (along == channels).then_some(InputChannel { outputs: usize::MAX, per_group: 0, step: 1 }),
        }
    }

    /// Output channel, and index along the input axis, of every weight in order.
    fn positions(&self, shape: &[usize]) -> impl Iterator<Item = (usize, usize)> + use<> {
        let along = |axis: usize| (shape[axis + 1..].iter().product::<usize>(), shape[axis]);
        let ((output_stride, outputs), (input_stride, inputs)) =
            (along(self.roles.output_axis), along(self.roles.input_axis));
        let len = shape.iter().product();
        (0..len).map(move |i| (i / output_stride % outputs, i / input_stride % inputs))
    }

    /// Multiplies every weight by what `by` gives for its output channel and its index along the input axis.
    fn map_filter(&mut self, cx: &RewriteCx<'_>, by: impl Fn(usize, usize) -> f64) -> Option<()> {
        let filter = self.filter.as_ref()?;
        let shared = !self.filter_changed && self.node.input(self.roles.filter).is_some_and(|id| cx.uses(id) > 1);
        if shared && filter.bytes().len() >= TOO_LARGE_TO_COPY {
            return None;
        }
        let weights = filter.view::<f32>().ok()?;
        let positions = self.positions(filter.shape());
        let scaled: Vec<f32> =
            positions.zip(weights.iter()).map(|((o, i), &w)| (f64::from(w) * by(o, i)) as f32).collect();
        if !scaled.iter().all(|w| w.is_finite()) {
            return None;
        }
        self.filter = Some(Tensor::from_vec(filter.shape(), scaled));
        self.filter_changed = true;
        Some(())
    }
}

/// From the output channel of a weight and its index along the filter's input axis to the channel of the operand.
struct InputChannel {
    /// Output channels of one group.
    outputs: usize,
    /// Input channels of one group.
    per_group: usize,
    step: usize,
}

impl InputChannel {
    fn of(&self, output: usize, input: usize) -> usize {
        output / self.outputs * self.per_group + input * self.step
    }
}

/// A constant of `FLOAT32`, whatever it came from.
fn constant(graph: &Graph, id: ValueId) -> Option<&Tensor> {
    graph.constant(id).filter(|data| data.dtype() == DType::F32)
}

/// New data under the name of the constant it stands for.
fn replacement(cx: &mut RewriteCx<'_>, old: Option<ValueId>, data: Tensor) -> ValueId {
    match old {
        Some(old) => {
            let name = cx.graph().value(old).name.clone();
            cx.b.graph.add_constant(name, data)
        }
        None => cx.b.constant(data),
    }
}

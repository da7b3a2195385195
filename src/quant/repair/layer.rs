//! Layers with weights: what each of their outputs is a weighted sum of.

use crate::graph::{Activation, Graph, Node, Op, Padding, Quant, ValueId, Window2d};
use crate::tensor::{DType, Tensor};

/// A convolution or matrix product with constant weights. Its outputs fall into groups, each of which sees its own inputs, `taps` at a
/// time.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Number of the node in the graph.
    pub(super) node: usize,
    pub(super) x: ValueId,
    pub(super) weights: ValueId,
    pub(super) bias: Option<ValueId>,
    /// Outputs of all groups.
    pub(super) outputs: usize,
    pub(super) groups: usize,
    /// Weights of one output.
    pub(super) taps: usize,
    /// Input channels of a group; these are the innermost taps.
    pub(super) channels: usize,
    window: Option<Geometry>,
    /// Weights of an output lie one beside the other, not one an output.
    rows: bool,
}

#[derive(Debug, Clone)]
struct Geometry {
    window: Window2d,
    kernel: [usize; 2],
}

/// Operands of convolutions and matrix products.
const X: usize = 0;
const WEIGHTS: usize = 1;
pub(super) const BIAS: usize = 2;

/// Layers whose weights no other node uses, in order.
pub(super) fn layers(graph: &Graph) -> Vec<Layer> {
    let uses = graph.use_counts();
    let of_nodes = graph.nodes.iter().enumerate().filter_map(|(index, node)| Layer::of(graph, index, node));
    of_nodes.filter(|layer| uses[layer.weights.0 as usize] == 1).collect()
}

impl Layer {
    fn of(graph: &Graph, index: usize, node: &Node) -> Option<Layer> {
        let (x, weights) = (node.input(X)?, node.input(WEIGHTS)?);
        let data = graph.constant(weights).filter(|data| data.dtype() == DType::F32)?;
        let bias = node.input(BIAS);
        if graph.constant(x).is_some() || bias.is_some_and(|id| graph.constant(id).is_none()) {
            return None;
        }
        let inputs = graph.shape(x).dims().last().copied().flatten();
        let layer = |outputs, groups, channels, window: Option<Geometry>, rows| {
            let taps = channels * window.as_ref().map_or(1, |g| g.kernel[0] * g.kernel[1]);
            Layer { node: index, x, weights, bias, outputs, groups, taps, channels, window, rows }
        };
        let layer = match (&node.op, data.shape()) {
            (Op::FullyConnected { .. }, &[outputs, channels]) => layer(outputs, 1, channels, None, true),
            (Op::Conv2d { window, .. }, &[outputs, height, width, channels]) => {
                let groups = inputs?.checked_div(channels)?;
                layer(outputs, groups, channels, Some(Geometry { window: *window, kernel: [height, width] }), true)
            }
            (Op::DepthwiseConv2d { window, .. }, &[1, height, width, outputs]) => {
                let geometry = Geometry { window: *window, kernel: [height, width] };
                layer(outputs, inputs?, 1, Some(geometry), false)
            }
            _ => return None,
        };
        let sound = layer.groups > 0 && layer.taps > 0 && layer.outputs > 0 && layer.outputs % layer.groups == 0;
        sound.then_some(layer)
    }

    /// Where the weight of a tap lies.
    pub(super) fn index(&self, output: usize, tap: usize) -> usize {
        if self.rows { output * self.taps + tap } else { tap * self.outputs + output }
    }

    /// The axis of the weights that holds the outputs.
    pub(super) fn axis(&self) -> usize {
        if self.rows { 0 } else { 3 }
    }

    pub(super) fn outputs_of_group(&self) -> usize {
        self.outputs / self.groups
    }

    /// The weights of one output.
    pub(super) fn row(&self, weights: &[f32], output: usize) -> Vec<f32> {
        (0..self.taps).map(|tap| weights[self.index(output, tap)]).collect()
    }

    pub(super) fn floats(&self, graph: &Graph) -> Option<Vec<f32>> {
        graph.constant(self.weights)?.to_f32s().ok()
    }

    /// The bias; zeros where there is none.
    pub(super) fn biases(&self, graph: &Graph) -> Option<Vec<f32>> {
        match self.bias {
            Some(id) => graph.constant(id)?.to_f32s().ok().filter(|bias| bias.len() == self.outputs),
            None => Some(vec![0.0; self.outputs]),
        }
    }

    /// How the layer's weights are stored where it computes on integers.
    pub(super) fn stored(&self, graph: &Graph, quantized: &Graph, producers: &[Option<usize>]) -> Option<Stored> {
        let &result = graph.nodes.get(self.node)?.outputs.first()?;
        let mut node = &quantized.nodes[(*producers.get(result.0 as usize)?)?];
        if node.op == Op::Dequantize {
            node = &quantized.nodes[producers[node.input(0)?.0 as usize]?];
        }
        let value = quantized.value(node.input(WEIGHTS)?);
        let (data, x) = (value.data.as_ref()?, quantized.value(node.input(X)?));
        let Some(Quant::Affine { scale, .. }) = &value.quant else { return None };
        if !data.dtype().is_int() || !x.is_stored_as_integers() || !(scale.len() == 1 || scale.len() == self.outputs) {
            return None;
        }
        let scales = (0..self.outputs).map(|output| scale[output % scale.len()]).collect();
        let most = if data.dtype() == DType::I4 { 7.0 } else { 127.0 };
        Some(Stored { scales, one: scale.len() == 1, most, integers: data.to_f32s().ok()? })
    }

    /// Gives the layer other weights; on a grid where there are scales.
    pub(super) fn set_weights(&self, graph: &mut Graph, weights: Vec<f32>, scales: Option<&Stored>) {
        let shape = graph.constant(self.weights).map(|data| data.shape().to_vec()).unwrap_or_default();
        let value = graph.value_mut(self.weights);
        value.data = Some(Tensor::from_vec(&shape, weights));
        value.quant = scales.map(|stored| {
            let scale = if stored.one { stored.scales[..1].to_vec() } else { stored.scales.clone() };
            Quant::Affine { zero_point: vec![0; scale.len()], scale, axis: self.axis() }
        });
    }

    /// Gives the layer another bias.
    pub(super) fn set_bias(&self, graph: &mut Graph, bias: Vec<f32>) {
        let name = self.bias.unwrap_or(self.weights);
        let name = graph.value(name).name.clone();
        let id = graph.add_constant(name, Tensor::vector(bias));
        let node = &mut graph.nodes[self.node];
        node.inputs.resize(node.inputs.len().max(BIAS + 1), None);
        node.inputs[BIAS] = Some(id);
    }

    /// What outputs at `most` places are weighted sums of: `[groups, places, taps]`.
    pub(super) fn patches(&self, x: &Tensor, most: usize) -> Option<Tensor> {
        let values = x.view::<f32>().ok()?;
        let Some(geometry) = &self.window else {
            let rows = values.len() / self.taps;
            let step = rows.div_ceil(most).max(1);
            let chosen = values.chunks_exact(self.taps).step_by(step);
            let picked: Vec<f32> = chosen.flatten().copied().collect();
            return Some(Tensor::from_vec(&[1, picked.len() / self.taps, self.taps], picked));
        };
        let &[batch, height, width, depth] = x.shape() else { return None };
        if depth != self.groups * self.channels {
            return None;
        }
        let [rows, columns] = [geometry.places(0, height)?, geometry.places(1, width)?];
        let total = batch * rows.count * columns.count;
        let step = total.div_ceil(most).max(1);
        let places: Vec<usize> = (0..total).step_by(step).collect();
        let mut patches = vec![0f32; self.groups * places.len() * self.taps];
        for (row, place) in places.iter().enumerate() {
            let (n, i, j) =
                (place / (rows.count * columns.count), place / columns.count % rows.count, place % columns.count);
            for (tap, (u, v)) in
                (0..geometry.kernel[0]).flat_map(|u| (0..geometry.kernel[1]).map(move |v| (u, v))).enumerate()
            {
                let (Some(y), Some(x)) = (rows.at(i, u), columns.at(j, v)) else { continue };
                let from = ((n * height + y) * width + x) * depth;
                for group in 0..self.groups {
                    let to = (group * places.len() + row) * self.taps + tap * self.channels;
                    let from = from + group * self.channels;
                    patches[to..to + self.channels].copy_from_slice(&values[from..from + self.channels]);
                }
            }
        }
        Some(Tensor::from_vec(&[self.groups, places.len(), self.taps], patches))
    }
}

/// The integers that a layer's weights are.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// One for each output.
    pub(super) scales: Vec<f32>,
    /// All outputs have one scale.
    pub(super) one: bool,
    /// The largest integer.
    pub(super) most: f32,
    pub(super) integers: Vec<f32>,
}

/// Where windows lie along one axis.
struct Places {
    count: usize,
    extent: usize,
    stride: usize,
    dilation: usize,
    before: usize,
}

impl Geometry {
    /// TFLite's rule for padding: half of what is missing before, the odd one behind.
    fn places(&self, axis: usize, extent: usize) -> Option<Places> {
        let (stride, dilation) = (self.window.stride[axis].max(1), self.window.dilation[axis].max(1));
        let reach = (self.kernel[axis] - 1) * dilation + 1;
        let (count, before) = match self.window.padding {
            Padding::Valid => (extent.checked_sub(reach)? / stride + 1, 0),
            Padding::Same => {
                let count = extent.div_ceil(stride);
                let missing = ((count.checked_sub(1)?) * stride + reach).saturating_sub(extent);
                (count, missing / 2)
            }
        };
        Some(Places { count, extent, stride, dilation, before })
    }
}

impl Places {
    /// The element that tap `tap` of window `window` lies on; `None` in the padding.
    fn at(&self, window: usize, tap: usize) -> Option<usize> {
        (window * self.stride + tap * self.dilation).checked_sub(self.before).filter(|&at| at < self.extent)
    }
}

/// Whether scaling an operand's channels by positive factors scales the activation's result alike.
pub(super) fn is_homogeneous(activation: Activation) -> bool {
    matches!(activation, Activation::None | Activation::Relu)
}

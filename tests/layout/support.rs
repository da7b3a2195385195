//! Graphs as the lowering of an ONNX model writes them, and the check that all tests share.

use litesmith::exec::{Evaluator, Runner};
use litesmith::graph::{
    Activation, Builder, Dim, Graph, Model, Op, Padding, Pool, Reduce, Shape, Type, Unary, ValueId, Window2d, verify,
};
use litesmith::layout::{Summary, optimize};
use litesmith::tensor::{DType, Perm, Tensor};

/// Whole numbers from -4 to 4, others for each seed.
pub fn numbers(shape: &[usize], dtype: DType, seed: usize) -> Tensor {
    let count = shape.iter().product();
    let number = |i: usize| ((i + 1) * 7919 + seed * 104_729) % 1009 % 9;
    let signed = dtype.is_float() || matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
    let low = if signed { 4.0 } else { 0.0 };
    Tensor::from_vec(shape, (0..count).map(|i| number(i) as f32 - low).collect()).cast(dtype).unwrap()
}

pub fn transposes(graph: &Graph) -> usize {
    graph.nodes.iter().filter(|node| node.op == Op::Transpose).count()
}

pub fn count(graph: &Graph, name: &str) -> usize {
    graph.nodes.iter().filter(|node| node.op.name() == name).count()
}

/// Tensors for the inputs of a graph; unknown extents become `unknown`.
pub fn samples(graph: &Graph, unknown: usize) -> Vec<Tensor> {
    let shape = |id: ValueId| graph.shape(id).dims().iter().map(|d| d.unwrap_or(unknown)).collect::<Vec<_>>();
    let sample = |(seed, &id): (usize, &ValueId)| numbers(&shape(id), graph.dtype(id), seed);
    graph.inputs.iter().enumerate().map(sample).collect()
}

fn boundary(graph: &Graph) -> Vec<(String, Type)> {
    let of = |&id: &ValueId| (graph.value(id).name.clone(), graph.value(id).ty.clone());
    graph.inputs.iter().chain(&graph.outputs).map(of).collect()
}

fn assert_valid(graph: &Graph) {
    let found = verify(&Model::single(graph.clone()));
    assert!(found.is_empty(), "{found:?}\n{graph}");
}

/// Optimizes a graph, and sees to it that it is still the same to whoever runs it.
pub fn optimized(before: &Graph) -> (Graph, Summary) {
    assert_valid(before);
    let mut after = before.clone();
    let summary = optimize(&mut after).unwrap_or_else(|e| panic!("{e}\n{before}"));
    assert_valid(&after);
    assert_eq!(boundary(before), boundary(&after));
    assert!(summary.after <= summary.before, "{summary:?}\n{before}\n{after}");
    assert_eq!(summary.after.operators, transposes(&after));
    for unknown in [3, 1] {
        let inputs = samples(before, unknown);
        // Not every extent fits every graph.
        let Ok(expected) = Runner::new(before).unwrap_or_else(|e| panic!("{e}\n{before}")).run(&inputs) else {
            continue;
        };
        let found = Runner::new(&after).and_then(|runner| runner.run(&inputs));
        let found = found.unwrap_or_else(|e| panic!("{e}\n{before}\n{after}"));
        assert_eq!(expected.len(), found.len());
        for (expected, found) in expected.iter().zip(&found) {
            let same = expected.shape() == found.shape() && expected.bytes() == found.bytes();
            assert!(same, "expected {expected:?}, found {found:?}\n{before}\n{after}");
        }
    }
    (after, summary)
}

/// Builds a graph of one output.
pub fn graph(inputs: &[(&[Dim], DType)], build: impl FnOnce(&mut Net<'_>, &[ValueId]) -> ValueId) -> Graph {
    let mut graph = Graph::new("test");
    let types = inputs.iter().map(|(dims, dtype)| Type::new(*dtype, Shape(dims.to_vec())));
    let ids: Vec<ValueId> = types.enumerate().map(|(i, ty)| graph.add_input(format!("input{i}"), ty)).collect();
    let mut net = Net { b: Builder::new(&mut graph, &Evaluator), seed: 0 };
    let output = build(&mut net, &ids);
    graph.outputs = vec![output];
    graph.value_mut(output).name = "output".into();
    graph
}

pub fn known(dims: &[usize]) -> Vec<Dim> {
    dims.iter().copied().map(Some).collect()
}

/// [`graph`] of one `FLOAT32` input of known extents.
pub fn float_graph(dims: &[usize], build: impl FnOnce(&mut Net<'_>, ValueId) -> ValueId) -> Graph {
    graph(&[(&known(dims), DType::F32)], |net, inputs| build(net, inputs[0]))
}

/// A builder that thinks in `[N, C, H, W]`.
pub struct Net<'a> {
    pub b: Builder<'a>,
    seed: usize,
}

impl Net<'_> {
    pub fn weights(&mut self, shape: &[usize]) -> ValueId {
        self.seed += 1;
        let data = numbers(shape, DType::F32, self.seed);
        self.b.constant(data)
    }

    pub fn dims(&self, x: ValueId) -> Vec<usize> {
        self.b.graph.shape(x).as_fixed().unwrap()
    }

    fn channels(&self, x: ValueId) -> usize {
        self.b.graph.shape(x).dim(1).unwrap()
    }

    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.b.one(op, inputs).unwrap()
    }

    /// `TRANSPOSE → what → TRANSPOSE`.
    pub fn spatial(&mut self, x: ValueId, what: impl FnOnce(&mut Self, ValueId) -> ValueId) -> ValueId {
        let rank = self.b.graph.shape(x).rank();
        let inside = self.b.transpose(x, &Perm::to_channels_last(rank)).unwrap();
        let y = what(self, inside);
        self.b.transpose(y, &Perm::to_channels_first(rank)).unwrap()
    }

    /// A square kernel with `SAME` padding.
    pub fn conv(&mut self, x: ValueId, channels: usize, kernel: usize, stride: usize) -> ValueId {
        let filter = self.weights(&[channels, kernel, kernel, self.channels(x)]);
        let bias = self.weights(&[channels]);
        let window = Window2d { padding: Padding::Same, stride: [stride; 2], dilation: [1; 2] };
        let op = Op::Conv2d { window, activation: Activation::None };
        self.spatial(x, |net, x| net.op(op, &[x, filter, bias]))
    }

    pub fn depthwise(&mut self, x: ValueId, stride: usize) -> ValueId {
        let channels = self.channels(x);
        let (filter, bias) = (self.weights(&[1, 3, 3, channels]), self.weights(&[channels]));
        let window = Window2d { padding: Padding::Same, stride: [stride; 2], dilation: [1; 2] };
        let op = Op::DepthwiseConv2d { window, multiplier: 1, activation: Activation::None };
        self.spatial(x, |net, x| net.op(op, &[x, filter, bias]))
    }

    pub fn max_pool(&mut self, x: ValueId) -> ValueId {
        let (padding, activation) = (Padding::Valid, Activation::None);
        let op = Op::Pool2d { kind: Pool::Max, padding, stride: [2; 2], filter: [2; 2], activation };
        self.spatial(x, |net, x| net.op(op, &[x]))
    }

    /// Doubles height and width.
    pub fn upsample(&mut self, x: ValueId) -> ValueId {
        let dims = self.dims(x);
        let size = self.b.ints(&[2 * dims[2], 2 * dims[3]]).unwrap();
        let op = Op::ResizeNearest { align_corners: false, half_pixel_centers: false };
        self.spatial(x, |net, x| net.op(op, &[x, size]))
    }

    /// Scale and shift for each channel.
    pub fn batch_norm(&mut self, x: ValueId) -> ValueId {
        let channels = self.channels(x);
        let (scale, shift) = (self.weights(&[channels, 1, 1]), self.weights(&[channels, 1, 1]));
        let scaled = self.b.mul(x, scale).unwrap();
        self.b.add(scaled, shift).unwrap()
    }

    pub fn relu(&mut self, x: ValueId) -> ValueId {
        self.b.unary(Unary::Relu6, x).unwrap()
    }

    pub fn conv_bn_relu(&mut self, x: ValueId, channels: usize, kernel: usize, stride: usize) -> ValueId {
        let x = self.conv(x, channels, kernel, stride);
        let x = self.batch_norm(x);
        self.relu(x)
    }

    /// `[.., C, H, W]` to `[.., C, 1, 1]`; the greatest, so that numbers stay whole.
    pub fn global_pool(&mut self, x: ValueId) -> ValueId {
        self.b.reduce(Reduce::Max, x, &[2, 3], true).unwrap()
    }

    pub fn reshape(&mut self, x: ValueId, dims: &[i64]) -> ValueId {
        self.b.reshape(x, dims).unwrap()
    }

    pub fn transpose(&mut self, x: ValueId, axes: &[usize]) -> ValueId {
        self.b.transpose(x, &Perm::new(axes.to_vec()).unwrap()).unwrap()
    }

    /// Over the last axis.
    pub fn dense(&mut self, x: ValueId, outputs: usize) -> ValueId {
        let inputs = *self.dims(x).last().unwrap();
        let (weights, bias) = (self.weights(&[outputs, inputs]), self.weights(&[outputs]));
        let activation = Activation::None;
        self.op(Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation }, &[x, weights, bias])
    }

    pub fn matmul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false }, &[a, b])
    }
}

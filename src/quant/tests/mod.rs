//! Whole graphs, quantized: what is stored how, what is converted where, what stays float.

mod account;
mod constants;
mod edges;
mod islands;
mod masks;
mod mixed;
mod observing;
mod random;
mod repairs;
mod running;
mod scales;
mod steps;

use super::*;
use crate::graph::{
    Activation, Binary, Builder, Model, NoEvaluate, Node, Op, Padding, Pool, Shape, Type, Unary, ValueId, Window2d,
    verify,
};
use crate::tensor::{DType, Tensor};

/// A float graph under construction, with what calibration would see of it.
struct Net {
    /// No neighbours are made for an operator under test.
    alone: bool,
    graph: Graph,
    statistics: Statistics,
}

/// A quantized graph.
struct Int8 {
    graph: Graph,
    report: QuantReport,
}

impl Net {
    fn new() -> Net {
        Net { alone: false, graph: Graph::new("test"), statistics: Statistics { samples: 1, ..Statistics::default() } }
    }

    /// Names a value and says what calibration saw of it.
    fn seen(&mut self, id: ValueId, name: &str, range: (f32, f32)) -> ValueId {
        self.graph.value_mut(id).name = name.into();
        let range = Some(Range { min: range.0, max: range.1 });
        let lowest_row_maximum = None;
        self.statistics.values.insert(id.0, Observed { name: name.into(), range, lowest_row_maximum });
        id
    }

    fn input(&mut self, name: &str, shape: &[usize], range: (f32, f32)) -> ValueId {
        let id = self.graph.add_input(name, Type::new(DType::F32, Shape::fixed(shape)));
        self.seen(id, name, range)
    }

    fn constant(&mut self, shape: &[usize], values: Vec<f32>) -> ValueId {
        self.graph.add_constant("constant", Tensor::from_vec(shape, values))
    }

    fn ints(&mut self, values: &[i32]) -> ValueId {
        self.graph.add_constant("ints", Tensor::vector(values.to_vec()))
    }

    /// A node of one float result.
    fn op(&mut self, op: Op, inputs: &[ValueId], name: &str, range: (f32, f32)) -> ValueId {
        let id = Builder::new(&mut self.graph, &NoEvaluate).one(op, inputs).unwrap();
        self.seen(id, name, range)
    }

    fn unary(&mut self, kind: Unary, x: ValueId, name: &str, range: (f32, f32)) -> ValueId {
        self.op(Op::Unary(kind), &[x], name, range)
    }

    fn binary(&mut self, kind: Binary, a: ValueId, b: ValueId, name: &str, range: (f32, f32)) -> ValueId {
        self.op(Op::Binary(kind, Activation::None), &[a, b], name, range)
    }

    /// A 1x1 convolution of an `[N,H,W,channels]` value to as many channels.
    fn conv(&mut self, x: ValueId, name: &str, range: (f32, f32)) -> ValueId {
        let c = self.graph.shape(x).dim(3).unwrap();
        let weights = (0..c * c).map(|i| (i as f32 * 0.37).sin()).collect();
        let weights = self.constant(&[c, 1, 1, c], weights);
        let bias = self.constant(&[c], (0..c).map(|i| i as f32 * 0.1).collect());
        self.op(conv_op(), &[x, weights, bias], name, range)
    }

    fn quantize(self, outputs: &[ValueId]) -> Int8 {
        self.quantize_with(outputs, IntegerOptions::default())
    }

    /// Quantizes; whatever the test is about, the result must be sound.
    fn quantize_with(mut self, outputs: &[ValueId], options: IntegerOptions) -> Int8 {
        self.graph.outputs = outputs.to_vec();
        let names: Vec<String> = outputs.iter().map(|&id| self.graph.value(id).name.clone()).collect();
        let report =
            quantize_integer(&mut self.graph, &self.statistics, &Choices::all(Quantize::Int8), options).unwrap();
        let after: Vec<&str> = self.graph.outputs.iter().map(|&id| self.graph.value(id).name.as_str()).collect();
        assert_eq!(after, names, "outputs keep their names");
        assert_sound(&self.graph);
        Int8 { graph: self.graph, report }
    }
}

fn conv_op() -> Op {
    let window = Window2d { padding: Padding::Valid, stride: [1, 1], dilation: [1, 1] };
    Op::Conv2d { window, activation: Activation::None }
}

fn max_pool() -> Op {
    let kind = Pool::Max;
    Op::Pool2d { kind, padding: Padding::Valid, stride: [2, 2], filter: [2, 2], activation: Activation::None }
}

impl Int8 {
    fn ops(&self) -> Vec<&'static str> {
        self.graph.nodes.iter().map(|node| node.op.name()).collect()
    }

    /// The only node of an operator.
    fn node(&self, op: &str) -> &Node {
        let mut found = self.graph.nodes.iter().filter(|node| node.op.name() == op);
        let node = found.next().unwrap_or_else(|| panic!("no {op} in {:?}", self.ops()));
        assert!(found.next().is_none(), "more than one {op} in {:?}", self.ops());
        node
    }

    fn named(&self, name: &str) -> ValueId {
        let values = self.graph.values.iter().enumerate();
        let mut found = values.filter(|(_, v)| v.name == name && v.data.is_none());
        let id = found.next().unwrap_or_else(|| panic!("no value {name:?}")).0;
        assert!(found.next().is_none(), "more than one value {name:?}");
        ValueId(id as u32)
    }

    fn params(&self, id: ValueId) -> (f32, i64) {
        let value = self.graph.value(id);
        assert_eq!(value.ty.dtype, DType::I8, "{:?}", value.name);
        value.quant.as_ref().and_then(|q| q.as_per_tensor()).unwrap()
    }

    fn scale(&self, name: &str) -> f32 {
        self.params(self.named(name)).0
    }

    /// Why the node that makes `name` stayed float.
    fn reason(&self, name: &str) -> &str {
        let node = self.report.float.iter().find(|node| node.value == name);
        &node.unwrap_or_else(|| panic!("{name:?} did not stay float: {:?}", self.report.float)).reason
    }

    fn conversions(&self) -> (usize, usize, usize) {
        let Conversions { quantize, requantize, dequantize } = self.report.conversions;
        (quantize, requantize, dequantize)
    }
}

/// Operators whose int8 kernels copy stored integers, or that XNNPACK refuses unless scales agree (quantization-spec, section 2;
/// tflite-ops, section 5). Written down apart from the table under test.
const SAME_SCALE: &[&str] = &[
    "MAXIMUM",
    "MINIMUM",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
    "REDUCE_MAX",
    "REDUCE_MIN",
    "RESHAPE",
    "SQUEEZE",
    "EXPAND_DIMS",
    "PACK",
    "MIRROR_PAD",
    "SPACE_TO_BATCH_ND",
    "BATCH_TO_SPACE_ND",
    "TRANSPOSE",
    "SLICE",
    "SPLIT",
    "DEPTH_TO_SPACE",
    "SPACE_TO_DEPTH",
    "RESIZE_BILINEAR",
    "PAD",
    "PADV2",
    "STRIDED_SLICE",
    "RESIZE_NEAREST_NEIGHBOR",
    "GATHER",
    "GATHER_ND",
    "TILE",
    "BROADCAST_TO",
    "REVERSE_V2",
    "UNPACK",
    "SPLIT_V",
    "SELECT_V2",
    "TOPK_V2",
    "CONCATENATION",
    "FILL",
    "ONE_HOT",
];

/// Types of the first two operands on which kernels load, run and compute something else (quantization-spec, sections 2, 4 and 5).
const BROKEN: &[(&str, Option<DType>, Option<DType>)] = &[
    ("CONV_2D", Some(DType::I16), Some(DType::I16)),
    ("CONV_2D", Some(DType::I16), Some(DType::I2)),
    ("DEPTHWISE_CONV_2D", Some(DType::I16), Some(DType::I16)),
    ("DEPTHWISE_CONV_2D", Some(DType::I16), Some(DType::I4)),
    ("DEPTHWISE_CONV_2D", Some(DType::I16), Some(DType::I2)),
    ("PRELU", Some(DType::I16), Some(DType::I16)),
    ("NEG", Some(DType::I8), None),
    ("NEG", Some(DType::I16), None),
    ("DIV", Some(DType::I8), Some(DType::I8)),
    ("SCATTER_ND", Some(DType::I32), Some(DType::I8)),
    ("EMBEDDING_LOOKUP", Some(DType::I32), Some(DType::I16)),
];

/// What every quantized graph must keep to, in this room's own words and not in those of its table.
fn assert_sound(graph: &Graph) {
    let violations = verify(&Model::single(graph.clone()));
    assert!(violations.is_empty(), "{violations:?}\n{graph}");
    for node in &graph.nodes {
        let place = || format!("{} {:?}", node.op.name(), graph.value(node.outputs[0]).name);
        let ids = node.inputs.iter().flatten().chain(&node.outputs);
        let dtypes: Vec<DType> = ids.clone().map(|&id| graph.dtype(id)).collect();
        let border = matches!(node.op, Op::Quantize { .. } | Op::Dequantize);
        let integers = dtypes.iter().any(|dtype| matches!(dtype, DType::I8 | DType::I16));
        assert!(border || !integers || !dtypes.contains(&DType::F32), "{} mixes float and integers:\n{graph}", place());
        let stored: Vec<&crate::graph::Value> =
            ids.map(|&id| graph.value(id)).filter(|v| matches!(v.ty.dtype, DType::I8 | DType::I16)).collect();
        for value in &stored {
            let quant = value.quant.as_ref();
            assert!(quant.is_some(), "{:?} is stored without a scale", value.name);
            let zero_points = match quant {
                Some(crate::graph::Quant::Affine { zero_point, .. }) => zero_point.as_slice(),
                _ => &[],
            };
            let most = if value.ty.dtype == DType::I8 { -128..=127 } else { 0..=0 };
            assert!(zero_points.iter().all(|z| most.contains(z)), "{:?}", value.name);
        }
        let types = |i: usize| dtypes.get(i).copied();
        assert!(!BROKEN.contains(&(node.op.name(), types(0), types(1))), "{}: {:?}", place(), (types(0), types(1)));
        if SAME_SCALE.contains(&node.op.name()) {
            let first = stored.first().map(|v| &v.quant);
            assert!(stored.iter().all(|v| Some(&v.quant) == first), "{} has several scales:\n{graph}", place());
        }
        let dtype = graph.dtype(node.outputs[0]);
        let prescribed = match (node.op.name(), dtype) {
            ("SOFTMAX" | "LOGISTIC" | "TANH", DType::I16) => Some((1.0 / 32768.0, 0)),
            ("SOFTMAX" | "LOGISTIC", DType::I8) => Some((1.0 / 256.0, -128)),
            ("TANH" | "L2_NORMALIZATION", DType::I8) => Some((1.0 / 128.0, 0)),
            _ => None,
        };
        if let Some(prescribed) = prescribed {
            let quant = graph.value(node.outputs[0]).quant.as_ref();
            assert_eq!(quant.and_then(|q| q.as_per_tensor()), Some(prescribed), "{}", place());
        }
        assert_weights_sound(graph, node);
    }
}

/// Weights are symmetric, and biases have exactly the scale of the accumulator.
fn assert_weights_sound(graph: &Graph, node: &Node) {
    let (x, w, b) = match node.op {
        Op::Conv2d { .. } | Op::DepthwiseConv2d { .. } | Op::FullyConnected { .. } => (0, 1, 2),
        Op::TransposeConv { .. } => (2, 1, 3),
        _ => return,
    };
    let (Some(x), Some(w)) = (node.input(x), node.input(w)) else { return };
    let bias_type = match graph.dtype(x) {
        DType::I8 => DType::I32,
        DType::I16 => DType::I64,
        _ => return,
    };
    let Some(crate::graph::Quant::Affine { scale, zero_point, .. }) = &graph.value(w).quant else { panic!("weights") };
    assert!(zero_point.iter().all(|&z| z == 0));
    let stored = graph.constant(w).unwrap().to_i64s().unwrap();
    assert!(stored.iter().all(|q| (-127..=127).contains(q)));
    let (x_scale, _) = graph.value(x).quant.as_ref().and_then(|q| q.as_per_tensor()).unwrap();
    let Some(bias) = node.input(b) else { return };
    assert_eq!(graph.dtype(bias), bias_type);
    let Some(crate::graph::Quant::Affine { scale: bias_scale, .. }) = &graph.value(bias).quant else { panic!("bias") };
    let products: Vec<f32> = scale.iter().map(|w| x_scale * w).collect();
    assert_eq!(bias_scale, &products);
}

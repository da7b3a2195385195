//! The table against itself, and against what is written elsewhere about kernels.

use super::*;
use crate::graph::{
    Compare, MirrorMode, Opaque, Padding, Precision, Segment, Shape, SliceMasks, Type, Value, Window2d, Window3d,
};
use crate::tensor::Tensor;

/// Every operator, with how many operands and float results it has here.
fn operators() -> Vec<(Op, usize, usize)> {
    let none = Activation::None;
    let window = Window2d { padding: Padding::Same, stride: [1, 1], dilation: [1, 1] };
    let window_3d = Window3d { padding: Padding::Same, stride: [1; 3], dilation: [1; 3] };
    let pool = |kind| Op::Pool2d {
        kind,
        padding: Padding::Same,
        stride: [1, 1],
        filter: [1, 1],
        activation: Activation::None,
    };
    let mut all = vec![
        (Op::LeakyRelu { alpha: 0.1 }, 1, 1),
        (Op::Prelu, 2, 1),
        (Op::Select, 3, 1),
        (Op::Cast { to: DType::F32 }, 1, 1),
        (Op::Softmax { beta: 1.0 }, 1, 1),
        (Op::LogSoftmax, 1, 1),
        (Op::L2Normalization, 1, 1),
        (Op::LocalResponseNormalization { radius: 1, bias: 1.0, alpha: 1.0, beta: 1.0 }, 1, 1),
        (Op::Conv2d { window, activation: none }, 3, 1),
        (Op::DepthwiseConv2d { window, multiplier: 1, activation: none }, 3, 1),
        (Op::TransposeConv { padding: Padding::Same, stride: [1, 1], activation: none }, 4, 1),
        (Op::Conv3d { window: window_3d, activation: none }, 3, 1),
        (Op::Conv3dTranspose { window: window_3d, activation: none }, 4, 1),
        (Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: none }, 3, 1),
        (Op::FullyConnected { keep_num_dims: true, asymmetric_inputs: false, activation: none }, 2, 1),
        (Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false }, 2, 1),
        (Op::EmbeddingLookup, 2, 1),
        (pool(Pool::Average), 1, 1),
        (pool(Pool::Max), 1, 1),
        (pool(Pool::L2), 1, 1),
        (Op::ResizeBilinear { align_corners: false, half_pixel_centers: true }, 2, 1),
        (Op::ResizeNearest { align_corners: false, half_pixel_centers: true }, 2, 1),
        (Op::DepthToSpace { block: 2 }, 1, 1),
        (Op::SpaceToDepth { block: 2 }, 1, 1),
        (Op::SpaceToBatch, 3, 1),
        (Op::BatchToSpace, 3, 1),
        (Op::Pad, 2, 1),
        (Op::PadV2, 3, 1),
        (Op::MirrorPad { mode: MirrorMode::Reflect }, 2, 1),
        (Op::Reshape, 2, 1),
        (Op::Squeeze { axes: vec![] }, 1, 1),
        (Op::ExpandDims, 2, 1),
        (Op::Transpose, 2, 1),
        (Op::Concatenation { axis: 0 }, 3, 1),
        (Op::Split { parts: 2 }, 2, 2),
        (Op::SplitV { parts: 2 }, 3, 2),
        (Op::Pack { axis: 0 }, 2, 1),
        (Op::Unpack { axis: 0, parts: 2 }, 1, 2),
        (Op::Slice, 3, 1),
        (Op::StridedSlice(SliceMasks::default()), 4, 1),
        (Op::Gather { axis: 0, batch_dims: 0 }, 2, 1),
        (Op::GatherNd, 2, 1),
        (Op::ScatterNd, 3, 1),
        (Op::UnsortedSegment(Segment::Max), 3, 1),
        (Op::DynamicUpdateSlice, 3, 1),
        (Op::ReverseSequence { seq_dim: 0, batch_dim: 1 }, 2, 1),
        (Op::Unique { to: DType::I32 }, 1, 1),
        (Op::NonMaxSuppression, 5, 0),
        (Op::Bitcast { to: DType::I32 }, 1, 0),
        (Op::Tile, 2, 1),
        (Op::BroadcastTo, 2, 1),
        (Op::Reverse, 2, 1),
        (Op::Fill, 2, 1),
        (Op::Shape { to: DType::I32 }, 1, 0),
        (Op::Rank, 1, 0),
        (Op::Range, 3, 1),
        (Op::OneHot { axis: -1 }, 4, 1),
        (Op::Where, 1, 0),
        (Op::TopK, 2, 1),
        (Op::ArgMax { to: DType::I32 }, 2, 0),
        (Op::ArgMin { to: DType::I32 }, 2, 0),
        (Op::Cumsum { exclusive: false, reverse: false }, 2, 1),
        (Op::Quantize { to: DType::I8 }, 1, 1),
        (Op::Dequantize, 1, 1),
        (Op::Opaque(Box::new(opaque())), 1, 1),
    ];
    all.extend(UNARY.iter().map(|&kind| (Op::Unary(kind), 1, 1)));
    all.extend(BINARY.iter().map(|&kind| (Op::Binary(kind, none), 2, 1)));
    all.push((Op::Compare(Compare::Less), 2, 0));
    for kind in [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min, Reduce::Prod, Reduce::Any, Reduce::All] {
        all.push((Op::Reduce { kind, keep_dims: true }, 2, 1));
    }
    all
}

fn opaque() -> Opaque {
    Opaque {
        code: crate::schema::BuiltinOperator::RFFT2D,
        version: 1,
        options: crate::schema::BuiltinOptions::None,
        options_2: crate::schema::BuiltinOptions2::None,
        custom_code: None,
        custom_options: None,
        intermediates: None,
        mutating_variable_inputs: None,
    }
}

#[rustfmt::skip]
const UNARY: &[Unary] = &[
    Unary::Abs, Unary::Ceil, Unary::Cos, Unary::Elu, Unary::Exp, Unary::Floor, Unary::Gelu, Unary::GeluTanh, Unary::HardSwish,
    Unary::Log, Unary::LogicalNot, Unary::Logistic, Unary::Neg, Unary::Relu, Unary::Relu0To1, Unary::Relu6, Unary::ReluN1To1,
    Unary::Round, Unary::Rsqrt, Unary::Sign, Unary::Sin, Unary::Sqrt, Unary::Square, Unary::Tanh, Unary::ZerosLike,
];

#[rustfmt::skip]
const BINARY: &[Binary] = &[
    Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Maximum, Binary::Minimum, Binary::Pow, Binary::FloorDiv,
    Binary::FloorMod, Binary::SquaredDifference, Binary::Atan2, Binary::LogicalAnd, Binary::LogicalOr, Binary::BitwiseXor,
    Binary::RightShift,
];

/// A node on constants: all of one element, for the table looks at types and constness alone.
fn node(op: Op, operands: usize, results: usize) -> (Graph, Node) {
    let mut graph = Graph::new("table");
    let inputs = (0..operands).map(|_| Some(graph.add_constant("c", Tensor::vector(vec![1f32])))).collect();
    let ty = Type::new(DType::F32, Shape::fixed(&[1]));
    let outputs = (0..results)
        .map(|_| graph.add_value(Value { name: "r".into(), ty: ty.clone(), data: None, quant: None, variable: false }))
        .collect();
    (graph, Node { op, inputs, outputs, origin: None, precision: Precision::Any })
}

#[test]
fn rows_are_consistent() {
    for (op, operands, results) in operators() {
        let (graph, node) = node(op, operands, results);
        let name = node.op.name();
        let Treatment::Integer(rule) = treatment(&graph, &node, Asked::default()) else { continue };
        assert_eq!(rule.operands.len(), operands, "{name}");
        let is = |i: usize, role: Role| rule.operands.get(i) == Some(&role);
        assert_eq!(
            rule.operands.contains(&Role::Shared),
            rule.outcome == Outcome::Shared,
            "{name}: operands and results share a scale, or neither does"
        );
        for role in &rule.operands {
            if let Role::Bias { x, weight } = *role {
                assert!(is(x, Role::Activation), "{name}");
                assert!(matches!(rule.operands.get(weight), Some(Role::Weight { .. })), "{name}");
            }
        }
        if let Bound::Product(a, b) = rule.bound {
            assert!(a < operands && b < operands && !is(a, Role::Index) && !is(b, Role::Index), "{name}");
        }
        let weighs = rule.operands.iter().any(|role| matches!(role, Role::Weight { .. }));
        assert_eq!(weighs || name == "BATCH_MATMUL", rule.effort == Effort::Heavy, "{name}");
    }
}

/// `reference/tflite-ops.json` where it can be read: what LiteRT's kernels were seen to accept.
#[test]
fn int8_rows_have_kernels() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/reference/tflite-ops.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: no {path}");
        return;
    };
    let facts: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (op, operands, results) in operators() {
        let (graph, node) = node(op, operands, results);
        if let Treatment::Integer(_) = treatment(&graph, &node, Asked::default()) {
            let entry = &facts["ops"][node.op.name()];
            assert!(entry.to_string().contains("i8"), "{}: {entry}", node.op.name());
        }
    }
}

#[test]
fn nodes_without_floats_are_left_alone() {
    let mut graph = Graph::new("integers");
    let a = graph.add_constant("a", Tensor::vector(vec![1i32]));
    let mut b = crate::graph::Builder::new(&mut graph, &crate::graph::NoEvaluate);
    b.add(a, a).unwrap();
    assert_eq!(treatment(&graph, &graph.nodes[0], Asked::default()), Treatment::Untouched);
}

#[test]
fn fused_activations_without_a_kernel_keep_float() {
    let (graph, node) = node(Op::Binary(Binary::Add, Activation::Tanh), 2, 1);
    assert_eq!(treatment(&graph, &node, Asked::default()), Treatment::Float(FUSED));
}

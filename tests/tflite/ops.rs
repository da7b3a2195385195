//! One small model for every operator, and for the types and options that its version depends on.

use litesmith::graph::{
    Activation, Binary, Builder, Compare, Graph, MirrorMode, Model, NoEvaluate, Node, Op, Opaque, Padding, Pool,
    Precision, Quant, Reduce, Shape, SliceMasks, Type, Unary, Value, ValueId, Window2d, Window3d,
};
use litesmith::schema;
use litesmith::tensor::{DType, Tensor};

/// A graph that is put together operand by operand.
pub struct Case {
    pub graph: Graph,
}

impl Case {
    pub fn input(&mut self, dtype: DType, dims: &[usize]) -> ValueId {
        let name = format!("x{}", self.graph.inputs.len());
        self.graph.add_input(name, Type::new(dtype, Shape::fixed(dims)))
    }

    /// An input of quantized numbers, with a scale and zero point that suit the type.
    pub fn quantized(&mut self, dtype: DType, dims: &[usize]) -> ValueId {
        let id = self.input(dtype, dims);
        self.graph.value_mut(id).quant = Some(Quant::per_tensor(0.05, zero_point(dtype)));
        id
    }

    pub fn f32s(&mut self, dims: &[usize]) -> ValueId {
        let count: usize = dims.iter().product();
        let values: Vec<f32> = (0..count).map(|i| ((i * 37 + 11) % 64) as f32 / 16.0 - 2.0).collect();
        self.graph.add_constant("weights", Tensor::from_vec(dims, values))
    }

    pub fn ints(&mut self, values: &[i32]) -> ValueId {
        self.graph.add_constant("ints", Tensor::vector(values.to_vec()))
    }

    pub fn int(&mut self, value: i32) -> ValueId {
        self.graph.add_constant("int", Tensor::scalar(value))
    }

    pub fn pads(&mut self, pads: &[[i32; 2]]) -> ValueId {
        self.graph.add_constant("pads", Tensor::from_vec(&[pads.len(), 2], pads.as_flattened().to_vec()))
    }

    /// Quantized weights: per axis where there is more than one scale.
    pub fn weights(&mut self, dtype: DType, dims: &[usize], scale: &[f32], axis: usize) -> ValueId {
        let count: usize = dims.iter().product();
        let bytes: Vec<u8> = (0..dtype.byte_len(count).unwrap()).map(|i| (i * 29 + 3) as u8).collect();
        let data = Tensor::new(dtype, dims.to_vec(), bytes.into()).unwrap();
        let id = self.graph.add_constant("weights", data);
        let zero_point = vec![0; scale.len()];
        self.graph.value_mut(id).quant = Some(Quant::Affine { scale: scale.to_vec(), zero_point, axis });
        id
    }

    pub fn bias(&mut self, dtype: DType, count: usize, scale: &[f32]) -> ValueId {
        let values: Vec<i64> = (0..count as i64).map(|i| i * 7 - 5).collect();
        let id = self.graph.add_constant("bias", Tensor::vector(values).cast(dtype).unwrap());
        if !scale.is_empty() {
            let zero_point = vec![0; scale.len()];
            self.graph.value_mut(id).quant = Some(Quant::Affine { scale: scale.to_vec(), zero_point, axis: 0 });
        }
        id
    }

    /// Appends `op`; all results become outputs.
    pub fn emit(&mut self, op: Op, inputs: &[Option<ValueId>]) -> Vec<ValueId> {
        let outputs = Builder::new(&mut self.graph, &NoEvaluate).emit(op, inputs).unwrap();
        self.graph.outputs.extend(&outputs);
        outputs
    }

    pub fn one(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.emit(op, &inputs)[0]
    }

    /// [`Case::one`] with a quantized result.
    pub fn one_quantized(&mut self, op: Op, inputs: &[ValueId], scale: f32, zero_point: i64) -> ValueId {
        let id = self.one(op, inputs);
        self.graph.value_mut(id).quant = Some(Quant::per_tensor(scale, zero_point));
        id
    }
}

pub fn zero_point(dtype: DType) -> i64 {
    match dtype {
        DType::U8 => 128,
        DType::I8 => 3,
        _ => 0,
    }
}

type Make = Box<dyn Fn(&mut Case)>;

pub struct Named {
    pub name: String,
    pub model: Model,
}

#[derive(Default)]
struct Cases(Vec<(String, Make)>);

impl Cases {
    fn add(&mut self, name: impl Into<String>, make: impl Fn(&mut Case) + 'static) {
        self.0.push((name.into(), Box::new(make)));
    }
}

/// All cases, in a fixed order.
pub fn all() -> Vec<Named> {
    let mut cases = Cases::default();
    elementwise(&mut cases);
    products(&mut cases);
    quantized_products(&mut cases);
    spatial(&mut cases);
    movement(&mut cases);
    shapes_and_indices(&mut cases);
    quantization(&mut cases);
    carried(&mut cases);
    let build = |(name, make): (String, Make)| {
        let mut case = Case { graph: Graph::new("main") };
        make(&mut case);
        for (i, &id) in case.graph.outputs.clone().iter().enumerate() {
            case.graph.value_mut(id).name = format!("y{i}");
        }
        Named { name, model: Model::single(case.graph) }
    };
    cases.0.into_iter().map(build).collect()
}

pub const UNARIES: [Unary; 25] = [
    Unary::Abs,
    Unary::Ceil,
    Unary::Cos,
    Unary::Elu,
    Unary::Exp,
    Unary::Floor,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::HardSwish,
    Unary::Log,
    Unary::LogicalNot,
    Unary::Logistic,
    Unary::Neg,
    Unary::Relu,
    Unary::Relu0To1,
    Unary::Relu6,
    Unary::ReluN1To1,
    Unary::Round,
    Unary::Rsqrt,
    Unary::Sign,
    Unary::Sin,
    Unary::Sqrt,
    Unary::Square,
    Unary::Tanh,
    Unary::ZerosLike,
];

pub const BINARIES: [Binary; 15] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Maximum,
    Binary::Minimum,
    Binary::Pow,
    Binary::FloorDiv,
    Binary::FloorMod,
    Binary::SquaredDifference,
    Binary::Atan2,
    Binary::LogicalAnd,
    Binary::LogicalOr,
    Binary::BitwiseXor,
    Binary::RightShift,
];

pub const COMPARES: [Compare; 6] =
    [Compare::Equal, Compare::NotEqual, Compare::Less, Compare::LessEqual, Compare::Greater, Compare::GreaterEqual];

pub const REDUCES: [Reduce; 7] =
    [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min, Reduce::Prod, Reduce::Any, Reduce::All];

fn operand_type(kind: Binary) -> DType {
    match kind {
        Binary::LogicalAnd | Binary::LogicalOr => DType::Bool,
        Binary::BitwiseXor | Binary::RightShift => DType::I32,
        _ => DType::F32,
    }
}

fn elementwise(cases: &mut Cases) {
    for kind in UNARIES {
        let dtype = if kind == Unary::LogicalNot { DType::Bool } else { DType::F32 };
        cases.add(format!("{kind:?}"), move |c| {
            let x = c.input(dtype, &[2, 3]);
            c.one(Op::Unary(kind), &[x]);
        });
    }
    for kind in BINARIES {
        let dtype = operand_type(kind);
        cases.add(format!("{kind:?}"), move |c| {
            // The kernel of ATAN2 does not broadcast.
            let dims: &[usize] = if kind == Binary::Atan2 { &[2, 3] } else { &[3] };
            let (a, b) = (c.input(dtype, &[2, 3]), c.input(dtype, dims));
            c.one(Op::Binary(kind, Activation::None), &[a, b]);
        });
    }
    for kind in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div] {
        cases.add(format!("{kind:?}_relu"), move |c| {
            let (a, b) = (c.input(DType::F32, &[2, 3]), c.input(DType::F32, &[2, 3]));
            c.one(Op::Binary(kind, Activation::Relu), &[a, b]);
        });
    }
    for (kind, dtype) in [(Binary::Add, DType::I64), (Binary::Sub, DType::I64), (Binary::Mul, DType::I64)] {
        cases.add(format!("{kind:?}_i64"), move |c| {
            let (a, b) = (c.input(dtype, &[2, 3]), c.input(dtype, &[3]));
            c.one(Op::Binary(kind, Activation::None), &[a, b]);
        });
    }
    for kind in [Binary::Sub, Binary::Div, Binary::Maximum, Binary::Minimum] {
        cases.add(format!("{kind:?}_rank5_broadcast"), move |c| {
            let (a, b) = (c.input(DType::F32, &[1, 2, 1, 2, 3]), c.input(DType::F32, &[3]));
            c.one(Op::Binary(kind, Activation::None), &[a, b]);
        });
    }
    for kind in [Binary::Add, Binary::Sub, Binary::Mul] {
        for dtype in [DType::I8, DType::I16] {
            cases.add(format!("{kind:?}_q{}", dtype.bits()), move |c| {
                let (a, b) = (c.quantized(dtype, &[2, 3]), c.quantized(dtype, &[2, 3]));
                c.one_quantized(Op::Binary(kind, Activation::None), &[a, b], 0.1, zero_point(dtype));
            });
        }
    }
    cases.add("Mul_q8_scaled_up", |c| {
        let (a, b) = (c.quantized(DType::I8, &[2, 3]), c.quantized(DType::I8, &[2, 3]));
        c.one_quantized(Op::Binary(Binary::Mul, Activation::None), &[a, b], 0.002, 0);
    });
    for kind in COMPARES {
        cases.add(format!("{kind:?}"), move |c| {
            let (a, b) = (c.input(DType::I32, &[2, 3]), c.input(DType::I32, &[3]));
            c.one(Op::Compare(kind), &[a, b]);
        });
    }
    cases.add("LeakyRelu", |c| {
        let x = c.input(DType::F32, &[2, 3]);
        c.one(Op::LeakyRelu { alpha: 0.25 }, &[x]);
    });
    cases.add("Prelu", |c| {
        let (x, alpha) = (c.input(DType::F32, &[1, 2, 2, 3]), c.f32s(&[1, 1, 3]));
        c.one(Op::Prelu, &[x, alpha]);
    });
    cases.add("Select", |c| {
        let (condition, a, b) =
            (c.input(DType::Bool, &[2, 1]), c.input(DType::F32, &[3]), c.input(DType::F32, &[2, 3]));
        c.one(Op::Select, &[condition, a, b]);
    });
    for (from, to) in [
        (DType::F32, DType::I32),
        (DType::I8, DType::F32),
        (DType::I64, DType::F32),
        (DType::F32, DType::F16),
        (DType::F32, DType::Bool),
        (DType::U16, DType::F32),
        (DType::U32, DType::F32),
    ] {
        cases.add(format!("Cast_{from}_{to}"), move |c| {
            let x = c.input(from, &[2, 3]);
            c.one(Op::Cast { to }, &[x]);
        });
    }
    for beta in [1.0, 0.5] {
        cases.add(format!("Softmax_{beta}"), move |c| {
            let x = c.input(DType::F32, &[2, 3]);
            c.one(Op::Softmax { beta }, &[x]);
        });
    }
    cases.add("LogSoftmax", |c| {
        let x = c.input(DType::F32, &[2, 3]);
        c.one(Op::LogSoftmax, &[x]);
    });
    cases.add("L2Normalization", |c| {
        let x = c.input(DType::F32, &[2, 3]);
        c.one(Op::L2Normalization, &[x]);
    });
    cases.add("LocalResponseNormalization", |c| {
        let x = c.input(DType::F32, &[1, 2, 2, 5]);
        c.one(Op::LocalResponseNormalization { radius: 1, bias: 2.0, alpha: 0.5, beta: 0.75 }, &[x]);
    });
    cases.add("Abs_i32", |c| {
        let x = c.input(DType::I32, &[2, 3]);
        c.one(Op::Unary(Unary::Abs), &[x]);
    });
    cases.add("Logistic_q8", |c| {
        let x = c.quantized(DType::I8, &[2, 3]);
        c.one_quantized(Op::Unary(Unary::Logistic), &[x], 1.0 / 256.0, -128);
    });
    cases.add("Add_scalars", |c| {
        let (a, b) = (c.input(DType::F32, &[]), c.input(DType::F32, &[]));
        c.one(Op::Binary(Binary::Add, Activation::None), &[a, b]);
    });
}

pub fn window(padding: Padding, stride: [usize; 2], dilation: [usize; 2]) -> Window2d {
    Window2d { padding, stride, dilation }
}

fn products(cases: &mut Cases) {
    cases.add("Conv2d_valid", |c| {
        let (x, w, b) = (c.input(DType::F32, &[1, 7, 6, 2]), c.f32s(&[3, 3, 2, 2]), c.f32s(&[3]));
        let window = window(Padding::Valid, [2, 1], [1, 1]);
        c.one(Op::Conv2d { window, activation: Activation::None }, &[x, w, b]);
    });
    cases.add("Conv2d_same_dilated_relu6", |c| {
        let (x, w, b) = (c.input(DType::F32, &[1, 7, 6, 2]), c.f32s(&[3, 3, 2, 2]), c.f32s(&[3]));
        let window = window(Padding::Same, [1, 1], [2, 3]);
        c.one(Op::Conv2d { window, activation: Activation::Relu6 }, &[x, w, b]);
    });
    cases.add("Conv2d_grouped", |c| {
        let (x, w, b) = (c.input(DType::F32, &[1, 5, 5, 4]), c.f32s(&[6, 3, 3, 2]), c.f32s(&[6]));
        let window = window(Padding::Same, [1, 1], [1, 1]);
        c.one(Op::Conv2d { window, activation: Activation::None }, &[x, w, b]);
    });
    for dilation in [1, 2] {
        cases.add(format!("DepthwiseConv2d_dilated_{dilation}"), move |c| {
            let (x, w, b) = (c.input(DType::F32, &[1, 7, 6, 2]), c.f32s(&[1, 3, 2, 4]), c.f32s(&[4]));
            let window = window(Padding::Same, [1, 1], [dilation, 1]);
            c.one(Op::DepthwiseConv2d { window, multiplier: 2, activation: Activation::Relu }, &[x, w, b]);
        });
    }
    for (bias, activation) in [(false, Activation::None), (true, Activation::None), (true, Activation::Relu)] {
        cases.add(format!("TransposeConv_{bias}_{activation:?}"), move |c| {
            let (shape, w) = (c.ints(&[1, 6, 9, 3]), c.f32s(&[3, 2, 3, 2]));
            let x = c.input(DType::F32, &[1, 3, 3, 2]);
            let mut operands = vec![shape, w, x];
            if bias {
                operands.push(c.f32s(&[3]));
            }
            c.one(Op::TransposeConv { padding: Padding::Valid, stride: [2, 3], activation }, &operands);
        });
    }
    cases.add("Conv3d", |c| {
        let (x, w, b) = (c.input(DType::F32, &[1, 4, 6, 5, 2]), c.f32s(&[2, 3, 2, 2, 3]), c.f32s(&[3]));
        let window = Window3d { padding: Padding::Valid, stride: [1, 2, 1], dilation: [2, 1, 1] };
        c.one(Op::Conv3d { window, activation: Activation::Relu }, &[x, w, b]);
    });
    cases.add("Conv3dTranspose", |c| {
        let (shape, w) = (c.ints(&[1, 4, 6, 5, 3]), c.f32s(&[2, 2, 2, 3, 2]));
        let x = c.input(DType::F32, &[1, 2, 3, 3, 2]);
        let window = Window3d { padding: Padding::Same, stride: [2, 2, 2], dilation: [1, 1, 1] };
        c.one(Op::Conv3dTranspose { window, activation: Activation::None }, &[shape, w, x]);
    });
    for (bias, keep) in [(true, false), (false, false), (true, true)] {
        cases.add(format!("FullyConnected_{bias}_{keep}"), move |c| {
            let (x, w) = (c.input(DType::F32, &[2, 3, 4]), c.f32s(&[5, 4]));
            let mut operands = vec![x, w];
            if bias {
                operands.push(c.f32s(&[5]));
            }
            let op = Op::FullyConnected { keep_num_dims: keep, asymmetric_inputs: false, activation: Activation::None };
            c.one(op, &operands);
        });
    }
    cases.add("FullyConnected_absent_bias", |c| {
        let (x, w) = (c.input(DType::F32, &[2, 4]), c.f32s(&[5, 4]));
        let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::Relu };
        c.emit(op, &[Some(x), Some(w), None]);
    });
    for (adj_x, adj_y) in [(false, false), (true, true)] {
        cases.add(format!("BatchMatMul_{adj_x}_{adj_y}"), move |c| {
            let a = c.input(DType::F32, if adj_x { &[2, 3, 4] } else { &[2, 4, 3] });
            let b = c.input(DType::F32, if adj_y { &[2, 5, 3] } else { &[2, 3, 5] });
            c.one(Op::BatchMatMul { adj_x, adj_y, asymmetric_inputs: false }, &[a, b]);
        });
    }
    cases.add("EmbeddingLookup", |c| {
        let (ids, table) = (c.input(DType::I32, &[2]), c.f32s(&[4, 3]));
        c.one(Op::EmbeddingLookup, &[ids, table]);
    });
}

fn quantized_products(cases: &mut Cases) {
    let scales = [0.01, 0.02, 0.03];
    let bias_scales = scales.map(|s| s * 0.05);
    for (activations, weights, bias) in [
        (DType::I8, DType::I8, DType::I32),
        (DType::I8, DType::I4, DType::I32),
        (DType::I16, DType::I8, DType::I64),
        (DType::I16, DType::I8, DType::I32),
    ] {
        cases.add(format!("Conv2d_q_{activations}_{weights}_{bias}"), move |c| {
            let x = c.quantized(activations, &[1, 5, 5, 2]);
            let (w, b) = (c.weights(weights, &[3, 3, 3, 2], &scales, 0), c.bias(bias, 3, &bias_scales));
            let window = window(Padding::Same, [1, 1], [1, 1]);
            let op = Op::Conv2d { window, activation: Activation::Relu };
            c.one_quantized(op, &[x, w, b], 0.5, zero_point(activations));
        });
        cases.add(format!("FullyConnected_q_{activations}_{weights}_{bias}"), move |c| {
            let x = c.quantized(activations, &[2, 4]);
            let (w, b) = (c.weights(weights, &[3, 4], &scales, 0), c.bias(bias, 3, &bias_scales));
            let op =
                Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
            c.one_quantized(op, &[x, w, b], 0.5, zero_point(activations));
        });
        if bias == DType::I32 && activations == DType::I16 {
            continue; // DEPTHWISE_CONV_2D has no kernel for it.
        }
        cases.add(format!("DepthwiseConv2d_q_{activations}_{weights}_{bias}"), move |c| {
            let x = c.quantized(activations, &[1, 5, 5, 3]);
            let (w, b) = (c.weights(weights, &[1, 3, 3, 3], &scales, 3), c.bias(bias, 3, &bias_scales));
            let window = window(Padding::Same, [1, 1], [1, 1]);
            let op = Op::DepthwiseConv2d { window, multiplier: 1, activation: Activation::None };
            c.one_quantized(op, &[x, w, b], 0.5, zero_point(activations));
        });
    }
    for (bias, name) in [(DType::I64, "i64"), (DType::I32, "i32")] {
        cases.add(format!("TransposeConv_q16_{name}"), move |c| {
            let (shape, w) = (c.ints(&[1, 6, 6, 3]), c.weights(DType::I8, &[3, 2, 2, 2], &scales, 0));
            let (x, b) = (c.quantized(DType::I16, &[1, 3, 3, 2]), c.bias(bias, 3, &bias_scales));
            let op = Op::TransposeConv { padding: Padding::Valid, stride: [2, 2], activation: Activation::None };
            c.one_quantized(op, &[shape, w, x, b], 0.5, 0);
        });
    }
    for per_axis in [false, true] {
        let scales = if per_axis { scales.to_vec() } else { vec![0.02] };
        let conv = scales.clone();
        cases.add(format!("Conv2d_hybrid_{per_axis}"), move |c| {
            let x = c.input(DType::F32, &[1, 5, 5, 2]);
            let (w, b) = (c.weights(DType::I8, &[3, 3, 3, 2], &conv, 0), c.f32s(&[3]));
            let window = window(Padding::Valid, [1, 1], [1, 1]);
            c.one(Op::Conv2d { window, activation: Activation::None }, &[x, w, b]);
        });
        cases.add(format!("FullyConnected_hybrid_{per_axis}"), move |c| {
            let x = c.input(DType::F32, &[2, 4]);
            let (w, b) = (c.weights(DType::I8, &[3, 4], &scales, 0), c.f32s(&[3]));
            let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: true, activation: Activation::None };
            c.one(op, &[x, w, b]);
        });
    }
    cases.add("FullyConnected_blockwise_i4", |c| {
        let x = c.input(DType::F32, &[2, 64]);
        let w = c.weights(DType::I4, &[4, 64], &[1.0], 0);
        let half = |bits: f32| half::f16::from_f32(bits);
        let scales: Vec<_> = (1..=8).map(|i| half(i as f32 / 32.0)).collect();
        let scales = c.graph.add_constant("scales", Tensor::from_vec(&[4, 2], scales));
        c.graph.value_mut(w).quant = Some(Quant::Blockwise { scales, zero_points: None, block_size: 32 });
        let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
        c.one(op, &[x, w]);
    });
    cases.add("BatchMatMul_q8", |c| {
        let (a, b) = (c.quantized(DType::I8, &[2, 4, 3]), c.quantized(DType::I8, &[2, 3, 5]));
        let op = Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: false };
        c.one_quantized(op, &[a, b], 0.1, 0);
    });
    cases.add("BatchMatMul_hybrid", |c| {
        let (a, b) = (c.input(DType::F32, &[2, 4, 3]), c.weights(DType::I8, &[2, 3, 5], &[0.02], 0));
        c.one(Op::BatchMatMul { adj_x: false, adj_y: false, asymmetric_inputs: true }, &[a, b]);
    });
}

fn spatial(cases: &mut Cases) {
    for kind in [Pool::Average, Pool::Max, Pool::L2] {
        cases.add(format!("Pool2d_{kind:?}"), move |c| {
            let x = c.input(DType::F32, &[1, 7, 6, 2]);
            let activation = Activation::None;
            c.one(Op::Pool2d { kind, padding: Padding::Same, stride: [2, 1], filter: [3, 2], activation }, &[x]);
        });
    }
    for (align_corners, half_pixel_centers) in [(false, false), (true, false), (false, true)] {
        cases.add(format!("ResizeBilinear_{align_corners}_{half_pixel_centers}"), move |c| {
            let (x, size) = (c.input(DType::F32, &[1, 3, 4, 2]), c.ints(&[5, 7]));
            c.one(Op::ResizeBilinear { align_corners, half_pixel_centers }, &[x, size]);
        });
        cases.add(format!("ResizeNearest_{align_corners}_{half_pixel_centers}"), move |c| {
            let (x, size) = (c.input(DType::F32, &[1, 3, 4, 2]), c.ints(&[5, 7]));
            c.one(Op::ResizeNearest { align_corners, half_pixel_centers }, &[x, size]);
        });
    }
    cases.add("DepthToSpace", |c| {
        let x = c.input(DType::F32, &[1, 2, 3, 8]);
        c.one(Op::DepthToSpace { block: 2 }, &[x]);
    });
    cases.add("SpaceToDepth", |c| {
        let x = c.input(DType::F32, &[1, 4, 6, 2]);
        c.one(Op::SpaceToDepth { block: 2 }, &[x]);
    });
    for rank in [3, 4] {
        cases.add(format!("SpaceToBatch_rank{rank}"), move |c| {
            let x = c.input(DType::F32, &[1, 4, 3, 2][..rank]);
            let blocks = [2, 3];
            let (block, pads) = (c.ints(&blocks[..rank - 2]), c.pads(&[[1, 1], [0, 3]][..rank - 2]));
            c.one(Op::SpaceToBatch, &[x, block, pads]);
        });
        cases.add(format!("BatchToSpace_rank{rank}"), move |c| {
            let x = c.input(DType::F32, &[6, 2, 3, 2][..rank]);
            let blocks = [2, 3];
            let (block, crops) = (c.ints(&blocks[..rank - 2]), c.pads(&[[1, 0], [0, 2]][..rank - 2]));
            c.one(Op::BatchToSpace, &[x, block, crops]);
        });
    }
}

fn movement(cases: &mut Cases) {
    for rank in [2, 5] {
        cases.add(format!("Pad_rank{rank}"), move |c| {
            let x = c.input(DType::F32, &[2, 3, 1, 1, 2][..rank]);
            let pads = c.pads(&[[0, 1], [2, 0], [0, 0], [1, 0], [0, 0]][..rank]);
            c.one(Op::Pad, &[x, pads]);
        });
    }
    cases.add("Pad_bool", |c| {
        let (x, pads) = (c.input(DType::Bool, &[2, 3]), c.pads(&[[0, 1], [2, 0]]));
        c.one(Op::Pad, &[x, pads]);
    });
    cases.add("PadV2", |c| {
        let (x, pads) = (c.input(DType::F32, &[2, 3]), c.pads(&[[0, 1], [2, 0]]));
        let value = c.graph.add_constant("value", Tensor::scalar(-1.5f32));
        c.one(Op::PadV2, &[x, pads, value]);
    });
    for mode in [MirrorMode::Reflect, MirrorMode::Symmetric] {
        cases.add(format!("MirrorPad_{mode:?}"), move |c| {
            let (x, pads) = (c.input(DType::F32, &[2, 3]), c.pads(&[[0, 1], [2, 0]]));
            c.one(Op::MirrorPad { mode }, &[x, pads]);
        });
    }
    cases.add("Reshape", |c| {
        let (x, shape) = (c.input(DType::F32, &[2, 6]), c.ints(&[3, -1]));
        c.one(Op::Reshape, &[x, shape]);
    });
    for axes in [vec![], vec![0, -1]] {
        cases.add(format!("Squeeze_{}", axes.len()), move |c| {
            let x = c.input(DType::F32, &[1, 3, 1]);
            c.one(Op::Squeeze { axes: axes.clone() }, &[x]);
        });
    }
    cases.add("ExpandDims", |c| {
        let (x, axis) = (c.input(DType::F32, &[2, 3]), c.int(1));
        c.one(Op::ExpandDims, &[x, axis]);
    });
    for rank in [2, 5, 6] {
        cases.add(format!("Transpose_rank{rank}"), move |c| {
            let x = c.input(DType::F32, &[2, 3, 1, 2, 2, 3][..rank]);
            let perm: Vec<i32> = (0..rank as i32).rev().collect();
            let perm = c.ints(&perm);
            c.one(Op::Transpose, &[x, perm]);
        });
    }
    cases.add("Concatenation", |c| {
        let (a, b) = (c.input(DType::F32, &[2, 3]), c.input(DType::F32, &[2, 1]));
        c.one(Op::Concatenation { axis: -1 }, &[a, b]);
    });
    cases.add("Split", |c| {
        let (axis, x) = (c.int(1), c.input(DType::F32, &[2, 6]));
        c.one(Op::Split { parts: 3 }, &[axis, x]);
    });
    cases.add("SplitV", |c| {
        let (x, sizes, axis) = (c.input(DType::F32, &[2, 6]), c.ints(&[1, -1, 2]), c.int(1));
        c.one(Op::SplitV { parts: 3 }, &[x, sizes, axis]);
    });
    cases.add("Pack", |c| {
        let (a, b) = (c.input(DType::F32, &[2, 3]), c.input(DType::F32, &[2, 3]));
        c.one(Op::Pack { axis: 1 }, &[a, b]);
    });
    cases.add("Unpack", |c| {
        let x = c.input(DType::F32, &[2, 3]);
        c.one(Op::Unpack { axis: -1, parts: 3 }, &[x]);
    });
    for rank in [2, 5] {
        cases.add(format!("Slice_rank{rank}"), move |c| {
            let x = c.input(DType::F32, &[4, 3, 2, 2, 2][..rank]);
            let (begin, size) = (c.ints(&[1, 0, 0, 1, 0][..rank]), c.ints(&[2, -1, 2, 1, 2][..rank]));
            c.one(Op::Slice, &[x, begin, size]);
        });
    }
    cases.add("StridedSlice", |c| {
        let x = c.input(DType::F32, &[4, 6]);
        let (begin, end, strides) = (c.ints(&[1, 5]), c.ints(&[2, 0]), c.ints(&[1, -2]));
        let masks = SliceMasks { end: 2, shrink_axis: 1, ..SliceMasks::default() };
        c.one(Op::StridedSlice(masks), &[x, begin, end, strides]);
    });
    cases.add("StridedSlice_new_axis", |c| {
        let x = c.input(DType::F32, &[4, 6]);
        let (begin, end, strides) = (c.ints(&[0, 0, 1]), c.ints(&[0, 0, 5]), c.ints(&[1, 1, 2]));
        let masks = SliceMasks { ellipsis: 2, new_axis: 1, ..SliceMasks::default() };
        // Inference leaves these masks alone, which files made elsewhere have.
        let ty = Type::new(DType::F32, Shape::fixed(&[1, 4, 2]));
        let value = Value { name: String::new(), ty, data: None, quant: None, variable: false };
        let output = c.graph.add_value(value);
        let inputs = [x, begin, end, strides].map(Some).to_vec();
        let op = Op::StridedSlice(masks);
        c.graph.nodes.push(Node { op, inputs, outputs: vec![output], origin: None, precision: Precision::Any });
        c.graph.outputs.push(output);
    });
    cases.add("Gather", |c| {
        let (x, indices) = (c.input(DType::F32, &[2, 5, 3]), c.ints(&[4, 0]));
        c.one(Op::Gather { axis: 1, batch_dims: 0 }, &[x, indices]);
    });
    cases.add("Gather_batched", |c| {
        let x = c.input(DType::F32, &[2, 5, 3]);
        let indices = c.graph.add_constant("indices", Tensor::from_vec(&[2, 1], vec![4i32, 2]));
        c.one(Op::Gather { axis: 1, batch_dims: 1 }, &[x, indices]);
    });
    cases.add("GatherNd", |c| {
        let x = c.input(DType::F32, &[2, 5, 3]);
        let indices = c.graph.add_constant("indices", Tensor::from_vec(&[2, 2], vec![0i32, 2, 1, 4]));
        c.one(Op::GatherNd, &[x, indices]);
    });
    cases.add("ScatterNd", |c| {
        let indices = c.graph.add_constant("indices", Tensor::from_vec(&[2, 1], vec![3i32, 1]));
        let (updates, shape) = (c.input(DType::F32, &[2, 3]), c.ints(&[4, 3]));
        c.one(Op::ScatterNd, &[indices, updates, shape]);
    });
    cases.add("Tile", |c| {
        let (x, multiples) = (c.input(DType::F32, &[2, 3]), c.ints(&[2, 1]));
        c.one(Op::Tile, &[x, multiples]);
    });
    cases.add("BroadcastTo", |c| {
        let (x, shape) = (c.input(DType::F32, &[3]), c.ints(&[2, 3]));
        c.one(Op::BroadcastTo, &[x, shape]);
    });
    cases.add("Reverse", |c| {
        let (x, axes) = (c.input(DType::F32, &[2, 3]), c.ints(&[1]));
        c.one(Op::Reverse, &[x, axes]);
    });
}

fn shapes_and_indices(cases: &mut Cases) {
    cases.add("Fill", |c| {
        let (dims, value) = (c.ints(&[2, 3]), c.input(DType::F32, &[]));
        c.one(Op::Fill, &[dims, value]);
    });
    for to in [DType::I32, DType::I64] {
        cases.add(format!("Shape_{to}"), move |c| {
            let x = c.input(DType::F32, &[2, 3]);
            c.one(Op::Shape { to }, &[x]);
        });
    }
    cases.add("Rank", |c| {
        let x = c.input(DType::F32, &[2, 3]);
        c.one(Op::Rank, &[x]);
    });
    cases.add("Range", |c| {
        let (start, limit, delta) = (c.input(DType::I32, &[]), c.int(9), c.int(2));
        c.one(Op::Range, &[start, limit, delta]);
    });
    cases.add("OneHot", |c| {
        let (indices, depth) = (c.input(DType::I32, &[3]), c.int(4));
        let on = c.graph.add_constant("on", Tensor::scalar(2.0f32));
        let off = c.graph.add_constant("off", Tensor::scalar(-1.0f32));
        c.one(Op::OneHot { axis: -1 }, &[indices, depth, on, off]);
    });
    for dtype in [DType::Bool, DType::I32] {
        cases.add(format!("Where_{dtype}"), move |c| {
            let x = c.input(dtype, &[2, 3]);
            c.one(Op::Where, &[x]);
        });
    }
    cases.add("TopK", |c| {
        let (x, k) = (c.input(DType::F32, &[2, 5]), c.int(3));
        c.one(Op::TopK, &[x, k]);
    });
    for to in [DType::I32, DType::I64] {
        cases.add(format!("ArgMax_{to}"), move |c| {
            let (x, axis) = (c.input(DType::F32, &[2, 5]), c.int(1));
            c.one(Op::ArgMax { to }, &[x, axis]);
        });
    }
    cases.add("ArgMin", |c| {
        let (x, axis) = (c.input(DType::F32, &[2, 5]), c.int(0));
        c.one(Op::ArgMin { to: DType::I32 }, &[x, axis]);
    });
    for (exclusive, reverse) in [(false, false), (true, true)] {
        cases.add(format!("Cumsum_{exclusive}_{reverse}"), move |c| {
            let (x, axis) = (c.input(DType::F32, &[2, 5]), c.int(1));
            c.one(Op::Cumsum { exclusive, reverse }, &[x, axis]);
        });
    }
    for kind in REDUCES {
        let dtype = if matches!(kind, Reduce::Any | Reduce::All) { DType::Bool } else { DType::F32 };
        for keep_dims in [false, true] {
            cases.add(format!("Reduce{kind:?}_{keep_dims}"), move |c| {
                let (x, axes) = (c.input(dtype, &[2, 3, 4]), c.ints(&[0, 2]));
                c.one(Op::Reduce { kind, keep_dims }, &[x, axes]);
            });
        }
    }
    cases.add("dynamic_batch", |c| {
        let shape = Shape(vec![None, Some(3)]);
        let x = c.graph.add_input("x0", Type::new(DType::F32, shape));
        c.one(Op::Unary(Unary::Abs), &[x]);
    });
    cases.add("empty_constant", |c| {
        let empty = c.graph.add_constant("none", Tensor::from_vec(&[0, 3], Vec::<f32>::new()));
        let x = c.input(DType::F32, &[2, 3]);
        c.one(Op::Concatenation { axis: 0 }, &[empty, x]);
    });
}

fn quantization(cases: &mut Cases) {
    for (to, scale, zero_point) in [(DType::I8, 0.02, 5), (DType::U8, 0.02, 128), (DType::I16, 0.001, 0)] {
        cases.add(format!("Quantize_{to}"), move |c| {
            let x = c.input(DType::F32, &[2, 3]);
            c.one_quantized(Op::Quantize { to }, &[x], scale, zero_point);
        });
        cases.add(format!("Dequantize_{to}"), move |c| {
            let x = c.quantized(to, &[2, 3]);
            c.one(Op::Dequantize, &[x]);
        });
    }
    cases.add("Dequantize_f16", |c| {
        let x = c.input(DType::F16, &[2, 3]);
        c.one(Op::Dequantize, &[x]);
    });
    cases.add("Requantize", |c| {
        let x = c.quantized(DType::I8, &[2, 3]);
        c.one_quantized(Op::Quantize { to: DType::I8 }, &[x], 0.1, -3);
    });
}

/// Operators that the graph only carries.
fn carried(cases: &mut Cases) {
    cases.add("AddN", |c| {
        let operands = [c.input(DType::F32, &[2, 3]), c.input(DType::F32, &[2, 3]), c.input(DType::F32, &[2, 3])];
        let ty = c.graph.value(operands[0]).ty.clone();
        let value = Value { name: String::new(), ty, data: None, quant: None, variable: false };
        let output = c.graph.add_value(value);
        let op = Op::Opaque(Box::new(Opaque {
            code: schema::BuiltinOperator::ADD_N,
            version: 1,
            options: schema::AddNOptions {}.into(),
            options_2: schema::BuiltinOptions2::None,
            custom_code: None,
            custom_options: None,
            intermediates: None,
            mutating_variable_inputs: None,
        }));
        let inputs = operands.map(Some).to_vec();
        c.graph.nodes.push(Node { op, inputs, outputs: vec![output], origin: None, precision: Precision::Any });
        c.graph.outputs.push(output);
    });
}

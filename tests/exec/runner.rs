//! Whole graphs: what is shown, what is kept, what is refused.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use litesmith::exec::{ExecError, Runner};
use litesmith::graph::{
    Activation, Binary, Builder, Execute, Graph, Model, NoEvaluate, Node, Op, Opaque, Padding, Pool, Precision, Quant,
    Reduce, Shape, Type, Unary, Value, ValueId, Window2d,
};
use litesmith::runtime::Kernels;
use litesmith::schema;
use litesmith::tensor::{DType, Tensor};
use litesmith::tflite;

use super::common::{litert, run_litert};
use super::{Random, floats};

fn float(dims: &[Option<usize>]) -> Type {
    Type::new(DType::F32, Shape(dims.to_vec()))
}

/// `relu(x) * 2 + neg(3)`, and a branch that no output needs.
fn small() -> (Graph, BTreeMap<&'static str, ValueId>) {
    let mut graph = Graph::new("small");
    let x = graph.add_input("x", float(&[None, Some(2)]));
    let mut b = Builder::new(&mut graph, &NoEvaluate);
    let (two, three) = (b.scalar(2.0f32), b.scalar(3.0f32));
    let relu = b.unary(Unary::Relu, x).unwrap();
    let negative = b.unary(Unary::Neg, three).unwrap();
    let aside = b.unary(Unary::Exp, relu).unwrap();
    let product = b.mul(relu, two).unwrap();
    let y = b.add(product, negative).unwrap();
    graph.outputs = vec![y];
    (graph, BTreeMap::from([("x", x), ("relu", relu), ("aside", aside), ("product", product), ("y", y)]))
}

#[test]
fn every_value_that_depends_on_the_inputs_is_shown_in_order() {
    let (graph, ids) = small();
    let runner = Runner::new(&graph).unwrap();
    let mut seen = vec![];
    runner
        .execute(&[floats(&[1, 2], &[-1.0, 1.0])], &mut |id, tensor| seen.push((id, tensor.to_f32s().unwrap())))
        .unwrap();
    let e = 1f32.exp();
    let expected = [
        (ids["x"], vec![-1.0, 1.0]),
        (ids["relu"], vec![0.0, 1.0]),
        (ids["aside"], vec![1.0, e]),
        (ids["product"], vec![0.0, 2.0]),
        (ids["y"], vec![-3.0, -1.0]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn unknown_extents_are_those_of_the_inputs() {
    let (graph, _) = small();
    let runner = Runner::new(&graph).unwrap();
    for rows in [1, 3, 0, 2] {
        let y = runner.run(&[floats(&[rows, 2], &vec![4.0; 2 * rows])]).unwrap();
        assert_eq!(y, [floats(&[rows, 2], &vec![5.0; 2 * rows])]);
    }
}

#[test]
fn inputs_must_fit() {
    let (graph, _) = small();
    let runner = Runner::new(&graph).unwrap();
    assert_eq!(runner.run(&[]), Err(ExecError::InputCount { given: 0, wanted: 1 }));
    let wide = runner.run(&[floats(&[1, 3], &[0.0; 3])]).unwrap_err();
    assert_eq!(wide.to_string(), r#"input "x" is float32[1,3], but must be float32[?,2]"#);
    assert!(matches!(runner.run(&[Tensor::scalar(1i32)]), Err(ExecError::Input { .. })));
}

#[test]
fn outputs_may_be_inputs_and_constants_and_the_same_twice() {
    let (mut graph, ids) = small();
    let constant = graph.add_constant("c", Tensor::scalar(7i32));
    graph.outputs = vec![ids["x"], constant, ids["relu"], ids["relu"]];
    let x = floats(&[1, 2], &[-1.0, 1.0]);
    let relu = floats(&[1, 2], &[0.0, 1.0]);
    let outputs = Runner::new(&graph).unwrap().run(std::slice::from_ref(&x)).unwrap();
    assert_eq!(outputs, [x, Tensor::scalar(7i32), relu.clone(), relu]);
}

#[test]
fn what_can_not_be_run_is_named() {
    let (mut graph, ids) = small();
    let opaque = Opaque {
        code: schema::BuiltinOperator::RFFT2D,
        version: 1,
        options: schema::BuiltinOptions::None,
        options_2: schema::BuiltinOptions2::None,
        custom_code: None,
        custom_options: None,
        intermediates: None,
        mutating_variable_inputs: None,
    };
    let out = graph.add_value(Value {
        name: "spectrum".into(),
        ty: float(&[Some(1)]),
        data: None,
        quant: None,
        variable: false,
    });
    let op = Op::Opaque(Box::new(opaque));
    let node = Node { op, inputs: vec![Some(ids["x"])], outputs: vec![out], origin: None, precision: Precision::Any };
    graph.nodes.push(node);
    let error = Runner::new(&graph).unwrap_err();
    assert_eq!(error.to_string(), r#"node 5 RFFT2D that makes "spectrum": RFFT2D can't be executed here"#);
}

#[test]
fn broken_graphs_are_refused() {
    let (mut graph, ids) = small();
    graph.nodes.swap(0, 3);
    assert!(Runner::new(&graph).unwrap().run(&[floats(&[1, 2], &[0.0; 2])]).is_err());
    let (mut graph, _) = small();
    graph.nodes.pop();
    assert!(matches!(Runner::new(&graph), Err(ExecError::MissingOutput(_))));
    let (mut graph, _) = small();
    graph.nodes[0].inputs = vec![Some(ValueId(999))];
    assert_eq!(Runner::new(&graph).unwrap_err(), ExecError::Dangling(999));
    let (mut graph, _) = small();
    graph.nodes[0].inputs = vec![];
    assert!(Runner::new(&graph).is_err());
    let (mut graph, _) = small();
    graph.nodes[0].outputs.push(ids["y"]);
    assert!(Runner::new(&graph).unwrap().run(&[floats(&[1, 2], &[0.0; 2])]).is_err());
}

/// A little of everything that convolutional nets are made of; any height and width.
fn net(random: &mut Random) -> Graph {
    let mut graph = Graph::new("net");
    let x = graph.add_input("x", float(&[Some(1), None, None, Some(3)]));
    let window = |stride| Window2d { padding: Padding::Same, stride: [stride, stride], dilation: [1, 1] };
    let mut b = Builder::new(&mut graph, &NoEvaluate);
    let (w, bias) = (b.constant(random.floats(&[8, 3, 3, 3])), b.constant(random.floats(&[8])));
    let op = Op::Conv2d { window: window(2), activation: Activation::Relu };
    let stem = b.one(op, &[x, w, bias]).unwrap();
    let (w, bias) = (b.constant(random.floats(&[1, 3, 3, 8])), b.constant(random.floats(&[8])));
    let op = Op::DepthwiseConv2d { window: window(1), multiplier: 1, activation: Activation::Relu6 };
    let deep = b.one(op, &[stem, w, bias]).unwrap();
    let sum = b.add(stem, deep).unwrap();
    let (kind, padding) = (Pool::Average, Padding::Same);
    let op = Op::Pool2d { kind, padding, stride: [2, 2], filter: [3, 3], activation: Activation::None };
    let pooled = b.one(op, &[sum]).unwrap();
    let mean = b.reduce(Reduce::Mean, pooled, &[1, 2], false).unwrap();
    let (w, bias) = (b.constant(random.floats(&[5, 8])), b.constant(random.floats(&[5])));
    let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
    let y = b.one(op, &[mean, w, bias]).unwrap();
    let y = b.one(Op::Softmax { beta: 1.0 }, &[y]).unwrap();
    graph.value_mut(y).name = "y".into();
    graph.outputs = vec![y];
    graph
}

fn closest(a: &Tensor, b: &Tensor) -> f32 {
    let (a, b) = (a.to_f32s().unwrap(), b.to_f32s().unwrap());
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn threads_and_sizes_do_not_mix() {
    let random = &mut Random::new(40);
    let graph = net(random);
    let shared = Runner::new(&graph).unwrap();
    let samples: Vec<Tensor> = (0..8).map(|i| random.floats(&[1, 9 + i % 3, 8 + i, 3])).collect();
    let alone: Vec<Vec<Tensor>> =
        samples.iter().map(|x| Runner::new(&graph).unwrap().run(std::slice::from_ref(x)).unwrap()).collect();
    let together: Vec<Vec<Tensor>> = std::thread::scope(|scope| {
        let run = |x: &Tensor| shared.run(std::slice::from_ref(x)).unwrap();
        let threads: Vec<_> = samples.iter().map(|x| scope.spawn(move || run(x))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn a_net_gives_what_litert_gives() {
    let Some(library) = litert() else { return };
    let random = &mut Random::new(41);
    let mut graph = net(random);
    let x = random.floats(&[1, 17, 14, 3]);
    let input = graph.inputs[0];
    graph.value_mut(input).ty.shape = Shape::fixed(x.shape());
    let y = Runner::new(&graph).unwrap().run(std::slice::from_ref(&x)).unwrap();
    let file = tflite::write(&Model::single(graph), &tflite::WriteOptions::default()).unwrap().to_bytes();
    for kernels in [Kernels::Builtin, Kernels::Xnnpack] {
        let found = run_litert(library, &file, kernels, &IndexMap::from([("x".to_string(), x.clone())])).unwrap();
        assert!(closest(&found["y"], &y[0]) < 1e-6, "{:?} against {y:?}", found["y"]);
    }
}

fn set_quant(graph: &mut Graph, id: ValueId, dtype: DType, quant: Quant) {
    let value = graph.value_mut(id);
    value.ty.dtype = dtype;
    value.quant = Some(quant);
}

#[test]
fn reals_become_integers_and_come_back() {
    let per_axis = Quant::Affine { scale: vec![0.5, 0.1], zero_point: vec![0, 10], axis: 1 };
    for (dtype, quant, stored, back) in [
        // 0.25 is a tie, which goes to the even 0.
        (DType::I8, Quant::per_tensor(0.5, 3), [3i64, -128, 5, 127], [0.0f32, -65.5, 1.0, 62.0]),
        (DType::U8, Quant::per_tensor(0.5, 128), [128, 0, 130, 255], [0.0, -64.0, 1.0, 63.5]),
        (DType::I16, Quant::per_tensor(0.5, 0), [0, -200, 2, 200], [0.0, -100.0, 1.0, 100.0]),
        (DType::I8, per_axis, [0, -128, 2, 127], [0.0, -13.8, 1.0, 11.7]),
    ] {
        let mut graph = Graph::new("q");
        let x = graph.add_input("x", float(&[Some(2), Some(2)]));
        let mut b = Builder::new(&mut graph, &NoEvaluate);
        let q = b.one(Op::Quantize { to: dtype }, &[x]).unwrap();
        let y = b.one(Op::Dequantize, &[q]).unwrap();
        set_quant(&mut graph, q, dtype, quant);
        graph.outputs = vec![q, y];
        let results = Runner::new(&graph).unwrap().run(&[floats(&[2, 2], &[0.25, -100.0, 1.0, 100.0])]).unwrap();
        assert_eq!(results[0].dtype(), dtype);
        assert_eq!(results[0].to_i64s().unwrap(), stored);
        assert!(closest(&results[1], &floats(&[4], &back)) < 1e-5, "{results:?}");
    }
}

#[test]
fn weights_stored_small_are_made_real_once() {
    let mut graph = Graph::new("weights");
    let half = floats(&[2], &[1.5, -2.0]).cast(DType::F16).unwrap();
    let half = graph.add_constant("half", half);
    let byte = graph.add_constant("byte", Tensor::vector(vec![4i8, -6]));
    set_quant(&mut graph, byte, DType::I8, Quant::per_tensor(0.25, 2));
    let x = graph.add_input("x", float(&[Some(2)]));
    let mut b = Builder::new(&mut graph, &NoEvaluate);
    let (half, byte) = (b.one(Op::Dequantize, &[half]).unwrap(), b.one(Op::Dequantize, &[byte]).unwrap());
    let sum = b.add(x, half).unwrap();
    let y = b.add(sum, byte).unwrap();
    graph.outputs = vec![y];
    let runner = Runner::new(&graph).unwrap();
    let mut seen = vec![];
    runner.execute(&[floats(&[2], &[1.0, 1.0])], &mut |id, _| seen.push(id)).unwrap();
    assert_eq!(seen, [x, sum, y], "constants are not shown");
    assert_eq!(runner.run(&[floats(&[2], &[1.0, 1.0])]).unwrap(), [floats(&[2], &[3.0, -3.0])]);
}

/// A convolution and a sum on 8-bit integers.
fn quantized() -> Graph {
    let random = &mut Random::new(42);
    let mut graph = Graph::new("int8");
    let x = graph.add_input("x", Type::new(DType::I8, Shape::fixed(&[1, 6, 5, 4])));
    let w = graph.add_constant("w", random.numbers(DType::I8, &[3, 2, 2, 4]));
    let bias = graph.add_constant("b", Tensor::vector(vec![100i32, -300, 50]));
    let mut b = Builder::new(&mut graph, &NoEvaluate);
    let window = Window2d { padding: Padding::Valid, stride: [1, 1], dilation: [1, 1] };
    let op = Op::Conv2d { window, activation: Activation::Relu };
    let conv = b.one(op, &[x, w, bias]).unwrap();
    let y = b.one(Op::Binary(Binary::Add, Activation::None), &[conv, conv]).unwrap();
    let scales = [0.02, 0.01, 0.04];
    let per_axis = |scale: Vec<f32>| Quant::Affine { scale, zero_point: vec![0; 3], axis: 0 };
    set_quant(&mut graph, x, DType::I8, Quant::per_tensor(0.05, -3));
    set_quant(&mut graph, w, DType::I8, per_axis(scales.to_vec()));
    set_quant(&mut graph, bias, DType::I32, per_axis(scales.iter().map(|s| s * 0.05).collect()));
    set_quant(&mut graph, conv, DType::I8, Quant::per_tensor(0.4, -128));
    set_quant(&mut graph, y, DType::I8, Quant::per_tensor(0.8, -128));
    graph.value_mut(y).name = "y".into();
    graph.outputs = vec![y];
    graph
}

#[test]
fn integer_kernels_are_simulated_to_a_step() {
    let graph = quantized();
    let x = Random::new(43).numbers(DType::I8, &[1, 6, 5, 4]);
    let y = Runner::new(&graph).unwrap().run(std::slice::from_ref(&x)).unwrap();
    assert_eq!(y[0].dtype(), DType::I8);
    let values = y[0].to_i64s().unwrap();
    assert!(values.iter().any(|&v| v > -100 && v < 120), "{values:?}");
    let Some(library) = litert() else { return };
    let file = tflite::write(&Model::single(graph), &tflite::WriteOptions::default()).unwrap().to_bytes();
    for kernels in [Kernels::Builtin, Kernels::Xnnpack] {
        let found = run_litert(library, &file, kernels, &IndexMap::from([("x".to_string(), x.clone())])).unwrap();
        assert!(closest(&found["y"], &y[0]) <= 1.0, "{kernels:?}: {:?} against {y:?}", found["y"]);
    }
}

//! Graphs inside operators: written side by side, nested again when read, and run the same everywhere.

use indexmap::IndexMap;
use litesmith::exec::{Evaluator, Runner};
use litesmith::graph::{
    Activation, Binary, Builder, Compare, Graph, InferError, Model, NoEvaluate, Op, Shape, Signature, Type, Unary,
    ValueId, verify,
};
use litesmith::runtime::Kernels;
use litesmith::tensor::{DType, Tensor};
use litesmith::tflite::{WriteOptions, normalized, read, write};
use litesmith::{layout, passes};

use super::common::{litert, run_litert};

fn floats(dims: &[Option<usize>]) -> Type {
    Type::new(DType::F32, Shape(dims.to_vec()))
}

fn counter() -> Type {
    Type::new(DType::I32, Shape::scalar())
}

type Emit<'a> = &'a dyn Fn(&mut Builder<'_>, &[ValueId]) -> Result<Vec<ValueId>, InferError>;

fn graph(name: &str, inputs: &[Type], emit: Emit<'_>) -> Graph {
    let mut graph = Graph::new(name);
    let ids: Vec<ValueId> =
        inputs.iter().enumerate().map(|(i, ty)| graph.add_input(format!("in{i}"), ty.clone())).collect();
    let outputs = emit(&mut Builder::new(&mut graph, &NoEvaluate), &ids).unwrap();
    for (i, &output) in outputs.iter().enumerate().filter(|(_, id)| !ids.contains(id)) {
        graph.value_mut(output).name = format!("out{i}");
    }
    graph.outputs = outputs;
    graph
}

fn below(types: &[Type], limit: i32) -> Graph {
    graph("cond", types, &|b, x| {
        let limit = b.scalar(limit);
        Ok(vec![b.compare(Compare::Less, x[0], limit)?])
    })
}

/// `a, b = b, a + b` for five steps: each value moves to the other's place.
fn fibonacci() -> Graph {
    let types = [counter(), floats(&[Some(2)]), floats(&[Some(2)])];
    let body = graph("body", &types, &|b, x| {
        let one = b.scalar(1i32);
        Ok(vec![b.add(x[0], one)?, b.identity(x[2])?, b.add(x[1], x[2])?])
    });
    graph("main", &types, &|b, x| {
        let op = Op::While { cond: Box::new(below(&types, 5)), body: Box::new(body.clone()) };
        b.emit(op, &[Some(x[0]), Some(x[1]), Some(x[2])])
    })
}

/// A value that grows at every step, in a branch of an `IF`.
fn growing() -> Graph {
    let inside = [counter(), floats(&[None, Some(2)])];
    let body = graph("body", &inside, &|b, x| {
        let one = b.scalar(1i32);
        let row = b.constant(Tensor::from_vec(&[1, 2], vec![5.0f32, 6.0]));
        Ok(vec![b.add(x[0], one)?, b.concat(&[x[1], row], 0)?])
    });
    let grow = Op::While { cond: Box::new(below(&inside, 3)), body: Box::new(body) };
    let outside = [counter(), floats(&[Some(1), Some(2)])];
    let then = graph("then", &outside, &|b, x| Ok(vec![b.emit(grow.clone(), &[Some(x[0]), Some(x[1])])?[1]]));
    let otherwise = graph("else", &outside, &|b, x| Ok(vec![b.unary(Unary::Neg, x[1])?]));
    graph("main", &[counter(), floats(&[Some(1), Some(2)])], &|b, x| {
        let zero = b.scalar(0i32);
        let condition = b.compare(Compare::GreaterEqual, x[0], zero)?;
        let op = Op::If { then: Box::new(then.clone()), otherwise: Box::new(otherwise.clone()) };
        b.emit(op, &[Some(condition), Some(x[0]), Some(x[1])])
    })
}

fn inputs(values: Vec<Tensor>) -> IndexMap<String, Tensor> {
    values.into_iter().enumerate().map(|(i, value)| (format!("in{i}"), value)).collect()
}

fn samples() -> Vec<(Graph, Vec<Tensor>, Vec<Tensor>)> {
    let pair = |a: f32, b: f32| Tensor::vector(vec![a, b]);
    let row = |values: &[f32]| Tensor::from_vec(&[values.len() / 2, 2], values.to_vec());
    vec![
        (
            fibonacci(),
            vec![Tensor::scalar(0i32), pair(1.0, 2.0), pair(1.0, 3.0)],
            vec![Tensor::scalar(5i32), pair(8.0, 21.0), pair(13.0, 34.0)],
        ),
        (
            fibonacci(),
            vec![Tensor::scalar(7i32), pair(1.0, 2.0), pair(1.0, 3.0)],
            vec![Tensor::scalar(7i32), pair(1.0, 2.0), pair(1.0, 3.0)],
        ),
        (growing(), vec![Tensor::scalar(1i32), row(&[1.0, 2.0])], vec![row(&[1.0, 2.0, 5.0, 6.0, 5.0, 6.0])]),
        (growing(), vec![Tensor::scalar(-1i32), row(&[1.0, 2.0])], vec![row(&[-1.0, -2.0])]),
    ]
}

#[test]
fn what_is_nested_is_nested_again_when_read() {
    for (graph, ..) in samples() {
        let model = Model::single(graph);
        assert_eq!(verify(&model), []);
        let bytes = write(&model, &WriteOptions::default()).unwrap().to_bytes();
        let back = read(bytes.clone()).unwrap();
        assert_eq!(back, normalized(&model).unwrap());
        assert_eq!(back.graphs.len(), 1);
        assert_eq!(verify(&back), []);
        assert_eq!(write(&back, &WriteOptions::default()).unwrap().to_bytes(), bytes);
    }
}

#[test]
fn a_graph_that_has_a_signature_stays_beside_the_others() {
    let mut model = Model::single(fibonacci());
    let bytes = write(&model, &WriteOptions::default()).unwrap().to_bytes();
    let flat = litesmith::tflite::inspect(bytes).unwrap();
    assert_eq!(flat.graphs.len(), 3);
    // As another program would write it: with a way into the body.
    let Op::While { cond, body } = model.graphs[0].nodes[0].op.clone() else { panic!() };
    let (inputs, outputs) = (vec![], vec![]);
    model.signatures.push(Signature { key: "body".into(), graph: 1, inputs, outputs });
    model.graphs.push(*body);
    model.graphs.push(*cond);
    let opaque = litesmith::graph::Opaque {
        code: litesmith::schema::BuiltinOperator::WHILE,
        version: 1,
        options: litesmith::schema::WhileOptions { cond_subgraph_index: 2, body_subgraph_index: 1 }.into(),
        options_2: litesmith::schema::BuiltinOptions2::None,
        custom_code: None,
        custom_options: None,
        intermediates: None,
        mutating_variable_inputs: None,
    };
    model.graphs[0].nodes[0].op = Op::Opaque(Box::new(opaque));
    let back = read(write(&model, &WriteOptions::default()).unwrap().to_bytes()).unwrap();
    assert_eq!(back, normalized(&model).unwrap());
    assert_eq!(back.graphs.len(), 3);
    // Without it, the same model is one graph.
    model.signatures.pop();
    let back = read(write(&model, &WriteOptions::default()).unwrap().to_bytes()).unwrap();
    assert_eq!(back, normalized(&Model::single(fibonacci())).unwrap());
}

/// The graph as it is, and after every rewrite.
fn both(graph: &Graph) -> [Graph; 2] {
    let mut rewritten = graph.clone();
    passes::run(&mut rewritten, &Evaluator, passes::BEFORE_LAYOUT).unwrap();
    layout::optimize(&mut rewritten).unwrap();
    passes::run(&mut rewritten, &Evaluator, passes::AFTER_LAYOUT).unwrap();
    assert_eq!(verify(&Model::single(rewritten.clone())), []);
    [graph.clone(), rewritten]
}

#[test]
fn loops_and_branches_run_here_and_in_litert() {
    for (graph, given, expected) in samples() {
        for graph in both(&graph) {
            assert_eq!(Runner::new(&graph).unwrap().run(&given).unwrap(), expected, "{graph}");
            let names: Vec<String> = graph.outputs.iter().map(|&id| graph.value(id).name.clone()).collect();
            let bytes = write(&Model::single(graph), &WriteOptions::default()).unwrap().to_bytes();
            for kernels in [Kernels::Builtin, Kernels::Xnnpack] {
                let Some(library) = litert() else { continue };
                match run_litert(library, &bytes, kernels, &inputs(given.clone())) {
                    Ok(found) => {
                        for (name, expected) in names.iter().zip(&expected) {
                            assert_eq!(&found[name], expected, "{name}");
                        }
                    }
                    // Extents that hang on the branch.
                    Err(super::common::LitertError::CannotShow) => {}
                    Err(e) => panic!("{e}"),
                }
            }
        }
    }
}

#[test]
fn constants_alone_are_folded_and_a_loop_without_end_is_not() {
    let types = [counter()];
    for (step, folds) in [(1i32, true), (0, false)] {
        let body = graph("body", &types, &|b, x| {
            let step = b.scalar(step);
            Ok(vec![b.add(x[0], step)?])
        });
        let mut main = Graph::new("main");
        let mut b = Builder::new(&mut main, &Evaluator);
        let zero = b.scalar(0i32);
        let op = Op::While { cond: Box::new(below(&types, 9)), body: Box::new(body) };
        let result = b.one(op, &[zero]).unwrap();
        assert_eq!(main.constant(result).is_some(), folds);
    }
}

#[test]
fn what_interpreters_get_wrong_is_found() {
    let types = [floats(&[Some(2)]), floats(&[Some(2)])];
    let cond = graph("cond", &types, &|b, _| Ok(vec![b.constant(Tensor::from_bools(&[], &[true]))]));
    let main = |body: Graph| {
        graph("main", &types, &|b, x| {
            let op = Op::While { cond: Box::new(cond.clone()), body: Box::new(body.clone()) };
            b.emit(op, &[Some(x[0]), Some(x[1])])
        })
    };
    let found = |body: Emit<'_>| verify(&Model::single(main(graph("body", &types, body)))).len();
    assert_eq!(found(&|_, x| Ok(vec![x[0], x[1]])), 0);
    assert_eq!(found(&|_, x| Ok(vec![x[1], x[0]])), 2, "values change places");
    assert_eq!(found(&|b, x| Ok(vec![x[0], b.constant(Tensor::vector(vec![1.0f32, 2.0]))])), 1);
    // Inside the body.
    assert_eq!(found(&|b, x| Ok(vec![x[0], b.one(Op::Binary(Binary::Add, Activation::None), &[x[1], x[1]])?])), 0);
    let mut broken = graph("body", &types, &|b, x| Ok(vec![x[0], b.add(x[1], x[1])?]));
    broken.nodes[0].inputs[1] = Some(broken.outputs[1]);
    assert_eq!(verify(&Model::single(main(broken))).len(), 1);
}

#[test]
fn graphs_must_fit_their_operands() {
    let types = [floats(&[Some(2)])];
    let identity = |types: &[Type]| graph("body", types, &|_, x| Ok(x.to_vec()));
    let cond = |types: &[Type]| graph("cond", types, &|b, _| Ok(vec![b.constant(Tensor::from_bools(&[], &[true]))]));
    let infer = |cond: Graph, body: Graph, given: Type| {
        let mut main = Graph::new("main");
        let x = main.add_input("x", given);
        let op = Op::While { cond: Box::new(cond), body: Box::new(body) };
        litesmith::graph::infer(&main, &op, &[Some(x)])
    };
    assert_eq!(infer(cond(&types), identity(&types), floats(&[None])).unwrap(), types);
    assert!(infer(cond(&types), identity(&types), floats(&[Some(3)])).is_err());
    assert!(infer(cond(&types), identity(&[floats(&[Some(2)]), counter()]), floats(&[Some(2)])).is_err());
    assert!(infer(identity(&types), identity(&types), floats(&[Some(2)])).is_err());
}

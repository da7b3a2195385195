//! The tables' form, C spelling, and the plan of the arena. What the tables say is tried against the real parts in `tests/targets`.

use super::*;
use crate::graph::{Activation, Binary, Graph, Model, NoEvaluate, Op, Shape, Type, Unary, ValueId};
use crate::schema::BuiltinOperator;
use crate::tensor::DType;

fn graph(dims: &[usize]) -> (Graph, ValueId) {
    let mut graph = Graph::new("main");
    let x = graph.add_input("x", Type::new(DType::F32, Shape::fixed(dims)));
    (graph, x)
}

fn emit(graph: &mut Graph, op: Op, inputs: &[ValueId]) -> ValueId {
    let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
    crate::graph::Builder::new(graph, &NoEvaluate).emit(op, &inputs).expect("valid")[0]
}

#[test]
fn rows_are_sorted_and_name_operators_of_the_schema() {
    let customs = ["CIRCULAR_BUFFER", "TFLite_Detection_PostProcess"];
    for target in Target::ALL {
        let Some(table) = target.table() else { continue };
        assert!(table.rows.is_sorted_by(|a, b| a.operator < b.operator), "{target}");
        assert!(!table.source.is_empty() && !table.without.is_empty());
        for row in table.rows {
            let known = (0..=300).any(|code| BuiltinOperator(code).name() == Some(row.operator));
            assert!(known || customs.contains(&row.operator), "{target}: {}", row.operator);
        }
    }
}

#[test]
fn what_is_left_is_named_with_what_to_change() {
    let (mut graph, x) = graph(&[1, 4]);
    let y = emit(&mut graph, Op::Unary(Unary::Gelu), &[x]);
    let z = emit(&mut graph, Op::Binary(Binary::Add, Activation::None), &[x, y]);
    graph.outputs = vec![z];
    let refused = refused(&graph, Target::Tflm);
    assert_eq!(refused.iter().map(|m| m.operator.as_str()).collect::<Vec<_>>(), ["GELU"]);
    let fit = check(&Model::single(graph.clone()), Target::EthosU55);
    assert_eq!((fit.operators, fit.taken, fit.left.len()), (2, 0, 2));
    let text = fit.to_string();
    assert!(text.contains("GELU") && text.contains("--quantize int8"), "{text}");
    for target in [Target::Litert, Target::Gpu, Target::Xnnpack] {
        assert!(check(&Model::single(graph.clone()), target).is_whole(), "{target}");
    }
}

#[test]
fn adapted_graphs_fit() {
    let (mut graph, x) = graph(&[1, 4]);
    let parts: Vec<ValueId> = (0..23).map(|_| emit(&mut graph, Op::Unary(Unary::Relu), &[x])).collect();
    let joined = emit(&mut graph, Op::Concatenation { axis: 1 }, &parts);
    let y = emit(&mut graph, Op::Unary(Unary::GeluTanh), &[joined]);
    graph.outputs = vec![y];
    assert!(!check(&Model::single(graph.clone()), Target::Tflm).is_whole());
    assert_eq!(adapt(&mut graph, Target::Tflm, &NoEvaluate), Ok(2));
    assert_eq!(check(&Model::single(graph.clone()), Target::Tflm).left, []);
    assert_eq!(graph.shape(graph.outputs[0]), &Shape::fixed(&[1, 92]));
}

#[test]
fn values_that_are_not_needed_at_once_share_memory() {
    let (mut graph, x) = graph(&[1, 8]);
    let mut y = x;
    for _ in 0..5 {
        y = emit(&mut graph, Op::Unary(Unary::Abs), &[y]);
    }
    graph.outputs = vec![y];
    assert_eq!(tensor_arena(&Model::single(graph)), Some(64));
}

#[test]
fn multiply_adds_are_those_of_the_matrix() {
    let (mut graph, x) = graph(&[2, 8]);
    let weights = graph.add_constant("w", crate::tensor::Tensor::from_vec(&[3, 8], vec![0f32; 24]));
    let op = Op::FullyConnected { keep_num_dims: false, asymmetric_inputs: false, activation: Activation::None };
    let y = emit(&mut graph, op, &[x, weights]);
    graph.outputs = vec![y];
    assert_eq!(check(&Model::single(graph), Target::Gpu).multiply_adds, 48);
}

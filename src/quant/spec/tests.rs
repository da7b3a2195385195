//! The table against itself, and against what is written elsewhere about kernels.

use super::samples::{node, operators};
use super::*;
use crate::tensor::Tensor;

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

//! `--inputs` and `--outputs`.

use super::common::command::{Desk, says};
use super::common::onnx::{FLOAT, bytes, floats, model, node, shaped, value};
use litesmith::graph::Graph;
use litesmith::tflite;
use tract_onnx::pb;

/// `x -Relu-> a -Exp-> b -Foo-> c -Neg-> d -Add(bias)-> e -Tanh-> y`, and `z = a + w` on the side.
fn chain() -> pb::ModelProto {
    let nodes = vec![
        node("Relu", &["x"], &["a"]),
        node("Exp", &["a"], &["b"]),
        node("Foo", &["b"], &["c"]),
        node("Neg", &["c"], &["d"]),
        node("Add", &["d", "bias"], &["e"]),
        node("Tanh", &["e"], &["y"]),
        node("Add", &["a", "w"], &["z"]),
    ];
    let inputs = vec![value("x", FLOAT, &[2, 3]), value("w", FLOAT, &[2, 3])];
    let outputs = vec![value("y", FLOAT, &[2, 3]), value("z", FLOAT, &[2, 3])];
    model(nodes, vec![floats("bias", &[3], &[1.0, 2.0, 3.0])], inputs, outputs)
}

fn with_types(mut model: pb::ModelProto, infos: Vec<pb::ValueInfoProto>) -> Vec<u8> {
    if let Some(graph) = &mut model.graph {
        graph.value_info = infos;
    }
    bytes(&model)
}

/// The converted graph.
fn converted(desk: &Desk, args: &[&str]) -> Graph {
    let ran = desk.convert(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
    let file = std::fs::read(desk.path("model.tflite")).unwrap();
    tflite::read(file.into()).unwrap().graphs.remove(0)
}

fn ports(graph: &Graph) -> (Vec<String>, Vec<String>) {
    let text = |id: &litesmith::graph::ValueId| format!("{} {}", graph.value(*id).name, graph.value(*id).ty);
    (graph.inputs.iter().map(text).collect(), graph.outputs.iter().map(text).collect())
}

fn operators(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

#[test]
fn the_part_before_a_value() {
    let desk = Desk::new(bytes(&chain()));
    let graph = converted(&desk, &["--outputs", "b"]);
    assert_eq!(operators(&graph), ["RELU", "EXP"]);
    assert_eq!(
        ports(&graph),
        (vec!["x float32[2,3]".into()], vec!["b float32[2,3]".into()]),
        "w is not needed any more"
    );
    let graph = converted(&desk, &["--outputs", "z,b"]);
    assert_eq!(ports(&graph).1, ["z float32[2,3]", "b float32[2,3]"], "in the order asked for");
    assert_eq!(ports(&graph).0, ["x float32[2,3]", "w float32[2,3]"]);
}

#[test]
fn the_part_between_values() {
    let desk = Desk::new(bytes(&chain()));
    // The type of "a" is told by what leads there.
    let graph = converted(&desk, &["--inputs", "w", "--inputs", "a", "--outputs", "z,b"]);
    assert_eq!(ports(&graph).0, ["w float32[2,3]", "a float32[2,3]"]);
    assert_eq!(operators(&graph), ["EXP", "ADD"]);
    // Behind an operator that can't be converted, the file must tell.
    let typed = Desk::new(with_types(chain(), vec![value("c", FLOAT, &[2, 3])]));
    let graph = converted(&typed, &["--inputs", "c", "--outputs", "y"]);
    assert_eq!((ports(&graph).0, operators(&graph)), (vec!["c float32[2,3]".into()], vec!["NEG", "ADD", "TANH"]));
    let rankless = Desk::new(with_types(chain(), vec![shaped("c", FLOAT, None)]));
    says(&rankless.refused(&["--inputs", "c", "--outputs", "y"]), &["\"c\"", "shape", "--shape c="]);
    let graph = converted(&rankless, &["--inputs", "c", "--outputs", "y", "--shape", "c=2,3"]);
    assert_eq!(ports(&graph).1, ["y float32[2,3]"]);
}

#[test]
fn an_initializer_as_an_input() {
    let desk = Desk::new(with_types(chain(), vec![value("d", FLOAT, &[2, 3])]));
    let graph = converted(&desk, &["--inputs", "d,bias", "--outputs", "e"]);
    assert_eq!(ports(&graph).0, ["d float32[2,3]", "bias float32[3]"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let desk = Desk::new(bytes(&chain()));
    let message = desk.refused(&["--inputs", "A,bi,x,x", "--outputs", "yy"]);
    says(
        &message,
        &["input \"A\"", "did you mean \"a\"", "\"bias\"", "\"x\" is asked for twice", "output \"yy\"", "\"y\""],
    );
    // Output b lies before input d.
    let message = desk.refused(&["--inputs", "d,b", "--outputs", "a,y,z"]);
    says(&message, &["\"x\"", "Relu_a", "\"w\"", "Add_z", "input \"d\": the model does not say its element type"]);
    says(&message, &["input \"b\" is not needed"]);
    let message = desk.refused(&["--inputs", "x"]);
    says(&message, &["\"w\" too", "--inputs"]);
}

#[test]
fn values_that_nested_graphs_use_are_needed() {
    let branch = |op: &str, result: &str| pb::GraphProto {
        name: result.into(),
        node: vec![node(op, &["hidden"], &[result])],
        output: vec![value(result, FLOAT, &[2, 3])],
        ..Default::default()
    };
    let choose = super::common::onnx::with(
        super::common::onnx::with(
            node("If", &["flag"], &["y"]),
            super::common::onnx::graph("then_branch", branch("Neg", "then")),
        ),
        super::common::onnx::graph("else_branch", branch("Exp", "else")),
    );
    let mut proto = model(
        vec![node("Relu", &["x"], &["hidden"]), choose, node("Tanh", &["y"], &["out"])],
        vec![],
        vec![value("x", FLOAT, &[2, 3]), value("flag", 9, &[])],
        vec![value("out", FLOAT, &[2, 3])],
    );
    if let Some(graph) = &mut proto.graph {
        graph.value_info = vec![value("y", FLOAT, &[2, 3])];
    }
    let desk = Desk::new(bytes(&proto));
    let message = desk.refused(&["--inputs", "flag", "--outputs", "y"]);
    says(&message, &["\"x\"", "Relu_hidden"]);
    assert_eq!(operators(&converted(&desk, &["--inputs", "y", "--outputs", "out"])), ["TANH"]);
}

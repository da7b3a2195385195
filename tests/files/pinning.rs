//! `--shape` and `--batch`.

use super::common::command::{Desk, says};
use super::common::onnx::{FLOAT, bytes, model, node, shaped, value};
use tract_onnx::pb::tensor_shape_proto::dimension::Value;

/// `y = a + b` of `[batch, 3]` and `[batch, 1]`, where `b` is dynamic in name or not at all.
fn sum() -> Vec<u8> {
    let named = |n: &str| Some(Value::DimParam(n.into()));
    let a = shaped("a", FLOAT, Some(vec![named("batch_size"), Some(Value::DimValue(3))]));
    let b = shaped("b", FLOAT, Some(vec![named("batch_size"), Some(Value::DimValue(1))]));
    bytes(&model(vec![node("Add", &["a", "b"], &["y"])], vec![], vec![a, b], vec![shaped("y", FLOAT, None)]))
}

fn shapes(desk: &Desk, args: &[&str]) -> Vec<String> {
    let ran = desk.convert(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
    let file = std::fs::read(desk.path("model.tflite")).unwrap();
    let graph = litesmith::tflite::read(file.into()).unwrap().graphs.remove(0);
    graph.inputs.iter().chain(&graph.outputs).map(|&id| graph.shape(id).to_string()).collect()
}

#[test]
fn the_batch_is_fixed_in_every_input() {
    let desk = Desk::new(sum());
    assert_eq!(shapes(&desk, &[]), ["[?,3]", "[?,1]", "[?,3]"]);
    assert_eq!(shapes(&desk, &["--batch", "4"]), ["[4,3]", "[4,1]", "[4,3]"]);
    assert_eq!(shapes(&desk, &["--shape", "b=2,1"]), ["[2,3]", "[2,1]", "[2,3]"], "one name is one extent");
    assert_eq!(shapes(&desk, &["--shape", "b=2,1", "--batch", "2"]), ["[2,3]", "[2,1]", "[2,3]"]);
    let fixed = model(
        vec![node("Relu", &["x"], &["y"])],
        vec![],
        vec![value("x", FLOAT, &[2, 3])],
        vec![value("y", FLOAT, &[2, 3])],
    );
    let desk = Desk::new(bytes(&fixed));
    assert_eq!(shapes(&desk, &["--batch", "2"]), ["[2,3]", "[2,3]"]);
    says(&desk.refused(&["--batch", "4"]), &["batch 4", "x [2,3]"]);
    says(&desk.refused(&["--shape", "X=2,3"]), &["did you mean \"x\"?"]);
}

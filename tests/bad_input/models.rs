//! Models that ask for what there is not, or that contradict themselves or the command line.

use super::*;

#[test]
fn operators_are_all_listed_in_one_run() {
    let mut third = node("FancyNorm", &["b"], &["c"]);
    third.domain = "com.example".into();
    let nodes = vec![
        node("Wobble", &["x"], &["a"]),
        node("Relu", &["a"], &["a2"]),
        node("Wobble", &["x"], &["b"]),
        third,
        node("Add", &["a2", "c"], &["y"]),
    ];
    let message = refused(&model(nodes, vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])]));
    says(&message, &["3 problems", "litesmith ops"]);
    says(&message, &["\"Wobble_a\" (node 0, Wobble of opset 17)", "and 1 more: \"Wobble_b\""]);
    says(&message, &["\"FancyNorm_c\" (node 3, com.example::FancyNorm of opset 1)"]);
    assert!(!message.contains("Relu_a2") && !message.contains("Add_y"), "only causes are listed: {message}");
}

#[test]
fn attributes_that_nobody_knows() {
    let relu = with(node("Relu", &["x"], &["y"]), onnx::int("sharpness", 3));
    let message = refused(&model(vec![relu], vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])]));
    says(&message, &["\"Relu_y\" (node 0, Relu of opset 17)", "attribute sharpness", "not supported"]);
}

#[test]
fn attributes_of_another_kind() {
    let softmax = with(node("Softmax", &["x"], &["y"]), onnx::ints("axis", &[1]));
    let message = refused(&model(vec![softmax], vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])]));
    says(&message, &["\"Softmax_y\"", "attribute axis", "must be an integer, but is a list of integers"]);
}

#[test]
fn strings_in_a_node() {
    let words = pb::TensorProto { name: "words".into(), data_type: STRING, dims: vec![1], ..Default::default() };
    let nodes = vec![node("Identity", &["words"], &["w"]), node("Relu", &["x"], &["y"])];
    let (x, y) = (value("x", FLOAT, &[2]), value("y", FLOAT, &[2]));
    let outputs = vec![value("w", STRING, &[1]), y.clone()];
    let message = refused(&model(nodes, vec![words.clone()], vec![x.clone()], outputs));
    says(&message, &["\"Identity_w\" (node 0", "initializer \"words\" holds strings"]);
    let unused = model(vec![node("Relu", &["x"], &["y"])], vec![words], vec![x], vec![y]);
    converted(&onnx::bytes(&unused), "a string constant nobody uses").unwrap();
    let output = model(
        vec![node("Relu", &["x"], &["y"])],
        vec![],
        vec![value("x", STRING, &[2])],
        vec![value("y", FLOAT, &[2])],
    );
    says(&refused(&output), &["\"x\"", "no tensor of numbers"]);
}

#[test]
fn shapes_that_do_not_fit() {
    let add = model(
        vec![node("Add", &["a", "b"], &["y"])],
        vec![],
        vec![value("a", FLOAT, &[2, 3]), value("b", FLOAT, &[4, 5])],
        vec![value("y", FLOAT, &[2, 3])],
    );
    says(&refused(&add), &["\"Add_y\" (node 0, Add of opset 17)", "[2,3]", "[4,5]"]);
    let conv = model(
        vec![node("Conv", &["x", "w"], &["y"])],
        vec![onnx::floats("w", &[4, 3, 1, 1], &[0.5; 12])],
        vec![value("x", FLOAT, &[1, 5, 8, 8])],
        vec![value("y", FLOAT, &[1, 4, 8, 8])],
    );
    says(&refused(&conv), &["\"Conv_y\" (node 0, Conv of opset 17)", "5", "3"]);
}

#[test]
fn outputs_declared_otherwise() {
    let mut relu = onnx::relu();
    relu.graph.as_mut().unwrap().output = vec![value("y", FLOAT, &[2, 4])];
    says(&refused(&relu), &["\"y\"", "declared as [2,4], but computed as [2,3]"]);
    relu.graph.as_mut().unwrap().output = vec![value("y", INT64, &[2, 3])];
    says(&refused(&relu), &["\"y\"", "declared as int64, but computed as float32"]);
}

#[test]
fn shapes_on_the_command_line() {
    use pb::tensor_shape_proto::dimension::Value::{DimParam, DimValue};
    let with_input = |dims: Option<Vec<Option<_>>>| {
        let mut relu = onnx::relu();
        let graph = relu.graph.as_mut().unwrap();
        graph.input = vec![onnx::shaped("x", FLOAT, dims)];
        graph.output = vec![onnx::shaped("y", FLOAT, None)];
        Desk::new(onnx::bytes(&relu))
    };
    let unknown = with_input(None);
    says(&unknown.refused(&[]), &["\"x\"", "declares no shape", "--shape x="]);
    assert_eq!(unknown.convert(&["--shape", "x=2,3"]).code, Some(0));

    let dynamic = with_input(Some(vec![Some(DimParam("batch".into())), Some(DimValue(3))]));
    assert_eq!(dynamic.convert(&["--quiet", "--shape", "x=1,3", "-o", "pinned.tflite"]).code, Some(0));
    let inspected = run(command().arg("inspect").arg("--json").arg(dynamic.path("pinned.tflite")));
    says(&inspected.stdout.split_whitespace().collect::<String>(), &["[1,3]"]);
    says(&dynamic.refused(&["--shape", "z=1,3"]), &["no input \"z\"", "x"]);
    says(&dynamic.refused(&["--shape", "x=1,4"]), &["\"x\"", "[1, 4]", "declared as [batch,3]"]);
    says(&dynamic.refused(&["--shape", "x=1,3,1"]), &["\"x\"", "[1, 3, 1]"]);
    says(&dynamic.refused(&["--shape", "x=1,3", "--shape", "x=2,3"]), &["--shape", "twice", "\"x\""]);
    let huge = usize::MAX.to_string();
    says(&dynamic.refused(&["--shape", &format!("x={huge},3")]), &[&huge]);
    for malformed in ["x", "x=a,b", "x=1,,3", "x=-1,3", "x=1.5,3", "x=1,3,", "x=99999999999999999999,3"] {
        let ran = dynamic.convert(&["--shape", malformed]);
        assert_eq!(ran.code, Some(2), "{malformed}: {}", ran.stderr);
        says(&ran.stderr, &["--shape", malformed, "NAME=1,3,224,224"]);
    }
}

#[test]
fn channels_last_of_what_is_not_there() {
    let desk = Desk::new(onnx::bytes(&onnx::relu()));
    says(&desk.refused(&["--channels-last", "z"]), &["\"z\"", "\"x\"", "\"y\""]);
    says(&desk.refused(&["--channels-last", "x"]), &["\"x\"", "three axes"]);
}

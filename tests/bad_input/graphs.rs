//! Graphs that no exporter should write: out of order, nested, larger than any memory.

use super::*;

fn with_nodes(nodes: Vec<pb::NodeProto>) -> pb::ModelProto {
    model(nodes, vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])])
}

#[test]
fn order_and_names() {
    let late = with_nodes(vec![node("Relu", &["a"], &["y"]), node("Relu", &["x"], &["a"])]);
    says(&refused(&late), &["\"Relu_y\" (Relu)", "\"a\"", "before the node that makes it"]);
    let circle = with_nodes(vec![node("Relu", &["y"], &["y"])]);
    says(&refused(&circle), &["\"Relu_y\"", "\"y\"", "before the node that makes it"]);
    let nowhere = with_nodes(vec![node("Relu", &["a"], &["y"])]);
    says(&refused(&nowhere), &["\"Relu_y\"", "\"a\"", "nothing makes it"]);
    let twice = with_nodes(vec![node("Relu", &["x"], &["y"]), node("Abs", &["x"], &["y"])]);
    says(&refused(&twice), &["\"Abs_y\"", "\"y\"", "there already"]);
    let over_input = with_nodes(vec![node("Relu", &["x"], &["x"]), node("Relu", &["x"], &["y"])]);
    says(&refused(&over_input), &["\"Relu_x\"", "\"x\"", "there already"]);
    let no_result = with_nodes(vec![node("Relu", &["x"], &["y"]), node("Relu", &["x"], &[])]);
    says(&refused(&no_result), &["\"Relu_\" (Relu)", "no result"]);
    let unmade = with_nodes(vec![node("Relu", &["x"], &["z"])]);
    says(&refused(&unmade), &["output \"y\"", "made by no node"]);
    let mut same_inputs = with_nodes(vec![node("Relu", &["x"], &["y"])]);
    same_inputs.graph.as_mut().unwrap().input.push(value("x", FLOAT, &[3]));
    says(&refused(&same_inputs), &["input \"x\"", "twice"]);
    let mut same_outputs = with_nodes(vec![node("Relu", &["x"], &["y"])]);
    same_outputs.graph.as_mut().unwrap().output.push(value("y", FLOAT, &[2]));
    says(&refused(&same_outputs), &["\"y\"", "the output is listed twice"]);
}

#[test]
fn operands_missing_and_too_many() {
    says(&refused(&with_nodes(vec![node("Add", &["x"], &["y"])])), &["\"Add_y\" (node 0", "operand 1 is missing"]);
    says(&refused(&with_nodes(vec![node("Relu", &[], &["y"])])), &["\"Relu_y\" (node 0", "operand 0 is missing"]);
    says(&refused(&with_nodes(vec![node("Relu", &["x", "x"], &["y"])])), &["\"Relu_y\" (node 0", "operand 1"]);
}

#[test]
fn graphs_nested_deep() {
    let mut inner = onnx::relu().graph.unwrap();
    for _ in 0..200 {
        let branch = with(node("If", &["x"], &["y"]), onnx::graph("then_branch", inner));
        inner = with_nodes(vec![branch]).graph.unwrap();
    }
    let mut nested = onnx::relu();
    nested.graph = Some(inner);
    says(&refused(&nested), &["recursion limit"]);
}

#[test]
fn extents_past_all_bounds() {
    let relu_of = |dims: &[i64]| {
        let mut relu = onnx::relu();
        let graph = relu.graph.as_mut().unwrap();
        graph.input = vec![value("x", FLOAT, dims)];
        graph.output = vec![onnx::shaped("y", FLOAT, None)];
        relu
    };
    for dims in [&[i64::MAX][..], &[i64::MAX, i64::MAX], &[1 << 31], &[1 << 40, 1 << 40, 0]] {
        says(&refused(&relu_of(dims)), &["\"x\"", &dims[0].to_string()]);
    }
    // Old exporters write -1 for what is dynamic.
    converted(&onnx::bytes(&relu_of(&[-1, 3])), "a negative extent of an input").unwrap();

    for dims in [&[i64::MAX][..], &[i64::MAX, i64::MAX], &[i64::MAX, 0], &[-1, -2], &[3], &[1 << 62, 4]] {
        let add = model(
            vec![node("Add", &["x", "w"], &["y"])],
            vec![onnx::floats("w", dims, &[1.0, 2.0])],
            vec![value("x", FLOAT, &[2])],
            vec![value("y", FLOAT, &[2])],
        );
        says(&refused(&add), &["initializer \"w\"", &dims[0].to_string()]);
        let mut raw = add.clone();
        let tensor = &mut raw.graph.as_mut().unwrap().initializer[0];
        tensor.float_data.clear();
        tensor.raw_data = vec![0; 8];
        says(&refused(&raw), &["initializer \"w\"", &dims[0].to_string()]);
    }
}

/// A few bytes that ask for terabytes.
#[test]
fn results_past_all_bounds() {
    let huge = 1i64 << 40;
    let of_shape = |nodes: Vec<pb::NodeProto>, numbers: &[i64]| {
        model(
            nodes,
            vec![onnx::int64s("n", numbers)],
            vec![value("x", FLOAT, &[1, 1])],
            vec![onnx::shaped("y", FLOAT, None)],
        )
    };
    for numbers in [&[huge, huge][..], &[i64::MAX, 1], &[1 << 20, 1 << 20], &[-1, 5], &[1 << 31, 1]] {
        for nodes in [
            vec![node("Expand", &["x", "n"], &["y"])],
            vec![node("Tile", &["x", "n"], &["y"])],
            vec![node("ConstantOfShape", &["n"], &["y"])],
            vec![node("ConstantOfShape", &["n"], &["c"]), node("Add", &["x", "c"], &["y"])],
            vec![node("ConstantOfShape", &["n"], &["c"]), node("EyeLike", &["c"], &["y"])],
            vec![node("Reshape", &["x", "n"], &["y"])],
        ] {
            let what = format!("{} by {numbers:?}", nodes.last().unwrap().name);
            if let Ok(converted) = converted(&onnx::bytes(&of_shape(nodes, numbers)), &what) {
                assert!(
                    converted.bytes().unwrap().len() < 1 << 20,
                    "{what}: {} bytes",
                    converted.bytes().unwrap().len()
                );
            }
        }
    }
}

#[test]
fn a_constant_model() {
    let constant = model(
        vec![node("Relu", &["w"], &["y"])],
        vec![onnx::floats("w", &[2], &[-1.0, 2.0])],
        vec![],
        vec![value("y", FLOAT, &[2])],
    );
    converted(&onnx::bytes(&constant), "no inputs").unwrap();
    let desk = Desk::new(onnx::bytes(&constant));
    let folder = samples(&desk, &[("x", &[2], &[1.0, 2.0])]);
    let ran = desk.convert(&["--quantize", "int8", "--calibration", &folder]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    says(&is_clear(&ran.stderr), &["model.onnx", "no inputs"]);
}

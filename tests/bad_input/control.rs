//! Functions and graphs inside nodes that are no sound ones, or that ask for more than any machine has.

use super::*;
use prost::Message;

/// `FunctionProto` of onnx.proto, of which tract knows a part.
#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "4")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    output: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    node: Vec<pb::NodeProto>,
    #[prost(string, tag = "10")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct Functions {
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

fn function(name: &str, nodes: Vec<pb::NodeProto>) -> Function {
    let names = |name: &str| vec![name.to_string()];
    Function { name: name.into(), input: names("a"), output: names("b"), node: nodes, domain: "own".into() }
}

fn call(name: &str, from: &str, to: &str) -> pb::NodeProto {
    pb::NodeProto { domain: "own".into(), ..node(name, &[from], &[to]) }
}

/// A model that calls the first of `functions`.
fn calling(functions: Vec<Function>, node: pb::NodeProto) -> Vec<u8> {
    let model = model(vec![node], vec![], vec![value("x", FLOAT, &[2])], vec![value("y", FLOAT, &[2])]);
    // Fields of a message may follow in any order.
    [onnx::bytes(&model), Functions { functions }.encode_to_vec()].concat()
}

#[track_caller]
fn fails(bytes: &[u8], parts: &[&str]) {
    let message = converted(bytes, "model").map(|c| c.report).expect_err("the model must be refused").to_string();
    says(&message, parts);
}

#[test]
fn functions_that_call_themselves() {
    let one = function("F", vec![call("F", "a", "b")]);
    fails(&calling(vec![one], call("F", "x", "y")), &["F", "calls itself"]);
    let round = vec![function("F", vec![call("G", "a", "b")]), function("G", vec![call("F", "a", "b")])];
    fails(&calling(round, call("F", "x", "y")), &["calls itself"]);
}

#[test]
fn functions_without_end() {
    let name = |i: usize| format!("F{i}");
    let mut twice: Vec<Function> =
        (0..40).map(|i| function(&name(i), vec![call(&name(i + 1), "a", "t"), call(&name(i + 1), "t", "b")])).collect();
    twice.push(function(&name(40), vec![node("Relu", &["a"], &["b"])]));
    fails(&calling(twice, call("F0", "x", "y")), &["call each other too often"]);
    let mut deep: Vec<Function> = (0..5000).map(|i| function(&name(i), vec![call(&name(i + 1), "a", "b")])).collect();
    deep.push(function(&name(5000), vec![node("Relu", &["a"], &["b"])]));
    fails(&calling(deep, call("F0", "x", "y")), &["deep in each other"]);
}

#[test]
fn calls_that_do_not_fit() {
    let relu = || vec![function("F", vec![node("Relu", &["a"], &["b"])])];
    converted(&calling(relu(), call("F", "x", "y")), "a sound call").unwrap();
    let mut wide = call("F", "x", "y");
    wide.input.push("x".into());
    fails(&calling(relu(), wide), &["F", "fewer operands"]);
    fails(&calling(relu(), with(call("F", "x", "y"), onnx::int("size", 3))), &["F", "no attribute \"size\""]);
    let open = vec![function("F", vec![node("Add", &["a", "x"], &["b"])])];
    fails(&calling(open, call("F", "x", "y")), &["F", "uses \"x\", but nothing before makes it"]);
    let same = [relu(), relu()].concat();
    fails(&calling(same, call("F", "x", "y")), &["own::F is there twice"]);
    let missing = with(node("LeakyRelu", &["x"], &["y"]), {
        let mut reference = onnx::float("alpha", 0.0);
        reference.ref_attr_name = "slope".into();
        reference
    });
    fails(&calling(vec![], missing), &["attribute alpha", "a reference to an attribute of a function"]);
}

fn branch(nodes: Vec<pb::NodeProto>, output: &str) -> pb::GraphProto {
    pb::GraphProto { node: nodes, output: vec![value(output, FLOAT, &[2])], ..Default::default() }
}

fn choice(then: pb::GraphProto, otherwise: pb::GraphProto) -> pb::ModelProto {
    let node = node("If", &["c"], &["y"]);
    let node = with(with(node, onnx::graph("then_branch", then)), onnx::graph("else_branch", otherwise));
    let inputs = vec![value("c", 9, &[]), value("x", FLOAT, &[2])];
    model(vec![node], vec![], inputs, vec![value("y", FLOAT, &[2])])
}

#[test]
fn branches_that_are_no_sound_graphs() {
    let relu = || branch(vec![node("Relu", &["x"], &["t"])], "t");
    converted(&onnx::bytes(&choice(relu(), relu())), "a sound choice").unwrap();
    let unknown = branch(vec![node("Relu", &["nowhere"], &["e"])], "e");
    says(&refused(&choice(relu(), unknown)), &["\"Relu_e\"", "uses \"nowhere\" but nothing makes it"]);
    says(&refused(&choice(relu(), branch(vec![], "nothing"))), &["output \"nothing\" is made by no node"]);
    let odd = branch(vec![node("Wobble", &["x"], &["e"])], "e");
    let message = refused(&choice(relu(), odd));
    says(&message, &["\"Wobble_e\" (Wobble of opset 17)", "not supported"]);
    assert!(!message.contains("If_y"), "only causes are listed: {message}");
    let other_rank = branch(vec![with(node("ReduceSum", &["x"], &["e"]), onnx::int("keepdims", 0))], "e");
    says(&refused(&choice(relu(), other_rank)), &["\"If_y\"", "result 0 is float32[2] in one graph and float32[]"]);
    let mut lacking = choice(relu(), relu());
    lacking.graph.as_mut().unwrap().node[0].attribute.pop();
    says(&refused(&lacking), &["\"If_y\"", "attribute else_branch", "is missing"]);
}

#[test]
fn graphs_deep_in_each_other() {
    let mut inner = branch(vec![node("Relu", &["x"], &["t"])], "t");
    for _ in 0..60 {
        let one = with(node("If", &["c"], &["t"]), onnx::graph("then_branch", inner.clone()));
        let other = branch(vec![node("Relu", &["x"], &["t"])], "t");
        inner = branch(vec![with(one, onnx::graph("else_branch", other))], "t");
    }
    says(&refused(&choice(inner.clone(), inner)), &["recursion limit"]);
}

/// `Loop` of so many steps over `x`.
fn repeated(steps: i64, nodes: Vec<pb::NodeProto>, states: &[(&str, &str)]) -> pb::NodeProto {
    let mut body = pb::GraphProto {
        node: nodes,
        input: vec![value("i", INT64, &[]), value("going", 9, &[])],
        output: vec![value("going", 9, &[])],
        ..Default::default()
    };
    body.initializer.push(onnx::int64s("unused", &[steps]));
    for (from, to) in states {
        body.input.push(value(from, FLOAT, &[2]));
        body.output.push(pb::ValueInfoProto { name: (*to).into(), ..Default::default() });
    }
    with(node("Loop", &["m", "", "x"], &["y"]), onnx::graph("body", body))
}

fn looped(steps: i64, node: pb::NodeProto) -> pb::ModelProto {
    let inputs = vec![value("x", FLOAT, &[2])];
    model(vec![node], vec![onnx::int64s("m", &[steps])], inputs, vec![value("y", FLOAT, &[2])])
}

#[test]
fn loops_that_do_not_fit() {
    let step = |op: &str| vec![node(op, &["h"], &["h2"])];
    converted(&onnx::bytes(&looped(30, repeated(30, step("Relu"), &[("h", "h2")]))), "a sound loop").unwrap();
    let rank = looped(30, repeated(30, step("ReduceSum"), &[("h", "row")]));
    says(&refused(&rank), &["output \"row\" is made by no node"]);
    let grows = vec![node("Unsqueeze", &["h", "axis"], &["h2"]), node("Identity", &["unused"], &["axis"])];
    let grows = looped(30, repeated(0, grows.into_iter().rev().collect(), &[("h", "h2")]));
    says(&refused(&grows), &["\"Loop_y\"", "goes into a step as float32[2] and comes out as float32[1,2]", "--unroll"]);
    let few = looped(30, repeated(30, vec![], &[]));
    says(&refused(&few), &["\"Loop_y\"", "the body does not take and give"]);
    let endless = looped(i64::MAX, repeated(30, step("Relu"), &[("h", "h2")]));
    says(&refused(&endless), &["\"Loop_y\"", "never ends"]);
}

#[test]
fn loops_that_multiply() {
    let mut step = vec![node("Relu", &["h"], &["h2"])];
    for _ in 0..8 {
        let body = pb::GraphProto {
            node: step,
            input: vec![value("i", INT64, &[]), value("going", 9, &[]), value("h", FLOAT, &[2])],
            output: vec![value("going", 9, &[]), value("h2", FLOAT, &[2])],
            ..Default::default()
        };
        step = vec![with(node("Loop", &["m", "", "h"], &["h2"]), onnx::graph("body", body))];
    }
    says(&refused(&looped(16, repeated(16, step, &[("h", "h2")]))), &["too many nodes", "--unroll 1"]);
}

//! What tract's protobuf types leave out: functions with default attributes, and which overload of a function a node calls.
//!
//! Field numbers are those of onnx.proto. Decoding skips all fields but these, so it costs next to nothing.

use bytes::Bytes;
use prost::{DecodeError, Message};
use tract_onnx::pb;

/// `FunctionProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Function {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<pb::NodeProto>,
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<pb::OperatorSetIdProto>,
    #[prost(string, tag = "10")]
    pub domain: String,
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<pb::AttributeProto>,
    #[prost(string, tag = "13")]
    pub overload: String,
}

/// `ModelProto` for its functions.
#[derive(Clone, PartialEq, Message)]
struct Functions {
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

/// `ModelProto` for the overloads that its nodes call.
#[derive(Clone, PartialEq, Message)]
struct ModelCalls {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphCalls>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionCalls>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphCalls {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeCalls>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionCalls {
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeCalls>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeCalls {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeCalls>,
    #[prost(string, tag = "8")]
    overload: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeCalls {
    #[prost(message, optional, tag = "6")]
    g: Option<GraphCalls>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphCalls>,
}

pub(super) fn functions(bytes: Bytes) -> Result<Vec<Function>, DecodeError> {
    Ok(Functions::decode(bytes)?.functions)
}

/// How an operator is called of which a model has several functions.
pub(super) fn operator(name: &str, overload: &str) -> String {
    if overload.is_empty() { name.to_string() } else { format!("{name}:{overload}") }
}

/// Puts the overload that a node calls into the name of its operator.
pub(super) fn name_overloads(
    model: &mut pb::ModelProto,
    bytes: Bytes,
    functions: &mut [Function],
) -> Result<(), DecodeError> {
    if functions.iter().all(|function| function.overload.is_empty()) {
        return Ok(());
    }
    let calls = ModelCalls::decode(bytes)?;
    if let (Some(graph), Some(calls)) = (&mut model.graph, &calls.graph) {
        name_in(&mut graph.node, &calls.node);
    }
    functions.iter_mut().zip(&calls.functions).for_each(|(function, calls)| name_in(&mut function.node, &calls.node));
    Ok(())
}

fn name_in(nodes: &mut [pb::NodeProto], calls: &[NodeCalls]) {
    for (node, calls) in nodes.iter_mut().zip(calls) {
        node.op_type = operator(&node.op_type, &calls.overload);
        for (attribute, calls) in node.attribute.iter_mut().zip(&calls.attribute) {
            let graphs = attribute.g.iter_mut().chain(&mut attribute.graphs);
            let calls = calls.g.iter().chain(&calls.graphs);
            graphs.zip(calls).for_each(|(graph, calls)| name_in(&mut graph.node, &calls.node));
        }
    }
}

//! Small ONNX models, made as a test needs them.

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};

/// Numbers of element types in ONNX.
pub const FLOAT: i32 = 1;
pub const INT64: i32 = 7;
pub const STRING: i32 = 8;

/// A model of opset 17.
pub fn model(
    nodes: Vec<pb::NodeProto>,
    initializers: Vec<pb::TensorProto>,
    inputs: Vec<pb::ValueInfoProto>,
    outputs: Vec<pb::ValueInfoProto>,
) -> pb::ModelProto {
    let graph = pb::GraphProto {
        name: "test".into(),
        node: nodes,
        initializer: initializers,
        input: inputs,
        output: outputs,
        ..Default::default()
    };
    let opset = pb::OperatorSetIdProto { domain: String::new(), version: 17 };
    pb::ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() }
}

/// `y = Relu(x)` on float `[2,3]`.
pub fn relu() -> pb::ModelProto {
    model(
        vec![node("Relu", &["x"], &["y"])],
        vec![],
        vec![value("x", FLOAT, &[2, 3])],
        vec![value("y", FLOAT, &[2, 3])],
    )
}

/// Named `op_firstresult`.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> pb::NodeProto {
    pb::NodeProto {
        name: format!("{op}_{}", outputs.first().unwrap_or(&"")),
        op_type: op.into(),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: outputs.iter().map(|s| s.to_string()).collect(),
        ..Default::default()
    }
}

pub fn with(mut node: pb::NodeProto, attribute: pb::AttributeProto) -> pb::NodeProto {
    node.attribute.push(attribute);
    node
}

pub fn int(name: &str, i: i64) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), i, r#type: AttributeType::Int as i32, ..Default::default() }
}

pub fn float(name: &str, f: f32) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), f, r#type: AttributeType::Float as i32, ..Default::default() }
}

pub fn string(name: &str, s: &str) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), s: s.into(), r#type: AttributeType::String as i32, ..Default::default() }
}

pub fn ints(name: &str, ints: &[i64]) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        r#type: AttributeType::Ints as i32,
        ..Default::default()
    }
}

pub fn graph(name: &str, graph: pb::GraphProto) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), g: Some(graph), r#type: AttributeType::Graph as i32, ..Default::default() }
}

/// An input or output.
pub fn value(name: &str, elem_type: i32, dims: &[i64]) -> pb::ValueInfoProto {
    let dims = dims.iter().map(|&n| Some(dimension::Value::DimValue(n)));
    shaped(name, elem_type, Some(dims.collect()))
}

/// An input or output whose extents may be unknown (`None`) or named; `None` in place of the dims: no shape at all.
pub fn shaped(name: &str, elem_type: i32, dims: Option<Vec<Option<dimension::Value>>>) -> pb::ValueInfoProto {
    let dimension = |value| Dimension { denotation: String::new(), value };
    let shape = dims.map(|dims| pb::TensorShapeProto { dim: dims.into_iter().map(dimension).collect() });
    let tensor = pb::type_proto::Tensor { elem_type, shape };
    let ty = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.into(), r#type: Some(ty), ..Default::default() }
}

pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.into(),
        data_type: FLOAT,
        dims: dims.to_vec(),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

pub fn int64s(name: &str, values: &[i64]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.into(),
        data_type: INT64,
        dims: vec![values.len() as i64],
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// A float tensor of two elements whose data are in another file.
pub fn external(name: &str, entries: &[(&str, &str)]) -> pb::TensorProto {
    let entry = |(key, value): &(&str, &str)| pb::StringStringEntryProto { key: (*key).into(), value: (*value).into() };
    pb::TensorProto {
        name: name.into(),
        data_type: FLOAT,
        dims: vec![2],
        data_location: Some(pb::tensor_proto::DataLocation::External as i32),
        external_data: entries.iter().map(entry).collect(),
        ..Default::default()
    }
}

pub fn bytes(model: &pb::ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

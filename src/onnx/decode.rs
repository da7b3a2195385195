//! From the bytes of a file to a [`Model`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use prost::Message;
use tract_onnx::pb;

use super::external::ExternalData;
use super::outline::outline;
use super::{Attribute, Dim, Graph, Model, Node, ValueInfo, extra, functions, names, tensor};

/// Imported version of each operator set.
type Opsets = BTreeMap<String, i64>;

/// Why a file is no model that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("can't read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("not an ONNX model, or a damaged one: {}", reason(.0))]
    Decode(prost::DecodeError),
    #[error("not an ONNX model, or a damaged one: {0}")]
    Invalid(String),
    #[error("initializer {name:?}: {what}")]
    Initializer { name: String, what: String },
}

/// What prost says, without most of the way there, which grows with every level of nesting.
fn reason(error: &prost::DecodeError) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
    match text.split(": ").collect::<Vec<_>>().as_slice() {
        [first, _, .., field, what] => format!("{first}: ..: {field}: {what}"),
        _ => text.to_string(),
    }
}

/// Reads a model file, with external data from beside it.
///
/// # Errors
/// Where the file can't be read or is not a sound ONNX model.
pub fn read_file(path: &Path) -> Result<Model, ReadError> {
    let (external, bytes) =
        ExternalData::beside(path).map_err(|source| ReadError::Io { path: path.to_path_buf(), source })?;
    if bytes.is_empty() {
        return Err(ReadError::Invalid("the file is empty".into()));
    }
    model(bytes, external)
}

/// Reads a model from memory; it can have no external data.
///
/// # Errors
/// Where the bytes are not a sound ONNX model.
pub fn read_bytes(bytes: impl Into<Bytes>) -> Result<Model, ReadError> {
    let bytes = bytes.into();
    model(bytes.clone(), ExternalData::of_bytes(bytes))
}

fn model(bytes: Bytes, mut external: ExternalData) -> Result<Model, ReadError> {
    let bytes = outline(bytes);
    let mut functions = extra::functions(bytes.clone()).map_err(ReadError::Decode)?;
    let mut proto = pb::ModelProto::decode(bytes.clone()).map_err(ReadError::Decode)?;
    extra::name_overloads(&mut proto, bytes, &mut functions).map_err(ReadError::Decode)?;
    let opsets = opsets(&proto.opset_import);
    let graph = proto.graph.take().ok_or_else(|| ReadError::Invalid("it holds no graph".into()))?;
    if opsets.is_empty() {
        return Err(ReadError::Invalid("it imports no operator set".into()));
    }
    let mut graph = self::graph(graph, &opsets, &mut external)?;
    let functions = self::functions(functions, &opsets, &mut external)?;
    functions::inline(&mut graph, &functions)?;
    names::check(&graph)?;
    let producer = format!("{} {}", proto.producer_name, proto.producer_version).trim().to_string();
    Ok(Model { graph, opsets, producer })
}

fn opsets(imports: &[pb::OperatorSetIdProto]) -> Opsets {
    imports.iter().map(|import| (standard_domain(&import.domain).to_string(), import.version)).collect()
}

/// Local functions by domain and name. What a function does not import is taken from the model's imports.
fn functions(
    protos: Vec<extra::Function>,
    of_model: &Opsets,
    external: &mut ExternalData,
) -> Result<BTreeMap<functions::Key, functions::Function>, ReadError> {
    let mut functions = BTreeMap::new();
    for proto in protos {
        let mut opsets = of_model.clone();
        opsets.extend(self::opsets(&proto.opset_import));
        let key = (standard_domain(&proto.domain).to_string(), extra::operator(&proto.name, &proto.overload));
        let mut function = functions::Function {
            inputs: proto.input,
            outputs: proto.output,
            attributes: proto.attribute,
            opset: opsets.get("").copied().unwrap_or(1),
            ..Default::default()
        };
        for mut default in proto.attribute_proto {
            let name = std::mem::take(&mut default.name);
            function.defaults.insert(name, attribute(default, &opsets, external)?);
        }
        for node in proto.node {
            function.nodes.push(self::node(node, &opsets, external)?);
        }
        let name = format!("{}::{}", key.0, key.1);
        if functions.insert(key, function).is_some() {
            return Err(ReadError::Invalid(format!("function {name} is there twice")));
        }
    }
    Ok(functions)
}

/// The standard operators have two names for their domain.
fn standard_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn graph(proto: pb::GraphProto, opsets: &Opsets, external: &mut ExternalData) -> Result<Graph, ReadError> {
    let mut graph = Graph { name: proto.name, ..Graph::default() };
    for mut initializer in proto.initializer {
        let name = std::mem::take(&mut initializer.name);
        if tensor::dtype(initializer.data_type).is_none() {
            let what = tensor::decode(&mut initializer, external).err().unwrap_or_default();
            graph.unreadable.insert(name, what);
            continue;
        }
        match tensor::decode(&mut initializer, external) {
            Ok(data) => graph.initializers.insert(name, data),
            Err(what) => return Err(ReadError::Initializer { name, what }),
        };
    }
    for mut sparse in proto.sparse_initializer {
        let name = sparse.values.as_ref().map(|v| v.name.clone()).unwrap_or_default();
        match tensor::decode_sparse(&mut sparse, external) {
            Ok(data) => drop(graph.initializers.insert(name, data)),
            Err(what) => drop(graph.unreadable.insert(name, what)),
        }
    }
    graph.inputs = proto.input.into_iter().map(value_info).collect();
    graph.outputs = proto.output.into_iter().map(value_info).collect();
    graph.value_info = proto.value_info.into_iter().map(|info| (info.name.clone(), value_info(info))).collect();
    for node in proto.node {
        graph.nodes.push(self::node(node, opsets, external)?);
    }
    Ok(graph)
}

fn value_info(proto: pb::ValueInfoProto) -> ValueInfo {
    let tensor = proto.r#type.and_then(|t| t.value).map(|pb::type_proto::Value::TensorType(tensor)| tensor);
    let dtype = tensor.as_ref().and_then(|t| tensor::dtype(t.elem_type));
    let shape = tensor.and_then(|t| t.shape).map(|s| s.dim.into_iter().map(dim).collect());
    ValueInfo { name: proto.name, dtype, shape }
}

fn dim(proto: pb::tensor_shape_proto::Dimension) -> Dim {
    use pb::tensor_shape_proto::dimension::Value;
    match proto.value {
        Some(Value::DimValue(n)) => usize::try_from(n).map_or(Dim::Unknown, Dim::Fixed),
        Some(Value::DimParam(name)) if !name.is_empty() => Dim::Named(name),
        _ => Dim::Unknown,
    }
}

fn node(proto: pb::NodeProto, opsets: &Opsets, external: &mut ExternalData) -> Result<Node, ReadError> {
    let domain = standard_domain(&proto.domain).to_string();
    let opset = opsets.get(&domain).copied().unwrap_or(1);
    let mut attributes = IndexMap::new();
    for mut attribute in proto.attribute {
        let name = std::mem::take(&mut attribute.name);
        attributes.insert(name, self::attribute(attribute, opsets, external)?);
    }
    if proto.output.iter().all(String::is_empty) {
        return Err(ReadError::Invalid(format!("node {:?} ({}) has no result", proto.name, proto.op_type)));
    }
    Ok(Node {
        name: proto.name,
        op: proto.op_type,
        domain,
        opset,
        inputs: proto.input,
        outputs: proto.output,
        attributes,
    })
}

fn attribute(proto: pb::AttributeProto, opsets: &Opsets, external: &mut ExternalData) -> Result<Attribute, ReadError> {
    use pb::attribute_proto::AttributeType as Type;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if !proto.ref_attr_name.is_empty() {
        return Ok(Attribute::Reference(proto.ref_attr_name));
    }
    // Files of IR version 1 do not say which field is meant.
    let kind = Type::try_from(proto.r#type).unwrap_or(Type::Undefined);
    Ok(match kind {
        Type::Float => Attribute::Float(proto.f),
        Type::Int => Attribute::Int(proto.i),
        Type::String => Attribute::String(text(proto.s)),
        Type::Floats => Attribute::Floats(proto.floats),
        Type::Ints => Attribute::Ints(proto.ints),
        Type::Strings => Attribute::Strings(proto.strings.into_iter().map(text).collect()),
        Type::Tensor => match proto.t {
            Some(mut t) => match tensor::decode(&mut t, external) {
                Ok(data) => Attribute::Tensor(data),
                Err(what) => Attribute::Other(format!("a tensor that {what}")),
            },
            None => Attribute::Other("an empty tensor".into()),
        },
        Type::SparseTensor => match proto.sparse_tensor {
            Some(mut t) => match tensor::decode_sparse(&mut t, external) {
                Ok(data) => Attribute::Tensor(data),
                Err(what) => Attribute::Other(format!("a sparse tensor that {what}")),
            },
            None => Attribute::Other("an empty tensor".into()),
        },
        Type::Graph => match proto.g {
            Some(g) => Attribute::Graph(Arc::new(graph(g, opsets, external)?)),
            None => Attribute::Other("an empty graph".into()),
        },
        Type::Graphs => {
            let graphs = proto.graphs.into_iter().map(|g| graph(g, opsets, external));
            Attribute::Graphs(graphs.collect::<Result<_, _>>()?)
        }
        other => Attribute::Other(other.as_str_name().to_lowercase()),
    })
}

//! What a file holds, as plain data: for people, and as JSON.
//!
//! Looks at the file and not at a graph, so that it shows what [`read`](super::read) refuses or leaves behind.

mod text;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{ReadError, metadata};
use crate::schema::{self, Union};

/// A `.tflite` file, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    pub file_bytes: usize,
    pub description: String,
    /// The oldest runtime release that runs the file, as the file says.
    pub min_runtime_version: Option<String>,
    pub signatures: Vec<InspectedSignature>,
    pub metadata: Vec<InspectedMetadata>,
    /// How often each operator is there, in all graphs.
    pub operator_counts: BTreeMap<String, usize>,
    /// Bytes of constants by element type; data that several tensors share count once.
    pub constant_bytes: BTreeMap<String, u64>,
    pub graphs: Vec<InspectedGraph>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedSignature {
    pub key: String,
    pub graph: u32,
    /// Names and tensors.
    pub inputs: Vec<(String, u32)>,
    pub outputs: Vec<(String, u32)>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedMetadata {
    pub name: String,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedGraph {
    pub name: String,
    /// Indices of tensors, as in `outputs`.
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub tensors: Vec<InspectedTensor>,
    /// In the order of execution.
    pub operators: Vec<InspectedOperator>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedTensor {
    pub name: String,
    pub role: Role,
    #[serde(rename = "type")]
    pub element_type: String,
    pub shape: Vec<i32>,
    /// `shape` with -1 where an extent is only known at run time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape_signature: Option<Vec<i32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<InspectedQuantization>,
    /// Bytes of constant data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many other tensors, of any graph, have the same buffer.
    #[serde(skip_serializing_if = "is_zero")]
    pub shared_with: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sparse: bool,
}

/// What a tensor is for; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Input,
    Output,
    Constant,
    /// Kept from one run to the next.
    Variable,
    /// A result that other operators use.
    Inner,
    /// Mentioned by nothing.
    Unused,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InspectedQuantization {
    Affine {
        scale: Vec<f32>,
        zero_point: Vec<i64>,
        axis: i32,
    },
    Blockwise {
        block_size: i32,
        scales: i32,
        zero_points: i32,
    },
    /// Another kind, by its name in the schema.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedOperator {
    /// Name of the builtin; of the custom operator where it is one.
    pub name: String,
    pub custom: bool,
    pub version: i32,
    /// Fields of the option tables that are set.
    #[serde(serialize_with = "as_map")]
    pub options: Vec<(String, Value)>,
    /// Tensors; -1 for an operand that is absent.
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
}

fn as_map<S: serde::Serializer>(options: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(options.iter().map(|(name, value)| (name, value)))
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Describes a file.
///
/// # Errors
/// Where the file is no `.tflite` file, or its tables can't be followed. Wrong indices are shown as they are.
pub fn inspect(bytes: Bytes) -> Result<Inspection, ReadError> {
    if !schema::has_identifier(&bytes) {
        return Err(ReadError::NoIdentifier);
    }
    let file = schema::Model::from_bytes(&bytes)?;
    let buffers = Buffers::of(&file);
    let codes = file.operator_codes.as_deref().unwrap_or_default();
    let graphs: Vec<_> = file.subgraphs.iter().flatten().map(|graph| inspected_graph(graph, codes, &buffers)).collect();
    let mut operator_counts = BTreeMap::new();
    for operator in graphs.iter().flat_map(|graph| &graph.operators) {
        *operator_counts.entry(operator.name.clone()).or_insert(0) += 1;
    }
    let entries = file.metadata.iter().flatten();
    let min_runtime = entries.clone().find(|entry| entry.name.as_deref() == Some(metadata::MIN_RUNTIME_VERSION));
    let min_runtime = min_runtime.and_then(|entry| metadata::decode_runtime(buffers.data(entry.buffer)?));
    let entry = |entry: &schema::Metadata| InspectedMetadata {
        name: entry.name.clone().unwrap_or_default(),
        bytes: buffers.bytes(entry.buffer),
    };
    Ok(Inspection {
        file_bytes: bytes.len(),
        description: file.description.clone().unwrap_or_default(),
        min_runtime_version: min_runtime.map(|runtime| runtime.to_string()),
        signatures: file.signature_defs.iter().flatten().map(inspected_signature).collect(),
        metadata: entries.map(entry).collect(),
        operator_counts,
        constant_bytes: buffers.bytes_by_type(&file),
        graphs,
    })
}

struct Buffers<'a> {
    buffers: &'a [schema::Buffer],
    /// How many tensors have each buffer.
    users: Vec<usize>,
}

impl<'a> Buffers<'a> {
    fn of(file: &'a schema::Model) -> Buffers<'a> {
        let buffers = file.buffers.as_deref().unwrap_or_default();
        let mut users = vec![0; buffers.len()];
        for tensor in tensors(file) {
            if let Some(users) = users.get_mut(tensor.buffer as usize) {
                *users += 1;
            }
        }
        Buffers { buffers, users }
    }

    /// Data inside the flatbuffer.
    fn data(&self, number: u32) -> Option<&'a [u8]> {
        self.buffers.get(number as usize)?.data.as_deref()
    }

    /// Bytes of data, wherever they lie.
    fn bytes(&self, number: u32) -> u64 {
        let Some(buffer) = self.buffers.get(number as usize) else { return 0 };
        match &buffer.data {
            Some(data) => data.len() as u64,
            None if buffer.offset > 1 => buffer.size,
            None => 0,
        }
    }

    /// Bytes of a tensor's constant data.
    fn constant_bytes(&self, tensor: &schema::Tensor) -> Option<u64> {
        Some(self.bytes(tensor.buffer)).filter(|&bytes| bytes > 0 && tensor.buffer != 0)
    }

    fn bytes_by_type(&self, file: &schema::Model) -> BTreeMap<String, u64> {
        let mut counted = vec![false; self.buffers.len()];
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for tensor in tensors(file) {
            let Some(counted) = counted.get_mut(tensor.buffer as usize) else { continue };
            if let Some(bytes) = self.constant_bytes(tensor)
                && !std::mem::replace(counted, true)
            {
                let sum = sums.entry(type_name(tensor.type_)).or_insert(0);
                *sum = sum.saturating_add(bytes);
            }
        }
        sums
    }
}

fn tensors(file: &schema::Model) -> impl Iterator<Item = &schema::Tensor> {
    file.subgraphs.iter().flatten().flat_map(|graph| graph.tensors.iter().flatten())
}

fn type_name(ty: schema::TensorType) -> String {
    match super::codes::dtype(ty) {
        Some(dtype) => dtype.name().to_owned(),
        None => ty.to_string(),
    }
}

fn inspected_signature(signature: &schema::SignatureDef) -> InspectedSignature {
    let ports = |ports: &Option<Vec<schema::TensorMap>>| {
        let port = |port: &schema::TensorMap| (port.name.clone().unwrap_or_default(), port.tensor_index);
        ports.iter().flatten().map(port).collect()
    };
    InspectedSignature {
        key: signature.signature_key.clone().unwrap_or_default(),
        graph: signature.subgraph_index,
        inputs: ports(&signature.inputs),
        outputs: ports(&signature.outputs),
    }
}

fn inspected_graph(graph: &schema::SubGraph, codes: &[schema::OperatorCode], buffers: &Buffers<'_>) -> InspectedGraph {
    let inputs = graph.inputs.clone().unwrap_or_default();
    let outputs = graph.outputs.clone().unwrap_or_default();
    let tensors = graph.tensors.as_deref().unwrap_or_default();
    let operators = graph.operators.as_deref().unwrap_or_default();
    let mut roles = vec![Role::Unused; tensors.len()];
    let mut assign = |indices: &[i32], role| {
        for &index in indices {
            if let Some(place) = usize::try_from(index).ok().and_then(|index| roles.get_mut(index)) {
                *place = role;
            }
        }
    };
    for operator in operators {
        for mentioned in [&operator.inputs, &operator.outputs, &operator.intermediates] {
            assign(mentioned.as_deref().unwrap_or_default(), Role::Inner);
        }
    }
    for tensor in tensors {
        if let Some(schema::QuantizationDetails::BlockwiseQuantization(blocks)) =
            tensor.quantization.as_deref().map(|parameters| &parameters.details)
        {
            assign(&[blocks.scales, blocks.zero_points], Role::Inner);
        }
    }
    assign(&outputs, Role::Output);
    assign(&inputs, Role::Input);
    let tensor = |(tensor, role)| inspected_tensor(tensor, role, buffers);
    InspectedGraph {
        name: graph.name.clone().unwrap_or_default(),
        tensors: tensors.iter().zip(roles).map(tensor).collect(),
        operators: operators.iter().map(|operator| inspected_operator(operator, codes)).collect(),
        inputs,
        outputs,
    }
}

fn inspected_tensor(tensor: &schema::Tensor, role: Role, buffers: &Buffers<'_>) -> InspectedTensor {
    let bytes = buffers.constant_bytes(tensor);
    let role = match role {
        Role::Inner if bytes.is_some() => Role::Constant,
        Role::Inner if tensor.is_variable => Role::Variable,
        role => role,
    };
    let users = buffers.users.get(tensor.buffer as usize).copied().unwrap_or(0);
    InspectedTensor {
        name: tensor.name.clone().unwrap_or_default(),
        role,
        element_type: type_name(tensor.type_),
        shape: tensor.shape.clone().unwrap_or_default(),
        shape_signature: tensor.shape_signature.clone(),
        quantization: tensor.quantization.as_deref().and_then(inspected_quantization),
        bytes,
        shared_with: if bytes.is_some() { users.saturating_sub(1) } else { 0 },
        sparse: tensor.sparsity.is_some(),
    }
}

fn inspected_quantization(parameters: &schema::QuantizationParameters) -> Option<InspectedQuantization> {
    match &parameters.details {
        schema::QuantizationDetails::None => {
            let scale = parameters.scale.clone().filter(|scale| !scale.is_empty())?;
            let zero_point = parameters.zero_point.clone().unwrap_or_default();
            Some(InspectedQuantization::Affine { scale, zero_point, axis: parameters.quantized_dimension })
        }
        schema::QuantizationDetails::BlockwiseQuantization(blocks) => Some(InspectedQuantization::Blockwise {
            block_size: blocks.block_size,
            scales: blocks.scales,
            zero_points: blocks.zero_points,
        }),
        details => Some(InspectedQuantization::Other(details.name().to_owned())),
    }
}

fn inspected_operator(operator: &schema::Operator, codes: &[schema::OperatorCode]) -> InspectedOperator {
    let code = codes.get(operator.opcode_index as usize);
    let builtin = code.map(schema::OperatorCode::operator);
    let custom = builtin == Some(schema::BuiltinOperator::CUSTOM);
    let name = match (builtin, code.and_then(|code| code.custom_code.clone())) {
        (Some(_), Some(name)) if custom => name,
        (Some(builtin), _) => builtin.to_string(),
        (None, _) => format!("operator code {}", operator.opcode_index),
    };
    let mut options = set_options(&operator.builtin_options);
    options.extend(set_options(&operator.builtin_options_2));
    options.extend(
        operator.custom_options.as_ref().map(|data| ("custom_options_bytes".to_owned(), Value::from(data.len()))),
    );
    InspectedOperator {
        name,
        custom,
        version: code.map_or(0, |code| code.version),
        options,
        inputs: operator.inputs.clone().unwrap_or_default(),
        outputs: operator.outputs.clone().unwrap_or_default(),
    }
}

/// The fields of an option table, in the schema's order, without flags that are off and activations that are none.
fn set_options(options: &impl std::fmt::Debug) -> Vec<(String, Value)> {
    // `Union(Table { field: value, … })`; a table without fields has no braces.
    let text = format!("{options:?}");
    let fields = text.split_once("{ ").and_then(|(_, rest)| rest.strip_suffix(" })")).unwrap_or_default();
    let fields = split_fields(fields).into_iter().filter_map(|field| field.split_once(": "));
    let is_set = |(_, value): &(&str, &str)| !["false", "NONE", "None", "DEFAULT"].contains(value);
    fields.filter(is_set).map(|(name, value)| (name.to_owned(), option_value(value))).collect()
}

/// Splits at commas outside brackets and strings.
fn split_fields(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut escaped, mut start) = (0, false, false, 0);
    let mut fields = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if depth == 0 && !quoted => {
                fields.push(text[start..at].trim_start());
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(text[start..].trim_start());
    fields
}

/// Numbers, texts and lists as what they are, names of enums as texts.
fn option_value(text: &str) -> Value {
    let text = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

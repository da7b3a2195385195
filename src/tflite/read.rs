//! Bytes to a model.

use bytes::Bytes;
use indexmap::IndexSet;

use super::read_options::{self, Call};
use super::{attachment, codes, metadata, regions, sparse};
use crate::graph::{
    Dim, Graph, Model, Node, Op, Opaque, Port, Precision, Quant, Shape, Signature, Type, Value, ValueId,
};
use crate::schema::{self, BuiltinOperator};
use crate::tensor::{DType, Tensor, TensorError};

/// Why a file can't be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadError {
    #[error("not a .tflite file: the identifier {:?} is missing", schema::FILE_IDENTIFIER)]
    NoIdentifier,
    #[error(transparent)]
    Flatbuffer(#[from] schema::ReadError),
    /// The file contradicts itself; no interpreter would load it.
    #[error("the file is broken: {place}: {what}")]
    Broken { place: String, what: String },
    /// A sound file with something that a graph does not hold.
    #[error("{place}: {what}, which litesmith does not read")]
    Unsupported { place: String, what: String },
}

/// Reads a whole file. Constants stay slices of `bytes`, but for sparse ones, which become dense.
///
/// What is read need not be valid: see [`verify`](crate::graph::verify).
///
/// # Errors
/// A file that is broken, that is newer than this program, or that has what a graph does not hold: data in other files, blocks
/// of quantization over several axes.
pub fn read(bytes: Bytes) -> Result<Model, ReadError> {
    if !schema::has_identifier(&bytes) {
        return Err(ReadError::NoIdentifier);
    }
    let file = schema::Model::from_bytes(&bytes)?;
    if file.version != schema::MODEL_VERSION {
        return unsupported("the file", format!("has version {} of the format", file.version));
    }
    let shared =
        Shared { bytes: &bytes, buffers: buffers(&file, &bytes)?, codes: file.operator_codes.unwrap_or_default() };
    let subgraphs = file.subgraphs.unwrap_or_default();
    if subgraphs.is_empty() {
        return broken("the file", "has no graph");
    }
    let graphs: Vec<Graph> = subgraphs
        .into_iter()
        .enumerate()
        .map(|(index, subgraph)| shared.graph(index, subgraph))
        .collect::<Result<_, _>>()?;
    let signatures = file.signature_defs.unwrap_or_default();
    let mut model = Model {
        signatures: signatures.into_iter().map(|s| signature(s, &graphs)).collect::<Result<_, _>>()?,
        graphs,
        description: file.description.unwrap_or_default(),
        metadata: shared.metadata(file.metadata.unwrap_or_default())?,
        attachments: attachment::find(&bytes).unwrap_or_default(),
    };
    regions::nest(&mut model);
    Ok(model)
}

fn broken<T>(place: impl Into<String>, what: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Broken { place: place.into(), what: what.into() })
}

fn unsupported<T>(place: impl Into<String>, what: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Unsupported { place: place.into(), what: what.into() })
}

/// The data of every buffer, inside the flatbuffer or behind it; `None` where it has none.
fn buffers(file: &schema::Model, bytes: &Bytes) -> Result<Vec<Option<Bytes>>, ReadError> {
    let buffer = |(number, buffer): (usize, &schema::Buffer)| match &buffer.data {
        Some(data) => Ok(Some(data.clone())),
        None => outside(bytes, buffer.offset, buffer.size, || format!("buffer {number}")),
    };
    file.buffers.iter().flatten().enumerate().map(buffer).collect()
}

/// A range of the file behind the flatbuffer. Offsets of 0 and 1 mean that there is none.
fn outside(bytes: &Bytes, offset: u64, size: u64, place: impl Fn() -> String) -> Result<Option<Bytes>, ReadError> {
    if offset <= 1 {
        return Ok(None);
    }
    let start = usize::try_from(offset).ok();
    let end = offset.checked_add(size).and_then(|end| usize::try_from(end).ok()).filter(|&end| end <= bytes.len());
    match (start, end) {
        (Some(start), Some(end)) => Ok(Some(bytes.slice(start..end))),
        _ => broken(place(), format!("lies at byte {offset}, {size} bytes long, in a file of {}", bytes.len())),
    }
}

fn signature(signature: schema::SignatureDef, graphs: &[Graph]) -> Result<Signature, ReadError> {
    let key = signature.signature_key.unwrap_or_default();
    let place = || format!("signature {key:?}");
    let index = signature.subgraph_index as usize;
    let Some(graph) = graphs.get(index) else {
        return broken(place(), format!("is of graph {index} of {}", graphs.len()));
    };
    let port = |port: schema::TensorMap| match port.tensor_index {
        i if (i as usize) < graph.values.len() => Ok(Port { name: port.name.unwrap_or_default(), value: ValueId(i) }),
        i => broken(place(), format!("names tensor {i} of {}", graph.values.len())),
    };
    let ports = |ports: Option<Vec<schema::TensorMap>>| -> Result<Vec<Port>, ReadError> {
        ports.unwrap_or_default().into_iter().map(port).collect()
    };
    Ok(Signature {
        graph: index,
        inputs: ports(signature.inputs)?,
        outputs: ports(signature.outputs)?,
        key: key.clone(),
    })
}

/// What all graphs of a file refer to.
struct Shared<'a> {
    bytes: &'a Bytes,
    buffers: Vec<Option<Bytes>>,
    codes: Vec<schema::OperatorCode>,
}

impl Shared<'_> {
    fn metadata(&self, entries: Vec<schema::Metadata>) -> Result<Vec<(String, Bytes)>, ReadError> {
        let mut metadata = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.name.unwrap_or_default();
            let Some(data) = self.buffers.get(entry.buffer as usize) else {
                return broken(
                    format!("metadata {name:?}"),
                    format!("is in buffer {}, which does not exist", entry.buffer),
                );
            };
            if !metadata::is_computed(&name) {
                metadata.push((name, data.clone().unwrap_or_default()));
            }
        }
        Ok(metadata)
    }

    fn graph(&self, index: usize, subgraph: schema::SubGraph) -> Result<Graph, ReadError> {
        let name = subgraph.name.unwrap_or_default();
        let tensors = subgraph.tensors.unwrap_or_default();
        let operators = subgraph.operators.unwrap_or_default();
        let at = Subgraph { shared: self, place: format!("graph {index} {name:?}"), count: tensors.len() };
        let inputs = at.ids("an input", &subgraph.inputs.unwrap_or_default())?;
        let outputs = at.ids("an output", &subgraph.outputs.unwrap_or_default())?;
        let sparse: Vec<bool> = tensors.iter().map(|tensor| tensor.sparsity.is_some()).collect();
        let mut computed = vec![false; tensors.len()];
        let results = operators.iter().flat_map(|operator| operator.outputs.iter().flatten());
        let results = results.filter_map(|&i| usize::try_from(i).ok()).chain(inputs.iter().map(|id| id.0 as usize));
        for i in results {
            if let Some(computed) = computed.get_mut(i) {
                *computed = true;
            }
        }
        let tensors = tensors.into_iter().zip(computed).enumerate();
        let values = tensors.map(|(i, (tensor, computed))| at.value(i, tensor, computed));
        let mut graph = Graph { name, values: values.collect::<Result<_, _>>()?, inputs, outputs, ..Graph::default() };
        for (i, operator) in operators.into_iter().enumerate() {
            let node = at.node(&mut graph, i, operator)?;
            if !makes_dense(&mut graph, &node, &sparse) {
                graph.nodes.push(node);
            }
        }
        graph.origins = IndexSet::new();
        Ok(graph)
    }
}

struct Subgraph<'a> {
    shared: &'a Shared<'a>,
    place: String,
    /// Number of tensors.
    count: usize,
}

impl Subgraph<'_> {
    fn id(&self, place: &str, index: i32) -> Result<ValueId, ReadError> {
        match u32::try_from(index) {
            Ok(i) if (i as usize) < self.count => Ok(ValueId(i)),
            _ => broken(format!("{}, {place}", self.place), format!("is tensor {index} of {}", self.count)),
        }
    }

    fn ids(&self, place: &str, indices: &[i32]) -> Result<Vec<ValueId>, ReadError> {
        indices.iter().map(|&index| self.id(place, index)).collect()
    }

    /// `computed` tells results of operators and inputs from constants without elements, which have no data either.
    fn value(&self, index: usize, tensor: schema::Tensor, computed: bool) -> Result<Value, ReadError> {
        let name = tensor.name.unwrap_or_default();
        let place = || format!("{}, tensor {index} {name:?}", self.place);
        let Some(dtype) = codes::dtype(tensor.type_) else {
            return unsupported(place(), format!("is of type {}", tensor.type_));
        };
        if tensor.external_buffer != 0 {
            return unsupported(place(), "has its data in another file");
        }
        if tensor.variant_tensors.is_some_and(|parts| !parts.is_empty()) {
            return unsupported(place(), "has parts of other types");
        }
        let dims = tensor.shape.unwrap_or_default();
        let buffer = match (tensor.buffer, self.shared.buffers.get(tensor.buffer as usize)) {
            (0, _) => None,
            (_, Some(buffer)) => Some(buffer.clone().unwrap_or_default()),
            (number, None) => return broken(place(), format!("is in buffer {number}, which does not exist")),
        };
        let data = match buffer {
            Some(bytes) if !bytes.is_empty() || (!computed && !tensor.is_variable && dims.contains(&0)) => {
                Some(constant(dtype, &dims, bytes, tensor.sparsity.as_deref()).or_else(|what| broken(place(), what))?)
            }
            _ => None,
        };
        let shape = match &data {
            Some(data) => Shape::fixed(data.shape()),
            None => shape(&dims, tensor.shape_signature.as_deref().unwrap_or_default()),
        };
        let quant = match tensor.quantization {
            Some(parameters) => self.quant(*parameters, place)?,
            None => None,
        };
        Ok(Value { ty: Type { dtype, shape }, data, quant, variable: tensor.is_variable, name })
    }

    /// Ranges seen in training (`min`, `max`) are left behind: no interpreter reads them.
    fn quant(
        &self,
        parameters: schema::QuantizationParameters,
        place: impl Fn() -> String,
    ) -> Result<Option<Quant>, ReadError> {
        let schema::QuantizationParameters { min: _, max: _, scale, zero_point, details, quantized_dimension } =
            parameters;
        let scale = scale.unwrap_or_default();
        let Ok(axis) = usize::try_from(quantized_dimension) else {
            return broken(place(), format!("is quantized along axis {quantized_dimension}"));
        };
        match details {
            schema::QuantizationDetails::None if scale.is_empty() => Ok(None),
            schema::QuantizationDetails::None => {
                Ok(Some(Quant::Affine { scale, zero_point: zero_point.unwrap_or_default(), axis }))
            }
            schema::QuantizationDetails::BlockwiseQuantization(blocks) => {
                let schema::BlockwiseQuantization { scales, zero_points, block_size, block_shape } = *blocks;
                let block_size = usize::try_from(block_size).ok().filter(|&size| size > 0);
                let (Some(block_size), None, 0, true) = (block_size, block_shape, axis, scale.is_empty()) else {
                    return unsupported(place(), "is quantized in blocks over several axes");
                };
                Ok(Some(Quant::Blockwise {
                    scales: self.id(&format!("scales of tensor {}", place()), scales)?,
                    zero_points: match zero_points {
                        i32::MIN..0 => None,
                        i => Some(self.id(&format!("zero points of tensor {}", place()), i)?),
                    },
                    block_size,
                }))
            }
            details @ (schema::QuantizationDetails::CustomQuantization(_)
            | schema::QuantizationDetails::MultiAxisQuantization(_)) => {
                unsupported(place(), format!("has {}", schema::Union::name(&details)))
            }
        }
    }

    fn node(&self, graph: &mut Graph, index: usize, operator: schema::Operator) -> Result<Node, ReadError> {
        let Some(code) = self.shared.codes.get(operator.opcode_index as usize) else {
            let what = format!("has code {} of {}", operator.opcode_index, self.shared.codes.len());
            return broken(format!("{}, operator {index}", self.place), what);
        };
        let builtin = code.operator();
        let place = format!("operator {index} {builtin}");
        let optional =
            |&id: &i32| if id == -1 { Ok(None) } else { self.id(&format!("an input of {place}"), id).map(Some) };
        let mut inputs: Vec<Option<ValueId>> =
            operator.inputs.iter().flatten().map(optional).collect::<Result<_, _>>()?;
        let outputs = self.ids(&format!("an output of {place}"), operator.outputs.as_deref().unwrap_or_default())?;
        if builtin == BuiltinOperator::RESHAPE && inputs.len() == 1 {
            inputs.extend(shape_operand(graph, &operator.builtin_options).map(Some));
        }
        let op = match known_op(graph, builtin, &operator, &inputs, &outputs) {
            Some(op) => op,
            None => Op::Opaque(Box::new(self.opaque(code, &place, operator)?)),
        };
        Ok(Node { op, inputs, outputs, origin: None, precision: Precision::Any })
    }

    fn opaque(
        &self,
        code: &schema::OperatorCode,
        place: &str,
        operator: schema::Operator,
    ) -> Result<Opaque, ReadError> {
        let at = || format!("{}, {place}", self.place);
        if operator.custom_options_format != schema::CustomOptionsFormat::FLEXBUFFERS {
            return unsupported(at(), format!("has options in format {}", operator.custom_options_format));
        }
        let (offset, size) = (operator.large_custom_options_offset, operator.large_custom_options_size);
        let intermediates = operator.intermediates.as_deref();
        Ok(Opaque {
            code: code.operator(),
            version: code.version,
            options: operator.builtin_options,
            options_2: operator.builtin_options_2,
            custom_code: code.custom_code.clone(),
            custom_options: match operator.custom_options {
                Some(options) => Some(options),
                None => outside(self.shared.bytes, offset, size, at)?,
            },
            intermediates: intermediates
                .map(|ids| self.ids(&format!("an intermediate of {place}"), ids))
                .transpose()?,
            mutating_variable_inputs: operator.mutating_variable_inputs,
        })
    }
}

/// The operator, where a graph says all that the file says of it.
fn known_op(
    graph: &Graph,
    builtin: BuiltinOperator,
    operator: &schema::Operator,
    inputs: &[Option<ValueId>],
    outputs: &[ValueId],
) -> Option<Op> {
    let mutates = operator.mutating_variable_inputs.iter().flatten().any(|&mutates| mutates);
    let plain = operator.builtin_options_2 == schema::BuiltinOptions2::None
        && operator.custom_options.as_ref().is_none_or(Bytes::is_empty)
        && operator.large_custom_options_offset <= 1
        && operator.intermediates.as_ref().is_none_or(Vec::is_empty)
        && !mutates;
    let call = Call {
        builtin,
        options: &operator.builtin_options,
        inputs: inputs.iter().map(|id| id.map(|id| graph.value(id))).collect(),
        outputs: outputs.iter().map(|&id| graph.value(id)).collect(),
    };
    if plain { read_options::decode(&call) } else { None }
}

/// Whether `node` turns a sparse constant into a dense one, as reading has done already. Its result is a constant then.
fn makes_dense(graph: &mut Graph, node: &Node, sparse: &[bool]) -> bool {
    let (Op::Opaque(opaque), [Some(from)], [to]) = (&node.op, &node.inputs[..], &node.outputs[..]) else {
        return false;
    };
    let is_sparse = sparse.get(from.0 as usize).copied().unwrap_or(false);
    let data = graph.constant(*from).filter(|_| is_sparse && opaque.code == BuiltinOperator::DENSIFY).cloned();
    let Some(data) = data else { return false };
    let to = graph.value_mut(*to);
    (to.ty, to.data) = (Type::of(&data), Some(data));
    true
}

/// The operand that a `RESHAPE` without one has its shape in options for: old files.
fn shape_operand(graph: &mut Graph, options: &schema::BuiltinOptions) -> Option<ValueId> {
    let schema::BuiltinOptions::ReshapeOptions(options) = options else { return None };
    Some(graph.add_constant("new_shape", Tensor::vector(options.new_shape.clone()?)))
}

fn constant(
    dtype: DType,
    dims: &[i32],
    bytes: Bytes,
    sparsity: Option<&schema::SparsityParameters>,
) -> Result<Tensor, String> {
    let shape: Result<Vec<usize>, _> = dims.iter().map(|&d| usize::try_from(d)).collect();
    let shape = shape.map_err(|_| format!("is a constant of shape {dims:?}"))?;
    let bytes = match sparsity {
        None => bytes,
        Some(_) if dtype.bits() < 8 => return Err(format!("is sparse and of type {dtype}")),
        Some(parameters) => sparse::densified(&shape, dtype.bits() / 8, parameters, &bytes)?,
    };
    Tensor::new(dtype, shape, bytes).map_err(|e: TensorError| e.to_string())
}

/// Extents that `shape_signature`, where it fits, or a shape of old files calls unknown.
fn shape(dims: &[i32], signature: &[i32]) -> Shape {
    let known = |d: i32| -> Dim { usize::try_from(d).ok() };
    if signature.len() == dims.len() {
        let pairs = dims.iter().zip(signature);
        Shape(pairs.map(|(&d, &s)| if s < 0 { None } else { known(d) }).collect())
    } else {
        Shape(dims.iter().map(|&d| known(d)).collect())
    }
}

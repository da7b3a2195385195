//! A model to bytes.

use std::io;

use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;
use indexmap::IndexSet;

use super::buffers::{Buffers, LENGTH, Place, fill, padded_end};
use super::metadata::{self, Runtime};
use super::regions::{self, Listed};
use super::{attachment, codes, normalized, versions, write_options};
use crate::graph::{Graph, Model, Node, Op, Port, Quant, Signature, Value, ValueId};
use crate::schema::{self, BuiltinOperator, Table};

/// How a model is laid out in the file.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Constants of more bytes than this go behind the flatbuffer, where only newer runtimes find them.
    pub inline_limit: u64,
}

/// Leaves a flatbuffer room for all that is not constants below its limit of 2 GiB.
const LARGEST_INLINE: u64 = 1_900_000_000;

impl Default for WriteOptions {
    fn default() -> WriteOptions {
        WriteOptions { inline_limit: LARGEST_INLINE }
    }
}

/// Metadata and custom options, which stay among the tables.
const LARGEST_FRAME: u64 = 100 << 20;

/// Why a model can't be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("the model has no graph")]
    NoGraph,
    /// A graph that interpreters would read wild memory for, or that the format has no room for.
    #[error("{place}: {what}")]
    Invalid { place: String, what: String },
    #[error("metadata and custom options of {bytes} bytes do not fit in a flatbuffer, which ends at 2 GiB")]
    TooLarge { bytes: u64 },
}

/// A finished file.
#[derive(Debug, Clone)]
pub struct Written {
    flatbuffer: Bytes,
    /// What follows the flatbuffer, with its place in the file, in ascending order.
    rest: Vec<(u64, Bytes)>,
    len: u64,
    /// Whether constants lie behind the flatbuffer.
    pub has_data_outside: bool,
    /// The oldest runtime release that runs the file, where all its operators are known.
    pub min_runtime: Option<Runtime>,
}

impl Written {
    /// Length of the file in bytes.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    /// Writes the file from its first byte to its last.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        let mut position = self.flatbuffer.len() as u64;
        out.write_all(&self.flatbuffer)?;
        for (offset, data) in &self.rest {
            pad(out, offset - position)?;
            out.write_all(data)?;
            position = offset + data.len() as u64;
        }
        pad(out, self.len - position)
    }

    /// The file in one piece, a copy, aligned as it is in memory that was mapped.
    pub fn to_bytes(&self) -> Bytes {
        let len = usize::try_from(self.len).unwrap_or(0);
        let mut blocks = vec![0u128; len.div_ceil(size_of::<u128>())];
        let mut out: &mut [u8] = bytemuck::cast_slice_mut(&mut blocks);
        self.write_to(&mut out).expect("there is room for the whole file");
        Bytes::from_owner(Blocks(blocks)).slice(..len)
    }
}

/// Lets `Bytes` own memory that is aligned.
struct Blocks(Vec<u128>);

impl AsRef<[u8]> for Blocks {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// At most 31 zeros: the gap before a payload and the end of the file.
fn pad(out: &mut impl io::Write, count: u64) -> io::Result<()> {
    out.write_all(&[0; 32][..(count as usize).min(32)])
}

/// Writes `model`: the same model gives the same bytes.
///
/// Takes no memory for constants: they are the model's own until they are written.
///
/// # Errors
/// As [`normalized`], and where numbers don't fit the format. Whether operators fit their operands is not looked at: that is
/// [`verify`](crate::graph::verify).
pub fn write(model: &Model, options: &WriteOptions) -> Result<Written, WriteError> {
    let model = normalized(model)?;
    let mut parts = Parts { buffers: Buffers::new(), codes: IndexSet::new() };
    let mut subgraphs = Vec::with_capacity(model.graphs.len());
    for (index, Listed { graph, regions }) in regions::listed(&model).into_iter().enumerate() {
        let place = format!("graph {index} {:?}", graph.name);
        subgraphs.push(Subgraph { graph, regions, place, parts: &mut parts }.pack()?);
    }
    let outside = parts.buffers.constant_bytes() > options.inline_limit.min(LARGEST_INLINE);
    let min_runtime = metadata::min_runtime(&model);
    let mut entries = model.metadata.clone();
    entries.extend(min_runtime.map(|r| (metadata::MIN_RUNTIME_VERSION.into(), metadata::encode_runtime(r))));
    if outside {
        entries.push((metadata::BUFFER_LOCATION.into(), Bytes::from_static(metadata::OUTSIDE_FLATBUFFERS)));
    }
    let entry = |(name, data)| schema::Metadata { name: Some(name), buffer: parts.buffers.metadata(data) };
    let metadata: Vec<_> = entries.into_iter().map(entry).collect();
    let file = schema::Model {
        version: schema::MODEL_VERSION,
        operator_codes: Some(parts.codes.into_iter().map(Code::pack).collect()),
        subgraphs: Some(subgraphs),
        description: text(&model.description),
        buffers: None,
        metadata: (!metadata.is_empty()).then_some(metadata),
        signature_defs: signatures(&model.signatures),
        ..schema::Model::default()
    };
    let (flatbuffer, mut rest) = assemble(file, &parts.buffers, outside)?;
    let mut len = match rest.last() {
        Some((offset, data)) => padded_end(offset + data.len() as u64),
        None => flatbuffer.len() as u64,
    };
    if !model.attachments.is_empty() {
        let archive = attachment::placed(&model.attachments, len).ok_or_else(|| WriteError::Invalid {
            place: "the attachments".into(),
            what: "are no ZIP archive, or would lie past 4 GB".into(),
        })?;
        rest.push((len, archive.clone()));
        len += archive.len() as u64;
    }
    Ok(Written { flatbuffer, rest, len, has_data_outside: outside, min_runtime })
}

/// What all graphs of a file share.
struct Parts {
    buffers: Buffers,
    /// In the order of first use. One entry for each version of an operator, so that delegates, which look at the version, take
    /// a float node even where the file has the operator in another type too.
    codes: IndexSet<Code>,
}

#[derive(PartialEq, Eq, Hash)]
struct Code {
    builtin: BuiltinOperator,
    version: i32,
    custom: Option<String>,
}

impl Code {
    fn pack(self) -> schema::OperatorCode {
        schema::OperatorCode { custom_code: self.custom, ..schema::OperatorCode::builtin(self.builtin, self.version) }
    }
}

struct Subgraph<'a> {
    graph: &'a Graph,
    /// For each node, where the first of the graphs that it runs lies; the others follow.
    regions: Vec<usize>,
    place: String,
    parts: &'a mut Parts,
}

impl Subgraph<'_> {
    fn pack(mut self) -> Result<schema::SubGraph, WriteError> {
        let graph = self.graph;
        let tensors = graph.values.iter().map(|value| self.tensor(value)).collect::<Result<_, _>>()?;
        let nodes = graph.nodes.iter().enumerate();
        let operators = nodes.map(|(index, node)| self.operator(index, node)).collect::<Result<_, _>>()?;
        Ok(schema::SubGraph {
            tensors: Some(tensors),
            inputs: Some(indices(&graph.inputs)),
            outputs: Some(indices(&graph.outputs)),
            operators: Some(operators),
            name: text(&graph.name),
            ..schema::SubGraph::default()
        })
    }

    fn invalid(&self, place: impl std::fmt::Display, what: impl Into<String>) -> WriteError {
        WriteError::Invalid { place: format!("{}, {place}", self.place), what: what.into() }
    }

    fn tensor(&mut self, value: &Value) -> Result<schema::Tensor, WriteError> {
        let place = || format!("value {:?}", value.name);
        let mut shape = Vec::with_capacity(value.ty.shape.rank());
        let mut signature = Vec::with_capacity(value.ty.shape.rank());
        for dim in value.ty.shape.dims() {
            let extent = dim.map(i32::try_from).transpose();
            let extent = extent
                .map_err(|_| self.invalid(place(), format!("has an extent past 32 bits in {}", value.ty.shape)))?;
            shape.push(extent.unwrap_or(1));
            signature.push(extent.unwrap_or(-1));
        }
        if let Some(data) = &value.data
            && (value.variable
                || data.dtype() != value.ty.dtype
                || value.ty.shape.as_fixed().as_deref() != Some(data.shape()))
        {
            let role = if value.variable { "a variable" } else { "a value" };
            let what = format!("is {role} of type {} with data {}{:?}", value.ty, data.dtype(), data.shape());
            return Err(self.invalid(place(), what));
        }
        let quantization = value.quant.as_ref().map(quantization).transpose();
        let quantization = quantization.map_err(|_| self.invalid(place(), "has a quantization past 32 bits"))?;
        Ok(schema::Tensor {
            shape: Some(shape),
            type_: codes::tensor_type(value.ty.dtype),
            buffer: value.data.as_ref().map_or(0, |data| self.parts.buffers.constant(data.bytes())),
            name: text(&value.name),
            quantization: quantization.map(Box::new),
            is_variable: value.variable,
            shape_signature: (!value.ty.shape.is_fixed()).then_some(signature),
            // Without this a scalar would be a value of unknown rank.
            has_rank: true,
            ..schema::Tensor::default()
        })
    }

    fn operator(&mut self, index: usize, node: &Node) -> Result<schema::Operator, WriteError> {
        let (builtin_options, builtin_options_2) = write_options::encode(self.graph, node, self.regions[index])
            .map_err(|_| self.invalid(format!("node {index} {}", node.op.name()), "has an option past 32 bits"))?;
        let opaque = match &node.op {
            Op::Opaque(opaque) => Some(opaque),
            _ => None,
        };
        let code = Code {
            builtin: codes::builtin(&node.op),
            version: versions::of(self.graph, node),
            custom: opaque.and_then(|opaque| opaque.custom_code.clone()),
        };
        Ok(schema::Operator {
            // There are fewer codes than nodes, and fewer nodes than values, which are counted with 31 bits.
            opcode_index: self.parts.codes.insert_full(code).0 as u32,
            inputs: Some(node.inputs.iter().map(|id| id.map_or(-1, index_of)).collect()),
            outputs: Some(indices(&node.outputs)),
            builtin_options,
            builtin_options_2,
            custom_options: opaque.and_then(|opaque| opaque.custom_options.clone()),
            mutating_variable_inputs: opaque.and_then(|opaque| opaque.mutating_variable_inputs.clone()),
            intermediates: opaque.and_then(|opaque| opaque.intermediates.as_deref().map(indices)),
            ..schema::Operator::default()
        })
    }
}

/// `normalized` has counted the values: they are fewer than 2^31.
fn index_of(id: ValueId) -> i32 {
    id.0 as i32
}

fn indices(ids: &[ValueId]) -> Vec<i32> {
    ids.iter().map(|&id| index_of(id)).collect()
}

/// No text and empty text are one in a graph.
fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn quantization(quant: &Quant) -> Result<schema::QuantizationParameters, std::num::TryFromIntError> {
    Ok(match quant {
        Quant::Affine { scale, zero_point, axis } => schema::QuantizationParameters {
            scale: Some(scale.clone()),
            zero_point: Some(zero_point.clone()),
            quantized_dimension: i32::try_from(*axis)?,
            ..schema::QuantizationParameters::default()
        },
        Quant::Blockwise { scales, zero_points, block_size } => schema::QuantizationParameters {
            details: schema::BlockwiseQuantization {
                scales: index_of(*scales),
                zero_points: zero_points.map_or(-1, index_of),
                block_size: i32::try_from(*block_size)?,
                // Only the newest runtimes know this field, and `block_size` says it all.
                block_shape: None,
            }
            .into(),
            ..schema::QuantizationParameters::default()
        },
    })
}

fn signatures(signatures: &[Signature]) -> Option<Vec<schema::SignatureDef>> {
    let port = |port: &Port| schema::TensorMap { name: Some(port.name.clone()), tensor_index: port.value.0 };
    let signature = |signature: &Signature| schema::SignatureDef {
        inputs: Some(signature.inputs.iter().map(port).collect()),
        outputs: Some(signature.outputs.iter().map(port).collect()),
        signature_key: Some(signature.key.clone()),
        // `normalized` has found it among the graphs.
        subgraph_index: signature.graph as u32,
    };
    (!signatures.is_empty()).then(|| signatures.iter().map(signature).collect())
}

/// The flatbuffer, and what goes behind it: all constants, which a flatbuffer may lead to as its own or by `Buffer.offset`.
fn assemble(
    mut file: schema::Model,
    buffers: &Buffers,
    outside: bool,
) -> Result<(Bytes, Vec<(u64, Bytes)>), WriteError> {
    let layout = buffers.hollow();
    let custom = file.subgraphs.iter().flatten().flat_map(|graph| graph.operators.iter().flatten());
    let custom = custom.filter_map(|operator| operator.custom_options.as_ref());
    let data = layout.iter().filter_map(|buffer| buffer.data.as_ref()).chain(custom);
    let bytes: u64 = data.map(|data| data.len() as u64).sum();
    if bytes > LARGEST_FRAME {
        return Err(WriteError::TooLarge { bytes });
    }
    if outside {
        // The places of constants don't change how many bytes they take (0 alone would, which is not written), so a first pass
        // tells where the flatbuffer ends.
        file.buffers = Some(buffers.outside(&buffers.places(1, 0)));
        let places = buffers.places(pack(&file).len() as u64, 0);
        file.buffers = Some(buffers.outside(&places));
        return Ok((pack(&file).into(), places.into_iter().map(|place| (place.offset, place.data)).collect()));
    }
    file.buffers = Some(layout);
    let mut flatbuffer = pack(&file);
    let places = buffers.places(flatbuffer.len() as u64, LENGTH);
    fill(&mut flatbuffer, &places).ok_or(WriteError::TooLarge { bytes: buffers.constant_bytes() })?;
    let with_length = |place: Place| {
        // Past 32 bits no place is filled in.
        let length = Bytes::copy_from_slice(&(place.data.len() as u32).to_le_bytes());
        [(place.offset - LENGTH, length), (place.offset, place.data)]
    };
    Ok((flatbuffer.into(), places.into_iter().flat_map(with_length).collect()))
}

fn pack(file: &schema::Model) -> Vec<u8> {
    let mut b = FlatBufferBuilder::with_capacity(64 << 10);
    let root = file.pack(&mut b);
    schema::finish_model(&mut b, root);
    b.finished_data().to_vec()
}

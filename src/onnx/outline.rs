//! Large tensors of a model file are left where they lie: the message that is decoded points at them as it would at other files.
//!
//! Decoding copies every byte of a message. A model of 2 GB would take that much more memory, all of it until the end.

use std::ops::Range;

use bytes::Bytes;

use super::external::THIS_FILE;

/// Smaller ones are as well copied.
const LARGE: usize = 1 << 16;

/// Field numbers of onnx.proto.
mod field {
    pub const MODEL_GRAPH: u64 = 7;
    pub const GRAPH_INITIALIZER: u64 = 5;
    pub const TENSOR_RAW_DATA: u64 = 9;
    pub const TENSOR_EXTERNAL_DATA: u64 = 13;
    pub const TENSOR_DATA_LOCATION: u64 = 14;
    pub const ENTRY_KEY: u64 = 1;
    pub const ENTRY_VALUE: u64 = 2;
}

/// `model`, a `ModelProto`, with references in place of the raw data of large initializers. What is damaged stays as it is.
pub fn outline(model: Bytes) -> Bytes {
    match rewritten(&model) {
        Some(outlined) => outlined.into(),
        None => model,
    }
}

fn rewritten(model: &[u8]) -> Option<Vec<u8>> {
    let fields = fields(model, 0..model.len())?;
    let mut graphs = fields.iter().filter(|f| f.number == field::MODEL_GRAPH);
    let (Some(graph), None) = (graphs.next(), graphs.next()) else { return None };
    let mut out = Vec::new();
    for part in &fields {
        if part.number == field::MODEL_GRAPH {
            message(&mut out, field::MODEL_GRAPH, &self::graph(model, graph.payload.clone()?)?);
        } else {
            out.extend(&model[part.whole.clone()]);
        }
    }
    Some(out)
}

fn graph(model: &[u8], range: Range<usize>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in fields(model, range)? {
        let is_initializer = part.number == field::GRAPH_INITIALIZER;
        match part.payload.filter(|_| is_initializer).and_then(|payload| tensor(model, payload)) {
            Some(tensor) => message(&mut out, field::GRAPH_INITIALIZER, &tensor),
            None => out.extend(&model[part.whole]),
        }
    }
    Some(out)
}

/// A tensor that refers to its data; `None` where they are small, or not the only raw ones.
fn tensor(model: &[u8], range: Range<usize>) -> Option<Vec<u8>> {
    if range.len() < LARGE {
        return None;
    }
    let parts = fields(model, range)?;
    let is_external = |n| n == field::TENSOR_EXTERNAL_DATA || n == field::TENSOR_DATA_LOCATION;
    let mut raw = parts.iter().filter(|f| f.number == field::TENSOR_RAW_DATA);
    let (Some(raw), None) = (raw.next(), raw.next()) else { return None };
    let data = raw.payload.clone().filter(|data| data.len() >= LARGE)?;
    if parts.iter().any(|f| is_external(f.number)) {
        return None;
    }
    let mut out = Vec::new();
    for part in parts.iter().filter(|f| f.number != field::TENSOR_RAW_DATA) {
        out.extend(&model[part.whole.clone()]);
    }
    let (offset, length) = (data.start.to_string(), data.len().to_string());
    for (key, value) in [("location", THIS_FILE), ("offset", &offset), ("length", &length)] {
        let mut entry = Vec::new();
        message(&mut entry, field::ENTRY_KEY, key.as_bytes());
        message(&mut entry, field::ENTRY_VALUE, value.as_bytes());
        message(&mut out, field::TENSOR_EXTERNAL_DATA, &entry);
    }
    varint(&mut out, field::TENSOR_DATA_LOCATION << 3);
    varint(&mut out, 1);
    Some(out)
}

/// One field of a message.
struct Field {
    number: u64,
    /// With its tag.
    whole: Range<usize>,
    /// What a field of the wire type of messages, strings and bytes holds.
    payload: Option<Range<usize>>,
}

/// The fields of the message that lies at `range`; `None` where it is damaged.
fn fields(bytes: &[u8], range: Range<usize>) -> Option<Vec<Field>> {
    let bytes = bytes.get(..range.end)?;
    let mut at = range.start;
    let mut fields = Vec::new();
    while at < range.end {
        let start = at;
        let tag = read_varint(bytes, &mut at)?;
        let mut payload = None;
        at = match tag & 7 {
            0 => read_varint(bytes, &mut at).map(|_| at)?,
            1 => at.checked_add(8)?,
            2 => {
                let len = usize::try_from(read_varint(bytes, &mut at)?).ok()?;
                let end = at.checked_add(len)?;
                payload = Some(at..end);
                end
            }
            5 => at.checked_add(4)?,
            _ => return None,
        };
        if at > range.end {
            return None;
        }
        fields.push(Field { number: tag >> 3, whole: start..at, payload });
    }
    Some(fields)
}

fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of the wire type of messages, strings and bytes.
fn message(out: &mut Vec<u8>, number: u64, payload: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, payload.len() as u64);
    out.extend(payload);
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb;

    use super::*;
    use crate::onnx::read_bytes;

    fn model(elements: usize) -> pb::ModelProto {
        let data: Vec<u8> = (0..elements as u32).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let weights = pb::TensorProto {
            name: "w".into(),
            data_type: 1,
            dims: vec![elements as i64],
            raw_data: data,
            ..Default::default()
        };
        let node = pb::NodeProto {
            op_type: "Relu".into(),
            input: vec!["w".into()],
            output: vec!["y".into()],
            ..Default::default()
        };
        let output = pb::ValueInfoProto { name: "y".into(), ..Default::default() };
        let graph = pb::GraphProto {
            node: vec![node],
            initializer: vec![weights.clone(), pb::TensorProto { name: "v".into(), ..weights }],
            output: vec![output],
            ..Default::default()
        };
        let opset = pb::OperatorSetIdProto { domain: String::new(), version: 17 };
        pb::ModelProto { graph: Some(graph), opset_import: vec![opset], ..Default::default() }
    }

    #[test]
    fn large_tensors_are_read_from_where_they_lie() {
        for elements in [1, LARGE / 4 - 1, LARGE / 4, LARGE] {
            let proto = model(elements);
            let bytes = Bytes::from(proto.encode_to_vec());
            let slim = outline(bytes.clone());
            assert_eq!(slim.len() < 1000, elements >= LARGE / 4 || elements == 1, "{elements}: {}", slim.len());
            let read = read_bytes(bytes).unwrap();
            for name in ["w", "v"] {
                let found = read.graph.initializers[name].view::<f32>().unwrap().to_vec();
                assert_eq!(found, (0..elements).map(|i| i as f32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn damaged_bytes_stay_as_they_are() {
        let bytes = model(LARGE).encode_to_vec();
        for len in (0..200).chain([bytes.len() / 2, bytes.len() - 1]) {
            let cut = Bytes::copy_from_slice(&bytes[..len]);
            assert!(read_bytes(cut).is_err());
        }
        let mut wrong = bytes.clone();
        wrong[1] ^= 0xff;
        let wrong = Bytes::from(wrong);
        assert_eq!(outline(wrong.clone()).len(), wrong.len());
    }
}

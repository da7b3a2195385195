//! `TensorProto` to [`Tensor`].

use bytes::Bytes;
use half::{bf16, f16};
use tract_onnx::pb;

use super::external::ExternalData;
use crate::tensor::{DType, Tensor};

/// The element type of an ONNX data type number; `None` where there is no counterpart.
pub fn dtype(data_type: i32) -> Option<DType> {
    // TensorProto.DataType of onnx.proto.
    Some(match data_type {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        14 => DType::C64,
        15 => DType::C128,
        16 => DType::BF16,
        17 => DType::F8E4M3FN,
        19 => DType::F8E5M2,
        21 => DType::U4,
        22 => DType::I4,
        _ => return None,
    })
}

/// # Errors
/// A sentence that says what is wrong with the tensor.
pub fn decode(proto: &mut pb::TensorProto, external: &mut ExternalData) -> Result<Tensor, String> {
    let Some(dtype) = dtype(proto.data_type) else {
        return Err(match proto.data_type {
            8 => "holds strings, which TFLite graphs can't compute with".to_string(),
            0 => "has no element type".to_string(),
            n => format!("has element type number {n}, which TFLite does not have"),
        });
    };
    let shape: Result<Vec<usize>, _> = proto.dims.iter().map(|&d| usize::try_from(d)).collect();
    let shape = shape.map_err(|_| format!("has a negative extent in {:?}", proto.dims))?;
    let data = if proto.data_location == Some(pb::tensor_proto::DataLocation::External as i32) {
        external_data(proto, external)?
    } else if !proto.raw_data.is_empty() {
        Bytes::from(std::mem::take(&mut proto.raw_data))
    } else {
        return typed_data(proto, dtype, &shape);
    };
    Tensor::new(dtype, shape, data).map_err(|e| e.to_string())
}

/// Largest dense form of a sparse tensor that is made, in bytes: a few bytes of a file could ask for any number.
const LARGEST_DENSE: usize = 1 << 30;

/// The dense form of a sparse tensor.
///
/// # Errors
/// A sentence that says what is wrong with the tensor.
pub fn decode_sparse(proto: &mut pb::SparseTensorProto, external: &mut ExternalData) -> Result<Tensor, String> {
    let values = decode(proto.values.as_mut().ok_or("has no values")?, external)?;
    let indices = decode(proto.indices.as_mut().ok_or("has no indices")?, external)?;
    let shape: Result<Vec<usize>, _> = proto.dims.iter().map(|&d| usize::try_from(d)).collect();
    let shape = shape.map_err(|_| format!("has a negative extent in {:?}", proto.dims))?;
    let width = values.dtype().bits() / 8;
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let len = elements.and_then(|n| n.checked_mul(width)).filter(|&len| len <= LARGEST_DENSE && width > 0);
    let (Some(elements), Some(len)) = (elements, len) else {
        return Err(format!("has a dense form of {} {shape:?}, which is too large", values.dtype()));
    };
    // Positions in the flattened tensor, or one coordinate for each axis.
    let coordinates = indices.to_i64s().map_err(|e| e.to_string())?;
    let per_value = if indices.rank() == 2 { shape.len() } else { 1 };
    if values.rank() != 1 || coordinates.len() != values.len() * per_value {
        return Err(format!("has indices {:?} for values {:?}", indices.shape(), values.shape()));
    }
    let extents = if per_value == shape.len() { shape.as_slice() } else { &[elements] };
    let mut dense = vec![0u8; len];
    for (at, value) in coordinates.chunks_exact(per_value.max(1)).zip(values.bytes().chunks_exact(width)) {
        let flat = at.iter().zip(extents).try_fold(0usize, |flat, (&i, &extent)| {
            let i = usize::try_from(i).ok().filter(|&i| i < extent)?;
            Some(flat * extent + i)
        });
        let flat = flat.ok_or_else(|| format!("has index {at:?} outside {shape:?}"))?;
        dense[flat * width..(flat + 1) * width].copy_from_slice(value);
    }
    Tensor::new(values.dtype(), shape, dense.into()).map_err(|e| e.to_string())
}

fn external_data(proto: &pb::TensorProto, external: &mut ExternalData) -> Result<Bytes, String> {
    let entry = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let location = entry("location").ok_or("is external, but names no location")?;
    let number = |key: &str| match entry(key) {
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("has {key} {text:?}")),
        None => Ok(None),
    };
    external.read(location, number("offset")?.unwrap_or(0), number("length")?)
}

/// Data in the typed fields, where small types travel as 32-bit integers.
fn typed_data(proto: &pb::TensorProto, dtype: DType, shape: &[usize]) -> Result<Tensor, String> {
    let ints = &proto.int32_data;
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let elements = elements.ok_or_else(|| format!("is too large: {shape:?}"))?;
    let check = |len: usize| match len == elements {
        true => Ok(()),
        false => Err(format!("has {len} elements for shape {shape:?}")),
    };
    macro_rules! from {
        ($values:expr, $convert:expr) => {{
            check($values.len())?;
            Ok(Tensor::from_vec(shape, $values.iter().map($convert).collect()))
        }};
    }
    match dtype {
        DType::F32 => from!(proto.float_data, |&x| x),
        DType::F64 => from!(proto.double_data, |&x| x),
        DType::I64 => from!(proto.int64_data, |&x| x),
        DType::I32 => from!(ints, |&x| x),
        DType::I16 => from!(ints, |&x| x as i16),
        DType::U16 => from!(ints, |&x| x as u16),
        DType::I8 => from!(ints, |&x| x as i8),
        DType::U8 => from!(ints, |&x| x as u8),
        DType::F16 => from!(ints, |&x| f16::from_bits(x as u16)),
        DType::BF16 => from!(ints, |&x| bf16::from_bits(x as u16)),
        DType::U64 => from!(proto.uint64_data, |&x| x),
        DType::U32 => from!(proto.uint64_data, |&x| x as u32),
        DType::Bool => {
            check(ints.len())?;
            Ok(Tensor::from_bools(shape, &ints.iter().map(|&x| x != 0).collect::<Vec<_>>()))
        }
        // Two to a byte, one byte to an entry.
        DType::I4 | DType::U4 => {
            let bytes: Vec<u8> = ints.iter().map(|&x| x as u8).collect();
            Tensor::new(dtype, shape.to_vec(), bytes.into()).map_err(|e| e.to_string())
        }
        DType::C64 => {
            let bytes: Vec<u8> = proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect();
            Tensor::new(dtype, shape.to_vec(), bytes.into()).map_err(|e| e.to_string())
        }
        _ => Err(format!("has no data that can be read as {dtype}")),
    }
}

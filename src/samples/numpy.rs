//! `.npy` and `.npz` files to [`Tensor`]s.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use indexmap::IndexMap;
use npyz::npz::NpzArchive;
use npyz::{DType as NpyType, Endianness, NpyFile, Order, TypeChar};

use crate::tensor::{DType, Perm, Tensor};

/// The arrays of an `.npz` file by name, in file order.
///
/// # Errors
/// A sentence that says what can't be read.
pub fn read_npz(path: &Path) -> Result<IndexMap<String, Tensor>, String> {
    let mut archive = NpzArchive::open(path).map_err(|e| format!("can't be read as .npz: {e}"))?;
    let names: Vec<String> = archive.array_names().map(str::to_string).collect();
    let mut arrays = IndexMap::new();
    for name in names {
        let file = archive.by_name(&name).map_err(|e| format!("array {name:?}: {e}"))?;
        let file = file.ok_or_else(|| format!("array {name:?} is missing"))?;
        let tensor = tensor(file).map_err(|e| format!("array {name:?} {e}"))?;
        arrays.insert(name, tensor);
    }
    Ok(arrays)
}

/// The array of an `.npy` file.
///
/// # Errors
/// A sentence that says what can't be read.
pub fn read_npy(path: &Path) -> Result<Tensor, String> {
    let file = File::open(path).map_err(|e| format!("can't be opened: {e}"))?;
    tensor(NpyFile::new(BufReader::new(file)).map_err(|e| format!("can't be read as .npy: {e}"))?)
}

fn tensor<R: Read>(file: NpyFile<R>) -> Result<Tensor, String> {
    let dtype = dtype(&file.dtype())?;
    let shape: Option<Vec<usize>> = file.shape().iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or("is too large")?;
    let order = file.order();
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let len = elements.and_then(|n| dtype.byte_len(n)).ok_or("is too large")?;
    // Grows with what is really there, whatever the header claims.
    let mut data = Vec::new();
    let read = file.into_inner().take(len as u64).read_to_end(&mut data);
    read.map_err(|e| format!("can't be read: {e}"))?;
    if order == Order::C {
        return Tensor::new(dtype, shape, Bytes::from(data)).map_err(|e| e.to_string());
    }
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let tensor = Tensor::new(dtype, reversed, Bytes::from(data)).map_err(|e| e.to_string())?;
    Ok(match Perm::new((0..shape.len()).rev().collect()) {
        Some(perm) => tensor.permute(&perm),
        None => tensor,
    })
}

fn dtype(dtype: &NpyType) -> Result<DType, String> {
    let NpyType::Plain(plain) = dtype else { return Err("holds records, not numbers".into()) };
    if plain.endianness() == Endianness::Big {
        return Err("is big endian: save it as little endian".into());
    }
    Ok(match (plain.type_char(), plain.size_field()) {
        (TypeChar::Bool, _) => DType::Bool,
        (TypeChar::Int, 1) => DType::I8,
        (TypeChar::Int, 2) => DType::I16,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Uint, 2) => DType::U16,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Uint, 8) => DType::U64,
        (TypeChar::Float, 2) => DType::F16,
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        (TypeChar::Complex, 8) => DType::C64,
        (TypeChar::Complex, 16) => DType::C128,
        _ => return Err(format!("has type {plain}, which is no type of tensor")),
    })
}

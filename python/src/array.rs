//! Arrays of NumPy and tensors: the one's memory is the other's.

use bytes::Bytes;
use litesmith::tensor::{DType, Tensor};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

/// Keeps an array alive for as long as a tensor looks at its elements.
struct Owner {
    _array: Py<PyUntypedArray>,
    data: *const u8,
    len: usize,
}

// SAFETY: the elements are only read, and the reference that keeps them alive may be dropped on any thread.
unsafe impl Send for Owner {}
// SAFETY: as above.
unsafe impl Sync for Owner {}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: NumPy's array is contiguous, of this many bytes, and lives as long as `self`. That nobody writes to it meanwhile is
        // for the caller, which makes a copy of what is not its own.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

/// The array as a tensor that shares its memory.
///
/// # Errors
/// Where the elements are no numbers in this machine's order of bytes, or are not contiguous.
pub fn tensor(array: &Bound<'_, PyUntypedArray>) -> PyResult<Tensor> {
    let descr = array.dtype();
    let dtype = dtype(descr.kind(), descr.itemsize()).filter(|_| descr.byteorder() != b'>');
    let Some(dtype) = dtype.filter(|_| array.is_c_contiguous()) else {
        return Err(PyTypeError::new_err(format!("an array of {descr} is no contiguous array of numbers")));
    };
    let shape = array.shape().to_vec();
    let len = array.len() * descr.itemsize();
    if len == 0 {
        return Tensor::new(dtype, shape, Bytes::new()).map_err(|e| PyTypeError::new_err(e.to_string()));
    }
    // SAFETY: the pointer is to a live array object.
    let data = unsafe { (*array.as_array_ptr()).fields.data }.cast::<u8>().cast_const();
    let owner = Owner { _array: array.clone().unbind(), data, len };
    Tensor::new(dtype, shape, Bytes::from_owner(owner)).map_err(|e| PyTypeError::new_err(e.to_string()))
}

fn dtype(kind: u8, itemsize: usize) -> Option<DType> {
    Some(match (kind, itemsize) {
        (b'b', 1) => DType::Bool,
        (b'i', 1) => DType::I8,
        (b'i', 2) => DType::I16,
        (b'i', 4) => DType::I32,
        (b'i', 8) => DType::I64,
        (b'u', 1) => DType::U8,
        (b'u', 2) => DType::U16,
        (b'u', 4) => DType::U32,
        (b'u', 8) => DType::U64,
        (b'f', 2) => DType::F16,
        (b'f', 4) => DType::F32,
        (b'f', 8) => DType::F64,
        (b'c', 8) => DType::C64,
        (b'c', 16) => DType::C128,
        _ => return None,
    })
}

/// Type, shape and bytes, of which Python makes an array without another copy.
pub type Parts<'py> = (&'static str, Vec<usize>, Bound<'py, PyByteArray>);

/// # Errors
/// Where NumPy has no such type.
pub fn parts<'py>(py: Python<'py>, dtype: DType, shape: Vec<usize>, bytes: &[u8]) -> PyResult<Parts<'py>> {
    let name = match dtype {
        DType::C64 => "complex64",
        DType::C128 => "complex128",
        dtype if dtype != DType::BF16 && dtype.bits() >= 8 && dtype.bits() <= 64 => dtype.name(),
        dtype => return Err(PyTypeError::new_err(format!("NumPy has no arrays of {dtype}"))),
    };
    Ok((name, shape, PyByteArray::new(py, bytes)))
}

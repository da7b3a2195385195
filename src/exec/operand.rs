use std::sync::Arc;

use bytes::Bytes;
use tract_onnx::tract_core::prelude as tract;

use super::KernelError;
use crate::tensor::{DType, Tensor};

/// A tensor on its way between kernels.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub tensor: Tensor,
    /// The same tensor as tract's, where tract made it: the next kernel on tract then copies nothing.
    native: Option<Arc<tract::Tensor>>,
    /// The same at every run: what is prepared from it may be kept.
    pub constant: bool,
}

impl From<Tensor> for Operand {
    fn from(tensor: Tensor) -> Operand {
        Operand { tensor, native: None, constant: false }
    }
}

/// Lets `Bytes` share the memory of a tract tensor.
struct Owner(Arc<tract::Tensor>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Operand {
    pub fn constant(tensor: Tensor) -> Operand {
        Operand { tensor, native: None, constant: true }
    }

    /// Shares a `FLOAT32` tensor that tract made, under the given shape of as many elements.
    pub fn from_native(native: tract::Tensor, shape: &[usize]) -> Result<Operand, KernelError> {
        let native = native.into_shape(shape).map_err(|e| KernelError::Engine(e.to_string()))?;
        let native = Arc::new(native);
        let bytes = Bytes::from_owner(Owner(native.clone()));
        let tensor = Tensor::new(DType::F32, shape.to_vec(), bytes)?;
        Ok(Operand { tensor, native: Some(native), constant: false })
    }

    /// As tract sees it: shared where tract made it, else copied. `FLOAT32` only.
    pub fn to_native(&self) -> Result<Arc<tract::Tensor>, KernelError> {
        match &self.native {
            Some(native) => Ok(native.clone()),
            None => native_of(&self.tensor).map(Arc::new),
        }
    }
}

/// A copy as tract's tensor; `FLOAT32` only.
pub(super) fn native_of(tensor: &Tensor) -> Result<tract::Tensor, KernelError> {
    let data = tensor.view::<f32>()?;
    tract::Tensor::from_shape(tensor.shape(), &data).map_err(|e| KernelError::Engine(e.to_string()))
}

/// The operands of one node.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a>(pub &'a [Option<Operand>]);

impl<'a> Operands<'a> {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Operand `i`, where it is present.
    pub fn optional(&self, i: usize) -> Option<&'a Operand> {
        self.0.get(i)?.as_ref()
    }

    pub fn operand(&self, i: usize) -> Result<&'a Operand, KernelError> {
        self.optional(i).ok_or_else(|| KernelError::operands(format!("operand {i} is missing")))
    }

    pub fn tensor(&self, i: usize) -> Result<&'a Tensor, KernelError> {
        Ok(&self.operand(i)?.tensor)
    }

    /// All operands, of which none may be absent.
    pub fn tensors(&self) -> Result<Vec<&'a Tensor>, KernelError> {
        (0..self.count()).map(|i| self.tensor(i)).collect()
    }

    /// Elements of an operand that holds axes, extents or indices.
    pub fn ints(&self, i: usize) -> Result<Vec<i64>, KernelError> {
        Ok(self.tensor(i)?.to_i64s()?)
    }

    /// The first element of an operand that holds one integer.
    pub fn int(&self, i: usize) -> Result<i64, KernelError> {
        let ints = self.ints(i)?;
        ints.first().copied().ok_or_else(|| KernelError::operands(format!("operand {i} is empty")))
    }

    /// Elements of an operand that holds extents: none may be negative.
    pub fn extents(&self, i: usize) -> Result<Vec<usize>, KernelError> {
        let extent = |d: i64| usize::try_from(d).map_err(|_| KernelError::operands(format!("an extent of {d}")));
        self.ints(i)?.into_iter().map(extent).collect()
    }
}

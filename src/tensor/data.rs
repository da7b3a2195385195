use std::borrow::Cow;
use std::fmt;

use bytemuck::Pod;
use bytes::Bytes;
use half::{bf16, f16};

use super::{DType, Perm};

/// Constant data in row-major order, little endian, with shared bytes: a clone copies nothing.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Bytes,
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        // Shared bytes need not be looked at.
        let shared = self.data.as_ptr() == other.data.as_ptr() && self.data.len() == other.data.len();
        self.dtype == other.dtype && self.shape == other.shape && (shared || self.data == other.data)
    }
}

/// Why bytes are no tensor, or why a tensor can't be seen as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    #[error("{dtype} data of shape {shape:?} takes {expected} bytes, but there are {actual}")]
    Size { dtype: DType, shape: Vec<usize>, expected: usize, actual: usize },
    #[error("{dtype} data of shape {shape:?} is too large to address")]
    Overflow { dtype: DType, shape: Vec<usize> },
    #[error("the data is {actual}, not {wanted}")]
    DType { wanted: DType, actual: DType },
    #[error("shape {from:?} has another number of elements than {to:?}")]
    Reshape { from: Vec<usize>, to: Vec<usize> },
}

/// A Rust type that is the plain in-memory form of one [`DType`].
pub trait Element: Pod + Send + Sync + 'static {
    const DTYPE: DType;
}

macro_rules! element {
    ($($t:ty => $d:ident),* $(,)?) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
element! {
    f32 => F32, f16 => F16, bf16 => BF16, f64 => F64,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64,
}

/// Lets `Bytes` own a typed vector, so that its alignment survives.
struct Owner<T>(Vec<T>);

impl<T: Pod> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Copies elements out of bytes of any alignment.
fn unaligned<T: Pod>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}

/// Number of elements of a shape, or `None` where it overflows.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

impl Tensor {
    /// Strings have no fixed size: any number of bytes is taken for them, and carried without being looked into.
    ///
    /// # Errors
    /// Where the byte count is not what type and shape ask for.
    pub fn new(dtype: DType, shape: Vec<usize>, data: Bytes) -> Result<Tensor, TensorError> {
        let byte_len = |n| if dtype == DType::String { Some(data.len()) } else { dtype.byte_len(n) };
        let Some(expected) = elements(&shape).and_then(byte_len) else {
            return Err(TensorError::Overflow { dtype, shape });
        };
        if expected != data.len() {
            return Err(TensorError::Size { dtype, shape, expected, actual: data.len() });
        }
        Ok(Tensor { dtype, shape, data })
    }

    /// # Panics
    /// Where `values` has not as many elements as `shape` says.
    pub fn from_vec<T: Element>(shape: &[usize], values: Vec<T>) -> Tensor {
        assert_eq!(elements(shape), Some(values.len()), "as many values as the shape {shape:?} has elements");
        Tensor { dtype: T::DTYPE, shape: shape.to_vec(), data: Bytes::from_owner(Owner(values)) }
    }

    /// # Panics
    /// Where `values` has not as many elements as `shape` says.
    pub fn from_bools(shape: &[usize], values: &[bool]) -> Tensor {
        let bytes = values.iter().map(|&b| u8::from(b)).collect();
        Tensor { dtype: DType::Bool, ..Tensor::from_vec::<u8>(shape, bytes) }
    }

    /// A tensor of rank 0.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor::from_vec(&[], vec![value])
    }

    /// A tensor of rank 1.
    pub fn vector<T: Element>(values: Vec<T>) -> Tensor {
        Tensor::from_vec(&[values.len()], values)
    }

    /// All elements zero (`false` for booleans). `None` where the size overflows.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Option<Tensor> {
        let len = dtype.byte_len(elements(shape)?)?;
        // Eight-byte words keep every element type aligned.
        let words = Bytes::from_owner(Owner(vec![0u64; len.div_ceil(8)]));
        Some(Tensor { dtype, shape: shape.to_vec(), data: words.slice(..len) })
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number that every element is, bit by bit; `None` where they differ, or there are none, or they are no real numbers.
    pub fn splat(&self) -> Option<f64> {
        let width = self.dtype.bits() / 8;
        if width == 0 {
            let values = self.to_f64s().ok()?;
            let (first, rest) = values.split_first()?;
            return rest.iter().all(|x| x.to_bits() == first.to_bits()).then_some(*first);
        }
        // A large tensor is seldom a splat: this looks at its first two elements.
        let first = self.data.get(..width)?;
        if !self.data.chunks_exact(width).all(|element| element == first) {
            return None;
        }
        let one = Tensor { dtype: self.dtype, shape: vec![1], data: self.data.slice(..width) };
        one.to_f64s().ok()?.first().copied()
    }

    /// The bytes, row-major and little endian; sub-byte elements packed, low bits first.
    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// The elements as `T`, borrowed where the bytes are aligned for it.
    ///
    /// # Errors
    /// Where the tensor holds another type. `u8` also views booleans.
    pub fn view<T: Element>(&self) -> Result<Cow<'_, [T]>, TensorError> {
        let same = self.dtype == T::DTYPE || (self.dtype == DType::Bool && T::DTYPE == DType::U8);
        if !same {
            return Err(TensorError::DType { wanted: T::DTYPE, actual: self.dtype });
        }
        Ok(match bytemuck::try_cast_slice(&self.data) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(unaligned(&self.data)),
        })
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// Where the number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor, TensorError> {
        if elements(shape) != Some(self.len()) {
            return Err(TensorError::Reshape { from: self.shape.clone(), to: shape.to_vec() });
        }
        Ok(Tensor { shape: shape.to_vec(), ..self.clone() })
    }

    /// The same bytes as another type of equal width (a bit cast).
    ///
    /// # Errors
    /// Where the widths differ.
    pub fn reinterpret(&self, dtype: DType) -> Result<Tensor, TensorError> {
        Tensor::new(dtype, self.shape.clone(), self.data.clone())
    }

    /// The data in the order of axes that `perm` gives.
    ///
    /// # Panics
    /// Where the rank of `perm` is another, or the elements are smaller than a byte.
    pub fn permute(&self, perm: &Perm) -> Tensor {
        assert_eq!(perm.rank(), self.rank(), "permutation of the tensor's rank");
        assert!(self.dtype.bits() >= 8, "only whole bytes are permuted");
        let shape = perm.apply(&self.shape);
        if keeps_order(perm, &self.shape) {
            return Tensor { shape, ..self.clone() };
        }
        let data = match self.dtype.bits() / 8 {
            1 => permuted::<u8>(&self.data, &self.shape, perm),
            2 => permuted::<u16>(&self.data, &self.shape, perm),
            4 => permuted::<u32>(&self.data, &self.shape, perm),
            8 => permuted::<u64>(&self.data, &self.shape, perm),
            _ => permuted::<u128>(&self.data, &self.shape, perm),
        };
        Tensor { dtype: self.dtype, shape, data }
    }
}

/// True where the permutation moves only axes of size 1 past others: the bytes stay as they are.
fn keeps_order(perm: &Perm, shape: &[usize]) -> bool {
    let moved: Vec<usize> = perm.axes().iter().copied().filter(|&axis| shape[axis] != 1).collect();
    moved.is_sorted()
}

/// Reads `T` at any alignment and writes it in the new order, in square tiles over the two axes that are innermost in the source
/// and in the result, so that neither side strides through memory for every element.
fn permuted<T: Pod + Send + Sync>(data: &[u8], shape: &[usize], perm: &Perm) -> Bytes {
    const TILE: usize = 16;
    let source: Cow<'_, [T]> = match bytemuck::try_cast_slice(data) {
        Ok(slice) => Cow::Borrowed(slice),
        Err(_) => Cow::Owned(unaligned(data)),
    };
    let rank = shape.len();
    let strides = row_major_strides(shape);
    let out_shape = perm.apply(shape);
    let in_stride: Vec<usize> = perm.apply(&strides);
    let out_stride = row_major_strides(&out_shape);
    let mut out = vec![T::zeroed(); source.len()];
    if out.is_empty() {
        return Bytes::from_owner(Owner(out));
    }

    let last = rank - 1;
    let inner = perm.position_of(rank - 1); // the result axis that walks the source contiguously
    let outer: Vec<usize> = (0..rank).filter(|&axis| axis != last && axis != inner).collect();
    let (rows, row_in, row_out) =
        if inner == last { (1, 0, 0) } else { (out_shape[inner], in_stride[inner], out_stride[inner]) };
    let (columns, column_in) = (out_shape[last], in_stride[last]);

    let mut index = vec![0usize; outer.len()];
    loop {
        let (mut from, mut to) = (0, 0);
        for (&axis, &i) in outer.iter().zip(&index) {
            from += i * in_stride[axis];
            to += i * out_stride[axis];
        }
        for row_tile in (0..rows).step_by(TILE) {
            for column_tile in (0..columns).step_by(TILE) {
                for row in row_tile..(row_tile + TILE).min(rows) {
                    let (from, to) = (from + row * row_in, to + row * row_out);
                    for column in column_tile..(column_tile + TILE).min(columns) {
                        out[to + column] = source[from + column * column_in];
                    }
                }
            }
        }
        // Count up like an odometer; done when it wraps around.
        let mut digit = outer.len();
        loop {
            if digit == 0 {
                return Bytes::from_owner(Owner(out));
            }
            digit -= 1;
            index[digit] += 1;
            if index[digit] < out_shape[outer[digit]] {
                break;
            }
            index[digit] = 0;
        }
    }
}

/// Elements from one index to the next, per axis.
fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)?;
        match self.to_f64s() {
            Ok(values) if values.len() <= 8 => write!(f, " {values:?}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permute_agrees_with_the_definition() {
        for (shape, axes) in [
            (vec![2, 3, 4], vec![2, 0, 1]),
            (vec![2, 3, 4, 5], vec![0, 2, 3, 1]),
            (vec![33, 2, 17], vec![2, 1, 0]),
            (vec![3, 1, 4], vec![1, 2, 0]),
            (vec![0, 3], vec![1, 0]),
            (vec![2, 3, 4, 5], vec![3, 2, 1, 0]),
            (vec![2, 3, 4], vec![1, 0, 2]),
        ] {
            let count: usize = shape.iter().product();
            let perm = Perm::new(axes.clone()).unwrap();
            let tensor = Tensor::from_vec(&shape, (0..count as i32).collect());
            let result = tensor.permute(&perm);
            let strides = row_major_strides(&shape);
            let (view, out_shape) = (result.view::<i32>().unwrap(), perm.apply(&shape));
            for (flat, &value) in view.iter().enumerate() {
                let mut rest = flat;
                let mut from = 0;
                for (axis, &stride) in row_major_strides(&out_shape).iter().enumerate() {
                    from += rest / stride * strides[axes[axis]];
                    rest %= stride;
                }
                assert_eq!(value, from as i32, "{shape:?} by {axes:?} at {flat}");
            }
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let short = Tensor::new(DType::F32, vec![2, 2], Bytes::from_static(&[0; 15]));
        assert!(matches!(short, Err(TensorError::Size { expected: 16, actual: 15, .. })));
        let huge = Tensor::new(DType::F32, vec![usize::MAX, 2], Bytes::new());
        assert!(matches!(huge, Err(TensorError::Overflow { .. })));
    }

    #[test]
    fn unaligned_bytes_can_be_viewed() {
        let bytes = Bytes::from_owner(Owner(vec![0u8, 1, 0, 0, 0, 2, 0, 0, 0]));
        let tensor = Tensor::new(DType::I32, vec![2], bytes.slice(1..)).unwrap();
        assert_eq!(tensor.view::<i32>().unwrap().as_ref(), [1, 2]);
    }
}

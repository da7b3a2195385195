//! Conversions of constant data between element types.

use half::{bf16, f16};

use super::{DType, Element, Tensor, TensorError};

impl Tensor {
    /// Every element as `f64`; exact for all types but 64-bit integers past 2^53.
    ///
    /// # Errors
    /// For types that are no single number: complex, strings, float8, resources.
    pub fn to_f64s(&self) -> Result<Vec<f64>, TensorError> {
        Ok(match self.dtype() {
            DType::F32 => self.collect(|x: f32| x.into()),
            DType::F16 => self.collect(|x: f16| x.into()),
            DType::BF16 => self.collect(|x: bf16| x.into()),
            DType::F64 => self.collect(|x: f64| x),
            _ => self.to_i64s()?.into_iter().map(|x| x as f64).collect(),
        })
    }

    /// Every element as `f32`, rounded to nearest.
    ///
    /// # Errors
    /// As [`Tensor::to_f64s`].
    pub fn to_f32s(&self) -> Result<Vec<f32>, TensorError> {
        match self.dtype() {
            DType::F32 => Ok(self.view::<f32>()?.into_owned()),
            _ => Ok(self.to_f64s()?.into_iter().map(|x| x as f32).collect()),
        }
    }

    /// Every element of an integer or boolean tensor; `u64` past `i64::MAX` saturates.
    ///
    /// # Errors
    /// Where the tensor holds no integers.
    pub fn to_i64s(&self) -> Result<Vec<i64>, TensorError> {
        Ok(match self.dtype() {
            DType::I8 => self.collect(|x: i8| x.into()),
            DType::I16 => self.collect(|x: i16| x.into()),
            DType::I32 => self.collect(|x: i32| x.into()),
            DType::I64 => self.collect(|x: i64| x),
            DType::U8 | DType::Bool => self.collect(|x: u8| x.into()),
            DType::U16 => self.collect(|x: u16| x.into()),
            DType::U32 => self.collect(|x: u32| x.into()),
            DType::U64 => self.collect(|x: u64| i64::try_from(x).unwrap_or(i64::MAX)),
            DType::I4 => self.unpacked(4, true),
            DType::U4 => self.unpacked(4, false),
            DType::I2 => self.unpacked(2, true),
            actual => {
                return Err(TensorError::DType { wanted: DType::I64, actual });
            }
        })
    }

    /// Converts as ONNX `Cast` does: floats are truncated toward zero and saturated, integers wrap.
    ///
    /// # Errors
    /// Where either type is no plain number.
    pub fn cast(&self, to: DType) -> Result<Tensor, TensorError> {
        if to == self.dtype() {
            return Ok(self.clone());
        }
        let shape = self.shape();
        if self.dtype().is_float() {
            let values = self.to_f64s()?;
            Ok(match to {
                DType::F32 => Tensor::from_vec(shape, values.iter().map(|&x| x as f32).collect()),
                DType::F16 => Tensor::from_vec(shape, values.iter().map(|&x| f16::from_f64(x)).collect()),
                DType::BF16 => Tensor::from_vec(shape, values.iter().map(|&x| bf16::from_f64(x)).collect()),
                DType::F64 => Tensor::from_vec(shape, values),
                DType::Bool => Tensor::from_bools(shape, &values.iter().map(|&x| x != 0.0).collect::<Vec<_>>()),
                DType::I8 => Tensor::from_vec(shape, values.iter().map(|&x| x as i8).collect()),
                DType::I16 => Tensor::from_vec(shape, values.iter().map(|&x| x as i16).collect()),
                DType::I32 => Tensor::from_vec(shape, values.iter().map(|&x| x as i32).collect()),
                DType::I64 => Tensor::from_vec(shape, values.iter().map(|&x| x as i64).collect()),
                DType::U8 => Tensor::from_vec(shape, values.iter().map(|&x| x as u8).collect()),
                DType::U16 => Tensor::from_vec(shape, values.iter().map(|&x| x as u16).collect()),
                DType::U32 => Tensor::from_vec(shape, values.iter().map(|&x| x as u32).collect()),
                DType::U64 => Tensor::from_vec(shape, values.iter().map(|&x| x as u64).collect()),
                DType::I4 => Tensor::of_nibbles(to, shape, values.iter().map(|&x| x.clamp(-8.0, 7.0) as i8 as u8)),
                DType::U4 => Tensor::of_nibbles(to, shape, values.iter().map(|&x| x.clamp(0.0, 15.0) as u8)),
                _ => {
                    return Err(TensorError::DType { wanted: to, actual: self.dtype() });
                }
            })
        } else {
            let values = self.to_i64s()?;
            Ok(match to {
                DType::F32 => Tensor::from_vec(shape, values.iter().map(|&x| x as f32).collect()),
                DType::F16 => Tensor::from_vec(shape, values.iter().map(|&x| f16::from_f64(x as f64)).collect()),
                DType::BF16 => Tensor::from_vec(shape, values.iter().map(|&x| bf16::from_f64(x as f64)).collect()),
                DType::F64 => Tensor::from_vec(shape, values.iter().map(|&x| x as f64).collect()),
                DType::Bool => Tensor::from_bools(shape, &values.iter().map(|&x| x != 0).collect::<Vec<_>>()),
                DType::I8 => Tensor::from_vec(shape, values.iter().map(|&x| x as i8).collect()),
                DType::I16 => Tensor::from_vec(shape, values.iter().map(|&x| x as i16).collect()),
                DType::I32 => Tensor::from_vec(shape, values.iter().map(|&x| x as i32).collect()),
                DType::I64 => Tensor::from_vec(shape, values),
                DType::U8 => Tensor::from_vec(shape, values.iter().map(|&x| x as u8).collect()),
                DType::U16 => Tensor::from_vec(shape, values.iter().map(|&x| x as u16).collect()),
                DType::U32 => Tensor::from_vec(shape, values.iter().map(|&x| x as u32).collect()),
                DType::U64 => Tensor::from_vec(shape, values.iter().map(|&x| x as u64).collect()),
                DType::I4 | DType::U4 => Tensor::of_nibbles(to, shape, values.iter().map(|&x| x as u8)),
                _ => {
                    return Err(TensorError::DType { wanted: to, actual: self.dtype() });
                }
            })
        }
    }

    /// Elements of 4 bits, the lower halves of `values`, two to a byte and the first in the low bits.
    pub(crate) fn of_nibbles(dtype: DType, shape: &[usize], values: impl Iterator<Item = u8>) -> Tensor {
        let nibbles: Vec<u8> = values.map(|v| v & 0xf).collect();
        let bytes: Vec<u8> = nibbles.chunks(2).map(|c| c[0] | c.get(1).map_or(0, |v| v << 4)).collect();
        Tensor::new(dtype, shape.to_vec(), bytes.into()).expect("as many values as the shape has elements")
    }

    fn collect<T: Element, R>(&self, convert: impl Fn(T) -> R) -> Vec<R> {
        match self.view::<T>() {
            Ok(view) => view.iter().map(|&x| convert(x)).collect(),
            Err(_) => unreachable!("each caller has matched the element type"),
        }
    }

    /// Elements narrower than a byte, first element in the low bits.
    fn unpacked(&self, bits: usize, signed: bool) -> Vec<i64> {
        let per_byte = 8 / bits;
        let element = |i: usize| {
            let raw = (self.bytes()[i / per_byte] >> (i % per_byte * bits)) & ((1 << bits) - 1);
            let value = i64::from(raw);
            if signed && value >= 1 << (bits - 1) { value - (1 << bits) } else { value }
        };
        (0..self.len()).map(element).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn nibbles_are_read_low_first() {
        let packed = Bytes::from_static(&[0x1f, 0x08]);
        let signed = Tensor::new(DType::I4, vec![3], packed.clone()).unwrap();
        assert_eq!(signed.to_i64s().unwrap(), [-1, 1, -8]);
        let unsigned = Tensor::new(DType::U4, vec![3], packed).unwrap();
        assert_eq!(unsigned.to_i64s().unwrap(), [15, 1, 8]);
    }

    #[test]
    fn floats_truncate_and_saturate_integers_wrap() {
        let floats = Tensor::vector(vec![-1.9f32, 300.0, 2.5]);
        assert_eq!(floats.cast(DType::I8).unwrap().to_i64s().unwrap(), [-1, 127, 2]);
        let ints = Tensor::vector(vec![300i32, -1]);
        assert_eq!(ints.cast(DType::U8).unwrap().to_i64s().unwrap(), [44, 255]);
        assert_eq!(floats.cast(DType::I4).unwrap().to_i64s().unwrap(), [-1, 7, 2]);
        assert_eq!(ints.cast(DType::U4).unwrap().to_i64s().unwrap(), [12, 15]);
    }
}

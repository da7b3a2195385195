//! What the elements of a tensor are: the numbers LiteRT's C interface and the TFLite schema give them.

/// Element type of a tensor.
///
/// The discriminant is the code of the TFLite schema's `TensorType`. LiteRT's C interface numbers the same
/// types differently; see [`ElementType::from_litert_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ElementType {
    Float32 = 0,
    Float16 = 1,
    Int32 = 2,
    UInt8 = 3,
    Int64 = 4,
    String = 5,
    Bool = 6,
    Int16 = 7,
    Complex64 = 8,
    Int8 = 9,
    Float64 = 10,
    Complex128 = 11,
    UInt64 = 12,
    Resource = 13,
    Variant = 14,
    UInt32 = 15,
    UInt16 = 16,
    Int4 = 17,
    BFloat16 = 18,
    Int2 = 19,
    UInt4 = 20,
    Float8E4M3Fn = 21,
    Float8E5M2 = 22,
}

/// Every type with its `LiteRtElementType` code and its width in bits; no width where elements have none.
const TABLE: [(ElementType, i32, Option<usize>); 23] = [
    (ElementType::Float32, 1, Some(32)),
    (ElementType::Float16, 10, Some(16)),
    (ElementType::Int32, 2, Some(32)),
    (ElementType::UInt8, 3, Some(8)),
    (ElementType::Int64, 4, Some(64)),
    (ElementType::String, 5, None),
    (ElementType::Bool, 6, Some(8)),
    (ElementType::Int16, 7, Some(16)),
    (ElementType::Complex64, 8, Some(64)),
    (ElementType::Int8, 9, Some(8)),
    (ElementType::Float64, 11, Some(64)),
    (ElementType::Complex128, 12, Some(128)),
    (ElementType::UInt64, 13, Some(64)),
    (ElementType::Resource, 14, None),
    (ElementType::Variant, 15, None),
    (ElementType::UInt32, 16, Some(32)),
    (ElementType::UInt16, 17, Some(16)),
    (ElementType::Int4, 18, Some(4)),
    (ElementType::BFloat16, 19, Some(16)),
    (ElementType::Int2, 20, Some(2)),
    (ElementType::UInt4, 21, Some(4)),
    (ElementType::Float8E4M3Fn, 22, Some(8)),
    (ElementType::Float8E5M2, 23, Some(8)),
];

impl ElementType {
    /// The type that `LiteRtElementType` numbers `code`, or `None` for a number not known here.
    pub fn from_litert_code(code: i32) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// The type that the schema's `TensorType` numbers `code`, or `None` for a number not known here.
    pub fn from_tensor_type(code: i8) -> Option<Self> {
        TABLE.iter().find(|row| row.0.tensor_type() == code).map(|row| row.0)
    }

    /// The `LiteRtElementType` code.
    pub fn litert_code(self) -> i32 {
        self.row().1
    }

    /// The code of the TFLite schema's `TensorType`.
    pub fn tensor_type(self) -> i8 {
        self as i8
    }

    /// Bytes that `count` packed elements take (two `Int4` share a byte). `None` if elements of this type
    /// have no fixed width, or if the size does not fit in memory.
    pub fn bytes_for(self, count: usize) -> Option<usize> {
        let bits = self.row().2?;
        // Rounding up by parts: `count * bits` may overflow where the number of bytes does not.
        let (whole, rest) = (count / 8, count % 8);
        whole.checked_mul(bits)?.checked_add((rest * bits).div_ceil(8))
    }

    fn row(self) -> &'static (ElementType, i32, Option<usize>) {
        // The table is in the order of the discriminants; a test holds it to that.
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_order_and_codes_are_unique() {
        for (position, &(element_type, litert_code, _)) in TABLE.iter().enumerate() {
            assert_eq!(element_type as usize, position);
            assert_eq!(ElementType::from_litert_code(litert_code), Some(element_type));
            assert_eq!(ElementType::from_tensor_type(position as i8), Some(element_type));
        }
        assert_eq!(ElementType::from_litert_code(0), None);
        assert_eq!(ElementType::from_tensor_type(-1), None);
    }

    #[test]
    fn packed_sizes_round_up_and_never_overflow() {
        assert_eq!(ElementType::Float32.bytes_for(3), Some(12));
        assert_eq!(ElementType::Int4.bytes_for(3), Some(2));
        assert_eq!(ElementType::Int2.bytes_for(9), Some(3));
        assert_eq!(ElementType::Int2.bytes_for(0), Some(0));
        assert_eq!(ElementType::Int8.bytes_for(usize::MAX), Some(usize::MAX));
        assert_eq!(ElementType::Int16.bytes_for(usize::MAX), None);
        assert_eq!(ElementType::String.bytes_for(1), None);
    }
}

use std::fmt;

/// Element type of a tensor: the types of TFLite, of which ONNX's numeric types are a subset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    F32,
    F16,
    BF16,
    F64,
    I2,
    I4,
    I8,
    I16,
    I32,
    I64,
    U4,
    U8,
    U16,
    U32,
    U64,
    Bool,
    C64,
    C128,
    F8E4M3FN,
    F8E5M2,
    String,
    Resource,
    Variant,
}

impl DType {
    /// Bits of one element; sub-byte types are packed without padding between rows. 0 for the types without data
    /// of fixed size.
    pub fn bits(self) -> usize {
        match self {
            DType::I2 => 2,
            DType::I4 | DType::U4 => 4,
            DType::I8 | DType::U8 | DType::Bool | DType::F8E4M3FN | DType::F8E5M2 => 8,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 16,
            DType::F32 | DType::I32 | DType::U32 => 32,
            DType::F64 | DType::I64 | DType::U64 | DType::C64 => 64,
            DType::C128 => 128,
            DType::String | DType::Resource | DType::Variant => 0,
        }
    }

    /// Bytes that `elements` elements take, or `None` on overflow and for types without data of fixed size.
    pub fn byte_len(self, elements: usize) -> Option<usize> {
        match self.bits() {
            0 => None,
            bits if bits < 8 => Some(elements.checked_mul(bits)?.div_ceil(8)),
            bits => elements.checked_mul(bits / 8),
        }
    }

    /// True for the floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16 | DType::F64 | DType::F8E4M3FN | DType::F8E5M2)
    }

    /// True for signed and unsigned integers of any width; not for `Bool`.
    pub fn is_int(self) -> bool {
        matches!(
            self,
            DType::I2
                | DType::I4
                | DType::I8
                | DType::I16
                | DType::I32
                | DType::I64
                | DType::U4
                | DType::U8
                | DType::U16
                | DType::U32
                | DType::U64
        )
    }

    /// The name that users see, as numpy spells it where numpy has the type.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F64 => "float64",
            DType::I2 => "int2",
            DType::I4 => "int4",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::U4 => "uint4",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::Bool => "bool",
            DType::C64 => "complex64",
            DType::C128 => "complex128",
            DType::F8E4M3FN => "float8_e4m3fn",
            DType::F8E5M2 => "float8_e5m2",
            DType::String => "string",
            DType::Resource => "resource",
            DType::Variant => "variant",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
